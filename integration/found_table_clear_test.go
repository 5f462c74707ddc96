//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// clearings are the ways in which tools that mean all tables take the driver's own away.
var clearings = []string{"DROP TABLE _rqlite_tx", "DROP TABLE IF EXISTS `_rqlite_tx`", `DELETE FROM "_rqlite_tx"`, "DELETE FROM main._rqlite_tx WHERE k > 0"}

// Tools drop all tables, or delete all rows, in a transaction. That of the driver may be among
// them, and the transaction is what it would be without.
func TestFoundTableCleared(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		c := b.launch(t, serverOptions{})
		for _, mode := range []string{"interactive", "deferred"} {
			db := openDSN(t, withSettings(c.dsn, "tx="+mode))
			for _, query := range clearings {
				mustExec(t, db, "DROP TABLE IF EXISTS numbered")
				mustExec(t, db, "CREATE TABLE numbered (n INTEGER PRIMARY KEY)")
				require.NoError(t, once(t.Context(), db, nil, insertsNumber(1)), query)
				var before, after int64
				scan(t, db, "SELECT v FROM _rqlite_tx WHERE k = 0", nil, &before)

				require.NoError(t, once(t.Context(), db, nil, func(tx *sql.Tx) error {
					for _, step := range []string{"INSERT INTO numbered VALUES (2)", query, "SAVEPOINT s", query, "ROLLBACK TO s", "INSERT INTO numbered VALUES (3)"} {
						if _, err := tx.Exec(step); err != nil && step != query { // there is nothing to drop the second time
							return err
						}
					}
					return nil
				}), query)
				assert.Equal(t, []int64{1, 2, 3}, columnN(t, db, "numbered"), query)
				scan(t, db, "SELECT v FROM _rqlite_tx WHERE k = 0", nil, &after)
				assert.Greater(t, after, before, "no version comes back")
				require.NoError(t, once(t.Context(), db, nil, insertsNumber(4)), query)
			}
		}
	})
}

// insertsNumber is a transaction of one INSERT.
func insertsNumber(n int) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO numbered VALUES (?)", n)
		return err
	}
}

// A transaction sees what its own DROP has done, as on SQLite, and others go by what they have read.
func TestFoundTableClearedBesideOthers(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		c := b.launch(t, serverOptions{})
		db, other := openDSN(t, c.dsn), openDSN(t, c.dsn)
		mustExec(t, db, "CREATE TABLE numbered (n INTEGER PRIMARY KEY)")
		require.NoError(t, once(t.Context(), db, nil, insertsNumber(1)))
		for write, want := range map[string]error{"INSERT INTO numbered VALUES (2)": rqlite.ErrTxConflict, "UPDATE numbered SET n = n": nil} {
			reader := begin(t, other, nil)
			var n int
			require.NoError(t, reader.QueryRow("SELECT count(*) FROM numbered").Scan(&n))
			_, err := reader.Exec("INSERT INTO numbered VALUES (100 + ?)", n)
			require.NoError(t, err)
			require.NoError(t, once(t.Context(), db, nil, func(tx *sql.Tx) error {
				_, err := tx.Exec("DROP TABLE _rqlite_tx")
				require.NoError(t, err)
				var left int
				require.NoError(t, tx.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = '_rqlite_tx'").Scan(&left))
				assert.Zero(t, left)
				_, err = tx.Exec("DROP TABLE _rqlite_tx")
				require.ErrorContains(t, err, "no such table: _rqlite_tx")
				_, err = tx.Exec(write)
				return err
			}))
			require.ErrorIs(t, reader.Commit(), want, write)
		}
	})
}

// Answers to commits are lost while other transactions clear the table that would tell of them. The
// outcome may be unknown then, but nothing else goes wrong.
func TestFoundTableClearedWhileAnswersAreLost(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startOnce(t)
		third := &loser{every: 3, fits: isCommit}
		f.obey(third.rule)
		ctx, cancel := context.WithCancel(t.Context())
		var clearing sync.WaitGroup
		var cleared atomic.Int64
		for i, db := range openSeveral(t, 2, f.dsn()) {
			clearing.Go(func() {
				for n := i; ctx.Err() == nil; n++ {
					err := once(ctx, db, nil, func(tx *sql.Tx) error {
						_, err := tx.ExecContext(ctx, clearings[n%len(clearings)])
						return err
					})
					if err == nil {
						cleared.Add(1)
					} else if ctx.Err() == nil && !errors.Is(err, rqlite.ErrIndeterminate) && !errors.Is(err, rqlite.ErrTxConflict) {
						t.Errorf("clearing: %v", err)
					}
					linger(ctx, 100*time.Millisecond)
				}
			})
		}
		l := insertAtOnce(t, openSeveral(t, 3, f.dsn()), either(4*time.Second, 30*time.Second), patienceOfTx)
		cancel()
		clearing.Wait()
		f.obey(nil)
		f.exactlyOnce(t, l)
		report(t, "%d answers lost, cleared %d times", third.lost(), cleared.Load())
		assert.Greater(t, third.lost(), int64(5))
		assert.Greater(t, cleared.Load(), int64(5))
	})
}
