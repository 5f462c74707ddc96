package cluster

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A node is asked whether it is alive after patience, and has as long to say so:
// one sign of hanging.
const sign = 2 * patience

func anyNode() *Request {
	r := query()
	r.Leader = false
	return r
}

// paused makes the node hang from now on.
func paused(f *fake) { f.hangs.Store(true) }

func TestHangRead(t *testing.T) {
	t.Parallel()
	for _, req := range []*Request{query(), anyNode()} {
		inBubble(t, fmt.Sprintf("leader %v", req.Leader), func(t *testing.T) {
			nodes, c := newPipedCluster(t, limitForTests, [][]reply{{ok(rows)}, {ok(rows)}})
			paused(nodes[0])
			begin := time.Now()
			require.NoError(t, do(t.Context(), c, req))
			assert.Equal(t, sign, time.Since(begin), "then the other one is asked at once")
			for range 6 {
				require.NoError(t, do(t.Context(), c, req))
			}
			assert.Equal(t, sign, time.Since(begin), "nobody waits for it again")
			assert.Len(t, nodes[0].got(), 1)
			assert.Len(t, nodes[1].got(), 7)
			assert.EqualValues(t, 1, nodes[0].probes.Load())
			assert.Zero(t, nodes[1].probes.Load())
		})
	}
}

// With nowhere else to go, a read goes on until the time-out.
func TestHangReadOneHost(t *testing.T) {
	t.Parallel()
	inBubble(t, "all the time", func(t *testing.T) {
		node, c := newPiped(t, limitForTests, ok(rows))
		paused(node)
		begin := time.Now()
		err := do(t.Context(), c, query())
		assert.Equal(t, limitForTests, time.Since(begin))
		requireError(t, err, Refused)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "the attempt before: the node does not answer")
		assert.Len(t, node.got(), 3, "at 0 s, 1 s and 2 s")
	})
	inBubble(t, "it comes back", func(t *testing.T) {
		node, c := newPiped(t, limitForTests, ok(rows))
		paused(node)
		time.AfterFunc(sign+time.Millisecond, func() { node.hangs.Store(false) })
		begin := time.Now()
		require.NoError(t, do(t.Context(), c, query()))
		assert.LessOrEqual(t, time.Since(begin), sign+firstPause)
		assert.Len(t, node.got(), 2)
	})
}

// A write takes two signs, and is never sent again.
func TestHangWrite(t *testing.T) {
	t.Parallel()
	inBubble(t, "sent", func(t *testing.T) {
		nodes, c := newPipedCluster(t, 10*time.Second, [][]reply{{ok(written)}, {ok(written)}})
		paused(nodes[0])
		begin := time.Now()
		err := do(t.Context(), c, write())
		assert.Equal(t, 2*sign, time.Since(begin))
		failure := requireError(t, err, Unknown)
		require.ErrorIs(t, err, errHangs)
		assert.True(t, failure.Write)
		assert.Equal(t, nodes[0].host(), failure.Node)
		assert.Len(t, nodes[0].got(), 1)
		assert.Empty(t, nodes[1].got())
		assert.EqualValues(t, 2, nodes[0].probes.Load())

		require.NoError(t, do(t.Context(), c, write()))
		assert.Equal(t, 2*sign, time.Since(begin), "the next one goes elsewhere")
	})
	inBubble(t, "awake after the first sign", func(t *testing.T) {
		release := make(chan struct{})
		node, c := newPiped(t, 10*time.Second, func(w http.ResponseWriter, r *http.Request) {
			<-release
			ok(written)(w, r)
		})
		sent := make(chan error)
		go func() { sent <- do(t.Context(), c, write()) }()
		waitForAll() // the request has arrived
		paused(node)
		time.Sleep(sign + patience/2)
		node.hangs.Store(false)
		time.Sleep(5 * time.Second) // alive, and slow
		close(release)
		require.NoError(t, <-sent)
		assert.Len(t, node.got(), 1)
	})
	inBubble(t, "never sent", func(t *testing.T) {
		nodes, c := newPipedCluster(t, 10*time.Second, [][]reply{{ok(written)}, {ok(written)}})
		nodes[0].deaf.Store(true)
		begin := time.Now()
		require.NoError(t, do(t.Context(), c, write()))
		assert.Equal(t, 2*sign, time.Since(begin))
		assert.Empty(t, nodes[0].got())
		assert.Len(t, nodes[1].got(), 1)
		time.Sleep(dialFor) // for the dials that go on behind
	})
}

