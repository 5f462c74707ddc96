package txn

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// canWait reports whether operations may wait on the client, because nobody needs their results.
func (t *Tx) canWait(list operations) bool {
	if t.Mode == Interactive {
		return false
	}
	for _, o := range list {
		if !o.isWrite || o.countsSeen || o.SharesRandom || o.clears || o.Calls&(sqltext.CallsChanges|sqltext.CallsLastInsertRowid) != 0 && o.Kind == sqltext.Write {
			return false
		}
		h := t.historyOf(o)
		if h.triesAtOnce || !t.Mode.waits(o.Kind, h.succeeded, t.wentOn) {
			return false
		}
		if o.Returning > 0 || o.wantsRows {
			if !o.wantsRows || len(list) > 1 {
				return false
			}
			if o.told = h.ids.nextRows(o); o.told == nil {
				return false
			}
		}
	}
	return true
}

// wait adds operations to those that wait.
func (t *Tx) wait(ctx context.Context, list operations) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, o := range list {
		t.begun(o)
		t.historyOf(o).ids.waits(o)
		if told := o.told; told != nil {
			o.set = &result.Set{Columns: told.Columns, Types: told.Types, Rows: slices.Clone(told.Rows)} // reading a set takes its rows away
			o.foreseen = true
		}
		o.tx = t
		t.untried = append(t.untried, o)
		t.recordSchema(o)
	}
	return nil
}

// tryUntried runs the operations that wait, in a trial.
func (t *Tx) tryUntried(ctx context.Context) error {
	if t.failed != nil {
		return t.failed
	}
	if !t.untried.attempted() {
		t.settleUntried()
		return nil
	}
	t.keepRows()
	defer t.unlockIdle()
	_, _, err := t.try(ctx, nil)
	return err
}

// try runs the operations that wait, and behind them fresh ones, in one trial. It returns how many
// of the fresh ones have succeeded, and the failure of the next one.
func (t *Tx) try(ctx context.Context, fresh operations) (done int, failure, err error) {
	for _, o := range fresh {
		t.begun(o)
		o.tellsID = t.Mode != Interactive && o.wantsReturning() && t.historyOf(o).ids.asksRowid()
	}
	done, failure, err = t.speculate(ctx, t.untried, fresh)
	if err != nil {
		return 0, nil, err
	}
	for _, o := range t.untried {
		t.learn(o)
	}
	for _, o := range fresh[:done] {
		t.learn(o)
	}
	t.settleUntried()
	if failure != nil && fresh[done].failure != "" {
		t.env.Texts.Add(fresh[done].source, fails)
	}
	return done, failure, nil
}

// settleUntried makes the operations that waited ordinary ones.
func (t *Tx) settleUntried() {
	for _, o := range t.untried {
		o.tx = nil
		t.notes(o, true)
	}
	t.ops = append(t.ops, t.untried...)
	t.untried = nil
}

// late fails the transaction because a statement has failed that had waited. The connector runs it
// at once from now on.
func (t *Tx) late(o *operation, message string) error {
	t.env.Texts.Add(o.source, fails)
	if t.Run.late == nil {
		t.Run.late = make(map[string]bool)
	}
	t.Run.late[o.source] = true
	failed := sqlerr.New(message, -1, 0)
	failed.Message = fmt.Sprintf("%s (execution %d of a statement that the transaction sent later, together with others), "+
		"and nothing was applied; run the transaction again, as RunTx does: the statement then runs at once", failed.Message, o.execution)
	t.failed = sqlerr.Of(sqlerr.ErrTxConflict, failed)
	return t.failed
}

// wrong fails the transaction because an id was foreseen wrongly.
func (t *Tx) wrong(o *operation) error {
	t.env.Texts.Add(o.source, misforeseen)
	return t.conflict(fmt.Sprintf("an id that the program was told, of execution %d of an INSERT, is another by now", o.execution))
}

// tell gives the operations that wait their final state, at the end of the transaction.
func (l operations) tell(err error) {
	for _, o := range l {
		if o.tx = nil; err != nil {
			o.err = err
		}
	}
}

var (
	errResultsLost = sqlerr.Told(errors.New("the transaction was committed, but the answer that told its results was lost"), sqlerr.ErrRowsLost)
	errNotRun      = errors.New("rqlite: the transaction was rolled back before the statement ran, so that it has no result")
)
