package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"
)

// TestDifferential runs the same statements by mattn/go-sqlite3 on a file and
// by this driver on every backend, and demands that a program sees the same:
// values, types, errors, results. What is known to differ is listed in
// knownDifferences, and has to be seen.
func TestDifferential(t *testing.T) {
	groups := []struct {
		name string
		test func(*testing.T, *pair)
	}{
		{"bound", diffBound},
		{"literals", diffLiterals},
		{"odd", diffOdd},
		{"strict", diffStrict},
		{"large", diffLarge},
		{"returning", diffReturning},
		{"scripts", diffScripts},
		{"results", diffResults},
		{"errors", diffErrors},
		{"parameters", diffParameters},
		{"queries", diffQueries},
		{"floats", diffFloats},
		{"random", diffRandom},
	}
	var complete sync.Map // backends on which all groups ran
	t.Run("on", func(t *testing.T) {
		forEach(t, func(t *testing.T, b *backend) {
			ran := 0
			for _, g := range groups {
				t.Run(g.name, func(t *testing.T) {
					g.test(t, newPair(t, b))
					ran++
				})
			}
			if ran == len(groups) {
				complete.Store(b, true)
			}
		})
	})
	live := slices.DeleteFunc(slices.Clone(backends), func(b *backend) bool {
		_, ok := complete.Load(b)
		return !ok || !b.live
	})
	for _, k := range knownDifferences {
		seen := slices.ContainsFunc(live, func(b *backend) bool { _, ok := k.seen.Load(b); return ok })
		if !seen && slices.ContainsFunc(live, k.on) {
			t.Errorf("this difference is gone, take it out of knownDifferences: %s", k.reason)
		}
	}
}

// pair is the same database twice.
type pair struct {
	backend  *backend
	oracle   *sql.DB // mattn/go-sqlite3
	subject  *sql.DB // this driver
	reported int
}

// maxReported bounds how many differences one test prints.
const maxReported = 25

func newPair(t *testing.T, b *backend) *pair {
	t.Helper()
	oracle, err := sql.Open("sqlite3", "file:"+filepath.Join(t.TempDir(), "oracle.db")+"?_journal_mode=OFF&_synchronous=OFF")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, oracle.Close()) })
	oracle.SetMaxOpenConns(1)
	return &pair{backend: b, oracle: oracle, subject: b.open(t)}
}

// mode is the way a statement is run.
type mode uint8

const (
	execMode mode = iota
	queryMode
	preparedExec
	preparedQuery
)

var modeNames = [...]string{"Exec", "Query", "Prepare and Exec", "Prepare and Query"}

func (m mode) String() string { return modeNames[m] }

// step is one call of database/sql.
type step struct {
	mode  mode
	query string
	args  []any
}

func (s step) String() string {
	var args strings.Builder
	for _, arg := range s.args {
		if named, ok := arg.(sql.NamedArg); ok {
			fmt.Fprintf(&args, ", %s=%s", named.Name, describe(named.Value))
			continue
		}
		fmt.Fprintf(&args, ", %s", describe(arg))
	}
	return fmt.Sprintf("%v %.300s%.200s", s.mode, s.query, args.String())
}

// outcome is what a program sees of a step.
type outcome struct {
	err          error
	lastInsertID int64
	rowsAffected int64
	columns      []string
	types        []string // declared types in upper case, without length
	rows         [][]any
}

// observe runs a step and notes all there is to see.
func observe(ctx context.Context, db *sql.DB, s step) (o outcome) {
	var (
		rows   *sql.Rows
		result sql.Result
		stmt   *sql.Stmt
	)
	if s.mode == preparedExec || s.mode == preparedQuery {
		if stmt, o.err = db.PrepareContext(ctx, s.query); o.err != nil {
			return o
		}
		defer stmt.Close()
	}
	switch s.mode {
	case execMode:
		result, o.err = db.ExecContext(ctx, s.query, s.args...)
	case preparedExec:
		result, o.err = stmt.ExecContext(ctx, s.args...)
	case queryMode:
		rows, o.err = db.QueryContext(ctx, s.query, s.args...)
	case preparedQuery:
		rows, o.err = stmt.QueryContext(ctx, s.args...)
	}
	switch {
	case o.err != nil:
	case rows != nil:
		o.read(rows)
	default:
		var errID, errRows error
		o.lastInsertID, errID = result.LastInsertId()
		o.rowsAffected, errRows = result.RowsAffected()
		o.err = errors.Join(errID, errRows)
	}
	return o
}

// read notes the columns and all rows of a result set.
func (o *outcome) read(rows *sql.Rows) {
	defer rows.Close()
	if o.columns, o.err = rows.Columns(); o.err != nil {
		return
	}
	var types []*sql.ColumnType
	if types, o.err = rows.ColumnTypes(); o.err != nil {
		return
	}
	for _, typ := range types {
		name, _, _ := strings.Cut(typ.DatabaseTypeName(), "(")
		o.types = append(o.types, strings.ToUpper(strings.TrimSpace(name)))
	}
	for rows.Next() {
		row := make([]any, len(o.columns))
		dest := make([]any, len(row))
		for i := range row {
			dest[i] = &row[i]
		}
		if o.err = rows.Scan(dest...); o.err != nil {
			return
		}
		o.rows = append(o.rows, row)
	}
	o.err = errors.Join(rows.Err(), rows.Close())
}

