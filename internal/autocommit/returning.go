package autocommit

import (
	"context"
	"errors"
	"slices"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// haveReturning reports whether one of the statements has a RETURNING clause.
func haveReturning(stmts []bind.Stmt) bool {
	return slices.ContainsFunc(stmts, func(one bind.Stmt) bool { return one.Returning > 0 })
}

// undoesReturning reports whether every node rolls back a transaction of the statements when one
// fails in which the server sees RETURNING.
func (c *Session) undoesReturning(ctx context.Context, stmts []bind.Stmt) bool {
	says := slices.ContainsFunc(stmts, func(one bind.Stmt) bool { return one.SaysReturning })
	return !says || c.engine.Nodes.AllSince(ctx, cluster.UndoesReturning, true)
}

// writeForRows sends statements whose rows of RETURNING the program wants. If the leader's release
// is earlier and would lose some rows, it sends them to /db/request instead, which sends BLOBs as
// arrays, and without backquotes.
func (c *Session) writeForRows(ctx context.Context, req cluster.Request, stmts []bind.Stmt, how writeOptions) (*cluster.Answer, error) {
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
	how.attempt.reset()
	req.Path, req.Params, req.MinRelease = cluster.RequestPath, cluster.BlobsAsArrays+"&norwtime", 0
	return c.writeSeen(ctx, req, earlier, writeOptions{rows: how.rows})
}

// writeSeen sends statements after it has made sure that the server sees their RETURNING clauses.
func (c *Session) writeSeen(ctx context.Context, req cluster.Request, stmts []bind.Stmt, how writeOptions) (*cluster.Answer, error) {
	if err := c.demandSeen(ctx, req.MinRelease, stmts); err != nil {
		return nil, err
	}
	return c.write(ctx, req, stmts, how)
}

// demandSeen refuses statements whose RETURNING clause the server does not see: it would apply them
// and lose the rows. It tries each text that is not plain once, in a request that is rolled back by
// its end. That is enough, because only the text decides. It leaves everything else that such a
// trial finds to the statements themselves.
func (c *Session) demandSeen(ctx context.Context, release cluster.Release, stmts []bind.Stmt) error {
	for i := range stmts {
		if !c.engine.lacksSeen(&stmts[i]) {
			continue
		}
		if err := c.trialSeen(ctx, release, stmts[i]); err != nil {
			return unseenAt(err, i, len(stmts))
		}
	}
	return nil
}

// trialSeen runs a statement in a request that is rolled back by its end. Only the statement that
// rolls back may follow it: before rqlite 9.4.2 the server may go on after a failure with RETURNING
// and commit what follows.
func (c *Session) trialSeen(ctx context.Context, release cluster.Release, one bind.Stmt) error {
	body, err := bind.AppendAll([]byte{'['}, []bind.Stmt{one, bind.Abort})
	if err != nil {
		return sqlerr.Refused(err)
	}
	answer, err := c.engine.post(ctx, &cluster.Request{
		Path: cluster.RequestPath, Params: cluster.ParsedParams, Leader: true, Body: append(body, ']'), MinRelease: release,
	})
	switch {
	case errors.Is(err, sqlerr.ErrUnauthorized):
		c.engine.texts.Add(one.ParsedLike(), seenReturning) // nobody can tell: the user may have only the permission to execute
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
	c.engine.texts.Add(one.ParsedLike(), seenReturning)
	return nil
}

// unseenAt says which of several statements was not sent because the server would not see its
// RETURNING clause.
func unseenAt(err error, i, n int) error {
	if errors.Is(err, bind.ErrUnseenReturning) {
		return sqlerr.Refused(sqlerr.At(err, i, n))
	}
	return err
}

// lacksSeen reports whether it is unknown that the server sees the statement's RETURNING clause. It
// sees that of a plain statement.
func (e *Engine) lacksSeen(one *bind.Stmt) bool {
	return one.Returning > 0 && !one.Plain && !e.texts.Has(one.ParsedLike(), seenReturning)
}
