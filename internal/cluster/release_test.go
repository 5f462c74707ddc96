package cluster

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseRelease(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"v8.43.4":              "8.43.4",
		"10.2.6":               "10.2.6",
		"v10.2.7-23-g5f6ea5c1": "10.2.7",
		"v9.4.5-rc1":           "9.4.5",
		"v10.3.0+test-1":       "10.3.0",
		"10":                   "10.0.0",
		"v9.4":                 "9.4.0",
		"":                     "0.0.0",
		"v":                    "0.0.0",
		"master":               "0.0.0",
		"v9.x.1":               "0.0.0",
		"v9.4.1024":            "0.0.0",
		"v9.-1.0":              "0.0.0",
		"9.4.2.1":              "0.0.0",
	} {
		assert.Equal(t, want, parseRelease(text).String(), "%q", text)
	}
	assert.Less(t, parseRelease("v9.10.0"), parseRelease("v10.0.0"))
	assert.Less(t, parseRelease("v9.4.9"), parseRelease("v9.10.0"))
	assert.Equal(t, "8.43.4 9.4.0 9.4.2 10.2.7",
		Oldest.String()+" "+ReturnsAllRows.String()+" "+UndoesReturning.String()+" "+ObeysNoRewriteRandom.String())
}

// of makes an answer, also to the question before the request, name a release.
func of(release string, f *fake) *fake {
	inner := f.Config.Handler
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(releaseHeader, release)
		inner.ServeHTTP(w, r)
	})
	return f
}

// Nothing is sent to a node that is too old, and what it has read is not believed.
func TestReleaseTooOld(t *testing.T) {
	t.Parallel()
	for release, refused := range map[string]bool{
		"v8.43.3": true, "v8.18.0": true, "8": true, "v7.21.4": true,
		"v8.43.4": false, "9": false, "10": false, "v10.2.7-23-g5f6ea5c1": false, "master": false, "": false,
	} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			node := of(release, newFake(t, ok(rows)))
			c, _ := newStranger(t, []string{node.host()})
			raft := &Request{Path: "/db/request", Body: []byte(`["SELECT 1"]`), Leader: true} // a trial is no Write
			load := &Call{Method: http.MethodPost, Path: "/db/load", Write: true}
			body, failed := c.Do(t.Context(), load)
			if failed == nil {
				body.Close()
			}
			for _, err := range []error{do(t.Context(), c, write()), do(t.Context(), c, raft), failed, do(t.Context(), c, query())} {
				if !refused {
					require.NoError(t, err)
					continue
				}
				failure := requireError(t, err, Refused)
				require.ErrorContains(t, failure, "rqlite "+release)
				require.ErrorContains(t, failure, "use 8.43.4 or later")
			}
			if !refused {
				assert.Len(t, node.got(), 4)
				return
			}
			assert.LessOrEqual(t, len(node.got()), 1, "the read, which may have told")
			for _, got := range node.got() {
				assert.Equal(t, "/db/query", got.Path)
			}
		})
	}
}

// A node is asked once before it gets its first write, and again after it failed.
func TestReleaseIsAskedFor(t *testing.T) {
	t.Parallel()
	node := of("v9.4.5", newFake(t, ok(written), ok(written), drop, ok(written)))
	c, _ := newStranger(t, []string{node.host()})
	for _, want := range []struct {
		probes int64
		fails  bool
	}{{1, false}, {1, false}, {1, true}, {2, false}} {
		err := do(t.Context(), c, write())
		assert.Equal(t, want.fails, err != nil, "%v", err)
		if want.fails {
			c.routes.lost.Store(false) // it would be found by a read, which tells as well
		}
		assert.Equal(t, want.probes, node.probes.Load())
	}
}

// A node that cannot be asked has not got the request.
func TestReleaseCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		nodes, c := newPipedCluster(t, 10*time.Second, [][]reply{{ok(written)}, {ok(written)}})
		for _, n := range c.routes.hosts {
			n.build.Store(nil)
		}
		paused(nodes[0])
		require.NoError(t, do(t.Context(), c, write()), "the other node takes it")
		assert.Empty(t, nodes[0].got())
		assert.Len(t, nodes[1].got(), 1)
	})
}

