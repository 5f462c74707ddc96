package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	limitForTests = 3 * time.Second
	// mostAttempts is how many attempts with pauses fit into that: the short
	// pauses at first, and then nothing but the shortest of the longest.
	mostAttempts = 6 + int(limitForTests/(longestPause/2))
)

func TestTimeout(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		reply reply
	}{
		{"no answer", hang("")},
		{"stops before the results", hang(`{"resul`)},
		{"stops in the first entry", hang(`{"results":[{"last_insert_id":1,`)},
	}
	for _, tt := range tests {
		for _, req := range []*Request{write(), query()} {
			inBubble(t, tt.name+" "+req.Path, func(t *testing.T) {
				node, c := newPiped(t, limitForTests, tt.reply)
				begin := time.Now()
				err := do(t.Context(), c, req)
				assert.Equal(t, limitForTests, time.Since(begin))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.NotErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, "no answer within 3s, the time-out of the connection")
				want := Refused
				if req.Write {
					want = Unknown
				}
				requireError(t, err, want)
				assert.Len(t, node.got(), 1)
				waitForAll()
				assert.Zero(t, c.routes.hosts[0].failing.Load(), "it is alive")
			})
		}
	}
}

// An error whose text does not arrive is no different from no answer.
func TestTimeoutInErrorBody(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 500, 503} {
		inBubble(t, fmt.Sprint(status), func(t *testing.T) {
			node, c := newPiped(t, limitForTests, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(status)
				hang("leader not f")(w, r)
			})
			begin := time.Now()
			err := do(t.Context(), c, write())
			assert.Equal(t, limitForTests, time.Since(begin))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "no answer within 3s")
			assert.Len(t, node.got(), 1)
		})
	}
}

func TestTimeoutOfContext(t *testing.T) {
	t.Parallel()
	inBubble(t, "earlier than the time-out", func(t *testing.T) {
		_, c := newPiped(t, limitForTests, hang(""))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		err := do(ctx, c, write())
		assert.Equal(t, time.Second, time.Since(begin))
		requireError(t, err, Unknown)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotContains(t, err.Error(), "time-out of the connection")
	})
	inBubble(t, "later than the time-out", func(t *testing.T) {
		_, c := newPiped(t, limitForTests, hang(""))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begin := time.Now()
		require.ErrorIs(t, do(ctx, c, write()), context.DeadlineExceeded)
		assert.Equal(t, limitForTests, time.Since(begin))
	})
	inBubble(t, "no time-out", func(t *testing.T) {
		_, c := newPiped(t, 0, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Minute) // of the bubble
			ok(written)(w, r)
		})
		require.NoError(t, do(t.Context(), c, write()))
	})
}

// A dial that hangs sends nothing: the outcome is known.
func TestTimeoutWhileDialing(t *testing.T) {
	t.Parallel()
	for _, req := range []*Request{write(), query()} {
		inBubble(t, req.Path, func(t *testing.T) {
			c, _ := newClient(t, []string{"10.0.0.1:4001"}, timeout(limitForTests), func(c *Config) {
				c.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			})
			begin := time.Now()
			err := do(t.Context(), c, req)
			assert.Equal(t, limitForTests, time.Since(begin))
			requireError(t, err, Refused)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
}

// Time runs out between attempts: the error says what the last one died of.
func TestTimeoutWithoutLeader(t *testing.T) {
	t.Parallel()
	inBubble(t, "503", func(t *testing.T) {
		node, c := newPiped(t, limitForTests, text(503, "leader not found"))
		begin := time.Now()
		err := do(t.Context(), c, write())
		assert.Equal(t, limitForTests, time.Since(begin))
		requireError(t, err, Refused)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "the attempt before: leader not found")
		// The pauses double up to longestPause, each between half of that and the whole.
		assert.GreaterOrEqual(t, len(node.got()), 10)
		assert.LessOrEqual(t, len(node.got()), mostAttempts)
	})
}

// The context ends while an answer that asks for another attempt is coming in.
func TestTimeoutWithTheAnswer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := newClient(t, []string{"node:1", "node:2"}, func(c *Config) {
		c.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			cancel()
			return &http.Response{StatusCode: 503, Body: io.NopCloser(newBody("leader not found"))}, nil
		})
	})
	failure := requireError(t, do(ctx, c, write()), Refused)
	require.ErrorIs(t, failure, context.Canceled)
	require.ErrorContains(t, failure, "node:1: context canceled while the write waited for another attempt; nothing was applied; the attempt before: leader not found")
}

