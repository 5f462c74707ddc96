package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newNumbers opens a database and makes a table of numbers.
func newNumbers(t *testing.T, b *backend, settings ...string) (db *sql.DB, table string) {
	t.Helper()
	db, table = b.open(t, settings...), newTable()
	mustExec(t, db, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY, text TEXT)")
	return db, table
}

// numbersIn returns the numbers in a table, as the leader has them.
func numbersIn(t *testing.T, db *sql.DB, table string) (list []int) {
	t.Helper()
	rows, err := db.QueryContext(rqlite.WithConsistency(t.Context(), rqlite.Strong), "SELECT n FROM "+table+" ORDER BY n")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var n int
		require.NoError(t, rows.Scan(&n))
		list = append(list, n)
	}
	require.NoError(t, rows.Err())
	return list
}

// begin begins a transaction, which is rolled back at the latest at the end of the test.
func begin(t *testing.T, db *sql.DB, options *sql.TxOptions) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() }) // it may have ended
	return tx
}

func insertIn(t *testing.T, tx *sql.Tx, table string, n int) {
	t.Helper()
	result, err := tx.ExecContext(t.Context(), "INSERT INTO "+table+" (n) VALUES (?)", n)
	require.NoError(t, err)
	id, err := result.LastInsertId()
	require.NoError(t, err)
	require.EqualValues(t, n, id)
}

// writesAtOnce demands that nobody has the turn to write.
func writesAtOnce(t *testing.T, db *sql.DB, table string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	begun := time.Now()
	_, err := db.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (?)", n)
	require.NoError(t, err)
	require.Less(t, time.Since(begun), 2*time.Second)
}

func TestTxDone(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newNumbers(t, b)
		for i, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
			tx := begin(t, db, nil)
			stmt, err := tx.PrepareContext(t.Context(), "INSERT INTO "+table+" (n) VALUES (?)")
			require.NoError(t, err)
			_, err = stmt.ExecContext(t.Context(), i)
			require.NoError(t, err)
			require.NoError(t, end(tx))
			_, err = tx.ExecContext(t.Context(), "INSERT INTO "+table+" (n) VALUES (100)")
			assert.ErrorIs(t, err, sql.ErrTxDone)
			_, err = stmt.ExecContext(t.Context(), 101)
			assert.Error(t, err)
			_, err = one(t.Context(), tx, "SELECT 1")
			assert.ErrorIs(t, err, sql.ErrTxDone)
			assert.ErrorIs(t, tx.Commit(), sql.ErrTxDone)
			assert.ErrorIs(t, tx.Rollback(), sql.ErrTxDone)
		}
		assert.Equal(t, []int{0}, numbersIn(t, db, table))
	})
}

// TestTxWriteBeside has the goroutine that holds a transaction write outside of
// it, which on SQLite waits for the busy timeout, and fails.
func TestTxWriteBeside(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		const patience = time.Second
		db, table := newNumbers(t, b)
		hasty := b.open(t, "timeout="+patience.String())
		for name, c := range map[string]struct {
			db    *sql.DB
			bound time.Duration
		}{"context": {db, patience}, "timeout": {hasty, time.Minute}} {
			mustExec(t, c.db, "DELETE FROM "+table)
			tx := begin(t, c.db, nil)
			insertIn(t, tx, table, 1)
			ctx, cancel := context.WithTimeout(t.Context(), c.bound)
			begun := time.Now()
			_, err := c.db.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (2)")
			took := time.Since(begun)
			cancel()
			require.Error(t, err, name)
			t.Log(err)
			assert.True(t, errors.Is(err, rqlite.Busy) || errors.Is(err, context.DeadlineExceeded), name)
			assert.NotErrorIs(t, err, rqlite.ErrIndeterminate, name)
			assert.ErrorContains(t, err, "database is locked", name)
			assert.ErrorContains(t, err, "transaction", name)
			assert.GreaterOrEqual(t, took, patience, name)
			assert.Less(t, took, patience+500*time.Millisecond, name)

			// A transaction waits as a plain write does, and a read does not.
			ctx, cancel = context.WithTimeout(t.Context(), patience)
			err = once(ctx, c.db, nil, func(tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (3)")
				return err
			})
			cancel()
			assert.ErrorContains(t, err, "database is locked", name)
			assert.Empty(t, numbersIn(t, c.db, table), name)

			insertIn(t, tx, table, 4)
			require.NoError(t, tx.Commit(), name)
			writesAtOnce(t, c.db, table, 5)
			assert.Equal(t, []int{1, 4, 5}, numbersIn(t, c.db, table), name)
		}
	})
}

