package lab

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// exchange is a request as the driver sent it.
type exchange struct {
	url    string
	header http.Header
	body   []byte
}

// recorder is a transport that keeps the requests.
type recorder struct {
	next http.RoundTripper
	sent []exchange
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodPost {
		return r.next.RoundTrip(req) // it asks a slow server whether it is alive
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.sent = append(r.sent, exchange{url: req.URL.String(), header: req.Header.Clone(), body: body})
	again := req.Clone(req.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	return r.next.RoundTrip(again)
}

// longest is how long an answer may take.
const longest = 2 * time.Minute

// newClient returns a client that keeps as many connections as the driver's own.
func newClient() *http.Client {
	return &http.Client{Transport: load.Transport(256, nil), Timeout: longest}
}

// record runs an operation on the driver and returns the request it sent, which
// must be one, however often it was sent. The first run, when the connector knows nothing yet, does not count.
// The level is that of reads.
func record(ctx context.Context, s *Site, level string, open func(*sql.DB) Operation) (exchange, error) {
	cfg, err := rqlite.ParseDSN(s.server.Leader + unmarkedSetting + "&level=" + level)
	if err != nil {
		return exchange{}, err
	}
	transport := load.Transport(1, nil)
	defer transport.CloseIdleConnections()
	rec := &recorder{next: transport}
	cfg.HTTPClient = &http.Client{Transport: rec}
	connector, err := rqlite.NewConnector(cfg)
	if err != nil {
		return exchange{}, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	do := open(db)
	for range 2 {
		rec.sent = nil
		if err := do(ctx); err != nil {
			return exchange{}, err
		}
	}
	for _, other := range rec.sent[1:] { // a busy node is asked again
		if !bytes.Equal(other.body, rec.sent[0].body) {
			return exchange{}, fmt.Errorf("%d different requests where one belongs", len(rec.sent))
		}
	}
	return rec.sent[0], nil
}

// Bare returns, for each of some reads, the operation that sends its request at level weak with net/http and
// throws the answer away. They share a client, and may run at the same time.
func (s *Site) Bare(ctx context.Context, reads ...func(context.Context, *sql.DB) error) ([]Operation, error) {
	client := newClient()
	operations := make([]Operation, len(reads))
	for i, read := range reads {
		sent, err := record(ctx, s, "weak", func(db *sql.DB) Operation {
			return func(ctx context.Context) error { return read(ctx, db) }
		})
		if err != nil {
			return nil, err
		}
		operations[i] = replay(sent, client)
	}
	return operations, nil
}

// replay returns the operation of the bare client: it sends the request of the
// driver with net/http, looks at the status, and reads the answer to its end without looking at it.
func replay(sent exchange, client *http.Client) Operation {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, sent.url, bytes.NewReader(sent.body))
		if err != nil {
			return err
		}
		req.Header = sent.header
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
}
