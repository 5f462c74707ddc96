// Command transactions moves money between accounts, from several goroutines
// that get in each other's way, and shows that none is lost.
//
//	go run ./transactions                            # on an embedded server
//	go run ./transactions rqlite://localhost:4001    # on a cluster
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/rqlitetest"
)

const (
	accounts  = 5
	programs  = 3 // each with a database of its own, as separate processes have
	transfers = 20
	opening   = 100
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

// run does the whole of it, on the cluster of the DSN in args or, without
// one, on an embedded server.
func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) > 0 {
		return demonstrate(ctx, out, args[0])
	}
	server, err := rqlitetest.Start(rqlitetest.Config{})
	if err != nil {
		return err
	}
	defer server.Close()
	return demonstrate(ctx, out, server.DSN())
}

func demonstrate(ctx context.Context, out io.Writer, dsn string) error {
	db, err := sql.Open("rqlite", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := open(ctx, db); err != nil {
		return err
	}
	var all sync.WaitGroup
	errs := make([]error, programs)
	for i := range errs {
		all.Go(func() { errs[i] = program(ctx, dsn) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var total int
	if err := db.QueryRowContext(ctx, "SELECT sum(balance) FROM accounts").Scan(&total); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d transfers by %d programs: the accounts hold %d, as before\n", programs*transfers, programs, total)
	return err
}

// open makes the accounts, all of them or none.
func open(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS accounts"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0))"); err != nil {
		return err
	}
	for range accounts {
		if _, err := tx.ExecContext(ctx, "INSERT INTO accounts(balance) VALUES (?)", opening); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func program(ctx context.Context, dsn string) error {
	db, err := sql.Open("rqlite", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	for range transfers {
		from, to := 1+rand.N(accounts), 1+rand.N(accounts)
		// RunTx runs the function again when another program was faster.
		err := rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error { return transfer(ctx, tx, from, to) })
		if err != nil {
			return err
		}
	}
	return nil
}

// transfer moves a random part of an account, as far as there is one.
func transfer(ctx context.Context, tx *sql.Tx, from, to int) error {
	var balance int
	if err := tx.QueryRowContext(ctx, "SELECT balance FROM accounts WHERE id = ?", from).Scan(&balance); err != nil {
		return err
	}
	amount := rand.N(balance + 1)
	if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = ? WHERE id = ?", balance-amount, from); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + ? WHERE id = ?", amount, to)
	return err
}
