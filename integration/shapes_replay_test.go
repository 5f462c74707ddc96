package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite"
)

// action is what a shapeStep does besides running a statement.
type action uint8

const (
	runStatement action = iota
	beginTx             // the library's own transactions
	commitTx
	rollbackTx
)

// likeness says how much of a value has to be equal.
type likeness uint8

const (
	exactly likeness = iota
	toTheDay
	inKind // the type alone
)

// shapeStep is one call of a scenario.
type shapeStep struct {
	step

	action action
	fails  bool // it has to, on the oracle
	like   likeness
	reason string // why rqlite refuses it, or gives something else
	anyID  bool   // it has no rowid of its own to tell: SQLite tells of an earlier one of the connection
}

// scenario is a list of calls for one database.
type scenario struct {
	library, name string
	setup, steps  []shapeStep
	like          likeness // of what is stored in the end
	unlike        string   // why what is stored in the end is not compared
	failsCommit   bool     // the oracle has to refuse the commit
	fts           bool     // SQLite has to have FTS5
}

// querier is a database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// replay runs scenarios on two databases at once, and notes all that differs.
type replay struct {
	oracle, subject *sql.DB
	// rqlite is set when the subject is that, and not a second oracle.
	rqlite bool
	known  func(difference) bool
	ran    func(step)                        // told of each statement that ran in a transaction
	met    func(reason string, differs bool) // what was expected to differ
	// ahead says that the subject sends statements ahead, so that transactions may be refused.
	ahead       bool
	conflicts   int // errors that say that the subject's transaction was refused
	again       int // transactions that ran once more because of that
	differences []string
}

func (r *replay) note(format string, args ...any) {
	r.differences = append(r.differences, fmt.Sprintf(format, args...))
}

// observeOn runs a step on a database or in a transaction.
func observeOn(ctx context.Context, q querier, s step) (o outcome) {
	var (
		rows   *sql.Rows
		result sql.Result
		stmt   *sql.Stmt
	)
	if s.mode == preparedExec || s.mode == preparedQuery {
		if stmt, o.err = q.PrepareContext(ctx, s.query); o.err != nil {
			return o
		}
		defer stmt.Close()
	}
	switch s.mode {
	case execMode:
		result, o.err = q.ExecContext(ctx, s.query, s.args...)
	case preparedExec:
		result, o.err = stmt.ExecContext(ctx, s.args...)
	case queryMode:
		rows, o.err = q.QueryContext(ctx, s.query, s.args...)
	case preparedQuery:
		rows, o.err = stmt.QueryContext(ctx, s.args...)
	}
	switch {
	case o.err != nil:
	case rows != nil:
		o.read(rows)
	default:
		var errID, errRows error
		if last := lastStatement(strings.TrimRight(s.query, "; \n")); writes.MatchString(last) {
			o.rowsAffected, errRows = result.RowsAffected()
			// Without a new row, SQLite tells of whatever was inserted before.
			if inserts.MatchString(last) && o.rowsAffected > 0 {
				o.lastInsertID, errID = result.LastInsertId()
			}
		}
		o.err = errors.Join(errID, errRows)
	}
	return o
}

// inserts matches the statements that have a LastInsertId of their own.
var inserts = regexp.MustCompile(`(?is)^[\s;]*(?:INSERT|REPLACE|WITH\b.*\b(?:INSERT|REPLACE)\s+(?:OR\s+\w+\s+)?INTO)\b`)

// statement runs a step on both and compares.
func (r *replay) statement(ctx context.Context, oracle, subject querier, s shapeStep) {
	if _, inTx := subject.(*sql.Tx); inTx && s.reason == "" {
		r.ran(s.step)
	}
	want := observeOn(ctx, oracle, s.step)
	if (want.err != nil) != s.fails {
		r.note("%v\n\thas to fail: %v, but the oracle says %s", s.step, s.fails, describe(want.err))
	}
	got := observeOn(ctx, subject, s.step)
	r.countConflict(got.err)
	s.like.liken(&want, got)
	if s.anyID && r.rqlite {
		want.lastInsertID = 0
	}
	differences := compare(s.step, want, got)
	if s.reason != "" && r.rqlite {
		r.met(s.reason, len(differences) > 0)
		return
	}
	for _, d := range differences {
		if !r.rqlite || !r.known(d) {
			r.note("%v", d)
		}
	}
}

// countConflict counts an error that says that a transaction was refused.
func (r *replay) countConflict(err error) {
	if errors.Is(err, rqlite.ErrTxConflict) {
		r.conflicts++
	}
}

// liken replaces the values of want that are close enough by those of got.
func (l likeness) liken(want *outcome, got outcome) {
	if l == exactly || len(want.rows) != len(got.rows) {
		return
	}
	for i, row := range want.rows {
		if len(row) != len(got.rows[i]) {
			return
		}
		for j, value := range row {
			if l.accepts(value, got.rows[i][j]) {
				row[j] = got.rows[i][j]
			}
		}
	}
}

// accepts reports whether two values are close enough.
func (l likeness) accepts(a, b any) bool {
	if fmt.Sprintf("%T", a) != fmt.Sprintf("%T", b) {
		return false
	}
	if l == inKind {
		return true
	}
	switch a := a.(type) {
	case int64: // seconds
		return math.Abs(float64(a-b.(int64))) <= 24*60*60
	case float64: // days
		return math.Abs(a-b.(float64)) <= 1
	case string:
		return dayOf(a) == dayOf(b.(string)) && len(a) == len(b.(string))
	case time.Time:
		return a.Sub(b.(time.Time)).Abs() <= 24*time.Hour
	}
	return false
}

