package integration_test

import (
	"database/sql"
	"encoding/hex"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-rqlite/rqlite"
	"github.com/mattn/go-sqlite3"
)

// knownDifference is something that rqlite's protocol makes impossible, or that
// this driver does otherwise on purpose. The documentation of the driver tells
// of each.
type knownDifference struct {
	reason  string
	before  string // the release that ended it, "" if it is still there
	applies func(difference) bool
	seen    sync.Map // of *backend
}

// known reports whether a difference is expected, and notes that it was seen.
func (p *pair) known(d difference) bool {
	for _, k := range knownDifferences {
		if k.on(p.backend) && k.applies(d) {
			k.seen.Store(p.backend, true)
			return true
		}
	}
	return false
}

// on reports whether the difference is to be expected on a backend.
func (k *knownDifference) on(b *backend) bool { return k.before == "" || b.before(k.before) }

var knownDifferences = []*knownDifference{
	{
		reason: "a BLOB in an expression, or in a column declared as text, comes as a text, with U+FFFD for what is no UTF-8",
		applies: func(d difference) bool {
			want, ok := d.want.([]byte)
			return d.what == "value" && ok && d.got == lossy(string(want)) && d.declared != "BLOB"
		},
	},
	{
		reason: "a REAL with an integral value looks like an integer, but in a column of REAL affinity",
		applies: func(d difference) bool {
			want, isFloat := d.want.(float64)
			got, isInt := d.got.(int64)
			return d.what == "value" && isFloat && isInt && float64(got) == want && !math.Signbit(want) == (got >= 0) && !isReal(d.declared)
		},
	},
	{
		reason: "text that is no UTF-8 comes with U+FFFD in place of each wrong byte",
		applies: func(d difference) bool {
			want, ok := d.want.(string)
			return d.what == "value" && ok && d.got == lossy(want)
		},
	},
	{
		reason: "where the first value of an expression, or of a column without a type, is a REAL, an integer comes as REAL, unless its digits are not those of a REAL",
		applies: func(d difference) bool {
			want, isInt := d.want.(int64)
			got, isFloat := d.got.(float64)
			return d.what == "value" && isInt && isFloat && d.declared == "" && strconv.FormatInt(want, 10) == strconv.FormatFloat(got, 'f', -1, 64)
		},
	},
	{
		reason:  "the type name of an expression is that of its first value",
		applies: func(d difference) bool { return d.what == "type" && d.want == "" },
	},
	{
		reason:  "an infinite number cannot be read: JSON has none",
		applies: func(d difference) bool { return d.fails("unsupported value: ") && !d.step.binds(isInfinite) },
	},
	{
		reason:  "an infinite number cannot be bound: JSON has none",
		applies: func(d difference) bool { return d.fails("infinite number") && d.step.binds(isInfinite) },
	},
	{
		reason: "text that is no UTF-8 cannot be bound: JSON has none",
		applies: func(d difference) bool {
			return d.fails("not valid UTF-8") && d.step.binds(func(v any) bool {
				text, ok := v.(string)
				return ok && !utf8.ValidString(text)
			})
		},
	},
	{
		reason:  "a time before the year 0 or after 9999 cannot be read: RFC 3339 has none",
		applies: func(d difference) bool { return d.fails("year outside of range [0,9999]") },
	},
	{
		reason: "the name of a column that shows a text of the form x'00', bound as a parameter, has the text in place of the parameter",
		applies: func(d difference) bool {
			return d.what == "columns" && d.step.binds(func(v any) bool {
				text, ok := v.(string)
				return ok && strings.Contains(text, "'")
			})
		},
	},
	{
		reason:  "the violation of a PRIMARY KEY is that of a UNIQUE constraint: SQLite words them alike",
		applies: func(d difference) bool { return d.codes(sqlite3.ErrConstraintPrimaryKey, rqlite.ConstraintUnique) },
	},
	{
		reason:  "the text of a RAISE() may be any, so that no code can be read from it",
		applies: func(d difference) bool { return d.codes(sqlite3.ErrConstraintTrigger, rqlite.GenericError) },
	},
	{
		reason: "values for which there is no parameter, and parameters for which there is no value, are refused",
		applies: func(d difference) bool {
			return d.fails("too many values") || d.fails("no value is given for the parameter") || d.fails("a value is given for")
		},
	},
	{
		reason: "one named value is enough for parameters of that name with other prefixes, and in other statements",
		applies: func(d difference) bool {
			want, ok := d.want.(error)
			return d.what == "error" && d.got == nil && ok && d.step.binds(func(v any) bool { _, ok := v.(sql.NamedArg); return ok }) &&
				(strings.HasPrefix(want.Error(), "not enough args") || strings.HasPrefix(want.Error(), "sql: expected"))
		},
	},
	{
		reason: "the result of what writes nothing is zero, not that of the write before",
		applies: func(d difference) bool {
			return d.isResult() && d.got == int64(0) && !writes.MatchString(lastStatement(d.step.query))
		},
	},
	{
		reason: "a comment behind the last statement does not hide its result",
		applies: func(d difference) bool {
			return d.isResult() && d.want == int64(0) && strings.HasSuffix(d.step.query, "*/")
		},
	},
	{
		reason: "Exec with RETURNING counts all rows, not those up to the first that is returned",
		applies: func(d difference) bool {
			return d.what == "RowsAffected" && strings.Contains(d.step.query, "RETURNING") && d.step.mode == execMode
		},
	},
	{
		reason: "Query gives one result set for each of several statements, not only that of the last",
		applies: func(d difference) bool {
			return strings.Contains(d.step.query, "; SELECT") && d.step.mode == queryMode && (d.what == "rows" || d.what == "columns")
		},
	},
	{
		reason: "a script that inserts nothing leaves a token, and does not tell the rowid of an earlier one",
		applies: func(d difference) bool {
			return d.what == "LastInsertId" && d.got == any(int64(0)) && strings.Contains(d.step.query, ";") && !strings.Contains(d.step.query, "INSERT")
		},
	},
	{
		reason:  "SQLite before 3.53 writes 15 digits of a REAL as text, and one from 1e15 on with an exponent",
		before:  "10.0.1",
		applies: func(d difference) bool { return d.what == "value" && d.isOldText() },
	},
}