// hidden are statements that would end, escape or outlive a transaction, in
// ways in which they are easily overlooked. $t is a table of numbers.
var hidden = []string{
	"COMMIT", "cOmMiT", "END", "END TRANSACTION", "ROLLBACK", "BEGIN", "BEGIN IMMEDIATE", "  \n\t COMMIT  ;",
	"/* */ COMMIT", "/* COMMIT; */COMMIT/**/TRANSACTION", "-- a comment\nCOMMIT", ";;; COMMIT", "/* ' */ COMMIT /* ' */",
	"SELECT 1; COMMIT", "SELECT ';'; COMMIT", "INSERT INTO $t (n) VALUES (50); cOmMiT", "INSERT INTO $t (n) VALUES (51); ROLLBACK; BEGIN",
	"SELECT 1; /* ; */ end", "INSERT INTO $t (n, text) VALUES (52, ';--'); COMMIT -- ", "INSERT INTO $t (n) VALUES (53);COMMIT;INSERT INTO $t (n) VALUES (54)",
	"INSERT OR ROLLBACK INTO $t (n) VALUES (55)", "INSERT OR FAIL INTO $t (n) VALUES (56)", "UPDATE OR/**/ROLLBACK $t SET n = 57",
	"VACUUM", "VACUUM INTO '/tmp/never.db'", "ATTACH ':memory:' AS other", "DETACH other",
	"PRAGMA foreign_keys = OFF", "PRAGMA journal_mode = DELETE", "PRAGMA user_version(7)",
	"CREATE TEMP TABLE never (n)", "CREATE TEMPORARY VIEW never AS SELECT 1", "CREATE TABLE temp.never (n)",
	"UPDATE _rqlite_tx SET v = 0", "INSERT INTO [_RQLITE_TX] (k) VALUES (5)",
	"WITH x AS (SELECT 1) DELETE FROM `_rqlite_tx`", "ALTER TABLE _rqlite_tx RENAME TO never",
}

// TestTxHidden demands that such statements are refused, and that the
// transaction goes on as if they had not been there.
func TestTxHidden(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newNumbers(t, b)
		tx := begin(t, db, nil)
		refuses := func(query string, err error) {
			t.Helper()
			if assert.Error(t, err, query) {
				assert.Regexp(t, `rqlite: .{10}`, err.Error(), query)
				assert.NotErrorIs(t, err, rqlite.ErrTxConflict, query)
				assert.NotErrorIs(t, err, rqlite.ErrIndeterminate, query)
			}
		}
		n := 0
		for _, query := range hidden {
			query = strings.ReplaceAll(query, "$t", table)
			_, err := tx.ExecContext(t.Context(), query)
			refuses(query, err)
			rows, err := tx.QueryContext(t.Context(), query)
			if err == nil {
				for rows.Next() || rows.NextResultSet() {
					continue
				}
				err = rows.Err()
				rows.Close()
			}
			refuses(query, err)
			stmt, err := tx.PrepareContext(t.Context(), query)
			if err == nil {
				_, err = stmt.ExecContext(t.Context())
			}
			refuses(query, err)
			n++
			insertIn(t, tx, table, n*1000)
			there, err := one(t.Context(), tx, "SELECT count(*) FROM "+table)
			require.NoError(t, err, query)
			require.EqualValues(t, n, there, query)
			require.Empty(t, numbersIn(t, db, table), "the transaction has ended: %s", query)
		}
		for _, harmless := range []string{"SELECT 'COMMIT; ROLLBACK'", `SELECT 1 AS "commit"`, "/* COMMIT */ SELECT 1 -- ROLLBACK"} {
			rows, err := tx.QueryContext(t.Context(), harmless)
			require.NoError(t, err, harmless)
			require.NoError(t, rows.Close())
		}
		require.NoError(t, tx.Commit())
		assert.Len(t, numbersIn(t, db, table), n)
	})
}

// TestTxStatementFails demands that a statement that fails has no effect, and
// that the transaction goes on.
func TestTxStatementFails(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newNumbers(t, b)
		mustExec(t, db, "INSERT INTO "+table+" (n) VALUES (1)")
		tx := begin(t, db, nil)
		for i, query := range []string{
			"INSERT INTO $t (n) VALUES (20), (1)", "INSERT INTO $t (n) VALUES (20), (1) RETURNING n", "UPDATE $t SET n = 1",
			"SELECT * FROM nowhere", "INSERT INTO nowhere VALUES (1)", "SELECT FROM", "INSERT INTO $t (n) VALUES (abs(-9223372036854775808))",
			"CREATE TABLE $t (n)",
		} {
			query = strings.ReplaceAll(query, "$t", table)
			if i%2 == 0 {
				insertIn(t, tx, table, 100+i)
			}
			_, err := tx.ExecContext(t.Context(), query)
			var failed *rqlite.Error
			require.ErrorAs(t, err, &failed, query)
			require.NotErrorIs(t, err, rqlite.ErrTxConflict)
			if i < 3 {
				require.ErrorIs(t, err, rqlite.Constraint, query)
			}
		}
		// Others write in between, so that all of this is looked at again.
		mustExec(t, b.open(t), "INSERT INTO "+table+" (n) VALUES (2)")
		require.NoError(t, tx.Commit())
		assert.Equal(t, []int{1, 2, 100, 102, 104, 106}, numbersIn(t, db, table))

		// A failure is something seen: it has to be one still.
		tx = begin(t, db, nil)
		insertIn(t, tx, table, 3)
		_, err := tx.ExecContext(t.Context(), "INSERT INTO "+table+" (n) VALUES (1)")
		require.ErrorIs(t, err, rqlite.Constraint)
		mustExec(t, b.open(t), "DELETE FROM "+table+" WHERE n = 1")
		require.ErrorIs(t, tx.Commit(), rqlite.ErrTxConflict)
		assert.Equal(t, []int{2, 100, 102, 104, 106}, numbersIn(t, db, table))
	})
}

