package autocommit

import (
	"context"
	"errors"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// writeOptions says how statements that write are sent.
type writeOptions struct {
	atomic bool // as a transaction
	rows   bool // the program wants the rows of RETURNING
	// attempt is for a write of which it is to be found out what became of it; nil for others.
	attempt *attempt
}

// write sends statements that write, when the write lock lets them. In the answer, the entry of the
// first statement comes next.
func (c *Session) write(ctx context.Context, req cluster.Request, stmts []bind.Stmt, how writeOptions) (*cluster.Answer, error) {
	engine := c.engine
	how.attempt.reset()
	if err := engine.Versions.Share(ctx); err != nil {
		return nil, err
	}
	defer engine.Versions.Unshare()
	if engine.coalesces(ctx, stmts, how) {
		ticket, ok := engine.Coalescer.Begin(nil)
		if ok {
			defer engine.Coalescer.End(ticket)
		} else if answer, err := c.join(ctx, stmts); !sqlerr.IsEarlier(err) && !errors.Is(err, coalesce.ErrAlone) {
			return answer, sqlerr.WithPath(sqlerr.From(err), cluster.ExecutePath)
		}
		if how.attempt != nil {
			how.attempt.apart = !ok || engine.Coalescer.JoinedLately()
		}
	}
	if !allRead(stmts) {
		if err := c.leave(ctx, &req, stmts, how); err != nil {
			return nil, err
		}
		if req.Frame == nil {
			req.Frame = engine.Versions.FrameOf(how.atomic)
		}
	}
	req.Leader, req.Write = true, true
	return c.engine.send(ctx, req, stmts)
}
