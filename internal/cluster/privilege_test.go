package cluster

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writesOnly refuses what reads, as a node does to a user who may only execute.
func writesOnly(then reply) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/db/query" {
			text(http.StatusUnauthorized, "")(w, r)
			return
		}
		then(w, r)
	}
}

// A user who may not read finds the leader all the same when it was lost.
func TestSeekWithoutReading(t *testing.T) {
	t.Parallel()
	first, second := newFake(t, writesOnly(ok(written))), newFake(t, writesOnly(ok(written)))
	follower := newFake(t, writesOnly(movedTo(first.URL)))
	c, _ := newClient(t, []string{follower.host()}, credentials)
	require.NoError(t, do(t.Context(), c, write()))
	first.Close()
	c.Close()
	follower.then(writesOnly(movedTo(second.URL)))
	pinned := write()
	pinned.Pinned = true
	for _, req := range []*Request{write(), pinned} {
		require.NoError(t, do(t.Context(), c, req))
		c.routes.leader.Store(nil)
	}
	failure := requireError(t, do(t.Context(), c, query()), Refused)
	assert.Equal(t, 401, failure.Status, "a read is refused for what it is")
	writes := 0
	for _, got := range second.got() {
		if got.Body == `["INSERT"]` {
			writes++
		}
	}
	assert.Equal(t, 2, writes)
}

// Who may do nothing is told so.
func TestSeekUnauthorized(t *testing.T) {
	t.Parallel()
	node := newFake(t, text(http.StatusUnauthorized, ""))
	c, _ := newClient(t, []string{node.host()}, credentials)
	pinned := write()
	pinned.Pinned = true
	assert.Equal(t, 401, requireError(t, do(t.Context(), c, pinned), Refused).Status)
}

// A write that ran out of time before it was sent says so, and what it waited for.
func TestWhatAWriteWaitedFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(t *testing.T, c *Client, node *fake)
		want    string
	}{
		"a place": {func(_ *testing.T, c *Client, _ *fake) {
			for range MostAtOnce + MostAtOnce/spare {
				_, err := c.writes.enter(t.Context(), time.Now().Add(soon), nil)
				require.NoError(t, err)
			}
		}, "the writes under way; nothing was sent"},
		"the turn":        {func(_ *testing.T, c *Client, _ *fake) { c.routes.lost.Store(true); c.seekSlot <- struct{}{} }, "the leader to be found; nothing was sent"},
		"the leader":      {func(_ *testing.T, c *Client, node *fake) { c.routes.lost.Store(true); node.then(hang("")) }, "the leader to be found; nothing was sent"},
		"another attempt": {func(_ *testing.T, _ *Client, node *fake) { node.then(text(503, "leader not found")) }, "another attempt; nothing was applied"},
		"a connection":    {func(_ *testing.T, _ *Client, node *fake) { node.deaf.Store(true) }, "a connection; nothing was sent"},
	} {
		inBubble(t, name, func(t *testing.T) {
			node, c := newPiped(t, 10*time.Second, ok(written))
			test.prepare(t, c, node)
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			defer cancel()
			failure := requireError(t, do(ctx, c, write()), Refused)
			require.ErrorIs(t, failure, context.DeadlineExceeded)
			require.ErrorContains(t, failure, "context deadline exceeded while the write waited for "+test.want)
			time.Sleep(dialFor)
		})
	}
}
