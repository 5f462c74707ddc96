package autocommit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// largestPart is the size in bytes up to which a write goes out with others. A larger one gains
// little, and would make the others wait.
const largestPart = 64 << 10

// coalesces reports whether statements may go out with those of other callers: a single statement
// that writes rows. Returned rows stay in memory until all of the bulk has arrived. So a statement
// with RETURNING joins only if it is an INSERT of given rows, which returns no more than those.
//
// An infinite REAL among the returned rows makes the server fail to answer the whole bulk. After
// that was seen once, statements that return rows go alone.
func (e *Engine) coalesces(ctx context.Context, stmts []bind.Stmt, how writeOptions) bool {
	first := &stmts[0]
	return !e.Alone(ctx) && !how.atomic &&
		bind.CountOwn(stmts) == 1 && first.Kind == sqltext.Write && !first.ConflictFail &&
		(!how.rows || beginsInsert(first.Statement)) &&
		(first.Returning == 0 || returnsFew(first.Statement) && !e.returningAlone.Load() && e.Nodes.LeaderSince(ctx, cluster.ReturnsAllRows)) &&
		bind.Size(stmts) <= largestPart
}

// beginsInsert reports whether a statement is an INSERT without a WITH in front.
func beginsInsert(s *sqltext.Statement) bool { return s.Insert && s.Keyword != "WITH" }

// returnsFew reports whether a statement returns no more rows than it was given.
func returnsFew(s *sqltext.Statement) bool {
	return beginsInsert(s) && !strings.Contains(strings.ToUpper(s.Text), "SELECT")
}

// join sends statements with those of other callers. If they have to go alone, the failure is
// [cluster.Error.Earlier].
func (c *Session) join(ctx context.Context, stmts []bind.Stmt) (*cluster.Answer, error) {
	elements, err := bind.AppendAll(make([]byte, 0, bind.Size(stmts)), stmts)
	if err != nil {
		return nil, fmt.Errorf("rqlite: %w", err)
	}
	part := coalesce.Part{Elements: elements, Entries: len(stmts)}
	if stmts[0].Returning > 0 {
		part.MinRelease = cluster.ReturnsAllRows
	}
	if stmts[0].SaysReturning {
		part.Apart = !c.engine.Nodes.AllSince(ctx, cluster.UndoesReturning, false)
	}
	answer, err := c.engine.Coalescer.Join(ctx, part)
	var failure *cluster.Error
	if errors.As(err, &failure) && failure.Unsendable() {
		c.engine.returningAlone.Store(true)
	}
	if errors.Is(err, coalesce.ErrApplied) {
		return nil, coalesce.ErrApplied
	}
	return answer, err
}

// BulkAttempts returns the function by which the coalescer of writes makes attempts at bulks that leave a
// token.
func BulkAttempts(versions *occ.Versions) func(ctx context.Context, forwarded bool) (*coalesce.Attempt, error) {
	return func(ctx context.Context, forwarded bool) (*coalesce.Attempt, error) {
		req, token, err := versions.BulkAttempt(ctx, forwarded)
		if token == nil {
			return nil, err
		}
		return &coalesce.Attempt{
			Request: req,
			Doubts:  func(why *cluster.Error) bool { return occ.Doubts(token.Failed(why)) },
			Settle: func(ctx context.Context, why *cluster.Error, forwarded bool) (bool, error) {
				return token.Settle(ctx, token.Failed(why), forwarded)
			},
		}, nil
	}
}
