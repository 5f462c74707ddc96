package integration_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openChecking opens a database that has the server check what is prepared. It has a table, which
// another connector has made, with the columns a and b. The function counts the requests for statements.
func openChecking(t *testing.T, b *backend) (db *sql.DB, table string, requests func() uint64) {
	t.Helper()
	cfg, err := rqlite.ParseDSN(withSettings(b.shared.dsn, "prepare=check"))
	require.NoError(t, err)
	connector, err := rqlite.NewConnector(cfg)
	require.NoError(t, err)
	db = sql.OpenDB(connector)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	table = newTable()
	mustExec(t, b.open(t), "CREATE TABLE "+table+" (a, b)")
	return db, table, func() uint64 { return connector.Stats().Requests }
}

// TestPrepareCheck prepares what SQLite can compile: it is asked about once.
func TestPrepareCheck(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table, requests := openChecking(t, b)
		for _, test := range []struct {
			query    string
			requests uint64
		}{
			{"SELECT * FROM " + table + " WHERE a = ?", 1},
			{"SELECT ?5, ?2 FROM " + table, 1},
			{"SELECT date('now') FROM " + table + " x RIGHT JOIN " + table + " y ON x.a = y.a AND x.b > random() LIMIT 1, 3", 1},
			{"INSERT INTO " + table + " (a, b) VALUES (:a, @b)", 1},
			{"INSERT INTO " + table + " (a) VALUES ($a) RETURNING `a`", 1},
			{"UPDATE " + table + " SET a = CURRENT_TIMESTAMP WHERE b = ?", 1},
			{"WITH c AS (SELECT 1, 2) INSERT INTO " + table + " SELECT * FROM c", 1},
			{"CREATE TABLE " + table + "_not_made (a)", 1},
			{"ALTER TABLE " + table + " ADD COLUMN c", 1},
			{"REINDEX " + table, 1},
			{"CREATE TABLE " + table + "_not_made AS SELECT a FROM " + table + "; INSERT INTO " + table + "_not_made VALUES (?)", 1},
			{"DELETE FROM " + table + "; SELECT a FROM nosuch", 1},
			{"-- nothing", 0},
			{"EXPLAIN SELECT a FROM nosuch", 0},
			{"PRAGMA table_info(" + table + ")", 0},
			{"VACUUM", 0},
		} {
			before := requests()
			for range 3 {
				stmt, err := db.PrepareContext(t.Context(), test.query)
				require.NoError(t, err, test.query)
				require.NoError(t, stmt.Close())
			}
			assert.Equal(t, test.requests, requests()-before, test.query)
		}
		var rows, tables int
		scan(t, db, "SELECT count(*) FROM "+table, nil, &rows)
		scan(t, db, "SELECT count(*) FROM sqlite_schema WHERE name = ?", []any{table + "_not_made"}, &tables)
		assert.Equal(t, [2]int{}, [2]int{rows, tables}, "nothing of it was run")
	})
}

// TestPrepareCheckFails prepares what SQLite cannot compile.
func TestPrepareCheckFails(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table, _ := openChecking(t, b)
		for query, message := range map[string]string{
			"SELEC 1":                                `near "SELEC": syntax error`,
			"DELETE FROM " + table + " WHERE":        "incomplete input",
			"SELECT a FROM nosuch WHERE a = ?":       "no such table: nosuch",
			"INSERT INTO nosuch VALUES (:a)":         "no such table: nosuch",
			"SELECT c FROM " + table:                 "no such column: c",
			"INSERT INTO " + table + "(c) VALUES(1)": "table " + table + " has no column named c",
			"UPDATE " + table + " SET c = 1":         "no such column: c",
			"CREATE TABLE " + table + " (a)":         "table " + table + " already exists",
			"SELECT nosuch(a) FROM " + table:         "no such function: nosuch",
		} {
			_, err := db.PrepareContext(t.Context(), query)
			var failure *rqlite.Error
			require.ErrorAs(t, err, &failure, query)
			assert.Equal(t, rqlite.Error{Message: message, Code: rqlite.GenericError, ExtendedCode: rqlite.GenericError, Statements: 1}, *failure)
			require.ErrorIs(t, err, rqlite.GenericError)

			_, err = db.PrepareContext(t.Context(), query+"; SELECT 1")
			if message != "incomplete input" { // the semicolon completes it
				require.EqualError(t, err, "rqlite: statement 1 of 2: "+message)
			}
		}
	})
}

// TestPrepareCheckAfterChange prepares right after another connector has changed the schema: what
// the server's connections for reading remember of it must not count.
func TestPrepareCheckAfterChange(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table, _ := openChecking(t, b)
		other := b.open(t)
		prepare := func(query string) error {
			stmt, err := db.PrepareContext(t.Context(), query)
			if err == nil {
				err = stmt.Close()
			}
			return err
		}
		require.NoError(t, prepare("SELECT a FROM "+table))
		mustExec(t, other, "ALTER TABLE "+table+" ADD c")
		require.NoError(t, prepare("INSERT INTO "+table+" VALUES (1, 2, ?)"))
		mustExec(t, other, "DROP TABLE "+table)
		require.ErrorContains(t, prepare("SELECT b FROM "+table), "no such table: "+table)
		require.NoError(t, prepare("CREATE TABLE "+table+" (a)"))
		require.NoError(t, prepare("SELECT a FROM "+table), "it was well once")
	})
}

// TestPrepareCheckUse calls what was prepared, on several connections and in a transaction.
func TestPrepareCheckUse(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table, requests := openChecking(t, b)
		insert, err := db.PrepareContext(t.Context(), "INSERT INTO "+table+" VALUES (?, :b)")
		require.NoError(t, err)
		defer insert.Close()
		held, err := db.Conn(t.Context())
		require.NoError(t, err)
		before := requests()
		_, err = insert.ExecContext(t.Context(), 1, sql.Named("b", 2))
		require.NoError(t, err)
		assert.EqualValues(t, 1, requests()-before, "another connection need not ask")
		require.NoError(t, held.Close())

		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer tx.Rollback()
		_, err = tx.Stmt(insert).Exec(3, sql.Named("b", 4))
		require.NoError(t, err)
		_, err = tx.Exec("CREATE TABLE " + table + "_made (a)")
		require.NoError(t, err)
		made, err := tx.Prepare("INSERT INTO " + table + "_made VALUES (?)")
		require.NoError(t, err)
		_, err = made.Exec(5)
		require.NoError(t, err)
		late, err := tx.Prepare("SELECT a FROM nosuch")
		require.NoError(t, err, "within a transaction it shows at the call")
		_, err = late.Query()
		require.ErrorContains(t, err, "no such table: nosuch")
		require.NoError(t, tx.Rollback())
	})
}

func TestPrepareCheckCancelled(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table, requests := openChecking(t, b)
		before := requests()
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		_, err := db.PrepareContext(ctx, "SELECT a FROM "+table)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, before, requests())
	})
}
