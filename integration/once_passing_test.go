package integration_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A failure that passes does not take the tokens of writes for long: of an answer that is lost later it is
// found out what became of the write.
func TestOnceAfterPassingFailure(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]struct{ of, answer string }{
		"the disk is full as the table is made": {"CREATE TABLE IF NOT EXISTS _rqlite_tx", `{"results":[{"error":"database or disk is full"}]}`},
		"the table cannot be made":              {"CREATE TABLE IF NOT EXISTS _rqlite_tx", `{"results":[{"error":"database is locked"}]}`},
		"the question fails":                    {"SELECT v,", `{"results":[{"error":"interrupted"}]}`},
		"the list of nodes is lost":             {"/nodes", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var failed, lose atomic.Bool
			srv, err := startIntercepted(serverOptions{}, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						panic(http.ErrAbortHandler)
					}
					r.Body = io.NopCloser(bytes.NewReader(body))
					if strings.Contains(r.URL.Path+string(body), failure.of) && failed.CompareAndSwap(false, true) {
						if failure.answer == "" {
							panic(http.ErrAbortHandler)
						}
						w.Header().Set("X-Rqlite-Version", "v10.2.7")
						_, _ = io.WriteString(w, failure.answer)
						return
					}
					if strings.Contains(string(body), "lost") && lose.CompareAndSwap(true, false) {
						next.ServeHTTP(httptest.NewRecorder(), r)
						panic(http.ErrAbortHandler)
					}
					next.ServeHTTP(w, r)
				})
			})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, srv.stop()) })
			db := openDSN(t, withSettings(srv.dsn, "exactly_once=all"))
			mustExec(t, db, "CREATE TABLE x (id INTEGER PRIMARY KEY, a)")
			const write = "INSERT INTO x (a) VALUES ('lost')"
			var id int
			if failure.of == "/nodes" { // only writes with RETURNING ask for them
				lose.Store(true)
				require.ErrorContains(t, db.QueryRow(write+" RETURNING id").Scan(&id), "was applied")
			} else {
				time.Sleep(1100 * time.Millisecond)
				lose.Store(true)
				mustExec(t, db, write)
			}
			require.True(t, failed.Load())
			require.False(t, lose.Load())
			scan(t, db, "SELECT count(*) FROM x", nil, &id)
			require.Equal(t, 1, id)
		})
	}
}
