package sqltext

import "strings"

// tokenKind is the kind of a token, as far as the parser needs it. Operators and numbers only
// separate other tokens.
type tokenKind uint8

const (
	tokEnd    tokenKind = iota // end of the text, or an error
	tokWord                    // an unquoted word, keyword or not
	tokQuoted                  // '…', "…", `…` or […]
	tokParam                   // a parameter
	tokSemicolon
	tokComma
	tokDot
	tokLeftParen
	tokRightParen
	tokStar
	tokEqual
	tokOther // numbers, blobs, operators, and text that SQLite rejects
)

// token is one token: src[pos:end].
type token struct {
	kind     tokenKind
	keyword  keyword // of a tokWord, else noKeyword
	pos, end int
}

// byteClass says which tokens can begin with a byte.
type byteClass uint8

const (
	classOther byteClass = iota
	classSpace
	classWord
	classDigit
	classQuote
	classBracket
	classQuestion
	classVariable
	classDot
	classSingle // a token of one byte; see singles
)

var classes = func() (table [256]byteClass) {
	for c := range table {
		switch {
		case c >= 0x80 || c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			table[c] = classWord
		case '0' <= c && c <= '9':
			table[c] = classDigit
		}
	}
	// SQLite takes a vertical tab as space only after other space. Here it always is space, so that
	// trimming a statement cannot change its meaning.
	for _, c := range " \t\n\v\f\r" {
		table[c] = classSpace
	}
	for _, c := range "'\"`" {
		table[c] = classQuote
	}
	for _, c := range ":@$#" {
		table[c] = classVariable
	}
	for c, kind := range singles {
		if kind != tokEnd {
			table[c] = classSingle
		}
	}
	table['['] = classBracket
	table['?'] = classQuestion
	table['.'] = classDot
	return table
}()

var singles = [128]tokenKind{
	';': tokSemicolon,
	',': tokComma,
	'(': tokLeftParen,
	')': tokRightParen,
	'*': tokStar,
	'=': tokEqual,
}

const byteOrderMark = "\ufeff"

// lexer splits src into tokens. It does not fail on text that SQLite merely rejects. It sets err if
// it cannot tell how the rest of the text is to be read.
type lexer struct {
	src string
	pos int
	err *Error
}

// next returns the next token. At the end of the text and after an error its kind is tokEnd.
func (l *lexer) next() token {
	l.skipBlank()
	pos := l.pos
	if pos >= len(l.src) || l.err != nil {
		return token{kind: tokEnd, pos: pos, end: pos}
	}
	tok := token{kind: tokOther, pos: pos}
	switch c := l.src[pos]; classes[c] {
	case classWord:
		l.word(&tok)
	case classDigit:
		l.pos = endOfNumber(l.src, pos)
	case classQuote:
		tok.kind = tokQuoted
		l.quoted(c)
	case classBracket:
		tok.kind = tokQuoted
		l.through(pos+1, ']', "identifier")
	case classQuestion:
		tok.kind = tokParam
		l.pos = skip(l.src, pos+1, isDigit)
	case classVariable:
		tok.kind = l.variable()
	case classDot:
		if pos+1 < len(l.src) && isDigit(l.src[pos+1]) {
			l.pos = endOfNumber(l.src, pos)
			break
		}
		tok.kind = tokDot
		l.pos++
	case classSingle:
		tok.kind = singles[c]
		l.pos++
	default:
		l.pos++
	}
	tok.end = l.pos
	return tok
}

// skipBlank moves past space, comments and byte order marks.
func (l *lexer) skipBlank() {
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case classes[c] == classSpace:
			l.pos++
		case c == '-' && strings.HasPrefix(l.src[l.pos:], "--"):
			l.pos = after(l.src, l.pos+2, "\n")
		case c == '/' && strings.HasPrefix(l.src[l.pos:], "/*"):
			if l.pos+2 == len(l.src) {
				// A comment may run to the end of the text, but SQLite does not take /* as the last
				// two bytes for a comment.
				l.fail("unterminated comment starting at byte %d", l.pos)
				return
			}
			l.pos = after(l.src, l.pos+2, "*/")
		case c == byteOrderMark[0] && strings.HasPrefix(l.src[l.pos:], byteOrderMark):
			l.pos += len(byteOrderMark)
		default:
			return
		}
	}
}

