package autocommit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// costOf returns what is known of the text of a read that may go out with those of other callers: a
// single statement that reads rows, and means the same wherever it stands. It returns nil for
// others.
func (e *Engine) costOf(ctx context.Context, stmts []bind.Stmt) *textCost {
	first := &stmts[0]
	if len(stmts) > 1 || first.Kind != sqltext.Read || first.Added || first.Calls != 0 || !selects(first.Statement) ||
		bind.Size(stmts) > largestPart || e.Alone(ctx) {
		return nil
	}
	return e.quick.of(first.Text)
}

// selects reports whether a statement that reads is neither an EXPLAIN nor a PRAGMA.
func selects(s *sqltext.Statement) bool {
	return s.Keyword == "SELECT" || s.Keyword == "VALUES" || s.Keyword == "WITH"
}

// readOne sends a read, together with those of other callers if it is quick and others are under
// way. cost learns from its answer. The parameters of req have no deadline.
func (e *Engine) readOne(ctx context.Context, req cluster.Request, stmts []bind.Stmt, at result.Span, cost *textCost) (result.Source, error) {
	req.Columns = &cost.columns
	if cost.isQuick() {
		return e.readQuick(ctx, req, stmts, at, cost)
	}
	if req.Begun.IsZero() {
		req.Begun = time.Now()
	}
	if d := cost.doubt.Load(); d != nil && cost.quick.Load() {
		defer d.await(ctx, req.Begun, e.readsLike(&req))()
		if cost.isQuick() {
			return e.readQuick(ctx, req, stmts, at, cost)
		}
	}
	req.Needed = cost
	s, err := e.readAlone(ctx, req, stmts, at, cost)
	if errors.Is(err, cluster.ErrNeedless) {
		req.Needed = nil
		return e.readQuick(ctx, req, stmts, at, cost)
	}
	return s, err
}

// readsLike returns the coalescer of reads that may go with one. It is nil if there are too many kinds.
func (e *Engine) readsLike(req *cluster.Request) *coalesce.Coalescer {
	return e.Reads.Of(coalesce.Kind{Path: req.Path, Params: req.Params, Leader: req.Leader, Frame: req.Frame})
}

// readQuick is readOne for a read that is quick.
func (e *Engine) readQuick(ctx context.Context, req cluster.Request, stmts []bind.Stmt, at result.Span, cost *textCost) (result.Source, error) {
	reads := e.readsLike(&req)
	if reads == nil {
		return e.readAlone(ctx, req, stmts, at, cost)
	}
	partings := cost.partings.Load()
	if ticket, alone := reads.Begin(cost); alone {
		defer reads.End(ticket)
		req.Bounded = true
		sent := time.Now()
		s, err := e.sendRead(ctx, req, stmts, at, cost)
		slow, doubtful := reads.Ended(nodeOf(&s, err), sent, endOf(err))
		cost.learn(slow, doubtful, partings)
		return s, err
	}
	if req.Begun.IsZero() {
		req.Begun = time.Now()
	}
	answer, err := joinRead(ctx, req.Begun, reads, stmts, cost)
	switch {
	case err == nil:
		answer.Remember(&cost.columns)
		return result.NewSource(answer, stmts, at, false, nil)
	case !errors.Is(err, coalesce.ErrAlone):
		return result.Source{}, sqlerr.WithPath(sqlerr.From(err), req.Path)
	}
	if errors.Is(err, coalesce.ErrSlow) {
		ended, ok := mayLeaveAgain(ctx, reads, req.Begun, cost, partings)
		if !ok {
			return e.readOne(ctx, req, stmts, at, cost)
		}
		defer ended()
		req.Bounded = true
	}
	return e.readAgain(ctx, reads, req, stmts, at, cost, partings)
}

