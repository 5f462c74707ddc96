package rqlite

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
func (c *conn) write(ctx context.Context, req cluster.Request, stmts []bind.Stmt, how writing) (*cluster.Answer, error) {
	connector := c.connector
	if err := connector.versions.Share(ctx); err != nil {
		return nil, err
	}
	defer connector.versions.Unshare()
	if connector.coalesces(ctx, stmts, how) {
		era, ok := connector.coalescer.Begin()
		if !ok {
			answer, err := c.join(ctx, stmts)
			if !sqlerr.IsEarlier(err) {
				return answer, sqlerr.WithPath(sqlerr.From(err), cluster.ExecutePath)
			}
		} else {
			defer connector.coalescer.End(era)
		}
	}
	if !allRead(stmts) {
		req.Frame = connector.versions.FrameOf(how.atomic)
	}
	req.Leader, req.Write = true, true
	return c.send(ctx, req, stmts)
}