// A node that says that it is alive, in whatever words, is waited for.
func TestHangSlowNode(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 301, 401, 404, 503} {
		for _, req := range []*Request{write(), query()} {
			inBubble(t, fmt.Sprint(status, req.Path, " answers"), func(t *testing.T) {
				const slow = limitForTests - time.Millisecond
				nodes, c := newPipedCluster(t, limitForTests, [][]reply{{after(slow, ok(written))}, {ok(written)}})
				nodes[0].healthy.Store(int64(status))
				begin := time.Now()
				require.NoError(t, do(t.Context(), c, req))
				assert.Equal(t, slow, time.Since(begin))
				assert.Len(t, nodes[0].got(), 1)
				assert.Empty(t, nodes[1].got())
				assert.EqualValues(t, 5, nodes[0].probes.Load(), "every half second")
			})
			inBubble(t, fmt.Sprint(status, req.Path, " never answers"), func(t *testing.T) {
				nodes, c := newPipedCluster(t, limitForTests, [][]reply{{hang("")}, {ok(written)}})
				nodes[0].healthy.Store(int64(status))
				begin := time.Now()
				err := do(t.Context(), c, req)
				assert.Equal(t, limitForTests, time.Since(begin))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.NotErrorIs(t, err, errHangs)
				assert.Len(t, nodes[0].got(), 1)
				assert.Empty(t, nodes[1].got())
			})
		}
	}
}

// A probe carries what a node may demand of any request.
func TestProbe(t *testing.T) {
	t.Parallel()
	inBubble(t, "its request", func(t *testing.T) {
		var probe atomic.Pointer[http.Request]
		c, _ := newClient(t, []string{"node:1"}, credentials, func(c *Config) {
			c.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				if req.URL.Path == "/readyz" {
					probe.Store(req)
					return response(200, ""), nil
				}
				<-req.Context().Done()
				return nil, req.Context().Err()
			})
		})
		ctx, cancel := context.WithTimeout(t.Context(), sign)
		defer cancel()
		require.ErrorIs(t, do(ctx, c, query()), context.DeadlineExceeded)
		got := probe.Load()
		require.NotNil(t, got)
		assert.Equal(t, "GET http://node:1/readyz?noleader", got.Method+" "+got.URL.String())
		user, _, _ := got.BasicAuth()
		assert.Equal(t, "bob", user)
	})
}

// Rows that arrive slowly are no sign of hanging, whatever probes say.
func TestHangInTheRows(t *testing.T) {
	t.Parallel()
	inBubble(t, "heard", func(t *testing.T) {
		node, c := newPiped(t, 30*time.Second, slowRows(5, 4*time.Second))
		a, err := c.Send(t.Context(), query())
		require.NoError(t, err)
		defer a.Close()
		paused(node)
		require.NoError(t, readAnswer(a))
		assert.Zero(t, node.probes.Load())
	})
}

// However many wait for a node, one asks for all.
func TestProbeOnceForMany(t *testing.T) {
	t.Parallel()
	inBubble(t, "alive", func(t *testing.T) {
		node, c := newPiped(t, limitForTests, after(1900*time.Millisecond, ok(rows)))
		const many = 40
		errs := make(chan error)
		for i := range many {
			go func() {
				time.Sleep(time.Duration(i) * time.Millisecond) // not all at once
				errs <- do(t.Context(), c, query())
			}()
		}
		for range many {
			require.NoError(t, <-errs)
		}
		assert.EqualValues(t, 3, node.probes.Load(), "one every %v", patience)
	})
	inBubble(t, "hanging", func(t *testing.T) {
		nodes, c := newPipedCluster(t, limitForTests, [][]reply{{ok(rows)}, {ok(rows)}})
		paused(nodes[0])
		const many = 40
		errs := make(chan error)
		begin := time.Now()
		for i := range many {
			go func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				errs <- do(t.Context(), c, query())
			}()
		}
		for range many {
			require.NoError(t, <-errs)
		}
		assert.EqualValues(t, 1, nodes[0].probes.Load())
		assert.Equal(t, sign, time.Since(begin), "nor does one wait for the probes of others")
	})
}

