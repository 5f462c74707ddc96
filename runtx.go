package rqlite

import (
	"context"
	"database/sql"

	"github.com/go-rqlite/rqlite/internal/txn"
)

// RunTx runs fn in a transaction of db and commits it. If the transaction or the commit fails with
// [ErrTxConflict], RunTx rolls it back and runs it again from the start, after a pause with jitter
// that grows from 2 to 250 milliseconds. It does so until ctx ends. Then the error is that of the
// last conflict, and that of ctx. If ctx never ends, RunTx goes on until the transaction succeeds
// or fails otherwise. Nil opts are the defaults of BeginTx.
//
// Any other error of fn rolls the transaction back, and RunTx returns it as it is. An error that
// wraps a conflict counts as one. A panic of fn rolls back and goes on. After an unknown outcome,
// [ErrIndeterminate], RunTx never runs fn again.
//
// fn must leave Commit and Rollback to RunTx, and must be ready to run more than once: only the
// transaction is rolled back, not the other effects of fn.
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
