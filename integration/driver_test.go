package integration_test

import (
	"database/sql"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPing(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		require.NoError(t, b.open(t).PingContext(t.Context()))
	})
}

// TestNobodyListens uses an address that refuses connections.
func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	db := openDSN(t, "rqlite://"+address+"/?timeout=300ms")
	for name, call := range map[string]func() error{
		"ping": func() error { return db.PingContext(t.Context()) },
		"exec": func() error {
			_, err := db.ExecContext(t.Context(), "CREATE TABLE t (x)")
			return err
		},
	} {
		start := time.Now()
		err := call()
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), address, name)
		assert.NotErrorIs(t, err, rqlite.ErrIndeterminate, "%s: nothing was sent", name)
		assert.Less(t, time.Since(start), 2*time.Second, name)
	}
}

// TestSecondHost has a dead host first in the DSN.
func TestSecondHost(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	dead := listener.Addr().String()
	require.NoError(t, listener.Close())
	forEach(t, func(t *testing.T, b *backend) {
		cfg, err := rqlite.ParseDSN(b.shared.dsn)
		require.NoError(t, err)
		cfg.Hosts = append([]string{dead}, cfg.Hosts...)
		db := openDSN(t, cfg.FormatDSN())
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (x)")
		mustExec(t, db, "INSERT INTO "+table+" VALUES (1)")
		var x int
		scan(t, db, "SELECT x FROM "+table, nil, &x)
		assert.Equal(t, 1, x)
	})
}

func TestQueryRow(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		var n int
		var s string
		scan(t, db, "SELECT ?, ?", []any{7, "x"}, &n, &s)
		assert.Equal(t, 7, n)
		assert.Equal(t, "x", s)
		require.ErrorIs(t, db.QueryRowContext(t.Context(), "SELECT 1 WHERE 0").Scan(&n), sql.ErrNoRows)
		var failed *rqlite.Error
		require.ErrorAs(t, db.QueryRowContext(t.Context(), "SELECT nowhere").Scan(&n), &failed)
		assert.Equal(t, "no such column: nowhere", failed.Message)
	})
}

func TestResultSets(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, v TEXT)")
		for _, script := range []string{
			"SELECT ? AS a; -- nothing\n; SELECT 2 AS b, 3 AS c WHERE 0; SELECT column1 AS d FROM (VALUES (?), (5))",
			"SELECT ? AS a; INSERT INTO %s (v) VALUES ('x') RETURNING id AS b, v AS c; SELECT column1 AS d FROM (VALUES (?), (5))",
		} {
			rows, err := db.QueryContext(t.Context(), strings.ReplaceAll(script, "%s", table), 1, 4)
			require.NoError(t, err)
			defer rows.Close()
			var columns [][]string
			var first []int64
			for more := true; more; more = rows.NextResultSet() {
				names, err := rows.Columns()
				require.NoError(t, err)
				columns = append(columns, names)
				for rows.Next() && len(names) == 1 {
					var n int64
					require.NoError(t, rows.Scan(&n))
					first = append(first, n)
				}
			}
			require.NoError(t, rows.Err())
			assert.Equal(t, [][]string{{"a"}, {"b", "c"}, {"d"}}, columns)
			assert.Equal(t, []int64{1, 4, 5}, first)
		}
		var count int
		scan(t, db, "SELECT count(*) FROM "+table, nil, &count)
		assert.Equal(t, 1, count)
	})
}

// TestResultSetFails has an error in a later statement.
func TestResultSetFails(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		rows, err := b.open(t).QueryContext(t.Context(), "SELECT 1; SELECT nowhere; SELECT 3")
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		require.False(t, rows.Next())
		require.False(t, rows.NextResultSet())
		var failed *rqlite.Error
		require.ErrorAs(t, rows.Err(), &failed)
		assert.Equal(t, 1, failed.Statement)
		assert.Equal(t, 3, failed.Statements)
	})
}

// TestConcurrentWrites demands that every writer gets its own result.
func TestConcurrentWrites(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, writer INT, n INT, UNIQUE (writer, n))")
		const writers, each = 32, 10
		var ids, failures sync.Map
		var group sync.WaitGroup
		for writer := range writers {
			group.Go(func() {
				for n := range each {
					result, err := db.ExecContext(t.Context(), "INSERT INTO "+table+" (writer, n) VALUES (?, ?)", writer, n)
					if !assert.NoError(t, err) {
						return
					}
					id, err := result.LastInsertId()
					assert.NoError(t, err)
					ids.Store(id, [2]int{writer, n})
					// One that fails in between concerns nobody else.
					_, err = db.ExecContext(t.Context(), "INSERT INTO "+table+" (writer, n) VALUES (?, ?)", writer, n)
					if errors.Is(err, rqlite.ConstraintUnique) {
						failures.Store([2]int{writer, n}, true)
					}
				}
			})
		}
		group.Wait()
		rows, err := db.QueryContext(t.Context(), "SELECT id, writer, n FROM "+table)
		require.NoError(t, err)
		defer rows.Close()
		count := 0
		for rows.Next() {
			var id int64
			var writer, n int
			require.NoError(t, rows.Scan(&id, &writer, &n))
			owner, ok := ids.Load(id)
			require.True(t, ok, "nobody was told of id %d", id)
			require.Equal(t, [2]int{writer, n}, owner)
			_, ok = failures.Load(owner)
			require.True(t, ok, "the second insert of %v did not fail with ConstraintUnique", owner)
			count++
		}
		require.NoError(t, rows.Err())
		assert.Equal(t, writers*each, count)
	})
}

// TestControlIsRefused demands that nobody captures the one write connection of
// the server.
func TestControlIsRefused(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, recorder := openRecorded(t, b.shared.dsn)
		for _, query := range []string{"BEGIN", "begin immediate", "COMMIT", "ROLLBACK", "SAVEPOINT s", "RELEASE s", "SELECT 1; END"} {
			_, err := db.ExecContext(t.Context(), query)
			require.ErrorContains(t, err, "rqlite: ", query)
			_, err = db.QueryContext(t.Context(), query)
			require.ErrorContains(t, err, "rqlite: ", query)
		}
		assert.Zero(t, recorder.requests.Load())
	})
}

func TestForeignKeys(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := openDSN(t, b.launch(t, serverOptions{foreignKeys: true}).dsn)
		mustExec(t, db, "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p INT REFERENCES parent, "+
			"d INT REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
		for _, query := range []string{
			"INSERT INTO child (p) VALUES (1)",
			"INSERT INTO child (d) VALUES (1)",
			"INSERT INTO parent VALUES (5); INSERT INTO child (p) VALUES (1)",
			"INSERT INTO parent VALUES (6); INSERT INTO child (d) VALUES (1)",
		} {
			_, err := db.ExecContext(t.Context(), query)
			require.ErrorIs(t, err, rqlite.ConstraintForeignKey, query)
		}
		var parents, children int
		scan(t, db, "SELECT (SELECT count(*) FROM parent), (SELECT count(*) FROM child)", nil, &parents, &children)
		assert.Equal(t, 2, parents, "the statements before the one that failed stay")
		assert.Zero(t, children)
		mustExec(t, db, "INSERT INTO child (p) VALUES (5)")
	})
}
