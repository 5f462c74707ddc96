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

// TestTxReadOnly demands that a read-only transaction refuses writes before
// anything is sent, and goes on.
func TestTxReadOnly(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		setUp, table := newNumbers(t, b)
		mustExec(t, setUp, "INSERT INTO "+table+" (n) VALUES (1)")
		db, recorder := openRecorded(t, b.shared.dsn)
		tx := begin(t, db, &sql.TxOptions{ReadOnly: true})
		for _, query := range []string{
			"INSERT INTO $t (n) VALUES (2)", "INSERT INTO $t (n) VALUES (2) RETURNING n", "UPDATE $t SET n = 2", "DELETE FROM $t",
			"WITH x AS (SELECT 3 AS n) INSERT INTO $t (n) SELECT n FROM x", "REPLACE INTO $t (n) VALUES (1)",
			"DROP TABLE $t", "CREATE TABLE never (n)", "CREATE INDEX never ON $t (n)", "SELECT 1; DELETE FROM $t",
		} {
			query = strings.ReplaceAll(query, "$t", table)
			before := recorder.requests.Load()
			_, err := tx.ExecContext(t.Context(), query)
			require.ErrorIs(t, err, rqlite.ReadOnly, query)
			assert.ErrorContains(t, err, "read-only", query)
			rows, err := tx.QueryContext(t.Context(), query)
			if err == nil {
				rows.Close()
			}
			require.ErrorIs(t, err, rqlite.ReadOnly, query)
			assert.Equal(t, before, recorder.requests.Load(), "requests for what is refused: %s", query)
			n, err := one(t.Context(), tx, "SELECT n FROM "+table)
			require.NoError(t, err, query)
			require.EqualValues(t, 1, n)
		}
		before := recorder.requests.Load()
		require.NoError(t, tx.Commit())
		assert.Equal(t, before, recorder.requests.Load(), "requests for the commit of reads")
		assert.Equal(t, []int{1}, numbersIn(t, setUp, table))
	})
}

// TestTxOneState demands that what a transaction reads belongs to one state, when
// another process writes between its reads.
func TestTxOneState(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newNumbers(t, b)
		other := b.open(t)
		mustExec(t, other, "INSERT INTO "+table+" (n, text) VALUES (1, 'old'), (2, 'old'), (3, 'old')")
		text := "SELECT text FROM " + table + " WHERE n = ?"
		read := func(ctx context.Context, tx *sql.Tx, n int) (s string, err error) {
			err = tx.QueryRowContext(ctx, text, n).Scan(&s)
			return s, err
		}
		for _, readOnly := range []bool{true, false} {
			options := &sql.TxOptions{ReadOnly: readOnly}
			mustCommitNothing(t, db)
			mustExec(t, other, "UPDATE "+table+" SET text = 'old'")

			// What it has read has changed since.
			tx := begin(t, db, options)
			s, err := read(t.Context(), tx, 1)
			require.NoError(t, err)
			require.Equal(t, "old", s)
			mustExec(t, other, "UPDATE "+table+" SET text = 'new' WHERE n < 3")
			s, err = read(t.Context(), tx, 2)
			if err == nil {
				assert.Equal(t, "old", s, "two states")
				assert.NoError(t, tx.Commit())
			} else {
				assert.ErrorIs(t, err, rqlite.ErrTxConflict)
				assert.NoError(t, tx.Rollback())
			}

			// What it has read is what it was.
			tx = begin(t, db, options)
			s, err = read(t.Context(), tx, 3)
			require.NoError(t, err)
			require.Equal(t, "old", s)
			mustExec(t, other, "UPDATE "+table+" SET text = 'newer' WHERE n < 3")
			_, err = read(t.Context(), tx, 1)
			require.NoError(t, err)
			assert.NoError(t, tx.Commit())
		}

		// Without isolation there are two states, so that the test can fail.
		mustExec(t, other, "UPDATE "+table+" SET text = 'old'")
		tx := begin(t, db, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelReadCommitted})
		s, err := read(t.Context(), tx, 1)
		require.NoError(t, err)
		require.Equal(t, "old", s)
		mustExec(t, other, "UPDATE "+table+" SET text = 'new' WHERE n < 3")
		s, err = read(t.Context(), tx, 2)
		require.NoError(t, err)
		assert.Equal(t, "new", s)
		require.NoError(t, tx.Commit())
	})
}

// mustCommitNothing commits a transaction that has tried to write, so that there
// is a version table.
func mustCommitNothing(t *testing.T, db *sql.DB) {
	t.Helper()
	table := newTable()
	mustExec(t, db, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY)")
	mustCommit(t, db, table)
}

// TestTxIsolationLevels demands that levels which cannot be had are refused.
func TestTxIsolationLevels(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		for level, ok := range map[sql.IsolationLevel]bool{
			sql.LevelDefault: true, sql.LevelSerializable: true, sql.LevelReadCommitted: true, sql.LevelLinearizable: false,
		} {
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
			if ok {
				require.NoError(t, err, level)
				require.NoError(t, tx.Rollback())
				continue
			}
			require.ErrorContains(t, err, "isolation", level)
		}
	})
}

// TestTxPipelined records writes, whose results come with the commit.
func TestTxPipelined(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, recorder := openRecorded(t, b.shared.dsn)
		other, table := newNumbers(t, b)
		insert := "INSERT INTO " + table + " (text) VALUES ('x')"
		mustExec(t, db, insert+"; DELETE FROM "+table) // the connector learns the table's defaults
		tx, err := db.BeginTx(rqlite.WithTxMode(t.Context(), rqlite.TxPipelined), nil)
		require.NoError(t, err)
		defer tx.Rollback()
		n, err := one(t.Context(), tx, "SELECT count(*) FROM "+table)
		require.NoError(t, err)
		require.Zero(t, n)
		var results []sql.Result
		before := recorder.requests.Load()
		for range 100 {
			result, err := tx.ExecContext(t.Context(), insert)
			require.NoError(t, err)
			results = append(results, result)
		}
		assert.Equal(t, before, recorder.requests.Load(), "requests before the commit")
		require.NoError(t, tx.Commit())
		assert.LessOrEqual(t, recorder.requests.Load()-before, int64(4))
		for i, result := range results {
			id, err := result.LastInsertId()
			require.NoError(t, err)
			require.EqualValues(t, i+1, id)
			affected, err := result.RowsAffected()
			require.NoError(t, err)
			require.EqualValues(t, 1, affected)
		}

		// What it has read before has to hold, and a failure rolls back all.
		for _, conflict := range []bool{true, false} {
			tx, err = b.open(t, "tx=pipelined").BeginTx(t.Context(), nil)
			require.NoError(t, err)
			if _, err = one(t.Context(), tx, "SELECT count(*) FROM "+table); err != nil {
				require.NoError(t, err)
			}
			_, err = tx.ExecContext(t.Context(), insert)
			require.NoError(t, err)
			if conflict {
				mustExec(t, other, insert)
				require.ErrorIs(t, tx.Commit(), rqlite.ErrTxConflict)
				continue
			}
			_, err = tx.ExecContext(t.Context(), "INSERT INTO "+table+" (n) VALUES (1)")
			require.NoError(t, err)
			require.ErrorIs(t, tx.Commit(), rqlite.Constraint)
		}
		assert.Len(t, numbersIn(t, other, table), 101)
	})
}
