// Package rewrite does to a statement what rqlite does before the statement
// enters its log: it replaces random() and the present time by literals, and
// finds out whether the statement returns rows.
//
// rqlite has a parser of its own for that, which understands less than SQLite,
// and which prints the statement anew when something was replaced, not always
// with the same meaning. Both show to a client: the rows of a RETURNING clause
// that the parser does not get to are lost, and so is the clause of an UPDATE
// that is printed. So this package follows that parser's grammar, and not
// SQLite's, for SELECT, VALUES, INSERT, REPLACE, UPDATE, DELETE, WITH and
// EXPLAIN. Definitions (CREATE and the like) are followed by their tokens only:
// their text stays, but for what is replaced in it.
package rewrite

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Options say what is replaced.
type Options struct {
	Random bool // random() and randomblob(n)
	Time   bool // 'now' in the functions of date and time
}

// Statement is what became of a statement.
type Statement struct {
	SQL         string // to be run
	ReturnsRows bool   // it has a RETURNING clause
	Explain     bool   // it is an EXPLAIN
}

// Process rewrites a statement as a write is. A statement that the parser does
// not understand, or need not look at, comes back as it is. What follows the
// statement's semicolon is dropped if the statement was changed. The error is
// that of a statement on which rqlite's parser or printer panics; the server
// refuses the whole request then.
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
	Problem   string // why the parser does not understand it
}

// Analyze parses and prints a statement, whatever is in it. The error is as for
// Process.
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

// errAssertion is the panic of rqlite's parser about a constraint it does not
// expect.
var errAssertion = errors.New("assert failed")

// worthParsing reports whether a lower-cased statement mentions what could
// matter, by the same plain search for words that the server makes: a newline
// after RETURNING hides it.
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

// frag is a piece of a statement as the server prints it.
type frag struct {
	text    string // with replacements
	plain   string // without
	changed bool   // rqlite takes it for changed, even if the text is the same
	broken  string // not "": printing it fails, with this message
	op      string // the outermost operator, for what depends on it
}

// lit is a fragment without anything to replace.
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

// kept is the fragment in a place where rqlite replaces nothing.
func (f frag) kept() frag {
	return frag{text: f.plain, plain: f.plain, broken: f.broken, op: f.op}
}

// randomInt is the value for a random().
func randomInt() string { return fmt.Sprint(rand.Int64()) }

// randomBlob is the literal for a randomblob(n), of at least one byte.
func randomBlob(n int) string {
	b := make([]byte, max(n, 1))
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return fmt.Sprintf("x'%X'", b)
}

// julianDay is the present time as a day number, to the sixth digit, which is
// about a tenth of a second.
func julianDay() string {
	const unixEpoch = 2440587.5
	return fmt.Sprintf("%f", unixEpoch+float64(time.Now().UnixMicro())/(24*60*60*1e6))
}
