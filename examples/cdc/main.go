// Command cdc follows a table: it prints the changes that rqlite posts, while another
// goroutine writes.
//
//	go run ./cdc
//
// It runs on an embedded server. With a real one, rqlited is started with a file by
// -cdc-config that has the URL of the program as its endpoint.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/cdc"
	"github.com/go-rqlite/rqlite/rqlitetest"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run starts the receiver and the server, writes, and returns when all changes have
// been printed.
func run(ctx context.Context, out io.Writer) (err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	finished := make(chan struct{})
	receiver := &http.Server{
		Handler:           cdc.NewHandler(follow(out, finished), nil),
		ReadHeaderTimeout: 10 * time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- receiver.Serve(listener) }()
	defer func() {
		// Shutdown waits for the post that is being handled.
		if shutdownErr := receiver.Shutdown(ctx); err == nil {
			err = shutdownErr
		}
		if serveErr := <-served; err == nil && !errors.Is(serveErr, http.ErrServerClosed) {
			err = serveErr
		}
	}()

	server, err := rqlitetest.Start(rqlitetest.Config{CDC: &rqlitetest.CDCConfig{
		Endpoint:      "http://" + listener.Addr().String(),
		ServiceID:     "example",
		TableFilter:   regexp.MustCompile("^[^_]"), // without the driver's own table
		MaxBatchDelay: 10 * time.Millisecond,
	}})
	if err != nil {
		return err
	}
	defer server.Close()

	written := make(chan error, 1)
	go func() { written <- write(ctx, server.DSN()) }()
	select {
	case <-finished:
		return <-written
	case err := <-written:
		if err != nil {
			return err
		}
	}
	select { // all is written, and some of it not posted yet
	case <-finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// follow returns a callback that prints changes, and closes finished with the last.
func follow(out io.Writer, finished chan<- struct{}) func(context.Context, []cdc.Change) error {
	return func(_ context.Context, changes []cdc.Change) error {
		for _, c := range changes {
			switch c.Op {
			case cdc.Update:
				fmt.Fprintf(out, "%-6s %s %d: %v -> %v\n", c.Op, c.Table, c.NewRowID, c.Before["state"], c.After["state"])
			default:
				fmt.Fprintf(out, "%-6s %s %v: %v\n", c.Op, c.Table, c.Row()["id"], c.Row()["state"])
			}
			if c.Op == cdc.Delete {
				close(finished)
			}
		}
		return nil
	}
}

// write changes the table in the ways that there are.
func write(ctx context.Context, dsn string) error {
	db, err := sql.Open("rqlite", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT)"); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO orders (state) VALUES (?), (?)", "new", "new"); err != nil {
		return err
	}
	batch := rqlite.Batch{Atomic: true}
	batch.Add("INSERT INTO orders (state) VALUES (?)", "new")
	batch.Add("UPDATE orders SET state = ? WHERE id = ?", "paid", 1)
	if _, err := batch.Exec(ctx, db); err != nil {
		return err
	}
	return rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE orders SET state = ? WHERE state = ?", "sent", "paid"); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM orders WHERE id = ?", 2)
		return err
	})
}