func TestMinRelease(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		node string
		min  Release
		sent bool
	}{
		{"v9.4.2", UndoesReturning, true},
		{"v9.4.1", UndoesReturning, false},
		{"9", UndoesReturning, false},
		{"10", UndoesReturning, true},
		{"", UndoesReturning, false},
		{"", 0, true},
		{"v8.43.4", Oldest, true},
	} {
		node := of(test.node, newFake(t, ok(written)))
		c, _ := newStranger(t, []string{node.host()})
		req := write()
		req.MinRelease = test.min
		err := do(t.Context(), c, req)
		if test.sent {
			require.NoError(t, err, "%v", test)
			continue
		}
		assert.True(t, requireError(t, err, Refused).Earlier(), "%v", test)
		assert.Empty(t, node.got(), "%v", test)
	}
}

// An address may lead to nodes of different releases, as that of a balancer does.
func TestReleaseOfAnotherNode(t *testing.T) {
	t.Parallel()
	var answers atomic.Int64
	node := newFake(t, ok(written))
	inner := node.Config.Handler
	node.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		release := "v9.4.5"
		if answers.Add(1) > 1 {
			release = "v9.4.1"
		}
		w.Header().Set(releaseHeader, release)
		inner.ServeHTTP(w, r)
	})
	c, _ := newStranger(t, []string{node.host()})
	req := write()
	req.MinRelease = UndoesReturning
	failure := requireError(t, do(t.Context(), c, req), Unknown)
	assert.False(t, failure.Earlier(), "it was sent")
	assert.Len(t, node.got(), 1)
	assert.True(t, requireError(t, do(t.Context(), c, req), Refused).Earlier(), "and now it is known before")
}

// What matters on all nodes is known when all have been heard of.
func TestAllSince(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		replies []string
		want    bool
	}{
		{"all are", []string{`{"nodes":[{"id":"1","version":"v9.4.2"},{"id":"2","version":"10"}]}`}, true},
		{"one is not", []string{`{"nodes":[{"id":"1","version":"v9.4.5"},{"id":"2","version":"v9.4.1"}]}`}, false},
		{"one is down", []string{`{"nodes":[{"id":"1","version":"v9.4.5"},{"id":"2","error":"dial tcp"}]}`}, false},
		{"one is down that was met", []string{
			`{"nodes":[{"id":"1","version":"v9.4.5"},{"id":"2","version":"v9.4.5"}]}`,
			`{"nodes":[{"id":"1","version":"v9.4.5"},{"id":"2","error":"dial tcp"}]}`,
		}, true},
		{"one has joined", []string{
			`{"nodes":[{"id":"1","version":"v9.4.5"}]}`,
			`{"nodes":[{"id":"1","version":"v9.4.5"},{"id":"2","version":"v9.4.1"}]}`,
		}, false},
		{"one has left", []string{
			`{"nodes":[{"id":"1","version":"v9.4.5"},{"id":"2","version":"v9.4.1"}]}`,
			`{"nodes":[{"id":"1","version":"v9.4.5"}]}`,
		}, true},
		{"they do not say", []string{`{"nodes":[{"id":"1"}]}`}, false},
		{"there are none", []string{`{"nodes":[]}`}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var l lowest
			for _, body := range test.replies {
				members, err := readMembers(strings.NewReader(body))
				require.NoError(t, err)
				l.learn(members, time.Now())
			}
			release, _ := l.known()
			assert.Equal(t, test.want, release >= UndoesReturning)
			l.learn(nil, time.Now().Add(-membersEvery))
			release, _ = l.known()
			assert.Zero(t, release, "it was long ago")
		})
	}
	t.Run("they are asked", func(t *testing.T) {
		t.Parallel()
		node := newFake(t, ok(`{"nodes":[{"id":"1","version":"v9.4.2"}]}`))
		c, _ := newClient(t, []string{node.host()})
		assert.True(t, c.AllSince(t.Context(), UndoesReturning, true))
		assert.False(t, c.AllSince(t.Context(), ObeysNoRewriteRandom, true))
		assert.Len(t, node.got(), 1, "once in a while")
	})
	t.Run("the user may not ask", func(t *testing.T) {
		t.Parallel()
		node := newFake(t, text(http.StatusUnauthorized, ""))
		c, _ := newClient(t, []string{node.host()})
		assert.False(t, c.AllSince(t.Context(), Oldest, true))
	})
	t.Run("nobody waits for ever", func(t *testing.T) {
		t.Parallel()
		node := newFake(t, hang(""))
		c, _ := newClient(t, []string{node.host()})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		assert.False(t, c.AllSince(ctx, Oldest, true))
		assert.False(t, c.AllSince(t.Context(), Oldest, false))
	})
}
