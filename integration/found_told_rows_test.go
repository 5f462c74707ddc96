package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// badTimes are values that a DATETIME column can hold and the server cannot send.
var badTimes = []string{
	"253402300800", "631152000000", "1000000000000", "-62167219201",
	"'2020-01-01 00:00:00+24:00'", "'2020-01-01T00:00:00-24:00'",
}

// readAllOf reads all rows of a query.
func readAllOf(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
			continue
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// How a write is told whose rows cannot be sent, by each way that it may go.
var badTimeWays = map[string]struct {
	run     func(ctx context.Context, db *sql.DB, write string) error
	applied bool
	lost    bool // the error is ErrRowsLost
}{
	"Query": {func(ctx context.Context, db *sql.DB, write string) error {
		return readAllOf(db.QueryContext(ctx, write))
	}, true, true},
	"Query, not joined": {func(ctx context.Context, db *sql.DB, write string) error {
		return readAllOf(db.QueryContext(rqlite.WithoutCoalescing(ctx), write))
	}, true, true},
	"Query of a script": {func(ctx context.Context, db *sql.DB, write string) error {
		return readAllOf(db.QueryContext(ctx, "SELECT 1; "+write))
	}, true, true},
	"Exec": {func(ctx context.Context, db *sql.DB, write string) error {
		r, err := db.ExecContext(ctx, write)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); n != 1 || err != nil {
			return errors.Join(errors.New("RowsAffected is not 1"), err)
		}
		return nil
	}, true, false},
	"Exec of a script": {func(ctx context.Context, db *sql.DB, write string) error {
		_, err := db.ExecContext(ctx, "SELECT 1; "+write+"; SELECT 2")
		return err
	}, true, false},
	"Batch": {func(ctx context.Context, db *sql.DB, write string) error {
		var b rqlite.Batch
		b.Add("SELECT 1")
		b.Add(write)
		results, err := b.Exec(ctx, db)
		if len(results) == 2 && !errors.Is(results[1].Err, rqlite.ErrRowsLost) {
			return errors.New("the entry is told otherwise")
		}
		return err
	}, true, true},
	"Batch, atomic": {func(ctx context.Context, db *sql.DB, write string) error {
		b := rqlite.Batch{Atomic: true}
		b.Add("SELECT 1")
		b.Add(write)
		_, err := b.Exec(ctx, db)
		return err
	}, false, false},
	"transaction": {func(ctx context.Context, db *sql.DB, write string) error {
		return rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error { return readAllOf(tx.QueryContext(ctx, write)) })
	}, false, false},
	"transaction, Exec": {func(ctx context.Context, db *sql.DB, write string) error {
		return rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error { _, err := tx.ExecContext(ctx, write); return err })
	}, true, false},
	"transaction, deferred": {func(ctx context.Context, db *sql.DB, write string) error {
		return rqlite.RunTx(rqlite.WithTxMode(ctx, rqlite.TxPipelined), db, nil, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, write)
			return err
		})
	}, true, false},
	"transaction, Exec before a Query": {func(ctx context.Context, db *sql.DB, write string) error {
		return rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, write); err != nil {
				return nil
			}
			return readAllOf(tx.QueryContext(ctx, "CREATE TABLE IF NOT EXISTS told_other(x); INSERT INTO told_other VALUES (1) RETURNING x"))
		})
	}, false, false},
}

// A write whose rows cannot be sent is told as applied where it was, and only there.
func TestToldBadTimes(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		for name := range badTimeWays {
			for i, value := range badTimes {
				if i > 1 && name != "Query" {
					break
				}
				writes := []string{
					"INSERT INTO {t} VALUES (2, " + value + ") RETURNING born",
					"UPDATE {t} SET id = 2, born = " + value + " WHERE id = 1 RETURNING born",
				}
				if name == "Query" { // of a statement that is tried out before
					writes = append(writes, "WITH x AS (SELECT 1) UPDATE {t} SET id = 2, born = "+value+" WHERE id IN x RETURNING born")
				}
				for _, write := range writes {
					testBadTime(t, db, name, write)
				}
			}
		}
	})
}

func testBadTime(t *testing.T, db *sql.DB, name, write string) {
	t.Helper()
	way := badTimeWays[name]
	table := newTable()
	mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, born DATETIME)")
	mustExec(t, db, "INSERT INTO "+table+" VALUES (1, 5)")
	write = strings.ReplaceAll(write, "{t}", table)
	err := way.run(t.Context(), db, write)
	var n int
	scan(t, db, "SELECT count(*) FROM "+table+" WHERE id = 2", nil, &n)
	if err != nil && strings.Contains(err.Error(), "rqlite does not understand a part") {
		assert.Zero(t, n, "%s: %s", name, write)
		return // earlier releases do not see RETURNING behind WITH, so that it was refused
	}
	assert.Equal(t, way.applied, n == 1, "%s: %s: %v", name, write, err)
	assert.Equal(t, way.lost, errors.Is(err, rqlite.ErrRowsLost), "%s: %s: %v", name, write, err)
	if way.applied && !way.lost {
		assert.NoError(t, err, "%s: %s", name, write)
	} else {
		assert.ErrorContains(t, err, "CAST(column AS TEXT)", "%s: %s", name, write)
	}
	assert.NotErrorIs(t, err, rqlite.ErrIndeterminate, "%s: %s", name, write)
}

// A deferred foreign key undoes a write after its first row, and the server forgets to say so.
func TestToldBadTimeUndone(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := openDSN(t, b.launch(t, serverOptions{foreignKeys: true}).dsn)
		mustExec(t, db, "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p INT REFERENCES p DEFERRABLE INITIALLY DEFERRED, born DATETIME)")
		for _, parent := range []string{"7", "NULL"} {
			const write = "INSERT INTO c VALUES ({p}, 631152000000) RETURNING born"
			err := readAllOf(db.QueryContext(t.Context(), strings.ReplaceAll(write, "{p}", parent)))
			assert.NotErrorIs(t, err, rqlite.ErrRowsLost, parent)
			assert.ErrorIs(t, err, rqlite.ErrIndeterminate, parent)
			_, err = db.ExecContext(t.Context(), strings.ReplaceAll(write, "{p}", parent))
			if parent == "NULL" {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, rqlite.ErrIndeterminate)
			}
		}
		var n int
		scan(t, db, "SELECT count(*) FROM c", nil, &n)
		assert.Equal(t, 2, n)
	})
}

// A read of such a value says what to do, and that works.
func TestToldBadTimeRead(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, born DATETIME)")
		mustExec(t, db, "INSERT INTO "+table+" VALUES (1, 5), (2, 631152000000)")
		err := readAllOf(db.QueryContext(t.Context(), "SELECT * FROM "+table))
		var failed *rqlite.Error
		require.ErrorAs(t, err, &failed)
		assert.Contains(t, failed.Message, "CAST(column AS TEXT)")
		var text string
		var number int64
		scan(t, db, "SELECT CAST(born AS TEXT), CAST(born AS INTEGER) FROM "+table+" WHERE id = 2", nil, &text, &number)
		assert.Equal(t, "631152000000", text)
		assert.Equal(t, int64(631152000000), number)
	})
}
