// Package coalesce joins concurrent writes of several callers: it sends their statements as one
// request, and gives each caller the answer to its own. It knows no SQL.
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
	// mostUnderWay is how many requests may be under way before writes wait for each other.
	mostUnderWay = 2
	// secondBulkThreshold is how many writes must wait for a second bulk to leave while one is
	// under way. Fewer are better off with the next bulk, because each request takes the server
	// time.
	secondBulkThreshold = 256
	// mostParts and mostBytes bound a bulk. The server takes about 40 µs per statement, and each
	// part waits for all of the bulk.
	mostParts = 512
	mostBytes = 1 << 20
	// mostStalled is how many requests may be stalled before writes wait for them all the same.
	mostStalled = 8
	// patience is how long a [Config] without Patience has.
	patience = 500 * time.Millisecond
)

// Config says what a [Coalescer] sends. Only Client and Request have to be set.
type Config struct {
	// Client sends the requests.
	Client *cluster.Client
	// Request returns each request, without a body. If atomic, the request must be a transaction,
	// which a failing statement rolls back; otherwise its statements must be independent. It is
	// called by several goroutines at once.
	Request func(atomic bool) cluster.Request
	// Logger gets the errors of reading the entries of a request's frame, because they do not
	// concern the callers. Nil discards them.
	Logger *slog.Logger
	// Patience bounds how long writes wait while no request completes: the first of them waits
	// between Patience and twice that. Zero is half a second.
	Patience time.Duration
}

// Coalescer joins concurrent writes of several callers. While requests are under way, new writes
// wait together, and leave as the next request. A write that meets no others does not wait. A
// Coalescer is safe for concurrent use.
type Coalescer struct {
	// cfg never changes. counts and writes guard themselves.
	cfg    Config
	counts struct{ joined, failures atomic.Uint64 }
	writes writes

	// mu guards all that follows.
	//
	// Invariant: 0 <= bulks <= underWay <= mostUnderWay, stalled <= mostStalled.
	mu         sync.Mutex
	generation int     // grows when look gives up on the requests under way
	underWay   int     // requests of this generation without an answer
	bulks      int     // those of them that have several parts
	stalled    int     // requests of earlier generations without an answer
	waiting    []*part // parts that were not taken, in order of arrival; gone of them have left
	gone       int     // number of parts in waiting whose callers have left

	// watch fires look while watching. It is nil before the first write waits. Invariant: watching
	// || no write waits.
	watch    *time.Timer
	watching bool
	moves    int // requests that have ended, plus the times that a write began to wait alone; it only grows
	seen     int // moves when look ran last, or when the watch began
}

// New returns a Coalescer. It sends nothing.
func New(cfg Config) *Coalescer {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Patience == 0 {
		cfg.Patience = patience
	}
	return &Coalescer{cfg: cfg}
}

// Counts is what a [Coalescer] has done so far.
type Counts struct {
	Joined   uint64 // calls of Join
	Failures uint64 // requests that failed in the end; [cluster.Counts] does not count them
}

// Counts returns what the coalescer has done so far.
func (q *Coalescer) Counts() Counts {
	return Counts{Joined: q.counts.joined.Load(), Failures: q.counts.failures.Load()}
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
}

// part is a Part that waits, or has been sent.
type part struct {
	Part

	// The coalescer's mu guards the rest, until done is closed.
	taken  bool          // it no longer waits
	bulk   *bulk         // nil before the bulk begins
	sent   bool          // the server may have received it
	left   bool          // the caller has given up
	done   chan struct{} // closed when answer or err is set, unless the caller has left before
	answer *cluster.Answer
	err    *cluster.Error
}

// batch is the parts of one request, and its generation.
type batch struct {
	parts      []*part // nil if the caller sends its write by itself
	generation int
}

// Begin reports whether a caller may send its write by itself, at once. Then it has to call End
// with the generation when the answer has come. Otherwise it has to call Join.
func (q *Coalescer) Begin() (generation int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.wait() > 0 || !q.room() {
		return 0, false
	}
	q.depart(1)
	return q.generation, true
}

// End ends a write that its caller sent by itself. It lets waiting writes leave.
func (q *Coalescer) End(generation int) {
	if next, ok := q.next(batch{generation: generation}); ok {
		go q.work(next)
	}
}

// room reports whether a request may leave. Single writes go side by side, so that two writers far
// from the server do not wait for each other. The caller holds q.mu.
func (q *Coalescer) room() bool {
	return q.underWay == 0 || q.underWay < mostUnderWay && (q.bulks == 0 || q.wait() >= secondBulkThreshold)
}

