package rqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// WithoutCoalescing returns a context whose writes go out as requests of their own,
// as all do with coalesce=false in the DSN: at once, and whatever other goroutines
// write at the time. Reads take no notice.
func WithoutCoalescing(ctx context.Context) context.Context {
	o := callOptionsOf(ctx)
	o.alone = true
	return o.in(ctx)
}

// largestPart is how many bytes a write may have to go out with others. What is
// larger gains little, and would keep them waiting.
const largestPart = 64 << 10

// coalesces reports whether calls may go out with those of others. These are single
// statements that write rows. What returns rows is kept in memory until all of the bulk has
// arrived, so that only an INSERT of given rows does, which has no more to return.
//
// An infinite REAL among the rows of one makes the server fail to answer all of a
// bulk. Where that was seen, statements that return rows go alone from then on.
func (c *Connector) coalesces(ctx context.Context, req *cluster.Request, calls []call, atomic bool) bool {
	first := &calls[0]
	return !c.cfg.DisableCoalescing && !atomic && !req.Pinned &&
		ownCalls(calls) == 1 && first.Kind == sqltext.Write && !first.ConflictFail &&
		(!req.Stream || beginsInsert(first.Statement)) &&
		(first.Returning == 0 || returnsFew(first.Statement) && !c.returningAlone.Load() && c.client.LeaderSince(ctx, cluster.ReturnsAllRows)) &&
		sizeHint(calls) <= largestPart && !callOptionsOf(ctx).alone
}

// beginsInsert reports whether a statement is an INSERT without a WITH in front.
func beginsInsert(s *sqltext.Statement) bool { return s.Insert && s.Keyword != "WITH" }

// returnsFew reports whether a statement returns no more rows than it was given.
func returnsFew(s *sqltext.Statement) bool {
	return beginsInsert(s) && !strings.Contains(strings.ToUpper(s.Text), "SELECT")
}

// join sends calls with those of others. The failure is [cluster.Error.Earlier] where they have
// to go alone.
func (c *conn) join(ctx context.Context, calls []call) (*cluster.Answer, error) {
	if c.closed {
		return nil, errClosed
	}
	elements, err := appendCalls(make([]byte, 0, sizeHint(calls)), calls)
	if err != nil {
		return nil, fmt.Errorf("rqlite: %w", err)
	}
	part := cluster.Part{Elements: elements, Entries: len(calls)}
	if calls[0].Returning > 0 {
		part.MinRelease = cluster.ReturnsAllRows
	}
	if calls[0].SaysReturning {
		part.Apart = !c.connector.client.AllSince(ctx, cluster.UndoesReturning, false)
	}
	answer, err := c.connector.coalescer.Join(ctx, part)
	var failure *cluster.Error
	if errors.As(err, &failure) && failure.Unsendable() {
		c.connector.returningAlone.Store(true)
	}
	return answer, err
}

// A bulk goes out as a transaction, which SQLite commits once instead of once for each
// statement. Nobody can tell: when a statement fails, so does the bulk, and it is sent
// again without. There is one thing that a transaction would let pass: the violation of
// a deferred foreign key that another statement mends. So where the schema has deferred
// keys this makes the transaction fail
// (https://www.sqlite.org/foreignkeys.html#fk_deferred). It fails too when there is a
// register that this connector knows nothing of, so that its version would not move.
//
// Each node decides for itself when it applies the request, and all have to come to the
// same end. So this looks at nothing but the schema, which is replicated: whether keys are
// enforced, and what LIKE means, are settings of each node's own connection.
const (
	defersKeys  = "EXISTS(SELECT 1 FROM sqlite_schema WHERE instr(upper(sql),'DEFERR')>0)"
	hasRegister = "EXISTS(SELECT 1 FROM sqlite_schema WHERE name='_rqlite_tx')"

	guardText         = "SELECT CASE WHEN " + defersKeys + " THEN abs(-9223372036854775808) END"
	guardRegisterText = "SELECT CASE WHEN " + hasRegister + " OR " + defersKeys + " THEN abs(-9223372036854775808) END"
)

var (
	guardCall         = driversOwn(sqltext.Read, guardText)
	guardRegisterCall = driversOwn(sqltext.Read, guardRegisterText)
)

// bulkFrame returns what the writes of several callers are sent with. If they are
// independent of each other, that is one pair of marks for all.
func (c *Connector) bulkFrame(atomic bool) cluster.Frame {
	switch {
	case atomic:
		return c.atomicFrame()
	case c.cfg.DisableTxVersion:
		return cluster.Frame{Params: writeParams}
	}
	m := c.markingAround()
	marks := m.mark(nil)
	frame := cluster.Frame{Params: writeParams, Before: encoded(marks[0])}
	if len(marks) > 1 {
		frame.After, frame.Behind = encoded(marks[1]), 1
	}
	frame.Read = func(answer *cluster.Answer) {
		_, err := c.readFirstMark(answer, m)
		c.finishFrame(answer, m, err)
	}
	return frame
}

// atomicFrame returns what guards a transaction, and moves the version.
func (c *Connector) atomicFrame() cluster.Frame {
	frame := cluster.Frame{Params: writeParams + "&transaction", Before: encoded(guardCall)}
	switch {
	case c.cfg.DisableTxVersion:
		return frame
	case c.registerMissing.Load():
		frame.Before = encoded(guardRegisterCall)
		return frame
	}
	m := marking{movedOnce, c.polite.isDue()}
	behind := m.mark(nil)
	frame.After, frame.Behind = encoded(behind...), len(behind)
	frame.Read = func(answer *cluster.Answer) {
		_, err := answer.Next()
		if err == nil {
			_, err = c.readFirstMark(answer, m)
		}
		c.finishFrame(answer, m, err)
	}
	return frame
}

// finishFrame reads what stands behind the writes of several callers, which have been
// applied whatever it says.
func (c *Connector) finishFrame(answer *cluster.Answer, m marking, err error) {
	if err == nil {
		err = c.finish(answer, m)
	}
	if err != nil {
		c.cfg.warn(err)
	}
}

// encoded returns statements of the driver's own as elements of a body.
func encoded(calls ...call) []byte {
	elements, err := appendCalls(nil, calls)
	if err != nil {
		panic(err) // they are constants
	}
	return elements
}
