// Command quickstart creates a table on rqlite, fills it, and reads it at two
// consistency levels.
//
//	go run ./quickstart                            # on an embedded server
//	go run ./quickstart rqlite://localhost:4001    # on a cluster
package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"os"
	"text/tabwriter"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/rqlitetest"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
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
	if err := demonstrate(ctx, out, server.DSN()); err != nil {
		return err
	}
	_, err = fmt.Fprint(out, "\nThat was the embedded server. To do the same on a cluster, pass its DSN:\n\n"+
		"  go -C examples run ./quickstart rqlite://localhost:4001\n")
	return err
}

func demonstrate(ctx context.Context, out io.Writer, dsn string) error {
	db, err := sql.Open("rqlite", dsn)
	if err != nil {
		return err
	}
	defer db.Close()

	if err := fill(ctx, db); err != nil {
		return err
	}
	// weak: the leader answers. It is the default; the DSN can set another one.
	if err := show(ctx, out, db, rqlite.Weak); err != nil {
		return err
	}
	// linearizable: nothing that was acknowledged before is missed.
	return show(ctx, out, db, rqlite.Linearizable)
}

func fill(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS quickstart (
			id    INTEGER PRIMARY KEY,
			name  TEXT UNIQUE,
			mass  REAL,
			found DATETIME
		);
		DELETE FROM quickstart`)
	if err != nil {
		return err
	}
	for _, moon := range []struct {
		name  string
		mass  float64 // kg
		found time.Time
	}{
		{"Io", 8.93e22, time.Date(1610, 1, 8, 0, 0, 0, 0, time.UTC)},
		{"Europa", 4.8e22, time.Date(1610, 1, 8, 0, 0, 0, 0, time.UTC)},
		{"Amalthea", 2.08e18, time.Date(1892, 9, 9, 0, 0, 0, 0, time.UTC)},
	} {
		if _, err := db.ExecContext(ctx, "INSERT INTO quickstart(name, mass, found) VALUES (?, ?, ?)",
			moon.name, moon.mass, moon.found); err != nil {
			return err
		}
	}
	return nil
}

// show prints the table as a read at a consistency level sees it.
func show(ctx context.Context, out io.Writer, db *sql.DB, level rqlite.Consistency) error {
	rows, err := db.QueryContext(rqlite.WithConsistency(ctx, level),
		"SELECT id, name, mass, found FROM quickstart WHERE mass > ? ORDER BY mass DESC", 1e18)
	if err != nil {
		return err
	}
	defer rows.Close()

	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "read at %s:\nID\tNAME\tMASS/KG\tFOUND\n", level)
	for rows.Next() {
		var (
			id    int64
			name  string
			mass  float64
			found time.Time
		)
		if err := rows.Scan(&id, &name, &mass, &found); err != nil {
			return err
		}
		fmt.Fprintf(w, "%d\t%s\t%g\t%s\n", id, name, mass, found.Format(time.DateOnly))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return w.Flush()
}
