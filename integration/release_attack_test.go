package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// attacked is what an attack works on: a trigger makes SQLite roll back.
func attacked(t *testing.T, b *backend) (db *sql.DB, dsn string, count func() int) {
	t.Helper()
	dsn = b.launch(t, serverOptions{}).dsn
	db = openDSN(t, dsn)
	mustExec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE u (a)")
	mustExec(t, db, "CREATE TRIGGER bad BEFORE INSERT ON t WHEN NEW.v = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'no way'); END")
	return db, dsn, func() (n int) {
		t.Helper()
		scan(t, db, "SELECT count(*) FROM u", nil, &n)
		return n
	}
}

// The server sees RETURNING where SQLite has none, so that what stands beside it might be applied
// although the request was to be rolled back.
func TestReleaseHiddenReturning(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, _, count := attacked(t, b)
		for _, statement := range []string{
			"EXPLAIN INSERT INTO nosuch VALUES (1) RETURNING a",
			"CREATE TRIGGER x AFTER INSERT ON t BEGIN INSERT INTO u VALUES (1) RETURNING a; END",
		} {
			_, err := db.Exec("DELETE FROM u; INSERT INTO u VALUES (1); " + statement)
			require.Error(t, err, statement)
			assert.Equal(t, 1, count(), "%s: what came before it stays, once", statement)
			batch := rqlite.Batch{Atomic: true}
			batch.Add("INSERT INTO u VALUES (2)")
			batch.Add(statement)
			_, err = batch.Exec(t.Context(), db)
			require.Error(t, err, statement)
			assert.Equal(t, 1, count(), "%s: nothing of a batch", statement)
		}
	})
}

// SQLite itself rolls back in the middle of a trial; what follows must not be committed.
func TestReleaseTrialThatEnds(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, _, count := attacked(t, b)
		ctx := t.Context()
		const bad = "INSERT INTO t (v) VALUES ('bad') RETURNING id"
		mustExec(t, db, "INSERT INTO t VALUES (1, 'x')")

		batch := rqlite.Batch{Atomic: true}
		batch.Add(bad)
		batch.Add("INSERT INTO u VALUES (2)")
		_, err := batch.Exec(ctx, db)
		require.ErrorContains(t, err, "no way")
		assert.Zero(t, count(), "an atomic batch")

		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		_, err = tx.QueryContext(ctx, bad+"; INSERT INTO u VALUES (2) RETURNING a")
		require.ErrorContains(t, err, "no way")
		require.NoError(t, tx.Rollback())
		assert.Zero(t, count(), "a transaction")

		for i, statement := range []string{"INSERT OR ROLLBACK INTO t VALUES (1, 'y') RETURNING id", "INSERT INTO t AS x VALUES (9, 'bad') RETURNING id"} {
			plain := rqlite.Batch{}
			plain.Add(statement)
			plain.Add("INSERT INTO u VALUES (2)")
			_, err = plain.Exec(ctx, db)
			require.Error(t, err)
			assert.Equal(t, i+1, count(), "the second of a batch is applied once: %s", statement)
		}
	})
}

// A read in a transaction means what it says, also behind a RETURNING, which the server has to parse.
func TestReleaseReadBehindReturning(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, dsn, _ := attacked(t, b)
		mustExec(t, db, "INSERT INTO t (v) VALUES (1), (2), (3), (4), (5)")
		for _, client := range []*sql.DB{db, openDisguised(t, dsn, "10"), openDisguised(t, dsn, "")} {
			require.ErrorIs(t, rqlite.RunTx(t.Context(), client, nil, func(tx *sql.Tx) error {
				var a, first, n, last, numbers int
				require.NoError(t, tx.QueryRow("INSERT INTO u VALUES (1) RETURNING a").Scan(&a))
				require.NoError(t, tx.QueryRow("SELECT min(id), count(*), max(id) FROM (SELECT id, random() <> 0 AS z FROM t ORDER BY id LIMIT 1, 3)").Scan(&first, &n, &last))
				assert.Equal(t, [3]int{2, 3, 4}, [3]int{first, n, last})
				require.NoError(t, tx.QueryRow("SELECT count(DISTINCT random()) FROM t").Scan(&numbers))
				assert.Equal(t, 5, numbers)
				return context.Canceled // what it wrote is of no account
			}), context.Canceled)
		}
	})
}

// A name in backquotes that does not exist is an error, and never a string, whatever the nodes
// tell of their release.
func TestReleaseNameThatDoesNotExist(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, dsn, count := attacked(t, b)
		mustExec(t, db, "INSERT INTO u VALUES ('a'), ('b')")
		for _, client := range []*sql.DB{db, openDisguised(t, dsn, "")} {
			for _, statement := range []string{"DELETE FROM u WHERE `key` = 'key' RETURNING a", "UPDATE u SET a = `order` RETURNING a"} {
				var a string
				err := client.QueryRow(statement).Scan(&a)
				require.ErrorContains(t, err, "no such column", statement)
				tx, err := client.Begin()
				require.NoError(t, err)
				_, err = tx.Exec(statement)
				require.ErrorContains(t, err, "no such column", statement)
				require.NoError(t, tx.Rollback())
			}
		}
		assert.Equal(t, 2, count())
		var kept int
		scan(t, db, "SELECT count(*) FROM u WHERE a IN ('a', 'b')", nil, &kept)
		assert.Equal(t, 2, kept)
	})
}

// Rows that are made up anew at the commit are not told as right.
func TestReleaseRowsMadeUpAnew(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, dsn, _ := attacked(t, b)
		mustExec(t, db, "CREATE TABLE d (id INTEGER PRIMARY KEY)")
		mustExec(t, db, "CREATE VIEW made_up AS SELECT random() AS r")
		for _, client := range []*sql.DB{db, openDisguised(t, dsn, "")} {
			tx, err := client.Begin()
			require.NoError(t, err)
			var r int64
			require.NoError(t, tx.QueryRow("INSERT INTO d (id) VALUES (NULL) RETURNING (SELECT r FROM made_up)").Scan(&r))
			err = tx.Commit()
			require.Error(t, err)
			var n int
			scan(t, db, "SELECT count(*) FROM d", nil, &n)
			if assert.True(t, n == 0 || errors.Is(err, rqlite.ErrResultsChanged), "%v, %d rows", err, n) {
				mustExec(t, db, "DELETE FROM d")
			}
		}
	})
}

// The plan of a write can be read, outside of a transaction and in one.
func TestReleaseExplain(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		b.needs(t, "9.4.0", "the server takes EXPLAIN of a write for one")
		db, _, count := attacked(t, b)
		mustExec(t, db, "INSERT INTO u VALUES (1)")
		const plan = "EXPLAIN QUERY PLAN DELETE FROM u WHERE a = 1"
		tx, err := db.Begin()
		require.NoError(t, err)
		for _, client := range []interface {
			Query(query string, args ...any) (*sql.Rows, error)
		}{db, tx} {
			rows, err := client.Query(plan)
			require.NoError(t, err)
			assert.True(t, rows.Next())
			require.NoError(t, rows.Close())
		}
		require.NoError(t, tx.Rollback())
		batch := rqlite.Batch{}
		batch.Add(plan)
		got, err := batch.Query(t.Context(), db)
		require.NoError(t, err)
		assert.NotEmpty(t, got[0].Rows)
		assert.Equal(t, 1, count(), "it was not run")
	})
}
