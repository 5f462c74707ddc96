package integration_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// insertAgain inserts 1, 2, 3 and 2 again. It returns which execution has failed, 0 for none.
func insertAgain(ctx context.Context, tx *sql.Tx, table string) (failed int, err error) {
	for i, n := range []int{1, 2, 3, 2} {
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (?)", n); err != nil {
			return i + 1, err
		}
	}
	return 0, nil
}

// failsLate demands that the failure of the fourth INSERT comes from the commit.
func failsLate(t *testing.T, db *sql.DB, table string) {
	t.Helper()
	tx := begin(t, db, nil)
	_, err := insertAgain(t.Context(), tx, table)
	require.NoError(t, err)
	err = tx.Commit()
	require.ErrorIs(t, err, rqlite.ErrTxConflict)
	require.ErrorIs(t, err, rqlite.ConstraintUnique)
	require.Empty(t, numbersIn(t, db, table))
}

// failsAtOnce demands that the fourth INSERT fails itself, and returns the transaction.
func failsAtOnce(t *testing.T, db *sql.DB, table string) *sql.Tx {
	t.Helper()
	tx := begin(t, db, nil)
	failed, err := insertAgain(t.Context(), tx, table)
	require.ErrorIs(t, err, rqlite.ConstraintUnique)
	require.NotErrorIs(t, err, rqlite.ErrTxConflict)
	require.Equal(t, 4, failed)
	return tx
}

// TestTxWaitsExactFromTheSecondRun has a program that goes on behind a failure run again and again: it is
// told at once of the failure from the second run on, however its transactions end. One that rolls back
// right behind the failure makes the connector forget the statement.
func TestTxWaitsExactFromTheSecondRun(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		inModes(t, aheadModes, func(t *testing.T, mode rqlite.TxMode) {
			db, table := newNumbers(t, b, setting(mode))
			goOn := func(tx *sql.Tx) {
				result, err := tx.ExecContext(t.Context(), "UPDATE "+table+" SET text = 'again' WHERE n = 2")
				require.NoError(t, err)
				rows, err := result.RowsAffected()
				require.NoError(t, err)
				require.EqualValues(t, 1, rows)
			}
			failsLate(t, db, table)
			for range 2 {
				tx := failsAtOnce(t, db, table)
				goOn(tx)
				require.NoError(t, tx.Commit())
				require.Equal(t, []int{1, 2, 3}, numbersIn(t, db, table))
				mustExec(t, db, "DELETE FROM "+table)
				tx = failsAtOnce(t, db, table)
				goOn(tx)
				require.NoError(t, tx.Rollback())
			}
			for range 2 {
				require.NoError(t, failsAtOnce(t, db, table).Rollback())
				failsLate(t, db, table)
			}
		})
	})
}

// TestTxWaitsExactBesideRollback has RunTx run a transaction again behind a late failure. That run is exact,
// though another transaction, which has failed at the same statement, is rolled back meanwhile.
func TestTxWaitsExactBesideRollback(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newNumbers(t, b, setting(rqlite.TxPipelined))
		runs, failed := 0, 0
		var other *sql.Tx
		require.NoError(t, rqlite.RunTx(t.Context(), db, nil, func(tx *sql.Tx) (err error) {
			if runs++; runs == 2 {
				require.NoError(t, other.Rollback())
			}
			failed, err = insertAgain(t.Context(), tx, table)
			if runs > 1 {
				return nil // the program goes on behind the failure
			}
			require.NoError(t, err)
			other, err = db.BeginTx(rqlite.WithTxMode(t.Context(), rqlite.TxInteractive), nil)
			require.NoError(t, err)
			_, err = other.ExecContext(t.Context(), "INSERT INTO "+table+" (n) VALUES (?)", "none")
			require.ErrorIs(t, err, rqlite.Mismatch)
			return nil
		}))
		assert.Equal(t, 4, failed)
		assert.Equal(t, 2, runs)
	})
}

// failures are what a program may go on behind. @ is a table of numbers.
var failures = map[string]func(context.Context, *sql.Tx, string) error{
	"a read before the first write": func(ctx context.Context, tx *sql.Tx, table string) error {
		_, err := one(ctx, tx, "SELECT none FROM "+table)
		return err
	},
	"a read by Exec": func(ctx context.Context, tx *sql.Tx, table string) error {
		_, err := tx.ExecContext(ctx, "SELECT none FROM "+table)
		return err
	},
	"a row of a read": func(ctx context.Context, tx *sql.Tx, table string) error {
		_, err := one(ctx, tx, "SELECT abs(-9223372036854775807 - (SELECT count(*) FROM "+table+") - 1)")
		return err
	},
	"a savepoint": func(ctx context.Context, tx *sql.Tx, _ string) error {
		_, err := tx.ExecContext(ctx, "ROLLBACK TO nowhere")
		return err
	},
	"a write": func(ctx context.Context, tx *sql.Tx, table string) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (none) VALUES (1)")
		return err
	},
}

