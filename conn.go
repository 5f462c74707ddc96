package rqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var (
	_ driver.Conn               = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
	_ Conn                      = (*conn)(nil)
)

// conn is what database/sql takes for a connection. It holds no socket: all
// conns of a connector share its transport, so that one costs nothing to open
// or keep.
type conn struct {
	connector *Connector
	closed    bool
}

var errClosed = errors.New("rqlite: the connection is closed")

// ExecContext runs the statements of a query. It returns the result of the
// last one.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	script, err := parse(query)
	if err != nil {
		return nil, refused(err)
	}
	return c.exec(ctx, script, args)
}

// QueryContext runs the statements of a query. Each gives one result set.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	script, err := parse(query)
	if err != nil {
		return nil, refused(err)
	}
	return c.query(ctx, script, args)
}

// Prepare implements driver.Conn.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext checks what can be checked without asking the server.
func (c *conn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	if c.closed {
		return nil, errClosed
	}
	script, err := parse(query)
	if err != nil {
		return nil, refused(err)
	}
	return &stmt{conn: c, script: script}, nil
}

// Ping asks the cluster a question that only a leader can answer.
func (c *conn) Ping(ctx context.Context) error {
	level := Weak
	ctx = callOptions{level: &level}.in(ctx) // whatever ctx says of reads
	rows, err := c.QueryContext(ctx, "SELECT 1", nil)
	if err != nil {
		return err
	}
	return rows.Close()
}

// ResetSession implements driver.SessionResetter: there is nothing to reset.
func (c *conn) ResetSession(context.Context) error {
	if c.closed {
		return driver.ErrBadConn
	}
	return nil
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool { return !c.closed }

// Close implements driver.Conn.
func (c *conn) Close() error {
	c.closed = true
	return nil
}

// parse splits a query into statements and refuses those that the server must
// not see: it has one connection for the writes of all clients, so that a BEGIN, a
// temporary table or an attached database of one would take in the writes of all.
func parse(query string) ([]sqltext.Statement, error) {
	script, err := sqltext.Parse(query)
	if err != nil {
		return nil, err
	}
	for i := range script {
		if why := captures(&script[i]); why != nil {
			return nil, atStatement(why, i, len(script))
		}
	}
	return script, nil
}

// captures returns why a statement would change the connection of all clients.
func captures(s *sqltext.Statement) error {
	switch {
	case s.Kind == sqltext.Control:
		return fmt.Errorf("%s cannot be sent as a statement: use the transactions of database/sql, or a Batch with Atomic set", s.Keyword)
	case s.Temp:
		return errors.New("a TEMP object would hide, from all clients, what has its name: use an ordinary one")
	case s.Keyword == "ATTACH" || s.Keyword == "DETACH":
		return fmt.Errorf("%s cannot be sent: it would change the connection that all clients write through", s.Keyword)
	}
	return nil
}

// send encodes calls and sends them as one request.
func (c *conn) send(ctx context.Context, req cluster.Request, calls []call) (*cluster.Answer, error) {
	if c.closed {
		return nil, errClosed
	}
	body, err := requestBody(calls)
	if err != nil {
		return nil, fmt.Errorf("rqlite: %w", err)
	}
	req.Body, req.Statements = body, ownCalls(calls)
	answer, err := c.connector.client.Send(ctx, &req)
	if mayChangeSchema(calls) {
		c.connector.schema.changed()
	}
	if err != nil {
		return nil, publicError(err)
	}
	return answer, nil
}
