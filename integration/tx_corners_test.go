package integration_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inConnTx runs fn in a transaction of a connection of its own, which fn can also
// give batches, and commits it.
func inConnTx(t *testing.T, db *sql.DB, fn func(*sql.Tx, func(*rqlite.Batch) ([]rqlite.BatchResult, error))) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	tx, err := conn.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	fn(tx, func(b *rqlite.Batch) (results []rqlite.BatchResult, err error) {
		err = conn.Raw(func(c any) error {
			results, err = c.(rqlite.Conn).ExecBatch(t.Context(), b)
			return err
		})
		return results, err
	})
	require.NoError(t, tx.Commit())
}

func columnN(t *testing.T, db *sql.DB, table string) (all []int64) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT n FROM "+table+" ORDER BY n")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var n int64
		require.NoError(t, rows.Scan(&n))
		all = append(all, n)
	}
	require.NoError(t, rows.Err())
	return all
}

// A batch in a transaction is part of it; an atomic one that fails leaves nothing.
func TestTxBatch(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := b.open(t), newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY)")
		insert := "INSERT INTO " + table + " VALUES (?)"
		inConnTx(t, db, func(tx *sql.Tx, run func(*rqlite.Batch) ([]rqlite.BatchResult, error)) {
			_, err := tx.Exec("SAVEPOINT a; SAVEPOINT b; "+insert, 1)
			require.NoError(t, err)

			for _, control := range []string{"RELEASE a", "ROLLBACK TO a", "ROLLBACK TO nosuch", "SAVEPOINT c"} {
				batch := rqlite.Batch{Atomic: true}
				batch.Add(insert, 2)
				batch.Add(control)
				_, err = run(&batch)
				require.ErrorContains(t, err, "a batch cannot hold SAVEPOINT")
			}
			failing := rqlite.Batch{Atomic: true}
			failing.Add(insert, 3)
			failing.Add(insert, 1)
			_, err = run(&failing)
			require.ErrorIs(t, err, rqlite.ConstraintUnique)
			require.ErrorContains(t, err, "statement 2 of 2")

			var loose rqlite.Batch
			loose.Add(insert, 4)
			loose.Add(insert, 1)
			loose.Add(insert+" RETURNING n", 5)
			loose.Add("SELECT count(*) FROM " + table)
			results, err := run(&loose)
			require.ErrorIs(t, err, rqlite.ConstraintUnique)
			require.Len(t, results, 4)
			assert.Equal(t, [2]int64{4, 1}, [2]int64{results[0].LastInsertID, results[0].RowsAffected})
			require.ErrorIs(t, results[1].Err, rqlite.ConstraintUnique)
			assert.Equal(t, [][]any{{int64(5)}}, results[2].Rows)
			assert.Equal(t, [][]any{{int64(3)}}, results[3].Rows)
			_, err = tx.Exec("ROLLBACK TO b; RELEASE a; "+insert, 6)
			require.NoError(t, err)
			_, err = run(&loose)
			require.NoError(t, err)
		})
		assert.Equal(t, []int64{1, 4, 5, 6}, columnN(t, db, table))
	})
}

// What a transaction shows of a value that is made up is what it stores, or else
// the statement is refused.
func TestTxMadeUpValues(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := b.open(t), newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY, v)")
		refused := 0
		for _, c := range []struct {
			value string
			args  []any
		}{
			{"random()", nil},
			{`"random"()`, nil},
			{"[random]()", nil},
			{"hex(`randomblob`(8))", nil},
			{"strftime('%f', 'now')", nil},
			{"`strftime`('%f', 'now')", nil},
			{"strftime('%f', x'6e6f77')", nil},
			{"strftime('%f')", nil},
			{"unixepoch('subsec')", nil},
			{"julianday()", nil},
			{"CURRENT_TIMESTAMP || random()", nil},
			{"strftime('%f', ?)", []any{"now"}},
			{"strftime('%f', ?)", []any{[]byte("NOW")}},
			{"strftime('%f', (?))", []any{"now"}},
			{"strftime('%f', ('now'))", nil},
			{`"total_changes"()`, nil},
			{`"last_insert_rowid"()`, nil},
			{"changes()", nil},
		} {
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			if _, err := tx.Exec("INSERT INTO "+table+"(v) VALUES ("+c.value+")", c.args...); err != nil {
				refused++
				require.NoError(t, tx.Rollback())
				continue
			}
			read := "SELECT v FROM " + table + " ORDER BY n DESC LIMIT 1"
			var seen, stored any
			require.NoError(t, tx.QueryRow(read).Scan(&seen))
			require.NoError(t, tx.Commit())
			scan(t, db, read, nil, &stored)
			assert.Equal(t, seen, stored, c.value)
		}
		assert.Equal(t, 7, refused)
	})
}

// The rowids of the driver's own table do not show where nothing was inserted.
func TestTxRowidBeforeAnInsert(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := b.open(t), newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY); CREATE TABLE "+table+"_w (n INTEGER PRIMARY KEY) WITHOUT ROWID; INSERT INTO "+table+" VALUES (1)")
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		for _, before := range []string{"INSERT OR IGNORE INTO " + table + " VALUES (1)", "INSERT INTO " + table + "_w VALUES (1)"} {
			_, err = tx.Exec(before)
			require.NoError(t, err)
			_, err = tx.Exec("INSERT INTO " + table + " SELECT last_insert_rowid()")
			require.ErrorContains(t, err, "last_insert_rowid() has nothing to tell")
			var id int64
			require.ErrorContains(t, tx.QueryRow("SELECT last_insert_rowid()").Scan(&id), "last_insert_rowid() has nothing to tell")
		}
		_, err = tx.Exec("INSERT INTO " + table + " VALUES (5); INSERT INTO " + table + " SELECT last_insert_rowid() + 1")
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		assert.Equal(t, []int64{1, 5, 6}, columnN(t, db, table))
		assert.Equal(t, []int64{1}, columnN(t, db, table+"_w"))
	})
}

// A statement that the driver refuses once it was tried out leaves those before
// it in the transaction.
func TestTxScriptThatBreaksOff(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := b.open(t), newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY)")
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.Query("INSERT INTO " + table + " VALUES (1); INSERT INTO [" + table + "](n) VALUES (2) RETURNING n")
		require.ErrorContains(t, err, "statement 2 of 2: rqlite does not understand")
		_, err = tx.Exec(`SAVEPOINT ""; INSERT INTO ` + table + ` VALUES (3); ROLLBACK TO ""; INSERT INTO ` + table + " VALUES (4)")
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		assert.Equal(t, []int64{1, 4}, columnN(t, db, table))
	})
}

// Somebody drops the driver's table while a transaction is under way.
func TestTxWithoutItsRegister(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 1})
		db, other := openDSN(t, f.dsn()), openDSN(t, withSettings(f.dsn(), "txversion=false"))
		mustExec(t, db, "CREATE TABLE numbered (n INTEGER PRIMARY KEY)")
		runs := 0
		require.NoError(t, rqlite.RunTx(context.Background(), db, nil, func(tx *sql.Tx) error {
			runs++
			if _, err := tx.Exec("INSERT INTO numbered VALUES (1)"); err != nil {
				return err
			}
			_, err := other.Exec("DROP TABLE _rqlite_tx")
			return err
		}))
		assert.Equal(t, 1, runs)
		assert.Equal(t, []int64{1}, columnN(t, db, "numbered"))
	})
}
