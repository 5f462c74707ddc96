package cluster

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/go-rqlite/rqlite/internal/wire"
)

const (
	// mostUnderWay is how many requests are under way before writes wait for each
	// other.
	mostUnderWay = 2
	// mostParts and mostBytes bound a bulk request. The server takes some 40 µs for a
	// statement, which all of the bulk wait for.
	mostParts = 512
	mostBytes = 1 << 20
)

// Coalescer joins writes of several callers that are under way at the same time:
// while requests are on their way, those that come wait together and leave as the
// next one. There is no timer, so that a write alone waits for nothing. It is safe
// for concurrent use.
type Coalescer struct {
	client *Client
	path   string
	frame  func(atomic bool) Frame

	mu       sync.Mutex
	underWay int     // requests
	waiting  []*part // in order of arrival; some may have been left
	singly   int     // so many bulks go without a transaction, because one before them failed
	penalty  int     // singly after the next failure
}

// Frame is what a bulk request is sent with.
type Frame struct {
	Params string // URL parameters
	// Before and After are elements of the body in front of the statements and
	// behind them; nil for none.
	Before, After []byte
	// Read reads the entries of Before and After, one for each of them, from the
	// answer. What it makes of them does not concern the callers.
	Read func(*Answer)
}

// NewCoalescer returns a coalescer of requests to a path. For each of them frame
// says how it is sent: atomic is a transaction, of which everything is undone when a
// statement fails; otherwise the statements are independent of each other.
func NewCoalescer(client *Client, path string, frame func(atomic bool) Frame) *Coalescer {
	return &Coalescer{client: client, path: path, frame: frame}
}

// part is the statements of one caller.
type part struct {
	elements   []byte
	entries    int
	statements int

	// The rest is guarded by the coalescer's mu until done is closed.
	bulk   *bulk // nil while it waits for one
	sent   bool  // the server may have got it
	left   bool  // the caller does not wait any more
	done   chan struct{}
	answer *Answer
	err    *Error
}

// Begin reports whether a caller may send its write by itself, at once. It has to
// call End when the answer has come. Otherwise it has to call Join.
func (q *Coalescer) Begin() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.underWay >= mostUnderWay || len(q.waiting) > 0 {
		return false
	}
	q.underWay++
	return true
}

// End lets those go that have come meanwhile.
func (q *Coalescer) End() {
	if parts := q.next(); parts != nil {
		go q.work(parts)
	}
}

// Join sends statements, elements of a request's body separated by commas, together
// with those of other callers, and returns the entries that answer them. An error is
// an [*Error]; it says that nothing was sent where the context, or the client's
// time-out, has ended before that.
func (q *Coalescer) Join(ctx context.Context, elements []byte, entries, statements int) (*Answer, error) {
	p := &part{elements: elements, entries: entries, statements: statements, done: make(chan struct{})}
	q.client.routes.counts.coalesced.Add(1)
	q.mu.Lock()
	q.waiting = append(q.waiting, p)
	if q.underWay < mostUnderWay { // one has ended since Begin
		q.underWay++
		go q.work(q.take())
	}
	q.mu.Unlock()
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
		return withWrite(stopped(why, "", req, false))
	}
	if p.bulk.live--; p.bulk.live == 0 {
		p.bulk.cancel(why) // a node that was too slow for all is looked into
	}
	return withWrite(outOfTime(stopped(why, "", req, p.sent), p.bulk.last))
}

// withWrite marks an error as that of a write.
func withWrite(e *Error) *Error {
	e.Write = true
	return e
}

// take takes the parts of the next bulk out of those that wait. The caller holds q.mu.
func (q *Coalescer) take() []*part {
	var parts []*part
	size, n := 0, 0
	for _, p := range q.waiting {
		if !p.left {
			if len(parts) == mostParts || size+len(p.elements) > mostBytes && len(parts) > 0 {
				break
			}
			size += len(p.elements)
			parts = append(parts, p)
		}
		n++
	}
	q.waiting = append(q.waiting[:0:0], q.waiting[n:]...)
	return parts
}

