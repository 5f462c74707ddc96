package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// aheadModes are the modes in which statements are sent ahead.
var aheadModes = []rqlite.TxMode{rqlite.TxAuto, rqlite.TxPipelined}

// inModes runs a test in modes, as subtests.
func inModes(t *testing.T, modes []rqlite.TxMode, test func(*testing.T, rqlite.TxMode)) {
	t.Helper()
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) { test(t, mode) })
	}
}

// setting is the setting of a DSN for a mode.
func setting(mode rqlite.TxMode) string { return "tx=" + mode.String() }

// putAll inserts keys, and updates the rows of those that are there. It is what programs did before
// there were upserts: they look at the code of an error, and at nothing else.
func putAll(ctx context.Context, tx *sql.Tx, table string, keys int) (updates int, err error) {
	insert, err := tx.PrepareContext(ctx, "INSERT INTO "+table+" (k, n) VALUES (?, 1)")
	if err != nil {
		return 0, err
	}
	update, err := tx.PrepareContext(ctx, "UPDATE "+table+" SET n = n + 1 WHERE k = ?")
	if err != nil {
		return 0, err
	}
	for k := range keys {
		_, err := insert.ExecContext(ctx, k)
		if errors.Is(err, rqlite.ConstraintUnique) {
			updates++
			_, err = update.ExecContext(ctx, k)
		}
		if err != nil {
			return updates, err
		}
	}
	return updates, nil
}

// tenths makes a table in which every tenth key is there, but not among the first ones.
func tenths(t *testing.T, db *sql.DB, keys int) (table string) {
	t.Helper()
	table = newTable()
	mustExec(t, db, "CREATE TABLE "+table+" (k INTEGER PRIMARY KEY, n INTEGER NOT NULL)")
	mustExec(t, db, fmt.Sprintf("INSERT INTO %s WITH RECURSIVE k (k) AS (SELECT 9 UNION ALL SELECT k + 10 FROM k WHERE k + 10 < %d) SELECT k, 1 FROM k", table, keys))
	return table
}

// state returns how many rows there are, and the sum of their numbers.
func state(t *testing.T, db *sql.DB, table string) (s [2]int) {
	t.Helper()
	scan(t, db, "SELECT count(*), coalesce(sum(n), 0) FROM "+table, nil, &s[0], &s[1])
	return s
}

// TestTxModesHandledFailure has a program insert, and update where that fails. By RunTx that is right
// at once; by BeginTx from the second run on, and the first one fails for all to see.
func TestTxModesHandledFailure(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		keys := either(200, 1000) // where each is tried at once, the time grows with the square
		there, all := [2]int{keys / 10, keys / 10}, [2]int{keys, keys + keys/10}
		inModes(t, aheadModes, func(t *testing.T, mode rqlite.TxMode) {
			t.Run("RunTx", func(t *testing.T) {
				db := b.open(t, setting(mode))
				table := tenths(t, db, keys)
				for _, most := range []int{2, 1} {
					mustExec(t, db, "DELETE FROM "+table+" WHERE k % 10 <> 9")
					mustExec(t, db, "UPDATE "+table+" SET n = 1")
					runs, updates := 0, 0
					require.NoError(t, rqlite.RunTx(t.Context(), db, nil, func(tx *sql.Tx) (err error) {
						runs++
						updates, err = putAll(t.Context(), tx, table, keys)
						return err
					}))
					assert.Equal(t, keys/10, updates)
					assert.Equal(t, all, state(t, db, table))
					assert.Equal(t, most, runs)
				}
			})
			t.Run("BeginTx", func(t *testing.T) {
				db := b.open(t, setting(mode))
				table := tenths(t, db, keys)
				put := func(tx *sql.Tx) error {
					_, err := putAll(t.Context(), tx, table, keys)
					return err
				}
				err := once(t.Context(), db, nil, put)
				require.ErrorIs(t, err, rqlite.ErrTxConflict)
				require.ErrorIs(t, err, rqlite.ConstraintUnique)
				t.Log(err)
				assert.Equal(t, there, state(t, db, table), "nothing is applied")
				require.NoError(t, once(t.Context(), db, nil, put))
				assert.Equal(t, all, state(t, db, table))
			})
		})
	})
}

// TestTxModesFailureBehindFailure has a program go on behind a failure that it was told of at once:
// from there on it is told of each at once.
func TestTxModesFailureBehindFailure(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		const keys = 60
		db := b.open(t, setting(rqlite.TxAuto))
		table := tenths(t, db, keys)
		require.NoError(t, once(t.Context(), db, nil, func(tx *sql.Tx) error {
			_, err := one(t.Context(), tx, "INSERT INTO "+table+" (k, n) VALUES (9, 1) RETURNING k")
			require.ErrorIs(t, err, rqlite.ConstraintUnique)
			require.NotErrorIs(t, err, rqlite.ErrTxConflict)
			_, err = putAll(t.Context(), tx, table, keys)
			return err
		}))
		assert.Equal(t, [2]int{keys, keys + keys/10}, state(t, db, table))
	})
}
