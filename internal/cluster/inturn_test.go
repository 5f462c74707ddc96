package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each round of a search asks all nodes, whatever is thought of them.
func TestInTurn(t *testing.T) {
	t.Parallel()
	c := New(Config{Hosts: []string{"a:1", "b:1", "c:1"}, Scheme: "http"})
	a := c.routes.hosts[0]
	first := map[*node]bool{}
	for range 3 {
		round := c.routes.inTurn()
		assert.ElementsMatch(t, c.routes.hosts, round)
		first[round[0]] = true
	}
	assert.Len(t, first, 3, "each is the first one once")
	c.routes.failed(a, &Error{Outcome: Repeat, Err: errors.New("connection refused")})
	for range 3 {
		round := c.routes.inTurn()
		assert.ElementsMatch(t, c.routes.hosts, round)
		assert.Same(t, a, round[2])
	}
}

// A request that has no time to wait for an answer says nothing of the node:
// the leader may be the one that is asked, and must not be avoided later.
func TestSeekInAHurry(t *testing.T) {
	t.Parallel()
	slow := newFake(t, hang(""))
	c, _ := newClient(t, []string{slow.host()})
	c.routes.lost.Store(true)
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err := c.Send(ctx, &Request{Path: "/db/execute", Leader: true, Write: true})
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	assert.Zero(t, c.routes.hosts[0].failing.Load(), "failures")
	assert.Zero(t, c.routes.hosts[0].retryAt.Load(), "penalty")
}
