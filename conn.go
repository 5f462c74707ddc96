package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"

	"github.com/go-rqlite/rqlite/internal/autocommit"
	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var (
	_ driver.Conn               = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
	_ Conn                      = (*conn)(nil)
)

// conn is a connection of database/sql. It holds no socket: all conns of a connector share its
// transport, so that it costs nothing to open or keep one. It can only be used by one goroutine at
// a time.
type conn struct {
	connector *Connector
	closed    bool                // only Close sets it
	tx        *tx                 // the open transaction, or nil; begin sets it, Commit and Rollback reset it
	state     bind.ConnState      // of last_insert_rowid() and changes(); shared by tx and session
	session   *autocommit.Session // runs statements outside of transactions; never changes
}

var errClosed = errors.New("rqlite: the connection is closed")

// ExecContext runs the statements of a query. It returns the result of the last one.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	script, err := c.parse(query)
	if err != nil {
		return nil, public(sqlerr.Refused(err))
	}
	r, err := c.exec(ctx, script, args)
	return r, public(err)
}

// QueryContext runs the statements of a query. Each gives one result set.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	script, err := c.parse(query)
	if err != nil {
		return nil, public(sqlerr.Refused(err))
	}
	return publicRows(c.query(ctx, script, args))
}

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
	case c.connector.cfg.queueing(ctx).on:
		_, err := c.session.Enqueue(ctx, stmts, c.connector.cfg.queueing(ctx).wait)
		return queuedResult{}, err
	}
	return c.session.Exec(ctx, stmts)
}

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
		err = c.refuse(script)
	}
	if err != nil {
		return nil, sqlerr.Refused(err)
	}
	return stmts, nil
}

// Prepare implements driver.Conn.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext checks the query as far as possible without the server. If the PrepareMode says
// so, it also asks the server.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if c.closed {
		return nil, errClosed
	}
	script, err := c.parse(query)
	if err != nil {
		return nil, public(sqlerr.Refused(err))
	}
	asks := c.connector.cfg.PrepareMode == PrepareCheck && c.tx == nil
	if err := c.session.Prepare(ctx, script, asks); err != nil {
		return nil, public(err)
	}
	return &stmt{conn: c, script: script}, nil
}

// CheckNamedValue implements driver.NamedValueChecker: JSON is text, although Go holds it in bytes.
// All else is left to database/sql.
func (*conn) CheckNamedValue(arg *driver.NamedValue) (err error) {
	arg.Value, err = jsonText(arg.Value)
	return err
}

// jsonText is bind.JSONText that also takes a sql.Null of a json.RawMessage.
func jsonText(value any) (driver.Value, error) {
	if null, ok := value.(sql.Null[json.RawMessage]); ok {
		if !null.Valid {
			return nil, nil
		}
		value = null.V
	}
	return bind.JSONText(value)
}

// Ping asks the cluster a question that only a leader can answer.
func (c *conn) Ping(ctx context.Context) error {
	if c.closed {
		return errClosed
	}
	return public(c.session.Ping(ctx))
}

// ResetSession implements driver.SessionResetter. It rolls back a transaction that is still open.
func (c *conn) ResetSession(context.Context) error {
	if c.closed {
		return driver.ErrBadConn
	}
	return c.endTx()
}

// endTx rolls back the open transaction, if there is one.
func (c *conn) endTx() error {
	if c.tx == nil {
		return nil
	}
	return c.tx.Rollback()
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool { return !c.closed }

// Close implements driver.Conn.
func (c *conn) Close() error {
	c.closed = true
	return c.endTx()
}

// parse splits a query into statements and refuses those that the server must not see.
func (c *conn) parse(query string) ([]sqltext.Statement, error) {
	script, err := c.connector.scripts.Parse(query)
	if err != nil {
		return nil, err
	}
	return occ.Hide(script), c.refuse(script)
}

// refuse returns why one of the statements must not be sent.
func (c *conn) refuse(script []sqltext.Statement) error {
	return autocommit.Refuse(script, c.tx != nil)
}

// noResult is the result of statements that write nothing.
type noResult struct{}

// LastInsertId implements driver.Result.
func (noResult) LastInsertId() (int64, error) { return 0, nil }

// RowsAffected implements driver.Result.
func (noResult) RowsAffected() (int64, error) { return 0, nil }

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

// queuedResult is the result of a write in rqlite's queue: its effect is not known yet.
type queuedResult struct{}

var errQueued = errors.New("rqlite: the write was queued, so that its result is not known")

// LastInsertId implements driver.Result.
func (queuedResult) LastInsertId() (int64, error) { return 0, errQueued }

// RowsAffected implements driver.Result.
func (queuedResult) RowsAffected() (int64, error) { return 0, errQueued }
