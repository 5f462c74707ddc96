package rqlite

import (
	"context"
	"database/sql/driver"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Writes and Ping ignore what the context says about reads.
func TestWritesIgnoreReadOptions(t *testing.T) {
	t.Parallel()
	ctx := WithFreshness(context.Background(), time.Second, false) // makes no sense at level weak
	t.Run("insert", func(t *testing.T) {
		f := newFake(t, reads("", results(table("name text,sql text", `["t",null]`))), writes("", results(`{"last_insert_id":1,"rows_affected":1}`)))
		_, err := f.open("").ExecContext(ctx, "INSERT INTO t(a) VALUES(1)")
		require.NoError(t, err)
	})
	t.Run("insert in tx", func(t *testing.T) {
		f := newFake(t, reads("", results(table("name text,sql text", `["t",null]`))), step{
			path: cluster.RequestPath, params: "*",
			reply: results(`{"columns":["v","a","b","token","t"],"types":["","","","",""],"values":[[2305843009213694004,null,null,null,null]]}`, `{"rows_affected":1}`, `{"rows_affected":1}`, `{"error":"integer overflow"}`),
		})
		tx, err := f.open("").BeginTx(context.Background(), nil)
		require.NoError(t, err)
		defer tx.Rollback()
		_, err = tx.ExecContext(ctx, "INSERT INTO t(a) VALUES(1)")
		require.NoError(t, err)
	})
	t.Run("ping", func(t *testing.T) {
		require.NoError(t, newFake(t, reads("", results(one))).open("").PingContext(ctx))
	})
	t.Run("pragma", func(t *testing.T) {
		_, err := newFake(t, reads("", results(table("foreign_keys integer", "[1]")))).open("").ExecContext(ctx, "PRAGMA foreign_keys = ON")
		require.NoError(t, err)
	})
	t.Run("rows that nobody wants", func(t *testing.T) {
		f := newFake(t, writes("", results(`{"error":"Time.MarshalText: year outside of range [0,9999]"}`, `{}`)), reads("", results(table("1 integer"))))
		_, err := f.open("").ExecContext(ctx, "DELETE FROM t RETURNING a")
		require.NoError(t, err)
	})
}

// A read of a transaction that meets writes goes through the log, whatever freshness it has.
func TestReadThroughTheLogIgnoresFreshness(t *testing.T) {
	t.Parallel()
	ctx := WithFreshness(WithConsistency(context.Background(), None), time.Second, false)
	var script []step
	for range 5 {
		script = append(script, step{
			path: cluster.QueryPath, params: "*", optional: true,
			reply: results(`{"columns":["v","a","b","token","t"],"types":["","","","",""],"values":[[2305843009213694004,null,null,"~",null]]}`, one),
		})
	}
	f := newFake(t, script...)
	tx, err := f.open("").BeginTx(ctx, nil)
	require.NoError(t, err)
	defer tx.Rollback()
	var n int
	require.NoError(t, tx.QueryRowContext(ctx, "SELECT 1").Scan(&n))
}

// triesADelete has the fake answer the trial of a DELETE.
func (f *fake) triesADelete() {
	f.then(step{
		path: cluster.RequestPath, params: "*",
		reply: results(`{"columns":["v","a","b","token","t"],"types":["","","","",""],"values":[[2305843009213694004,null,null,null,null]]}`, `{"rows_affected":1}`, `{"last_insert_id":1,"rows_affected":1}`, `{"error":"integer overflow"}`),
	})
}

// Close has rolled the transaction back.
func TestCommitAfterClose(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.triesADelete()
	c := f.connect()
	tx, err := c.BeginTx(context.Background(), driver.TxOptions{})
	require.NoError(t, err)
	_, err = c.ExecContext(context.Background(), "DELETE FROM t", nil)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	f.then(step{path: cluster.ExecutePath, params: "*", optional: true, reply: results(`{}`, `{"last_insert_id":1,"rows_affected":1}`, `{}`)})
	err = tx.Commit()
	require.ErrorIs(t, err, errClosed)
}

// A second end of a transaction does not end the next one.
func TestSecondEndOfATransaction(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.triesADelete()
	c := f.connect()
	first, err := c.BeginTx(context.Background(), driver.TxOptions{})
	require.NoError(t, err)
	require.NoError(t, first.Commit())
	second, err := c.BeginTx(context.Background(), driver.TxOptions{})
	require.NoError(t, err)
	require.NoError(t, first.Rollback())
	_, err = c.ExecContext(context.Background(), "DELETE FROM t", nil)
	require.NoError(t, err)
	require.NoError(t, second.Rollback())
}

// The failure of a request that shows behind its entries.
func TestFailureOfTheRequestBehindRows(t *testing.T) {
	t.Parallel()
	f := newFake(t, writes("", `{"results":[{"columns":["a"],"types":["integer"],"values":[[1]]}],"error":"leadership lost while committing log"}`))
	rows, err := f.open("").QueryContext(context.Background(), "DELETE FROM t RETURNING a")
	require.NoError(t, err)
	for rows.Next() {
	}
	assert.ErrorIs(t, rows.Err(), ErrIndeterminate)
	assert.NotErrorIs(t, rows.Err(), ErrRowsLost)
	rows.Close()
}

// The error of a batch is that of its first failed statement.
func TestBatchErrorIsThatOfAStatement(t *testing.T) {
	t.Parallel()
	f := newFake(t, writes("", results(`{"error":"no such table: t"}`, `{}`)))
	var b Batch
	b.Add("DELETE FROM t")
	b.Add("DELETE FROM u")
	results, err := b.Exec(context.Background(), f.open(""))
	require.Len(t, results, 2)
	require.Error(t, err)
	assert.ErrorIs(t, err, results[0].Err)
}
