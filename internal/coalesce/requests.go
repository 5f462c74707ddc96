package coalesce

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

const (
	// mostStalled is how many requests may be stalled before callers wait for them all the same.
	mostStalled = 8
	// mostOutside is how many reads of all kinds may be outside before callers wait for further ones all the
	// same. mostUntold is how many may if no node has answered what left later: where a node hangs, none is slow.
	mostOutside = cluster.MostAtOnce
	mostUntold  = 16
)

// standing says how a request counts that has no answer yet.
type standing uint8

const (
	holdsPlace standing = iota // others wait for it
	isStalled                  // nothing has ended for a while, so that others go beside it, but not many
	isOutside                  // a read by itself that takes long; others go beside it
)

// request is one that is under way.
type request struct {
	ticket   int
	begun    time.Time
	parts    int   // 0 if the caller sends it
	meter    Meter // of the only part, or nil
	standing standing
	ended    bool // its callers have their answers
}

// requests are those under way. The coalescer's mu guards it.
type requests struct {
	all      []request // in order of their departure
	ticket   int       // of the last one
	underWay int       // those that hold a place
	bulks    int       // those of them that have several parts
	stalled  int
	outside  *atomic.Int64 // of all kinds of reads
}

// add adds a request that leaves, and returns its ticket.
func (r *requests) add(begun time.Time, parts int, meter Meter) (ticket int) {
	r.ticket++
	r.all = append(r.all, request{ticket: r.ticket, begun: begun, parts: parts, meter: meter})
	r.count(&r.all[len(r.all)-1], 1)
	return r.ticket
}

// remove removes a request that has ended.
func (r *requests) remove(ticket int) {
	i := r.index(ticket)
	r.count(&r.all[i], -1)
	r.all = slices.Delete(r.all, i, i+1)
}

func (r *requests) index(ticket int) int {
	return slices.IndexFunc(r.all, func(one request) bool { return one.ticket == ticket })
}

// count adds n to the counters of a request.
func (r *requests) count(one *request, n int) {
	switch one.standing {
	case holdsPlace:
		r.underWay += n
		if one.parts > 1 {
			r.bulks += n
		}
	case isStalled:
		r.stalled += n
	case isOutside:
		r.outside.Add(int64(n))
	}
}

// move gives a request another standing.
func (r *requests) move(one *request, to standing) {
	r.count(one, -1)
	one.standing = to
	r.count(one, 1)
}

// end notes that the callers of a request have their answers. It reports whether the request is outside.
func (r *requests) end(ticket int) (outside bool) {
	one := &r.all[r.index(ticket)]
	one.ended = true
	return one.standing == isOutside
}

// stall makes the requests that hold places stalled ones. If there would be too many of these, it does
// nothing, and returns false.
func (r *requests) stall() bool {
	if r.stalled+r.underWay > mostStalled {
		return false
	}
	for i := range r.all {
		if one := &r.all[i]; one.standing == holdsPlace {
			r.move(one, isStalled)
		}
	}
	return true
}

// letOut makes others no longer wait for reads that went by themselves and take long. The texts of those
// that are slow, as other answers tell, go alone from now on. The caller holds q.mu.
func (q *Coalescer) letOut() {
	r, long := &q.requests, q.long()
	for i := range r.all {
		one := &r.all[i]
		if one.parts > 1 || one.ended || one.standing == isOutside || time.Since(one.begun) < long {
			continue
		}
		told, slow := q.outran(one.begun)
		if tooManyOutside(r.outside.Load(), told) {
			continue
		}
		r.move(one, isOutside)
		q.taken -= one.parts
		if one.meter != nil && slow {
			one.meter.Slow()
		}
	}
}

// tooManyOutside reports whether others have to wait for a further read that takes long. told says that a node has
// answered what left later.
func tooManyOutside(outside int64, told bool) bool {
	return outside >= mostOutside || outside >= mostUntold && !told
}

// outran reports whether a node has answered a request that left later than one that left at such a time,
// for a node that is not known, and much sooner; and whether all nodes have. The caller holds q.mu.
func (q *Coalescer) outran(begun time.Time) (one, all bool) {
	nodes, outran := 0, 0
	for _, p := range q.paces {
		if p.begun.IsZero() {
			continue
		}
		if nodes++; p.outran(begun, shortestLimit) {
			outran++
		}
	}
	return outran > 0, outran > 0 && outran == nodes
}