// word reads an unquoted word, or a blob literal such as x'00'.
func (l *lexer) word(tok *token) {
	end := skip(l.src, tok.pos+1, isWordByte)
	word := l.src[tok.pos:end]
	if (word == "x" || word == "X") && end < len(l.src) && l.src[end] == '\'' {
		l.through(end+1, '\'', "blob")
		return
	}
	tok.kind = tokWord
	tok.keyword = lookupKeyword(word)
	l.pos = end
}

// quoted reads a string or an identifier. A quote inside it is written twice.
func (l *lexer) quoted(quote byte) {
	what := "identifier"
	if quote == '\'' {
		what = "string"
	}
	for i := l.pos + 1; ; i++ {
		n := strings.IndexByte(l.src[i:], quote)
		if n < 0 {
			l.fail("unterminated %s starting at byte %d", what, l.pos)
			return
		}
		i += n + 1
		if i == len(l.src) || l.src[i] != quote {
			l.pos = i
			return
		}
	}
}

// through moves past the first byte end at or after from. If there is none it fails with an error
// about the token at l.pos, which it calls what.
func (l *lexer) through(from int, end byte, what string) {
	i := strings.IndexByte(l.src[from:], end)
	if i < 0 {
		l.fail("unterminated %s starting at byte %d", what, l.pos)
		return
	}
	l.pos = from + i + 1
}

// variable reads a named parameter: a prefix, a name that may contain ::, and a suffix in
// parentheses, as Tcl writes array elements.
func (l *lexer) variable() tokenKind {
	start, named := l.pos, false
	for l.pos++; l.pos < len(l.src); l.pos++ {
		switch c := l.src[l.pos]; {
		case isWordByte(c):
			named = true
			continue
		case c == ':' && strings.HasPrefix(l.src[l.pos:], "::"):
			l.pos++
			continue
		case c == '(' && named:
			l.suffix(start)
		}
		break
	}
	if !named || l.src[start] == '#' && isDigit(l.src[start+1]) {
		return tokOther // #1 is a register, which only SQLite's own code may use
	}
	return tokParam
}

// suffix reads the parenthesis at l.pos that ends the parameter at start. It may contain anything
// except space, even a semicolon.
func (l *lexer) suffix(start int) {
	for i := l.pos + 1; i < len(l.src) && classes[l.src[i]] != classSpace; i++ {
		if l.src[i] == ')' {
			l.pos = i + 1
			return
		}
	}
	l.fail("unterminated parameter starting at byte %d", start)
}

// fail records an error unless there is one already.
func (l *lexer) fail(format string, args ...any) {
	if l.err == nil {
		l.err = newError(format, args...)
	}
}

// endOfNumber returns the end of the number at pos. Letters that follow directly belong to the same
// token; SQLite rejects it then.
func endOfNumber(src string, pos int) int {
	i := pos
	if src[i] == '0' && i+2 < len(src) && src[i+1]|0x20 == 'x' && isHexDigit(src[i+2]) {
		i += 2 // hexadecimal: the digits are word bytes
	} else {
		i = skip(src, i, isSeparatedDigit)
		if i < len(src) && src[i] == '.' {
			i = skip(src, i+1, isSeparatedDigit)
		}
		if i < len(src) && src[i]|0x20 == 'e' {
			exp := i + 1
			if exp < len(src) && (src[exp] == '+' || src[exp] == '-') {
				exp++
			}
			if exp < len(src) && isDigit(src[exp]) {
				i = exp
			}
		}
	}
	return skip(src, i, isWordByte)
}

// skip returns the offset of the first byte at or after pos that is not in the set. It returns the
// length of src if there is none.
func skip(src string, pos int, in func(byte) bool) int {
	for pos < len(src) && in(src[pos]) {
		pos++
	}
	return pos
}

// after returns the offset just after the first end at or after pos. It returns the length of src
// if there is none.
func after(src string, pos int, end string) int {
	i := strings.Index(src[pos:], end)
	if i < 0 {
		return len(src)
	}
	return pos + i + len(end)
}

// isWordByte reports whether c can occur inside a word.
func isWordByte(c byte) bool {
	return classes[c] == classWord || classes[c] == classDigit || c == '$'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isSeparatedDigit reports whether c is a digit or the underscore that may separate digits.
func isSeparatedDigit(c byte) bool { return isDigit(c) || c == '_' }

func isHexDigit(c byte) bool {
	return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'
}
