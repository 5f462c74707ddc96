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

// A transaction whose first write fails holds nothing, and keeps no other writer waiting.
func TestToldFailedFirstWrite(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t, "timeout=3s")
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY)")
		mustExec(t, db, "INSERT INTO "+table+" VALUES (1)")
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer tx.Rollback()
		_, err = tx.ExecContext(t.Context(), "INSERT INTO "+table+" VALUES (1)")
		require.ErrorIs(t, err, rqlite.ConstraintUnique)
		mustExec(t, db, "INSERT INTO "+table+" VALUES (2)") // beside it
		_, err = tx.ExecContext(t.Context(), "INSERT INTO "+table+" VALUES (3)")
		require.NoError(t, err)
		beside(t, db, "INSERT INTO "+table+" VALUES (4)", rqlite.Busy)
		require.NoError(t, tx.Commit())
		var n int
		scan(t, db, "SELECT count(*) FROM "+table, nil, &n)
		assert.Equal(t, 3, n)
	})
}

// With txlock=immediate it keeps them waiting from the beginning on.
func TestToldFailedFirstWriteImmediate(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t, "txlock=immediate")
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer tx.Rollback()
		_, err = tx.ExecContext(t.Context(), "INSERT INTO nowhere VALUES (1)")
		require.Error(t, err)
		beside(t, db, "DELETE FROM nowhere", rqlite.Busy)
	})
}

// beside demands that a write beside a transaction waits until its context ends.
func beside(t *testing.T, db *sql.DB, write string, is error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := db.ExecContext(ctx, write)
	require.ErrorIs(t, err, is)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
