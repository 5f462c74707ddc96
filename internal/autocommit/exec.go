package autocommit

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// execResult is the server's answer to a write.
type execResult struct {
	lastInsertID, rowsAffected int64
}

// LastInsertId implements driver.Result.
func (r execResult) LastInsertId() (int64, error) { return r.lastInsertID, nil }

// RowsAffected implements driver.Result.
func (r execResult) RowsAffected() (int64, error) { return r.rowsAffected, nil }

// Exec runs a script and returns the result of its last statement. The first failure ends the
// script, and the statements before it stay applied, as in SQLite.
//
// rqlite goes on after a failed statement unless the request is a transaction, and a transaction
// leaves nothing. So several statements go out as one transaction first. If that fails, it has left
// nothing, and the statements go out one by one. A node that forwards may have sent the transaction
// twice, so that a failure says nothing of the first time. There the statements go out one by one
// at once.
func (c *Session) Exec(ctx context.Context, stmts []bind.Stmt) (driver.Result, error) {
	stmts, err := c.freezeWrites(ctx, stmts)
	switch {
	case err != nil:
		return nil, err
	case setsDeferral(stmts):
		return c.execEach(ctx, stmts)
	}
	c.deferral = nil
	if len(stmts) == 1 {
		return c.execOne(ctx, stmts)
	}
	if c.canShareTransaction(ctx, stmts) && !c.engine.Nodes.Forwarding() {
		r, err := c.execRequest(ctx, stmts, true)
		var failed *sqlerr.Error
		switch {
		case !errors.As(err, &failed):
			return r, err
		case c.engine.Nodes.Forwarding() && !c.engine.Versions.LeavesTokens(): // perhaps already when it was sent
			return nil, sqlerr.Of(sqlerr.ErrIndeterminate, fmt.Errorf("rqlite: the transaction may have been forwarded twice: %s", failed.Message))
		}
	}
	return c.execEach(ctx, stmts)
}

// canShareTransaction reports whether statements have the same effect in one transaction as one by
// one, provided that none fails, and none if one does.
func (c *Session) canShareTransaction(ctx context.Context, stmts []bind.Stmt) bool {
	for i := range stmts {
		switch stmts[i].Kind {
		case sqltext.Write, sqltext.Schema, sqltext.Read:
			if stmts[i].ConflictFail {
				return false
			}
		case sqltext.Unknown, sqltext.Pragma, sqltext.Control, sqltext.Maintenance:
			return false
		}
	}
	return !anyNeedsTx(stmts) && !bind.AnyTellsConnState(stmts) && c.undoesReturning(ctx, stmts)
}

// execEach sends each statement in a request of its own.
func (c *Session) execEach(ctx context.Context, stmts []bind.Stmt) (driver.Result, error) {
	var last driver.Result = execResult{}
	for i := range stmts {
		if c.note(&stmts[i]) {
			last = execResult{}
			continue
		}
		r, err := c.execOne(ctx, stmts[i:i+1])
		if err != nil {
			return nil, inScript(err, i, len(stmts))
		}
		last = r
	}
	return last, nil
}

// execOne sends one statement in a request of its own.
func (c *Session) execOne(ctx context.Context, one []bind.Stmt) (driver.Result, error) {
	one, err := c.state.Apply(one)
	if err != nil {
		return nil, sqlerr.Refused(err)
	}
	switch {
	case one[0].Kind == sqltext.Pragma && useOfPragma(one[0].Statement).ignored:
		return execResult{}, nil
	case setsForeignKeys(one[0]) && !c.engine.SendForeignKeys:
		return execResult{}, c.agreeOnForeignKeys(ctx, one[0])
	}
	if needsTx(one[0]) {
		return c.execInTx(ctx, one)
	}
	return c.execRequest(ctx, one, false)
}

