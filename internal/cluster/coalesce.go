package cluster

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// mostUnderWay is how many requests are under way at most before writes wait for each
	// other.
	mostUnderWay = 2
	// secondBulkThreshold is how many writes have to wait for a second bulk to leave while one is under
	// way. Fewer are better off with the next: the server takes its time for each request.
	secondBulkThreshold = 256
	// mostParts and mostBytes bound a bulk request. The server takes some 40 µs for a
	// statement, which all of the bulk wait for.
	mostParts = 512
	mostBytes = 1 << 20
	// mostStalled is how many requests may be stuck before writes wait for them all the same.
	mostStalled = 8
)

// Coalescer joins writes of several callers that are under way at the same time:
// while requests are on their way, those that come wait together and leave as the
// next one. A write that meets no others waits for nothing. It is safe for concurrent
// use.
type Coalescer struct {
	// Patience is how long writes wait at least, and half as long as they wait at most, while
	// no request ends. Set it before the first.
	Patience time.Duration

	client *Client
	bulk   func(atomic bool) Request

	mu            sync.Mutex
	generation    int     // of the requests under way that others wait for
	underWay      int     // these requests
	bulks         int     // those of them that are of several parts
	stalled       int     // requests of eras before
	waiting       []*part // in order of arrival; some may have been left
	gone          int     // so many have
	nonAtomicLeft int     // so many bulks go without a transaction, because one before them failed
	penalty       int     // singly after the next failure

	watch    *time.Timer // runs while writes wait; nil before any did
	watching bool
	moves    int // requests that have ended, and times that a first write came to wait
	seen     int // of them, when the watch looked last
}

// NewCoalescer returns a coalescer of writes. For each request that it sends, bulk returns the path,
// the parameters and the frame: atomic is a transaction, of which everything is undone when a
// statement fails; otherwise the statements are independent of each other. An error in reading the
// frame's entries goes to the log: it does not concern the callers.
func NewCoalescer(client *Client, bulk func(atomic bool) Request) *Coalescer {
	return &Coalescer{Patience: patience, client: client, bulk: bulk}
}

// Part is the statement of one caller, and what the driver adds to it.
type Part struct {
	Elements []byte // of a request's body, separated by commas
	Entries  int    // that answer them
	// Apart says that the part must not be in a transaction with others, for it would not be
	// rolled back if it failed.
	Apart bool
	// MinRelease is that of the request; see [Request.MinRelease].
	MinRelease Release
}

// part is one that waits, or has been sent.
type part struct {
	Part

	// The rest is guarded by the coalescer's mu until done is closed.
	taken  bool  // it does not wait any more
	bulk   *bulk // nil before that begins
	sent   bool  // the server may have got it
	left   bool  // the caller does not wait any more
	done   chan struct{}
	answer *Answer
	err    *Error
}

// batch is a request that leaves, or has left.
type batch struct {
	parts      []*part // none if its caller sends it by itself
	generation int
}

// Begin reports whether a caller may send its write by itself, at once. It has to
// call End with the era when the answer has come. Otherwise it has to call Join.
func (q *Coalescer) Begin() (era int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.wait() > 0 || !q.room() {
		return 0, false
	}
	q.depart(1)
	return q.generation, true
}

// End lets those go that have come meanwhile.
func (q *Coalescer) End(era int) {
	if next, ok := q.next(batch{generation: era}); ok {
		go q.work(next)
	}
}

// room reports whether a request may leave. Single writes go side by side, so that
// two writers far away from the server do not wait for each other. The caller holds q.mu.
func (q *Coalescer) room() bool {
	return q.underWay == 0 || q.underWay < mostUnderWay && (q.bulks == 0 || q.wait() >= secondBulkThreshold)
}

// wait returns how many writes wait. The caller holds q.mu.
func (q *Coalescer) wait() int { return len(q.waiting) - q.gone }

// depart takes note of a request of so many parts that leaves. The caller holds q.mu.
func (q *Coalescer) depart(parts int) {
	q.underWay++
	if parts > 1 {
		q.bulks++
	}
}

// Join sends a caller's statement together with those of others, and returns the entries
// that answer it. An error is an [*Error]; it says that nothing
// was sent where the context, or the client's time-out, has ended before that.
func (q *Coalescer) Join(ctx context.Context, statement Part) (*Answer, error) {
	p := &part{Part: statement, done: make(chan struct{})}
	q.queue(p)
	var timedOut <-chan time.Time
	if until := q.client.until(ctx); !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		timedOut = timer.C
	}
	var err *Error
	select {
	case <-p.done:
		err = p.err
	case <-ctx.Done():
		err = q.leave(p, cause(ctx))
	case <-timedOut:
		err = q.leave(p, q.client.timedOut())
	}
	if err != nil {
		return nil, err
	}
	return p.answer, nil
}

