package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// secret is a value that no error may hold.
const secret = "correct horse battery staple"

// lateFailure is a statement that succeeds and then fails, for each of a loop of values.
type lateFailure struct {
	name   string
	schema string // @ is the table
	insert string
	values func(i int) []any
	code   rqlite.Code
}

// badTurn is the execution that fails, counted from 1.
const badTurn = 8

// turn returns one value, and another one at the bad turn.
func turn(good func(i int) any, bad any) func(int) []any {
	return func(i int) []any {
		if i == badTurn {
			return []any{bad, secret}
		}
		return []any{good(i), secret}
	}
}

func number(i int) any { return i }

var lateFailures = []lateFailure{
	{"unique", "CREATE TABLE @ (k UNIQUE, s)", "INSERT INTO @ (k, s) VALUES (?, ?)", turn(number, 1), rqlite.ConstraintUnique},
	{"primary key", "CREATE TABLE @ (k INTEGER PRIMARY KEY, s)", "INSERT INTO @ (k, s) VALUES (?, ?)", turn(number, 3), rqlite.ConstraintUnique},
	{"unique secret", "CREATE TABLE @ (k, s, UNIQUE (k, s))", "INSERT INTO @ (k, s) VALUES (?, ?)", turn(number, 7), rqlite.ConstraintUnique},
	{"not null", "CREATE TABLE @ (k NOT NULL, s)", "INSERT INTO @ (k, s) VALUES (?, ?)", turn(number, nil), rqlite.ConstraintNotNull},
	{"check", "CREATE TABLE @ (k CHECK (k < 100), s)", "INSERT INTO @ (k, s) VALUES (?, ?)", turn(number, 100), rqlite.ConstraintCheck},
	{"strict", "CREATE TABLE @ (k INTEGER, s TEXT) STRICT", "INSERT INTO @ (k, s) VALUES (?, ?)", turn(number, secret), rqlite.ConstraintDatatype},
	{"mismatch", "CREATE TABLE @ (k INTEGER PRIMARY KEY, s)", "INSERT INTO @ (k, s) VALUES (?, ?)", turn(number, secret), rqlite.Mismatch},
	{"foreign key", "CREATE TABLE @ (k INTEGER PRIMARY KEY, s, p REFERENCES @ (k))", "INSERT INTO @ (p, s) VALUES (?, ?)", turn(func(int) any { return nil }, 100), rqlite.ConstraintForeignKey},
	{"self reference", "CREATE TABLE @ (k INTEGER PRIMARY KEY, s, p REFERENCES @ (k))", "INSERT INTO @ (p, s) VALUES (?, ?)", turn(func(int) any { return nil }, badTurn+1), rqlite.ConstraintForeignKey},
	{"raise", "CREATE TABLE @ (k, s); CREATE TRIGGER @_t BEFORE INSERT ON @ WHEN NEW.k = 100 BEGIN SELECT RAISE(ABORT, 'no luck'); END", "INSERT INTO @ (k, s) VALUES (?, ?)", turn(number, 100), rqlite.GenericError},
	{"json", "CREATE TABLE @ (k, s)", "INSERT INTO @ (k, s) VALUES (json(?), ?)", turn(number, "{"+secret), rqlite.GenericError},
}

// lateCalls are those that may be told of a failure of a statement before them.
var lateCalls = []struct {
	name string
	call func(ctx context.Context, tx *sql.Tx, results []sql.Result, table string) error
}{
	{"Exec of another text", func(ctx context.Context, tx *sql.Tx, _ []sql.Result, table string) error {
		result, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE k = 1000")
		if err == nil { // it may have been sent ahead itself
			_, err = result.RowsAffected()
		}
		return err
	}},
	{"Query", func(ctx context.Context, tx *sql.Tx, _ []sql.Result, table string) error {
		_, err := one(ctx, tx, "SELECT count(*) FROM "+table)
		return err
	}},
	{"Query of a text with RETURNING", func(ctx context.Context, tx *sql.Tx, _ []sql.Result, table string) error {
		_, err := one(ctx, tx, "INSERT INTO "+table+" (k) VALUES (1000) RETURNING 5")
		return err
	}},
	{"RowsAffected", func(_ context.Context, _ *sql.Tx, results []sql.Result, _ string) error {
		_, err := results[len(results)-1].RowsAffected()
		return err
	}},
	{"LastInsertId", func(_ context.Context, _ *sql.Tx, results []sql.Result, _ string) error {
		_, err := results[len(results)-1].LastInsertId()
		return err
	}},
	{"ROLLBACK TO", func(ctx context.Context, tx *sql.Tx, _ []sql.Result, _ string) error {
		_, err := tx.ExecContext(ctx, "ROLLBACK TO mark")
		return err
	}},
	{"RELEASE and Commit", func(ctx context.Context, tx *sql.Tx, _ []sql.Result, _ string) error {
		if _, err := tx.ExecContext(ctx, "RELEASE mark"); err != nil {
			return err
		}
		return tx.Commit()
	}},
	{"Commit", func(_ context.Context, tx *sql.Tx, _ []sql.Result, _ string) error { return tx.Commit() }},
}

