package rqlite

import (
	"database/sql"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/require"
)

// Behind a path requests are forwarded: the addresses that nodes name have no such path.
func TestPathPrefix(t *testing.T) {
	t.Parallel()
	f := newFake(t,
		step{path: cluster.ExecutePath, params: strings.TrimSuffix(plainWrite, "&redirect"), reply: `{"results":[{"rows_affected":1}]}`},
		step{path: cluster.QueryPath, params: strings.TrimSuffix(weakRead, "&redirect"), reply: `{"results":[{"columns":["1"],"types":["integer"],"values":[[1]]}]}`},
	)
	proxy := httptest.NewServer(http.StripPrefix("/a b", http.HandlerFunc(f.serve)))
	t.Cleanup(proxy.Close)
	db, err := sql.Open("rqlite", strings.Replace(proxy.URL, "http://", "rqlite://", 1)+"/a%20b/?txversion=false")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	require.NoError(t, err)
	var one int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT 1").Scan(&one))
	require.NoError(t, db.Close())
}
