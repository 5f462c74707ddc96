// Package coalesce joins concurrent statements of several callers, either writes or reads: it sends
// them as one request, and gives each caller the answer to its own. It knows no SQL.
package coalesce

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

const (
	// mostBytes bounds the body of a bulk.
	mostBytes = 1 << 20
)

// limits bound the requests of a Coalescer.
type limits struct {
	underWay int           // requests that may be under way before callers wait for each other
	second   int           // callers that must wait for a further bulk to leave beside one, at least
	even     bool          // bulks that are under way share the callers evenly
	parts    int           // of a bulk: each part waits for all of them
	work     time.Duration // of the node on a bulk, as far as the parts tell; 0 is no bound
	patience time.Duration // of a Config without Patience
}

// Config says what a [Coalescer] sends. Only Client and Request have to be set.
type Config struct {
	// Client sends the requests.
	Client *cluster.Client
	// Request returns each request, without a body. If atomic, the request must be a transaction,
	// which a failing statement rolls back; otherwise its statements must be independent. It is
	// called by several goroutines at once.
	Request func(atomic bool) cluster.Request
	// Once returns an attempt at a bulk of writes, nil if there can be none; then Request is used. It is
	// called by several goroutines at once, and may send requests of its own. Its error is that of the
	// bulk. forwarded says that a node may send the attempt twice. Nil is for reads, and for writes that
	// go by Request.
	Once func(ctx context.Context, forwarded bool) (*Attempt, error)
	// OnceAlone says that a statement that waits alone goes as an attempt as well. Without it, it does so
	// only if others were joined lately.
	OnceAlone bool
	// Logger gets the errors of reading the entries of a request's frame, because they do not
	// concern the callers. Nil discards them.
	Logger *slog.Logger
	// Patience bounds how long statements wait while no request completes: the first of them waits
	// between Patience and twice that. Zero is half a second for writes, and less for reads.
	Patience time.Duration
	// Reads says that the statements only read. Then no request is a transaction, and atomic is
	// false. Several requests with several statements go side by side. See also [ErrAlone].
	Reads bool
	// Leader says that all reads go to the leader.
	Leader bool
}

// Coalescer joins concurrent statements of several callers. While requests are under way, new
// statements wait together, and leave as the next request. One that meets no others does not wait.
// A Coalescer is safe for concurrent use.
type Coalescer struct {
	// cfg and limits never change. counts and writes guard themselves.
	cfg    Config
	limits limits
	counts *counts
	writes writes
	// joint are the requests with several parts that are under way, of all generations. joined is when one
	// ended last, in Unix nanoseconds; 0 for never.
	joint  atomic.Int64
	joined atomic.Int64

	// mu guards all that follows.
	//
	// Invariant: 0 <= bulks <= underWay, stalled <= mostStalled, and no request leaves while
	// underWay >= max(limits.underWay, distance.places.Now()).
	mu       sync.Mutex
	requests requests // without an answer
	taken    int      // parts that were taken, and whose bulk neither has ended nor is outside
	waiting  []*part  // parts that were not taken, in order of arrival
	gone     int      // number of parts in waiting whose callers have given up
	timeouts timeouts

	// The next are for reads. tried is when the reads of a bulk without an answer were given back last, to find out
	// whether one of them is slow. node is the one that answered last.
	tried    time.Time
	node     string
	distance distance
	paces    map[string]*pace // of the nodes; of a leader, with "" as its name
	retired  bool             // another lane has taken its place

	// watch fires look while watching. It is nil before the first part waits. Invariant: watching
	// || no part waits.
	watch    *time.Timer
	watching bool
	moves    int // requests that have ended, plus the times that a write began to wait alone; it only grows
	seen     int // moves when look ran last, or when the watch began
}

// New returns a Coalescer. It sends nothing.
func New(cfg Config) *Coalescer { return newCounted(cfg, newCounts()) }

