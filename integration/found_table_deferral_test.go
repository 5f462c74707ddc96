package integration_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onKeyed runs a test with a connection of a server that enforces foreign keys, and with one
// of SQLite, which decides what has to come of it. There is a table of parents, and one of children.
func onKeyed(t *testing.T, settings string, test func(*testing.T, *sql.Conn)) {
	t.Helper()
	open := func(t *testing.T, db *sql.DB) {
		t.Helper()
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		for _, query := range []string{"CREATE TABLE parent (id INTEGER PRIMARY KEY)", "CREATE TABLE child (p INTEGER REFERENCES parent (id))"} {
			_, err := conn.ExecContext(t.Context(), query)
			require.NoError(t, err)
		}
		test(t, conn)
	}
	t.Run("sqlite", func(t *testing.T) { open(t, openOracle(t)) })
	forEach(t, func(t *testing.T, b *backend) {
		open(t, openDSN(t, withSettings(b.launch(t, serverOptions{foreignKeys: true}).dsn, settings)))
	})
}

// keyed returns how many parents and children there are.
func keyed(t *testing.T, conn *sql.Conn) (parents, children int) {
	t.Helper()
	require.NoError(t, conn.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM parent), (SELECT count(*) FROM child)").Scan(&parents, &children))
	return parents, children
}

const deferKeys, undeferKeys = "PRAGMA defer_foreign_keys = ON", "PRAGMA main.defer_foreign_keys(off)"

// Foreign keys are looked at when the transaction is committed, wherever in it that was said, and
// no longer than it lasts.
func TestFoundDeferredKeys(t *testing.T) {
	cases := map[string]struct {
		before []string // on the connection, before the transaction
		within []string
		fails  int // which of them fails, from 1; 0 is none
		commit bool
		adds   [2]int // parents and children
	}{
		"a child first":               {nil, []string{deferKeys, "INSERT INTO child VALUES (1)", "INSERT INTO parent VALUES (1)"}, 0, true, [2]int{1, 1}},
		"said before":                 {[]string{deferKeys}, []string{"INSERT INTO child VALUES (1)", "INSERT INTO parent VALUES (1)"}, 0, true, [2]int{1, 1}},
		"a child alone":               {nil, []string{deferKeys, "INSERT INTO parent VALUES (2)", "INSERT INTO child VALUES (1)", "SELECT p FROM child"}, 0, false, [2]int{}},
		"said before, a child alone":  {[]string{deferKeys}, []string{"INSERT INTO child VALUES (1)", "SELECT p FROM child"}, 0, false, [2]int{}},
		"said later":                  {nil, []string{"INSERT INTO child VALUES (1)", deferKeys, "INSERT INTO child VALUES (2)", "INSERT INTO parent VALUES (2)"}, 1, true, [2]int{1, 1}},
		"taken back":                  {nil, []string{deferKeys, undeferKeys, "INSERT INTO child VALUES (1)", "INSERT INTO parent VALUES (1)"}, 3, true, [2]int{1, 0}},
		"taken back before":           {[]string{deferKeys, undeferKeys}, []string{"INSERT INTO child VALUES (1)", "INSERT INTO parent VALUES (1)"}, 1, true, [2]int{1, 0}},
		"a statement between":         {[]string{deferKeys, "SELECT count(*) FROM parent"}, []string{"INSERT INTO child VALUES (1)"}, 1, true, [2]int{}},
		"a write between":             {[]string{deferKeys, "DELETE FROM parent WHERE id = 7"}, []string{"INSERT INTO child VALUES (1)"}, 1, true, [2]int{}},
		"never":                       {nil, []string{"INSERT INTO child VALUES (1)"}, 1, true, [2]int{}},
		"said after a savepoint":      {nil, []string{"SAVEPOINT s", deferKeys, "INSERT INTO parent VALUES (5)", "ROLLBACK TO s", "INSERT INTO child VALUES (1)", "INSERT INTO parent VALUES (1)"}, 0, true, [2]int{1, 1}},
		"undone by ROLLBACK TO":       {nil, []string{deferKeys, "SAVEPOINT s", "INSERT INTO child VALUES (1)", "ROLLBACK TO s", "INSERT INTO parent VALUES (1)"}, 0, true, [2]int{1, 0}},
		"nothing else":                {nil, []string{deferKeys}, 0, true, [2]int{}},
		"only reads":                  {[]string{deferKeys}, []string{"SELECT count(*) FROM parent"}, 0, true, [2]int{}},
		"in one script":               {nil, []string{deferKeys + "; INSERT INTO child VALUES (1); INSERT INTO parent VALUES (1)"}, 0, true, [2]int{1, 1}},
		"a parent that is in between": {nil, []string{"INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (1)", deferKeys, "UPDATE parent SET id = 2", "UPDATE child SET p = 2"}, 0, true, [2]int{1, 1}},
	}
	onKeyed(t, "", func(t *testing.T, conn *sql.Conn) {
		ctx := t.Context()
		for name, test := range cases {
			for _, query := range []string{"DELETE FROM child", "DELETE FROM parent"} {
				_, err := conn.ExecContext(ctx, query)
				require.NoError(t, err)
			}
			for _, query := range test.before {
				_, err := conn.ExecContext(ctx, query)
				require.NoError(t, err, "%s: %s", name, query)
			}
			tx, err := conn.BeginTx(ctx, nil)
			require.NoError(t, err)
			for i, query := range test.within {
				_, err := tx.ExecContext(ctx, query)
				if i+1 == test.fails {
					require.ErrorContains(t, err, "FOREIGN KEY constraint failed", "%s: %s", name, query)
				} else {
					require.NoError(t, err, "%s: %s", name, query)
				}
			}
			if err := tx.Commit(); test.commit {
				require.NoError(t, err, name)
			} else {
				require.ErrorContains(t, err, "FOREIGN KEY constraint failed", name)
			}
			parents, children := keyed(t, conn)
			assert.Equal(t, test.adds, [2]int{parents, children}, name)
		}
	})
}

