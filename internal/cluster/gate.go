package cluster

import (
	"context"
	"sync"
	"time"
)

// gate bounds how many requests wait for answers at the same time. The others wait at the gate. The one
// whose time is over first comes in first, and now and then the one that has waited longest. So requests
// that have little time are not kept waiting by slow ones that have much. For the same reason there are
// spare places, which only brief requests can take.
//
// A request that has too little time left for an answer is passed over: it would be cut off, which costs
// the server its work and the client a connection, and the requests behind it would come too late as
// well. It gets few places while others want them.
// If many requests are cut off all the same, there are fewer places for a while. A gate is safe for
// concurrent use.
type gate struct {
	// mu guards all.
	mu      sync.Mutex
	places  Limit // without the spare ones
	inside  int   // requests that have a place
	long    int   // those of them that were not brief when they got it
	waiting waiters
	// quick is the smoothed time that quick answers take. It falls fast and rises slowly, so that slow
	// statements do not keep out those that are quick.
	quick time.Duration
	turns int // places that were given away
}

// fewestPlaces is how far the number of places falls.
const fewestPlaces = 16

// round is how many places are given away in a round. One goes to a waiter that was passed over, which
// may need less time than others, and one to the waiter that has waited longest.
const round = 8

// spare says how many further places there are for brief requests: one for so many places.
const spare = 8

// open sets the largest number of places.
func (g *gate) open(most int) { g.places = NewLimit(fewestPlaces, most) }

// enter waits for a place, until ctx or the time of until has ended; a zero until never does. If it
// returns an error, that says why the request cannot wait any longer: that of ctx, or of over. Otherwise
// the caller has to leave.
func (g *gate) enter(ctx context.Context, until time.Time, over func() error) (place, error) {
	w := waiter{until: until}
	if deadline, ok := ctx.Deadline(); ok && (until.IsZero() || deadline.Before(until)) {
		w.until = deadline
	}
	place, waiting := g.goIn(w, time.Now())
	if waiting == nil {
		return place, nil
	}
	var late <-chan time.Time // never, without a timeout
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		late = timer.C
	}
	if why := await(ctx, waiting.in, late, over); why != nil {
		return g.giveUp(waiting, why)
	}
	return waiting.place, nil
}

// goIn gives a request that comes at now a place, if there is one. Otherwise it returns the waiter that
// the request has become.
func (g *gate) goIn(w waiter, now time.Time) (place, *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if brief := w.brief(now); g.fits(brief) {
		return g.take(brief), nil
	}
	w.in = make(chan struct{})
	return place{}, g.waiting.add(w)
}

// fits reports whether there is a place for a request. The caller holds g.mu.
func (g *gate) fits(brief bool) bool {
	places := g.places.Now()
	return g.inside < places+places/spare && (brief || g.long < places)
}

// take gives a place to a request. The caller holds g.mu.
func (g *gate) take(brief bool) place {
	if g.inside++; !brief {
		g.long++
	}
	return place{g, brief}
}

// await waits until done is closed, ctx has ended, or late says that the time is over; a nil late never
// does. Unless done is closed, it returns why the wait has ended: the cause of ctx, or the error of over.
func await(ctx context.Context, done <-chan struct{}, late <-chan time.Time, over func() error) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return cause(ctx)
	case <-late:
		return over()
	}
}

// giveUp takes a waiter away. It returns why, or the place that the waiter has just got.
func (g *gate) giveUp(w *waiter, why error) (place, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !w.waits() {
		return w.place, nil // the request finds out by itself
	}
	g.waiting.remove(w)
	return place{}, why
}

// place is what a request has that may wait for its answer. The zero value is that of a request that needs
// none.
type place struct {
	gate  *gate
	brief bool // the request was brief when it got the place
}

// leave gives the place back. took is how long the answer took, 0 if nothing was sent. cutOff says that the
// request has ended before its answer came, after that time.
func (p place) leave(took time.Duration, cutOff bool) {
	g := p.gate
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !cutOff || took > g.quick {
		g.learn(took)
	}
	if took > 0 {
		g.places.Ended(cutOff)
	}
	if g.inside--; !p.brief {
		g.long--
	}
	now := time.Now()
	for w := g.next(now); w != nil; w = g.next(now) {
		g.waiting.remove(w)
		w.place = g.take(w.brief(now))
		g.turns++
		close(w.in)
	}
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
	first := g.waiting.first(now, need)
	oldest, late := g.waiting.oldest(), g.waiting.passedOver()
	inTurn := [...]*waiter{first, oldest, late}
	switch turn := g.turns % round; {
	case late != nil && (turn == round-1 || !late.until.Before(need)):
		inTurn = [...]*waiter{late, first, oldest}
	case turn == round/2:
		inTurn = [...]*waiter{oldest, first, late}
	}
	for _, w := range inTurn {
		if w != nil && g.fits(w.brief(now)) {
			return w
		}
	}
	return nil
}
