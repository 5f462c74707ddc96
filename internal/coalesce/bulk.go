package coalesce

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// bulk is a request of several parts. One goroutine sends it. q.mu guards the fields that the
// callers of the parts use.
type bulk struct {
	// q never changes. sends sets frame, and req without Body and Statements, before each exchange.
	// Compose returns the body of each attempt.
	q     *Coalescer
	req   cluster.Request // without the body and the frame
	frame *cluster.Frame  // nil for none
	// parts are those whose callers still wait at the last attempt. Only Compose changes them,
	// under q.mu.
	parts []*part
	// cancel ends the request. begin sets it, and takeOut calls it when live becomes 0.
	cancel context.CancelCauseFunc
	live   int            // parts whose callers wait, from begin on; guarded by q.mu
	last   *cluster.Error // of the last failed attempt that was no redirect, or nil; Withdraw sets it under q.mu
	// begun is when the attempt left that is under way, and node where it went; zero if none is. answer is nil until it begins to come,
	// and came is how much of it had come at the last look. waited is how long the last attempt was. limit fires
	// look for reads, or is nil. q.mu guards them.
	begun  time.Time
	node   string
	answer *cluster.Answer
	came   int64
	waited time.Duration
	// isLeft says that a caller has given up since begun.
	isLeft bool
	// outran says that the node answered a request that left later much sooner.
	outran bool
	limit  *time.Timer
}

// send sends parts as one request, and gives each its answer. If the server refused all of it
// without effect, send splits the parts, so that only the guilty one fails.
func (q *Coalescer) send(parts []*part, atomic bool) {
	b := &bulk{q: q, parts: parts}
	b.sends(q.cfg.Request(atomic))
	err := b.run(atomic)
	switch {
	case err == nil:
	case q.cfg.Reads && errors.Is(err.Err, ErrSlow):
		b.end(ErrSlow)
	case q.cfg.Reads && alone(err):
		b.giveBack()
	case q.cfg.Reads:
		b.fail(err)
	case atomic && undone(err):
		q.writes.triedAtomic(false)
		q.send(parts, false)
	case len(parts) > 1 && undone(err):
		q.send(parts[:len(parts)/2], false)
		q.send(parts[len(parts)/2:], false)
	default:
		b.fail(err)
	}
}

// undone reports whether a bulk failed because of a statement, without effect.
func undone(err *cluster.Error) bool {
	switch err.Status {
	case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusInternalServerError:
		return err.Outcome == cluster.Refused
	}
	return false
}

// run sends the bulk and hands out its answer. If it returns an error, the callers have not been
// told.
func (b *bulk) run(atomic bool) *cluster.Error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if !b.begin(cancel) {
		return nil // nobody waits
	}
	if b.q.cfg.Reads {
		b.req.Params = cluster.WithDeadline(b.req.Params, latest(b.parts))
	}
	err := b.exchange(ctx, atomic)
	switch {
	case err != nil:
		if atomic {
			doubtAtomic(err)
		}
		b.Withdraw(err)
		if ctx.Err() != nil && b.q.givenUp(b) {
			doubt(b.parts)
		}
	case atomic:
		b.q.writes.triedAtomic(true)
	}
	return err
}

// sends sets the request of the bulk, without its body.
func (b *bulk) sends(req cluster.Request) {
	for _, p := range b.parts {
		req.MinRelease = max(req.MinRelease, p.MinRelease)
	}
	b.frame, req.Frame = req.Frame, nil
	b.req = req
}

// exchange sends the request, and hands out its answer.
func (b *bulk) exchange(ctx context.Context, atomic bool) *cluster.Error {
	answer, err := b.q.cfg.Client.SendJoint(ctx, &b.req, b)
	if err != nil {
		return err
	}
	defer answer.Close()
	b.answers(answer)
	return b.read(answer, atomic)
}

// begin puts the parts into the bulk, and reports whether any caller waits for it.
func (b *bulk) begin(cancel context.CancelCauseFunc) bool {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	b.cancel = cancel
	for _, p := range b.parts {
		p.bulk = b
		if !p.gaveUp {
			b.live++
		}
	}
	return b.live > 0
}

// Compose implements [cluster.Joint]. Callers that gave up earlier are left out; later ones get an
// unknown outcome.
func (b *bulk) Compose(node string) (body []byte, statements int) {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	staying, size := b.parts[:0:0], 0
	for _, p := range b.parts {
		if p.gaveUp {
			continue
		}
		p.sent = true
		staying = append(staying, p)
		size += len(p.Elements) + 1
	}
	b.parts = staying
	body = b.frame.Open(size)
	for i, p := range b.parts {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, p.Elements...)
	}
	b.leaves(node)
	return b.frame.Close(body), len(b.parts)
}

// Withdraw implements [cluster.Joint]. It records a failed attempt. If that had no effect, callers
// that give up before the next attempt learn that nothing was applied. Reads are not sent together again
// if the connection broke, or a proxy answered, because one of them may be the reason.
func (b *bulk) Withdraw(err *cluster.Error) (again bool) {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	b.ends()
	if !err.Redirected() {
		b.last = err
	}
	if err.Outcome == cluster.Refused || err.Outcome == cluster.Repeat {
		for _, p := range b.parts {
			p.sent = false
		}
	}
	return !b.q.cfg.Reads || len(b.parts) == 1 || err.Outcome != cluster.Unknown && !err.Foreign()
}

// read reads the answer to its end and hands out the entries.
func (b *bulk) read(answer *cluster.Answer, atomic bool) *cluster.Error {
	want := 0
	for _, p := range b.parts {
		want += p.Entries
	}
	if f := b.frame; f != nil {
		want += f.Before.Count + f.After.Count
	}
	entries, err := answer.Split(want, atomic)
	if err != nil {
		return err
	}
	b.answered()
	b.handOut(entries, want)
	return nil
}

// handOut gives each part its entries, of n in all.
func (b *bulk) handOut(entries cluster.Entries, n int) {
	at := 0
	if f := b.frame; f != nil {
		at = f.Before.Count
		ok := b.readFrame(&f.Before, entries.Answer(0, at))
		if ok = b.readFrame(&f.After, entries.Answer(n-f.After.Count, n)) && ok; !ok && b.q.cfg.Reads {
			b.giveBack()
			return
		}
	}
	b.measure(entries, at)
	for _, p := range b.parts {
		p.answer = entries.Answer(at, at+p.Entries)
		at += p.Entries
	}
	b.tell()
}

// tell lets the callers have their answers or errors.
func (b *bulk) tell() {
	b.q.tell(b.parts)
	for _, p := range b.parts { // without the lock, which they take next
		if p.told {
			p.done <- struct{}{}
		}
	}
}

// readFrame reads the entries of one side of the frame, and reports whether that worked. A failure
// goes to the log.
func (b *bulk) readFrame(elements *cluster.Elements, entries *cluster.Answer) bool {
	defer entries.Close()
	if elements.Read == nil {
		return true
	}
	err := elements.Read(entries)
	if err != nil {
		b.q.cfg.Logger.Warn("rqlite: what the driver sends around statements failed", "error", err)
	}
	return err == nil
}

// fail gives each part the error of the request.
func (b *bulk) fail(err *cluster.Error) {
	b.q.counts.failures.Add(1)
	b.end(err)
}

// giveBack lets each caller send its statement by itself.
func (b *bulk) giveBack() { b.end(ErrAlone) }

// end gives each part an error.
func (b *bulk) end(err error) {
	for _, p := range b.parts {
		p.err = err
	}
	b.tell()
}
