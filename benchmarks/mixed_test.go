package benchmarks

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/benchmarks/internal/lab"
)

// BenchmarkTxMixed measures transactions of one to five statements: INSERT, UPDATE, SELECT, INSERT,
// SELECT. With on=tape, answers of the embedded server are played back, so that what is left is
// the cost of the driver and of database/sql, and the allocations are the same each time. With
// on=server, it is the server of the other benchmarks.
//
// This file needs nothing of the driver that has not long been there, so that it can be laid over an
// older commit to compare with it.
func BenchmarkTxMixed(b *testing.B) {
	if _, err := sharedSite(context.WithoutCancel(b.Context())); err != nil {
		b.Fatal(err)
	}
	for n := 1; n <= len(mixed); n++ {
		b.Run(fmt.Sprintf("statements=%d/on=tape", n), func(b *testing.B) { measureMixed(b, openTape(b, n), n) })
		b.Run(fmt.Sprintf("%sstatements=%d/on=server", prefix(), n), func(b *testing.B) {
			measureMixed(b, openMixed(b, shared.server.URL, nil), n)
		})
	}
}

// TestTxMixed runs them on the embedded server, and on the tape of it more than once.
func TestTxMixed(t *testing.T) {
	server := startTapeServer(t)
	for n := 1; n <= len(mixed); n++ {
		if err := runMixed(t.Context(), openMixed(t, server.URL, nil), n); err != nil {
			t.Errorf("%d statements on the server: %v", n, err)
		}
		db := openTape(t, n)
		for range 20 {
			if err := runMixed(t.Context(), db, n); err != nil {
				t.Errorf("%d statements on the tape: %v", n, err)
			}
		}
	}
}

// mixed are the statements of the transactions. Those that read give one integer.
var mixed = []struct {
	query string
	args  []any
	reads bool
}{
	{"INSERT INTO bench_mixed(name, n) VALUES (?, ?)", []any{"a name", 1}, false},
	{"UPDATE bench_mixed SET n = ? WHERE id = ?", []any{2, 1}, false},
	{"SELECT n FROM bench_mixed WHERE id = ?", []any{1}, true},
	{"INSERT INTO bench_mixed(name, n) VALUES (?, ?)", []any{"another name", 3}, false},
	{"SELECT count(*) FROM bench_mixed WHERE id < ?", []any{10}, true},
}

func measureMixed(b *testing.B, db *sql.DB, n int) {
	for range 20 { // the driver learns
		if err := runMixed(b.Context(), db, n); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := runMixed(b.Context(), db, n); err != nil {
			b.Fatal(err)
		}
	}
}

// runMixed runs a transaction of the first n statements.
func runMixed(ctx context.Context, db *sql.DB, n int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, s := range mixed[:n] {
		if s.reads {
			var v int
			err = tx.QueryRowContext(ctx, s.query, s.args...).Scan(&v)
		} else {
			_, err = tx.ExecContext(ctx, s.query, s.args...)
		}
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// openMixed opens a database with the table of the statements. A nil transport is the driver's own.
func openMixed(tb testing.TB, url string, transport http.RoundTripper) *sql.DB {
	tb.Helper()
	cfg, err := rqlite.ParseDSN(url)
	if err != nil {
		tb.Fatal(err)
	}
	if transport != nil {
		cfg.HTTPClient = &http.Client{Transport: transport}
	}
	connector, err := rqlite.NewConnector(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	db := sql.OpenDB(connector)
	tb.Cleanup(func() {
		_, err := db.ExecContext(context.Background(), "DROP TABLE IF EXISTS bench_mixed")
		if err := errors.Join(err, db.Close()); err != nil {
			tb.Error(err)
		}
	})
	for _, statement := range []string{
		"DROP TABLE IF EXISTS bench_mixed",
		"CREATE TABLE bench_mixed (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)",
	} {
		if _, err := db.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatal(err)
		}
	}
	return db
}

// tape is a transport that passes requests to another one and records the answers, and then plays
// them back, again and again, in their order.
type tape struct {
	next    http.RoundTripper
	playing bool
	answers []answer
	at      int // of the next answer to play
	played  int // requests
	passed  int // requests that came while it was playing, and are not on the tape
}

// answer is one, and what it is the answer to. The requests of two transactions differ in
// the version of the database and in random texts, but not in length.
type answer struct {
	path   string
	length int64
	header http.Header
	body   []byte
}

// openTape returns a database that plays a transaction of n statements back.
func openTape(tb testing.TB, n int) *sql.DB {
	tb.Helper()
	t := &tape{next: http.DefaultTransport}
	db := openMixed(tb, startTapeServer(tb).URL, t)
	tb.Cleanup(func() {
		t.playing = false // the table is dropped behind this
		if t.played == 0 || t.passed > t.played/10 {
			tb.Errorf("%d requests were answered by the tape, and %d were not on it", t.played, t.passed)
		}
	})
	// The driver learns, and now and then it does more in a transaction. What is played is like the
	// one before.
	for before := []answer(nil); before == nil || !sameRequests(before, t.answers); {
		before, t.answers = t.answers, nil
		if err := runMixed(tb.Context(), db, n); err != nil {
			tb.Fatal(err)
		}
	}
	t.playing = true
	return db
}

func sameRequests(a, b []answer) bool {
	return slices.EqualFunc(a, b, func(a, b answer) bool { return a.path == b.path && a.length == b.length })
}

func startTapeServer(tb testing.TB) *lab.Server {
	tb.Helper()
	server, err := lab.StartEmbedded(1)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if err := server.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return server
}

// RoundTrip implements http.RoundTripper.
func (t *tape) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.playing {
		return t.record(req)
	}
	a := t.answers[t.at]
	body := a.body
	switch {
	case a.path == req.URL.Path && a.length == req.ContentLength:
	case a.path == req.URL.Path && t.at == len(t.answers)-1: // a commit that tidies up by one more statement
		body = append(bytes.TrimSuffix(bytes.Clone(body), []byte("]}")), ",{}]}"...)
	default:
		t.passed++ // now and then the driver asks for the tables
		return t.next.RoundTrip(req)
	}
	t.played++
	t.at = (t.at + 1) % len(t.answers)
	return &http.Response{StatusCode: http.StatusOK, Header: a.header, Body: io.NopCloser(bytes.NewReader(body)), Request: req}, nil
}

func (t *tape) record(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	t.answers = append(t.answers, answer{req.URL.Path, req.ContentLength, resp.Header, body})
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