// mayLeaveAgain waits until a read that was joined with a slow one may leave by itself. It returns false if that is not
// to be, or if the text has shown to be slow meanwhile. partings is cost.partings from before.
func mayLeaveAgain(ctx context.Context, reads *coalesce.Coalescer, begun time.Time, cost *textCost, partings int64) (ended func(), ok bool) {
	ended, ok = reads.Again(ctx, begun, func() { cost.wasSlow(partings) })
	if ok && cost.partings.Load() != partings {
		ended()
		return nil, false
	}
	return ended, ok
}

// readAgain sends a read by itself that got no answer with others.
func (e *Engine) readAgain(ctx context.Context, reads *coalesce.Coalescer, req cluster.Request, stmts []bind.Stmt, at result.Span, cost *textCost, partings int64) (result.Source, error) {
	var sent cluster.Departure
	req.Sent = &sent
	s, err := e.readAlone(ctx, req, stmts, at, cost)
	if !sent.At.IsZero() { // else it has only waited, which tells nothing
		slow, doubtful := reads.Ended(sent.Node, sent.At, endOf(err))
		cost.learn(slow, doubtful, partings)
	}
	return s, err
}

// nodeOf returns the node that has answered a read, "" if that is not known.
func nodeOf(s *result.Source, err error) string {
	if err != nil {
		return ""
	}
	return s.Answer().Node
}

// endOf returns how a read ended.
func endOf(err error) coalesce.End {
	switch {
	case err == nil:
		return coalesce.Answered
	case errors.Is(err, context.DeadlineExceeded):
		return coalesce.TimedOut
	case errors.Is(err, context.Canceled):
		return coalesce.Cancelled
	}
	return coalesce.Failed
}

// readAlone sends a read by itself, for which no others wait.
func (e *Engine) readAlone(ctx context.Context, req cluster.Request, stmts []bind.Stmt, at result.Span, cost *textCost) (result.Source, error) {
	e.quick.alone.Add(1)
	defer e.quick.alone.Add(-1)
	return e.sendRead(ctx, req, stmts, at, cost)
}

// sendRead sends a read in a request of its own. cost learns from the answer.
func (e *Engine) sendRead(ctx context.Context, req cluster.Request, stmts []bind.Stmt, at result.Span, cost *textCost) (s result.Source, err error) {
	var meter result.Meter
	req.Frame, meter = e.lookFor(req.Frame, cost)
	deadline, _ := ctx.Deadline()
	req.Params = cluster.WithDeadline(req.Params, deadline)
	answer, err := e.send(ctx, req, stmts)
	if err == nil {
		s, err = result.NewMetered(answer, stmts, at, meter)
	}
	if err != nil {
		cost.failed(err)
	}
	return s, err
}

// lookFor returns the frame of a request with a single read, nil for none, and what learns from the answer. frame is that
// of such reads in general. If several reads go alone, the node may have to open a connection for this one, which is not
// its cost: it goes behind a look at the schema. The first of a text does not, so that programs whose texts are all new do
// not pay for it.
func (e *Engine) lookFor(frame *cluster.Frame, cost *textCost) (*cluster.Frame, result.Meter) {
	first := !cost.sent.Load()
	if first {
		cost.sent.Store(true)
	}
	if frame != nil || e.quick.alone.Load() <= fewAlone {
		return frame, (*loneCost)(cost)
	}
	if first {
		return nil, (*openingCost)(cost)
	}
	return schemaLook, (*loneCost)(cost)
}

// joinRead sends a read with those of other callers.
func joinRead(ctx context.Context, begun time.Time, reads *coalesce.Coalescer, stmts []bind.Stmt, cost *textCost) (*cluster.Answer, error) {
	elements, err := bind.AppendAll(make([]byte, 0, bind.Size(stmts)), stmts)
	if err != nil {
		return nil, fmt.Errorf("rqlite: %w", err)
	}
	deadline, _ := ctx.Deadline()
	return reads.Join(ctx, coalesce.Part{Elements: elements, Entries: 1, Begun: begun, Deadline: deadline, Work: cost.work(), Meter: cost})
}

// failed learns from the failure of a read.
func (c *textCost) failed(err error) {
	if sqlerr.IsUnsendable(err) {
		c.cannotBeSent()
	}
}
