package autocommit

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var errConnStateHere = errors.New("last_insert_rowid() and changes() have nothing to tell here: use Exec one by one, or an atomic Batch or a transaction, " +
	"or Result.LastInsertId and RETURNING")

// freezeWrites returns the statements with literals for the present time and random numbers in
// those that write, and in the defaults that they take. So all nodes store the same.
func (c *Session) freezeWrites(ctx context.Context, stmts []bind.Stmt) ([]bind.Stmt, error) {
	c.engine.warnOfRandom(stmts)
	stmts, err := c.engine.withDefaults(ctx, stmts, c.engine.NodesCall)
	if err != nil {
		return nil, err
	}
	const differ = sqltext.CallsTime | sqltext.CallsRandom
	if !slices.ContainsFunc(stmts, func(one bind.Stmt) bool { return one.Calls&differ != 0 && one.Kind != sqltext.Read }) {
		return stmts, nil
	}
	now, random := time.Now().UTC(), bind.RandomNumber
	if c.engine.NodesCall&sqltext.CallsTime != 0 {
		now = time.Time{}
	}
	if c.engine.NodesCall&sqltext.CallsRandom != 0 {
		random = nil
	}
	stmts = slices.Clone(stmts)
	for i := range stmts {
		if stmts[i].Kind == sqltext.Read {
			continue
		}
		stmts[i].SharesRandom = random != nil && stmts[i].RandomPerRow()
		statement, err := stmts[i].Frozen(now, random)
		if err != nil {
			return nil, sqlerr.Refused(sqlerr.At(err, i, len(stmts)))
		}
		stmts[i].Written, stmts[i].Statement = stmts[i].Text, statement
	}
	return stmts, nil
}

// needsTx reports whether a statement has to run in a transaction of its own. If SQLite takes a
// random number for each row, the driver's single literal is right only for one row; the
// transaction finds that out before it commits. For the other reason see occ.ClearsPart.
func needsTx(one bind.Stmt) bool { return one.SharesRandom || occ.ClearsPart(one.Statement) }

func anyNeedsTx(stmts []bind.Stmt) bool { return slices.ContainsFunc(stmts, needsTx) }

// oneByOne refuses statements that need a request of their own, where they have none.
func (c *Session) oneByOne(stmts []bind.Stmt) error {
	for i := range stmts {
		switch {
		case setsForeignKeys(stmts[i]) && !c.engine.SendForeignKeys:
			return sqlerr.At(errForeignKeys, i, len(stmts))
		case stmts[i].SharesRandom:
			return sqlerr.At(bind.ErrRandomHere, i, len(stmts))
		case occ.ClearsPart(stmts[i].Statement):
			return sqlerr.At(occ.ErrPart, i, len(stmts))
		case bind.TellsConnState(stmts[i].Statement):
			return sqlerr.At(errConnStateHere, i, len(stmts))
		}
	}
	return nil
}
