package integration_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// batchTable is a table, and statements that write to it. @ is its name.
type batchTable struct {
	schema string
	writes []string
}

var batchTables = []batchTable{
	{"CREATE TABLE @ (id INTEGER PRIMARY KEY, a, b)", []string{
		"INSERT INTO @(a, b) VALUES (?, ?)", "INSERT INTO @(id, a) VALUES (?, ?)", "INSERT INTO @ VALUES (?, ?, ?)", "INSERT INTO @(b, a) VALUES (?2, ?1), (?1, ?2)",
		"UPDATE @ SET a = ? WHERE id = ?", "DELETE FROM @ WHERE id > ? AND a = ?", "INSERT INTO @(a) SELECT a FROM @ WHERE id < ? AND b IS NOT ? LIMIT 3",
	}},
	{"CREATE TABLE @ (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b)", []string{
		"INSERT INTO @(a, b) VALUES (?, ?)", "INSERT INTO @(id, a) VALUES (?, ?)", "DELETE FROM @ WHERE id > ? AND a = ?",
	}},
	{"CREATE TABLE @ (a TEXT, b REAL, c NUMERIC, d INT, e BLOB)", []string{
		"INSERT INTO @ VALUES (?, ?, ?, ?, ?)", "INSERT INTO @(e, d) VALUES (?, ?)", "UPDATE @ SET a = b, d = ? WHERE c = ?",
	}},
	{"CREATE TABLE @ (a TEXT, b INT, n ANY) STRICT", []string{"INSERT INTO @ VALUES (?, ?, ?)", "INSERT INTO @(n) VALUES (?)", "INSERT INTO @(n, a) VALUES (?, ?)"}},
	{"CREATE TABLE @ (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID", []string{
		"INSERT INTO @ VALUES (?, ?)", "INSERT INTO @(a,b)VALUES(?,?),(?,?)", "DELETE FROM @ WHERE a = ? OR b = ?",
	}},
	{"CREATE TABLE @ (id INTEGER PRIMARY KEY, u UNIQUE, b)", []string{
		"INSERT INTO @(u, b) VALUES (?, ?)", "INSERT OR IGNORE INTO @(u, b) VALUES (?, ?)", "INSERT OR REPLACE INTO @(u, b) VALUES (?, ?)", "INSERT INTO @(u) VALUES (?)",
		"UPDATE @ SET b = ? WHERE u = ?", "INSERT INTO @(u, b) VALUES (?, ?) ON CONFLICT DO NOTHING",
	}},
	{"CREATE TABLE @ (id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT IGNORE, b NOT NULL ON CONFLICT REPLACE DEFAULT 7)", []string{"INSERT INTO @(u, b) VALUES (?, ?)"}},
	{"CREATE TABLE @ (id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT REPLACE, b CHECK (b IS NOT 3))", []string{"INSERT INTO @(u, b) VALUES (?, ?)"}},
	{"CREATE TABLE @ (id INTEGER PRIMARY KEY, a, p DEFAULT (last_insert_rowid()), CHECK (last_insert_rowid() > -5))", []string{"INSERT INTO @(a) VALUES (?)"}},
	{"CREATE TABLE @ (id INTEGER PRIMARY KEY, a, g AS (typeof(a)) STORED, v AS (quote(a)) VIRTUAL, CHECK (typeof(a) <> 'null'))", []string{
		"INSERT INTO @(a) VALUES (?)", "INSERT INTO @ VALUES (?, ?)",
	}},
	{`CREATE TABLE @ (id INTEGER PRIMARY KEY, a, b, seen);
		CREATE TRIGGER @_insert AFTER INSERT ON @ BEGIN UPDATE @ SET seen = changes() || ' ' || last_insert_rowid() WHERE id = new.id; END`, []string{
		"INSERT INTO @(a, b) VALUES (?, ?)", "UPDATE @ SET b = ? WHERE id = ?",
	}},
	{`CREATE TABLE @ (k DATETIME, b BOOLEAN, c VARCHAR(5)); CREATE UNIQUE INDEX @_index ON @(k, c) WHERE b`, []string{
		"INSERT INTO @ VALUES (?, ?, ?)", "INSERT INTO @(rowid, k) VALUES (?, ?)", "INSERT INTO main.@ (c) VALUES (?)", `INSERT INTO "@"("k")VALUES(?)`,
	}},
	{"CREATE TABLE @ (id INTEGER PRIMARY KEY, a COLLATE NOCASE UNIQUE, b)", []string{"INSERT INTO @(a, b) VALUES (?, ?)", "DELETE FROM @ WHERE a = ? AND b = ?"}},
}

// batchProgrammer makes random batches for one table.
type batchProgrammer struct {
	generator
	next int64
}

