package cluster

import (
	"context"
	"net/http"
	"time"
)

// bulk is a request of several parts. One goroutine sends it. q.mu guards the fields that the
// callers of the parts use.
type bulk struct {
	// q, and req without Body and Statements, never change after run has begun. compose returns the
	// body of each attempt.
	q   *Coalescer
	req Request // without the body
	// parts are those whose callers still wait at the last attempt. Only compose changes them,
	// under q.mu.
	parts []*part
	// cancel ends the request. begin sets it, and leave calls it when live becomes 0.
	cancel context.CancelCauseFunc
	live   int    // parts whose callers wait, from begin on; guarded by q.mu
	last   *Error // of the last failed attempt that was no redirect, or nil; withdraw sets it under q.mu
}

// send sends parts as one request, and gives each its answer. If the server refused all of it
// without effect, send splits the parts, so that only the guilty one fails.
func (q *Coalescer) send(parts []*part, atomic bool) {
	b := &bulk{q: q, req: q.bulk(atomic), parts: parts}
	err := b.run(atomic)
	switch {
	case err == nil:
	case atomic && err.undone():
		q.triedAtomic(false)
		q.send(parts, false)
	case len(parts) > 1 && err.undone():
		q.send(parts[:len(parts)/2], false)
		q.send(parts[len(parts)/2:], false)
	default:
		b.fail(err)
	}
}

// undone reports whether a bulk failed because of a statement, without effect.
func (e *Error) undone() bool {
	switch e.Status {
	case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusInternalServerError:
		return e.Outcome == Refused
	}
	return false
}

// run sends the bulk and hands out its answer. If it returns an error, the callers have not been
// told.
func (b *bulk) run(atomic bool) *Error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if !b.begin(cancel) {
		return nil // nobody waits
	}
	req := &b.req
	req.Leader, req.Write, req.bulk = true, true, b
	for _, p := range b.parts {
		req.MinRelease = max(req.MinRelease, p.MinRelease)
	}
	b.q.client.begin()
	answer, err := b.q.client.send(ctx, req, time.Time{})
	if err == nil {
		defer answer.Close()
		err = b.read(answer, atomic)
	}
	switch {
	case err != nil:
		if atomic && err.forwarded && err.Outcome == Refused {
			err.Outcome = Unknown // the refusal is that of the second of two attempts
		}
		b.withdraw(err)
		err.Write = true
	case atomic:
		b.q.triedAtomic(true)
	}
	return err
}

// begin puts the parts into the bulk, and reports whether any caller waits for it.
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

// compose returns the body of an attempt, and its number of statements. Callers that gave up
// earlier are left out; later ones get an unknown outcome.
func (b *bulk) compose() (body []byte, statements int) {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	staying, size := b.parts[:0:0], 0
	for _, p := range b.parts {
		if p.left {
			continue
		}
		p.sent = true
		staying = append(staying, p)
		size += len(p.Elements) + 1
	}
	b.parts = staying
	body = b.req.Frame.Open(size)
	for i, p := range b.parts {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, p.Elements...)
	}
	return b.req.Frame.Close(body), len(b.parts)
}

// withdraw records a failed attempt at a request. See [bulk.withdraw].
func (req *Request) withdraw(err *Error) {
	if req.bulk != nil {
		req.bulk.withdraw(err)
	}
}

// withdraw records a failed attempt. If it had no effect, callers that leave before the next
// attempt learn that nothing was applied.
func (b *bulk) withdraw(err *Error) {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	if err.redirect == nil {
		b.last = err
	}
	if err.Outcome == Refused || err.Outcome == Repeat {
		for _, p := range b.parts {
			p.sent = false
		}
	}
}

// read reads the answer to its end and hands out the entries.
func (b *bulk) read(answer *Answer, atomic bool) *Error {
	want := 0
	for _, p := range b.parts {
		want += p.Entries
	}
	if f := b.req.Frame; f != nil {
		want += f.Before.Count + f.After.Count
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
			if err := answer.Undone(); err != nil {
				return answer.failure(err)
			}
			return &Error{Outcome: Refused, Status: http.StatusOK, Node: answer.Node, Message: message, forwarded: answer.guard.forwarded}
		}
		entries = append(entries, raw)
	}
	answer.ended = true // the entries of the frame are among those read
	if err := answer.End(); err != nil {
		return answer.failure(err)
	}
	b.handOut(answer, entries)
	return nil
}

// handOut gives each part its entries.
func (b *bulk) handOut(answer *Answer, entries [][]byte) {
	req := &Request{Write: true, Statements: answer.req.Statements} // without the bulk, which may go while rows are read
	guard := &guard{client: b.q.client, node: answer.guard.node, req: req, ctx: context.Background(), cancel: func(error) {}}
	if f := b.req.Frame; f != nil {
		behind := len(entries) - f.After.Count
		b.readFrame(guard, &f.Before, entries[:f.Before.Count])
		b.readFrame(guard, &f.After, entries[behind:])
		entries = entries[f.Before.Count:behind]
	}
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	for _, p := range b.parts {
		p.answer = subAnswerOf(guard, entries[:p.Entries])
		entries = entries[p.Entries:]
		close(p.done)
	}
}

// readFrame reads the entries of one side of the frame. Their failure goes to the log.
func (b *bulk) readFrame(guard *guard, elements *Elements, entries [][]byte) {
	a := subAnswerOf(guard, entries)
	defer a.Close()
	if err := elements.read(a); err != nil {
		b.q.client.cfg.Logger.Warn("rqlite: what the driver sends around writes failed", "error", err)
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
