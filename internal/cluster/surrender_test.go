package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func dialing(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

// A wrong host or port shows within about a second, and the cause is what is said first.
func TestNoHostEverAnswers(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]struct {
		err  error
		text string
	}{
		"refused":   {dialing(errors.New("connection refused")), "dial tcp: connection refused (no host has ever answered: check the names and the ports of the hosts)"},
		"unknown":   {dialing(&net.DNSError{Err: "no such host", Name: "nowhere"}), "dial tcp: lookup nowhere: no such host (no host"},
		"SSH":       {errors.New(`malformed HTTP response "SSH-2.0-OpenSSH"`), `this is not rqlite's HTTP address: malformed HTTP response "SSH-2.0-OpenSSH"`},
		"Raft port": {io.EOF, "this is not rqlite's HTTP address: EOF"},
	} {
		for _, hosts := range [][]string{{"a:1"}, {"a:1", "b:1", "c:1"}} {
			pinned := write()
			pinned.Pinned = true
			anywhere := query()
			anywhere.Leader = false
			for _, req := range []*Request{write(), query(), anywhere, pinned} {
				inBubble(t, name+" "+req.Path, func(t *testing.T) {
					c, _ := newStranger(t, hosts, timeout(30*time.Second), func(c *Config) {
						c.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, failure.err })
					})
					begin := time.Now()
					err := do(t.Context(), c, req)
					assert.LessOrEqual(t, time.Since(begin), strangeFor+2*longestPause)
					got := requireError(t, err, Refused)
					assert.Contains(t, got.Error(), ":1: "+failure.text)
					require.ErrorIs(t, err, failure.err)
				})
			}
		}
	}
}

// A cluster that was reached once is waited for, and so is a host that does not say no.
func TestNoSurrender(t *testing.T) {
	t.Parallel()
	for name, script := range map[string][]reply{
		"reached":   {ok(rows)},
		"no leader": {text(503, "leader not found")},
	} {
		inBubble(t, name, func(t *testing.T) {
			begin := time.Now()
			node, c := newPiped(t, 10*time.Second, script...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_ = do(ctx, c, query())
			node.then(drop)
			time.AfterFunc(5*time.Second, func() { node.then(ok(rows)) })
			require.NoError(t, do(t.Context(), c, query()))
			assert.GreaterOrEqual(t, time.Since(begin), 5*time.Second)
		})
	}
	inBubble(t, "silent", func(t *testing.T) {
		node, c := newPiped(t, 10*time.Second, ok(rows))
		node.deaf.Store(true)
		time.AfterFunc(5*time.Second, func() { node.deaf.Store(false) })
		require.NoError(t, do(t.Context(), c, query()))
		time.Sleep(dialFor)
	})
	inBubble(t, "a host beside it is silent", func(t *testing.T) {
		nodes, c := newPipedCluster(t, 10*time.Second, [][]reply{{ok(rows)}, {ok(rows)}})
		nodes[0].deaf.Store(true)
		nodes[1].then(drop)
		time.AfterFunc(5*time.Second, func() { nodes[0].deaf.Store(false) })
		require.NoError(t, do(t.Context(), c, query()))
		time.Sleep(dialFor)
	})
}
