package rqlite

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// canned answers every request at once, so that what is left is the cost of the driver and
// of database/sql.
type canned string

// fromRqlite is what tells its answers from those of others.
var fromRqlite = http.Header{"X-Rqlite-Version": {"v10.2.7"}}

// RoundTrip implements http.RoundTripper.
func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	answer := string(c)
	if answer == benchWritten && req.URL.Path == cluster.QueryPath { // the question for the tables, once a minute
		answer = results(table("name text, sql text", `["t",null]`))
	}
	return &http.Response{StatusCode: http.StatusOK, Header: fromRqlite, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

// openCanned returns a database that answers all requests alike.
func openCanned(b *testing.B, answer string) *sql.DB {
	b.Helper()
	connector, err := NewConnector(&Config{Hosts: []string{"localhost"}, HTTPClient: &http.Client{Transport: canned(answer)}})
	if err != nil {
		b.Fatal(err)
	}
	db := sql.OpenDB(connector)
	b.Cleanup(func() { db.Close() })
	return db
}

const benchWritten = `{"results":[{},{"last_insert_id":7,"rows_affected":1},{}]}`

// BenchmarkOverhead measures statements without HTTP.
func BenchmarkOverhead(b *testing.B) {
	b.Run("QueryRow", func(b *testing.B) {
		row := table("id integer, name text, score real, n integer", `[7,"user@example.com",1.5,42]`)
		db := openCanned(b, results(strings.TrimSuffix(row, "}")+`,"time":2.5e-05}`))
		b.ReportAllocs()
		for b.Loop() {
			var id, n int64
			var name string
			var score float64
			row := db.QueryRowContext(b.Context(), "SELECT id, name, score, n FROM t WHERE id = ?", 7)
			if err := row.Scan(&id, &name, &score, &n); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Exec", func(b *testing.B) {
		db := openCanned(b, benchWritten)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := db.ExecContext(b.Context(), "INSERT INTO t (name, score, n) VALUES (?, ?, ?)", "user@example.com", 1.5, 42); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRows tells how the cost of a result grows with its rows and columns.
func BenchmarkRows(b *testing.B) {
	for _, columns := range []int{1, 4, 16, 64} {
		for _, count := range []int{1, 10, 100, 1_000, 10_000} {
			b.Run(fmt.Sprintf("columns=%d/rows=%d", columns, count), func(b *testing.B) {
				header := strings.TrimSuffix(strings.Repeat("c integer,", columns), ",")
				row := "[" + strings.TrimSuffix(strings.Repeat("1234567,", columns), ",") + "]"
				db := openCanned(b, results(table(header, strings.TrimSuffix(strings.Repeat(row+",", count), ","))))
				b.ReportAllocs()
				for b.Loop() {
					if err := readInts(b.Context(), db, columns, count); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*columns*count), "ns/value")
			})
		}
	}
}

func readInts(ctx context.Context, db *sql.DB, columns, count int) error {
	rows, err := db.QueryContext(ctx, "SELECT c FROM t")
	if err != nil {
		return err
	}
	defer rows.Close()
	values, dest := make([]int64, columns), make([]any, columns)
	for i := range values {
		dest[i] = &values[i]
	}
	n := 0
	for ; rows.Next(); n++ {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
	}
	if n != count {
		return fmt.Errorf("%d rows of %d", n, count)
	}
	return rows.Err()
}

// BenchmarkStatement tells how the cost of a call grows with the statement: one with
// literals, as ORMs do not write them, and one with parameters.
func BenchmarkStatement(b *testing.B) {
	for _, rows := range []int{1, 10, 100, 1_000} {
		texts := map[string]string{
			"literals":   "INSERT INTO t VALUES " + strings.TrimSuffix(strings.Repeat("(1234567, 'user@example.com'),", rows), ","),
			"parameters": "INSERT INTO t VALUES " + strings.TrimSuffix(strings.Repeat("(?, ?),", rows), ","),
		}
		var args []any
		for range rows {
			args = append(args, 1234567, "user@example.com")
		}
		for kind, text := range texts {
			b.Run(fmt.Sprintf("%s/rows=%d", kind, rows), func(b *testing.B) {
				db := openCanned(b, benchWritten)
				b.ReportAllocs()
				b.SetBytes(int64(len(text)))
				own := args
				if kind == "literals" {
					own = nil
				}
				for b.Loop() {
					if _, err := db.ExecContext(b.Context(), text, own...); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// Scanning a large result into typed variables allocates little, beyond what a request costs anyway.
func TestScanAllocations(t *testing.T) {
	const many = 20_000
	row := `[1234567,"a text of some length",2.5,-1]`
	columns := "a integer, b text, c real, d integer"
	f := newFake(t)
	db := f.open("timeout=1m")
	read := func(rowCount int) (allocations uint64) {
		list := strings.TrimSuffix(strings.Repeat(row+",", rowCount), ",")
		f.then(reads(`["SELECT a,b,c,d FROM t"]`, results(table(columns, list))))
		var (
			a, d          int64
			b             string
			c             float64
			before, after runtime.MemStats
			dest          = []any{&a, &b, &c, &d}
		)
		runtime.ReadMemStats(&before)
		rows, err := db.QueryContext(context.Background(), "SELECT a,b,c,d FROM t")
		require.NoError(t, err)
		n := 0
		for rows.Next() {
			if err := rows.Scan(dest...); err != nil {
				require.NoError(t, err)
			}
			n++
		}
		runtime.ReadMemStats(&after)
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		require.Equal(t, rowCount, n)
		require.Equal(t, [2]int64{1234567, -1}, [2]int64{a, d})
		require.InDelta(t, 2.5, c, 0)
		return after.Mallocs - before.Mallocs
	}
	read(1) // opens the connection
	small, large := read(1), read(many)
	perRow := float64(large-small) / (many - 1)
	t.Logf("%.3f allocations per row; %d for one row", perRow, small)
	assert.LessOrEqual(t, perRow, 1.0)
}