// execInTx runs one statement in a transaction of its own.
func (c *Session) execInTx(ctx context.Context, one []bind.Stmt) (r driver.Result, err error) {
	err = c.InTx(ctx, func(ctx context.Context, t Tx) error {
		r, err = t.Exec(ctx, one)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// inScript turns the error of a request into that of a script: it says which statement failed. The
// request's error may say that nothing was applied, but the statements before it were. So only
// cancellation, ErrIndeterminate and ErrRowsLost stay visible to errors.Is.
func inScript(err error, statement, statements int) error {
	var failed *sqlerr.Error
	if errors.As(err, &failed) {
		return sqlerr.New(failed.Message, statement, statements)
	}
	if statement == 0 {
		return err
	}
	told := fmt.Errorf("statement %d of %d, and those before it were applied: %s", statement+1, statements, strings.TrimPrefix(err.Error(), "rqlite: "))
	for _, kept := range []error{sqlerr.ErrIndeterminate, sqlerr.ErrRowsLost, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, kept) {
			return sqlerr.Told(told, kept)
		}
	}
	return fmt.Errorf("rqlite: %w", told)
}

// execRequest sends statements as one request and returns the result of the last.
func (c *Session) execRequest(ctx context.Context, stmts []bind.Stmt, atomic bool) (driver.Result, error) {
	a := attempt{goesOn: atomic}
	var r driver.Result
	lost, err := c.untilSettled(ctx, &a, func(ctx context.Context) (err error) {
		r, err = c.execAttempt(ctx, stmts, writeOptions{atomic: atomic, attempt: &a})
		return err
	})
	switch {
	case err != nil:
		c.state.Lost(slices.ContainsFunc(stmts, func(one bind.Stmt) bool { return one.Insert }), true)
		return nil, err
	case lost:
		c.state.Lose()
		return lostResult{}, nil
	}
	return r, nil
}

func (c *Session) execAttempt(ctx context.Context, stmts []bind.Stmt, how writeOptions) (driver.Result, error) {
	last := &stmts[len(stmts)-1]
	statements := len(stmts)
	if last.Returning > 0 {
		stmts = append(stmts[:statements:statements], bind.ResultProbe)
	}
	params := cluster.WriteParams
	if how.atomic {
		params += cluster.Transaction
	}
	answer, err := c.write(ctx, cluster.Request{Path: cluster.ExecutePath, Params: params}, stmts, how)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	atomic := how.isAtomic()
	entry, err := readEntries(answer, len(stmts), statements, atomic)
	if !atomic && lostItsRows(err, last) {
		err = c.withoutRows(ctx, entry, err)
	}
	if err != nil {
		return nil, err
	}
	if err := answer.End(); err != nil {
		return nil, sqlerr.From(err)
	}
	if writesBefore(stmts[:statements]) {
		c.state.Lose()
	}
	if last.Kind != sqltext.Write {
		return execResult{}, nil // the numbers are those of an earlier write
	}
	r := execResult{lastInsertID: c.engine.Versions.LastState().RealRowid(entry.LastInsertID), rowsAffected: entry.RowsAffected}
	if r.lastInsertID == 0 && entry.LastInsertID != 0 { // nothing was inserted, and the last rowid was a token's
		r.lastInsertID = c.state.Rowid()
	}
	c.state.Wrote(last.Statement, r.lastInsertID, r.rowsAffected)
	return r, nil
}

// withoutRows returns nil if a statement with RETURNING was applied. The program does not want its
// rows, so it is no failure that the server could not send them. The probe behind the statement
// tells how many there were.
func (c *Session) withoutRows(ctx context.Context, probe wire.Result, why error) error {
	if probe.RowsAffected > 0 || c.defersNothing(ctx) {
		return nil
	}
	return perhapsUndone(why)
}

// writesBefore reports whether a statement before the last one writes.
func writesBefore(stmts []bind.Stmt) bool {
	return slices.ContainsFunc(stmts[:len(stmts)-1], func(one bind.Stmt) bool { return one.Kind != sqltext.Read })
}

// readEntries reads the entries of a request and returns the last one. The error is the first
// failure of a statement, unless the request failed as a whole. An atomic request ends with that
// failure.
func readEntries(answer *cluster.Answer, entries, statements int, atomic bool) (last wire.Result, err error) {
	var failure error
	for i := range entries {
		entry, err := answer.Next()
		if err != nil {
			return last, sqlerr.From(err)
		}
		last = *entry
		if last.Error == "" || failure != nil {
			continue
		}
		failure = sqlerr.New(last.Error, i, statements)
		if !atomic {
			continue
		}
		if err := answer.Undone(); err != nil {
			return last, sqlerr.From(err)
		}
		return last, failure
	}
	return last, failure
}