// writes matches the statements that have a result.
var writes = regexp.MustCompile(`(?i)^\s*(INSERT|UPDATE|DELETE|REPLACE|WITH)\b`)

// lastStatement returns the last statement of a script in which no semicolon
// stands elsewhere.
func lastStatement(script string) string {
	return script[strings.LastIndexByte(script, ';')+1:]
}

// fails reports whether only the driver fails, with an error that contains a text.
func (d difference) fails(text string) bool {
	got, ok := d.got.(error)
	return d.what == "error" && d.want == nil && ok && strings.Contains(got.Error(), text)
}

// isOldText reports whether the driver saw what SQLite before 3.53 makes of a REAL
// as text, where the oracle saw what a later one does. Of the length of the text, and
// of numbers made of it, it can only be told that they may be.
func (d difference) isOldText() bool {
	switch want := d.want.(type) {
	case int64:
		got, ok := d.got.(int64)
		return ok && (strings.Contains(d.step.query, "length(") && max(want, got)-min(want, got) <= 12 ||
			strings.Contains(d.step.query, "AS INTEGER)") && strings.HasPrefix(strconv.FormatInt(want, 10), strconv.FormatInt(got, 10)))
	case float64:
		if got, ok := d.got.(int64); ok { // the number is integral
			return d.declared == "" && digits15(want) == digits15(float64(got))
		}
		got, ok := d.got.(float64)
		return ok && d.declared == "" && digits15(want) == digits15(got)
	case []byte:
		got, ok := d.got.(string)
		return ok && d.declared == "" && oldText(string(want)) == oldText(got)
	case string:
		got, ok := d.got.(string)
		return ok && oldText(want) == oldText(got)
	}
	return false
}

// realText matches a REAL as text.
var realText = regexp.MustCompile(`\d+\.\d+(e[+-]\d+)?`)

// oldText reduces each REAL in a text, which may be in the form of hex(), to 15 digits.
func oldText(text string) string {
	if plain, err := hex.DecodeString(text); err == nil {
		text = string(plain)
	}
	return realText.ReplaceAllStringFunc(text, func(real string) string {
		number, err := strconv.ParseFloat(real, 64)
		if err != nil {
			return real // too large, and so the same for both
		}
		return digits15(number)
	})
}

func digits15(number float64) string { return strconv.FormatFloat(number, 'e', 14, 64) }

// codes reports whether both fail, with these codes.
func (d difference) codes(oracle sqlite3.ErrNoExtended, subject rqlite.Code) bool {
	if d.what != "error" || d.want == nil || d.got == nil {
		return false
	}
	var want sqlite3.Error
	var got *rqlite.Error
	return errors.As(d.want.(error), &want) && want.ExtendedCode == oracle &&
		errors.As(d.got.(error), &got) && got.ExtendedCode == subject
}

// isResult reports whether the difference is one of results of Exec.
func (d difference) isResult() bool { return d.what == "LastInsertId" || d.what == "RowsAffected" }

// binds reports whether the step binds a value of a kind.
func (s step) binds(kind func(any) bool) bool { return slices.ContainsFunc(s.args, kind) }

func isInfinite(v any) bool {
	f, ok := v.(float64)
	return ok && math.IsInf(f, 0)
}

// lossy replaces each byte that is no UTF-8, as rqlite's JSON encoder does.
func lossy(s string) string { return string([]rune(s)) }

// isReal reports whether a declared type has REAL affinity.
func isReal(declared string) bool {
	if strings.Contains(declared, "INT") {
		return false
	}
	for _, part := range []string{"REAL", "FLOA", "DOUB"} {
		if strings.Contains(declared, part) {
			return true
		}
	}
	return false
}
