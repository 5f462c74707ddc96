package occ

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// writeLock makes the writers of one connector wait for each other, as those of a SQLite file do. A
// transaction that has written holds it exclusively until it ends. Writes outside of transactions
// share it. Waiters are let in in order of arrival. The zero value is free.
//
// Invariant: !taken || shared == 0. While mu is free, the first waiter in the queue does not fit.
type writeLock struct {
	// mu guards the other fields.
	mu     sync.Mutex
	shared int       // writes outside of transactions that hold the lock
	taken  bool      // held by a transaction
	since  time.Time // when it was taken; valid while taken
	queue  []*waiter // those not let in yet, in order of arrival
}

// waiter is a writer that waits for the lock.
type waiter struct {
	exclusive bool
	ready     chan struct{} // closed, under mu, when the lock is its own
}

// join takes the lock for a write outside of transactions, which has to call leave.
func (l *writeLock) join(ctx context.Context, timeout time.Duration) error {
	return l.wait(ctx, timeout, false)
}

// Take takes the lock exclusively for a transaction, which has to call Free.
func (l *writeLock) Take(ctx context.Context, timeout time.Duration) error {
	return l.wait(ctx, timeout, true)
}

// leave releases the lock of a write outside of transactions.
func (l *writeLock) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shared--
	l.admit()
}

// Free releases the lock of a transaction.
func (l *writeLock) Free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = false
	l.admit()
}

// fits reports whether one more can be let in. The caller holds mu.
func (l *writeLock) fits(exclusive bool) bool { return !l.taken && (!exclusive || l.shared == 0) }

// enter takes the lock. The caller holds mu.
func (l *writeLock) enter(exclusive bool) {
	if !exclusive {
		l.shared++
		return
	}
	l.taken, l.since = true, time.Now()
}

// admit lets in waiters from the head of the queue while they fit. The caller holds mu.
func (l *writeLock) admit() {
	for len(l.queue) > 0 && l.fits(l.queue[0].exclusive) {
		first := l.queue[0]
		l.queue = l.queue[1:]
		l.enter(first.exclusive)
		close(first.ready)
	}
}

// wait waits for the lock until the context ends or, if timeout is not zero, the timeout has
// passed.
func (l *writeLock) wait(ctx context.Context, timeout time.Duration, exclusive bool) error {
	l.mu.Lock()
	if len(l.queue) == 0 && l.fits(exclusive) {
		l.enter(exclusive)
		l.mu.Unlock()
		return nil
	}
	w := &waiter{exclusive: exclusive, ready: make(chan struct{})}
	l.queue = append(l.queue, w)
	l.mu.Unlock()

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
	return l.giveUp(w, time.Since(begun), ctx.Err())
}

// giveUp takes w out of the queue. If w was let in meanwhile, it keeps the lock when only the
// timeout has passed, and releases it when the context has ended.
func (l *writeLock) giveUp(w *waiter, waited time.Duration, why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	behind := "those of other goroutines"
	if l.taken {
		behind = fmt.Sprintf("a transaction of this program that has been writing for %v", time.Since(l.since).Round(time.Millisecond))
	}
	select {
	case <-w.ready:
		if why == nil {
			return nil
		}
		if w.exclusive {
			l.taken = false
		} else {
			l.shared--
		}
	default:
		for i, other := range l.queue {
			if other == w {
				l.queue = append(l.queue[:i:i], l.queue[i+1:]...)
				break
			}
		}
	}
	l.admit() // those behind w may fit where it did not
	return errLocked(waited, behind, why)
}

// errLocked is the error of a write that did not get the lock and was not sent: SQLite's "database
// is locked", and the end of the context if that was the reason.
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
