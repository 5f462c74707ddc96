package sqltext

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// SpaceReturning returns the statement with a space directly after the word RETURNING. Meaning and
// parameters stay the same. It returns the statement unchanged if the space is there already, or if
// there is no RETURNING clause.
//
// The rqlite server looks for "returning " to see whether a statement returns rows. It applies
// "RETURNING\nid" as well, but loses the rows.
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

// Inline returns the statement with SQL literals in place of the parameters for which literal
// returns true. It writes all others as ?NNN. So each keeps its Index, and the values can be sent
// by position as before. Replaced parameters at the end no longer count in NumParams. If nothing is
// to be replaced, Inline returns the statement unchanged.
//
// literal gets an Index, and may be called more than once with the same Index. Its result must be
// one operand wherever it stands, such as a string from Quote. Note that SQLite names a result
// column without an alias by its text, and takes a bare integer in ORDER BY and GROUP BY for the
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

// operand appends text and returns its position. next is the source text that will follow. A
// literal may not touch every neighbour that a parameter may: -? with -5 would begin a comment,
// SELECT? with 5 would become a name. So operand adds space unless the neighbour is harmless.
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

// Quote returns s as an SQL string literal. It doubles the single quotes in s. A literal cannot
// contain a NUL. A string with one becomes an expression that has the same value and type, and no
// affinity either. The string must be valid UTF-8.
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
