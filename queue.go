package rqlite

import (
	"context"
	"database/sql"
	"errors"
)

// WithQueue returns a context in which Exec hands its statements to the queue of the node that gets
// them. They are acknowledged before they are applied, so neither their results nor their failures
// are known. With wait, Exec returns when they have been applied or have failed; it does not report
// which. Statements in one queue are applied in the order in which they came.
//
// A queued write is lost if its node dies before it is applied. Query refuses a statement that
// writes. Reads ignore it.
func WithQueue(ctx context.Context, wait bool) context.Context {
	o := callOptionsOf(ctx)
	o.queueing = &queueing{on: true, wait: wait}
	return o.in(ctx)
}

// queueing returns the setting of the context, or else that of the Config.
func (c *Connector) queueing(ctx context.Context) queueing {
	if o := callOptionsOf(ctx); o.queueing != nil {
		return *o.queueing
	}
	return queueing{on: c.cfg.Queue, wait: c.cfg.QueueWait}
}

// queuedResult is the result of a write in rqlite's queue: its effect is not known yet.
type queuedResult struct{}

var errQueued = errors.New("rqlite: the write was queued, so that its result is not known")

// LastInsertId implements driver.Result.
func (queuedResult) LastInsertId() (int64, error) { return 0, errQueued }

// RowsAffected implements driver.Result.
func (queuedResult) RowsAffected() (int64, error) { return 0, errQueued }

// Queue hands the batch to rqlite's queue and returns the sequence number that the node gave it.
// The numbers of one node rise. See [WithQueue] for the meaning, and for waiting: Queue waits only
// if ctx or the DSN says so. It refuses an Atomic batch, because the queue joins batches as it
// likes. An empty batch has the number 0.
func (b *Batch) Queue(ctx context.Context, db *sql.DB) (sequence int64, err error) {
	err = withConn(ctx, db, func(c Conn) error {
		sequence, err = c.QueueBatch(ctx, b)
		return err
	})
	return sequence, err
}

// QueueBatch implements Conn.
func (c *conn) QueueBatch(ctx context.Context, b *Batch) (int64, error) {
	sequence, err := c.queueBatch(ctx, b)
	return sequence, public(err)
}

// queueBatch hands a batch to the queue of a node.
func (c *conn) queueBatch(ctx context.Context, b *Batch) (int64, error) {
	switch {
	case b.Atomic:
		return 0, errors.New("rqlite: an atomic batch cannot be queued")
	case c.tx != nil:
		return 0, errQueuedInTx
	}
	stmts, err := b.stmts(c)
	if err != nil || len(stmts) == 0 {
		return 0, err
	}
	return c.session.Enqueue(ctx, stmts, c.connector.queueing(ctx).wait)
}