// TestTxModesLateFailure has a statement fail after Exec has said that all is well, and demands that
// whatever comes to know says so, that the transaction is over, that nothing is applied, and that the
// next one is told at once.
func TestTxModesLateFailure(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		c := b.launch(t, serverOptions{foreignKeys: true})
		inModes(t, aheadModes, func(t *testing.T, mode rqlite.TxMode) {
			for _, f := range lateFailures {
				for _, l := range lateCalls {
					t.Run(f.name+"/"+l.name, func(t *testing.T) {
						db, table := openDSN(t, withSettings(c.dsn, setting(mode))), newTable()
						mustExec(t, db, strings.ReplaceAll(f.schema, "@", table))
						insert := strings.ReplaceAll(f.insert, "@", table)
						err := once(t.Context(), db, nil, func(tx *sql.Tx) error {
							results := f.play(t, tx, insert)
							err := l.call(t.Context(), tx, results, table)
							if err != nil && !strings.Contains(l.name, "Commit") {
								over(t, tx, table)
							} // without an error, the result was foreseen, and Commit knows better
							return err
						})
						f.isLate(t, err)
						if l.name == "Commit" {
							assert.Contains(t, err.Error(), fmt.Sprintf("execution %d ", badTurn))
						}
						var rows int
						scan(t, db, "SELECT count(*) FROM "+table, nil, &rows)
						assert.Zero(t, rows, "nothing is applied")
						f.isExact(t, db, insert)
					})
				}
			}
		})
	})
}

// play runs the loop, all of whose statements say that they succeed.
func (f lateFailure) play(t *testing.T, tx *sql.Tx, insert string) (results []sql.Result) {
	t.Helper()
	_, err := tx.ExecContext(t.Context(), "SAVEPOINT mark")
	require.NoError(t, err)
	stmt, err := tx.PrepareContext(t.Context(), insert)
	require.NoError(t, err)
	for i := 1; i <= badTurn+2; i++ {
		result, err := stmt.ExecContext(t.Context(), f.values(i)...)
		require.NoError(t, err, "execution %d was not sent ahead", i)
		results = append(results, result)
	}
	return results
}

// isLate looks at the error of a failure that came too late.
func (f lateFailure) isLate(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, rqlite.ErrTxConflict)
	assert.ErrorIs(t, err, f.code)
	assert.NotErrorIs(t, err, rqlite.ErrIndeterminate)
	var failure *rqlite.Error
	if assert.ErrorAs(t, err, &failure) {
		assert.Equal(t, f.code.Primary(), failure.Code)
		assert.NotContains(t, failure.Message, secret)
	}
	assert.Contains(t, err.Error(), "nothing was applied")
	assert.NotContains(t, err.Error(), secret)
	assert.NotContains(t, fmt.Sprintf("%+v %#v", err, err), secret)
}

// over demands that nothing works any more in a transaction but its Rollback.
func over(t *testing.T, tx *sql.Tx, table string) {
	t.Helper()
	_, err := tx.ExecContext(t.Context(), "DELETE FROM "+table)
	assert.ErrorIs(t, err, rqlite.ErrTxConflict)
	_, err = one(t.Context(), tx, "SELECT count(*) FROM "+table)
	assert.ErrorIs(t, err, rqlite.ErrTxConflict)
	_, err = tx.ExecContext(t.Context(), "ROLLBACK TO mark")
	assert.ErrorIs(t, err, rqlite.ErrTxConflict)
	assert.ErrorIs(t, tx.Commit(), rqlite.ErrTxConflict)
}

// isExact demands that the connector tries the text at once from now on.
func (f lateFailure) isExact(t *testing.T, db *sql.DB, insert string) {
	t.Helper()
	require.NoError(t, once(t.Context(), db, nil, func(tx *sql.Tx) error {
		for i := 1; i <= badTurn+2; i++ {
			_, err := tx.ExecContext(t.Context(), insert, f.values(i)...)
			if i != badTurn {
				require.NoError(t, err, "execution %d", i)
				continue
			}
			require.ErrorIs(t, err, f.code)
			require.NotErrorIs(t, err, rqlite.ErrTxConflict)
		}
		return nil
	}))
}
