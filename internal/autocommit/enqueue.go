package autocommit

import (
	"context"
	"errors"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// Enqueue sends statements to the queue of a node and returns their sequence number. With wait it
// returns when they have been applied, or have failed.
func (c *Session) Enqueue(ctx context.Context, stmts []bind.Stmt, wait bool) (sequence int64, err error) {
	if stmts, err = c.freezeWrites(ctx, stmts); err != nil {
		return 0, err
	}
	if setsDeferral(stmts) { // it would apply to the next write of any client
		return 0, errors.New("rqlite: PRAGMA defer_foreign_keys belongs to a transaction, which the queue has none of")
	}
	if err := c.oneByOne(stmts); err != nil {
		return 0, sqlerr.Refused(err)
	}
	c.deferral = nil
	c.state.Lose()
	params := cluster.WriteParams + "&queue"
	if wait {
		params += "&wait"
	}
	versions := c.engine.Versions
	if err := versions.Share(ctx); err != nil {
		return 0, err
	}
	defer versions.Unshare()
	// A follower would take the write as well. Where there are permissions it could never hand it
	// on.
	answer, err := c.engine.send(ctx, cluster.Request{
		Path: cluster.ExecutePath, Params: params, Frame: versions.QueueFrame(), Leader: true, Pinned: true, Write: true,
	}, stmts)
	if err != nil {
		return 0, err
	}
	defer answer.Close()
	if err := answer.End(); err != nil {
		return 0, sqlerr.From(err)
	}
	return answer.Trailer().SequenceNumber, nil
}