// newCounted returns a Coalescer that counts in counts.
func newCounted(cfg Config, counts *counts) *Coalescer {
	limits := writeLimits
	if cfg.Reads {
		limits = readLimits
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Patience == 0 {
		cfg.Patience = limits.patience
	}
	q := &Coalescer{cfg: cfg, limits: limits, counts: counts}
	q.requests.outside = &counts.outside
	q.timeouts.fire = q.expire
	return q
}

// counts are the counters of [Counts], and those of all kinds of reads.
type counts struct {
	joined, failures atomic.Uint64
	outside          atomic.Int64 // reads that go by themselves, and that others do not wait for
	// again and farAgain have a value for each read that is sent again after ErrSlow.
	again, farAgain chan struct{}
}

func newCounts() *counts {
	return &counts{again: make(chan struct{}, mostAgain), farAgain: make(chan struct{}, mostFarAgain)}
}

// Counts is what a [Coalescer] has done so far.
type Counts struct {
	Joined   uint64 // calls of Join
	Failures uint64 // requests that failed in the end; [cluster.Counts] does not count them
}

// Counts returns what the coalescer has done so far.
func (q *Coalescer) Counts() Counts { return q.counts.all() }

func (c *counts) all() Counts {
	return Counts{Joined: c.joined.Load(), Failures: c.failures.Load()}
}

// Part is the statement of one caller, and what the driver adds to it.
type Part struct {
	Elements []byte // elements of a request's body, separated by commas
	Entries  int    // number of entries that answer them
	// Apart says that a transaction with others would not be rolled back if the part failed. So it
	// must not be in one.
	Apart bool
	// MinRelease is that of the request; see [cluster.Request.MinRelease].
	MinRelease cluster.Release

	// The rest is for reads alone.

	// Begun is when the caller began to wait; zero is now. The client's timeout counts from then.
	Begun time.Time
	// Deadline is when the caller gives up; zero is never. The node may stop to work then.
	Deadline time.Time
	// Work is how long the node probably works on the statement, and sends the answer.
	Work time.Duration
	// Meter learns what the first entry cost; nil for nobody.
	Meter Meter
}

// part is a Part that waits, or has been sent.
type part struct {
	Part

	// The coalescer's mu guards the rest, until done has a value.
	until  time.Time     // when the client's timeout ends it; zero is never
	taken  bool          // it no longer waits
	bulk   *bulk         // nil before the bulk begins
	sent   bool          // the server may have received it
	gaveUp bool          // the caller has given up, or its timeout has passed
	told   bool          // answer or err is set, and stays; the caller can no longer give up
	done   chan struct{} // gets a value soon after told or late is set; it has room for one
	late   error         // a *cluster.Error if the timeout has passed
	answer *cluster.Answer
	err    error // a *cluster.Error, or ErrAlone
}

// batch is the parts of one request, and its ticket.
type batch struct {
	parts  []*part // nil if the caller sends its statement by itself
	ticket int
}

// Begin reports whether a caller may send its statement by itself, at once. Then it has to call End
// with the ticket when the answer has come. Otherwise it has to call Join. meter is that of a read; nil is for
// nobody.
func (q *Coalescer) Begin(meter Meter) (ticket int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.wait() > 0 || !q.room() || q.retired {
		return 0, false
	}
	return q.depart(0, meter), true
}

// End ends a request that its caller sent by itself. It lets waiting statements leave.
func (q *Coalescer) End(ticket int) {
	if next, ok := q.next(batch{ticket: ticket}); ok {
		go q.work(next)
	}
}

// room reports whether a request may leave. Single statements go side by side, so that two callers
// far from the server do not wait for each other. The caller holds q.mu.
func (q *Coalescer) room() bool {
	r := &q.requests
	if r.underWay == 0 || r.underWay < q.distance.places.Now() {
		return true
	}
	return r.underWay < q.limits.underWay && (r.bulks == 0 || q.wait() >= q.second())
}

// second returns how many parts must wait for a further bulk to leave beside others. The caller holds
// q.mu.
func (q *Coalescer) second() int {
	if !q.limits.even {
		return q.limits.second
	}
	return max(q.limits.second, q.callers()/q.sharers())
}

// most returns how many parts a bulk may have. Far from the node it takes all that wait, because they
// have waited for long. The caller holds q.mu.
func (q *Coalescer) most() int {
	if !q.limits.even || q.far() {
		return q.limits.parts
	}
	return min(q.limits.parts, q.second())
}

// far reports whether the node is so far away that more requests than usual may be under way. The caller
// holds q.mu.
func (q *Coalescer) far() bool { return q.distance.places.Most() > q.limits.underWay }

// callers returns how many callers wait or have parts under way. The caller holds q.mu.
func (q *Coalescer) callers() int { return q.wait() + q.taken }

// sharers returns how many bulks share the callers. Each further one costs the node a request more, and
// gains less than the one before. So it needs larger shares. The caller holds q.mu.
func (q *Coalescer) sharers() int {
	n := q.limits.underWay
	for n > 1 && q.callers() < n*(n-1)*q.limits.second {
		n--
	}
	return n
}

// wait returns how many parts wait. The caller holds q.mu.
func (q *Coalescer) wait() int { return len(q.waiting) - q.gone }

// depart notes a request of so many parts that leaves. meter is that of the only part. The caller holds q.mu.
func (q *Coalescer) depart(parts int, meter Meter) (ticket int) {
	if parts > 1 {
		q.joint.Add(1)
	}
	return q.requests.add(time.Now(), parts, meter)
}

// JoinedLately reports whether a request with statements of several callers is under way, or has ended
// within the last second. A statement that goes alone now just happens to meet no others.
func (q *Coalescer) JoinedLately() bool {
	return q.joint.Load() > 0 || time.Since(time.Unix(0, q.joined.Load())) < time.Second
}

// Join sends a caller's statement together with those of others, and returns the entries that
// answer it. An error is a [*cluster.Error], or [ErrAlone]. It says that nothing was sent if the
// context, or the client's timeout, has ended before that.
func (q *Coalescer) Join(ctx context.Context, statement Part) (*cluster.Answer, error) {
	p := &part{Part: statement, until: q.cfg.Client.Until(ctx, statement.Begun), done: make(chan struct{}, 1)}
	if !q.queue(p) {
		return nil, ErrAlone
	}
	if why := cluster.Wait(ctx, p.done); why != nil {
		return q.giveUp(p, why)
	}
	return p.outcome()
}

// queue makes a part wait, or leave at once. It returns false if the coalescer is retired.
func (q *Coalescer) queue(p *part) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.retired {
		return false
	}
	if q.wait() == 0 && !q.cfg.Reads { // a read that leaves too early does no harm
		q.moves++
	}
	q.waiting = append(q.waiting, p)
	q.timeouts.await(p)
	q.counts.joined.Add(1)
	if q.room() { // a request has ended since Begin, or many wait
		go q.work(q.take())
	} else {
		q.keepWatch()
	}
	return true
}

