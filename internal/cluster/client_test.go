package cluster

import (
	"context"
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSend(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(written), ok(rows))
	c, _ := newClient(t, []string{node.host()}, credentials)

	a, err := c.Send(t.Context(), write())
	require.NoError(t, err)
	defer a.Close()
	assert.Equal(t, node.host(), a.Node)
	result, err := a.Next()
	require.NoError(t, err)
	assert.Equal(t, int64(1), result.LastInsertID)
	require.NoError(t, a.End())

	require.NoError(t, do(t.Context(), c, &Request{Path: "/db/query", Body: []byte("[]"), Leader: true}))
	assert.Equal(t, []seen{
		{"POST", "/db/execute", "blob_array&redirect", `["INSERT"]`, "Basic Ym9iOnNlY3JldA==", "application/json"},
		{"POST", "/db/query", "redirect", "[]", "Basic Ym9iOnNlY3JldA==", "application/json"},
	}, node.got())
}

func TestSendWithoutCredentialsOrRedirect(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(rows))
	c, _ := newClient(t, []string{node.host()}, func(c *Config) { c.Redirect = false })
	require.NoError(t, do(t.Context(), c, query()))
	c, _ = newClient(t, []string{node.host()})
	any := query()
	any.Leader = false
	require.NoError(t, do(t.Context(), c, any))
	for _, got := range node.got() {
		assert.Equal(t, "blob_array", got.Query, "only the leader is asked for by redirect")
		assert.Empty(t, got.Auth)
	}
}

// What had no effect is sent again, whether it writes or not.
func TestSendAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		reply reply
	}{
		{"503 leader not found", text(503, "leader not found\n")},
		{"500 leader not found", text(500, "leader not found")},
		{"200 leader not found", failure("leader not found")},
		{"200 not leader", failure("not leader")},
		{"200 store not open", failure("store not open")},
		{"200 not ready", failure("not ready")},
		{"200 leader unreachable", failure("dial tcp 127.0.0.1:4103: connect: connection refused")},
		{"200 without results", ok(`{"error":"leader not found"}`)},
	}
	for _, tt := range tests {
		for name, req := range map[string]*Request{"write": write(), "read": query()} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				t.Parallel()
				node := newFake(t, tt.reply, tt.reply, ok(written))
				c, _ := newClient(t, []string{node.host()})
				require.NoError(t, do(t.Context(), c, req))
				got := node.got()
				require.Len(t, got, 3)
				assert.Equal(t, got[0], got[2], "the same request, whole")
			})
		}
	}
}

// The sender learns where and when the last attempt left.
func TestSendDeparture(t *testing.T) {
	t.Parallel()
	node := newFake(t, failure("not leader"), ok(rows))
	c, _ := newClient(t, []string{node.host()})
	begun := time.Now()
	req := query()
	req.Sent = &Departure{}
	require.NoError(t, do(t.Context(), c, req))
	assert.Equal(t, node.host(), req.Sent.Node)
	assert.Greater(t, req.Sent.At.Sub(begun), firstPause/2, "it is not the first")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req.Sent = &Departure{}
	require.Error(t, do(ctx, c, req))
	assert.Zero(t, *req.Sent)
}

// A leader whose term ends during a linearizable read calls the read stale. So says a node of a read that asks
// for fresher data than it has, which another attempt would not change.
func TestSendStale(t *testing.T) {
	t.Parallel()
	node := newFake(t, failure("stale read"), failure("stale read"), ok(rows))
	c, _ := newClient(t, []string{node.host()})
	require.NoError(t, do(t.Context(), c, query()))
	require.Len(t, node.got(), 3)

	anywhere := query()
	anywhere.Leader = false
	node.then(failure("stale read"), ok(rows))
	requireError(t, do(t.Context(), c, anywhere), Refused)
}

func TestSendToAnotherHost(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(written))
	c, _ := newClient(t, []string{refusing(t), refusing(t), node.host()})
	require.NoError(t, do(t.Context(), c, write()))
	require.NoError(t, do(t.Context(), c, write()))
	got := node.got()
	require.Len(t, got, 2)
	assert.Equal(t, "blob_array&redirect", got[1].Query, "a host that is down is no reason to forward")
}

