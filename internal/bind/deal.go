package bind

import (
	"database/sql/driver"
	"fmt"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// Deal gives each statement of a script its own values.
//
// Positional values go to the statements in order, to each as many as it has parameters that are
// not given by name. Named values, as sql.Named makes them, go to every parameter of that name,
// whatever its prefix. A named value without a parameter is ignored, so that one list can serve
// many statements. A positional value too few or too many is an error, although SQLite would bind
// NULL or ignore it: it is a mistake.
func Deal(script []sqltext.Statement, args []driver.NamedValue) ([]Stmt, error) {
	stmts := make([]Stmt, len(script))
	hand := hand{args: args}
	for i := range script {
		stmts[i].Statement = &script[i]
		if script[i].NumParams == 0 {
			continue
		}
		values, err := hand.take(&script[i])
		if err != nil {
			return nil, sqlerr.At(err, i, len(script))
		}
		stmts[i].Values = values
	}
	return stmts, hand.finish()
}

// hand holds the values of a call that have not been dealt yet.
type hand struct {
	args []driver.NamedValue
	next int // position in args; the positional values before it are dealt
}

func (h *hand) take(s *sqltext.Statement) ([]any, error) {
	values := make([]any, s.NumParams)
	given := h.named(s, values)
	for i := range values {
		if given != nil && given[i] {
			continue
		}
		value, ok := h.positional()
		if !ok {
			return nil, h.missing(s, i)
		}
		values[i] = value
	}
	return values, nil
}

// named fills in the values that are given by name, and reports which they are.
func (h *hand) named(s *sqltext.Statement, values []any) (given []bool) {
	for _, p := range s.Params {
		if p.Name == "" {
			continue
		}
		for _, arg := range h.args {
			if arg.Name != p.Name {
				continue
			}
			if given == nil {
				given = make([]bool, len(values))
			}
			values[p.Index-1], given[p.Index-1] = arg.Value, true
		}
	}
	return given
}

func (h *hand) positional() (driver.Value, bool) {
	for ; h.next < len(h.args); h.next++ {
		if arg := h.args[h.next]; arg.Name == "" {
			h.next++
			return arg.Value, true
		}
	}
	return nil, false
}

func (h *hand) missing(s *sqltext.Statement, index int) error {
	for _, p := range s.Params {
		if p.Index == index+1 && p.Name != "" {
			return fmt.Errorf("no value is given for the parameter named %q", p.Name)
		}
	}
	given := h.given()
	return fmt.Errorf("too few values: the statement has %s, and %d %s given, so that none is left for number %d",
		counted(s.NumParams, "parameter"), given, map[bool]string{true: "is", false: "are"}[given == 1], index+1)
}

// given counts the positional values.
func (h *hand) given() (n int) {
	for _, arg := range h.args {
		if arg.Name == "" {
			n++
		}
	}
	return n
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// finish demands that every positional value has been dealt.
func (h *hand) finish() error {
	if _, ok := h.positional(); ok {
		return fmt.Errorf("too many values: %d are given, and there are not as many parameters", h.given())
	}
	return nil
}
