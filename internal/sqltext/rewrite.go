package sqltext

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// SpaceReturning returns the statement with a space just after its word
// RETURNING, and the statement itself when one is there or it has no such
// clause. Its numbering of parameters and its meaning stay the same.
//
// The rqlite server looks for "returning " to see whether a statement returns
// rows. It applies "RETURNING\nid" as well, but loses the rows.
func (s Statement) SpaceReturning() Statement {
	at := s.Returning
	if at == 0 || at == len(s.Text) || s.Text[at] == ' ' {
		return s
	}
	s.Text = s.Text[:at] + " " + s.Text[at:]
	s.Params = slices.Clone(s.Params)
	for i := range s.Params {
		if s.Params[i].Pos >= at {
			s.Params[i].Pos++
			s.Params[i].End++
		}
	}
	return s
}

// Inline returns the statement with SQL literals in place of the parameters
// for which literal reports true. All others are written as ?NNN, so that
// each keeps its Index and the same values can be sent along, by position; a
// trailing parameter that was replaced no longer counts in NumParams. If
// nothing is to be replaced, Inline returns the statement as it is, with its
// names.
//
// literal gets an Index and may be asked about the same one more than once. It
// must return something that is one operand wherever it stands, such as a
// string from Quote. Note that SQLite names a result column without an alias
// after its text, and takes a bare integer in ORDER BY and GROUP BY for the
// number of a column.
func (s Statement) Inline(literal func(index int) (string, bool)) Statement {
	replaced := func(param Param) bool {
		_, ok := literal(param.Index)
		return ok
	}
	if !slices.ContainsFunc(s.Params, replaced) {
		return s
	}
	out := s
	out.Params, out.NumParams = nil, 0
	w := operandWriter{buf: make([]byte, 0, len(s.Text)+16*len(s.Params))}
	done := 0
	for _, param := range s.Params {
		w.buf = append(w.buf, s.Text[done:param.Pos]...)
		done = param.End
		if text, ok := literal(param.Index); ok {
			w.operand(text, s.Text[done:])
		} else {
			pos, end := w.operand("?"+strconv.Itoa(param.Index), s.Text[done:])
			out.Params = append(out.Params, Param{Pos: pos, End: end, Index: param.Index})
			out.NumParams = max(out.NumParams, param.Index)
		}
		if done <= s.Returning {
			out.Returning = s.Returning + len(w.buf) - done
		}
	}
	out.Text = string(append(w.buf, s.Text[done:]...))
	return out
}

// operandWriter builds SQL text in which operands replace parameters.
type operandWriter struct{ buf []byte }

// operand appends text, which next will follow, and returns where it stands.
// A parameter may touch what is beside it where a literal may not: -? with -5
// would begin a comment, SELECT? with 5 would end up a name. So it adds space
// unless the neighbour is harmless.
func (w *operandWriter) operand(text, next string) (pos, end int) {
	if n := len(w.buf); n > 0 && strings.IndexByte(" \t\n\r(,=", w.buf[n-1]) < 0 {
		w.buf = append(w.buf, ' ')
	}
	pos = len(w.buf)
	w.buf = append(w.buf, text...)
	end = len(w.buf)
	if next != "" && strings.IndexByte(" \t\n\r),;", next[0]) < 0 {
		w.buf = append(w.buf, ' ')
	}
	return pos, end
}

// Quote returns s as an SQL string literal: it's becomes 'it”s'. A literal
// cannot hold a NUL, so a string with one becomes an expression with the same
// value, type and (lack of) affinity. The string must be valid UTF-8.
func Quote(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		return "(x'" + hex.EncodeToString([]byte(s)) + "'||'')"
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// isBareName reports whether a name needs no quotes in any release of SQLite so far.
func isBareName(name string) bool {
	if name == "" || isDigit(name[0]) || len(name) != skip(name, 0, isASCIIWordByte) {
		return false
	}
	_, reserved := reservedWords[upperASCII(name)]
	return !reserved
}

func isASCIIWordByte(c byte) bool { return c < 0x80 && c != '$' && isWordByte(c) }
