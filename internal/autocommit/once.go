package autocommit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// lostResult is the result of a write that was applied, and whose answer was lost.
type lostResult struct{}

// LastInsertId implements driver.Result.
func (lostResult) LastInsertId() (int64, error) { return 0, errNumbersLost }

// RowsAffected implements driver.Result.
func (lostResult) RowsAffected() (int64, error) { return 0, errNumbersLost }

var (
	errNumbersLost = sqlerr.Told(errors.New("the write was applied, but the answer that told its numbers was lost"), sqlerr.ErrRowsLost)
	errAnswerLost  = sqlerr.Told(errors.New("the write was applied, but the answer that told its results was lost"), sqlerr.ErrRowsLost)
)

// attempt is what is known of the attempts at a write, of which one is applied, at most. The zero value
// is the state before the first.
type attempt struct {
	// token is what the last attempt has left, nil for none. alone says that the attempt is a transaction
	// only because of it. leave sets both.
	token *occ.Token
	alone bool
	begun time.Time // when the first attempt with a token began
	plain bool      // the write must not go as a transaction
	apart bool      // the write was to go with others, and goes alone after all. write sets it
	// goesOn says that the statements are sent one by one if the transaction fails. Exec sets it.
	goesOn bool
}

// settle looks at how an attempt has ended. again says that there has to be another one. lost says that it
// was applied, and that its answer was lost. Else the error is that of the write.
func (c *Session) settle(ctx context.Context, a *attempt, err error) (again, lost bool, _ error) {
	token := a.token
	switch {
	case err == nil:
		return false, false, nil
	case errors.Is(err, coalesce.ErrApplied):
		return false, true, nil
	case token == nil:
		return false, false, err
	}
	a.token = nil
	if a.alone && c.differsInTx(ctx, err) {
		a.plain = true
		return true, false, nil
	}
	settling, cancel := c.engine.Versions.Until(ctx, a.begun)
	defer cancel()
	if !occ.Doubts(err) {
		return c.failed(settling, a, token, err)
	}
	applied, err := token.Settle(settling, err)
	if err == nil && !applied && ctx.Err() != nil {
		err = fmt.Errorf("rqlite: the write was not applied, nor will it be: %w", ctx.Err())
	}
	return err == nil && !applied, applied, err
}

// failed looks at an attempt in which a statement has failed. If a copy of it may arrive later, as where
// nodes forward requests, or if the statements are to be sent in another form, it makes sure that the copy
// does nothing.
func (c *Session) failed(ctx context.Context, a *attempt, token *occ.Token, why error) (again, lost bool, err error) {
	if !a.goesOn && !c.engine.Nodes.Forwarding() {
		return false, false, why
	}
	switch applied, err := token.Settle(ctx, why); {
	case err != nil:
		return false, false, sqlerr.Of(sqlerr.ErrIndeterminate, fmt.Errorf("a statement has failed, and it could not be made sure that a copy of the request does nothing: %s", strings.TrimPrefix(why.Error(), "rqlite: ")))
	case applied:
		return false, true, nil
	}
	return false, false, why
}

// isTransaction reports whether statements do the same in a transaction of their own, as far as their
// texts tell.
func (c *Session) isTransaction(ctx context.Context, stmts []bind.Stmt) bool {
	for i := range stmts {
		if !stmts[i].Added && (stmts[i].Kind != sqltext.Write && stmts[i].Kind != sqltext.Schema && stmts[i].Kind != sqltext.Read || stmts[i].ConflictFail) {
			return false
		}
	}
	return c.undoesReturning(ctx, stmts)
}

// differsInTx reports whether a statement has failed that may not do so, or leave something behind,
// outside of a transaction. There the server applies a statement whose rows it cannot send. And SQLite
// keeps the rows before the one that violates a constraint with ON CONFLICT FAIL, which does not apply to
// foreign keys, or before RAISE(FAIL) (https://www.sqlite.org/lang_conflict.html).
func (c *Session) differsInTx(ctx context.Context, err error) bool {
	var failed *sqlerr.Error
	if !errors.As(err, &failed) {
		return false
	}
	return strings.HasPrefix(failed.Message, sqlerr.BadTime) || failed.ExtendedCode != sqlerr.ConstraintForeignKey && c.engine.keepsOnFailure(ctx)
}

// leave lets an attempt leave a token if it may, and makes a request a transaction then.
func (c *Session) leave(ctx context.Context, req *cluster.Request, stmts []bind.Stmt, how writeOptions) error {
	e, a := c.engine, how.attempt
	if a == nil || a.plain || !c.isTransaction(ctx, stmts) {
		return nil
	}
	a.alone = !how.atomic
	if a.alone && !a.apart && !e.TokensAlone && !e.Nodes.Forwarding() {
		return nil
	}
	token, err := e.Versions.NewToken(ctx)
	if token == nil {
		return err
	}
	if a.token = token; a.begun.IsZero() {
		a.begun = time.Now()
	}
	req.Frame = token.Frame(false)
	if !how.atomic {
		req.Params += cluster.Transaction
	}
	return nil
}

// isAtomic reports whether the attempt went as a transaction.
func (h writeOptions) isAtomic() bool { return h.atomic || h.attempt != nil && h.attempt.token != nil }