// The time-out comes when it should, whether a probe is under way or not.
func TestTimeoutBesideProbes(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, limit := range []time.Duration{ms, patience, patience + ms, sign - ms, sign, sign + ms, sign + patience, 2*sign - ms, 2*sign + ms, 2*sign + patience, 5 * sign} {
		for _, req := range []*Request{write(), query()} {
			for _, byContext := range []bool{false, true} {
				inBubble(t, fmt.Sprint(limit, req.Path, byContext), func(t *testing.T) {
					clientLimit, ctx := limit, t.Context()
					if byContext {
						clientLimit = time.Hour
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, limit)
						defer cancel()
					}
					node, c := newPiped(t, clientLimit, ok(written))
					paused(node)
					begin := time.Now()
					err := do(ctx, c, req)
					want := limit
					if req.Write {
						want = min(limit, 2*sign)
						assert.Len(t, node.got(), 1)
					}
					assert.Equal(t, want, time.Since(begin))
					if want == limit {
						require.ErrorIs(t, err, context.DeadlineExceeded)
					} else {
						require.ErrorIs(t, err, errHangs)
					}
				})
			}
		}
	}
}

// Close ends the probes, and does not cut off the requests under way: it says
// nothing of the node that nobody asks it any more.
func TestCloseWhileProbing(t *testing.T) {
	t.Parallel()
	for _, req := range []*Request{write(), query()} {
		inBubble(t, "a slow node "+req.Path, func(t *testing.T) {
			node, c := newPiped(t, 10*time.Second, after(5*time.Second, ok(written)))
			time.AfterFunc(patience/2, c.Close)
			begin := time.Now()
			require.NoError(t, do(t.Context(), c, req))
			assert.Equal(t, 5*time.Second, time.Since(begin))
			assert.Len(t, node.got(), 1)
			assert.Zero(t, node.probes.Load())
		})
		inBubble(t, "a probe under way "+req.Path, func(t *testing.T) {
			begin := time.Now()
			var asked, answered time.Duration
			c, _ := newClient(t, []string{"node:1"}, timeout(10*time.Second), func(c *Config) {
				c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path != "/readyz" {
						time.Sleep(5 * time.Second)
						return response(200, ""), nil
					}
					if asked == 0 {
						asked = time.Since(begin)
						<-r.Context().Done()
						answered = time.Since(begin)
					}
					return nil, r.Context().Err()
				})
			})
			time.AfterFunc(patience+time.Millisecond, c.Close)
			require.NoError(t, do(t.Context(), c, req))
			assert.Equal(t, patience, asked)
			assert.Equal(t, patience+time.Millisecond, answered)
			assert.Equal(t, 5*time.Second, time.Since(begin))
		})
	}
}

// The leader is paused, and the followers name it until they have elected
// another: nobody waits for it again before its penalty is over.
func TestHangLeader(t *testing.T) {
	t.Parallel()
	for _, election := range []time.Duration{sign + patience/2, 5 * time.Second} {
		inBubble(t, election.String(), func(t *testing.T) {
			begin := time.Now()
			var nodes []*fake
			follower := moved(func() string {
				if time.Since(begin) < election {
					return "http://" + nodes[2].host()
				}
				return "http://" + nodes[1].host()
			})
			second := func(w http.ResponseWriter, r *http.Request) {
				if time.Since(begin) < election {
					follower(w, r)
					return
				}
				ok(rows)(w, r)
			}
			nodes, c := newPipedCluster(t, 20*time.Second, [][]reply{{follower}, {second}, {ok(rows)}}, knows(2))
			require.NoError(t, do(t.Context(), c, query()))
			require.Equal(t, nodes[2].host(), c.routes.leader.Load().host)
			require.Zero(t, time.Since(begin))
			paused(nodes[2])

			require.NoError(t, do(t.Context(), c, query()))
			assert.GreaterOrEqual(t, time.Since(begin), election)
			assert.LessOrEqual(t, time.Since(begin), election+longestPause)
			assert.Equal(t, nodes[1].host(), c.routes.leader.Load().host)
			// A sign takes 1 s, and the penalties are 0.5 s, 1 s and 2 s.
			want := map[time.Duration]int{sign + patience/2: 2, 5 * time.Second: 4}
			assert.Len(t, nodes[2].got(), want[election], "the first of them before it was paused")

			before := time.Now()
			require.NoError(t, do(t.Context(), c, write()))
			assert.Zero(t, time.Since(before))
		})
	}
}
