package txn

import (
	"context"
	"errors"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// ExecBatch runs the statements of a batch within the transaction. Each fails on its own, or all
// together if the batch is atomic.
func (t *Tx) ExecBatch(ctx context.Context, atomic bool, stmts []bind.Stmt) ([]result.Outcome, error) {
	list, err := t.operations(ctx, stmts, false)
	if err != nil {
		return nil, err
	}
	if list.haveSavepoints() {
		return nil, errors.New("rqlite: a batch cannot hold SAVEPOINT, RELEASE or ROLLBACK TO: use Exec")
	}
	for _, o := range list {
		o.wantsRows = o.Kind == sqltext.Read || o.Returning > 0
		o.needsCounts = false
		o.countsSeen = true
	}
	if err := t.tryUntried(ctx); err != nil {
		return nil, err
	}
	before := len(t.ops)
	results := make([]result.Outcome, len(list))
	var first error
	for next := 0; next < len(list); {
		done, err := t.runAll(ctx, list[next:])
		next += done
		var failure *sqlerr.Error
		switch {
		case err == nil:
			continue
		case !errors.As(err, &failure) || next == len(list) || list[next].failure == "":
			if atomic {
				t.rollbackTo(before)
			}
			return nil, err // the request failed, not a statement
		}
		failure = sqlerr.New(failure.Message, next, len(list))
		t.wentOn = true
		if atomic {
			t.rollbackTo(before)
			return nil, failure
		}
		results[next].Err = failure
		if first == nil {
			first = failure
		}
		next++
	}
	for i, o := range list {
		o.tell(&results[i])
	}
	return results, first
}

// tell writes the operation's result into r.
func (o *operation) tell(r *result.Outcome) {
	if o.Kind == sqltext.Write && o.failure == "" && o.Returning == 0 {
		r.LastInsertID, r.RowsAffected = o.lastInsertID, o.rowsAffected
		o.insertIDSeen = true
	}
	if o.set != nil {
		r.Columns, r.Types, r.Rows = o.set.Columns, o.set.Types, o.set.Rows
		o.set = nil
	}
}
