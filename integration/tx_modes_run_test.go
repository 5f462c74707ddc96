package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/require"
)

// modeRun is one run of a transaction, and all that the program sees in it.
type modeRun struct {
	modeTx

	// wanted is the run on SQLite, nil if this is it.
	wanted *modeRun
	rival  func(step int, text string)

	lines   []string // one for each step that has run
	behind  []string // one for each look behind the end
	results map[int]sql.Result
	stmts   map[string]*sql.Stmt
	lastID  int64
	played  bool   // to its end
	end     string // how it ended
	// Of the run on SQLite: the steps that have written a row with a rowid of its own, and whether
	// one was chosen by chance.
	own    map[int]bool
	chance bool
}

var (
	errModeStop     = errors.New("the program gives up")
	errModeRollback = errors.New("the program rolls back")
	errModeEndless  = errors.New("RunTx comes to no end")
)

// notKnown is what a program may be told of a result when the transaction was not committed.
const notKnown = "not known"

func newModeRun(tx modeTx, wanted *modeRun) *modeRun {
	r := &modeRun{
		modeTx: tx, wanted: wanted, results: map[int]sql.Result{}, stmts: map[string]*sql.Stmt{}, lastID: 1, own: map[int]bool{},
		rival: func(int, string) {},
	}
	return r
}

// play runs all steps. Its error ends the transaction with a rollback.
func (r *modeRun) play(ctx context.Context, tx *sql.Tx) error {
	for i, s := range r.steps {
		line, err := r.step(ctx, tx, i, s)
		if errors.Is(err, rqlite.ErrTxConflict) {
			return err
		}
		if err != nil {
			line = "error: " + modeKind(err)
		}
		r.lines = append(r.lines, line)
		if err != nil && !r.goesOn {
			return errModeStop
		}
	}
	r.played = true
	if r.rollback {
		return errModeRollback
	}
	return nil
}

// modeKind sorts errors by SQLite's codes, as far as rqlite's messages tell them.
func modeKind(err error) string {
	kind := kindOf(err)
	kind = strings.Replace(kind, "extended 2579", "extended 2067", 1)                               // rowid is not unique
	return strings.Replace(kind, "SQLite error 19, extended 1811", "SQLite error 1, extended 1", 1) // RAISE
}

// step runs a step and returns what the program sees.
func (r *modeRun) step(ctx context.Context, tx *sql.Tx, i int, s modeStep) (string, error) {
	switch s.kind {
	case stepRival:
		r.rival(i, s.text)
		return "", nil
	case stepLook:
		return r.look(s)
	case stepQuery, stepQueryRow:
		return r.query(ctx, tx, s)
	case stepExec:
	}
	var result sql.Result
	stmt, err := r.prepared(ctx, tx, s)
	switch {
	case err != nil:
		return "", err
	case stmt != nil:
		result, err = stmt.ExecContext(ctx, r.values(s)...)
	default:
		result, err = tx.ExecContext(ctx, s.text, r.values(s)...)
	}
	if err != nil {
		return "", err
	}
	r.results[s.number] = result
	return "done", r.note(s, result)
}

// note notes, on SQLite, whether a step has a rowid to tell.
func (r *modeRun) note(s modeStep, result sql.Result) error {
	if r.wanted != nil || !s.ids {
		return nil
	}
	count, errCount := result.RowsAffected()
	id, errID := result.LastInsertId()
	r.own[s.number] = count > 0
	r.noteID(id)
	return errors.Join(errCount, errID)
}

// noteID notes ids that SQLite has chosen by chance, or may choose for the next rows of the statement,
// because the largest one is taken.
func (r *modeRun) noteID(id int64) {
	r.chance = r.chance || id > 1<<32 && id < math.MaxInt64-100 || id == math.MaxInt64
}

// prepared returns the prepared statement of a step, nil if it is to run without.
func (r *modeRun) prepared(ctx context.Context, tx *sql.Tx, s modeStep) (*sql.Stmt, error) {
	if !s.prepared {
		return nil, nil
	}
	if stmt := r.stmts[s.text]; stmt != nil {
		return stmt, nil
	}
	stmt, err := tx.PrepareContext(ctx, s.text)
	if err == nil {
		r.stmts[s.text] = stmt
	}
	return stmt, err
}

