package autocommit

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// haveReturning reports whether one of the statements has a RETURNING clause.
func haveReturning(stmts []bind.Stmt) bool {
	return slices.ContainsFunc(stmts, func(one bind.Stmt) bool { return one.Returning > 0 })
}

// undoesReturning reports whether a transaction of the statements is rolled back on every node
// when one in which the server sees RETURNING fails.
func (c *Session) undoesReturning(ctx context.Context, stmts []bind.Stmt) bool {
	says := slices.ContainsFunc(stmts, func(one bind.Stmt) bool { return one.SaysReturning })
	return !says || c.engine.Nodes.AllSince(ctx, cluster.UndoesReturning, true)
}

// writeForRows sends statements whose rows of RETURNING are wanted. If the leader is of an earlier
// release, which would lose some, it gets them at /db/request, where it sends BLOBs as arrays, and
// without backquotes.
func (c *Session) writeForRows(ctx context.Context, req cluster.Request, stmts []bind.Stmt, how writing) (*cluster.Answer, error) {
	if !haveReturning(stmts) {
		return c.write(ctx, req, stmts, how)
	}
	req.MinRelease = cluster.ReturnsAllRows
	answer, err := c.writeSeen(ctx, req, stmts, how)
	if how.atomic || !sqlerr.IsEarlier(err) {
		return answer, err
	}
	earlier := slices.Clone(stmts)
	for i := range earlier {
		if earlier[i].Returning > 0 {
			statement, err := earlier[i].WithoutBackquotes()
			if err != nil {
				return nil, sqlerr.Refused(sqlerr.At(err, i, len(stmts)))
			}
			earlier[i].Statement = &statement
		}
	}
	req.Path, req.Params, req.MinRelease = cluster.RequestPath, cluster.BlobsAsArrays+"&norwtime", 0
	return c.writeSeen(ctx, req, earlier, writing{rows: how.rows})
}

// writeSeen sends statements once it is known that the server sees their RETURNING clauses.
func (c *Session) writeSeen(ctx context.Context, req cluster.Request, stmts []bind.Stmt, how writing) (*cluster.Answer, error) {
	if err := c.demandSeen(ctx, req.MinRelease, stmts); err != nil {
		return nil, err
	}
	return c.write(ctx, req, stmts, how)
}

// demandSeen refuses statements of which the server does not see the RETURNING clause: it would
// apply them and lose the rows. Each that is not plain is run once for each text in a request that is
// rolled back by its end, because whether the clause is seen depends on the text alone. What else such
// a trial finds out is left to the statements themselves.
func (c *Session) demandSeen(ctx context.Context, release cluster.Release, stmts []bind.Stmt) error {
	for i := range stmts {
		if !c.engine.seenReturning.lacks(stmts[i]) {
			continue
		}
		if err := c.trySeen(ctx, release, stmts[i]); err != nil {
			return atCall(err, i, len(stmts))
		}
	}
	return nil
}

// trySeen runs a statement in a request that is rolled back. Nothing but what rolls it back may
// follow it: see guardedProbeText.
func (c *Session) trySeen(ctx context.Context, release cluster.Release, one bind.Stmt) error {
	body, err := bind.AppendAll([]byte{'['}, []bind.Stmt{one, bind.Abort})
	if err != nil {
		return sqlerr.Refused(err)
	}
	answer, err := c.post(ctx, &cluster.Request{
		Path: cluster.RequestPath, Params: cluster.ParsedParams, Leader: true, Body: append(body, ']'), MinRelease: release,
	})
	switch {
	case errors.Is(err, sqlerr.ErrUnauthorized):
		c.engine.seenReturning.add(&one) // nobody can tell: the user may be allowed to execute alone
		return nil
	case err != nil:
		return err
	}
	defer answer.Close()
	entry, err := answer.Next()
	switch {
	case err != nil:
		return sqlerr.From(err)
	case entry.Error != "":
		return nil
	case len(entry.Columns) == 0:
		return bind.ErrUnseenReturning
	}
	c.engine.seenReturning.add(&one)
	return nil
}

// atCall says which of several statements was not sent because the server would not see it.
func atCall(err error, i, n int) error {
	if errors.Is(err, bind.ErrUnseenReturning) {
		return sqlerr.Refused(sqlerr.At(err, i, n))
	}
	return err
}

// seenReturning are the texts of statements whose RETURNING clause the server has seen. The zero
// value is empty. It is safe for concurrent use.
type seenReturning struct {
	mu    sync.RWMutex
	texts map[string]struct{}
}

// mostSeen bounds the texts that are remembered: those of a program are few, unless it writes
// values into them.
const mostSeen = 1000

// lacks reports whether it is not known that the server sees the RETURNING clause of a call.
func (s *seenReturning) lacks(one bind.Stmt) bool {
	if one.Returning == 0 || one.Plain {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.texts[one.ParsedLike()]
	return !ok
}

// add notes that the server sees the clause of a call, if it has one.
func (s *seenReturning) add(one *bind.Stmt) {
	if one.Returning == 0 || one.Plain {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts == nil || len(s.texts) == mostSeen {
		s.texts = make(map[string]struct{})
	}
	s.texts[one.ParsedLike()] = struct{}{}
}
