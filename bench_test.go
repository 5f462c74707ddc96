package rqlite

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"strings"
	"testing"
)

// canned answers every request at once, so that what is left is the driver's own cost.
type canned string

// RoundTrip implements http.RoundTripper.
func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(c)))}, nil
}

// BenchmarkOverhead measures what the driver and database/sql cost, without HTTP.
func BenchmarkOverhead(b *testing.B) {
	benchmarks := []struct {
		name, answer string
		do           func(ctx context.Context, db *sql.DB) error
	}{
		{"QueryRow", results(table("id integer, name text, score real, n integer", `[7,"user@example.com",1.5,42]`)), func(ctx context.Context, db *sql.DB) error {
			var id, n int64
			var name string
			var score float64
			return db.QueryRowContext(ctx, "SELECT id, name, score, n FROM t WHERE id = ?", 7).Scan(&id, &name, &score, &n)
		}},
		{"Exec", results(`{}`, `{"last_insert_id":7,"rows_affected":1}`, `{}`), func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "INSERT INTO t (name, score, n) VALUES (?, ?, ?)", "user@example.com", 1.5, 42)
			return err
		}},
	}
	for _, bb := range benchmarks {
		b.Run(bb.name, func(b *testing.B) {
			connector, err := NewConnector(&Config{Hosts: []string{"localhost"}, HTTPClient: &http.Client{Transport: canned(bb.answer)}})
			if err != nil {
				b.Fatal(err)
			}
			db := sql.OpenDB(connector)
			defer db.Close()
			connector.polite.due.Store(1 << 62) // the answer is not that of a question
			b.ReportAllocs()
			for b.Loop() {
				if err := bb.do(b.Context(), db); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
