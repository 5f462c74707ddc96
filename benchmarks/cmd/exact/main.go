// Command exact prints, as a Markdown table, what becomes of values that are
// written as parameters and read back: by this driver, by gorqlite, and by
// mattn/go-sqlite3 on a local file.
//
//	go run ./cmd/exact http://localhost:4001
//
// It makes a table of its own on the server, and drops it.
package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"github.com/rqlite/gorqlite"

	_ "github.com/go-rqlite/rqlite"
)

// samples are the values that get lost on the way, as a rule.
var samples = []struct {
	name    string
	declare string
	value   any
}{
	{"`int64` 2^63-1", "INTEGER", int64(math.MaxInt64)},
	{"`int64` 2^53+1", "INTEGER", int64(1<<53 + 1)},
	{"`float64` 3.0 in a REAL column", "REAL", 3.0},
	{"`float64` 3.0 in a column without a type", "", 3.0},
	{"`float64` 3.0 in a BLOB column", "BLOB", 3.0},
	{"`float64` 5e-324", "REAL", 5e-324},
	{"text `x'41'`", "TEXT", "x'41'"},
	{"text with NUL, emoji and U+2028", "TEXT", "a\x00\U0001F600\u2028"},
	{"BLOB with every byte", "BLOB", everyByte()},
	{"empty BLOB", "BLOB", []byte{}},
	{"`bool` in a BOOLEAN column", "BOOLEAN", true},
	{"`time.Time` with nanoseconds and a zone", "DATETIME", time.Date(2026, 3, 4, 5, 6, 7, 890123456, time.FixedZone("", 5*3600+1800))},
	{"`time.Time` in year 1", "DATETIME", time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)},
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

const (
	create = "CREATE TABLE exact_values (v %s)"
	insert = "INSERT INTO exact_values VALUES (?)"
	read   = "SELECT v FROM exact_values"
	drop   = "DROP TABLE IF EXISTS exact_values"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: exact http://localhost:4001")
	}
	dir, err := os.MkdirTemp("", "exact-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	for _, s := range samples {
		fmt.Printf("| %s | %s | %s | %s |\n", s.name,
			verdict(s.value, func() (any, error) { return bySQL("rqlite", os.Args[1], s.declare, s.value) }),
			verdict(s.value, func() (any, error) { return byGorqlite(os.Args[1], s.declare, s.value) }),
			verdict(s.value, func() (any, error) { return bySQL("sqlite3", filepath.Join(dir, "local.db"), s.declare, s.value) }))
	}
}

// verdict says what came back for a value.
func verdict(sent any, roundTrip func() (any, error)) string {
	got, err := roundTrip()
	if err != nil {
		return "error: " + strings.ReplaceAll(err.Error(), "\n", " ")
	}
	if same(sent, got) {
		return "exact"
	}
	shown := fmt.Sprintf("%v", got)
	if text, ok := got.(string); ok {
		shown = fmt.Sprintf("%q", text)
	}
	if len(shown) > 40 {
		shown = shown[:40] + "…"
	}
	return fmt.Sprintf("`%T` %s", got, shown)
}

func same(sent, got any) bool {
	switch s := sent.(type) {
	case time.Time:
		g, ok := got.(time.Time)
		return ok && s.Equal(g)
	case []byte:
		g, ok := got.([]byte)
		return ok && bytes.Equal(s, g)
	}
	return reflect.DeepEqual(sent, got)
}

// bySQL sends a value there and back by way of database/sql.
func bySQL(driver, dsn, declare string, value any) (got any, err error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	for _, query := range []string{drop, fmt.Sprintf(create, declare)} {
		if _, err := db.Exec(query); err != nil {
			return nil, err
		}
	}
	defer db.Exec(drop) //nolint:errcheck // what is left is dropped by the next run
	if _, err := db.Exec(insert, value); err != nil {
		return nil, err
	}
	return got, db.QueryRow(read).Scan(&got)
}

// byGorqlite does the same with gorqlite's own interface: its database/sql
// driver takes the name of this one.
func byGorqlite(url, declare string, value any) (any, error) {
	conn, err := gorqlite.Open(url)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for _, query := range []string{drop, fmt.Sprintf(create, declare)} {
		if _, err := conn.WriteOne(query); err != nil {
			return nil, err
		}
	}
	defer conn.WriteOne(drop) //nolint:errcheck // what is left is dropped by the next run
	statement := gorqlite.ParameterizedStatement{Query: insert, Arguments: []any{value}}
	if _, err := conn.WriteOneParameterized(statement); err != nil {
		return nil, err
	}
	rows, err := conn.QueryOne(read)
	if err != nil {
		return nil, err
	}
	if !rows.Next() {
		return nil, fmt.Errorf("no row")
	}
	list, err := rows.Slice()
	if err != nil {
		return nil, err
	}
	return list[0], nil
}
