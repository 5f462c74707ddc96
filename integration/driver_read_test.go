package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestConsistencyLevels reads with every way to say how.
func TestConsistencyLevels(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		table := newTable()
		db := b.open(t)
		mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, v TEXT)")
		check := func(ctx context.Context, db *sql.DB, want string) {
			t.Helper()
			var got string
			require.NoError(t, db.QueryRowContext(ctx, "SELECT v FROM "+table+" WHERE id = 1").Scan(&got))
			assert.Equal(t, want, got)
		}
		mustExec(t, db, "INSERT INTO "+table+" VALUES (1, 'by DSN')")
		for _, settings := range []string{
			"level=weak", "level=linearizable", "level=strong", "level=none", "level=auto",
			"level=none&freshness=10s", "level=none&freshness=10s&freshness_strict=true", "level=auto&freshness=10s",
			"level=linearizable&linearizable_timeout=5s",
		} {
			check(t.Context(), b.open(t, settings), "by DSN")
		}
		for i, level := range []rqlite.Consistency{rqlite.Weak, rqlite.Linearizable, rqlite.Strong, rqlite.None, rqlite.Auto} {
			// One node has applied what it has acknowledged, so that no level is behind.
			mustExec(t, db, "UPDATE "+table+" SET v = ?", fmt.Sprint("by context ", i))
			ctx := rqlite.WithConsistency(t.Context(), level)
			check(ctx, db, fmt.Sprint("by context ", i))
			if level == rqlite.None || level == rqlite.Auto {
				check(rqlite.WithFreshness(ctx, 10*time.Second, true), db, fmt.Sprint("by context ", i))
				continue
			}
			_, err := db.QueryContext(rqlite.WithFreshness(ctx, time.Second, false), "SELECT 1")
			require.ErrorContains(t, err, "freshness", level)
		}
		ctx := rqlite.WithConsistency(t.Context(), rqlite.Linearizable)
		check(rqlite.WithLinearizableTimeout(ctx, 5*time.Second), db, "by context 4")
	})
}

// TestReadYourWrites demands that a read sees every write before it, at the
// levels that promise it.
func TestReadYourWrites(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		table := newTable()
		db := b.open(t)
		mustExec(t, db, "CREATE TABLE "+table+" (n INT)")
		mustExec(t, db, "INSERT INTO "+table+" VALUES (0)")
		for i := range 60 {
			level := []rqlite.Consistency{rqlite.Weak, rqlite.Linearizable, rqlite.Strong}[i%3]
			mustExec(t, db, "UPDATE "+table+" SET n = n + 1")
			var n int
			require.NoError(t, db.QueryRowContext(rqlite.WithConsistency(t.Context(), level), "SELECT n FROM "+table).Scan(&n))
			require.Equal(t, i+1, n, level)
		}
	})
}

func TestBatchExec(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, v REAL UNIQUE)")
		batch := func(atomic bool) ([]rqlite.BatchResult, error) {
			batch := rqlite.Batch{Atomic: atomic}
			batch.Add("INSERT INTO "+table+" (v) VALUES (?), (?)", 1.0, 2.0)
			batch.Add("UPDATE "+table+" SET v = :new WHERE v = :old", sql.Named("old", 2.0), sql.Named("new", 3.0))
			batch.Add("INSERT INTO "+table+" (v) VALUES (?)", 1.0) // fails
			batch.Add("INSERT INTO "+table+" (v) VALUES (?) RETURNING id, v", 4.0)
			return batch.Exec(t.Context(), db)
		}
		var count int
		results, err := batch(true)
		require.ErrorIs(t, err, rqlite.ConstraintUnique)
		assert.Nil(t, results)
		scan(t, db, "SELECT count(*) FROM "+table, nil, &count)
		require.Zero(t, count, "an atomic batch is rolled back")

		results, err = batch(false)
		var failed *rqlite.Error
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, 2, failed.Statement)
		require.Len(t, results, 4)
		assert.EqualValues(t, 2, results[0].RowsAffected)
		assert.EqualValues(t, 2, results[0].LastInsertID)
		assert.EqualValues(t, 1, results[1].RowsAffected)
		require.ErrorIs(t, results[2].Err, rqlite.ConstraintUnique)
		require.NoError(t, results[3].Err)
		assert.Equal(t, []string{"id", "v"}, results[3].Columns)
		assert.Equal(t, [][]any{{int64(3), 4.0}}, results[3].Rows)
		scan(t, db, "SELECT count(*) FROM "+table, nil, &count)
		assert.Equal(t, 3, count)
	})
}

func TestBatchQuery(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, at DATETIME, ok BOOLEAN, data BLOB)")
		mustExec(t, db, "INSERT INTO "+table+" VALUES (1, ?, TRUE, ?)", time.Date(2024, 1, 2, 3, 4, 5, 6, time.UTC), []byte{0xff})
		for _, atomic := range []bool{false, true} {
			batch := rqlite.Batch{Atomic: atomic}
			batch.Add("SELECT * FROM "+table+" WHERE id = ?", 1)
			batch.Add("SELECT ? AS a", "x'00'")
			batch.Add("SELECT id FROM " + table + " WHERE 0")
			results, err := batch.Query(t.Context(), db)
			require.NoError(t, err)
			require.Len(t, results, 3)
			assert.Equal(t, []string{"id", "at", "ok", "data"}, results[0].Columns)
			require.Len(t, results[0].Rows, 1)
			row := results[0].Rows[0]
			at, ok := row[1].(time.Time)
			require.True(t, ok)
			assert.True(t, at.Equal(time.Date(2024, 1, 2, 3, 4, 5, 6, time.UTC)))
			assert.Equal(t, []any{int64(1), true, []byte{0xff}}, []any{row[0], row[2], row[3]})
			assert.Equal(t, [][]any{{"x'00'"}}, results[1].Rows)
			assert.Empty(t, results[2].Rows)
		}
		var batch rqlite.Batch
		batch.Add("DELETE FROM " + table)
		results, err := batch.Query(t.Context(), db)
		require.ErrorIs(t, err, rqlite.ReadOnly)
		require.Empty(t, results, "it was not sent")
		var count int
		scan(t, db, "SELECT count(*) FROM "+table, nil, &count)
		assert.Equal(t, 1, count)
	})
}

// TestZones reads times with the setting loc.
func TestZones(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		table := newTable()
		mustExec(t, b.open(t), "CREATE TABLE "+table+" (at DATETIME)")
		stored := time.Date(2024, 7, 2, 3, 4, 5, 0, time.FixedZone("", -8*3600))
		mustExec(t, b.open(t), "INSERT INTO "+table+" VALUES (?)", stored)
		for _, loc := range []string{"auto", "UTC", "Europe/Berlin"} {
			var got time.Time
			scan(t, b.open(t, "loc="+loc), "SELECT at FROM "+table, nil, &got)
			assert.True(t, got.Equal(stored), loc)
			want := stored
			if loc != "auto" {
				zone, err := time.LoadLocation(loc)
				require.NoError(t, err)
				want = stored.In(zone)
			}
			assert.Equal(t, want.Format(time.RFC3339), got.Format(time.RFC3339))
		}
	})
}
