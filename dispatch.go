package rqlite

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/go-rqlite/rqlite/internal/autocommit"
	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/txn"
)

// exec runs a script: within the open transaction, by the queue, or on its own.
func (c *conn) exec(ctx context.Context, script []sqltext.Statement, args []driver.NamedValue) (driver.Result, error) {
	stmts, err := c.deal(script, args)
	switch {
	case err != nil:
		return nil, err
	case len(stmts) == 0:
		return noResult{}, nil
	case c.tx != nil:
		return c.execInTx(ctx, stmts)
	case c.connector.queueing(ctx).on:
		_, err := c.session.Enqueue(ctx, stmts, c.connector.queueing(ctx).wait)
		return queuedResult{}, err
	}
	return c.session.Exec(ctx, stmts)
}

// query runs a script. Each of its statements gives one result set.
func (c *conn) query(ctx context.Context, script []sqltext.Statement, args []driver.NamedValue) (*result.Sets, error) {
	stmts, err := c.deal(script, args)
	switch {
	case err != nil:
		return nil, err
	case c.tx != nil && len(stmts) > 0:
		return c.tx.Query(ctx, stmts)
	}
	return c.session.Query(ctx, stmts)
}

// deal gives the statements of a script their values.
func (c *conn) deal(script []sqltext.Statement, args []driver.NamedValue) ([]bind.Stmt, error) {
	if c.closed {
		return nil, errClosed
	}
	stmts, err := bind.Deal(script, args)
	if err == nil {
		err = c.refuseHarm(script)
	}
	if err != nil {
		return nil, sqlerr.Refused(err)
	}
	return stmts, nil
}

// noResult is the result of statements that write nothing.
type noResult struct{}

// LastInsertId implements driver.Result.
func (noResult) LastInsertId() (int64, error) { return 0, nil }

// RowsAffected implements driver.Result.
func (noResult) RowsAffected() (int64, error) { return 0, nil }

// execInTx runs a script within the transaction of the connection.
func (c *conn) execInTx(ctx context.Context, stmts []bind.Stmt) (driver.Result, error) {
	if o := callOptionsOf(ctx).queueing; o != nil && o.on {
		return nil, errQueuedInTx
	}
	r, err := c.tx.Exec(ctx, stmts)
	if err != nil || r == nil {
		return noResult{}, err
	}
	return txResult{r}, nil
}

// txResult is the result of a write within a transaction.
type txResult struct{ driver.Result }

// LastInsertId implements driver.Result. From now on the transaction commits only if the id stays
// the same.
func (r txResult) LastInsertId() (int64, error) {
	id, err := r.Result.LastInsertId()
	return id, public(err)
}

// RowsAffected implements driver.Result.
func (r txResult) RowsAffected() (int64, error) {
	n, err := r.Result.RowsAffected()
	return n, public(err)
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

// WithoutCoalescing returns a context whose writes go out as requests of their own, at once,
// whatever other goroutines write at the time. With coalesce=false in the DSN all writes do. Reads
// ignore it.
func WithoutCoalescing(ctx context.Context) context.Context {
	o := callOptionsOf(ctx)
	o.alone = true
	return o.in(ctx)
}
