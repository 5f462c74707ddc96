package rqlite

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The end of a context is told as it is, for programs that compare errors.
func TestContextEndIsBare(t *testing.T) {
	t.Parallel()
	hangs := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	read := step{path: cluster.QueryPath, params: "*", serve: hangs}

	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		db := newFake(t, read).open("")
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		_, err := db.QueryContext(ctx, "SELECT 1")
		assert.True(t, err == context.DeadlineExceeded, "%v", err) //nolint:errorlint // so do programs
	})
	t.Run("deadline that the node was told of", func(t *testing.T) {
		t.Parallel()
		db := newFake(t, step{path: cluster.QueryPath, params: "*", reply: results(`{"error":"query timeout"}`)}).open("")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := db.QueryContext(ctx, "SELECT 1")
		assert.True(t, err == context.DeadlineExceeded, "%v", err) //nolint:errorlint // so do programs
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancels := func(w http.ResponseWriter, r *http.Request) {
			cancel()
			hangs(w, r)
		}
		_, err := newFake(t, step{path: cluster.QueryPath, params: "*", serve: cancels}).open("").QueryContext(ctx, "SELECT 1")
		assert.True(t, err == context.Canceled, "%v", err) //nolint:errorlint // so do programs
	})
	t.Run("a write that was sent", func(t *testing.T) {
		t.Parallel()
		db := newFake(t, step{path: cluster.ExecutePath, params: "*", serve: hangs}).open("")
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		_, err := db.ExecContext(ctx, "DELETE FROM t")
		require.ErrorIs(t, err, ErrIndeterminate)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "context deadline exceeded; the server may still be running it")
	})
	t.Run("the time-out of the DSN", func(t *testing.T) {
		t.Parallel()
		_, err := newFake(t, read).open("timeout="+soon.String()).QueryContext(t.Context(), "SELECT 1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "rqlite: ")
	})
}

// An error says once whose it is.
func TestOnePrefix(t *testing.T) {
	t.Parallel()
	tx, err := newFake(t).open("").BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	defer tx.Rollback()
	_, err = tx.ExecContext(t.Context(), "DELETE FROM t")
	require.ErrorIs(t, err, ReadOnly)
	assert.Equal(t, 1, strings.Count(err.Error(), "rqlite:"), "%v", err)
}

// A failure of TLS says which key of the DSN mends it.
func TestTLSHints(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for dsn, want := range map[string]string{
		"https://" + secure.Listener.Addr().String():  "tls_ca=",
		"https://" + plain.Listener.Addr().String():   "plain http? use rqlite://",
		"rqlite://" + secure.Listener.Addr().String(): "use tls=true",
	} {
		db, err := sql.Open("rqlite", dsn+"/?timeout=2s")
		require.NoError(t, err)
		assert.ErrorContains(t, db.PingContext(t.Context()), want, dsn)
		require.NoError(t, db.Close())
	}
}