// times matches a point in time, as SQLite writes it.
var times = regexp.MustCompile(`\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?)?|\b\d\d:\d\d:\d\d\b`)

// dayOf replaces, in a text, the times within a day from now, and those that
// have no date.
func dayOf(text string) string {
	return times.ReplaceAllStringFunc(text, func(found string) string {
		day, err := time.Parse(time.DateOnly, found[:min(len(found), len(time.DateOnly))])
		if err == nil && time.Since(day).Abs() > 50*time.Hour {
			return found
		}
		return "now"
	})
}

// asCaptured runs a scenario as the library did, with its own transactions.
func (r *replay) asCaptured(ctx context.Context, s scenario) {
	var oracle, subject querier = r.oracle, r.subject
	var oracleTx, subjectTx *sql.Tx
	defer func() {
		if oracleTx != nil {
			oracleTx.Rollback()
			subjectTx.Rollback()
		}
	}()
	for _, step := range slices.Concat(s.setup, s.steps) {
		switch step.action {
		case beginTx:
			if oracleTx, subjectTx = r.begin(ctx); oracleTx == nil {
				return
			}
			oracle, subject = oracleTx, subjectTx
		case commitTx, rollbackTx:
			r.end(oracleTx, subjectTx, step.action, step.fails)
			oracle, subject, oracleTx, subjectTx = r.oracle, r.subject, nil, nil
		case runStatement:
			r.statement(ctx, oracle, subject, step)
		}
	}
	r.compareContents(ctx, s)
}

// inOne runs the steps of a scenario in one transaction, in which the library's
// own become savepoints. The setup has run before.
func (r *replay) inOne(ctx context.Context, s scenario, end action, how func(step) step) {
	oracleTx, subjectTx := r.begin(ctx)
	if oracleTx == nil {
		return
	}
	defer func() {
		oracleTx.Rollback()
		subjectTx.Rollback()
	}()
	mark := func(query string) { r.statement(ctx, oracleTx, subjectTx, do(query)) }
	for _, step := range s.steps {
		switch step.action {
		case beginTx:
			mark(`SAVEPOINT "its own"`)
		case rollbackTx:
			mark(`ROLLBACK TO "its own"`)
			mark(`RELEASE "its own"`)
		case commitTx:
			mark(`RELEASE "its own"`)
		case runStatement:
			step.step = how(step.step)
			r.statement(ctx, oracleTx, subjectTx, step)
		}
	}
	r.end(oracleTx, subjectTx, end, s.failsCommit && end == commitTx)
}

// begin begins a transaction on both, or returns nil.
func (r *replay) begin(ctx context.Context) (oracle, subject *sql.Tx) {
	oracle, errOracle := r.oracle.BeginTx(ctx, nil)
	subject, errSubject := r.subject.BeginTx(ctx, nil)
	if err := errors.Join(errOracle, errSubject); err != nil {
		r.note("BeginTx: %v", err)
		if oracle != nil {
			oracle.Rollback()
		}
		if subject != nil {
			subject.Rollback()
		}
		return nil, nil
	}
	return oracle, subject
}

// end ends the transaction on both.
func (r *replay) end(oracle, subject *sql.Tx, how action, fails bool) {
	method, name := (*sql.Tx).Commit, "Commit"
	if how == rollbackTx {
		method, name = (*sql.Tx).Rollback, "Rollback"
	}
	want, got := method(oracle), method(subject)
	r.countConflict(got)
	if (want != nil) != fails {
		r.note("%s has to fail: %v, but the oracle says %s", name, fails, describe(want))
	}
	for _, d := range compare(step{query: name}, outcome{err: want}, outcome{err: got}) {
		if !r.rqlite || !r.known(d) {
			r.note("%v", d)
		}
	}
}

// compareContents compares all that is stored.
func (r *replay) compareContents(ctx context.Context, s scenario) {
	want, errWant := shapeContents(ctx, r.oracle, s.like)
	got, errGot := shapeContents(ctx, r.subject, s.like)
	switch {
	case errWant != nil || errGot != nil:
		r.note("the contents cannot be read: %v, %v", errWant, errGot)
	case s.unlike == "" || !r.rqlite:
		r.compareLines("the contents differ", want, got)
	}
}

// compareLines notes which lines are in one list and not in the other.
func (r *replay) compareLines(what string, want, got []string) {
	if slices.Equal(want, got) {
		return
	}
	missing := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return slices.Contains(got, line) })
	extra := slices.DeleteFunc(slices.Clone(got), func(line string) bool { return slices.Contains(want, line) })
	r.note("%s:\n\tmissing %s\n\textra   %s", what, strings.Join(missing, "\n\t        "), strings.Join(extra, "\n\t        "))
}

// emptyText matches a text without a statement. (The oracle cannot stand the
// execution of a prepared one.)
var emptyText = regexp.MustCompile(`^[\s;]*(?:--.*)?\s*$`)

// prepared makes a step one of a prepared statement, unless it is a script.
func prepared(s step) step {
	if strings.Contains(strings.TrimRight(s.query, "; "), ";") || emptyText.MatchString(s.query) {
		return s
	}
	switch s.mode {
	case execMode:
		s.mode = preparedExec
	case queryMode:
		s.mode = preparedQuery
	}
	return s
}

// plain leaves a step as it is.
func plain(s step) step { return s }
