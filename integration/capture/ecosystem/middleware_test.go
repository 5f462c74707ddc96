package ecosystem

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"sync"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/ngrok/sqlmw"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// watcher notes what passes by.
type watcher struct {
	sqlmw.NullInterceptor
	mu   sync.Mutex
	seen map[string]int
	errs []error
	// connector is the driver's own, which sqlmw does not close with the database.
	connector driver.Connector
}

// ConnectorConnect implements sqlmw.Interceptor.
func (w *watcher) ConnectorConnect(ctx context.Context, connector driver.Connector) (driver.Conn, error) {
	w.mu.Lock()
	w.connector = connector
	w.mu.Unlock()
	return connector.Connect(ctx)
}

func (w *watcher) note(what string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[what]++
	if err != nil {
		w.errs = append(w.errs, err)
	}
}

// ConnExecContext implements sqlmw.Interceptor.
func (w *watcher) ConnExecContext(ctx context.Context, conn driver.ExecerContext, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := conn.ExecContext(ctx, query, args)
	w.note("exec", err)
	return result, err
}

// ConnQueryContext implements sqlmw.Interceptor.
func (w *watcher) ConnQueryContext(ctx context.Context, conn driver.QueryerContext, query string, args []driver.NamedValue) (context.Context, driver.Rows, error) {
	rows, err := conn.QueryContext(ctx, query, args)
	w.note("query", err)
	return ctx, rows, err
}

// TxCommit implements sqlmw.Interceptor.
func (w *watcher) TxCommit(_ context.Context, tx driver.Tx) error {
	err := tx.Commit()
	w.note("commit", err)
	return err
}

// TestMiddleware wraps the driver: all works as without, and everything passes by.
func TestMiddleware(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := &watcher{seen: map[string]int{}}
	sql.Register("rqlite-watched", sqlmw.Driver(&rqlite.Driver{}, w))
	db, err := sql.Open("rqlite-watched", dsn(t))
	require.NoError(t, err)
	defer func() {
		require.NoError(t, db.Close())
		require.NoError(t, w.connector.(io.Closer).Close())
	}()

	_, err = db.ExecContext(ctx, "CREATE TABLE mw_t (id INTEGER PRIMARY KEY, v INT UNIQUE, b BOOLEAN)")
	require.NoError(t, err)
	result, err := db.ExecContext(ctx, "INSERT INTO mw_t (v, b) VALUES (?, :b)", 7, sql.Named("b", true))
	require.NoError(t, err)
	id, err := result.LastInsertId()
	require.NoError(t, err)
	assert.EqualValues(t, 1, id)
	_, err = db.ExecContext(ctx, "INSERT INTO mw_t (v) VALUES (7)")
	require.ErrorIs(t, err, rqlite.ConstraintUnique)
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, "UPDATE mw_t SET v = v + 1")
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	rows, err := db.QueryContext(rqlite.WithConsistency(ctx, rqlite.Strong), "SELECT v, b FROM mw_t; SELECT 2")
	require.NoError(t, err)
	defer rows.Close()
	types, err := rows.ColumnTypes()
	require.NoError(t, err)
	assert.Equal(t, "BOOLEAN", types[1].DatabaseTypeName())
	var v any
	var b bool
	require.True(t, rows.Next())
	require.NoError(t, rows.Scan(&v, &b))
	assert.Equal(t, int64(8), v)
	assert.True(t, b)
	require.True(t, rows.NextResultSet())
	require.NoError(t, rows.Close())
	stmt, err := db.PrepareContext(ctx, "SELECT count(*) FROM mw_t WHERE v = ?")
	require.NoError(t, err)
	defer stmt.Close()
	require.NoError(t, stmt.QueryRowContext(ctx, 8).Scan(&v))
	assert.Equal(t, int64(1), v)
	require.NoError(t, db.PingContext(ctx))

	assert.Equal(t, map[string]int{"exec": 4, "query": 1, "commit": 1}, w.seen)
	require.Len(t, w.errs, 1)
	require.ErrorIs(t, w.errs[0], rqlite.ConstraintUnique)
}
