//go:build go1.25

package coalesce

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each write ends with its own timeout, whether it waits or is under way, and none before.
func TestTimeoutsInOrder(t *testing.T) {
	t.Parallel()
	const apart = 3 * time.Second
	inBubble(t, "", func(t *testing.T) {
		q, _, node, release := busy(t, setting{patience: time.Hour})
		node.then(hang)
		var writers []*writer
		ended := make([]time.Duration, 6)
		var all sync.WaitGroup
		for i := range ended {
			if i == 3 {
				release() // the first three are sent, and the others wait for them
			}
			begin, w := time.Now(), joins(t, q, "ok 1")
			all.Go(func() {
				<-w.done
				ended[i] = time.Since(begin)
			})
			writers = append(writers, w)
			time.Sleep(apart)
		}
		all.Wait()
		for i, w := range writers {
			assert.Equal(t, limit, ended[i], "writer %d", i)
			w.unknown(t) // the last three are sent when nobody waits for the first request any more
			require.ErrorIs(t, w.err, context.DeadlineExceeded)
			require.ErrorContains(t, w.err, "no answer within 20s, the time-out of the connection")
		}
		synctest.Wait()
		assert.Empty(t, q.timeouts.parts)
	})
}

// Parts that are told, leave, or time out, in any order, leave nothing behind, and each gets what is its own.
func TestTimeoutsForgotten(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		s := &table{}
		client, all := newCluster(t, true, s.reply)
		q := New(Config{Client: client, Request: unframed})
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // it has to be the same each time
		var replies []reply
		for range 200 {
			replies = append(replies, after(limit/2+time.Duration(random.Int64N(int64(limit))), s.reply))
		}
		all[0].then(replies...)
		var told, left, late int
		var mu sync.Mutex
		var group sync.WaitGroup
		for i := range 2000 {
			patience := time.Duration(random.Int64N(int64(2 * limit)))
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				begin := time.Now()
				id, err := joinOne(ctx, q, fmt.Sprintf("ok %d", i))
				mu.Lock()
				defer mu.Unlock()
				switch took := time.Since(begin); {
				case err == nil:
					assert.Equal(t, int64(i), id)
					told++
				case ctx.Err() != nil:
					assert.Equal(t, patience, took)
					left++
				default:
					require.ErrorIs(t, err, context.DeadlineExceeded)
					assert.Equal(t, limit, took)
					late++
				}
			})
			time.Sleep(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
			q.mu.Lock()
			assert.LessOrEqual(t, q.timeouts.over, len(q.timeouts.parts)/2)
			q.mu.Unlock()
		}
		group.Wait()
		synctest.Wait()
		assert.Empty(t, q.timeouts.parts)
		assert.Zero(t, q.timeouts.over)
		assert.Nil(t, q.timeouts.timer, "it would keep the client until it fires")
		assert.Greater(t, min(told, left, late), 50, "told %d, left %d, late %d", told, left, late)
	})
}

// Callers may come in another order than they have begun to wait.
func TestTimeoutsOutOfOrder(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		begin := time.Now()
		var ended []time.Duration
		var all timeouts
		var mu sync.Mutex
		all.fire = func() {
			mu.Lock()
			defer mu.Unlock()
			for range all.due() {
				ended = append(ended, time.Since(begin))
			}
		}
		mu.Lock()
		for _, n := range []time.Duration{4, 2, 6, 5, 1, 3} {
			all.await(&part{until: begin.Add(n * time.Second)})
		}
		all.await(&part{})
		mu.Unlock()
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, []time.Duration{1 * time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second, 6 * time.Second}, ended)
		assert.Nil(t, all.timer)
	})
}

// A coalescer may be used in a bubble of testing/synctest after another one.
func TestTimeoutsInBubbles(t *testing.T) {
	t.Parallel()
	s := &table{}
	client, _ := newCluster(t, true, s.reply)
	q := New(Config{Client: client, Request: unframed})
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			var group sync.WaitGroup
			for i := range 20 {
				group.Go(func() {
					id, err := joinOne(t.Context(), q, fmt.Sprintf("ok %d", i))
					assert.NoError(t, err)
					assert.Equal(t, int64(i), id)
				})
			}
			group.Wait()
			synctest.Wait()
		})
	}
}