// next returns the parts of the next bulk, which takes the place of a request that
// has ended, or nil when none wait.
func (q *Coalescer) next() []*part {
	q.mu.Lock()
	defer q.mu.Unlock()
	parts := q.take()
	if parts == nil {
		q.underWay--
	}
	return parts
}

// work sends bulks for as long as parts wait.
func (q *Coalescer) work(parts []*part) {
	for parts != nil {
		atomic := len(parts) > 1 && q.triesAtomic()
		q.send(parts, atomic)
		runtime.Gosched() // those who got their answers may have more to write
		parts = q.next()
	}
}

// triesAtomic reports whether a bulk is to be tried as a transaction, which the
// server commits at once instead of each statement by itself.
func (q *Coalescer) triesAtomic() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.singly > 0 {
		q.singly--
		return false
	}
	return true
}

// mostSingly bounds how many bulks go without a transaction after one has failed.
const mostSingly = 64

// tried takes note of what became of a bulk as a transaction. Where statements fail
// often, the attempts would be in vain.
func (q *Coalescer) tried(worked bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if worked {
		q.penalty = 0
		return
	}
	q.penalty = min(max(2*q.penalty, 1), mostSingly)
	q.singly = q.penalty
}

// bulk is a request of several parts.
type bulk struct {
	q      *Coalescer
	frame  Frame
	parts  []*part
	cancel context.CancelCauseFunc
	live   int    // parts whose callers wait
	last   *Error // of the attempt before; nil if there was none
}

// send sends parts as one request, and gives each its answer. What was refused as
// a whole without effect is taken apart, so that only the guilty part fails.
func (q *Coalescer) send(parts []*part, atomic bool) {
	b := &bulk{q: q, frame: q.frame(atomic), parts: parts}
	err := b.run(atomic)
	switch {
	case err == nil:
		if atomic {
			q.tried(true)
		}
	case atomic && err.undone():
		q.tried(false)
		q.send(parts, false)
	case len(parts) > 1 && err.undone():
		q.send(parts[:len(parts)/2], false)
		q.send(parts[len(parts)/2:], false)
	default:
		b.fail(err)
	}
}

// undone reports whether a bulk failed for a statement's sake, without effect.
func (e *Error) undone() bool {
	switch e.Status {
	case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusInternalServerError:
		return e.Outcome == Refused
	}
	return false
}

// run sends the bulk and hands out its answer. The callers have no error of its
// yet when it returns one.
func (b *bulk) run(atomic bool) *Error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if !b.begin(cancel) {
		return nil // nobody waits
	}
	req := &Request{Path: b.q.path, Params: b.frame.Params, Leader: true, Write: true, bulk: b}
	b.q.client.begin()
	answer, err := b.q.client.send(ctx, req, time.Time{})
	if err == nil {
		defer answer.Close()
		err = b.read(answer, atomic)
	}
	if err != nil {
		b.withdraw(err)
		err.Write = true
	}
	return err
}

// begin takes the parts into the bulk, and reports whether anyone waits for it.
func (b *bulk) begin(cancel context.CancelCauseFunc) bool {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	b.cancel = cancel
	for _, p := range b.parts {
		p.bulk = b
		if !p.left {
			b.live++
		}
	}
	return b.live > 0
}

// compose returns the body of an attempt, and how many statements it has. Who leaves
// from now on does not know what became of its part; who has left before has none.
func (b *bulk) compose() (body []byte, statements int) {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	staying, size := b.parts[:0:0], len(b.frame.Before)+len(b.frame.After)+4
	for _, p := range b.parts {
		if p.left {
			continue
		}
		p.sent = true
		staying = append(staying, p)
		size += len(p.elements) + 1
		statements += p.statements
	}
	b.parts = staying
	body = append(make([]byte, 0, size), '[')
	body = append(body, b.frame.Before...)
	for _, p := range b.parts {
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(body, p.elements...)
	}
	if b.frame.After != nil {
		body = append(append(body, ','), b.frame.After...)
	}
	return append(body, ']'), statements
}

