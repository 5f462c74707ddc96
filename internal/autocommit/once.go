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
	// only because of it. forwarded says that a node may send it twice. leave sets them, and write resets
	// token.
	token     *occ.Token
	alone     bool
	forwarded bool
	begun     time.Time // when the first attempt with a token began
	tokens    int       // how many attempts have left one
	plain     bool      // the write must not go as a transaction
	apart     bool      // the write could go with others, and goes alone after all. write sets it
	// goesOn says that the statements are sent one by one if the transaction fails. Exec sets it.
	goesOn bool
}

// reset forgets the token of an attempt that was not sent, or has ended.
func (a *attempt) reset() {
	if a != nil {
		a.token = nil
	}
}

// untilSettled makes attempts at a write until it is known what became of it. lost says that it was
// applied, and that its answer was lost.
func (c *Session) untilSettled(ctx context.Context, a *attempt, try func(ctx context.Context) error) (lost bool, err error) {
	for {
		within, cancel := c.within(ctx, a)
		err := try(within)
		if err != nil || a.token != nil { // else the program may still read rows
			cancel()
		}
		again, lost, err := c.settle(ctx, a, err)
		if !again {
			return lost, err
		}
	}
}

// settle looks at how an attempt has ended. again says that there has to be another one. lost says that it
// was applied, and that its answer was lost. Else the error is that of the write.
func (c *Session) settle(ctx context.Context, a *attempt, err error) (again, lost bool, _ error) {
	token := a.token
	a.reset()
	if err == nil {
		return false, false, nil
	}
	var statement *sqlerr.Error
	switch {
	case errors.Is(err, coalesce.ErrApplied):
		return false, true, nil
	case token == nil:
		return false, false, err
	case errors.Is(err, occ.ErrNoToken) && a.alone:
		a.plain = true
		return true, false, nil
	case occ.Doubts(err):
		return c.tryAgain(ctx, a, token, err)
	case !errors.As(err, &statement):
		return false, false, err // it was not sent
	}
	plain := a.alone && c.differsInTx(ctx, statement)
	if !plain && !a.goesOn && !a.forwarded {
		return false, false, err
	}
	// A copy that arrives late must do nothing.
	settling, cancel := c.engine.Versions.Until(ctx, a.begun)
	defer cancel()
	applied, unknown := token.Settle(settling, err, a.forwarded)
	switch {
	case unknown != nil:
		return false, false, unknown
	case applied:
		return false, true, nil
	}
	a.plain = plain
	return plain, false, err
}

// within returns the context of the next attempt. The first one has that of the call. Further ones end with
// the timeout of the write.
func (c *Session) within(ctx context.Context, a *attempt) (context.Context, context.CancelFunc) {
	if a.tokens == 0 || a.plain {
		return ctx, func() {}
	}
	return c.engine.Versions.Until(ctx, a.begun)
}

// tryAgain finds out what became of an attempt in doubt. If it was not applied, there is another one,
// unless the time is over.
func (c *Session) tryAgain(ctx context.Context, a *attempt, token *occ.Token, why error) (again, lost bool, err error) {
	settling, cancel := c.engine.Versions.Until(ctx, a.begun)
	defer cancel()
	applied, err := token.Settle(settling, why, a.forwarded)
	if err != nil || applied {
		return false, applied, err
	}
	coalesce.PauseBefore(settling, a.tokens)
	if settling.Err() != nil {
		return false, false, fmt.Errorf("rqlite: the write was not applied, nor will it be: %w", settling.Err())
	}
	return true, false, nil
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
func (c *Session) differsInTx(ctx context.Context, failed *sqlerr.Error) bool {
	return strings.HasPrefix(failed.Message, sqlerr.BadTime) || failed.ExtendedCode != sqlerr.ConstraintForeignKey && c.engine.keepsOnFailure(ctx)
}

// leave lets an attempt leave a token if it may, and makes a request a transaction then.
func (c *Session) leave(ctx context.Context, req *cluster.Request, stmts []bind.Stmt, how writeOptions) error {
	e, a := c.engine, how.attempt
	if a == nil || a.plain {
		return nil
	}
	a.alone, a.forwarded = !how.atomic, e.Nodes.Forwarding()
	if a.alone && !a.apart && !e.TokensAlone && !a.forwarded || !c.isTransaction(ctx, stmts) {
		return nil
	}
	token, err := e.Versions.NewToken(ctx, a.forwarded)
	if token == nil {
		return err
	}
	if a.tokens == 0 {
		a.begun = time.Now()
	}
	a.token, a.tokens = token, a.tokens+1
	req.Frame = token.Frame(false)
	if !how.atomic {
		req.Params += cluster.Transaction
	}
	return nil
}

// isAtomic reports whether the attempt went as a transaction.
func (h writeOptions) isAtomic() bool { return h.atomic || h.attempt != nil && h.attempt.token != nil }
