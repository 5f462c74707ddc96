package rqlite

import (
	"context"
	"database/sql"

	"github.com/go-rqlite/rqlite/internal/txn"
)

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
	return txn.UntilNoConflict(ctx, func(ctx context.Context) error { return runOnce(ctx, db, opts, fn) })
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
