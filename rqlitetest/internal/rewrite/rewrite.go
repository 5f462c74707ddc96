// Package rewrite does what rqlite does before a statement enters its log. It replaces random() and
// the present time by literals, and finds out whether the statement returns rows.
//
// rqlite has a parser of its own for this, which understands less than SQLite. If it replaces
// something, it prints the whole statement, and not always with the same meaning. A client can see
// both. If the parser does not reach a RETURNING clause, its rows are lost. If it prints an UPDATE,
// the RETURNING clause is lost. So this package follows the grammar of that parser and not that of
// SQLite for SELECT, VALUES, INSERT, REPLACE, UPDATE, DELETE, WITH and EXPLAIN. In definitions
// (CREATE and the like) it follows the tokens only, and keeps their text except for replacements.
package rewrite

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Options select what is replaced.
type Options struct {
	Random bool // random() and randomblob(n)
	Time   bool // 'now' in the functions of date and time
}

// Statement is a statement after rewriting.
type Statement struct {
	SQL         string // text to run
	ReturnsRows bool   // it has a RETURNING clause
	Explain     bool   // it is an EXPLAIN
}

// Process rewrites a statement as rqlite rewrites a write. It returns the statement unchanged if
// the parser does not understand it, or does not need to parse it. If the statement is changed,
// text after its semicolon is dropped. It returns an error if rqlite's parser or printer panics on
// the statement. The server then refuses the whole request.
func Process(sql string, opts Options) (Statement, error) {
	out := Statement{SQL: sql}
	if !worthParsing(strings.ToLower(sql), opts) {
		return out, nil
	}
	p := newParser(sql, opts)
	f, err := p.statement()
	if errors.Is(err, errAssertion) {
		return out, fmt.Errorf("panic during SQL processing: %w", err)
	}
	if err != nil {
		return out, nil
	}
	out.Explain = p.explain
	if f.changed {
		if f.broken != "" {
			return out, fmt.Errorf("panic during SQL processing: %s", f.broken)
		}
		out.SQL = f.text
	}
	out.ReturnsRows = p.returning
	return out, nil
}

// Analysis is the answer of /db/sql for one statement.
type Analysis struct {
	Rewritten string // "" if there is a Problem
	Problem   string // why the parser does not understand it; "" if it does
}

// Analyze parses and prints any statement. Its errors are those of Process.
func Analyze(sql string, opts Options) (Analysis, error) {
	f, err := newParser(sql, opts).statement()
	if errors.Is(err, errAssertion) {
		return Analysis{}, fmt.Errorf("panic during SQL analysis: %w", err)
	}
	if err != nil {
		return Analysis{Problem: err.Error()}, nil
	}
	if f.broken != "" {
		return Analysis{}, fmt.Errorf("panic during SQL analysis: %s", f.broken)
	}
	return Analysis{Rewritten: f.text}, nil
}

// errAssertion is the panic of rqlite's parser on an unexpected constraint.
var errAssertion = errors.New("assert failed")

// worthParsing reports whether a statement in lower case has words that may matter. Like the server
// it searches for plain text, so a newline after RETURNING hides the clause.
func worthParsing(lowered string, opts Options) bool {
	words := []string{"returning ", "explain "}
	if opts.Time {
		words = append(words, "time(", "date(", "julianday(", "unixepoch(", "timediff(")
	}
	if opts.Random {
		words = append(words, "random(", "randomblob(")
	}
	for _, word := range words {
		if strings.Contains(lowered, word) {
			return true
		}
	}
	return false
}

// frag is a piece of a statement, as the server prints it.
type frag struct {
	text    string // with replacements
	plain   string // without replacements
	changed bool   // rqlite takes it for changed, even if the text is the same
	broken  string // if not "", printing fails with this message
	op      string // the outermost operator
}

// lit is a fragment without replacements.
func lit(text string) frag { return frag{text: text, plain: text} }

// cat joins fragments and strings.
func cat(parts ...any) frag {
	var text, plain strings.Builder
	var out frag
	for _, part := range parts {
		f, ok := part.(frag)
		if !ok {
			f = lit(part.(string))
		}
		text.WriteString(f.text)
		plain.WriteString(f.plain)
		out.changed = out.changed || f.changed
		if out.broken == "" {
			out.broken = f.broken
		}
	}
	out.text, out.plain = text.String(), plain.String()
	return out
}

// list joins fragments by commas.
func list(items []frag) frag {
	var parts []any
	for i, item := range items {
		if i > 0 {
			parts = append(parts, ", ")
		}
		parts = append(parts, item)
	}
	return cat(parts...)
}

// kept is the fragment without its replacements, for places where rqlite makes none.
func (f frag) kept() frag {
	return frag{text: f.plain, plain: f.plain, broken: f.broken, op: f.op}
}

// randomInt is the value for a random().
func randomInt() string { return fmt.Sprint(rand.Int64()) }

// randomBlob is the literal for a randomblob(n). It has at least one byte.
func randomBlob(n int) string {
	b := make([]byte, max(n, 1))
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return fmt.Sprintf("x'%X'", b)
}

// julianDay is the present time as a Julian day number, to the sixth digit, about a tenth of a
// second.
func julianDay() string {
	const unixEpoch = 2440587.5
	return fmt.Sprintf("%f", unixEpoch+float64(time.Now().UnixMicro())/(24*60*60*1e6))
}
