package integration_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// waitingEnd is a transaction in which writes wait, and which comes to its end.
type waitingEnd struct {
	*sql.Tx
	table    string
	cancel   func()
	inserted int
}

// insert inserts a number, which does not fail before it runs.
func (e *waitingEnd) insert(t *testing.T, n int) sql.Result {
	t.Helper()
	e.inserted++
	result, err := e.ExecContext(t.Context(), "INSERT INTO "+e.table+" (n) VALUES (?)", n)
	require.NoError(t, err)
	return result
}

// waitingEnds are the ways of which a transaction comes to its end. The numbers below 14 are taken.
var waitingEnds = map[string]func(t *testing.T, e *waitingEnd) (committed bool){
	"late in the commit": func(t *testing.T, e *waitingEnd) bool {
		e.insert(t, 1)
		require.ErrorIs(t, e.Commit(), rqlite.ConstraintUnique)
		return false
	},
	"late in a query": func(t *testing.T, e *waitingEnd) bool {
		e.insert(t, 1)
		_, err := one(t.Context(), e.Tx, "SELECT 1")
		require.ErrorIs(t, err, rqlite.ConstraintUnique)
		err = e.Commit()
		require.ErrorIs(t, err, rqlite.ErrTxConflict)
		require.ErrorIs(t, err, rqlite.ConstraintUnique)
		return false
	},
	"late in a result": func(t *testing.T, e *waitingEnd) bool {
		e.insert(t, 1)
		_, err := e.insert(t, 50).LastInsertId()
		require.ErrorIs(t, err, rqlite.ConstraintUnique)
		require.NoError(t, e.Rollback())
		return false
	},
	"late in a savepoint": func(t *testing.T, e *waitingEnd) bool {
		_, err := e.ExecContext(t.Context(), "SAVEPOINT mark")
		require.NoError(t, err)
		e.insert(t, 1)
		_, err = e.ExecContext(t.Context(), "ROLLBACK TO mark")
		require.ErrorIs(t, err, rqlite.ErrTxConflict)
		require.ErrorIs(t, e.Commit(), rqlite.ErrTxConflict)
		return false
	},
	"cancelled": func(t *testing.T, e *waitingEnd) bool {
		result := e.insert(t, 50)
		e.cancel()
		_, err := result.RowsAffected()
		require.Error(t, err)
		require.Error(t, e.Commit())
		return false
	},
	"rolled back": func(t *testing.T, e *waitingEnd) bool {
		result := e.insert(t, 50)
		require.NoError(t, e.Rollback())
		_, err := result.RowsAffected()
		require.Error(t, err)
		_, err = result.LastInsertId()
		require.Error(t, err)
		return false
	},
	"committed": func(t *testing.T, e *waitingEnd) bool {
		result := e.insert(t, 50)
		require.NoError(t, e.Commit())
		rows, err := result.RowsAffected()
		require.NoError(t, err)
		id, err := result.LastInsertId()
		require.NoError(t, err)
		require.Equal(t, [2]int64{1, 50}, [2]int64{rows, id})
		return true
	},
	"with rows that nobody reads": func(t *testing.T, e *waitingEnd) bool {
		rows, err := e.QueryContext(t.Context(), "SELECT 1 UNION SELECT 2")
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		e.insert(t, 50)
		require.NoError(t, e.Commit())
		return true
	},
}

// TestTxWaitsEnds demands that the next write has its turn at once, however a transaction with writes that
// wait ends, and that all of it is applied or nothing.
func TestTxWaitsEnds(t *testing.T) {
	for name, end := range waitingEnds {
		t.Run(name, func(t *testing.T) {
			forEach(t, func(t *testing.T, b *backend) {
				inModes(t, aheadModes, func(t *testing.T, mode rqlite.TxMode) {
					db, table := newNumbers(t, b, setting(mode))
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					tx, err := db.BeginTx(ctx, nil)
					require.NoError(t, err)
					defer tx.Rollback()
					e := &waitingEnd{Tx: tx, table: table, cancel: cancel}
					for n := range 14 {
						e.insert(t, n)
					}
					wanted := 1
					if end(t, e) {
						wanted += e.inserted
					}
					writesAtOnce(t, db, table, 1000)
					assert.Len(t, numbersIn(t, db, table), wanted)
				})
			})
		})
	}
}
