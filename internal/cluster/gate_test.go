package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// goodput returns how many requests of so many goroutines are answered in five seconds. Each has 100 ms,
// and is sent again at once. An answer takes 60 ms, give or take jitter.
func goodput(t *testing.T, goroutines int, jitter time.Duration) (answered, cutOff int64) {
	t.Helper()
	const (
		patience = 100 * time.Millisecond
		answer   = 60 * time.Millisecond
		end      = 5 * time.Second
	)
	bubble(t, func(t *testing.T) {
		var g gate
		g.open(MostAtOnce)
		var done, cut atomic.Int64
		begun := time.Now()
		for range goroutines {
			go func() {
				for time.Since(begun) < end {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					if g.enter(ctx, time.Time{}, nil) == nil {
						took := answer + time.Duration(rand.Int64N(int64(2*jitter)+1)) - jitter
						select {
						case <-time.After(took):
							done.Add(1)
							g.leave(took, false)
						case <-ctx.Done():
							cut.Add(1)
							g.leave(100*time.Millisecond, true)
						}
					}
					cancel()
					time.Sleep(time.Duration(rand.Int64N(int64(time.Millisecond))))
				}
			}()
		}
		time.Sleep(end + time.Second)
		answered, cutOff = done.Load(), cut.Load()
	})
	return answered, cutOff
}

func TestGateUnderOverload(t *testing.T) {
	t.Parallel()
	for _, jitter := range []time.Duration{0, 15 * time.Millisecond} {
		t.Run(fmt.Sprint(jitter), func(t *testing.T) {
			best, _ := goodput(t, MostAtOnce, jitter)
			for _, goroutines := range []int{400, 1000, 2000} {
				answered, cutOff := goodput(t, goroutines, jitter)
				t.Logf("%d goroutines: %d answered, %d cut off; %d goroutines: %d answered", goroutines, answered, cutOff, MostAtOnce, best)
				assert.Greater(t, float64(answered), 0.8*float64(best), "%d goroutines", goroutines)
			}
		})
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	enter := func(t *testing.T, g *gate, order chan<- string, name string, patience time.Duration) {
		t.Helper()
		ctx := t.Context()
		if patience > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, patience)
			t.Cleanup(cancel)
		}
		go func() {
			if g.enter(ctx, time.Time{}, nil) == nil {
				order <- name
				return
			}
			order <- name + " gave up"
		}()
		waitForAll()
	}
	inBubble(t, "in order of arrival, whoever has time", func(t *testing.T) {
		var g gate
		g.open(1)
		require.NoError(t, g.enter(t.Context(), time.Time{}, nil))
		order := make(chan string, 5)
		enter(t, &g, order, "a", 0)
		enter(t, &g, order, "b", 50*time.Millisecond)
		enter(t, &g, order, "c", time.Second)
		enter(t, &g, order, "d", 0)
		for range 20 {
			g.learn(100 * time.Millisecond)
		}
		for _, want := range []string{"a", "c", "d", "b"} { // nobody else wants the place that b gets
			g.leave(100*time.Millisecond, false)
			assert.Equal(t, want, <-order)
		}
		g.leave(0, false)
		assert.Zero(t, g.inside)
	})
	inBubble(t, "slow answers do not keep out those that need little time", func(t *testing.T) {
		var g gate
		g.open(1)
		require.NoError(t, g.enter(t.Context(), time.Time{}, nil))
		for range 1000 {
			g.learn(20 * time.Millisecond)
			g.learn(2 * time.Second)
		}
		order := make(chan string, 2)
		enter(t, &g, order, "a", time.Second)
		enter(t, &g, order, "b", 0)
		g.leave(0, false)
		assert.Equal(t, "a", <-order)
		g.leave(0, false)
		assert.Equal(t, "b", <-order)
	})
	inBubble(t, "whoever was passed over comes in when answers become quicker", func(t *testing.T) {
		var g gate
		g.open(1)
		require.NoError(t, g.enter(t.Context(), time.Time{}, nil))
		order := make(chan string, 3)
		g.learn(time.Second)
		enter(t, &g, order, "a", 500*time.Millisecond)
		enter(t, &g, order, "b", 0)
		enter(t, &g, order, "c", 0)
		g.leave(0, false)
		assert.Equal(t, "b", <-order)
		for range 100 {
			g.learn(10 * time.Millisecond)
		}
		g.leave(0, false)
		assert.Equal(t, "a", <-order)
	})
	inBubble(t, "whoever was passed over gives up in time", func(t *testing.T) {
		var g gate
		g.open(1)
		require.NoError(t, g.enter(t.Context(), time.Time{}, nil))
		order := make(chan string, 3)
		g.learn(100 * time.Millisecond)
		enter(t, &g, order, "a", 50*time.Millisecond)
		enter(t, &g, order, "b", 0)
		g.leave(0, false)
		assert.Equal(t, "b", <-order)
		begun := time.Now()
		assert.Equal(t, "a gave up", <-order)
		assert.Equal(t, 50*time.Millisecond, time.Since(begun))
		g.leave(0, false)
		assert.Zero(t, g.inside)
		assert.Zero(t, g.waiting.Len()+g.late.Len())
	})
}