// tell notes that parts have got their answers or errors.
func (q *Coalescer) tell(parts []*part) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range parts {
		q.tellOne(p)
	}
}

// tellOne notes that a part has got its answer or error, unless its caller has given up. The caller holds q.mu.
func (q *Coalescer) tellOne(p *part) {
	if !p.gaveUp {
		p.told = true
		q.timeouts.ended(p)
	}
}

// outcome returns what a part got. told or late must be set.
func (p *part) outcome() (*cluster.Answer, error) {
	switch {
	case p.late != nil:
		return nil, p.late
	case p.err != nil:
		return nil, p.err
	}
	return p.answer, nil
}

// giveUp ends the wait of a part's caller, unless its answer has come.
func (q *Coalescer) giveUp(p *part, why error) (*cluster.Answer, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.isOver() {
		return p.outcome()
	}
	return nil, q.takeOut(p, why)
}

// takeOut takes a part out that is not over, and returns its error. The caller holds q.mu.
func (q *Coalescer) takeOut(p *part, why error) *cluster.Error {
	p.gaveUp = true
	q.timeouts.ended(p)
	if p.bulk == nil {
		if !p.taken {
			q.forget(p)
		}
		return q.waitedError(why)
	}
	if p.bulk.live--; p.bulk.live == 0 {
		p.bulk.cancel(why) // the node was too slow for all: find out whether it hangs
	}
	p.bulk.left(p)
	return q.sentError(why, p.sent, p.bulk.last)
}

// waitedError is the error of a caller that gives up before its statement is part of a bulk.
func (q *Coalescer) waitedError(why error) *cluster.Error {
	return cluster.GaveUp(why, !q.cfg.Reads, false, "the writes under way; nothing was sent", nil)
}

// sentError is the error of a caller that gives up while a bulk with its statement is under way.
// last is the failure of the bulk's attempt before, or nil.
func (q *Coalescer) sentError(why error, sent bool, last *cluster.Error) *cluster.Error {
	return cluster.GaveUp(why, !q.cfg.Reads, sent, "another attempt; nothing was applied", last)
}

// forget frees the memory of a part whose caller gave up while it waited. The caller holds q.mu.
func (q *Coalescer) forget(p *part) {
	p.Elements = nil
	if q.gone++; 2*q.gone > len(q.waiting) { // so that each costs the same, however many there are
		q.waiting = slices.DeleteFunc(q.waiting, func(p *part) bool { return p.gaveUp })
		q.gone = 0
	}
}

