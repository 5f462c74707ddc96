package autocommit

import (
	"context"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// writing says how statements that write are sent.
type writing struct {
	atomic bool // as a transaction
	rows   bool // the rows of RETURNING are wanted
}

// write sends statements that write, when it is their turn. The entry of the first of them comes next in
// the answer.
func (c *Session) write(ctx context.Context, req cluster.Request, stmts []bind.Stmt, how writing) (*cluster.Answer, error) {
	engine := c.engine
	if err := engine.Versions.Share(ctx); err != nil {
		return nil, err
	}
	defer engine.Versions.Unshare()
	if engine.coalesces(ctx, stmts, how) {
		era, ok := engine.Coalescer.Begin()
		if !ok {
			answer, err := c.join(ctx, stmts)
			if !sqlerr.IsEarlier(err) {
				return answer, sqlerr.WithPath(sqlerr.From(err), cluster.ExecutePath)
			}
		} else {
			defer engine.Coalescer.End(era)
		}
	}
	if !allRead(stmts) {
		req.Frame = engine.Versions.FrameOf(how.atomic)
	}
	req.Leader, req.Write = true, true
	return c.send(ctx, req, stmts)
}
