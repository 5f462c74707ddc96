package rqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

const (
	firstBackoff   = 2 * time.Millisecond
	longestBackoff = 250 * time.Millisecond
)

// txRun is one run of a transaction by RunTx.
type Run struct {
	Again  bool          // after a conflict
	Took   time.Duration // how long the run before it worked
	waited time.Duration // how long this one waits for others
}

type runKey struct{}

// txRunOf returns the run of RunTx that ctx belongs to, or one of its own.
func RunOf(ctx context.Context) *Run {
	if t, ok := ctx.Value(runKey{}).(*Run); ok {
		return t
	}
	return new(Run)
}

// RunTx runs fn in a transaction of db and commits it. When the transaction, or
// the commit, fails with [ErrTxConflict], it is rolled back and run again from the
// start, after a pause with jitter that grows from 2 to 250 milliseconds, until ctx
// ends; the error is the last conflict's then, and that of ctx. A ctx without an end
// means that it is run until it succeeds or fails otherwise. Nil opts are the defaults of BeginTx.
//
// Whatever else fn returns ends the transaction by a rollback, and is returned as
// it is; an error that wraps a conflict counts as one. A panic of fn rolls back and
// goes on. After an unknown outcome, [ErrIndeterminate], fn is never run again.
//
// fn must leave Commit and Rollback to RunTx, and must be ready to run more than
// once: what it does beside the transaction is not taken back.
func RunTx(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(*sql.Tx) error) error {
	return untilNoConflict(ctx, func(ctx context.Context) error { return runOnce(ctx, db, opts, fn) })
}

// untilNoConflict calls run, which carries out a transaction, until it ends without
// ErrTxConflict.
func untilNoConflict(ctx context.Context, run func(context.Context) error) error {
	this := new(Run)
	for backoff := firstBackoff; ; backoff = min(2*backoff, longestBackoff) {
		begun := time.Now()
		err := run(context.WithValue(ctx, runKey{}, this))
		if err == nil || !errors.Is(err, sqlerr.ErrTxConflict) || errors.Is(err, sqlerr.ErrIndeterminate) {
			return err
		}
		this = &Run{Again: true, Took: time.Since(begun) - this.waited}
		if pause(ctx, backoff) != nil {
			return fmt.Errorf("%w (given up: %w)", err, ctx.Err())
		}
	}
}

func runOnce(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}