// The value reads back within the transaction, and is gone behind it.
func TestFoundDeferredKeysReadBack(t *testing.T) {
	onKeyed(t, "", func(t *testing.T, conn *sql.Conn) {
		ctx := t.Context()
		asks := func(of interface {
			QueryRowContext(context.Context, string, ...any) *sql.Row
		},
		) (on bool) {
			require.NoError(t, of.QueryRowContext(ctx, "PRAGMA defer_foreign_keys").Scan(&on))
			return on
		}
		tx, err := conn.BeginTx(ctx, nil)
		require.NoError(t, err)
		assert.False(t, asks(tx))
		rows, err := tx.QueryContext(ctx, deferKeys)
		require.NoError(t, err)
		assert.False(t, rows.Next(), "it has no rows")
		require.NoError(t, rows.Close())
		assert.True(t, asks(tx))
		_, err = tx.ExecContext(ctx, "INSERT INTO parent VALUES (1)")
		require.NoError(t, err)
		assert.True(t, asks(tx))
		require.NoError(t, tx.Commit())
		assert.False(t, asks(conn))
	})
}

// A deferred transaction takes it along.
func TestFoundDeferredKeysInDeferredTransactions(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := openDSN(t, withSettings(b.launch(t, serverOptions{foreignKeys: true}).dsn, "tx=deferred"))
		mustExec(t, db, "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p INTEGER REFERENCES parent (id))")
		script := func(queries ...string) func(*sql.Tx) error {
			return func(tx *sql.Tx) error {
				for _, query := range queries {
					if _, err := tx.Exec(query); err != nil {
						return err
					}
				}
				return nil
			}
		}
		require.NoError(t, once(t.Context(), db, nil, script(deferKeys, "INSERT INTO child VALUES (1)", "INSERT INTO parent VALUES (1)")))
		err := once(t.Context(), db, nil, script(deferKeys, "INSERT INTO child VALUES (2)", "INSERT INTO parent VALUES (3)"))
		require.ErrorIs(t, err, rqlite.ConstraintForeignKey)
		require.NotErrorIs(t, err, rqlite.ErrIndeterminate)
		err = once(t.Context(), db, nil, script("INSERT INTO child VALUES (2)", "INSERT INTO parent VALUES (2)"))
		require.ErrorIs(t, err, rqlite.ConstraintForeignKey)
		var parents, children int
		scan(t, db, "SELECT (SELECT count(*) FROM parent), (SELECT count(*) FROM child)", nil, &parents, &children)
		assert.Equal(t, [2]int{1, 1}, [2]int{parents, children})
	})
}
