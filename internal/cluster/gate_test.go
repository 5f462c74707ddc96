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
					if place, err := g.enter(ctx, time.Time{}, nil); err == nil {
						took := answer + time.Duration(rand.Int64N(int64(2*jitter)+1)) - jitter
						select {
						case <-time.After(took):
							done.Add(1)
							place.leave(took, false)
						case <-ctx.Done():
							cut.Add(1)
							place.leave(100*time.Millisecond, true)
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

// besideSlow returns how many of the requests of 50 goroutines are answered in ten seconds, and how many
// starve: they give up before they have a place. Each gets its answer 10 ms after that. Beside them, so
// many goroutines send requests that take two seconds, and have time without end.
func besideSlow(t *testing.T, slow int, patience time.Duration) (answered, starved int64) {
	t.Helper()
	const end = 10 * time.Second
	bubble(t, func(t *testing.T) {
		var g gate
		g.open(MostAtOnce)
		var got, lost atomic.Int64
		begun := time.Now()
		ask := func(patience, takes time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			place, err := g.enter(ctx, time.Time{}, nil)
			if err != nil {
				lost.Add(1)
				return
			}
			time.Sleep(takes)
			place.leave(takes, false)
			if takes < time.Second {
				got.Add(1)
			}
		}
		for range slow {
			go func() {
				for time.Since(begun) < end {
					ask(time.Hour, 2*time.Second)
				}
			}()
		}
		waitForAll()
		for range 50 {
			go func() {
				for time.Since(begun) < end {
					ask(patience, 10*time.Millisecond)
					time.Sleep(10 * time.Millisecond)
				}
			}()
		}
		time.Sleep(10 * end)
		waitForAll()
		answered, starved = got.Load(), lost.Load()
		assert.Zero(t, g.inside)
	})
	return answered, starved
}

func TestGateBesideSlowRequests(t *testing.T) {
	t.Parallel()
	for _, patience := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond} {
		t.Run(patience.String(), func(t *testing.T) {
			alone, _ := besideSlow(t, 0, patience)
			for _, slow := range []int{300, 1000} {
				answered, starved := besideSlow(t, slow, patience)
				t.Logf("beside %d slow ones: %d answered, %d starved; alone: %d answered", slow, answered, starved, alone)
				assert.Greater(t, float64(answered), 0.9*float64(alone), "beside %d slow ones", slow)
				assert.Zero(t, starved, "beside %d slow ones", slow)
			}
		})
	}
}

// Requests that have time come in soon, although more than enough others have little.
func TestGateWithTimeUnderOverload(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const (
			end    = 5 * time.Second
			answer = 60 * time.Millisecond
		)
		var g gate
		g.open(MostAtOnce)
		begun := time.Now()
		ask := func(patience time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			place, err := g.enter(ctx, time.Time{}, nil)
			if err == nil {
				time.Sleep(answer)
				place.leave(answer, false)
			}
			return err
		}
		for range 1000 {
			go func() {
				for time.Since(begun) < end {
					_ = ask(100 * time.Millisecond)
				}
			}()
		}
		time.Sleep(time.Second)
		for range 20 {
			asked := time.Now()
			require.NoError(t, ask(time.Hour))
			assert.Less(t, time.Since(asked), 4*answer)
		}
		time.Sleep(end)
	})
}

func TestGate(t *testing.T) {
	t.Parallel()
	type entered struct {
		name string
		place
	}
	enter := func(t *testing.T, g *gate, order chan<- entered, name string, patience time.Duration) {
		t.Helper()
		ctx := t.Context()
		if patience > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, patience)
			t.Cleanup(cancel)
		}
		go func() {
			place, err := g.enter(ctx, time.Time{}, nil)
			if err != nil {
				name += " gave up"
			}
			order <- entered{name, place}
		}()
		waitForAll()
	}
	inBubble(t, "the one whose time is over first, if it is not too late", func(t *testing.T) {
		var g gate
		g.open(1)
		in, err := g.enter(t.Context(), time.Time{}, nil)
		require.NoError(t, err)
		order := make(chan entered, 5)
		enter(t, &g, order, "a", 0)
		enter(t, &g, order, "b", 50*time.Millisecond)
		enter(t, &g, order, "c", time.Second)
		enter(t, &g, order, "d", 0)
		for range 20 {
			g.learn(100 * time.Millisecond)
		}
		for _, want := range []string{"c", "a", "d", "b"} { // nobody else wants the place that b gets
			in.leave(100*time.Millisecond, false)
			one := <-order
			in = one.place
			assert.Equal(t, want, one.name)
		}
		in.leave(0, false)
		assert.Zero(t, g.inside)
	})
	inBubble(t, "slow answers do not keep out those that need little time", func(t *testing.T) {
		var g gate
		g.open(1)
		in, err := g.enter(t.Context(), time.Time{}, nil)
		require.NoError(t, err)
		for range 1000 {
			g.learn(20 * time.Millisecond)
			g.learn(2 * time.Second)
		}
		order := make(chan entered, 2)
		enter(t, &g, order, "a", time.Second)
		enter(t, &g, order, "b", 0)
		in.leave(0, false)
		one := <-order
		in = one.place
		assert.Equal(t, "a", one.name)
		in.leave(0, false)
		assert.Equal(t, "b", (<-order).name)
	})
	inBubble(t, "whoever was passed over comes in when answers become quicker", func(t *testing.T) {
		var g gate
		g.open(1)
		in, err := g.enter(t.Context(), time.Time{}, nil)
		require.NoError(t, err)
		order := make(chan entered, 3)
		g.learn(time.Second)
		enter(t, &g, order, "a", 500*time.Millisecond)
		enter(t, &g, order, "b", 0)
		enter(t, &g, order, "c", 0)
		in.leave(0, false)
		one := <-order
		in = one.place
		assert.Equal(t, "b", one.name)
		for range 100 {
			g.learn(10 * time.Millisecond)
		}
		in.leave(0, false)
		assert.Equal(t, "a", (<-order).name)
	})
	inBubble(t, "whoever was passed over gives up in time", func(t *testing.T) {
		var g gate
		g.open(1)
		in, err := g.enter(t.Context(), time.Time{}, nil)
		require.NoError(t, err)
		order := make(chan entered, 3)
		g.learn(100 * time.Millisecond)
		enter(t, &g, order, "a", 50*time.Millisecond)
		enter(t, &g, order, "b", 0)
		in.leave(0, false)
		one := <-order
		in = one.place
		assert.Equal(t, "b", one.name)
		begun := time.Now()
		assert.Equal(t, "a gave up", (<-order).name)
		assert.Equal(t, 50*time.Millisecond, time.Since(begun))
		in.leave(0, false)
		assert.Zero(t, g.inside)
		assert.Zero(t, g.waiting.order.Len()+g.waiting.late.Len()+len(g.waiting.ends))
	})
}
