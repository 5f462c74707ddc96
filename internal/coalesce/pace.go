package coalesce

import "time"

// pace is how quickly a node answers reads. By it slow ones are told from those that a busy node, or one that
// hangs, has not come to yet. The zero value has seen no answer. Its user guards it.
type pace struct {
	typical time.Duration // smoothed time of answers, up to mostTypical; 0 before the first
	// begun and took are those of the answered request that left last.
	begun time.Time
	took  time.Duration
}

// mostTypical bounds pace.typical, so that a node that has hung is not taken for one that takes so long.
const mostTypical = 500 * time.Millisecond

// An answer that has not come after such a time may be that to a slow read. Where all answers take long,
// because of the way or because the node has much to do, that says nothing of the read.
const (
	doubtAfter   = 25 * time.Millisecond
	doubtTypical = 3 // times the typical time
)

// A bulk that takes so long may hold a slow read, whose callers do not know that it is slow.
const (
	shortestLimit = 100 * time.Millisecond
	limitLater    = 3  // times the time of a request that left later, and the typical time
	limitTypical  = 10 // times the typical time, if no request that left later has been answered
	// longestLimit is for a bulk of which the other requests may still tell.
	longestLimit = time.Second
	// limitStep is how often a bulk is looked at from shortestLimit on.
	limitStep = 25 * time.Millisecond
)

// answered notes that a request that left at such a time has been answered. A single answer that takes
// very long says little of the others.
func (p *pace) answered(begun time.Time, took time.Duration) {
	if p.typical == 0 {
		p.typical = min(took, mostTypical)
	}
	p.typical += (min(took, 2*p.typical+time.Millisecond, mostTypical) - p.typical) / 8
	if !begun.Before(p.begun) {
		p.begun, p.took = begun, took
	}
}

// overdue reports whether a read that has got no answer after such a time may be a slow one.
func (p *pace) overdue(after time.Duration) bool {
	return after > max(doubtAfter, doubtTypical*p.typical)
}

// outran reports whether the node has answered a request that left later than one that left at such a time, and
// much sooner than it has, if it has at all. That says nothing before least is over.
func (p *pace) outran(begun time.Time, least time.Duration) bool {
	waited := time.Since(begun)
	return !p.begun.Before(begun) && waited >= least && waited > limitLater*max(p.took, p.typical)
}

// isSlow reports whether the callers of a bulk that left at such a time, and has not been answered, are to send
// their reads by themselves. They are if the node has answered a request that left later, and much sooner: one
// of the reads is slow then. If it has answered none, it may be busy, or hang, or each request may hold a slow read. Then
// the reads of one bulk at a time are sent, which will tell of the others: tried is when those of the last one were. comes
// says that this would be too early, because an answer has begun to come.
func (p *pace) isSlow(begun, tried time.Time, comes bool) bool {
	waited, usual := time.Since(begun), max(shortestLimit, limitTypical*p.typical)
	switch {
	case p.outran(begun, shortestLimit):
		return true
	case !comes && p.begun.Before(begun) && min(waited, time.Since(tried)) >= usual:
		return true
	}
	return waited >= max(longestLimit, usual)
}
