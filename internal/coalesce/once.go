package coalesce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// Attempt is one attempt at a bulk of writes. What became of it can be found out.
type Attempt struct {
	Request cluster.Request // a transaction, without a body
	// Doubts reports whether the failure of the request leaves it open what became of the attempt.
	Doubts func(why *cluster.Error) bool
	// Settle finds out whether the attempt was applied. If it was not, it never will be. An error says
	// that this could not be found out. forwarded says that a node may have sent the attempt twice.
	Settle func(ctx context.Context, why *cluster.Error, forwarded bool) (applied bool, err error)
}

// ErrApplied says that a write was applied, and that its answer was lost. It comes with a [*cluster.Error]
// that says why.
var ErrApplied = errors.New("rqlite: the write was applied, but its answer was lost")

// mostFailing is how many parts of a bulk may fail before the others no longer go as an attempt.
const mostFailing = 3

// once sends parts as attempts if they can go so, and reports whether it did.
func (q *Coalescer) once(parts []*part) bool {
	isAlone := len(parts) == 1 && !q.cfg.Client.Forwarding() && !q.JoinedLately()
	if q.cfg.Once == nil || !q.cfg.OnceAlone && (isAlone || slices.ContainsFunc(parts, (*part).isApart)) {
		return false
	}
	if q.writes.failsOften() {
		q.sendFailing(parts)
		return true
	}
	return q.sendOnce(parts)
}

// sendFailing sends parts that do not go as an attempt, because statements have failed, of them or of
// others lately. Each goes by itself if all statements are to go as attempts. Else they go as one request
// that is no transaction.
func (q *Coalescer) sendFailing(parts []*part) {
	if q.cfg.OnceAlone {
		(&bulk{q: q, parts: parts}).giveBack()
		return
	}
	q.send(parts, false)
}

// sendOnce sends parts as attempts of which one is applied, at most. It reports false if there can be no
// attempts, and then it has sent nothing. A part that fails goes alone. If many fail, see sendFailing.
func (q *Coalescer) sendOnce(parts []*part) bool {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	b := &bulk{q: q, parts: parts}
	if !b.begin(cancel) {
		return true // nobody waits
	}
	for at := len(b.parts) - 1; at >= 0; at-- {
		if b.parts[at].isApart() {
			b.giveBackOne(at)
		}
	}
	for failing, n := 0, 0; b.isWanted(); n++ {
		PauseBefore(ctx, n)
		forwarded := q.cfg.Client.Forwarding()
		attempt, err := q.cfg.Once(ctx, forwarded)
		switch {
		case err != nil:
			q.counts.failures.Add(1)
			b.end(err)
			return true
		case attempt == nil && len(b.parts) < len(parts): // some have been told
			q.send(b.parts, q.writes.atomic(b.parts, forwarded))
			return true
		case attempt == nil:
			return false
		}
		failure := b.try(ctx, attempt.Request)
		switch {
		case failure == nil:
			q.writes.triedAtomic(true)
			return true
		case !undone(failure) && !attempt.Doubts(failure):
			b.fail(failure)
			return true
		case b.settle(ctx, attempt, failure, forwarded):
			return true
		case attempt.Doubts(failure):
			continue
		}
		at := b.partOf(failure.Entry)
		if failing++; at < 0 || failing > mostFailing {
			q.writes.triedAtomic(false)
			q.sendFailing(b.parts)
			return true
		}
		b.giveBackOne(at)
	}
	return true
}

// isWanted reports whether a caller waits for one of the parts.
func (b *bulk) isWanted() bool {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	return b.live > 0
}

// PauseBefore waits before attempt n at a write, from 0, so that a server in trouble is not loaded. The
// first two follow each other at once.
func PauseBefore(ctx context.Context, n int) {
	const first, longest = 20 * time.Millisecond, 200 * time.Millisecond
	if n >= 2 {
		cluster.Sleep(ctx, min(first<<min(n-2, 8), longest), time.Time{})
	}
}

// isApart reports whether the part must not be in a transaction with others.
func (p *part) isApart() bool { return p.Apart }

// try makes one attempt. If it returns an error, the callers have not been told.
func (b *bulk) try(ctx context.Context, req cluster.Request) *cluster.Error {
	b.sends(req)
	err := b.exchange(ctx, true)
	if err != nil {
		b.q.mu.Lock()
		defer b.q.mu.Unlock()
		b.last = err // and what was sent is in doubt until the attempt is settled
	}
	return err
}

// settle finds out what became of a failed attempt, or makes sure that a late copy of it does nothing. It
// reports whether the callers have been told.
func (b *bulk) settle(ctx context.Context, attempt *Attempt, failure *cluster.Error, forwarded bool) (told bool) {
	switch applied, err := attempt.Settle(ctx, failure, forwarded || failure.Forwarded); {
	case err != nil:
		unknown := *failure
		unknown.Outcome = cluster.Unknown
		b.fail(&unknown)
		return true
	case applied:
		b.end(fmt.Errorf("%w: %w", ErrApplied, failure))
		return true
	}
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	for _, p := range b.parts {
		p.sent = false
	}
	return false
}

// partOf returns the position of the part to which an entry belongs, or -1 if it is the driver's own.
func (b *bulk) partOf(entry int) int {
	if b.frame != nil {
		entry -= b.frame.Before.Count
	}
	for i, p := range b.parts {
		if entry < 0 {
			break
		}
		if entry -= p.Entries; entry < 0 {
			return i
		}
	}
	return -1
}

// giveBackOne lets the caller of one part send its statement by itself.
func (b *bulk) giveBackOne(at int) {
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	p := b.parts[at]
	b.parts = append(b.parts[:at:at], b.parts[at+1:]...)
	p.bulk = nil
	if p.gaveUp {
		return
	}
	p.err = ErrAlone
	b.live--
	b.q.tellOne(p)
	p.done <- struct{}{}
}
