package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func get(path string) *Call { return &Call{Method: http.MethodGet, Path: path} }

// post is a call that writes, with a body if that is not empty.
func post(path, body string) *Call {
	c := &Call{Method: http.MethodPost, Path: path, Write: true}
	if body != "" {
		c.Body, c.ContentType = strings.NewReader(body), "application/octet-stream"
	}
	return c
}

// call sends a call and reads its answer.
func call(ctx context.Context, c *Client, one *Call) (string, error) {
	body, err := c.Do(ctx, one)
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	return string(text), err
}

func TestDo(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok("status"), text(204, ""), ok(""))
	c, _ := newClient(t, []string{node.host()}, credentials)
	for i, one := range []*Call{{Method: "GET", Path: "/status", Params: "a&b=c"}, post("/snapshot", ""), post("/boot", "data")} {
		text, err := call(t.Context(), c, one)
		require.NoError(t, err)
		assert.Equal(t, []string{"status", "", ""}[i], text)
	}
	assert.Equal(t, []seen{
		{"GET", "/status", "a&b=c", "", "Basic Ym9iOnNlY3JldA==", ""},
		{"POST", "/snapshot", "", "", "Basic Ym9iOnNlY3JldA==", ""},
		{"POST", "/boot", "", "data", "Basic Ym9iOnNlY3JldA==", "application/octet-stream"},
	}, node.got())
	assert.Equal(t, []string{"application/json"}, c.routes.hosts[0].header["Content-Type"], "that of statements is as it was")
}

// What only asks is asked of each node in turn, and once.
func TestDoInTurn(t *testing.T) {
	t.Parallel()
	for name, sick := range map[string]reply{
		"leaderless": text(503, "leader not found"), "not ready": text(503, "[+]node ok\n[+]leader does not exist"), "gone": drop,
	} {
		first, second, well := newFake(t, sick), newFake(t, sick), newFake(t, ok("fine"))
		c, _ := newClient(t, []string{first.host(), refusing(t), second.host(), well.host()})
		answer, err := call(t.Context(), c, get("/readyz"))
		require.NoError(t, err, name)
		assert.Equal(t, "fine", answer)
		c, _ = newClient(t, []string{first.host(), second.host()})
		_, err = call(t.Context(), c, get("/readyz"))
		failure := requireError(t, err, map[string]Outcome{"leaderless": Repeat}[name]+map[string]Outcome{"not ready": Unknown, "gone": Unknown}[name])
		assert.Equal(t, second.host(), failure.Node)
		assert.Len(t, first.got(), 2, name)
		assert.Len(t, second.got(), 2, name)
	}
}

// What is refused by one is refused by all.
func TestDoRefused(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 404, 405} {
		node, other := newFake(t, text(status, "no")), newFake(t, ok(""))
		c, _ := newClient(t, []string{node.host(), other.host()})
		_, err := call(t.Context(), c, get("/status"))
		failure := requireError(t, err, Refused)
		assert.Equal(t, status, failure.Status)
		assert.Equal(t, "no", failure.Message)
		assert.Empty(t, other.got())
	}
}

func TestDoWrite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		reply   reply
		body    string
		outcome Outcome // Answered: by the other node
	}{
		{"not applied", text(503, "leader not found"), "", Answered},
		{"not applied, with a body", text(503, "leader not found"), "data", Repeat},
		{"unknown", text(500, "no"), "", Unknown},
		{"unknown, with a body", text(500, "no"), "data", Unknown},
		{"no answer", drop, "", Unknown},
		{"no answer, with a body", drop, "data", Unknown},
		{"a redirect", movedTo("http://127.0.0.1:1"), "data", Repeat},
	} {
		node, other := newFake(t, tt.reply), newFake(t, ok("done"))
		c, _ := newClient(t, []string{node.host(), other.host()})
		_, err := call(t.Context(), c, post("/leader", tt.body))
		if tt.outcome == Answered {
			require.NoError(t, err, tt.name)
			assert.Len(t, other.got(), 1)
			continue
		}
		failure := requireError(t, err, tt.outcome)
		assert.True(t, failure.Write)
		assert.Equal(t, node.host(), failure.Node)
		assert.Len(t, node.got(), 1, tt.name)
		assert.Empty(t, other.got(), tt.name)
	}
}

