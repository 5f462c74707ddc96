//go:build unix

package integration_test

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newForeign is a web server that has nothing to do with rqlite.
func newForeign(t *testing.T, status int) (host string, writes *atomic.Int64) {
	t.Helper()
	writes = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/db/execute" {
			writes.Add(1)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html>Welcome!</html>")
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), writes
}

// TestFoundForeignAtTheAdvertisedAddress has nodes that advertise the address of another service.
func TestFoundForeignAtTheAdvertisedAddress(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		for _, status := range []int{200, 404, 502} {
			t.Run(fmt.Sprint(status), func(t *testing.T) {
				foreign, writes := newForeign(t, status)
				f := startFleet(t, fleetOptions{voters: 2, advertise: foreign})
				connector := newConnector(t, f.dsn((f.leader(t)+1)%2))
				db := sql.OpenDB(connector)
				t.Cleanup(func() { require.NoError(t, db.Close()) })
				var one, rows int
				scan(t, db, "SELECT 1", nil, &one)
				mustExec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
				for range 10 {
					mustExec(t, db, "INSERT INTO t DEFAULT VALUES")
				}
				scan(t, db, "SELECT count(*) FROM t", nil, &rows)
				assert.Equal(t, 10, rows)
				assert.EqualValues(t, 1, connector.Stats().Fallbacks)
				assert.Zero(t, writes.Load())
			})
		}
	})
}

// TestFoundForeignHost has hosts in the DSN that are not rqlite's.
func TestFoundForeignHost(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		for _, status := range []int{200, 403, 404, 502} {
			foreign, writes := newForeign(t, status)
			dsn := strings.Replace(b.shared.dsn, "://", "://"+foreign+",", 1)
			mustExec(t, openDSN(t, dsn), "CREATE TABLE IF NOT EXISTS found_foreign (id INT)")
			assert.Zero(t, writes.Load())

			begin := time.Now()
			_, err := openDSN(t, "rqlite://"+foreign).ExecContext(t.Context(), "CREATE TABLE t (id INT)")
			require.ErrorContains(t, err, "this is not rqlite's HTTP address", status)
			assert.NotContains(t, err.Error(), "<")
			assert.NotErrorIs(t, err, rqlite.ErrIndeterminate, "nothing was sent")
			assert.Less(t, time.Since(begin), 2*time.Second)
		}
	})
}
