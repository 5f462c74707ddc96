package rqlite

import (
	"context"
	"math"
	"testing"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/require"
)

// What one client puts into the only write connection would meet all others.
func TestCapturingStatementsAreRefused(t *testing.T) {
	t.Parallel()
	db := newFake(t).open("")
	for _, query := range []string{
		"CREATE TEMP TABLE t(a)", "create temporary view v as select 1", "CREATE TABLE temp.t(a)", "CREATE TABLE IF NOT EXISTS temp.t(a)",
		"ATTACH ':memory:' AS x", "/* */ detach x",
	} {
		_, err := db.Exec(query)
		require.ErrorContains(t, err, "all clients", query)
		_, err = db.Query("SELECT 1; " + query)
		require.ErrorContains(t, err, "statement 2 of 2", query)
	}
}

// A PRAGMA would change one of the server's read connections for all clients.
func TestBatchQueryOnlyReads(t *testing.T) {
	t.Parallel()
	db := newFake(t).open("")
	for _, query := range []string{"PRAGMA user_version = 1", "DELETE FROM t", "DROP TABLE t", "VACUUM"} {
		var b Batch
		b.Add("SELECT 1")
		b.Add(query)
		_, err := b.Query(context.Background(), db)
		require.ErrorIs(t, err, ReadOnly, query)
		require.EqualError(t, err, "rqlite: statement 2 of 2: it does not only read: use Exec")
	}
}

// What is true of a statement that was not applied is not true of a script of
// which a part was.
func TestErrorOfAScriptThatBrokeOff(t *testing.T) {
	t.Parallel()
	f := newFake(t,
		writes(`["INSERT OR FAIL INTO t VALUES(1)"]`, results(`{"last_insert_id":1,"rows_affected":1}`)),
		step{path: cluster.ExecutePath, params: "blob_array&norwrandom&norwtime&redirect", body: `["INSERT INTO t VALUES(2)"]`, status: 401},
	)
	_, err := f.open("").Exec("INSERT OR FAIL INTO t VALUES(1); INSERT INTO t VALUES(2)")
	require.ErrorContains(t, err, "rqlite: statement 2 of 2, and those before it were applied: ")
	require.NotErrorIs(t, err, ErrUnauthorized)
}

// The statements that the driver sends along do not count.
func TestPositionsAreThoseOfTheProgram(t *testing.T) {
	t.Parallel()
	db := newFake(t).open("")
	_, err := db.Query("SELECT * FROM t WHERE r = ?", math.Inf(1))
	require.ErrorContains(t, err, "rqlite: parameter 1: ")
	_, err = db.Exec("INSERT INTO t VALUES(?) RETURNING id", math.Inf(1))
	require.ErrorContains(t, err, "rqlite: parameter 1: ")
}

// Only a read can be given up by the node for the deadline of its caller.
func TestQueryTimeoutOfAWrite(t *testing.T) {
	t.Parallel()
	f := newFake(t, writes(`["DELETE FROM t"]`, results(`{"error":"query timeout"}`)))
	_, err := f.open("").Exec("DELETE FROM t") // a trigger can say so
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.EqualError(t, err, "rqlite: query timeout")
}
