package coalesce

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// mostAgain is how many reads are sent again at once after [ErrSlow]. Far from the node, where each takes long, it
	// is mostFarAgain. More at once would make a busy node even busier: it opens a connection to its database
	// for each. Then it would be slow with the next requests, too, whose reads would be sent again as well.
	mostAgain    = 4
	mostFarAgain = 64
)

// Again waits for one of the few places of reads that are sent again after [ErrSlow]. The caller sends its read by itself
// then, beside all others, and calls ended when the answer has come. If the read takes long again, its place is free,
// unless too many reads are outside, and slow is called if the node has answered what left later. ok is false if no place
// has become free for so long that the node must be busy: the read had better join others again. So it is if ctx, or the
// client's timeout, has ended. The caller began to wait at begun.
func (q *Coalescer) Again(ctx context.Context, begun time.Time, slow func()) (ended func(), ok bool) {
	places, long := q.placesAgain()
	if !q.Await(ctx, begun, places, nil) {
		return nil, false
	}
	a := &again{places: places, outside: &q.counts.outside, long: long}
	sent := time.Now()
	a.watch(func() {
		told, isSlow := q.later(sent)
		a.letOut(told, isSlow)
		if isSlow {
			slow()
		}
	})
	return a.end, true
}

// Await puts a value into places, and waits until there is room for it. It returns false if there is none for as long as
// others wait for a read that went by itself, or until over, ctx or the client's timeout has ended. The caller began to
// wait at begun. A nil over never ends.
func (q *Coalescer) Await(ctx context.Context, begun time.Time, places chan<- struct{}, over <-chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
	}
	patience := q.patience()
	if until := q.cfg.Client.Until(ctx, begun); !until.IsZero() {
		patience = min(patience, time.Until(until))
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	select {
	case places <- struct{}{}:
		return true
	case <-over:
	case <-end.C:
	case <-ctx.Done():
	}
	return false
}

// again is a read that is sent again.
type again struct {
	places  chan struct{}
	outside *atomic.Int64 // of all kinds of reads
	long    time.Duration // others wait for it

	mu           sync.Mutex
	late         *time.Timer
	isOut, ended bool // it is outside, and has no place; its answer has come
}

// watch calls look when others have waited for the read.
func (a *again) watch(look func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.late = time.AfterFunc(a.long, look)
}

// letOut gives the place of a read that takes long to another one, unless too many reads are outside. told says that a
// node has answered what left later. The read is looked at again later, unless it is known as slow.
func (a *again) letOut(told, isSlow bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return
	}
	if !a.isOut && !tooManyOutside(a.outside.Load(), told) {
		a.isOut = true
		a.outside.Add(1)
		<-a.places
	}
	if !a.isOut || !isSlow {
		a.late.Reset(a.long)
	}
}

// end notes that the answer has come.
func (a *again) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.late.Stop()
	a.ended = true
	if a.isOut {
		a.outside.Add(-1)
		return
	}
	<-a.places
}

// placesAgain returns the places for [Coalescer.Again], and how long others wait for a read there.
func (q *Coalescer) placesAgain() (places chan struct{}, long time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.far() {
		return q.counts.farAgain, q.long()
	}
	return q.counts.again, q.long()
}

// later is outran for a caller that does not hold q.mu.
func (q *Coalescer) later(begun time.Time) (one, all bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.outran(begun)
}

// patience is long for a caller that does not hold q.mu.
func (q *Coalescer) patience() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.long()
}