// difference is one thing in which the two outcomes of a step differ.
type difference struct {
	step      step
	what      string // "error", "columns", "type", "rows", "value", "LastInsertId", "RowsAffected"
	column    int
	row       int
	declared  string // the column's declared type as mattn reports it, in upper case and without length
	want, got any    // values, or what else differs; errors for "error"
}

func (d difference) String() string {
	where := ""
	if d.what == "value" || d.what == "type" {
		where = fmt.Sprintf(" of column %d (declared %q), row %d", d.column, d.declared, d.row)
	}
	return fmt.Sprintf("%v\n\t%s%s\n\twant %s\n\tgot  %s", d.step, d.what, where, describe(d.want), describe(d.got))
}

// describe prints a value with its type.
func describe(v any) string {
	switch v := v.(type) {
	case error:
		return fmt.Sprintf("%s: %.300s", errorKind(v), v.Error())
	case float64:
		return fmt.Sprintf("float64(%v)", v)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("%T(%.100q)", v, fmt.Sprint(v))
}

// compare lists what differs between the outcomes of a step.
func compare(s step, want, got outcome) (list []difference) {
	if errorKind(want.err) != errorKind(got.err) {
		return []difference{{step: s, what: "error", want: want.err, got: got.err}}
	}
	if want.err != nil {
		return nil // what was seen before does not matter
	}
	add := func(what string, want, got any) {
		list = append(list, difference{step: s, what: what, want: want, got: got})
	}
	if want.lastInsertID != got.lastInsertID {
		add("LastInsertId", want.lastInsertID, got.lastInsertID)
	}
	if want.rowsAffected != got.rowsAffected {
		add("RowsAffected", want.rowsAffected, got.rowsAffected)
	}
	if !slices.Equal(want.columns, got.columns) {
		add("columns", want.columns, got.columns)
		return list
	}
	for i := range want.types {
		if want.types[i] != got.types[i] {
			list = append(list, difference{
				step: s, what: "type", column: i, declared: want.types[i],
				want: want.types[i], got: got.types[i],
			})
		}
	}
	if len(want.rows) != len(got.rows) {
		add("rows", len(want.rows), len(got.rows))
		return list
	}
	for r := range want.rows {
		for c := range want.rows[r] {
			if !same(want.rows[r][c], got.rows[r][c]) {
				list = append(list, difference{
					step: s, what: "value", column: c, row: r, declared: want.types[c],
					want: want.rows[r][c], got: got.rows[r][c],
				})
			}
		}
	}
	return list
}

// same reports whether two values are of one Go type and equal: floats to the
// bit, times as instants in zones of the same offset.
func same(a, b driver.Value) bool {
	switch a := a.(type) {
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b) && (a == nil) == (b == nil)
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	case time.Time:
		b, ok := b.(time.Time)
		if !ok {
			return false
		}
		_, offsetA := a.Zone()
		_, offsetB := b.Zone()
		return a.Equal(b) && offsetA == offsetB
	}
	return a == b
}

// errorKind sorts errors: those of SQLite by their codes, and all others, which
// are about how the driver was used.
func errorKind(err error) string {
	if err == nil {
		return "success"
	}
	var oracle sqlite3.Error
	if errors.As(err, &oracle) {
		return fmt.Sprintf("SQLite error %d, extended %d", oracle.Code, oracle.ExtendedCode)
	}
	var subject *rqlite.Error
	if errors.As(err, &subject) {
		return fmt.Sprintf("SQLite error %d, extended %d", subject.Code, subject.ExtendedCode)
	}
	return "other error"
}

// run runs a step on both databases and compares. It returns the oracle's outcome.
func (p *pair) run(t *testing.T, m mode, query string, args ...any) outcome {
	t.Helper()
	s := step{mode: m, query: query, args: args}
	want := observe(t.Context(), p.oracle, s)
	got := observe(t.Context(), p.subject, s)
	for _, d := range compare(s, want, got) {
		if !p.known(d) {
			p.report(t, d)
		}
	}
	return want
}

func (p *pair) report(t *testing.T, d difference) {
	t.Helper()
	p.reported++
	switch {
	case p.reported <= maxReported:
		t.Errorf("%v", d)
	case p.reported == maxReported+1:
		t.Error("further differences are not shown")
	}
}

// exec and query run a statement as most programs do.
func (p *pair) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	p.run(t, execMode, query, args...)
}

func (p *pair) query(t *testing.T, query string, args ...any) {
	t.Helper()
	p.run(t, queryMode, query, args...)
}

// setUp runs a statement that is not what the test is about: it has to succeed
// on both, and its result is not looked at.
func (p *pair) setUp(t *testing.T, query string, args ...any) {
	t.Helper()
	mustExec(t, p.oracle, query, args...)
	mustExec(t, p.subject, query, args...)
}