// take takes the parts of the next request out of waiting, which must not be empty. The caller
// holds q.mu.
func (q *Coalescer) take() batch {
	most := q.most()
	parts := make([]*part, 0, min(q.wait(), most))
	size, n, work := 0, 0, time.Duration(0)
	for ; n < len(q.waiting) && len(parts) < most; n++ {
		p := q.waiting[n]
		if p.gaveUp {
			q.gone--
			continue
		}
		size, work = size+len(p.Elements), work+p.Work
		if len(parts) > 0 && (size > mostBytes || q.limits.work > 0 && work > q.limits.work) {
			break
		}
		p.taken = true
		parts = append(parts, p)
	}
	q.waiting = slices.Delete(q.waiting, 0, n)
	q.taken += len(parts)
	return batch{parts, q.depart(len(parts), parts[0].Meter)}
}

// next returns the request that takes the place of one that has ended, if one leaves now. If there is
// room for further ones, it lets these leave, too.
func (q *Coalescer) next(last batch) (next batch, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.moves++
	if len(last.parts) > 1 {
		q.joined.Store(time.Now().UnixNano())
		q.joint.Add(-1)
	}
	q.requests.remove(last.ticket)
	if q.wait() == 0 || !q.room() {
		return batch{}, false
	}
	next = q.take()
	q.sendWaiting()
	return next, true
}

// sendWaiting lets parts that wait leave while there is room. The caller holds q.mu.
func (q *Coalescer) sendWaiting() {
	for q.wait() > 0 && q.room() {
		go q.work(q.take())
	}
}

// keepWatch starts the watch over parts that wait. The caller holds q.mu.
func (q *Coalescer) keepWatch() {
	if q.watching {
		return
	}
	q.watching, q.seen = true, q.moves
	if q.watch == nil {
		q.watch = time.AfterFunc(q.cfg.Patience, q.look)
		return
	}
	q.watch.Reset(q.cfg.Patience)
}

// look lets waiting parts leave without regard to the requests under way, if none of those has
// ended since the last look, and the parts have waited since then. A connection that hangs must
// not delay statements that can use another. Nor must reads that take long.
func (q *Coalescer) look() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.wait() == 0 {
		q.watching = false
		return
	}
	if q.cfg.Reads {
		q.letOut()
		q.sendWaiting()
	}
	if q.wait() > 0 && q.moves == q.seen && q.requests.stall() {
		go q.work(q.take())
	}
	q.seen = q.moves
	q.watch.Reset(q.cfg.Patience)
}

// work sends bulks while parts wait.
func (q *Coalescer) work(d batch) {
	for ok := true; ok; {
		q.sendAny(d.parts)
		if q.ended(d) {
			q.gather(len(d.parts))
		}
		d, ok = q.next(d)
	}
}

// ended notes that the callers of a bulk have got their answers. It reports whether the next bulk has to wait for
// them. Near the node it need not where another one is under way, behind which it can leave.
func (q *Coalescer) ended(last batch) (gathers bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.requests.end(last.ticket) {
		q.taken -= len(last.parts)
	}
	return !q.limits.even || q.far() || q.requests.underWay == 1
}

// sendAny sends parts in the form that suits them.
func (q *Coalescer) sendAny(parts []*part) {
	switch {
	case q.cfg.Reads:
		q.send(parts, false)
	case !q.once(parts):
		q.send(parts, q.writes.atomic(parts, q.cfg.Client.Forwarding()))
	}
}

// gather waits for the callers that got their answers from a bulk of n parts, because they may have
// more to send. It ends when as many parts wait again, or no more come: for a tenth of a
// millisecond, or although all other goroutines have had many turns, which says the same where they
// are idle. One more request costs the server more time than the callers need to come back: three
// nodes took 1.2 times as many writes of 64, and of 256, goroutines.
func (q *Coalescer) gather(n int) {
	const (
		longest = time.Millisecond
		quiet   = 100 * time.Microsecond
		turns   = 500
	)
	if n == 1 {
		return
	}
	begin := time.Now()
	waiting, came := q.countWaiting(), begin
	all := min(waiting+n, q.limits.parts)
	for idle := 0; idle < turns; idle++ {
		runtime.Gosched()
		now := time.Now()
		if count := q.countWaiting(); count > waiting {
			waiting, came, idle = count, now, 0
		}
		if waiting >= all || now.Sub(came) > quiet || now.Sub(begin) > longest {
			return
		}
	}
}

func (q *Coalescer) countWaiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wait()
}
