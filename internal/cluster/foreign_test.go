package cluster

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const page = "<html><body>Welcome!</body></html>"

// newForeign is something that is not rqlite.
func newForeign(t *testing.T, status int, body string) *fake {
	t.Helper()
	f := newUnstarted(text(status, body))
	f.foreign.Store(true)
	f.healthy.Store(int64(status))
	f.Start()
	t.Cleanup(f.Close)
	return f
}

var foreignStatuses = []int{200, 204, 301, 400, 401, 403, 404, 405, 407, 500, 502, 503}

// Something else answers at the address that the leader advertises: requests go by way of the
// node that was asked, and nothing of a write gets there.
func TestForeignAtTheLeadersAddress(t *testing.T) {
	t.Parallel()
	for _, status := range foreignStatuses {
		for _, req := range []*Request{write(), query()} {
			t.Run(fmt.Sprint(status, req.Path), func(t *testing.T) {
				t.Parallel()
				foreign := newForeign(t, status, page)
				node := newFake(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Query().Has("redirect") {
						moved(func() string { return strings.Replace(byName(t, foreign), "elsewhere.example", "localhost", 1) })(w, r)
						return
					}
					ok(written)(w, r)
				})
				var log logBuffer
				c, _ := newStranger(t, []string{node.host()}, resolving(t), log.into)
				for range 5 {
					require.NoError(t, do(t.Context(), c, req))
				}
				for _, got := range foreign.got() {
					assert.Equal(t, "/db/query", got.Path)
				}
				assert.LessOrEqual(t, len(foreign.got()), 1)
				assert.Equal(t, 1, strings.Count(log.String(), "what answers at the address that the leader advertises is not rqlite"), "%s", &log)
				assert.NotContains(t, log.String(), "<html>")
			})
		}
	}
}

// The leader's address belongs to something else since it was met.
func TestForeignSinceTheLeaderWasMet(t *testing.T) {
	t.Parallel()
	for status, outcome := range map[int]Outcome{200: Unknown, 403: Answered, 404: Answered, 407: Answered, 401: Answered, 502: Unknown} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			leader := newFake(t, ok(written), text(status, page))
			node := newFake(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("redirect") {
					movedTo(strings.Replace(byName(t, leader), "elsewhere.example", "localhost", 1))(w, r)
					return
				}
				ok(written)(w, r)
			})
			c, _ := newClient(t, []string{node.host()}, resolving(t))
			require.NoError(t, do(t.Context(), c, write()))
			leader.foreign.Store(true)
			err := do(t.Context(), c, write())
			if outcome == Answered {
				require.NoError(t, err)
			} else {
				requireError(t, err, outcome)
				assert.NotContains(t, err.Error(), "<")
			}
			for range 3 {
				require.NoError(t, do(t.Context(), c, write()))
			}
			assert.Len(t, leader.got(), 2, "it is left alone")
		})
	}
}

// One of the hosts is not rqlite's, or all are.
func TestForeignHosts(t *testing.T) {
	t.Parallel()
	for _, status := range foreignStatuses {
		if status == http.StatusUnauthorized {
			continue // of a host: user and password are at fault
		}
		for _, req := range []*Request{write(), query()} {
			t.Run(fmt.Sprint(status, req.Path), func(t *testing.T) {
				t.Parallel()
				foreign, node := newForeign(t, status, page), newFake(t, ok(written))
				c, _ := newStranger(t, []string{foreign.host(), node.host()})
				for range 5 {
					require.NoError(t, do(t.Context(), c, req))
				}
				assert.LessOrEqual(t, len(foreign.got()), 1, "it is asked last from then on")
				for _, got := range foreign.got() {
					assert.Equal(t, "/db/query", got.Path, "no write gets there")
				}

				begin := time.Now()
				other := newForeign(t, status, page)
				c, _ = newStranger(t, []string{foreign.host(), other.host()}, timeout(2*time.Second))
				failure := requireError(t, do(t.Context(), c, req), Refused)
				require.ErrorContains(t, failure, "this is not rqlite's HTTP address")
				assert.NotContains(t, failure.Error(), "<")
				if status < 500 {
					assert.Less(t, time.Since(begin), time.Second)
				}
			})
		}
	}
}

// A balancer before the nodes that has none to pass a write on to may have passed it on.
func TestForeignAnswerToAWrite(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]Outcome{200: Unknown, 500: Unknown, 502: Unknown, 503: Unknown, 504: Unknown, 408: Unknown, 404: Refused, 413: Refused} {
		node := newFake(t, ok(written), text(status, page), ok(written))
		c, _ := newClient(t, []string{node.host()})
		require.NoError(t, do(t.Context(), c, write()))
		node.foreign.Store(true)
		requireError(t, do(t.Context(), c, write()), want)
		assert.Len(t, node.got(), 2, status)
	}
}

// A proxy strips the header: what is well-formed is rqlite's all the same.
func TestForeignHeaderStripped(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(written), text(400, "no such thing"), text(401, ""), failure("stale read"), text(503, "leader not found"), ok(written))
	node.foreign.Store(true)
	c, _ := newClient(t, []string{node.host()})
	require.NoError(t, do(t.Context(), c, write()))
	failure := requireError(t, do(t.Context(), c, write()), Refused)
	assert.Equal(t, "no such thing", failure.Message)
	assert.Equal(t, 401, requireError(t, do(t.Context(), c, write()), Refused).Status)
	assert.Equal(t, "stale read", requireError(t, do(t.Context(), c, write()), Refused).Message)
	require.NoError(t, do(t.Context(), c, write()))
	assert.Zero(t, c.Counts().Fallbacks)
}

// What is not rqlite gives no backup, and loads none.
func TestForeignAnswerToACall(t *testing.T) {
	t.Parallel()
	foreign, node := newForeign(t, 200, page), newFake(t, ok("SQLite format 3"))
	c, _ := newStranger(t, []string{foreign.host(), node.host()})
	body, err := c.Do(t.Context(), &Call{Method: http.MethodGet, Path: "/db/backup"})
	require.NoError(t, err)
	got, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	assert.Equal(t, "SQLite format 3", string(got))

	c, _ = newStranger(t, []string{foreign.host()})
	_, err = c.Do(t.Context(), &Call{Method: http.MethodPost, Path: "/db/load", Body: strings.NewReader("x"), Write: true})
	require.ErrorIs(t, err, errForeign)
	for _, got := range foreign.got() {
		assert.NotEqual(t, "/db/load", got.Path)
	}
}
