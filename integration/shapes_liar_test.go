package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"
)

// liar is mattn/go-sqlite3 but for one thing, which it does wrong.
type liar struct {
	name, from, to   string // what it reads in place of what was written
	commit, rollback func(driver.Tx) error
}

// open opens a new database.
func (l liar) open(t *testing.T) *sql.DB {
	t.Helper()
	db := sql.OpenDB(liarConnector{l, "file:" + filepath.Join(t.TempDir(), "liar.db") + "?_journal_mode=MEMORY&_synchronous=OFF&_foreign_keys=1"})
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(1)
	require.NoError(t, prepareForShapes(t.Context(), db, false))
	return db
}

type liarConnector struct {
	liar

	dsn string
}

func (c liarConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.Driver().Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return &liarConn{conn.(*sqlite3.SQLiteConn), c.liar}, nil
}

func (liarConnector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

type liarConn struct {
	*sqlite3.SQLiteConn

	liar liar
}

func (c *liarConn) read(query string) string {
	if c.liar.from == "" {
		return query
	}
	return strings.Replace(query, c.liar.from, c.liar.to, 1)
}

func (c *liarConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.SQLiteConn.ExecContext(ctx, c.read(query), args)
}

func (c *liarConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.SQLiteConn.QueryContext(ctx, c.read(query), args)
}

func (c *liarConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.SQLiteConn.PrepareContext(ctx, c.read(query))
}

func (c *liarConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.SQLiteConn.BeginTx(ctx, opts)
	return liarTx{tx, c.liar}, err
}

type liarTx struct {
	driver.Tx

	liar liar
}

func (t liarTx) Commit() error {
	if t.liar.commit != nil {
		return t.liar.commit(t.Tx)
	}
	return t.Tx.Commit()
}

func (t liarTx) Rollback() error {
	if t.liar.rollback != nil {
		return t.liar.rollback(t.Tx)
	}
	return t.Tx.Rollback()
}