// withdraw takes note of a failed attempt. Unless its outcome is unknown, who leaves
// before the next one knows that nothing was applied.
func (b *bulk) withdraw(err *Error) {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	b.last = err
	for _, p := range b.parts {
		p.sent = p.sent && err.Outcome == Unknown
	}
}

// read reads the answer to its end and hands out the entries.
func (b *bulk) read(answer *Answer, atomic bool) *Error {
	want := 0
	for _, p := range b.parts {
		want += p.entries
	}
	if b.frame.Before != nil {
		want++
	}
	if b.frame.After != nil {
		want++
	}
	entries := make([][]byte, 0, want)
	for range want {
		if _, err := answer.Next(); err != nil {
			return answer.failure(err)
		}
		raw, err := answer.rest()
		if err != nil {
			return answer.failure(err)
		}
		if message := answer.Result().Error; message != "" && atomic {
			return &Error{Outcome: Refused, Status: http.StatusOK, Node: answer.Node, Message: message}
		}
		entries = append(entries, raw)
	}
	if err := answer.End(); err != nil {
		return answer.failure(err)
	}
	b.handOut(answer, entries)
	return nil
}

// handOut gives each part its entries.
func (b *bulk) handOut(answer *Answer, entries [][]byte) {
	guard := &guard{client: b.q.client, node: answer.guard.node, req: answer.req, ctx: context.Background(), cancel: func(error) {}}
	var frame [][]byte
	if b.frame.Before != nil {
		frame, entries = append(frame, entries[0]), entries[1:]
	}
	if b.frame.After != nil {
		frame, entries = append(frame, entries[len(entries)-1]), entries[:len(entries)-1]
	}
	if b.frame.Read != nil && frame != nil {
		a := excerptOf(guard, answer.req, frame)
		b.frame.Read(a)
		a.Close()
	}
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	for _, p := range b.parts {
		p.answer = excerptOf(guard, answer.req, entries[:p.entries])
		entries = entries[p.entries:]
		close(p.done)
	}
}

// fail gives each part the error.
func (b *bulk) fail(err *Error) {
	b.q.client.routes.counts.failures.Add(1)
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	for _, p := range b.parts {
		p.err = err
		close(p.done)
	}
}

// excerptOf returns an answer of some entries of another one.
func excerptOf(guard *guard, req *Request, entries [][]byte) *Answer {
	e := &excerpt{rest: entries}
	return &Answer{Node: guard.node.host, req: req, guard: guard, body: responseBody{ReadCloser: e}, dec: wire.NewDecoder(e)}
}

// excerpt reads as the document of some entries.
type excerpt struct {
	pieces int    // so many have been begun
	piece  []byte // what is left of the current one
	rest   [][]byte
	ended  bool
}

var (
	resultsOpen  = []byte(`{"results":[`)
	resultsNext  = []byte(`,`)
	resultsClose = []byte(`]}`)
)

// Read implements io.Reader.
func (e *excerpt) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(e.piece) == 0 && !e.more() {
			return n, io.EOF
		}
		copied := copy(p[n:], e.piece)
		e.piece, n = e.piece[copied:], n+copied
	}
	return n, nil
}

// more goes to the next piece.
func (e *excerpt) more() bool {
	e.pieces++
	switch {
	case e.pieces == 1:
		e.piece = resultsOpen
	case len(e.rest) > 0 && e.pieces > 2 && e.pieces%2 == 1:
		e.piece = resultsNext
	case len(e.rest) > 0:
		e.piece, e.rest = e.rest[0], e.rest[1:]
	case !e.ended:
		e.ended, e.piece = true, resultsClose
	default:
		return false
	}
	return true
}

// Close implements io.Closer.
func (e *excerpt) Close() error { return nil }
