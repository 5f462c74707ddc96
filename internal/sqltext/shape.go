package sqltext

import "strings"

func (s *Statement) findShape() string {
	if s.Kind != Write {
		return s.Text
	}
	var b strings.Builder
	rest := 0
	for _, tok := range tokensOf(s.Text) {
		if !isLiteral(s.Text, tok) {
			continue
		}
		b.WriteString(s.Text[rest:tok.pos])
		b.WriteByte('#')
		rest = tok.end
	}
	if rest == 0 {
		return s.Text
	}
	b.WriteString(s.Text[rest:])
	return b.String()
}

// isLiteral reports whether a token is a number, a text or a BLOB.
func isLiteral(text string, tok token) bool {
	first := text[tok.pos]
	switch tok.kind {
	case tokQuoted:
		return first == '\''
	case tokOther:
		return isDigit(first) || first == '.' && tok.end > tok.pos+1 || first|0x20 == 'x'
	}
	return false
}