// A body that was not sent leaves no doubt.
func TestDoNotSent(t *testing.T) {
	t.Parallel()
	other := newFake(t, ok(""))
	c, _ := newClient(t, []string{refusing(t), other.host()})
	_, err := call(t.Context(), c, post("/db/load", "data"))
	requireError(t, err, Repeat)
	assert.Empty(t, other.got(), "the body may be read but once")

	c, _ = newClient(t, []string{"h:1"})
	_, err = call(t.Context(), c, &Call{Method: "not a method", Path: "/"})
	requireError(t, err, Refused)
}

// A call for the leader goes to where it was met, and else to the hosts in turn.
func TestDoLeader(t *testing.T) {
	t.Parallel()
	leader := newFake(t, ok(written), ok("copy"), text(503, "leader not found"))
	first, second := newFake(t, movedTo(leader.URL), text(503, "leader not found")), newFake(t, ok("from the second"))
	c, _ := newClient(t, []string{first.host(), second.host()})
	backup := &Call{Method: "GET", Path: "/db/backup", Leader: true}
	require.NoError(t, do(t.Context(), c, write()))
	answer, err := call(t.Context(), c, backup)
	require.NoError(t, err)
	assert.Equal(t, "copy", answer)
	assert.Len(t, first.got(), 1)

	answer, err = call(t.Context(), c, backup)
	require.NoError(t, err, "it leads no more")
	assert.Equal(t, "from the second", answer)
	assert.Len(t, first.got(), 2)
	assert.Len(t, leader.got(), 3)
}

func TestDoTimeout(t *testing.T) {
	t.Parallel()
	inBubble(t, "no answer", func(t *testing.T) {
		for _, one := range []*Call{get("/status"), post("/snapshot", "")} {
			nodes, c := newPipedCluster(t, limitForTests, [][]reply{{hang("")}, {ok("")}})
			begin := time.Now()
			_, err := call(t.Context(), c, one)
			assert.Equal(t, limitForTests, time.Since(begin))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			requireError(t, err, map[bool]Outcome{true: Unknown, false: Refused}[one.Write])
			assert.Empty(t, nodes[1].got())
		}
	})
	inBubble(t, "between nodes", func(t *testing.T) {
		late := after(limitForTests-time.Millisecond, text(503, "leader not found"))
		_, c := newPipedCluster(t, limitForTests, [][]reply{{late}, {hang("")}})
		_, err := call(t.Context(), c, get("/status"))
		failure := requireError(t, err, Refused)
		require.ErrorIs(t, failure, context.DeadlineExceeded)
		require.ErrorContains(t, err, "the attempt before: leader not found")
	})
	inBubble(t, "a node that hangs", func(t *testing.T) {
		nodes, c := newPipedCluster(t, limitForTests, [][]reply{{ok("")}, {ok("fine")}})
		paused(nodes[0])
		begin := time.Now()
		answer, err := call(t.Context(), c, get("/status"))
		require.NoError(t, err)
		assert.Equal(t, "fine", answer)
		assert.Equal(t, sign, time.Since(begin))
	})
	inBubble(t, "a body takes its time", func(t *testing.T) {
		node, c := newPiped(t, limitForTests, after(10*limitForTests, ok("loaded")))
		node.healthy.Store(0)
		answer, err := call(t.Context(), c, post("/db/load", "data"))
		require.NoError(t, err)
		assert.Equal(t, "loaded", answer)
		assert.Zero(t, node.probes.Load())
	})
	inBubble(t, "so does an answer", func(t *testing.T) {
		_, c := newPiped(t, limitForTests, slowRows(10, limitForTests))
		begin := time.Now()
		_, err := call(t.Context(), c, get("/db/backup"))
		require.NoError(t, err)
		assert.Equal(t, 10*limitForTests, time.Since(begin))
	})
}

