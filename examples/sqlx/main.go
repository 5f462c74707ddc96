// Command sqlx keeps a list of places by sqlx.
//
//	go run ./sqlx                            # on an embedded server
//	go run ./sqlx rqlite://localhost:4001    # on a cluster
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	_ "github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/jmoiron/sqlx"
)

// place is a row of the table.
type place struct {
	Country string `db:"country"`
	City    string `db:"city"`
	Code    int    `db:"telcode"`
}

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
	db, err := sqlx.ConnectContext(ctx, "rqlite", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "DROP TABLE IF EXISTS places; CREATE TABLE places (country TEXT, city TEXT, telcode INTEGER)")
	if err != nil {
		return err
	}
	places := []place{{"Belgium", "Ghent", 9}, {"Belgium", "Bruges", 50}, {"Italy", "Siena", 577}}
	if _, err := db.NamedExecContext(ctx, "INSERT INTO places (country, city, telcode) VALUES (:country, :city, :telcode)", places); err != nil {
		return err
	}
	query, args, err := sqlx.In("SELECT * FROM places WHERE country IN (?) ORDER BY city", []string{"Belgium", "France"})
	if err != nil {
		return err
	}
	var found []place
	if err := db.SelectContext(ctx, &found, query, args...); err != nil {
		return err
	}
	for _, p := range found {
		fmt.Fprintln(out, p.City, p.Code)
	}
	return nil
}
