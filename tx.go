package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/go-rqlite/rqlite/internal/txn"
)

var _ driver.Tx = (*tx)(nil)

// tx is the transaction of a connection. It is in conn.tx until it ends.
type tx struct {
	*txn.Tx
	conn *conn
}

// Rollback implements driver.Tx. Nothing was applied, so it sends nothing.
func (t *tx) Rollback() error {
	t.leave()
	t.Tx.Rollback()
	return nil
}

// Commit implements driver.Tx. If it returns nil, all of the transaction was applied. Otherwise
// nothing was, except after ErrIndeterminate and ErrResultsChanged.
func (t *tx) Commit() error { return public(t.commit()) }

func (t *tx) commit() error {
	t.leave()
	if t.conn.closed {
		t.Tx.Rollback()
		return errClosed
	}
	return t.Tx.Commit()
}

// leave ends the connection's transaction, unless that is another by now.
func (t *tx) leave() {
	if t.conn.tx == t {
		t.conn.tx = nil
	}
}

// Begin implements driver.Conn.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins a transaction. It sends nothing, unless the transaction is a further run of RunTx.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	t, err := c.begin(ctx, opts)
	if err != nil {
		return nil, public(err)
	}
	return t, nil
}

// begin begins a transaction of the connection.
func (c *conn) begin(ctx context.Context, opts driver.TxOptions) (*tx, error) {
	switch {
	case c.closed:
		return nil, errClosed
	case c.tx != nil:
		return nil, errors.New("rqlite: the connection is in a transaction: use SAVEPOINT for one within it")
	case c.connector.queueing(ctx).on:
		return nil, errQueuedInTx
	}
	readCommitted, err := isReadCommitted(sql.IsolationLevel(opts.Isolation))
	if err != nil {
		return nil, err
	}
	mode := c.connector.cfg.TxMode
	if m := callOptionsOf(ctx).txMode; m != nil {
		mode = *m
	}
	if int(mode) >= len(txModeNames) {
		return nil, fmt.Errorf("rqlite: %v is no transaction mode", mode)
	}
	inner, err := txn.Begin(c.connector.env, txn.Options{
		Ctx: ctx, ReadOnly: opts.ReadOnly, ReadCommitted: readCommitted, Deferred: mode == TxDeferred,
		LockFirst: c.connector.cfg.TxLock == TxLockImmediate, Run: txn.RunOf(ctx), State: &c.state, Deferral: c.session.TakeDeferral(),
	})
	if err != nil {
		return nil, err
	}
	c.tx = &tx{inner, c}
	return c.tx, nil
}

var errQueuedInTx = errors.New("rqlite: a queued write cannot belong to a transaction: leave out queue or WithQueue")

// isReadCommitted reports whether at an isolation level reads need not hold at the commit.
func isReadCommitted(level sql.IsolationLevel) (bool, error) {
	switch level {
	case sql.LevelDefault, sql.LevelSerializable, sql.LevelSnapshot, sql.LevelRepeatableRead:
		return false, nil
	case sql.LevelReadCommitted, sql.LevelReadUncommitted:
		return true, nil
	case sql.LevelLinearizable:
		return false, errors.New(`rqlite: there is no isolation level "linearizable": use sql.LevelSerializable, and WithConsistency(ctx, Linearizable) for its reads`)
	case sql.LevelWriteCommitted:
	}
	return false, fmt.Errorf("rqlite: there is no isolation level %q: use sql.LevelSerializable or sql.LevelReadCommitted", level)
}

// WithTxMode returns a context in which BeginTx uses the given mode instead of that of the DSN. If
// the value is no mode, BeginTx fails. Other calls ignore it.
func WithTxMode(ctx context.Context, mode TxMode) context.Context {
	o := callOptionsOf(ctx)
	o.txMode = &mode
	return o.in(ctx)
}
