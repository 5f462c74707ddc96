//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// balancer is a reverse proxy that has the nodes of a cluster, in turn, below the path /db/one/. It
// removes the path if it strips.
func balancer(t *testing.T, f *fleet, strips bool, redirected *atomic.Int64) http.Handler {
	t.Helper()
	var next atomic.Int64
	var handler http.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if r.In.URL.Query().Has("redirect") {
			redirected.Add(1)
		}
		node, err := url.Parse("http://" + f.members[next.Add(1)%int64(f.voters)].address)
		assert.NoError(t, err)
		r.SetURL(node)
	}}
	if strips {
		handler = http.StripPrefix("/db/one", handler)
	}
	mux := http.NewServeMux()
	mux.Handle("/db/one/", handler)
	return mux
}

// TestFoundPathOfReverseProxy reaches a cluster by a reverse proxy alone: it speaks https, has the
// nodes below a path, and the addresses that they advertise cannot be reached.
func TestFoundPathOfReverseProxy(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3, advertise: deadAddress(t)})
		var redirected atomic.Int64
		proxy := httptest.NewTLSServer(balancer(t, f, true, &redirected))
		t.Cleanup(proxy.Close)
		db := openDSN(t, proxy.URL+"/db/one/?tls_insecure_skip_verify=true")
		mustExec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
		for range 20 {
			mustExec(t, db, "INSERT INTO t DEFAULT VALUES")
		}
		require.NoError(t, rqlite.RunTx(t.Context(), db, nil, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), "INSERT INTO t DEFAULT VALUES")
			return err
		}))
		var rows int
		scan(t, db, "SELECT count(*) FROM t", nil, &rows)
		assert.Equal(t, 21, rows)
		anyNode := rqlite.WithConsistency(t.Context(), rqlite.None)
		require.NoError(t, db.QueryRowContext(anyNode, "SELECT 1").Scan(&rows))

		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		var backup strings.Builder
		require.NoError(t, conn.Raw(func(c any) error {
			return c.(rqlite.Conn).Backup(t.Context(), &backup, rqlite.BackupBinary)
		}))
		require.NoError(t, conn.Close())
		assert.True(t, strings.HasPrefix(backup.String(), "SQLite format 3"))
		assert.Zero(t, redirected.Load(), "requests that a node would have redirected to an address behind the proxy")
	})
}

// TestFoundWrongPath has the path of a reverse proxy wrong, in the DSN or at the proxy.
func TestFoundWrongPath(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 1})
		for _, tt := range []struct {
			path   string
			strips bool
			want   string
		}{
			{"", true, "this is not rqlite's HTTP address"},
			{"/db/two/", true, "this is not rqlite's HTTP address"},
			{"/db/one/", false, "the proxy before it has to remove"},
		} {
			t.Run(fmt.Sprintf("%s %t", tt.path, tt.strips), func(t *testing.T) {
				proxy := httptest.NewServer(balancer(t, f, tt.strips, new(atomic.Int64)))
				t.Cleanup(proxy.Close)
				db := openDSN(t, proxy.URL+tt.path)
				for what, call := range map[string]func(context.Context) error{
					"write": func(ctx context.Context) error { _, err := db.ExecContext(ctx, "CREATE TABLE t (n INT)"); return err },
					"ping":  db.PingContext,
				} {
					err := call(t.Context())
					require.ErrorContains(t, err, tt.want, what)
					assert.NotErrorIs(t, err, rqlite.ErrIndeterminate)
				}
			})
		}
	})
}