// What may have had an effect is an error for a write, and no reason not to
// read once more.
func TestSendUnknown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		reply reply
		want  string
	}{
		{"closed without an answer", drop, "EOF"},
		{"cut off in the entry", cut(written, 20), "unexpected EOF"},
		{"cut off before the first byte", cut(written, 0), "unexpected EOF"},
		{"leadership lost", failure("leadership lost while committing log"), "leadership lost"},
		{"enqueuing timed out", failure("timeout enqueuing operation"), "timeout enqueuing"},
		{"timeout between nodes", failure("read tcp 10.0.0.1:1: i/o timeout"), "i/o timeout"},
		{"EOF between nodes", failure("EOF"), "EOF"},
		{"reset between nodes", failure("write tcp 10.0.0.1:1: connection reset by peer"), "reset by peer"},
		{"bad gateway", text(502, "<html>Bad Gateway</html>"), "<html>Bad Gateway</html>"},
		{"queue wait timeout", text(408, "queue wait timeout"), "queue wait timeout"},
		{"internal error", text(500, ""), "internal server error"},
		{"no content", text(204, ""), "no content"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			node, other := newFake(t, tt.reply, ok(written)), newFake(t, ok(written))
			c, _ := newClient(t, []string{node.host(), other.host()})
			failure := requireError(t, do(t.Context(), c, write()), Unknown)
			assert.True(t, failure.Write)
			assert.Equal(t, node.host(), failure.Node)
			require.ErrorContains(t, failure, tt.want)
			assert.Len(t, node.got(), 1, "a write is never sent twice")
			assert.Empty(t, other.got(), "nor to another node")

			node.then(tt.reply, ok(rows))
			c, _ = newClient(t, []string{node.host()})
			require.NoError(t, do(t.Context(), c, query()))
			assert.Len(t, node.got(), 2)
		})
	}
}

// A connection that was kept, and that the node closes as the next write is on
// its way, leaves that write unknown.
func TestSendUnknownOnKeptConnection(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(written), drop, ok(written))
	c, _ := newClient(t, []string{node.host()})
	require.NoError(t, do(t.Context(), c, write()))
	requireError(t, do(t.Context(), c, write()), Unknown)
	assert.Len(t, node.got(), 2)
	assert.EqualValues(t, 1, node.conns.Load(), "the second write went over the kept connection")
}

// What will not succeed is not tried again.
func TestSendRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		reply  reply
		status int
		want   string
	}{
		{"bad request", text(400, "invalid body\n"), 400, "invalid body"},
		{"unauthorized", text(401, ""), 401, "unauthorized"},
		{"permission missing", text(401, "remote 127.0.0.1 not authorized"), 401, "not authorized"},
		{"not rqlite", text(404, "404 page not found"), 404, "404 page not found"},
		{"method not allowed", text(405, ""), 405, "method not allowed"},
		{"rewriter", text(500, "SQL rewrite: no"), 500, "SQL rewrite: no"},
		{"disallowed pragma", failure("disallowed pragma"), 200, "disallowed pragma"},
		{"deferred foreign key", failure("FOREIGN KEY constraint failed"), 200, "FOREIGN KEY constraint failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			node, other := newFake(t, tt.reply, ok(written)), newFake(t, ok(written))
			for _, req := range []*Request{write(), query()} {
				node.then(tt.reply, ok(written))
				c, _ := newClient(t, []string{node.host(), other.host()}, credentials)
				failure := requireError(t, do(t.Context(), c, req), Refused)
				assert.Equal(t, tt.status, failure.Status)
				assert.Equal(t, req.Write, failure.Write)
				require.ErrorContains(t, failure, tt.want)
				assert.NotContains(t, failure.Error(), "secret")
				assert.Len(t, node.got(), 1)
				assert.Empty(t, other.got())
			}
		})
	}
}

func TestSendApplied(t *testing.T) {
	t.Parallel()
	node := newFake(t, text(500, "json: unsupported value: +Inf"), ok(written))
	c, _ := newClient(t, []string{node.host()})
	for _, req := range []*Request{write(), query()} {
		node.then(text(500, "json: unsupported value: +Inf"), ok(written))
		requireError(t, do(t.Context(), c, req), Applied)
		assert.Len(t, node.got(), 1)
	}
}

// A body that is no answer of rqlite leaves a write unknown; asking again would
// bring the same.
func TestSendGarbage(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"<html>welcome to the hotel's network</html>", "[]", `{"results":{}}`, `{"results":[1]}`, "\x00", `{"results":[{"error":1}]}`,
		`{"results":[]} trailing`,
	} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			node := newFake(t, ok(body), ok(written))
			c, _ := newClient(t, []string{node.host()})
			failure := requireError(t, do(t.Context(), c, write()), Unknown)
			require.ErrorContains(t, failure, "malformed response")
			node.then(ok(body), ok(written))
			requireError(t, do(t.Context(), c, query()), Refused)
			assert.Len(t, node.got(), 1)
		})
	}
}

