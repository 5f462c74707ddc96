package cluster

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crowded starts as many requests of a kind as can wait for an answer at once, which
// come when the gate is closed, and returns what ends with all of them.
func crowded(t *testing.T, c *Client, req func() *Request) (ended <-chan error) {
	t.Helper()
	errs := make(chan error, MostAtOnce)
	for range MostAtOnce {
		go func() { errs <- do(t.Context(), c, req()) }()
	}
	waitForAll()
	return errs
}

// gated answers when the gate is closed.
func gated(gate <-chan struct{}, then reply) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-gate:
			then(w, r)
		case <-r.Context().Done():
		}
	}
}

// neededIf implements Needed.
type neededIf func() bool

func (n neededIf) Needed() bool { return n() }

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, "the others wait for these", func(t *testing.T) {
		gate := make(chan struct{})
		node, c := newPiped(t, limitForTests, gated(gate, ok(rows)))
		first, second := crowded(t, c, query), crowded(t, c, query)
		assert.Len(t, node.got(), MostAtOnce)
		close(gate)
		for range MostAtOnce {
			require.NoError(t, <-first)
			require.NoError(t, <-second)
		}
		assert.Len(t, node.got(), 2*MostAtOnce)
		assert.LessOrEqual(t, node.conns.Load(), int64(2*MostAtOnce))
	})
	inBubble(t, "reads do not keep writes waiting", func(t *testing.T) {
		gate := make(chan struct{})
		node, c := newPiped(t, limitForTests, gated(gate, ok(rows)))
		reads := crowded(t, c, query)
		written := make(chan error, 1)
		go func() { written <- do(t.Context(), c, write()) }()
		waitForAll()
		assert.Len(t, node.got(), MostAtOnce+1)
		close(gate)
		require.NoError(t, <-written)
		for range MostAtOnce {
			require.NoError(t, <-reads)
		}
	})
	inBubble(t, "those that are no longer needed are not sent", func(t *testing.T) {
		gate := make(chan struct{})
		var needed atomic.Bool
		needed.Store(true)
		node, c := newPiped(t, limitForTests, gated(gate, ok(rows)))
		req := func() *Request {
			one := query()
			one.Needed = neededIf(needed.Load)
			return one
		}
		first, second := crowded(t, c, req), crowded(t, c, req)
		assert.EqualValues(t, MostAtOnce, c.Counts().Requests, "the others are none yet")
		needed.Store(false)
		close(gate)
		for range MostAtOnce {
			require.NoError(t, <-first)
			require.ErrorIs(t, <-second, ErrNeedless)
		}
		assert.Len(t, node.got(), MostAtOnce)
		assert.EqualValues(t, MostAtOnce, c.Counts().Requests)
		assert.Zero(t, c.Counts().Failures)
		needed.Store(true)
		require.NoError(t, do(t.Context(), c, req()), "the places are free")
	})
	inBubble(t, "an answer that is being read keeps nobody waiting", func(t *testing.T) {
		node, c := newPiped(t, 0, hang(`{"results":[{"columns":["a"],"types":["integer"],"values":[[1],`))
		for i := range 2 * MostAtOnce {
			req := query()
			req.Stream = true
			answer, err := c.Send(t.Context(), req)
			require.NoError(t, err)
			defer answer.Close()
			require.Len(t, node.got(), i+1)
		}
	})
	for _, req := range []func() *Request{query, write} {
		inBubble(t, "one that waits can be given up: "+req().Path, func(t *testing.T) {
			gate := make(chan struct{})
			node, c := newPiped(t, 0, gated(gate, ok(rows)))
			ended := crowded(t, c, req)
			why := errors.New("the user has gone")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(why) })
			err := do(ctx, c, req())
			requireError(t, err, Refused)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, why)
			close(gate)
			for range MostAtOnce {
				require.NoError(t, <-ended)
			}
			assert.Len(t, node.got(), MostAtOnce)
			require.NoError(t, do(t.Context(), c, req()), "all places are free again")
		})
		inBubble(t, "the time-out: "+req().Path, func(t *testing.T) {
			node, c := newPiped(t, limitForTests, hang(""))
			ended := crowded(t, c, req)
			time.Sleep(limitForTests / 2)
			begin := time.Now()
			err := do(t.Context(), c, req())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, limitForTests, time.Since(begin))
			for range MostAtOnce {
				require.ErrorIs(t, <-ended, context.DeadlineExceeded)
			}
			assert.Len(t, node.got(), MostAtOnce+1, "it had its place when the others had timed out")
		})
	}
}