// TestTxWaitsBehindFailure demands that nothing waits any more in mode auto behind a failure that the
// program goes on after.
func TestTxWaitsBehindFailure(t *testing.T) {
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			forEach(t, func(t *testing.T, b *backend) {
				db, table := newNumbers(t, b)
				tx := begin(t, db, nil)
				require.Error(t, fail(t.Context(), tx, table))
				failed, err := insertAgain(t.Context(), tx, table)
				assert.ErrorIs(t, err, rqlite.ConstraintUnique)
				assert.Equal(t, 4, failed)
			})
		})
	}
}

// TestTxWaitsExecutionBehindSchema demands that a late failure names the execution, counted from the
// beginning of the transaction, though the schema has changed meanwhile.
func TestTxWaitsExecutionBehindSchema(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newNumbers(t, b, setting(rqlite.TxPipelined))
		tx := begin(t, db, nil)
		for i, statement := range []string{"INSERT", "INSERT", "INSERT", "CREATE", "INSERT"} {
			var err error
			if statement == "CREATE" {
				_, err = tx.ExecContext(t.Context(), "CREATE TABLE "+newTable()+" (n)")
			} else {
				_, err = tx.ExecContext(t.Context(), "INSERT INTO "+table+" (n) VALUES (?)", i%4)
			}
			require.NoError(t, err)
		}
		assert.ErrorContains(t, tx.Commit(), "execution 4 ")
	})
}

// TestTxWaitsConflictClauses demands that nothing is applied when a row is refused late, whatever the schema
// says that SQLite does then.
func TestTxWaitsConflictClauses(t *testing.T) {
	for name, schema := range map[string]string{
		"ROLLBACK": "CREATE TABLE @ (id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT ROLLBACK)",
		"FAIL":     "CREATE TABLE @ (id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT FAIL)",
		"ABORT":    "CREATE TABLE @ (id INTEGER PRIMARY KEY, u UNIQUE)",
		"RAISE": `CREATE TABLE @ (id INTEGER PRIMARY KEY, u);
			CREATE TRIGGER @_raise BEFORE INSERT ON @ WHEN new.u = 8 AND new.id <> 8 BEGIN SELECT RAISE(ROLLBACK, 'UNIQUE constraint failed'); END`,
	} {
		for _, returning := range []string{"", " RETURNING id"} {
			t.Run(name+returning, func(t *testing.T) {
				withoutAndWithWaits(t, func(t *testing.T, _ *backend, db *sql.DB, table string) {
					mustExec(t, db, strings.ReplaceAll(schema, "@", table))
					err := once(t.Context(), db, nil, func(tx *sql.Tx) (err error) {
						for id := 1; id <= 20 && err == nil; id++ {
							u := id
							if id == 12 {
								u = 8
							}
							if query := "INSERT INTO " + table + " (id, u) VALUES (?, ?)"; returning == "" {
								_, err = tx.ExecContext(t.Context(), query, id, u)
							} else {
								_, err = one(t.Context(), tx, query+returning, id, u)
							}
						}
						return err
					})
					assert.ErrorContains(t, err, "UNIQUE constraint failed")
					var n int
					scan(t, db, "SELECT count(*) FROM "+table, nil, &n)
					assert.Zero(t, n)
				})
			})
		}
	}
}

// TestTxWaitsForeignKeys has rows wait of which one violates a foreign key, and another is the missing
// parent of an orphan that was there before. Within one statement, SQLite would take the one for the other.
func TestTxWaitsForeignKeys(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		c := b.launch(t, serverOptions{foreignKeys: true})
		inModes(t, txModes, func(t *testing.T, mode rqlite.TxMode) {
			db, table := openDSN(t, withSettings(c.dsn, "send_foreign_keys=true", setting(mode))), newTable()
			for _, statement := range []string{
				"CREATE TABLE @_origin (id INTEGER PRIMARY KEY)",
				"CREATE TABLE @ (id INTEGER PRIMARY KEY, origin REFERENCES @_origin)",
				"CREATE TABLE @_note (item REFERENCES @)",
				"INSERT INTO @_origin VALUES (1)",
				"PRAGMA foreign_keys = OFF",
				"INSERT INTO @_note VALUES (9)",
				"PRAGMA foreign_keys = ON",
			} {
				mustExec(t, db, strings.ReplaceAll(statement, "@", table))
			}
			err := once(t.Context(), db, nil, func(tx *sql.Tx) error {
				for id := 1; id <= 12; id++ {
					origin := 1
					if id == 5 {
						origin = 99
					}
					if _, err := tx.ExecContext(t.Context(), "INSERT INTO "+table+" (id, origin) VALUES (?, ?)", id, origin); err != nil {
						return err
					}
				}
				return nil
			})
			assert.ErrorIs(t, err, rqlite.ConstraintForeignKey)
			var n int
			scan(t, db, "SELECT count(*) FROM "+table, nil, &n)
			assert.Zero(t, n)
		})
	})
}