func TestSendHugeErrorBody(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	node := newFake(t, text(500, strings.Repeat("a", size)))
	c, w := newClient(t, []string{node.host()})
	failure := requireError(t, do(t.Context(), c, write()), Unknown)
	assert.Len(t, failure.Message, maxMessage)
	assert.LessOrEqual(t, w.read.Load(), int64(maxMessage))

	node.then(text(400, strings.Repeat("é", maxMessage)+"\xff"))
	failure = requireError(t, do(t.Context(), c, write()), Refused)
	assert.True(t, strings.HasPrefix(failure.Message, "ééé"))
	assert.NotContains(t, failure.Error(), "\xff")
}

// Short bodies of errors are read whole, so that the connection serves on.
func TestSendErrorKeepsConnection(t *testing.T) {
	t.Parallel()
	node := newFake(t, text(503, "leader not found"), text(400, "no"), movedTo("ftp://nowhere"), failure("query timeout"), ok(rows))
	c, _ := newClient(t, []string{node.host()})
	for range 4 {
		_ = do(t.Context(), c, query())
	}
	require.Len(t, node.got(), 5)
	assert.EqualValues(t, 1, node.conns.Load())
}

func TestSendBadCertificate(t *testing.T) {
	t.Parallel()
	node := newUnstarted(ok(written))
	node.Config.ErrorLog = quiet
	node.StartTLS()
	t.Cleanup(node.Close)
	c, _ := newClient(t, []string{node.host()}, func(c *Config) { c.Scheme = "https" })
	failure := requireError(t, do(t.Context(), c, write()), Refused)
	var certificate *tls.CertificateVerificationError
	require.ErrorAs(t, failure, &certificate)
	assert.Empty(t, node.got())
}

func TestSendHTTPSToPlainNode(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(written))
	node.Config.ErrorLog = quiet
	c, _ := newClient(t, []string{node.host()}, func(c *Config) { c.Scheme = "https" })
	requireError(t, do(t.Context(), c, write()), Refused)
	assert.Empty(t, node.got())
}

// A request for any node goes round the nodes, and a node that cannot answer
// it is not the only one that is asked.
func TestSendToAnyNode(t *testing.T) {
	t.Parallel()
	nodes := []*fake{newFake(t, ok(rows)), newFake(t, ok(rows)), newFake(t, ok(rows))}
	c, _ := newClient(t, []string{nodes[0].host(), nodes[1].host(), nodes[2].host()})
	for range 9 {
		require.NoError(t, do(t.Context(), c, &Request{Path: "/db/query", Body: []byte("[]")}))
	}
	for _, node := range nodes {
		assert.Len(t, node.got(), 3)
	}
}

func TestSendToAnyNodePassesOverTheSick(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{2, 3, 4} {
		sick := newFake(t, failure("not open"))
		well := newFake(t, ok(rows))
		hosts := []string{sick.host(), well.host(), well.host(), well.host()}[:nodes]
		c, _ := newClient(t, hosts)
		for range 6 {
			require.NoError(t, do(t.Context(), c, &Request{Path: "/db/query", Body: []byte("[]")}))
		}
		assert.Len(t, well.got(), 6)
		assert.LessOrEqual(t, len(sick.got()), 6, "not twice for the same request")
	}
}

func TestSendManyAtOnce(t *testing.T) {
	t.Parallel()
	leader := newFake(t, ok(written))
	follower := newFake(t, movedTo(leader.URL))
	c, _ := newClient(t, []string{follower.host(), leader.host(), refusing(t)})
	const workers, each = 8, 20
	errs := make(chan error, workers)
	for range workers {
		go func() {
			var err error
			for i := 0; i < each && err == nil; i++ {
				err = do(context.Background(), c, write())
			}
			errs <- err
		}()
	}
	for range workers {
		require.NoError(t, <-errs)
	}
	assert.Len(t, leader.got(), workers*each)
}

func TestSendAnswerWithoutEntries(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(`{"results":[],"sequence_number":7}`))
	c, _ := newClient(t, []string{node.host()})
	a, err := c.Send(t.Context(), write())
	require.NoError(t, err)
	defer a.Close()
	require.NoError(t, a.End())
	assert.EqualValues(t, 7, a.Trailer().SequenceNumber)
}

func TestSendContextOver(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t, []string{"127.0.0.1:1"}, func(c *Config) {
		c.Transport = roundTrip(func(*http.Request) (*http.Response, error) { panic("nothing to send") })
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	failure := requireError(t, do(ctx, c, write()), Refused)
	require.ErrorIs(t, failure, context.Canceled)
}
