// Command gorqlite-stdlib takes turns with gorqlite's database/sql driver for
// cmd/report and the benchmarks, which start it. The driver registers itself under
// the name "rqlite", as ours does, so that both cannot be in one process.
//
//	gorqlite-stdlib URL insert|select SQL GOROUTINES
//
// It reads orders from the standard input, and writes what it measured.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/rqlite/gorqlite"
	_ "github.com/rqlite/gorqlite/stdlib"

	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

func main() {
	if err := serve(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gorqlite-stdlib:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, args []string) (err error) {
	if len(args) != 4 {
		return errors.New("usage: gorqlite-stdlib URL insert|select SQL GOROUTINES")
	}
	url, kind, query := args[0], args[1], args[2]
	goroutines, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	var sockets load.Sockets
	// All of its connections use this client. Left as it is, it keeps two sockets.
	gorqlite.DefaultHTTPClient = &http.Client{
		Transport: load.Transport(goroutines, &sockets),
		Timeout:   gorqlite.DefaultHTTPClient.Timeout,
	}
	db, err := sql.Open("rqlite", url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxIdleConns(goroutines)
	do := load.Insert(db, query)
	if kind == "select" {
		do = load.Select(db, query)
	}
	return load.Serve(ctx, os.Stdin, os.Stdout, func(ctx context.Context, order load.Order) (load.Turn, error) {
		turn, err := load.Run(ctx, order, do)
		turn.Sockets = sockets.Most()
		return turn, err
	})
}
