package occ

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// backoff makes writers give way to transactions of other processes. A transaction that keeps
// losing to steady writers announces its commit. Each writer that reads the announcement holds its
// next write back for the announced time. It affects progress, never correctness. The zero value is
// ready for use.
type backoff struct {
	// mu guards last and until. observe and Announced change both together.
	mu sync.Mutex
	// last is the name of the last announcement seen. Each is obeyed once, because its author may
	// be gone.
	last string
	// until is when the hold of that announcement ends. It is zero before the first announcement
	// and after one of this process, and at most LongestHold ahead.
	until time.Time

	// due is when to ask for announcements again, in Unix nanoseconds. isDue moves it on by compare
	// and swap, so that one writer asks in each interval. It only grows.
	due atomic.Int64
}

// ShortestHold and LongestHold bound how long an announcement holds others back.
const (
	ShortestHold = 60 * time.Millisecond
	LongestHold  = time.Second
)

// askEvery is how often the writers of a connector ask for announcements.
const askEvery = 25 * time.Millisecond

// isDue reports whether it is time to ask for announcements. It returns true to one caller in each
// interval.
func (b *backoff) isDue() bool {
	now, due := time.Now().UnixNano(), b.due.Load()
	return now >= due && b.due.CompareAndSwap(due, now+askEvery.Nanoseconds())
}

// observe notes an announcement: a name and a number of milliseconds.
func (b *backoff) observe(name, milliseconds string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if name == b.last {
		return
	}
	b.last = name
	n, err := strconv.ParseInt(milliseconds, 10, 64)
	if err != nil || n < 0 {
		return
	}
	hold := LongestHold
	if n < LongestHold.Milliseconds() {
		hold = time.Duration(n) * time.Millisecond
	}
	b.until = time.Now().Add(hold)
}

// Announced notes an announcement of this process, which its own writes ignore.
func (b *backoff) Announced(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last, b.until = name, time.Time{}
}

// Wait holds a write back while an announcement of another process is in force.
func (b *backoff) Wait(ctx context.Context) error {
	b.mu.Lock()
	until := b.until
	b.mu.Unlock()
	if until.IsZero() {
		return nil
	}
	d := time.Until(until)
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("rqlite: waited for a transaction of another process, and nothing was sent: %w", ctx.Err())
	}
}
