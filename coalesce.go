package rqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-rqlite/rqlite/internal/bind"
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

// coalesces reports whether statements may go out with those of others. These are single
// statements that write rows. What returns rows is kept in memory until all of the bulk has
// arrived, so that only an INSERT of given rows does, which has no more to return.
//
// An infinite REAL among the rows of one makes the server fail to answer all of a
// bulk. Where that was seen, statements that return rows go alone from then on.
func (c *Connector) coalesces(ctx context.Context, stmts []bind.Stmt, how writing) bool {
	first := &stmts[0]
	return !c.cfg.DisableCoalescing && !how.atomic &&
		bind.CountOwn(stmts) == 1 && first.Kind == sqltext.Write && !first.ConflictFail &&
		(!how.rows || beginsInsert(first.Statement)) &&
		(first.Returning == 0 || returnsFew(first.Statement) && !c.returningAlone.Load() && c.client.LeaderSince(ctx, cluster.ReturnsAllRows)) &&
		bind.Size(stmts) <= largestPart && !callOptionsOf(ctx).alone
}

// beginsInsert reports whether a statement is an INSERT without a WITH in front.
func beginsInsert(s *sqltext.Statement) bool { return s.Insert && s.Keyword != "WITH" }

// returnsFew reports whether a statement returns no more rows than it was given.
func returnsFew(s *sqltext.Statement) bool {
	return beginsInsert(s) && !strings.Contains(strings.ToUpper(s.Text), "SELECT")
}

// join sends statements with those of others. The failure is [cluster.Error.Earlier] where they have
// to go alone.
func (c *conn) join(ctx context.Context, stmts []bind.Stmt) (*cluster.Answer, error) {
	if c.closed {
		return nil, errClosed
	}
	elements, err := bind.AppendAll(make([]byte, 0, bind.Size(stmts)), stmts)
	if err != nil {
		return nil, fmt.Errorf("rqlite: %w", err)
	}
	part := cluster.Part{Elements: elements, Entries: len(stmts)}
	if stmts[0].Returning > 0 {
		part.MinRelease = cluster.ReturnsAllRows
	}
	if stmts[0].SaysReturning {
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
// version table that this connector knows nothing of, so that its version would not move.
//
// Each node decides for itself when it applies the request, and all have to come to the
// same end. So this looks at nothing but the schema, which is replicated: whether keys are
// enforced, and what LIKE means, are settings of each node's own connection.
const (
	defersKeys      = "EXISTS(SELECT 1 FROM sqlite_schema WHERE instr(upper(sql),'DEFERR')>0)"
	hasVersionTable = "EXISTS(SELECT 1 FROM sqlite_schema WHERE name='_rqlite_tx')"

	guardText             = "SELECT CASE WHEN " + defersKeys + " THEN abs(-9223372036854775808) END"
	guardVersionTableText = "SELECT CASE WHEN " + hasVersionTable + " OR " + defersKeys + " THEN abs(-9223372036854775808) END"
)

// bulkRequest returns how the writes of several callers are sent. If they are independent of each
// other, they have one sequence lock for all.
func (c *Connector) bulkRequest(atomic bool) cluster.Request {
	req := cluster.Request{Path: cluster.ExecutePath, Params: writeParams}
	if atomic {
		req.Params += "&transaction"
	}
	switch {
	case !atomic && c.cfg.DisableTxVersion:
	case !atomic:
		req.Frame = c.oneByOneFrame()
	case c.cfg.DisableTxVersion:
		req.Frame = c.frames.bulkAlone
	case c.versionTableMissing.Load():
		req.Frame = c.frames.bulkWithout
	default:
		req.Frame = c.frames.bulk.form(c.backoff.isDue())
	}
	return req
}