// TestTxConflictStays demands that a transaction which has met a conflict says
// so from then on, and leaves nothing behind.
func TestTxConflictStays(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newNumbers(t, b)
		other := b.open(t)
		tx := begin(t, db, nil)
		insertIn(t, tx, table, 1)
		n, err := one(t.Context(), tx, "SELECT count(*) FROM "+table)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		mustExec(t, other, "INSERT INTO "+table+" (n) VALUES (2)")
		_, err = tx.ExecContext(t.Context(), "INSERT INTO "+table+" (n) VALUES (3)")
		require.ErrorIs(t, err, rqlite.ErrTxConflict)
		assert.NotErrorIs(t, err, rqlite.ErrIndeterminate)
		_, err = tx.ExecContext(t.Context(), "INSERT INTO "+table+" (n) VALUES (4)")
		require.ErrorIs(t, err, rqlite.ErrTxConflict)
		_, err = one(t.Context(), tx, "SELECT count(*) FROM "+table)
		require.ErrorIs(t, err, rqlite.ErrTxConflict)
		require.ErrorIs(t, tx.Commit(), rqlite.ErrTxConflict)
		writesAtOnce(t, db, table, 5)
		assert.Equal(t, []int{2, 5}, numbersIn(t, db, table))
	})
}

// TestTxConnReused has one connection run transactions and plain statements in turn.
func TestTxConnReused(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newNumbers(t, b)
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		insert := "INSERT INTO " + table + " (n) VALUES (?)"
		for i := range 4 {
			tx, err := conn.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = conn.BeginTx(t.Context(), nil)
			require.Error(t, err, "a transaction in a transaction")
			assert.ErrorContains(t, err, "transaction")
			insertIn(t, tx, table, 10*i)
			if i%2 == 0 {
				require.NoError(t, tx.Commit())
			} else {
				require.NoError(t, tx.Rollback())
			}
			_, err = conn.ExecContext(t.Context(), insert, 10*i+1)
			require.NoError(t, err)
		}
		assert.Equal(t, []int{0, 1, 11, 20, 21, 31}, numbersIn(t, db, table))

		// The connection goes back with a transaction open.
		tx, err := conn.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		insertIn(t, tx, table, 100)
		ended := make(chan error, 1)
		go func() { ended <- conn.Close() }()
		require.NoError(t, tx.Rollback())
		<-ended
		writesAtOnce(t, db, table, 101)
		assert.NotContains(t, numbersIn(t, db, table), 100)
	})
}

// TestTxRolledBack has transactions end by a rollback after whatever has happened.
func TestTxRolledBack(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newNumbers(t, b)
		exec := func(queries ...string) func(*sql.Tx) {
			return func(tx *sql.Tx) {
				for _, query := range queries {
					_, _ = tx.ExecContext(t.Context(), strings.ReplaceAll(query, "$t", table)) // some fail
				}
			}
		}
		for i, c := range []func(*sql.Tx){
			exec(),
			exec("SELECT 1"),
			exec("INSERT INTO $t (n) VALUES (1000)"),
			exec("INSERT INTO $t (n) VALUES (1000)", "INSERT INTO $t (n) VALUES (1000)"),
			exec("INSERT INTO $t (n) VALUES (1000)", "COMMIT"),
			exec("CREATE TABLE never (n)", "INSERT INTO never VALUES (1)"),
			exec("DELETE FROM $t", "SAVEPOINT a", "INSERT INTO $t (n) VALUES (1000)", "RELEASE a"),
			exec("UPDATE $t SET n = n + 1000", "SAVEPOINT a", "ROLLBACK TO a", "ROLLBACK TO nothing"),
			func(tx *sql.Tx) {
				exec("INSERT INTO $t (n) VALUES (1000)")(tx)
				rows, err := tx.QueryContext(t.Context(), "SELECT n FROM "+table)
				require.NoError(t, err)
				defer rows.Close()
				require.True(t, rows.Next())
				require.NoError(t, tx.Rollback())
			},
			func(tx *sql.Tx) {
				insertIn(t, tx, table, 1000)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (1001)")
				require.ErrorIs(t, err, context.Canceled)
				insertIn(t, tx, table, 1002) // the transaction has a context of its own
			},
		} {
			tx := begin(t, db, nil)
			c(tx)
			if err := tx.Rollback(); err != nil {
				require.ErrorIs(t, err, sql.ErrTxDone)
			}
			writesAtOnce(t, db, table, i)
			require.Len(t, numbersIn(t, db, table), i+1, "case %d", i)
		}
		_, err := db.ExecContext(t.Context(), "SELECT * FROM never")
		require.Error(t, err, "the table is there")
	})
}
