package rewrite

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is the kind of a token. A keyword has kindWord and its word is set.
type kind uint8

const (
	kindIllegal kind = iota
	kindEOF
	kindIdent  // abc, "abc" or `abc`
	kindString // 'abc'
	kindBlob   // x'00'
	kindNumber
	kindBind // ?, ?1, :a, @a, $a
	kindWord // a keyword
	kindOp   // an operator or punctuation mark, normalized
)

// token is a token by the rules of rqlite's scanner: identifiers are ASCII, there are no
// [brackets], and $ is not part of a name.
type token struct {
	kind   kind
	word   string // keyword in upper case, or operator
	lit    string // content of an identifier or string, without quotes
	quoted bool   // an identifier in quotes

	start, end   int // byte offsets in the source
	line, column int // as the server counts them in its messages
}

// is reports whether the token is the given keyword or operator.
func (t token) is(word string) bool {
	return (t.kind == kindWord || t.kind == kindOp) && t.word == word
}

// scanner splits a statement into tokens.
type scanner struct {
	src          string
	at           int // next byte
	line, column int // of the last character read
}

// peek returns the next character, or -1 at the end.
func (s *scanner) peek() rune {
	if s.at >= len(s.src) {
		return -1
	}
	r, _ := utf8.DecodeRuneInString(s.src[s.at:])
	return r
}

func (s *scanner) read() rune {
	if s.at >= len(s.src) {
		return -1
	}
	r, size := utf8.DecodeRuneInString(s.src[s.at:])
	s.at += size
	if r == '\n' {
		s.line++
		s.column = 0
	} else {
		s.column++
	}
	return r
}

func (s *scanner) accept(r rune) bool {
	if s.peek() == r {
		s.read()
		return true
	}
	return false
}

func (s *scanner) skipWhile(f func(rune) bool) {
	for s.at < len(s.src) && f(s.peek()) {
		s.read()
	}
}

// next returns the next token that is not a comment.
func (s *scanner) next() token {
	for {
		s.skipWhile(unicode.IsSpace)
		start := s.at
		if s.at >= len(s.src) {
			return token{kind: kindEOF, start: start, end: start, line: s.line, column: s.column}
		}
		before := *s
		s.read()
		t := token{start: start, line: s.line, column: s.column}
		*s = before
		if s.token(&t) {
			t.end = s.at
			return t
		}
	}
}

// token reads a token into t. It returns false for a comment.
func (s *scanner) token(t *token) bool {
	switch r := s.peek(); {
	case isDigit(r) || r == '.':
		s.number(t)
	case r == 'x' || r == 'X':
		s.blobOrName(t)
	case isNameStart(r):
		s.name(t)
	case r == '"' || r == '`':
		s.quotedName(t)
	case r == '\'':
		s.text(t)
	case strings.ContainsRune("?:@$", r):
		s.bind(t)
	default:
		return s.operator(t)
	}
	return true
}

func (s *scanner) name(t *token) {
	s.skipWhile(isName)
	t.kind, t.lit = kindIdent, s.src[t.start:s.at]
	if word := strings.ToUpper(t.lit); isKeyword(word) {
		t.kind, t.word = kindWord, word
	}
}

