//go:build go1.25

package coalesce

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Few reads are sent again at once. The others wait for a while, and are told to join again if no place becomes free. One
// that takes long keeps no place.
func TestAgain(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T) *Coalescer {
		l := &library{}
		client, _ := newCluster(t, true, l.reply)
		return NewReads(Config{Client: client}).Of(point)
	}
	inBubble(t, "few at once", func(t *testing.T) {
		q := open(t)
		var ended []func()
		for range mostAgain {
			end, ok := q.Again(t.Context(), time.Now(), func() { assert.Fail(t, "it is quick") })
			require.True(t, ok)
			ended = append(ended, end)
		}
		begun := time.Now()
		time.AfterFunc(shortestLimit/2, ended[0])
		last, ok := q.Again(t.Context(), time.Now(), func() {})
		require.True(t, ok)
		assert.Equal(t, shortestLimit/2, time.Since(begun))
		for _, end := range append(ended[1:], last) {
			end()
		}
	})
	for _, answers := range []bool{true, false} {
		inBubble(t, fmt.Sprint("a long one keeps no place, and the node answers others: ", answers), func(t *testing.T) {
			q := open(t)
			var long atomic.Int64
			var ended []func()
			for range mostAgain {
				end, ok := q.Again(t.Context(), time.Now(), func() { long.Add(1) })
				require.True(t, ok)
				ended = append(ended, end)
			}
			time.Sleep(time.Millisecond)
			if answers {
				q.Ended("n:1", time.Now(), Answered)
			}
			time.Sleep(shortestLimit)
			assert.Equal(t, answers, long.Load() == mostAgain)
			assert.Equal(t, !answers, long.Load() == 0, "the node may hang")
			assert.EqualValues(t, mostAgain, q.counts.outside.Load())
			if !answers {
				q.Ended("n:1", time.Now(), Answered)
				time.Sleep(shortestLimit)
				assert.EqualValues(t, mostAgain, long.Load(), "it does not hang")
			}
			for _, end := range ended {
				end()
			}
			assert.Empty(t, q.counts.again)
			assert.Zero(t, q.counts.outside.Load())
		})
	}
	for name, tt := range map[string]struct {
		answers bool
		outside int64
		leaves  bool // later on
	}{
		"many are outside":                       {true, mostOutside, false},
		"some are, and the node answers nothing": {false, mostUntold, true},
	} {
		inBubble(t, "a long one keeps its place where "+name, func(t *testing.T) {
			q := open(t)
			end, ok := q.Again(t.Context(), time.Now(), func() {})
			require.True(t, ok)
			q.counts.outside.Store(tt.outside)
			time.Sleep(time.Millisecond)
			if tt.answers {
				q.Ended("n:1", time.Now(), Answered)
			}
			time.Sleep(shortestLimit)
			assert.Len(t, q.counts.again, 1)
			if tt.leaves {
				q.Ended("n:1", time.Now(), Answered)
				time.Sleep(shortestLimit)
				assert.Empty(t, q.counts.again, "now the node has told")
			}
			end()
			assert.Empty(t, q.counts.again)
			assert.Equal(t, tt.outside, q.counts.outside.Load())
		})
	}
	inBubble(t, "long is what is long for the node", func(t *testing.T) {
		q := open(t)
		q.pace("").answered(time.Now(), 150*time.Millisecond)
		end, ok := q.Again(t.Context(), time.Now(), func() { assert.Fail(t, "it is usual") })
		require.True(t, ok)
		time.Sleep(limitLater*150*time.Millisecond - 1)
		end()
	})
	inBubble(t, "nobody waits for long, or for nothing", func(t *testing.T) {
		q := open(t)
		for range mostAgain {
			q.counts.again <- struct{}{}
		}
		begun := time.Now()
		_, ok := q.Again(t.Context(), time.Now(), nil)
		assert.False(t, ok)
		assert.Equal(t, shortestLimit, time.Since(begun))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, ok = q.Again(ctx, time.Now(), nil)
		assert.False(t, ok)
		assert.Equal(t, shortestLimit, time.Since(begun))
		begun = time.Now()
		_, ok = q.Again(t.Context(), begun.Add(time.Millisecond-limit), nil)
		assert.False(t, ok)
		assert.Equal(t, time.Millisecond, time.Since(begun), "the client's timeout")
	})
	inBubble(t, "far from the node there are more", func(t *testing.T) {
		q := open(t)
		q.distance.measured(50 * time.Millisecond)
		for range mostFarAgain {
			_, ok := q.Again(t.Context(), time.Now(), func() {})
			require.True(t, ok)
		}
		time.Sleep(time.Second)
	})
}
