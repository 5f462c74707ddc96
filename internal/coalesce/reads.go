package coalesce

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// readLimits are the limits of reads. A node works on several requests at once, by several
// connections, and on the statements of one request in turn. So several requests share the callers. A
// request costs the node as much as three more point reads, which is little beside eight.
var readLimits = limits{underWay: 4, second: 8, even: true, parts: 256, work: 10 * time.Millisecond, patience: 20 * time.Millisecond}

// mostRows is the size in bytes of the largest answer to a bulk that is waited for as long as it comes. By
// the average sizes of its texts, the limits allow a bulk half of that.
const mostRows = 2 << 20

// distance is how far the node is away. The callers of a near one wait for each other, because
// requests cost more than the wait. Far from it, the wait for the answer to another request would
// be as long as the way. The zero value is that of a near node.
type distance struct {
	places   cluster.Limit // requests that may be under way, however many bulks are among them
	quickest time.Duration // answer to a bulk since; 0 before the first
	since    time.Time
}

const (
	// perPlace is how long a read waits for another one on the way, at most: one request leaves
	// in such a time.
	perPlace = time.Millisecond
	// fewestPlaces and mostPlaces bound distance.places, except those of a near node.
	fewestPlaces = 4
	mostPlaces   = 64
	// distanceHolds is how long the quickest answer counts. Only the quickest tells the way: others
	// have waited in the node as well.
	distanceHolds = 10 * time.Minute
)

// measured learns from an answer to a bulk.
func (d *distance) measured(took time.Duration) {
	if now := time.Now(); d.quickest == 0 || took < d.quickest || now.Sub(d.since) > distanceHolds {
		d.quickest, d.since = took, now
		if most := int(min(took/perPlace, mostPlaces)); most != d.places.Most() {
			d.places = cluster.NewLimit(fewestPlaces, most)
		}
	}
}

// lowered learns from an answer to a read that went by itself. If bulks have shown the way to be longer than it is, it
// may be that no bulk leaves any more, because all reads find places.
func (d *distance) lowered(took time.Duration) {
	if took < d.quickest {
		d.measured(took)
	}
}

// ErrAlone says that a read got no answer, and has to be sent by itself: the request that joined it
// with others failed as a whole, perhaps because of one of those.
var ErrAlone = errors.New("the read has to be sent by itself")

// ErrSlow is [ErrAlone] where one of the reads is slow, as a later request tells, or where one may be.
var ErrSlow = fmt.Errorf("%w: one that went with it was slow", ErrAlone)

// Meter learns what a statement costs. It is safe for concurrent use.
type Meter interface {
	// Measure gets how long the node worked on the statement, 0 if it did not tell, and the size of
	// the answer in bytes. first says that the statement was the first of its request: the node may have
	// had to open a connection for it.
	Measure(took time.Duration, size int, first bool)
	// Doubt says that nobody waited for the answer to end.
	Doubt()
	// Slow says that the statement was slow, or another one that went with it: the node has answered a
	// request that left later much sooner. It does not wait.
	Slow()
}

// End is how a read ended that its caller sent by itself.
type End uint8

// The ends of a read.
const (
	Answered  End = iota // its answer came
	TimedOut             // its time was over
	Cancelled            // its caller no longer wanted it
	Failed               // anything else
)

// pace returns that of a node; "" is one that is not known. The caller holds q.mu.
func (q *Coalescer) pace(node string) *pace {
	if q.cfg.Leader {
		node = ""
	}
	p := q.paces[node]
	if p == nil {
		if p = new(pace); q.paces == nil || len(q.paces) >= mostNodes {
			q.paces = make(map[string]*pace)
		}
		q.paces[node] = p
	}
	return p
}

// long returns how long others wait for a read that went by itself. The caller holds q.mu.
func (q *Coalescer) long() time.Duration {
	long := shortestLimit
	for _, p := range q.paces {
		long = max(long, limitLater*p.typical)
	}
	return long
}

