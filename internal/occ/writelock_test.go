//go:build go1.25

package occ

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Writers outside of transactions share the lock, and a transaction has it alone; who comes later
// does not overtake who waits.
func TestWriteLockOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			lock  writeLock
			mu    sync.Mutex
			order []string
			ctx   = context.Background()
		)
		enter := func(name string, alone bool) {
			go func() {
				assert.NoError(t, lock.wait(ctx, 0, alone))
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			}()
			synctest.Wait()
		}
		enter("write 1", false)
		enter("write 2", false)
		enter("tx 1", true)
		enter("write 3", false)
		enter("write 4", false)
		enter("tx 2", true)
		require.Equal(t, []string{"write 1", "write 2"}, order)
		lock.leave()
		synctest.Wait()
		require.Len(t, order, 2)
		lock.leave()
		synctest.Wait()
		require.Equal(t, []string{"write 1", "write 2", "tx 1"}, order)
		lock.Free()
		synctest.Wait()
		require.ElementsMatch(t, []string{"write 3", "write 4"}, order[3:])
		lock.leave()
		lock.leave()
		synctest.Wait()
		require.Equal(t, "tx 2", order[5])
		lock.Free()
		assert.Zero(t, lock.shared)
		assert.False(t, lock.taken)
		assert.Empty(t, lock.queue)
	})
}

func TestWriteLockIsNotWaitedForLongerThanAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lock writeLock
		require.NoError(t, lock.Take(context.Background(), 0))
		time.Sleep(3 * time.Second)

		begun := time.Now()
		err := lock.join(context.Background(), 2*time.Second)
		require.ErrorIs(t, err, sqlerr.Busy)
		assert.EqualError(t, err, "rqlite: database is locked: waited 2s behind a transaction of this program that has been writing for 5s, and nothing was sent; "+
			"end transactions soon, and do not write beside an open one in the same goroutine")
		assert.Equal(t, 2*time.Second, time.Since(begun))

		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err = lock.Take(ctx, 0)
		require.ErrorIs(t, err, sqlerr.Busy)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Empty(t, lock.queue)

		lock.Free()
		require.NoError(t, lock.join(context.Background(), time.Second))
		err = lock.Take(context.Background(), time.Second)
		assert.ErrorContains(t, err, "behind those of other goroutines")
	})
}

// One that gives up lets in those behind it whom only it kept out.
func TestWriteLockOfOneThatGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lock writeLock
		require.NoError(t, lock.join(context.Background(), 0))
		ctx, cancel := context.WithCancel(context.Background())
		gaveUp := make(chan error)
		go func() { gaveUp <- lock.Take(ctx, 0) }()
		synctest.Wait()
		joined := make(chan error, 1)
		go func() { joined <- lock.join(context.Background(), 0) }()
		synctest.Wait()
		assert.Empty(t, joined)
		cancel()
		require.ErrorIs(t, <-gaveUp, context.Canceled)
		synctest.Wait()
		require.NoError(t, <-joined)
	})
}

// Whatever happens at the same time, nobody is in with a transaction, and the lock is free in the
// end.
func TestWriteLockUnderLoad(t *testing.T) {
	t.Parallel()
	var (
		lock           writeLock
		mu             sync.Mutex
		writes, alones int
		all            sync.WaitGroup
	)
	count := func(n *int, by int) {
		mu.Lock()
		defer mu.Unlock()
		*n += by
		assert.True(t, alones == 0 || alones == 1 && writes == 0, "%d transactions and %d writes", alones, writes)
	}
	for i := range 16 {
		all.Go(func() {
			for j := range 200 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(j%7)*50*time.Microsecond)
				alone := (i+j)%3 == 0
				err := lock.wait(ctx, time.Duration(1+j%5)*100*time.Microsecond, alone)
				cancel()
				switch {
				case err != nil:
					assert.True(t, errors.Is(err, sqlerr.Busy), "%v", err)
				case alone:
					count(&alones, 1)
					count(&alones, -1)
					lock.Free()
				default:
					count(&writes, 1)
					count(&writes, -1)
					lock.leave()
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, lock.Take(context.Background(), time.Second))
	assert.Empty(t, lock.queue)
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p backoff
		waits := func() time.Duration {
			begun := time.Now()
			require.NoError(t, p.Wait(context.Background()))
			return time.Since(begun)
		}
		assert.Zero(t, waits())
		p.observe("one", "60")
		assert.Equal(t, 60*time.Millisecond, waits())
		assert.Zero(t, waits())
		p.observe("one", "60")
		assert.Zero(t, waits(), "each is heeded once")
		p.observe("two", "9999999999999")
		assert.Equal(t, LongestHold, waits(), "nobody may hold up others for long")
		for _, odd := range []string{"", "-5", "soon"} {
			p.observe("odd"+odd, odd)
			assert.Zero(t, waits(), odd)
		}
		p.observe("three", "500")
		p.Announced("mine")
		assert.Zero(t, waits(), "one's own")
		p.observe("four", "500")
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, p.Wait(ctx), context.DeadlineExceeded)
	})
}
