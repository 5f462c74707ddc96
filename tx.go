package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/go-rqlite/rqlite/internal/autocommit"
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
	case c.connector.cfg.queueing(ctx).on:
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
		Ctx: ctx, ReadOnly: opts.ReadOnly, ReadCommitted: readCommitted, Mode: txModes[mode],
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

// inTx runs f in a transaction of its own, and again after a conflict, until the timeout.
func (c *conn) inTx(ctx context.Context, f func(ctx context.Context, t autocommit.Tx) error) error {
	if timeout := c.connector.cfg.requestTimeout(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return txn.UntilNoConflict(WithTxMode(ctx, TxInteractive), func(ctx context.Context) error {
		t, err := c.begin(ctx, driver.TxOptions{})
		if err != nil {
			return err
		}
		if err := f(ctx, t.Tx); err != nil {
			return errors.Join(err, t.Rollback())
		}
		return t.commit()
	})
}

// RunTx runs fn in a transaction of db and commits it. If the transaction or the commit fails with
// [ErrTxConflict], RunTx rolls it back and runs it again from the start, after a pause with jitter
// that grows from 2 to 250 milliseconds. It does so until ctx ends. Then the error is that of the
// last conflict, and that of ctx. If ctx never ends, RunTx goes on until the transaction succeeds
// or fails otherwise. Nil opts are the defaults of BeginTx.
//
// Any other error of fn rolls the transaction back, and RunTx returns it as it is. An error that
// wraps a conflict counts as one. A panic of fn rolls back and goes on. After an unknown outcome,
// [ErrIndeterminate], RunTx never runs fn again.
//
// fn must leave Commit and Rollback to RunTx, and must be ready to run more than once: only the
// transaction is rolled back, not the other effects of fn.
func RunTx(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(*sql.Tx) error) error {
	return txn.UntilNoConflict(ctx, func(ctx context.Context) error { return runOnce(ctx, db, opts, fn) })
}

func runOnce(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// txModes is indexed by TxMode.
var txModes = [...]txn.Mode{TxAuto: txn.Auto, TxInteractive: txn.Interactive, TxPipelined: txn.Pipelined}
