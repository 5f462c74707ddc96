package coalesce

import "time"

// pace is how quickly reads are answered. By it slow ones are told from those that a busy node, or one that
// hangs, has not come to yet. The zero value has seen no answer. Its user guards it.
type pace struct {
	typical time.Duration // smoothed time of answers; 0 before the first
	// begun and took are those of the answered request that left last.
	begun time.Time
	took  time.Duration
}

// An answer that has not come after such a time may be that to a slow read. Where all answers take long,
// because of the way or because the node has much to do, that says nothing of the read.
const (
	doubtAfter   = 25 * time.Millisecond
	doubtTypical = 3 // times the typical time
)

// A bulk that takes so long may hold a slow read, whose callers do not know that it is slow.
const (
	shortestLimit = 100 * time.Millisecond
	limitTypical  = 10 // times the typical time
	limitLater    = 3  // times the time of a request that left later
	// longestLimit is for a bulk where no request that left later has been answered.
	longestLimit = time.Second
	// limitStep is how often a bulk is looked at from shortestLimit on.
	limitStep = 25 * time.Millisecond
)

// answered notes that a request that left at such a time has been answered. A single answer that takes
// very long says little of the others.
func (p *pace) answered(begun time.Time, took time.Duration) {
	if p.typical == 0 {
		p.typical = took
	}
	p.typical += (min(took, 2*p.typical+time.Millisecond) - p.typical) / 8
	if !begun.Before(p.begun) {
		p.begun, p.took = begun, took
	}
}

// overdue reports whether a read that has got no answer after such a time may be a slow one.
func (p *pace) overdue(after time.Duration) bool {
	return after > max(doubtAfter, doubtTypical*p.typical)
}

// isSlow reports whether a bulk that left at such a time, and has not been answered, holds a slow read. It does
// if the node has answered a request that left later, and much sooner. only says that there is no other request
// that could tell.
func (p *pace) isSlow(begun time.Time, only bool) bool {
	waited, usual := time.Since(begun), limitTypical*p.typical
	switch {
	case waited >= max(longestLimit, usual):
		return true
	case waited < max(shortestLimit, usual):
		return false
	}
	return only || !p.begun.Before(begun) && waited > limitLater*p.took
}
