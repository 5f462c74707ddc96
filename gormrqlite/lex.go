package gormrqlite

import "strings"

// tokenKind is the kind of a token.
type tokenKind uint8

const (
	space  tokenKind = iota // space and comments
	word                    // a bare name or keyword, or a number
	quoted                  // a name in quotes; in definitions SQLite takes some texts for names, too
	text                    // '…'
	symbol                  // any other character
)

// token is a piece of SQL. The texts of all tokens together are the whole text.
type token struct {
	kind tokenKind
	text string
}

// lex splits any text into tokens. A quote or comment without an end goes on to the end of the
// text.
func lex(sql string) []token {
	var tokens []token
	for sql != "" {
		kind, length := next(sql)
		tokens = append(tokens, token{kind, sql[:length]})
		sql = sql[length:]
	}
	return tokens
}

// next returns the kind and the length of the first token.
func next(sql string) (tokenKind, int) {
	switch c := sql[0]; {
	case strings.HasPrefix(sql, "--"):
		return space, through(sql, 2, "\n")
	case strings.HasPrefix(sql, "/*"):
		return space, through(sql, 2, "*/")
	case isSpace(c):
		return space, while(sql, isSpace)
	case c == '\'':
		return text, quotation(sql, '\'')
	case c == '"' || c == '`':
		return quoted, quotation(sql, c)
	case c == '[':
		return quoted, through(sql, 1, "]")
	case isWord(c):
		return word, while(sql, isWord)
	}
	return symbol, 1
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func while(sql string, is func(byte) bool) int {
	for i := range len(sql) {
		if !is(sql[i]) {
			return i
		}
	}
	return len(sql)
}

// through returns the length up to and including the first end at or after from. It returns the
// length of sql if there is none.
func through(sql string, from int, end string) int {
	if i := strings.Index(sql[from:], end); i >= 0 {
		return from + i + len(end)
	}
	return len(sql)
}

// quotation returns the length of a quoted token. A quote inside it is written twice.
func quotation(sql string, quote byte) int {
	for i := 1; i < len(sql); i++ {
		if sql[i] != quote {
			continue
		}
		if i+1 == len(sql) || sql[i+1] != quote {
			return i + 1
		}
		i++
	}
	return len(sql)
}

// name returns the name that a token stands for, without quotes.
func (t token) name() string {
	switch {
	case len(t.text) < 2 || t.kind == word:
		return t.text
	case t.text[0] == '[':
		return strings.TrimSuffix(t.text[1:], "]")
	case t.kind == quoted || t.kind == text:
		q := t.text[:1]
		return strings.ReplaceAll(strings.TrimSuffix(t.text[1:], q), q+q, q)
	}
	return t.text
}

// is reports whether a token is one of the keywords.
func (t token) is(keywords ...string) bool {
	for _, keyword := range keywords {
		if t.kind == word && strings.EqualFold(t.text, keyword) {
			return true
		}
	}
	return false
}

// isName reports whether a token can be the given name.
func (t token) isName(name string) bool {
	return t.kind != space && t.kind != symbol && strings.EqualFold(t.name(), name)
}

// mentions reports whether a name occurs in SQL.
func mentions(sql, name string) bool {
	for _, t := range lex(sql) {
		if t.isName(name) {
			return true
		}
	}
	return false
}

func join(tokens []token) string {
	var out strings.Builder
	for _, t := range tokens {
		out.WriteString(t.text)
	}
	return strings.TrimSpace(out.String())
}

// solid returns the tokens without spaces.
func solid(tokens []token) []token {
	var out []token
	for _, t := range tokens {
		if t.kind != space {
			out = append(out, t)
		}
	}
	return out
}
