package rqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/go-rqlite/rqlite"
)

// must ends the program of an example.
func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// open opens the database of the examples.
func open() *sql.DB {
	db, err := sql.Open("rqlite", dsn)
	must(err)
	return db
}

func Example() {
	db, err := sql.Open("rqlite", dsn) // rqlite://user:password@node1:4001,node2:4001
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT name, mass FROM moons WHERE mass > ? ORDER BY name", 1e20)
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var mass float64
		if err := rows.Scan(&name, &mass); err != nil {
			log.Fatal(err)
		}
		fmt.Println(name, mass)
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Europa 4.8e+22
	// Io 8.93e+22
}

// A write gives the id of its row.
func Example_exec() {
	db := open()
	defer db.Close()
	result, err := db.Exec("INSERT INTO moons(name) VALUES (?)", "Ganymede")
	must(err)
	id, err := result.LastInsertId()
	must(err)
	fmt.Println(id)
	// Output: 3
}

// One read misses nothing that was acknowledged before it. The level of the DSN holds for the
// others.
func ExampleWithConsistency() {
	db := open()
	defer db.Close()
	ctx := rqlite.WithConsistency(context.Background(), rqlite.Linearizable)
	var count int
	must(db.QueryRowContext(ctx, "SELECT count(*) FROM moons").Scan(&count))
	fmt.Println(count)
	// Output: 2
}

// A node near the program answers, if it has heard from the leader within the last second.
func ExampleWithFreshness() {
	db := open()
	defer db.Close()
	ctx := rqlite.WithConsistency(context.Background(), rqlite.None)
	ctx = rqlite.WithFreshness(ctx, time.Second, false)
	var count int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM moons").Scan(&count)
	fmt.Println(count, errors.Is(err, rqlite.ErrStaleRead))
	// Output: 2 false
}

// A transaction of database/sql. It may conflict with the writes of other programs.
func Example_transaction() {
	db := open()
	defer db.Close()
	tx, err := db.Begin()
	must(err)
	defer tx.Rollback()
	_, err = tx.Exec("UPDATE accounts SET balance = balance - 10 WHERE id = ?", 1)
	must(err)
	_, err = tx.Exec("UPDATE accounts SET balance = balance + 10 WHERE id = ?", 2)
	must(err)
	if err := tx.Commit(); errors.Is(err, rqlite.ErrTxConflict) {
		fmt.Println("nothing was applied; run it again")
	}
}

// RunTx runs a function again when its transaction meets a conflict. So the function has no effects
// but those of its statements.
func ExampleRunTx() {
	db := open()
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
		var balance int
		if err := tx.QueryRowContext(ctx, "SELECT balance FROM accounts WHERE id = ?", 1).Scan(&balance); err != nil {
			return err
		}
		if balance < 10 {
			return errors.New("there is not enough")
		}
		_, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = ? WHERE id = ?", balance-10, 1)
		return err
	})
	if err != nil {
		log.Print(err)
	}
}

// Two writes go out as one request. Both are applied, or none.
func ExampleBatch() {
	db := open()
	defer db.Close()
	batch := rqlite.Batch{Atomic: true}
	batch.Add("UPDATE moons SET found = ? WHERE name = ?", "1610-01-08", "Io")
	batch.Add("INSERT INTO moons(name) VALUES (?)", "Callisto")
	results, err := batch.Exec(context.Background(), db)
	must(err)
	fmt.Println(results[0].RowsAffected, results[1].LastInsertID)
	// Output: 1 4
}

// Ask for a kind of failure with errors.Is, and for its details with errors.As.
func ExampleError() {
	db := open()
	defer db.Close()
	_, err := db.Exec("INSERT INTO moons(name) VALUES ('Io')")
	var failure *rqlite.Error
	switch {
	case errors.Is(err, rqlite.ErrIndeterminate):
		fmt.Println("look whether it was applied")
	case errors.Is(err, rqlite.ConstraintUnique) && errors.As(err, &failure):
		fmt.Println(failure.Message)
	}
	// Output: UNIQUE constraint failed: moons.name
}

// An expression has no declared type, so that SQLite drivers give its time as text.
func ExampleTime() {
	db := open()
	defer db.Close()
	var last rqlite.Time
	must(db.QueryRow("SELECT max(found) FROM moons").Scan(&last))
	fmt.Println(last.Time.Year(), last.Valid)
	// Output: 1892 true
}

// The copy is written as it arrives.
func ExampleConn_backup() {
	db := open()
	defer db.Close()
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	must(err)
	defer conn.Close()
	must(conn.Raw(func(c any) error {
		return c.(rqlite.Conn).Backup(ctx, os.Stdout, rqlite.BackupSQL)
	}))
	// Output:
	// BEGIN TRANSACTION;
	// COMMIT;
}

// Settings as a struct, with mTLS and a logger. A DSN cannot hold the logger.
func ExampleNewConnector() {
	connector, err := rqlite.NewConnector(&rqlite.Config{
		Hosts: []string{"node1:4001", "node2:4001"}, User: "ann", Password: os.Getenv("RQLITE_PASSWORD"),
		TLS: true, TLSCA: "ca.pem", TLSCert: "client.pem", TLSKey: "client-key.pem",
		Timeout: 5 * time.Second,
		Logger:  slog.Default(),
	})
	if err != nil {
		log.Fatal(err) // such as a file that is missing
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	must(db.Ping())
	fmt.Println(connector.Stats().Requests)
}

// A Config prints without its password.
func ExampleParseDSN() {
	config, err := rqlite.ParseDSN("https://ann:secret@node1/?level=linearizable&timeout=5s")
	must(err)
	fmt.Println(config.Hosts, config.Consistency, config.Timeout)
	fmt.Println(config)
	_, err = rqlite.ParseDSN("rqlite://node1/?levle=strong")
	fmt.Println(err)
	// Output:
	// [node1:4001] linearizable 5s
	// rqlite://ann:xxxxx@node1:4001?level=linearizable&timeout=5s&tls=true
	// rqlite: DSN: key "levle" is unknown; did you mean "level"?
}