// values returns the values of a step, with the ids that the program has seen.
func (r *modeRun) values(s modeStep) []any {
	list := slices.Clone(s.args)
	for i := range list {
		if list[i] == (seenID{}) {
			list[i] = r.lastID
		}
	}
	return list
}

// look looks at a result. Without a new row, SQLite tells of whatever was inserted before.
func (r *modeRun) look(s modeStep) (string, error) {
	result := r.results[s.number]
	if result == nil {
		return "no result", nil
	}
	if s.count {
		n, err := result.RowsAffected()
		if !r.counts(s.number) {
			n = 0
		}
		return fmt.Sprint("count ", n), err
	}
	id, err := result.LastInsertId()
	if err != nil {
		return "", err
	}
	own := r.own
	if r.wanted != nil {
		own = r.wanted.own
	}
	if !own[s.number] {
		return "an id", nil
	}
	r.lastID = id
	return fmt.Sprint("id ", id), nil
}

// counts reports whether a step has a number of rows of its own to tell.
func (r *modeRun) counts(number int) bool {
	i := slices.IndexFunc(r.steps, func(s modeStep) bool { return s.kind == stepExec && s.number == number })
	word, _, _ := strings.Cut(strings.ToUpper(r.steps[i].text), " ")
	return word == "INSERT" || word == "REPLACE" || word == "UPDATE" || word == "DELETE"
}

// query runs a step that gives rows.
func (r *modeRun) query(ctx context.Context, tx *sql.Tx, s modeStep) (string, error) {
	stmt, err := r.prepared(ctx, tx, s)
	if err != nil {
		return "", err
	}
	var rows *sql.Rows
	if stmt != nil {
		rows, err = stmt.QueryContext(ctx, r.values(s)...)
	} else {
		rows, err = tx.QueryContext(ctx, s.text, r.values(s)...)
	}
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	lines := []string{strings.Join(columns, ", ")}
	for rows.Next() {
		line, err := r.row(rows, len(columns), s)
		if err != nil {
			return "", err
		}
		if lines = append(lines, line); s.kind == stepQueryRow {
			break
		}
	}
	if err := rows.Err(); err != nil {
		return "", err
	}
	return strings.Join(lines, "\n"), rows.Close()
}

// row returns a row as text. If the statement returns an id, that is the one seen last.
func (r *modeRun) row(rows *sql.Rows, columns int, s modeStep) (string, error) {
	values, pointers := make([]any, columns), make([]any, columns)
	for i := range values {
		pointers[i] = &values[i]
	}
	if err := rows.Scan(pointers...); err != nil {
		return "", err
	}
	if id, ok := values[0].(int64); ok && s.ids {
		r.lastID = id
		r.noteID(id)
	}
	for i := range values {
		if b, ok := values[i].([]byte); ok {
			values[i] = string(b)
		}
	}
	return fmt.Sprint(values), nil
}

// ended notes how the transaction has ended, and looks at results behind its end.
func (r *modeRun) ended(err error) {
	switch {
	case err == nil:
		r.end = "committed"
	case errors.Is(err, errModeRollback), errors.Is(err, errModeStop):
		r.end = err.Error()
	case r.played:
		r.end = "Commit fails: " + modeKind(err)
	default:
		r.end = "fails: " + err.Error()
	}
	for _, s := range r.after {
		line, err := r.look(s)
		if err != nil && r.end == "committed" {
			line = "error: " + err.Error()
		} else if err != nil {
			line = notKnown
		}
		r.behind = append(r.behind, line)
	}
}

// onOracle runs a transaction on SQLite, and returns what is there before it, too. What other clients
// write in the middle of it comes first.
func (w *modeWorld) onOracle(tx modeTx, contents string) (r *modeRun, before []string) {
	ctx := w.tb.Context()
	for _, s := range tx.steps {
		if s.kind == stepRival {
			w.inOracle([]string{s.text})
		}
	}
	before = w.ofOracle(contents)
	r = newModeRun(tx, nil)
	inner, err := w.oracle.BeginTx(ctx, nil)
	require.NoError(w.tb, err)
	if err = r.play(ctx, inner); err == nil {
		err = inner.Commit()
	} else {
		require.NoError(w.tb, inner.Rollback())
	}
	if r.ended(err); w.spoil != nil {
		w.spoil(r)
	}
	return r, before
}