// queue makes a part wait, or leave at once.
func (q *Coalescer) queue(p *part) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.wait() == 0 {
		q.moves++
	}
	q.waiting = append(q.waiting, p)
	q.client.routes.counts.coalesced.Add(1)
	if q.room() { // one has ended since Begin, or there is a crowd
		go q.work(q.take())
	} else {
		q.keepWatch()
	}
}

// leave takes a caller out, unless its answer has come.
func (q *Coalescer) leave(p *part, why error) *Error {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-p.done:
		return p.err
	default:
	}
	p.left = true
	req := &Request{Write: true}
	if p.bulk == nil {
		if !p.taken {
			q.forget(p)
		}
		return withWrite(stopped(why, "", req, false).waited(req, "the writes under way; nothing was sent"))
	}
	if p.bulk.live--; p.bulk.live == 0 {
		p.bulk.cancel(why) // a node that was too slow for all is looked into
	}
	err := stopped(why, "", req, p.sent)
	if !p.sent {
		err.setWaited(req, "another attempt; nothing was applied")
	}
	return withWrite(outOfTime(err, p.bulk.last))
}

// forget frees what a part takes that was left while it waits. The caller holds q.mu.
func (q *Coalescer) forget(p *part) {
	p.Elements = nil
	if q.gone++; 2*q.gone > len(q.waiting) { // so that each costs the same, however many they are
		q.waiting = slices.DeleteFunc(q.waiting, func(p *part) bool { return p.left })
		q.gone = 0
	}
}

// withWrite marks an error as that of a write.
func withWrite(e *Error) *Error {
	e.Write = true
	return e
}

// take takes the parts of the next request out of those that wait, of which there are
// some. The caller holds q.mu.
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

// next returns the request that takes the place of one that has ended, if any
// leaves now.
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

// keepWatch looks from time to time whether writes wait for requests that are stuck. The
// caller holds q.mu.
func (q *Coalescer) keepWatch() {
	if q.watching {
		return
	}
	q.watching, q.seen = true, q.moves
	if q.watch == nil {
		q.watch = time.AfterFunc(q.Patience, q.look)
		return
	}
	q.watch.Reset(q.Patience)
}

// look lets those that wait go on without the requests under way, if none has ended since
// the last time, and they wait since before that: a connection that hangs must not hold up
// what can go by another.
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
	q.watch.Reset(q.Patience)
}

// work sends bulks for as long as parts wait.
func (q *Coalescer) work(d batch) {
	for ok := true; ok; {
		n := len(d.parts)
		q.send(d.parts, n > 1 && !q.client.routes.forwarding() && canBeUndone(d.parts) && q.triesAtomic())
		q.gather(n)
		d, ok = q.next(d)
	}
}

// canBeUndone reports whether a transaction of the parts is rolled back whichever of them fails.
func canBeUndone(parts []*part) bool {
	return !slices.ContainsFunc(parts, func(p *part) bool { return p.Apart })
}

// gather lets those run who got their answers from a bulk of n parts, for they may have more
// to write, until all of them wait again or no more come. The server takes longer for one more
// request than they take to come back: three nodes took 1.2 times as many writes of 64, and
// of 256, goroutines.
func (q *Coalescer) gather(n int) {
	const (
		longest = time.Millisecond
		quiet   = 100 * time.Microsecond
		yields  = 10_000 // no more than fit in, but for tests in which time stands still
	)
	if n == 1 {
		return
	}
	begin := time.Now()
	before := q.countWaiting()
	all, came := min(before+n, mostParts), begin
	for range yields {
		runtime.Gosched()
		waiting, now := q.countWaiting(), time.Now()
		if waiting > before {
			before, came = waiting, now
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

// triesAtomic reports whether a bulk is to be tried as a transaction, which the
// server commits at once instead of each statement by itself.
func (q *Coalescer) triesAtomic() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.nonAtomicLeft > 0 {
		q.nonAtomicLeft--
		return false
	}
	return true
}

// mostNonAtomic bounds how many bulks go without a transaction after one has failed.
const mostNonAtomic = 64

// tried takes note of what became of a bulk as a transaction. Where statements fail
// often, the attempts would be in vain.
func (q *Coalescer) tried(worked bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if worked {
		q.penalty = 0
		return
	}
	q.penalty = min(max(2*q.penalty, 1), mostNonAtomic)
	q.nonAtomicLeft = q.penalty
}