func TestDoCancel(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "data"} {
		inBubble(t, fmt.Sprintf("waiting %q", body), func(t *testing.T) {
			_, c := newPiped(t, limitForTests, hang(""))
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			begin := time.Now()
			_, err := call(ctx, c, post("/boot", body))
			assert.Equal(t, time.Second, time.Since(begin))
			require.ErrorIs(t, err, context.Canceled)
			requireError(t, err, Unknown)
		})
	}
	inBubble(t, "while the answer is read", func(t *testing.T) {
		_, c := newPiped(t, limitForTests, hang("half"))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		begin := time.Now()
		answer, err := call(ctx, c, get("/db/backup"))
		assert.Equal(t, time.Minute, time.Since(begin))
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, "half", answer)
	})
	inBubble(t, "over before it begins", func(t *testing.T) {
		node, c := newPiped(t, limitForTests, ok(""))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := call(ctx, c, post("/boot", "data"))
		requireError(t, err, Refused)
		assert.Empty(t, node.got())
	})
}

// What is counted, and what is logged, happens once for each event.
func TestCounts(t *testing.T) {
	t.Parallel()
	var log logBuffer
	first, second := newFake(t, ok(written)), newFake(t, ok(written))
	follower := newFake(t, movedTo(first.URL), text(503, "leader not found"), movedTo(second.URL))
	c, _ := newClient(t, []string{follower.host()}, log.into)
	logged := func(message string) int { return strings.Count(log.String(), message) }
	assert.Zero(t, c.Counts())
	for range 5 {
		require.NoError(t, do(t.Context(), c, write()))
	}
	assert.Equal(t, Counts{Requests: 5, Redirects: 1, Leaders: 1}, c.Counts())
	assert.Equal(t, 1, logged("leader learned"))

	first.then(failure("leader not found"))
	for range 5 {
		require.NoError(t, do(t.Context(), c, write()))
	}
	assert.Equal(t, Counts{Requests: 10, Redirects: 2, Retries: 1, Leaders: 2}, c.Counts())
	assert.Equal(t, 1, logged("leader lost"))
	assert.Equal(t, 2, logged("leader learned"))

	second.then(text(400, "no"))
	requireError(t, do(t.Context(), c, write()), Refused)
	assert.Equal(t, Counts{Requests: 11, Failures: 1, Redirects: 2, Retries: 1, Leaders: 2}, c.Counts())
	assert.Equal(t, 1, logged("leader lost"), "it is well")
	assert.Zero(t, logged("node failed"))
}

func TestCountsOfNodes(t *testing.T) {
	t.Parallel()
	inBubble(t, "down and up again", func(t *testing.T) {
		var log logBuffer
		down, attempts := true, 0
		c, _ := newClient(t, []string{"a:1"}, timeout(limitForTests), log.into, func(c *Config) {
			c.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
				attempts++
				if down {
					return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
				}
				return response(200, ""), nil
			})
		})
		requireError(t, do(t.Context(), c, write()), Refused)
		assert.Equal(t, Counts{Requests: 1, Failures: 1, Retries: uint64(attempts - 1)}, c.Counts(), "the last pause is none")
		assert.Equal(t, 1, strings.Count(log.String(), "node failed"))
		down = false
		for range 3 {
			require.NoError(t, do(t.Context(), c, write()))
		}
		assert.Equal(t, 1, strings.Count(log.String(), "node is back"))
		assert.Equal(t, 1, strings.Count(log.String(), "leader learned"))
		assert.NotContains(t, log.String(), "leader lost", "there was none")
	})
	inBubble(t, "the leader's address is of no use", func(t *testing.T) {
		var log logBuffer
		c, _ := newClient(t, []string{"a:1"}, log.into, func(c *Config) {
			c.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				switch {
				case req.URL.Host != "a:1":
					return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
				case req.URL.Query().Has("redirect"):
					return response(301, "http://b:1"), nil
				}
				return response(200, ""), nil
			})
		})
		for range 3 {
			require.NoError(t, do(t.Context(), c, write()))
		}
		assert.Equal(t, Counts{Requests: 3, Retries: 1, Redirects: 1, Fallbacks: 1}, c.Counts())
		assert.Equal(t, 1, strings.Count(log.String(), "requests for the leader are forwarded"))
		for range 10 {
			time.Sleep(longestBack)
			require.NoError(t, do(t.Context(), c, write()))
		}
		assert.EqualValues(t, 1, c.Counts().Fallbacks, "it was tried again beside the requests")
		assert.Equal(t, 1, strings.Count(log.String(), "requests for the leader are forwarded"), "said once")
	})
}