// An answer that is final stays what it is, even when it comes at the last moment.
func TestTimeoutDoesNotChangeAnAnswer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	attempts := 0
	c, _ := newClient(t, []string{"node:1", "node:2"}, func(c *Config) {
		c.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			if attempts++; attempts == 1 {
				return &http.Response{StatusCode: 503, Body: io.NopCloser(newBody("leader not found"))}, nil
			}
			cancel()
			return &http.Response{StatusCode: 400, Header: http.Header{releaseHeader: {""}}, Body: io.NopCloser(newBody("no such table: t"))}, nil
		})
	})
	failure := requireError(t, do(ctx, c, write()), Refused)
	assert.Equal(t, 400, failure.Status)
	assert.Equal(t, "no such table: t", failure.Message)
}

// An election takes two seconds; nobody above notices.
func TestElection(t *testing.T) {
	t.Parallel()
	inBubble(t, "ridden out", func(t *testing.T) {
		begin := time.Now()
		node, c := newPiped(t, limitForTests, func(w http.ResponseWriter, r *http.Request) {
			if time.Since(begin) < 2*time.Second {
				text(503, "leader not found")(w, r)
				return
			}
			ok(written)(w, r)
		})
		require.NoError(t, do(t.Context(), c, write()))
		assert.Less(t, time.Since(begin), 2*time.Second+longestPause)
		assert.Equal(t, node.got()[0], node.got()[len(node.got())-1])
	})
}

func TestPauses(t *testing.T) {
	t.Parallel()
	inBubble(t, "doubled, up to a limit", func(t *testing.T) {
		var times []time.Time
		_, c := newPiped(t, 10*time.Second, func(w http.ResponseWriter, r *http.Request) {
			times = append(times, time.Now())
			text(503, "leader not found")(w, r)
		})
		require.Error(t, do(t.Context(), c, write()))
		pause := firstPause
		for i := 1; i < len(times); i++ {
			got := times[i].Sub(times[i-1])
			assert.GreaterOrEqual(t, got, pause/2)
			assert.LessOrEqual(t, got, pause)
			pause = min(2*pause, longestPause)
		}
		assert.Equal(t, longestPause, pause)
	})
}

// While there are hosts that were not asked yet, nobody waits.
func TestNoPauseBetweenHosts(t *testing.T) {
	t.Parallel()
	inBubble(t, "three of them", func(t *testing.T) {
		c, _ := newClient(t, []string{"a:1", "b:1", "c:1"}, func(c *Config) {
			c.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				if req.URL.Host != "c:1" {
					return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
				}
				return response(200, ""), nil
			})
		})
		begin := time.Now()
		require.NoError(t, do(t.Context(), c, write()))
		assert.Zero(t, time.Since(begin))
	})
}

// Redirects are limited in a row, not in all: an election may need many.
func TestRedirectsDuringElection(t *testing.T) {
	t.Parallel()
	inBubble(t, "more than the limit", func(t *testing.T) {
		refusals := 2 * maxRedirects
		c, _ := newClient(t, []string{"node:1"}, func(c *Config) {
			c.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				if req.URL.Host == "node:1" {
					return response(301, "http://leader:1/db/execute"), nil
				}
				if refusals--; refusals >= 0 {
					return &http.Response{StatusCode: 503, Body: io.NopCloser(newBody("leader not found"))}, nil
				}
				return response(200, ""), nil
			})
		})
		a, err := c.Send(t.Context(), write())
		require.NoError(t, err)
		defer a.Close()
		assert.Equal(t, "leader:1", a.Node)
	})
}

