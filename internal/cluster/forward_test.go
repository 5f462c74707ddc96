package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// links are the links of a client to the nodes a:1, b:1 and c:1 of a cluster.
type links struct {
	mu     sync.Mutex
	leader string // whom the nodes name; "" while they wait for one
	knows  bool   // they name the leader, though they cannot reach it
	cut    map[string]string
	got    map[string][]string // paths and queries, by node
}

func newLinks() *links {
	return &links{leader: "c:1", cut: map[string]string{}, got: map[string][]string{}}
}

// RoundTrip implements http.RoundTripper.
func (l *links) RoundTrip(req *http.Request) (*http.Response, error) {
	l.mu.Lock()
	leader, cut, knows := l.leader, l.cut[req.URL.Host], l.knows
	l.got[req.URL.Host] = append(l.got[req.URL.Host], req.URL.Path+"?"+req.URL.RawQuery)
	l.mu.Unlock()
	switch cut {
	case "refused":
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	case "broken":
		return nil, io.EOF
	case "silent":
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	redirect := req.URL.Query().Has("redirect")
	switch {
	case req.URL.Path == "/readyz":
		return response(200, ""), nil
	case leader == "":
		<-req.Context().Done()
		return nil, req.Context().Err()
	case leader != req.URL.Host && redirect:
		return response(301, "http://"+leader+req.URL.Path), nil
	case knows && leader != req.URL.Host:
		return &http.Response{StatusCode: 503, Header: http.Header{}, Body: io.NopCloser(newBody("leader not found"))}, nil
	}
	return response(200, ""), nil
}

// set changes the cluster.
func (l *links) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	clear(l.got)
}

// calls returns the requests of the program that have gone to a node.
func (l *links) calls(host string) (calls []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, call := range l.got[host] {
		if call != "/readyz?noleader" && call != "/db/query?level=weak&redirect" && call != "/db/query?level=weak" {
			calls = append(calls, call)
		}
	}
	return calls
}

func newLinked(t *testing.T, hosts ...string) (*links, *Client) {
	t.Helper()
	l := newLinks()
	c, _ := newClient(t, hosts, timeout(10*time.Second), func(c *Config) { c.Transport = l })
	return l, c
}

// This client alone is cut off from the leader: the others hand its requests on, at once, and no
// call tries the leader's address, until the link is there again.
func TestCutOffFromTheLeader(t *testing.T) {
	t.Parallel()
	for _, cut := range []string{"refused", "broken", "silent"} {
		for _, hosts := range [][]string{{"a:1", "b:1", "c:1"}, {"c:1", "a:1", "b:1"}, {"a:1"}} {
			for _, met := range []bool{true, false} {
				inBubble(t, cut+" "+hosts[0]+map[bool]string{true: " met", false: ""}[met], func(t *testing.T) {
					l, c := newLinked(t, hosts...)
					if met {
						require.NoError(t, do(t.Context(), c, write()))
						require.Equal(t, "c:1", c.routes.leader.Load().host)
					}
					l.set(func() { l.cut["c:1"] = cut })
					begin := time.Now()
					require.NoError(t, do(t.Context(), c, query()))
					assert.LessOrEqual(t, time.Since(begin), 3*time.Second)
					l.set(func() {})
					for range 40 {
						begin = time.Now()
						require.NoError(t, do(t.Context(), c, write()))
						anywhere := query()
						anywhere.Leader = false
						require.NoError(t, do(t.Context(), c, anywhere))
						assert.Zero(t, time.Since(begin), "no call waits")
						time.Sleep(500 * time.Millisecond)
					}
					assert.Empty(t, l.calls("c:1"))
					assert.EqualValues(t, 1, c.Counts().Fallbacks)

					l.set(func() { delete(l.cut, "c:1") })
					for range 2 {
						time.Sleep(longestBack + backEach)
						require.NoError(t, do(t.Context(), c, write()))
						waitForAll()
					}
					l.set(func() {})
					require.NoError(t, do(t.Context(), c, write()))
					assert.Equal(t, []string{"/db/execute?blob_array&redirect"}, l.calls("c:1"))
					assert.False(t, c.Forwarding())
				})
			}
		}
	}
}

// Calls with less patience than it takes to find out get there all the same.
func TestCutOffWithLittlePatience(t *testing.T) {
	t.Parallel()
	inBubble(t, "silent", func(t *testing.T) {
		l, c := newLinked(t, "a:1", "b:1", "c:1")
		require.NoError(t, do(t.Context(), c, write()))
		l.set(func() { l.cut["c:1"] = "silent" })
		begin := time.Now()
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			err := do(ctx, c, write())
			cancel()
			if err == nil {
				break
			}
			require.Less(t, time.Since(begin), 5*time.Second)
		}
	})
}

// The leader is lost to all: that is an election, and nothing is forwarded.
func TestElectionIsNoCutOff(t *testing.T) {
	t.Parallel()
	for _, cut := range []string{"refused", "broken", "silent"} {
		for _, knows := range []bool{false, true} {
			inBubble(t, cut+map[bool]string{true: ", the others name it still", false: ""}[knows], func(t *testing.T) {
				l, c := newLinked(t, "a:1", "b:1", "c:1")
				require.NoError(t, do(t.Context(), c, write()))
				l.set(func() {
					l.cut["c:1"] = cut
					if l.knows = knows; !knows {
						l.leader = ""
					}
				})
				begin := time.Now()
				const election = 4 * time.Second
				time.AfterFunc(election, func() { l.set(func() { l.leader, l.knows = "b:1", false }) })
				require.NoError(t, do(t.Context(), c, query()))
				assert.GreaterOrEqual(t, time.Since(begin), election)
				assert.LessOrEqual(t, time.Since(begin), election+2*time.Second)
				assert.Zero(t, c.Counts().Fallbacks)
				assert.Equal(t, "b:1", c.routes.leader.Load().host)
			})
		}
	}
}

// Another node leads meanwhile, and is reached. The one that was cut off is left alone.
func TestCutOffFromTheLeaderThatWas(t *testing.T) {
	t.Parallel()
	inBubble(t, "silent", func(t *testing.T) {
		l, c := newLinked(t, "c:1", "a:1", "b:1")
		l.set(func() { l.cut["c:1"] = "silent" })
		require.NoError(t, do(t.Context(), c, query()))
		require.NoError(t, do(t.Context(), c, write()))
		require.True(t, c.Forwarding())
		l.set(func() { l.leader = "b:1" })
		time.Sleep(longestBack)
		require.NoError(t, do(t.Context(), c, write()))
		time.Sleep(2 * backEach)
		assert.False(t, c.Forwarding())
		l.set(func() {})
		for range 100 {
			begin := time.Now()
			anywhere := query()
			anywhere.Leader = false
			require.NoError(t, do(t.Context(), c, anywhere))
			require.NoError(t, do(t.Context(), c, write()))
			assert.Zero(t, time.Since(begin))
			time.Sleep(time.Second)
		}
		assert.Empty(t, l.calls("c:1"))
		l.set(func() { l.leader = "c:1" })
		begin := time.Now()
		require.NoError(t, do(t.Context(), c, write()))
		assert.Zero(t, time.Since(begin), "it is known to be cut off")
		assert.True(t, c.Forwarding())
		time.Sleep(backWithin)
	})
}
