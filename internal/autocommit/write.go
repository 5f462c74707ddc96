package autocommit

import (
	"context"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// writeOptions says how statements that write are sent.
type writeOptions struct {
	atomic bool // as a transaction
	rows   bool // the program wants the rows of RETURNING
}

// write sends statements that write, when the write lock lets them. In the answer, the entry of the
// first statement comes next.
func (c *Session) write(ctx context.Context, req cluster.Request, stmts []bind.Stmt, how writeOptions) (*cluster.Answer, error) {
	engine := c.engine
	if err := engine.Versions.Share(ctx); err != nil {
		return nil, err
	}
	defer engine.Versions.Unshare()
	if engine.coalesces(ctx, stmts, how) {
		generation, ok := engine.Coalescer.Begin()
		if !ok {
			answer, err := c.join(ctx, stmts)
			if !sqlerr.IsEarlier(err) {
				return answer, sqlerr.WithPath(sqlerr.From(err), cluster.ExecutePath)
			}
		} else {
			defer engine.Coalescer.End(generation)
		}
	}
	if !allRead(stmts) {
		req.Frame = engine.Versions.FrameOf(how.atomic)
	}
	req.Leader, req.Write = true, true
	return c.engine.send(ctx, req, stmts)
}
