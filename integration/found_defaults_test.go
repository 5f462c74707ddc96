//go:build unix

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

// differing declares columns with defaults that every node would carry out by itself.
const differing = `(
	id TEXT PRIMARY KEY DEFAULT ('m_' || lower(hex(randomblob(16)))) NOT NULL,
	n INTEGER DEFAULT (random()),
	at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
	"made on" DATETIME DEFAULT CURRENT_TIMESTAMP,
	plain TEXT DEFAULT 'now',
	a, b)`

// leavesOutRows inserts rows that take such defaults, and tells how many.
var leavesOutRows = []struct {
	insert string
	rows   int
}{
	{"INSERT INTO {t} DEFAULT VALUES", 1},
	{"INSERT INTO {t} (a) VALUES (1), (2), (3)", 3},
	{"INSERT INTO {t} (a, AT, b) VALUES (?1, 'given', ?1)", 1},
	{"INSERT OR REPLACE INTO main.{t} AS x (b, a) VALUES (4, (SELECT count(*) FROM {t})) ON CONFLICT (id) DO UPDATE SET b = excluded.n", 1},
	{"INSERT INTO {t} (a) SELECT value FROM json_each('[7]') ORDER BY value LIMIT 2", 1},
	{"INSERT INTO {t} (id, n, a) SELECT 'k' || value, value, value FROM json_each('[8,9]') UNION VALUES ('z', 1, 2)", 3},
	{"WITH w(v) AS (VALUES (5)) INSERT INTO {t} (a) SELECT v IS DISTINCT FROM 6 FROM w", 1},
}

// Defaults that take a random number or read the clock are the same on all nodes.
func TestDefaultsSameOnAllNodes(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		db := openDSN(t, f.dsn())
		insertByAllWays(t, db, func(table string) { mustExec(t, db, "CREATE TABLE "+table+differing) })
		f.settle(t)
		want, err := stockOf(t.Context(), f.openNode(t, 0, "level=none"))
		require.NoError(t, err)
		for i := 1; i < len(f.members); i++ {
			got, err := stockOf(t.Context(), f.openNode(t, i, "level=none"))
			require.NoError(t, err)
			assert.Empty(t, want.differs(got), "node %d", i)
		}
	})
}

// A column that an INSERT leaves out gets what SQLite would give it: a value of the same type, a random one
// for each row.
func TestDefaultsAsInSQLite(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		oracle := openOracle(t)
		shape := "SELECT count(*), count(DISTINCT id), count(DISTINCT n), count(DISTINCT a), group_concat(DISTINCT typeof(n) || typeof(at) || length(at) || typeof(\"made on\") || length(\"made on\") || plain) FROM "
		db := b.open(t)
		for _, table := range insertByAllWays(t, db, func(table string) {
			for _, both := range []*sql.DB{db, oracle} {
				mustExec(t, both, "CREATE TABLE "+table+differing)
			}
			for _, one := range leavesOutRows {
				mustExec(t, oracle, strings.ReplaceAll(one.insert, "{t}", table), args(one.insert)...)
			}
		}) {
			var got, want [5]string
			scan(t, db, shape+table, nil, &got[0], &got[1], &got[2], &got[3], &got[4])
			scan(t, oracle, shape+table, nil, &want[0], &want[1], &want[2], &want[3], &want[4])
			assert.Equal(t, want, got)
		}
	})
}

func args(insert string) []any {
	if strings.Contains(insert, "?1") {
		return []any{6}
	}
	return nil
}

