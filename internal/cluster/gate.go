package cluster

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// gate bounds how many requests wait for answers at the same time. The others wait at the gate, in the
// order in which they came. One that has too little time left for an answer is passed over: it would
// be cut off, which costs the server its work and the client a connection, and the requests behind it
// would come too late as well. It gets few places while others want them.
//
// If many requests are cut off all the same, there are too many at once. So the number of places falls
// then, and rises again while few are cut off. A gate is safe for concurrent use.
type gate struct {
	// mu guards all.
	//
	// Invariant: fewestPlaces <= places <= most, or places == most; nobody waits while inside < places.
	// Elements of waiting and late are waiters that were not let in.
	mu           sync.Mutex
	most, places int
	inside       int       // requests that have a place
	waiting      list.List // in order of arrival
	late         list.List // passed over, the one with the most time first
	// quick is the smoothed time that quick answers take. It falls fast and rises slowly, so that slow
	// statements do not keep out those that are quick.
	quick time.Duration
	turns int // places that were given away
	// ended and cut count the requests that have left since places was set last, and those of them that
	// were cut off.
	ended, cut int
}

const (
	// fewestPlaces is how far the number of places falls.
	fewestPlaces = 16
	// tooManyCut is the part of requests that are cut off from which on the number of places falls: one
	// in so many.
	tooManyCut = 4
)

// lateTurn is how many places are given away to one that goes to a waiter that was passed over, which
// may need less time than others.
const lateTurn = 8

// waiter is a request at the gate.
type waiter struct {
	until time.Time     // when its time is over; zero is never
	in    chan struct{} // closed when it has a place
	queue *list.List    // that holds it; nil when it has a place
	place *list.Element
}

// open sets the largest number of places.
func (g *gate) open(most int) { g.most, g.places = most, most }

// enter waits for a place, until ctx or the time of until has ended; a zero until never does. If it
// returns an error, that says why the request cannot wait any longer: that of ctx, or of over. Otherwise
// the caller has to leave.
func (g *gate) enter(ctx context.Context, until time.Time, over func() error) error {
	g.mu.Lock()
	if g.inside < g.places {
		g.inside++
		g.mu.Unlock()
		return nil
	}
	w := &waiter{until: until, in: make(chan struct{}), queue: &g.waiting}
	if deadline, ok := ctx.Deadline(); ok && (until.IsZero() || deadline.Before(until)) {
		w.until = deadline
	}
	w.place = g.waiting.PushBack(w)
	g.mu.Unlock()

	if why := await(ctx, w.in, until, over); why != nil {
		return g.giveUp(w, why)
	}
	return nil
}

// await waits until done is closed, ctx has ended, or the time is until; a zero until never comes.
// Unless done is closed, it returns why the wait has ended: the cause of ctx, or the error of over.
func await(ctx context.Context, done <-chan struct{}, until time.Time, over func() error) error {
	var late <-chan time.Time // never, without a timeout
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return cause(ctx)
	case <-late:
		return over()
	}
}

// giveUp takes a waiter away. It returns why, or nil if the waiter has just got a place.
func (g *gate) giveUp(w *waiter, why error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.queue == nil {
		return nil // the request finds out by itself
	}
	w.queue.Remove(w.place)
	return why
}

// leave gives a place back. took is how long the answer took, 0 if there was none. cutOff says that the
// request has ended before its answer came, after that time.
func (g *gate) leave(took time.Duration, cutOff bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !cutOff || took > g.quick {
		g.learn(took)
	}
	g.count(cutOff)
	for g.inside--; g.inside < g.places; g.inside++ {
		w := g.next(time.Now())
		if w == nil {
			return
		}
		w.queue.Remove(w.place)
		w.queue = nil
		close(w.in)
	}
}

// count sets the number of places anew after some requests. The caller holds g.mu.
func (g *gate) count(cutOff bool) {
	if g.ended++; cutOff {
		g.cut++
	}
	if g.ended < max(fewestPlaces, g.places/2) {
		return
	}
	if g.cut*tooManyCut > g.ended {
		g.places = max(fewestPlaces, g.places*3/4)
	} else {
		g.places = min(g.most, g.places+g.places/16+1)
	}
	g.ended, g.cut = 0, 0
}

// learn takes in how long an answer took. The caller holds g.mu.
func (g *gate) learn(took time.Duration) {
	switch {
	case took <= 0:
	case g.quick == 0:
		g.quick = took
	case took < g.quick:
		g.quick -= (g.quick - took) / 8
	default:
		g.quick += (took - g.quick) / 64
	}
}

// next returns the waiter that gets the next place, or nil. The caller holds g.mu.
func (g *gate) next(now time.Time) *waiter {
	need := now.Add(g.quick + g.quick/2)
	g.turns++
	if e := g.late.Front(); e != nil && (g.turns%lateTurn == 0 || !e.Value.(*waiter).until.Before(need)) {
		return e.Value.(*waiter)
	}
	for e := g.waiting.Front(); e != nil; e = g.waiting.Front() {
		w := e.Value.(*waiter)
		if w.until.IsZero() || !w.until.Before(need) {
			return w
		}
		g.waiting.Remove(e)
		w.queue, w.place = &g.late, g.late.PushFront(w)
	}
	if e := g.late.Front(); e != nil {
		return e.Value.(*waiter)
	}
	return nil
}
