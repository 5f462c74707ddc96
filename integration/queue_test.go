//go:build unix

package integration_test

import (
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestQueueOnCluster hands writes to the queue of a cluster, through a node that
// does not lead.
func TestQueueOnCluster(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3})
		follower := (f.leader(t) + 1) % f.voters
		db := openDSN(t, f.dsn(follower))
		mustExec(t, db, "CREATE TABLE t (n INT)")
		last := int64(0)
		for n := range 10 {
			var batch rqlite.Batch
			batch.Add("INSERT INTO t VALUES (?)", 2*n)
			batch.Add("INSERT INTO t VALUES (?)", 2*n+1)
			sequence, err := batch.Queue(rqlite.WithQueue(t.Context(), n == 9), db)
			require.NoError(t, err)
			assert.Greater(t, sequence, last, "sequence numbers rise")
			last = sequence
		}
		var rows, distinct, most int
		scan(t, db, "SELECT count(*), count(DISTINCT n), max(n) FROM t", nil, &rows, &distinct, &most)
		assert.Equal(t, []int{20, 20, 19}, []int{rows, distinct, most}, "the last one waited for all")
		result, err := db.ExecContext(rqlite.WithQueue(t.Context(), true), "INSERT INTO nowhere VALUES (1)")
		require.NoError(t, err, "nobody learns that it failed")
		_, err = result.RowsAffected()
		require.Error(t, err)
	})
}