// Ended notes the end of a read that left for a node host:port at such a time, and that its caller sent by itself. It
// reports whether the read was slow, because what left later was answered much sooner, and whether it may have been,
// because its caller gave up after longer than answers usually take. The node is "" if it is not known.
func (q *Coalescer) Ended(node string, begun time.Time, end End) (slow, doubtful bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	took, pace := time.Since(begun), q.pace(node)
	least := doubtAfter
	if end == Answered {
		least = shortestLimit // the answer tells by itself how long the node has worked
	}
	slow = pace.outran(begun, least)
	switch end {
	case Answered:
		q.distance.lowered(took)
		q.distance.places.Ended(false)
		pace.answered(begun, took)
	case TimedOut:
		q.distance.places.Ended(true)
		doubtful = pace.overdue(took)
	case Cancelled:
		doubtful = pace.overdue(took)
	}
	return slow, doubtful
}

// givenUp notes that nobody waits any longer for the answer to a bulk. It reports whether that may be due
// to one of its reads.
func (q *Coalescer) givenUp(b *bulk) (slow bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.distance.places.Ended(true)
	return q.pace(b.node).overdue(b.waited)
}

// leaves notes that an attempt at the bulk leaves for a node. Its answer is waited for as long as none of the
// reads is taken for a slow one. The caller holds q.mu.
func (b *bulk) leaves(node string) {
	b.begun, b.node, b.isLeft = time.Now(), node, false
	switch {
	case !b.q.cfg.Reads || len(b.parts) < 2:
	case b.limit == nil:
		b.limit = time.AfterFunc(shortestLimit, b.look)
	default:
		b.limit.Reset(shortestLimit)
	}
}

// look has the callers send their reads by themselves if one of them is taken for a slow one.
func (b *bulk) look() {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	waited := time.Since(b.begun)
	switch {
	case b.begun.IsZero():
	case b.isLeft && b.answer == nil && b.blame(b.parts...):
	case waited < shortestLimit:
		b.limit.Reset(shortestLimit - waited)
	case !b.isComing() && b.q.pace(b.node).isSlow(b.begun, b.q.tried, b.answer != nil):
		if !b.blame(b.parts...) {
			b.q.tried = time.Now()
			b.cancel(ErrSlow)
		}
	default:
		b.limit.Reset(limitStep)
	}
}

// blame ends the request if one of its reads is slow, and takes those of parts for slow whose callers have given up.
// The others tell by themselves when their callers send them, which they do at once. It reports whether it has ended the
// request. The caller holds q.mu.
func (b *bulk) blame(parts ...*part) bool {
	if !b.q.pace(b.node).outran(b.begun, doubtAfter) {
		return false
	}
	for _, p := range parts {
		if p.gaveUp && p.Meter != nil {
			p.Meter.Slow()
		}
	}
	b.cancel(ErrSlow)
	return true
}

// left notes that the caller of a part has given up. If that is too early to tell whether the part is slow, look does so
// later. The caller holds q.mu.
func (b *bulk) left(p *part) {
	if !b.q.cfg.Reads || b.begun.IsZero() || b.answer != nil { // what has begun to come tells by itself
		return
	}
	if early := doubtAfter + 1 - time.Since(b.begun); early > 0 && !b.isLeft && b.limit != nil {
		b.limit.Reset(early)
	}
	b.isLeft = true
	b.blame(p)
}

// isComing reports whether more of the answer has come since the last look. One that is much larger than it
// should be, or takes very long, does not count: the callers wait for rows that are not theirs. The caller holds
// q.mu.
func (b *bulk) isComing() bool {
	if b.answer == nil {
		return false
	}
	last := b.came
	b.came = b.answer.Came()
	return b.came > last && b.came <= mostRows && time.Since(b.begun) < longestLimit
}

// answers notes that the answer to the attempt begins to come.
func (b *bulk) answers(answer *cluster.Answer) {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	b.answer = answer
}

// answered notes that all of the answer has come.
func (b *bulk) answered() {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	begun := b.begun
	b.ends()
	if !b.q.cfg.Reads {
		return
	}
	b.q.isAt(b.node)
	pace := b.q.pace(b.node)
	b.outran = pace.outran(begun, doubtAfter)
	b.q.distance.measured(b.waited)
	b.q.distance.places.Ended(false)
	pace.answered(begun, b.waited)
}

// isAt notes that a node has answered. If another one leads now, it may be farther away, or nearer. The caller holds
// q.mu.
func (q *Coalescer) isAt(node string) {
	if q.cfg.Leader && q.node != "" && node != q.node {
		q.distance, q.paces = distance{}, nil
	}
	q.node = node
}

