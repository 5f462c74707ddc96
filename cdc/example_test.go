package cdc_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/cdc"
)

// A handler passes changes to a function, each once. Here the example sends a post of rqlite,
// twice.
func ExampleNewHandler() {
	handler := cdc.NewHandler(func(_ context.Context, changes []cdc.Change) error {
		for _, c := range changes {
			fmt.Println(c.Op, c.Table, c.Row()["name"])
		}
		return nil
	}, nil)
	for range 2 {
		post := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(
			`{"node_id":"1","payload":[{"index":7,"events":[
				{"op":"INSERT","table":"users","new_row_id":3,"after":{"id":3,"name":"fiona"}},
				{"op":"DELETE","table":"users","old_row_id":1,"before":{"id":1,"name":"declan"}}]}]}`))
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, post)
		fmt.Println(answer.Code)
	}
	fmt.Println(handler.Stats().Duplicates)
	// Output:
	// INSERT users fiona
	// DELETE users declan
	// 200
	// 200
	// 1
}

// Commit the effects of changes together with the checkpoint, so that they happen exactly once.
func ExampleTable_SaveTx() {
	db, err := sql.Open("rqlite", "rqlite://localhost:4001")
	if err != nil {
		log.Fatal(err)
	}
	checkpoint, err := cdc.NewTable(db, nil)
	if err != nil {
		log.Fatal(err)
	}
	handler := cdc.NewHandler(func(ctx context.Context, changes []cdc.Change) error {
		return rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
			for _, c := range changes {
				_, err := tx.ExecContext(ctx, "INSERT INTO audit (op, tbl, id) VALUES (?, ?, ?)", c.Op.String(), c.Table, c.NewRowID)
				if err != nil {
					return err
				}
			}
			return checkpoint.SaveTx(ctx, tx)
		})
	}, &cdc.Options{
		Checkpoint: checkpoint,
		Tables:     func(table string) bool { return table == "orders" }, // and not audit
	})
	_ = http.ListenAndServe("localhost:8080", handler)
}

// Shut a program down after its callbacks have returned and their posts are acknowledged.
func ExampleHandler_shutdown() {
	server := &http.Server{
		Addr: "localhost:8080",
		Handler: cdc.NewHandler(func(_ context.Context, changes []cdc.Change) error {
			log.Println(len(changes), "changes")
			return nil
		}, nil),
		ReadHeaderTimeout: 10 * time.Second,
	}
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	stopped := make(chan error, 1)
	go func() {
		<-interrupted.Done()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(ctx)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-stopped; err != nil {
		log.Fatal(err)
	}
}

// The values of a BLOB column come in base64.
func ExampleBytes() {
	c := cdc.Change{Op: cdc.Insert, Table: "files", After: map[string]any{"data": "aGVsbG8="}}
	data, err := cdc.Bytes(c.After["data"])
	fmt.Printf("%s %v\n", data, err)
	// Output: hello <nil>
}