// wait returns how many writes wait. The caller holds q.mu.
func (q *Coalescer) wait() int { return len(q.waiting) - q.gone }

// depart counts a request of so many parts that leaves. The caller holds q.mu.
func (q *Coalescer) depart(parts int) {
	q.underWay++
	if parts > 1 {
		q.bulks++
	}
}

// Join sends a caller's statement together with those of others, and returns the entries that
// answer it. An error is a [*cluster.Error]. It says that nothing was sent if the context, or the client's
// timeout, has ended before that.
func (q *Coalescer) Join(ctx context.Context, statement Part) (*cluster.Answer, error) {
	p := &part{Part: statement, done: make(chan struct{})}
	q.queue(p)
	if why := q.cfg.Client.Wait(ctx, p.done); why != nil {
		return q.leave(p, why)
	}
	return p.outcome()
}

// queue makes a part wait, or leave at once.
func (q *Coalescer) queue(p *part) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.wait() == 0 {
		q.moves++
	}
	q.waiting = append(q.waiting, p)
	q.counts.joined.Add(1)
	if q.room() { // a request has ended since Begin, or many writes wait
		go q.work(q.take())
	} else {
		q.keepWatch()
	}
}

// outcome returns what a part got. done must be closed.
func (p *part) outcome() (*cluster.Answer, error) {
	if p.err != nil {
		return nil, p.err
	}
	return p.answer, nil
}

// leave takes a caller out, unless its answer has come.
func (q *Coalescer) leave(p *part, why error) (*cluster.Answer, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-p.done:
		return p.outcome()
	default:
	}
	p.left = true
	if p.bulk == nil {
		if !p.taken {
			q.forget(p)
		}
		return nil, leftWaiting(why)
	}
	if p.bulk.live--; p.bulk.live == 0 {
		p.bulk.cancel(why) // the node was too slow for all: find out whether it hangs
	}
	return nil, leftBulk(why, p.sent, p.bulk.last)
}

// forget frees the memory of a part whose caller left while it waited. The caller holds q.mu.
func (q *Coalescer) forget(p *part) {
	p.Elements = nil
	if q.gone++; 2*q.gone > len(q.waiting) { // so that each costs the same, however many there are
		q.waiting = slices.DeleteFunc(q.waiting, func(p *part) bool { return p.left })
		q.gone = 0
	}
}

// take takes the parts of the next request out of waiting, which must not be empty. The caller
// holds q.mu.
func (q *Coalescer) take() batch {
	parts := make([]*part, 0, min(q.wait(), mostParts))
	size, n := 0, 0
	for ; n < len(q.waiting) && len(parts) < mostParts; n++ {
		p := q.waiting[n]
		if p.left {
			q.gone--
			continue
		}
		if size += len(p.Elements); size > mostBytes && len(parts) > 0 {
			break
		}
		p.taken = true
		parts = append(parts, p)
	}
	q.waiting = slices.Delete(q.waiting, 0, n)
	q.depart(len(parts))
	return batch{parts, q.generation}
}

// next returns the request that takes the place of one that has ended, if one leaves now.
func (q *Coalescer) next(last batch) (next batch, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.moves++
	switch {
	case last.generation != q.generation:
		q.stalled--
	case len(last.parts) > 1:
		q.bulks--
		fallthrough
	default:
		q.underWay--
	}
	if q.wait() == 0 || !q.room() {
		return batch{}, false
	}
	return q.take(), true
}

// keepWatch starts the watch over writes that wait. The caller holds q.mu.
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

// look lets waiting writes leave without regard to the requests under way, if none of those has
// ended since the last look, and the writes have waited since then. A connection that hangs must
// not delay writes that can use another.
func (q *Coalescer) look() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.wait() == 0 {
		q.watching = false
		return
	}
	if q.moves == q.seen && q.stalled+q.underWay <= mostStalled {
		q.generation++
		q.stalled += q.underWay
		q.underWay, q.bulks = 0, 0
		go q.work(q.take())
	}
	q.seen = q.moves
	q.watch.Reset(q.cfg.Patience)
}

// work sends bulks while parts wait.
func (q *Coalescer) work(d batch) {
	for ok := true; ok; {
		n := len(d.parts)
		q.send(d.parts, q.writes.atomic(d.parts, q.cfg.Client.Forwarding()))
		q.gather(n)
		d, ok = q.next(d)
	}
}

// gather waits for the callers that got their answers from a bulk of n parts, because they may have
// more to write. It ends when as many writes wait again, or no more come: for a tenth of a
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
	all := min(waiting+n, mostParts)
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