// batch returns runs of one text each, whose values are all of a kind or any. A statement before them gives
// changes() and last_insert_rowid() a value.
func (p *batchProgrammer) batch(table batchTable, name string) (list []propertyStatement) {
	list = append(list, propertyStatement{query: "INSERT INTO " + name + "_before VALUES (1)"})
	for range 1 + p.IntN(4) {
		text := pick(&p.generator, table.writes)
		places := strings.Count(text, "?")
		if strings.Contains(text, "?2") {
			places = 2
		}
		kind := p.IntN(3)
		for range 1 + p.IntN(24) {
			s := propertyStatement{query: strings.ReplaceAll(text, "@", name)}
			for place := range places {
				s.args = append(s.args, p.argument(kind, place == 0))
			}
			list = append(list, s)
		}
	}
	return list
}

// argument returns a value. Kind 0 is numbers that are new, 1 is texts, and 2 is anything. The first one
// of a statement may be an id, and is NULL at times.
func (p *batchProgrammer) argument(kind int, first bool) any {
	switch {
	case kind == 2 && p.IntN(3) == 0:
		value := p.value()
		switch value.(type) {
		case float32, float64: // how SQLite writes more digits in a text depends on its version
			return float64(p.IntN(1e6)) / 8
		}
		return value
	case kind == 2:
		return int64(p.IntN(60))
	case first && p.IntN(40) == 0:
		return nil
	}
	p.next++
	if kind == 1 {
		return fmt.Sprint("text ", p.next)
	}
	return p.next
}

// TestBatchFusedRandom holds random atomic batches to SQLite: results, failures and contents.
// RQLITE_SEED runs the same ones again, and RQLITE_ROUNDS says how many there are.
func TestBatchFusedRandom(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		seed := uint64(envInt(t, "RQLITE_SEED", time.Now().UnixNano()))
		rounds := envInt(t, "RQLITE_ROUNDS", 60)
		subject, oracle := b.open(t), openOracle(t)
		failed := int64(0)
		for round := range rounds {
			p := &batchProgrammer{generator: generator{Rand: rand.New(rand.NewPCG(seed, uint64(round)))}}
			table, name := pick(&p.generator, batchTables), newTable()
			for _, db := range []*sql.DB{oracle, subject} {
				mustExec(t, db, strings.ReplaceAll("CREATE TABLE @_before (n); "+table.schema, "@", name))
			}
			if !sameBatch(t, oracle, subject, table.schema, p.batch(table, name)) {
				failed++
			}
			assert.Equal(t, typedRows(t, oracle, name), typedRows(t, subject, name))
			require.False(t, t.Failed(), "RQLITE_SEED=%d, round %d, %s", seed, round, table.schema)
		}
		report(t, "RQLITE_SEED=%d: %d batches, %d of which fail", seed, rounds, failed)
		if rounds >= 60 {
			assert.Positive(t, failed)
			assert.Less(t, failed, rounds)
		}
	})
}

// sameBatch runs an atomic batch on both, and compares what they tell. It reports whether SQLite runs it.
func sameBatch(t *testing.T, oracle, subject *sql.DB, schema string, list []propertyStatement) bool {
	t.Helper()
	tx := begin(t, oracle, nil)
	var wants []rqlite.BatchResult
	var failure error
	for _, s := range list {
		result, err := tx.ExecContext(t.Context(), s.query, s.args...)
		if failure = err; err != nil {
			break
		}
		id, _ := result.LastInsertId()
		rows, _ := result.RowsAffected()
		wants = append(wants, rqlite.BatchResult{LastInsertID: id, RowsAffected: rows})
	}
	batch := batchOf(list)
	batch.Atomic = true
	results, err := batch.Exec(t.Context(), subject)
	if failure != nil {
		require.NoError(t, tx.Rollback())
		var told *rqlite.Error
		require.ErrorAs(t, err, &told, failure)
		assert.Equal(t, len(wants), told.Statement)
		assert.Equal(t, kindOf(failure), kindOf(err))
		return false
	}
	require.NoError(t, tx.Commit())
	require.NoError(t, err)
	require.Len(t, results, len(wants))
	for i, want := range wants {
		ids := strings.HasPrefix(list[i].query, "INSERT") && want.RowsAffected > 0 && !strings.Contains(schema, "WITHOUT ROWID")
		if !ids { // SQLite tells an older one
			want.LastInsertID = results[i].LastInsertID
		}
		assert.Equal(t, [2]int64{want.LastInsertID, want.RowsAffected}, [2]int64{results[i].LastInsertID, results[i].RowsAffected}, "%d: %v", i, list[i])
	}
	return true
}