// slowRows sends the head of a result at once and its rows with time between.
func slowRows(rows int, between time.Duration) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"results":[{"columns":["a"],"types":["integer"],"values":[[0]`)
		for range rows {
			w.(http.Flusher).Flush()
			select {
			case <-time.After(between):
			case <-r.Context().Done():
				return
			}
			io.WriteString(w, `,[1]`)
		}
		io.WriteString(w, `]}]}`)
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	inBubble(t, "rows may take their time", func(t *testing.T) {
		_, c := newPiped(t, limitForTests, slowRows(10, limitForTests))
		req := query()
		req.Stream = true
		begin := time.Now()
		require.NoError(t, do(t.Context(), c, req))
		assert.Equal(t, 10*limitForTests, time.Since(begin))
	})
	inBubble(t, "but not without it", func(t *testing.T) {
		_, c := newPiped(t, limitForTests, slowRows(10, 2*time.Second))
		begin := time.Now()
		err := do(t.Context(), c, query())
		assert.Equal(t, limitForTests, time.Since(begin))
		requireError(t, err, Refused)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	inBubble(t, "nor past the context's deadline", func(t *testing.T) {
		_, c := newPiped(t, limitForTests, slowRows(10, 2*time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 2*limitForTests)
		defer cancel()
		req := query()
		req.Stream = true
		begin := time.Now()
		require.ErrorIs(t, do(ctx, c, req), context.DeadlineExceeded)
		assert.Equal(t, 2*limitForTests, time.Since(begin))
	})
	inBubble(t, "the head must come in time", func(t *testing.T) {
		_, c := newPiped(t, limitForTests, hang(`{"results":[`))
		req := query()
		req.Stream = true
		begin := time.Now()
		require.ErrorIs(t, do(t.Context(), c, req), context.DeadlineExceeded)
		assert.Equal(t, limitForTests, time.Since(begin))
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	reason := errors.New("the user went home")
	stages := []struct {
		name   string
		script []reply
		write  Outcome
	}{
		{"while waiting", []reply{hang("")}, Unknown},
		{"in the head of the answer", []reply{hang(`{"results"`)}, Unknown},
		{"in the rows", []reply{hang(`{"results":[{"columns":["a"],"types":[""],"values":[[1],`)}, Unknown},
		{"behind the entries", []reply{hang(`{"results":[{}]`)}, Unknown},
		{"between attempts", []reply{text(503, "leader not found")}, Refused},
	}
	for _, stage := range stages {
		for _, req := range []*Request{write(), query()} {
			inBubble(t, stage.name+" "+req.Path, func(t *testing.T) {
				_, c := newPiped(t, limitForTests, stage.script...)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer time.AfterFunc(time.Second, func() { cancel(reason) }).Stop()
				begin := time.Now()
				err := do(ctx, c, req)
				assert.Equal(t, time.Second, time.Since(begin))
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, err, reason)
				want := Refused
				if req.Write {
					want = stage.write
				}
				requireError(t, err, want)
				assert.Zero(t, c.routes.hosts[0].failing.Load(), "the node is not to blame")
			})
		}
	}
}

func TestCancelWhileDialing(t *testing.T) {
	t.Parallel()
	inBubble(t, "write", func(t *testing.T) {
		c, _ := newClient(t, []string{"10.0.0.1:4001"}, func(c *Config) {
			c.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				dial, end := context.WithTimeout(ctx, 5*time.Second) // as the driver's dialer does
				defer end()
				<-dial.Done()
				return nil, dial.Err()
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		err := do(ctx, c, write())
		assert.Equal(t, time.Second, time.Since(begin))
		requireError(t, err, Refused)
		require.ErrorIs(t, err, context.Canceled)
		time.Sleep(5 * time.Second) // net/http lets the dials go on behind
	})
}

// The leader's own address gets another chance, beside the requests.
func TestForwardingEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, "when the leader answers", func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		c, _ := newClient(t, []string{"node:1"}, func(c *Config) {
			c.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				_, asked := req.URL.Query()["redirect"]
				switch {
				case req.URL.Host == "leader:1" && down.Load():
					time.Sleep(time.Second)
					return nil, &net.OpError{Op: "dial", Err: errors.New("no route to host")}
				case req.URL.Host == "node:1" && asked:
					return response(301, "http://leader:1/db/execute"), nil
				}
				return response(200, ""), nil
			})
		})
		first := true
		nodeOf := func() string {
			begin := time.Now()
			a, err := c.Send(t.Context(), write())
			require.NoError(t, err)
			defer a.Close()
			if !first {
				assert.Zero(t, time.Since(begin), "no request waits for the leader's address")
			}
			first = false
			return a.Node
		}
		for range 10 {
			assert.Equal(t, "node:1", nodeOf())
			time.Sleep(longestBack + 2*time.Second)
		}
		down.Store(false)
		assert.Equal(t, "node:1", nodeOf(), "this one makes the client look")
		waitForAll()
		assert.Equal(t, "leader:1", nodeOf())
		assert.Equal(t, "leader:1", nodeOf())
	})
}

// response is an answer made by hand: a written row, or a redirect.
func response(status int, location string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"Location": {location}, releaseHeader: {""}},
		Body:       io.NopCloser(newBody(written)),
	}
}
