package occ

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// writeLock lets the writers of one process wait for each other, as those of a SQLite
// file do: a transaction that has written holds the turn alone until it ends, and
// writes outside of transactions share it. Who waits is let in by order of arrival.
// The zero value is free.
type writeLock struct {
	mu     sync.Mutex
	shared int       // writes outside of transactions that are under way
	taken  bool      // by a transaction
	since  time.Time // when it was taken
	queue  []*waiter
}

// waiter is one that waits for its turn.
type waiter struct {
	alone bool
	ready chan struct{} // closed when it is its turn
}

// Join waits for the turn of a write outside of transactions. It has to leave.
func (t *writeLock) Join(ctx context.Context, timeout time.Duration) error {
	return t.wait(ctx, timeout, false)
}

// Take waits for the turn of a transaction, which has it alone until free.
func (t *writeLock) Take(ctx context.Context, timeout time.Duration) error {
	return t.wait(ctx, timeout, true)
}

// leave ends the turn of a write outside of transactions.
func (t *writeLock) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shared--
	t.admit()
}

// Free ends the turn of a transaction.
func (t *writeLock) Free() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = false
	t.admit()
}

// fits reports whether one more can be let in.
func (t *writeLock) fits(alone bool) bool { return !t.taken && (!alone || t.shared == 0) }

func (t *writeLock) enter(alone bool) {
	if !alone {
		t.shared++
		return
	}
	t.taken, t.since = true, time.Now()
}

// admit lets in those at the head of the queue that fit.
func (t *writeLock) admit() {
	for len(t.queue) > 0 && t.fits(t.queue[0].alone) {
		first := t.queue[0]
		t.queue = t.queue[1:]
		t.enter(first.alone)
		close(first.ready)
	}
}

// wait waits for the turn until the context ends or, if it is not zero, the
// time-out.
func (t *writeLock) wait(ctx context.Context, timeout time.Duration, alone bool) error {
	t.mu.Lock()
	if len(t.queue) == 0 && t.fits(alone) {
		t.enter(alone)
		t.mu.Unlock()
		return nil
	}
	w := &waiter{alone: alone, ready: make(chan struct{})}
	t.queue = append(t.queue, w)
	t.mu.Unlock()

	begun := time.Now()
	var timedOut <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		timedOut = timer.C
	}
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	case <-timedOut:
	}
	return t.giveUp(w, time.Since(begun), ctx.Err())
}

// giveUp takes w out of the queue. If it has been let in meanwhile it stays in
// when the time-out alone has ended, and leaves when the context has.
func (t *writeLock) giveUp(w *waiter, waited time.Duration, why error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	behind := "those of other goroutines"
	if t.taken {
		behind = fmt.Sprintf("a transaction of this program that has been writing for %v", time.Since(t.since).Round(time.Millisecond))
	}
	select {
	case <-w.ready:
		if why == nil {
			return nil
		}
		if w.alone {
			t.taken = false
		} else {
			t.shared--
		}
	default:
		for i, other := range t.queue {
			if other == w {
				t.queue = append(t.queue[:i:i], t.queue[i+1:]...)
				break
			}
		}
	}
	t.admit() // those behind w may fit where it did not
	return errLocked(waited, behind, why)
}

// errLocked is the error of a write that was not sent because its turn did not
// come: SQLite's "database is locked", and the end of the context if it was that.
func errLocked(waited time.Duration, behind string, why error) error {
	locked := &sqlerr.Error{
		Message: fmt.Sprintf("database is locked: waited %v behind %s, and nothing was sent; "+
			"end transactions soon, and do not write beside an open one in the same goroutine", waited.Round(time.Millisecond), behind),
		Code: sqlerr.Busy, ExtendedCode: sqlerr.Busy, Statement: -1,
	}
	if why == nil {
		return locked
	}
	return sqlerr.Of(why, locked)
}
