package autocommit

import (
	"context"
	"errors"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/go-rqlite/rqlite/internal/fuse"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// ExecBatch sends statements to /db/execute, as a transaction if the batch is atomic, and returns
// the outcome of each. The error is the first failure of a statement. Without outcomes it is that
// of the whole batch.
func (c *Session) ExecBatch(ctx context.Context, atomic bool, stmts []bind.Stmt) ([]result.Outcome, error) {
	if setsDeferral(stmts) && !atomic {
		return nil, errors.New("rqlite: PRAGMA defer_foreign_keys belongs to a transaction: set Atomic")
	}
	c.deferral = nil
	stmts, err := c.freezeWrites(ctx, stmts)
	if err != nil {
		return nil, err
	}
	if atomic && (anyNeedsTx(stmts) || bind.AnyTellsConnState(stmts) || !c.undoesReturning(ctx, stmts)) {
		return c.execBatchInTx(ctx, stmts)
	}
	if err := c.oneByOne(stmts); err != nil {
		return nil, sqlerr.Refused(err)
	}
	c.state.Lose()
	if !atomic {
		return c.batchAttempt(ctx, stmts, writeOptions{})
	}
	var a attempt
	var results []result.Outcome
	lost, err := c.untilSettled(ctx, &a, func(ctx context.Context) (err error) {
		results, err = c.atomicAttempt(ctx, stmts, writeOptions{atomic: true, attempt: &a})
		return err
	})
	switch {
	case lost:
		return nil, errAnswerLost
	case sqlerr.IsEarlier(err): // the node's own release is earlier than the other nodes say
		return c.execBatchInTx(ctx, stmts)
	}
	return results, err
}

// atomicAttempt sends an atomic batch, in a fused form if there is one.
func (c *Session) atomicAttempt(ctx context.Context, stmts []bind.Stmt, how writeOptions) ([]result.Outcome, error) {
	results, err := c.execBatchFused(ctx, stmts, how)
	if !errors.Is(err, fuse.ErrRefused) {
		return results, err
	}
	if token := how.attempt.token; token != nil { // a late copy of the fused form must do nothing
		switch applied, err := token.Settle(ctx, err, how.attempt.forwarded); {
		case err != nil:
			return nil, err
		case applied:
			return nil, coalesce.ErrApplied
		}
	}
	return c.batchAttempt(ctx, stmts, how)
}

// batchAttempt sends a batch as it is.
func (c *Session) batchAttempt(ctx context.Context, stmts []bind.Stmt, how writeOptions) ([]result.Outcome, error) {
	req := cluster.Request{Path: cluster.ExecutePath, Params: cluster.WriteParams}
	if how.atomic {
		req.Params += cluster.Transaction
	}
	answer, err := c.writeForRows(ctx, req, stmts, how)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	reader := batchReader{answer: answer, stmts: stmts, values: result.Values{Times: c.engine.Times}, atomic: how.atomic, write: true}
	results, failure := reader.read()
	if results == nil {
		return nil, failure
	}
	if !how.atomic {
		failure = c.tellRowsLost(ctx, stmts, results)
	}
	state := c.engine.Versions.LastState()
	for i := range results {
		results[i].LastInsertID = state.RealRowid(results[i].LastInsertID)
	}
	return results, failure
}

// tellRowsLost corrects the errors of statements that were applied but lost their rows. It returns
// the first failure.
func (c *Session) tellRowsLost(ctx context.Context, stmts []bind.Stmt, results []result.Outcome) (first error) {
	for i := range results {
		if lostItsRows(results[i].Err, &stmts[i]) {
			results[i].Err = c.rowsLost(ctx, results[i].Err)
		}
		if first == nil {
			first = results[i].Err
		}
	}
	return first
}

// execBatchInTx runs an atomic batch in a transaction of its own. That is atomic even where the
// request of a batch would not be.
func (c *Session) execBatchInTx(ctx context.Context, stmts []bind.Stmt) (results []result.Outcome, err error) {
	err = c.InTx(ctx, func(ctx context.Context, t Tx) error {
		results, err = t.ExecBatch(ctx, true, stmts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// QueryBatch sends statements to /db/query. Its errors are those of ExecBatch.
func (c *Session) QueryBatch(ctx context.Context, atomic bool, stmts []bind.Stmt) ([]result.Outcome, error) {
	c.deferral = nil
	stmts, err := c.state.Apply(stmts)
	if err != nil {
		return nil, sqlerr.Refused(err)
	}
	params, leader, err := c.engine.ReadParams(ctx, explain(stmts), occ.AsksAsSet)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	req := c.engine.readRequest(cluster.WithDeadline(params, deadline), leader, stmts)
	if atomic {
		req.Params += cluster.Transaction
	}
	answer, err := c.engine.send(ctx, req, stmts)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	reader := batchReader{answer: answer, stmts: stmts, values: result.Values{Times: c.engine.Times}, atomic: atomic}
	return reader.read()
}

// OnlyReads refuses statements that do not only read. The server refuses them as well, except for a
// PRAGMA, which changes one of its read connections for good.
func OnlyReads(stmts []bind.Stmt) error {
	for i := range stmts {
		if stmts[i].Kind != sqltext.Read && stmts[i].Kind != sqltext.Unknown {
			return &sqlerr.Error{Message: "it does not only read: use Exec", Code: sqlerr.ReadOnly, ExtendedCode: sqlerr.ReadOnly, Statement: i, Statements: len(stmts)}
		}
	}
	return nil
}

// batchReader reads the answer to a batch.
type batchReader struct {
	answer *cluster.Answer
	stmts  []bind.Stmt
	values result.Values
	atomic bool
	write  bool
}

// read reads the answer to its end. It returns the results, and the failure of the first statement that failed. Without results the
// failure is that of the whole batch.
func (r *batchReader) read() ([]result.Outcome, error) {
	results := make([]result.Outcome, len(r.stmts))
	var first error
	for i := range results {
		if err := r.entry(&results[i], i); err != nil {
			return nil, err
		}
		failure := results[i].Err
		if r.atomic && failure != nil && !errors.Is(failure, sqlerr.ErrRowsLost) {
			return nil, r.rolledBack(failure)
		}
		if first == nil {
			first = failure
		}
	}
	if err := r.answer.End(); err != nil {
		return nil, sqlerr.From(err)
	}
	return results, first
}

// rolledBack returns the failure of an atomic batch. If the batch writes, it demands that the
// server has rolled back the entries before it.
func (r *batchReader) rolledBack(failure error) error {
	if r.write {
		if err := r.answer.Undone(); err != nil {
			return sqlerr.From(err)
		}
	}
	return failure
}

// entry reads the entry of the statement at position i.
func (r *batchReader) entry(into *result.Outcome, i int) error {
	entry, err := r.answer.Next()
	if err != nil {
		return sqlerr.From(err)
	}
	if r.stmts[i].Kind == sqltext.Write {
		into.LastInsertID, into.RowsAffected = entry.LastInsertID, entry.RowsAffected
	}
	set, err := result.Read(r.answer, entry, &r.values, nil)
	var unread *result.UnreadableValue
	switch {
	case errors.As(err, &unread):
		return result.Unreadable(sqlerr.At(err, i, len(r.stmts)), r.write)
	case err != nil:
		return sqlerr.From(err)
	}
	into.Columns, into.Types, into.Rows = set.Columns, set.Types, set.Rows
	switch message := r.answer.Result().Error; {
	case message != "":
		into.Err = sqlerr.Failed(message, i, len(r.stmts), r.write)
	case r.stmts[i].Returning > 0 && len(entry.Columns) == 0:
		into.Err = result.ErrNotReturned(i, len(r.stmts))
	}
	return nil
}