// insertByAllWays inserts into a new table for each way, and returns the tables.
func insertByAllWays(t *testing.T, db *sql.DB, create func(table string)) (tables []string) {
	t.Helper()
	ctx := t.Context()
	inTx := func(mode rqlite.TxMode) func(statement string, args []any) error {
		return func(statement string, args []any) error {
			return rqlite.RunTx(rqlite.WithTxMode(ctx, mode), db, nil, func(tx *sql.Tx) error {
				_, err := tx.Exec(statement, args...)
				return err
			})
		}
	}
	inBatch := func(atomic bool) func(statement string, args []any) error {
		return func(statement string, args []any) error {
			b := rqlite.Batch{Atomic: atomic}
			b.Add(statement, args...)
			_, err := b.Exec(ctx, db)
			return err
		}
	}
	for name, way := range map[string]func(statement string, args []any) error{
		"Exec": func(statement string, args []any) error { _, err := db.Exec(statement, args...); return err },
		"alone": func(statement string, args []any) error {
			_, err := db.ExecContext(rqlite.WithoutCoalescing(ctx), statement, args...)
			return err
		},
		"script": func(statement string, args []any) error {
			_, err := db.Exec("SELECT 1; "+statement, args...)
			return err
		},
		"Query": func(statement string, args []any) error {
			rows, err := db.Query(statement, args...)
			if err != nil {
				return err
			}
			return rows.Close()
		},
		"queue": func(statement string, args []any) error {
			_, err := db.ExecContext(rqlite.WithQueue(ctx, true), statement, args...)
			return err
		},
		"Batch": inBatch(false), "Batch, atomic": inBatch(true),
		"interactive": inTx(rqlite.TxInteractive), "deferred": inTx(rqlite.TxPipelined),
	} {
		table := newTable()
		create(table)
		tables = append(tables, table)
		for _, one := range leavesOutRows {
			statement := strings.ReplaceAll(one.insert, "{t}", table)
			err := way(statement, args(one.insert))
			if err != nil && strings.Contains(err.Error(), "could be the same in several rows") {
				_, err = db.Exec(statement, args(one.insert)...) // one that has to go alone
			}
			require.NoError(t, err, "%s: %s", name, statement)
		}
	}
	return tables
}

// What RETURNING tells of a default is what is stored, in a transaction as well.
func TestDefaultsReturned(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := b.open(t), newTable()
		ctx := t.Context()
		insert := "INSERT INTO " + table + " (a) VALUES (1) RETURNING id"
		var ids [3]string
		require.NoError(t, rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
			if _, err := tx.Exec("CREATE TABLE " + table + differing); err != nil {
				return err
			}
			return tx.QueryRow(insert).Scan(&ids[0])
		}))
		require.NoError(t, rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error { return tx.QueryRow(insert).Scan(&ids[1]) }))
		require.NoError(t, db.QueryRow(insert).Scan(&ids[2]))
		var n int
		scan(t, db, "SELECT count(*) FROM "+table+" WHERE id IN (?, ?, ?)", []any{ids[0], ids[1], ids[2]}, &n)
		assert.Equal(t, 3, n)
	})
}

// A table that is created beside the INSERTs of others, or anew, has the defaults that it has.
func TestDefaultsFollowTheSchema(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, other, table := b.open(t), b.open(t), newTable()
		returned := func(where *sql.DB) (a string, err error) {
			err = rqlite.RunTx(t.Context(), where, nil, func(tx *sql.Tx) error {
				return tx.QueryRow("INSERT INTO " + table + " (b) VALUES (1) RETURNING a").Scan(&a)
			})
			return a, err
		}
		_, err := returned(other)
		require.ErrorContains(t, err, "no such table")
		mustExec(t, db, "CREATE TABLE "+table+" (b, a DEFAULT (random()))")
		_, err = returned(other)
		require.NoError(t, err, "the other database asks for a table that it does not know")
		mustExec(t, db, "DROP TABLE "+table+"; CREATE TABLE "+table+" (b, a DEFAULT (hex(randomblob(3))))")
		a, err := returned(db)
		require.NoError(t, err)
		assert.Len(t, a, 6)
		mustExec(t, db, fmt.Sprintf("DROP TABLE %s; CREATE TABLE %[1]s (b, c, a DEFAULT (hex(randomblob(4)))); INSERT INTO %[1]s (b) VALUES (2)", table))
		scan(t, db, "SELECT a FROM "+table, nil, &a)
		assert.Len(t, a, 8, "in the script that creates it")
	})
}

// An INSERT … SELECT of several rows, which would get one random number, is refused.
func TestDefaultsRandomForSeveralRows(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := b.open(t), newTable()
		mustExec(t, db, "CREATE TABLE "+table+differing)
		_, err := db.ExecContext(context.Background(), "INSERT INTO "+table+" (a) SELECT value FROM json_each('[1,2]')")
		require.ErrorContains(t, err, "would be the same in all rows")
		var n int
		scan(t, db, "SELECT count(*) FROM "+table, nil, &n)
		assert.Zero(t, n)
	})
}
