package occ

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// backoff lets a transaction of another process, which has lost its race
// against steady writers, announce that it wants to commit: those who read the
// announcement hold their next write back for as long as it says. Nothing relies on
// it but progress. The zero value is ready for use.
type backoff struct {
	mu    sync.Mutex
	last  string // the announcement heard last; each is heeded once, for its author may be gone
	Until time.Time

	Due atomic.Int64 // when to ask for announcements again; Unix nanoseconds
}

// How long an announcement holds others back.
const (
	ShortestHold = 60 * time.Millisecond
	LongestHold  = time.Second
)

// askEvery is how often the writers of a connector ask for announcements.
const askEvery = 25 * time.Millisecond

// isDue reports whether it is time to ask for announcements.
func (p *backoff) isDue() bool {
	now, due := time.Now().UnixNano(), p.Due.Load()
	return now >= due && p.Due.CompareAndSwap(due, now+askEvery.Nanoseconds())
}

// observe takes note of an announcement: a name and a number of milliseconds.
func (p *backoff) observe(name, milliseconds string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name == p.last {
		return
	}
	p.last = name
	n, err := strconv.ParseInt(milliseconds, 10, 64)
	if err != nil || n < 0 {
		return
	}
	hold := LongestHold
	if n < LongestHold.Milliseconds() {
		hold = time.Duration(n) * time.Millisecond
	}
	p.Until = time.Now().Add(hold)
}

// Announced takes note of an announcement that this process made.
func (p *backoff) Announced(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.Until = name, time.Time{}
}

// Wait holds a write back while somebody has announced a commit.
func (p *backoff) Wait(ctx context.Context) error {
	p.mu.Lock()
	until := p.Until
	p.mu.Unlock()
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
