package cluster

// Limit is how many requests may be under way at the same time. If many of them are cut off, because
// their time is over before the answer comes, there are too many at once. So the limit falls then, and
// rises again while few are cut off. It is not safe for concurrent use.
type Limit struct {
	fewest, most int // the limit stays between them
	now          int
	// ended and cut count the requests that have ended since the limit was set last, and those of them
	// that were cut off.
	ended, cut int
}

// tooManyCut is the part of requests that are cut off from which on a limit falls: one in so many.
const tooManyCut = 4

// NewLimit returns a limit that is at its most. The least is fewest, or most if that is smaller.
func NewLimit(fewest, most int) Limit {
	return Limit{fewest: min(fewest, most), most: most, now: most}
}

// Now returns how many requests may be under way.
func (l *Limit) Now() int { return l.now }

// Most returns how far the limit rises.
func (l *Limit) Most() int { return l.most }

// Ended counts a request that has ended. cutOff says that its answer did not come in time.
func (l *Limit) Ended(cutOff bool) {
	if l.ended++; cutOff {
		l.cut++
	}
	if l.ended < max(l.fewest, l.now/2) {
		return
	}
	if l.cut*tooManyCut > l.ended {
		l.now = max(l.fewest, l.now*3/4)
	} else {
		l.now = min(l.most, l.now+l.now/16+1)
	}
	l.ended, l.cut = 0, 0
}
