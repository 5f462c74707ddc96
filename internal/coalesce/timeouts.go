package coalesce

import (
	"slices"
	"time"
)

// timeouts are the parts that the client's timeout ends, unless they are told before. One timer serves all.
// The coalescer's mu guards it.
type timeouts struct {
	fire func() // is called when a timeout may have passed; never changes
	// parts are in order of their timeouts. Those that were told, or whose callers gave up, stay for a while;
	// over counts them.
	//
	// Invariant: 2*over <= len(parts).
	parts []*part
	over  int
	// timer fires when the timeout of the first part passes, or before. It is nil if there are no parts, so
	// that it keeps nothing in memory.
	timer *time.Timer
}

// isOver reports whether nothing more can happen to a part.
func (p *part) isOver() bool { return p.told || p.gaveUp }

// await notes that a part waits until p.until; zero is forever.
func (t *timeouts) await(p *part) {
	if p.until.IsZero() {
		return
	}
	at := len(t.parts)
	for at > 0 && t.parts[at-1].until.After(p.until) { // seldom: nearly always they come in order
		at--
	}
	t.parts = slices.Insert(t.parts, at, p)
	switch {
	case t.timer == nil:
		t.timer = time.AfterFunc(time.Until(p.until), t.fire)
	case at == 0:
		t.timer.Reset(time.Until(p.until))
	}
}

// ended notes that a part is over.
func (t *timeouts) ended(p *part) {
	if !p.until.IsZero() {
		t.over++
		t.sweep()
	}
}

// sweep removes the parts that are over if they are many, so that each costs the same, however many there are.
func (t *timeouts) sweep() {
	if 2*t.over > len(t.parts) {
		t.parts = slices.DeleteFunc(t.parts, (*part).isOver)
		t.over = 0
	}
	if len(t.parts) == 0 && t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

// due removes and returns the parts whose timeouts have passed, and sets the timer for the next one.
func (t *timeouts) due() (due []*part) {
	n, now := 0, time.Now()
	for ; n < len(t.parts); n++ {
		p := t.parts[n]
		if p.isOver() {
			t.over--
			continue
		}
		if p.until.After(now) {
			break
		}
		p.until = time.Time{} // it is no longer here
		due = append(due, p)
	}
	clear(t.parts[:n])
	t.parts = t.parts[n:]
	t.sweep()
	if t.timer != nil {
		t.timer.Reset(t.parts[0].until.Sub(now))
	}
	return due
}

// expire lets those parts go whose timeouts have passed.
func (q *Coalescer) expire() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.timeouts.due() {
		p.late = q.takeOut(p, q.cfg.Client.TimedOut())
		p.done <- struct{}{}
	}
}