// ends notes that an attempt has ended, if one is under way. The caller holds q.mu.
func (b *bulk) ends() {
	if b.begun.IsZero() {
		return
	}
	b.waited = time.Since(b.begun)
	b.begun, b.answer, b.came = time.Time{}, nil, 0
	if b.limit != nil {
		b.limit.Stop()
	}
}

// alone reports whether the failure of joined reads may be due to one of them. Every caller would
// have got any other one by a request of its own.
func alone(err *cluster.Error) bool {
	switch err.Status {
	case http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusTooManyRequests:
		return false
	case http.StatusOK, http.StatusInternalServerError:
		return !err.Stale()
	}
	return err.Outcome == cluster.Unknown || err.Foreign() || err.Status/100 == 4
}

// latest returns the last of the deadlines of parts, zero if one has none.
func latest(parts []*part) (last time.Time) {
	for _, p := range parts {
		if p.Deadline.IsZero() {
			return time.Time{}
		}
		if p.Deadline.After(last) {
			last = p.Deadline
		}
	}
	return last
}

// measure tells the meters of the bulk's parts what their entries cost, which begin at position at. The node does not
// tell how long it has worked on a statement that fails.
func (b *bulk) measure(entries cluster.Entries, at int) {
	for _, p := range b.parts {
		if p.Meter != nil {
			took, size := entries.Cost(at)
			if p.Meter.Measure(took, size, at == 0); took == 0 && b.outran {
				p.Meter.Slow()
			}
		}
		at += p.Entries
	}
}

// doubt tells the meters of parts that nobody waited for the answer.
func doubt(parts []*part) {
	for _, p := range parts {
		if p.Meter != nil {
			p.Meter.Doubt()
		}
	}
}

// Kind is what reads that may go together have in common.
type Kind struct {
	Path   string         // of the request
	Params string         // of the URL, without a deadline
	Leader bool           // only the leader can answer
	Frame  *cluster.Frame // nil for none
}

// Reads has a [Coalescer] for the reads of each [Kind], so that those for a node that does not
// answer do not delay those for others. It is safe for concurrent use.
type Reads struct {
	// cfg never changes. counts guard themselves.
	cfg    Config
	counts *counts

	// lanes are replaced under mu, and read without.
	lanes atomic.Pointer[[]*lane]
	mu    sync.Mutex
}

// lane is the coalescer of a kind.
type lane struct {
	kind Kind
	*Coalescer
}

// mostNodes bounds how many nodes are remembered.
const mostNodes = 64

// mostLanes bounds how many kinds are known. Programs have few.
const mostLanes = 16

// NewReads returns Reads that send nothing yet. Request and Reads of cfg are not used.
func NewReads(cfg Config) *Reads {
	r := &Reads{cfg: cfg, counts: newCounts()}
	r.lanes.Store(new([]*lane))
	return r
}

// Of returns the Coalescer of a kind. It returns nil if there are too many others with requests under way.
func (r *Reads) Of(kind Kind) *Coalescer {
	for _, l := range *r.lanes.Load() {
		if l.kind == kind {
			return l.Coalescer
		}
	}
	return r.add(kind)
}

// add adds the lane of a kind, in place of the oldest that has nothing to do if there are many.
func (r *Reads) add(kind Kind) *Coalescer {
	r.mu.Lock()
	defer r.mu.Unlock()
	lanes := *r.lanes.Load()
	for _, l := range lanes {
		if l.kind == kind {
			return l.Coalescer
		}
	}
	if len(lanes) >= mostLanes {
		idle := slices.IndexFunc(lanes, func(l *lane) bool { return l.retire() })
		if idle < 0 {
			return nil
		}
		lanes = slices.Concat(lanes[:idle], lanes[idle+1:])
	}
	cfg := r.cfg
	cfg.Reads, cfg.Leader = true, kind.Leader
	cfg.Request = func(bool) cluster.Request {
		return cluster.Request{Path: kind.Path, Params: kind.Params, Leader: kind.Leader, Frame: kind.Frame, Bounded: true}
	}
	l := &lane{kind, newCounted(cfg, r.counts)}
	lanes = append(slices.Clone(lanes), l)
	r.lanes.Store(&lanes)
	return l.Coalescer
}

// retire makes a coalescer that has nothing to do take no more reads, and reports whether it had nothing.
func (q *Coalescer) retire() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.retired = len(q.requests.all) == 0 && q.wait() == 0
	return q.retired
}

// Counts returns what all coalescers have done so far.
func (r *Reads) Counts() Counts { return r.counts.all() }