// quotedName reads a name in quotes. Either kind of quote ends it.
func (s *scanner) quotedName(t *token) {
	s.read()
	var b strings.Builder
	for {
		switch r := s.read(); r {
		case -1:
			t.kind, t.lit = kindIllegal, `"`+b.String()
			return
		case '"', '`':
			if !s.accept(r) {
				t.kind, t.lit, t.quoted = kindIdent, b.String(), true
				return
			}
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
}

func (s *scanner) text(t *token) {
	s.read()
	var b strings.Builder
	for {
		switch r := s.read(); r {
		case -1:
			t.kind, t.lit = kindIllegal, "'"+b.String()
			return
		case '\'':
			if !s.accept('\'') {
				t.kind, t.lit = kindString, b.String()
				return
			}
			b.WriteRune('\'')
		default:
			b.WriteRune(r)
		}
	}
}

func (s *scanner) blobOrName(t *token) {
	s.read()
	if s.peek() != '\'' {
		s.name(t)
		return
	}
	s.read()
	from := s.at
	s.skipWhile(isHex)
	t.kind, t.lit = kindBlob, s.src[from:s.at]
	if !s.accept('\'') {
		s.read()
		t.kind = kindIllegal
	}
}

func (s *scanner) bind(t *token) {
	if s.read() == '?' {
		s.skipWhile(isDigit)
	} else {
		s.skipWhile(isName)
	}
	t.kind, t.lit = kindBind, s.src[t.start:s.at]
}

func (s *scanner) number(t *token) {
	t.kind = kindNumber
	defer func() { t.lit = s.src[t.start:s.at] }()
	if s.accept('0') && (s.accept('x') || s.accept('X')) {
		s.skipWhile(isHex)
		return
	}
	s.skipWhile(isDigit)
	if s.accept('.') {
		s.skipWhile(isDigit)
		if s.at == t.start+1 {
			t.kind, t.word = kindOp, "."
			return
		}
	}
	if s.accept('e') || s.accept('E') {
		if !s.accept('+') {
			s.accept('-')
		}
		if !isDigit(s.peek()) {
			t.kind = kindIllegal
			return
		}
		s.skipWhile(isDigit)
	}
}

// operators are the operators with the text that the server prints. A longer one comes before any
// that it begins with.
var operators = []struct{ text, word string }{
	{"!=", "!="},
	{"==", "="},
	{"=", "="},
	{"<=", "<="},
	{"<<", "<<"},
	{"<>", "!="},
	{"<", "<"},
	{">=", ">="},
	{">>", ">>"},
	{">", ">"},
	{"||", "||"},
	{"|", "|"},
	{"&", "&"},
	{"->>", "->>"},
	{"->", "->"},
	{"+", "+"},
	{"-", "-"},
	{"*", "*"},
	{"/", "/"},
	{"%", "%"},
	{"~", "~"},
	{";", ";"},
	{"(", "("},
	{")", ")"},
	{",", ","},
}

// operator reads an operator. It skips a comment and returns false for it.
func (s *scanner) operator(t *token) bool {
	rest := s.src[s.at:]
	switch {
	case strings.HasPrefix(rest, "--"):
		s.skipWhile(func(r rune) bool { return r != '\n' })
		s.read()
		return false
	case strings.HasPrefix(rest, "/*"):
		length := len(rest)
		if end := strings.Index(rest[2:], "*/"); end >= 0 {
			length = end + 4
		}
		for end := s.at + length; s.at < end; {
			s.read()
		}
		return false
	}
	for _, op := range operators {
		if strings.HasPrefix(rest, op.text) {
			for range op.text {
				s.read()
			}
			t.kind, t.word, t.lit = kindOp, op.word, op.text
			return true
		}
	}
	s.read()
	t.kind, t.lit = kindIllegal, s.src[t.start:s.at]
	return true
}

func isDigit(r rune) bool     { return '0' <= r && r <= '9' }
func isNameStart(r rune) bool { return 'a' <= r|0x20 && r|0x20 <= 'z' && r < utf8.RuneSelf || r == '_' }
func isName(r rune) bool      { return isNameStart(r) || isDigit(r) }
func isHex(r rune) bool       { return isDigit(r) || 'a' <= r|0x20 && r|0x20 <= 'f' && r < utf8.RuneSelf }

// syntaxError is a message of the parser: "LINE:COLUMN: expected …, found …".
type syntaxError struct {
	at   token
	want string
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("%s: expected %s, found %s", e.at.position(), e.want, e.at.found())
}

// position is "LINE:COLUMN", or "LINE" at the end of a text that ends in a newline.
func (t token) position() string {
	if t.column == 0 {
		return fmt.Sprint(t.line)
	}
	return fmt.Sprintf("%d:%d", t.line, t.column)
}

// found names a token as in the server's messages.
func (t token) found() string {
	switch t.kind {
	case kindIllegal:
		return "'ILLEGAL'"
	case kindEOF:
		return "'EOF'"
	case kindOp:
		switch t.word {
		case "->": // the server has no name for these two
			return "'token(40)'"
		case "->>":
			return "'token(41)'"
		}
		return "'" + t.word + "'"
	case kindWord:
		if t.word == "NULL" || t.word == "TRUE" || t.word == "FALSE" {
			return t.lit
		}
		return "'" + t.word + "'"
	default:
		return t.lit
	}
}
