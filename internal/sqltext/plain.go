package sqltext

import (
	"errors"
	"strconv"
	"strings"
)

// isPlain reports whether a statement has one of these forms. The server's own parser understands
// them in all releases.
//
//	INSERT INTO name (names) VALUES (values) RETURNING names
//	INSERT INTO name DEFAULT VALUES RETURNING names
//	UPDATE name SET name = value WHERE name = value AND … RETURNING names
//	DELETE FROM name WHERE name = value AND … RETURNING names
//
// A value is a parameter or a literal. A name is in quotes, or a word that is no keyword of either
// parser.
func isPlain(text string) bool {
	p := plain{source: sourceOf(text)}
	return (p.insert() || p.update() || p.remove()) &&
		p.word("RETURNING") && p.list(p.returned) && p.at == len(p.tokens)
}

// plain walks over the tokens of a statement. Each method reports whether the current token begins
// its construct, and moves past it.
type plain struct {
	source
	at int
}

// next returns the kind and the text of the next token. It returns tokEnd at the end, and before a
// comment.
func (p *plain) next() (tokenKind, string) {
	if p.at == len(p.tokens) {
		return tokEnd, ""
	}
	tok, end := p.tokens[p.at], 0
	if p.at > 0 {
		end = p.tokens[p.at-1].end
	}
	if strings.TrimLeft(p.src[end:tok.pos], " \t\r\n") != "" {
		return tokEnd, ""
	}
	return tok.kind, p.text(p.at)
}

func (p *plain) take(found bool) bool {
	if found {
		p.at++
	}
	return found
}

func (p *plain) word(upper string) bool {
	kind, text := p.next()
	return p.take(kind == tokWord && len(text) == len(upper) && equalUpper(text, upper))
}

func (p *plain) token(want tokenKind) bool {
	kind, _ := p.next()
	return p.take(kind == want)
}

func (p *plain) name() bool {
	kind, text := p.next()
	switch kind {
	case tokWord:
		return p.take(isBareName(text))
	case tokQuoted:
		return p.take((text[0] == '"' || text[0] == '`') && !strings.ContainsAny(text[1:len(text)-1], "`\""))
	}
	return false
}

// list reads one or more items separated by commas.
func (p *plain) list(item func() bool) bool {
	for {
		if !item() {
			return false
		}
		if !p.token(tokComma) {
			return true
		}
	}
}

func (p *plain) insert() bool {
	if !p.word("INSERT") && !p.word("REPLACE") {
		return false
	}
	if p.word("OR") && !p.word("REPLACE") && !p.word("IGNORE") && !p.word("ABORT") {
		return false
	}
	if !p.word("INTO") || !p.name() {
		return false
	}
	if p.word("DEFAULT") {
		return p.word("VALUES")
	}
	return p.columns() && p.word("VALUES") && p.list(p.row)
}

func (p *plain) update() bool {
	return p.word("UPDATE") && p.name() && p.word("SET") && p.list(p.equal) && p.where()
}

func (p *plain) remove() bool { return p.word("DELETE") && p.word("FROM") && p.name() && p.where() }

// where reads a WHERE clause, if there is one.
func (p *plain) where() bool {
	if !p.word("WHERE") {
		return true
	}
	for p.equal() {
		if !p.word("AND") {
			return true
		}
	}
	return false
}

func (p *plain) equal() bool { return p.name() && p.token(tokEqual) && p.value() }

// columns reads names in parentheses, if there are any.
func (p *plain) columns() bool {
	return !p.token(tokLeftParen) || p.list(p.name) && p.token(tokRightParen)
}

func (p *plain) row() bool {
	return p.token(tokLeftParen) && p.list(p.value) && p.token(tokRightParen)
}

func (p *plain) value() bool {
	kind, text := p.next()
	switch kind {
	case tokParam:
		return p.take(text[0] != '#' && len(text) == skip(text, 1, isASCIIWordByte))
	case tokQuoted:
		return p.take(text[0] == '\'')
	case tokWord:
		return p.take(len(text) == 4 && equalUpper(text, "NULL"))
	case tokOther:
		return p.take(isDecimal(text))
	}
	return false
}

// isDecimal reports whether a token is a number that every parser reads alike.
func isDecimal(text string) bool {
	if strings.Trim(text, "0123456789.eE+-") != "" || !isDigit(text[0]) || !isDigit(text[len(text)-1]) {
		return false
	}
	_, err := strconv.ParseFloat(text, 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

func (p *plain) returned() bool { return p.token(tokStar) || p.name() }
