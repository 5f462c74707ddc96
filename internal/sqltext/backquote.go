package sqltext

import (
	"fmt"
	"strings"
)

// WithoutBackquotes returns the statement with its names in backquotes written in another way. The
// meaning stays the same. A name is written bare, or in double quotes if it is a keyword or no bare
// name. In places where SQLite would take an unknown name in double quotes for a string
// (https://www.sqlite.org/quirks.html#dblquote), the name of the table is put before it. It returns
// an error for a name that cannot be written so. A result column without an alias is named by its
// text, so its name changes with it.
//
// rqlite before 9.4.0 does not see the RETURNING clause of a statement with backquotes.
func (s Statement) WithoutBackquotes() (Statement, error) {
	if strings.IndexByte(s.Text, '`') < 0 {
		return s, nil
	}
	b := backquotes{source: sourceOf(s.Text)}
	for i, tok := range b.tokens {
		b.follow(i)
		if tok.kind != tokQuoted || s.Text[tok.pos] != '`' {
			continue
		}
		text, err := b.rewritten(i)
		if err != nil {
			return s, err
		}
		b.edits = append(b.edits, edit{tok.pos, tok.end, text})
	}
	return s.edited(b.edits), nil
}

// backquotes holds the state of a walk over the tokens of a Write.
type backquotes struct {
	source
	edits []edit

	table   string // the table of the Write, or its alias, quoted
	clause  keyword
	depth   int
	selects bool // a SELECT has begun: its names may be of another table
}

// follow updates the state with token i.
func (b *backquotes) follow(i int) {
	tok := b.tokens[i]
	switch tok.kind {
	case tokLeftParen:
		b.depth++
	case tokRightParen:
		b.depth--
	}
	switch word := b.word(i); {
	case tok.keyword == kwSelect, tok.keyword == kwWith, word == "FROM" && b.table != "":
		b.selects, b.clause = true, tok.keyword
	case tok.keyword == kwInto, tok.keyword == kwUpdate && b.table == "", word == "FROM":
		b.clause = kwInto
	case b.clause == kwInto && tok.keyword == kwAs && b.depth == 0:
		b.table = "" // the next name is the alias
	case tok.keyword == kwOr, i > 0 && b.tokens[i-1].keyword == kwOr: // UPDATE OR IGNORE
	case b.clause == kwInto && b.table == "" && isName(tok):
		if name, ok := b.nameAt(i); ok {
			b.table = name
		}
	case word == "SET", tok.keyword == kwWhere, tok.keyword == kwValues, tok.keyword == kwReturning:
		b.clause = tok.keyword
	}
}

// nameAt returns the name at token i. It is not ok if a dot follows: then it is a schema, and the
// name of the table comes after the dot.
func (b *backquotes) nameAt(i int) (string, bool) {
	if b.kind(i+1) == tokDot {
		return "", false
	}
	return quoteName(unquote(b.text(i))), true
}

// rewritten returns the name at token i without backquotes.
func (b *backquotes) rewritten(i int) (string, error) {
	name := unquote(b.text(i))
	quoted := quoteName(name)
	switch {
	case isBareName(name):
		return name, nil
	case b.kind(i-1) == tokDot, b.kind(i+1) == tokDot, b.kind(i+1) == tokLeftParen,
		b.clause == kwInto, i > 0 && b.tokens[i-1].keyword == kwAs:
		return quoted, nil // part of a dotted name, or name of a function, table or alias, or in a list of columns
	case b.selects || b.table == "":
		return "", fmt.Errorf("rqlite before 9.4.0 does not see RETURNING in a statement with the name %s in backquotes: "+
			"put the name of its table before it, both in double quotes", quoted)
	case b.kind(i+1) == tokEqual && b.isTarget(i):
		return quoted, nil
	}
	return b.table + "." + quoted, nil
}

// isTarget reports whether token i is a column to which SET assigns.
func (b *backquotes) isTarget(i int) bool {
	return b.depth == 0 && i > 0 && (b.word(i-1) == "SET" || b.kind(i-1) == tokComma && b.clause == noKeyword)
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
