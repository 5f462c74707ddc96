package rqlite

import (
	"context"
	"database/sql/driver"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var (
	_ driver.Stmt             = (*stmt)(nil)
	_ driver.StmtExecContext  = (*stmt)(nil)
	_ driver.StmtQueryContext = (*stmt)(nil)
)

// stmt is a statement that the driver has parsed. rqlite has no prepared statements: the text is
// sent with every call. SQLite's errors show at the first call, unless Prepare checked the
// statement, or its first word begins no statement.
type stmt struct {
	conn   *conn
	script []sqltext.Statement
	closed bool
}

// NumInput returns how many values the statement takes. It returns -1 if some of them can be given
// by name, so that database/sql does not check the count.
func (s *stmt) NumInput() int {
	n := 0
	for i := range s.script {
		for _, p := range s.script[i].Params {
			if p.Name != "" {
				return -1
			}
		}
		n += s.script[i].NumParams
	}
	return n
}

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.closed {
		return nil, errClosed
	}
	r, err := s.conn.exec(ctx, s.script, args)
	return r, public(err)
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.closed {
		return nil, errClosed
	}
	return publicRows(s.conn.query(ctx, s.script, args))
}

// Exec implements driver.Stmt.
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

// Query implements driver.Stmt.
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

// named gives values the form that the context methods take.
func named(args []driver.Value) []driver.NamedValue {
	list := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	return list
}

// Close implements driver.Stmt. There is nothing to free.
func (s *stmt) Close() error {
	s.closed = true
	return nil
}
