package integration_test

import (
	"context"
	"database/sql"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/require"
)

// recorder is a transport that counts what passes through it.
type recorder struct {
	transport *http.Transport
	requests  atomic.Int64
	dials     atomic.Int64
	bodies    atomic.Int64 // of answers, that are not closed yet
}

// openRecorded opens the database by a recorder.
func openRecorded(t *testing.T, dsn string) (*sql.DB, *recorder) {
	t.Helper()
	r := &recorder{}
	r.transport = countingTransport(&r.dials)
	db, _ := openBy(t, dsn, r)
	t.Cleanup(func() {
		require.NoError(t, db.Close())
		r.transport.CloseIdleConnections()
		// The question whether a slow node is alive may still be under way.
		require.Eventually(t, func() bool { return r.bodies.Load() == 0 }, 5*time.Second, time.Millisecond, "bodies of answers were not closed")
	})
	return db, r
}

// countingTransport returns a transport that counts its dials.
func countingTransport(dials *atomic.Int64) *http.Transport {
	var dialer net.Dialer
	return &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return dialer.DialContext(ctx, network, address)
		},
	}
}

// openBy opens a database that sends its requests by a transport. The caller closes it.
func openBy(t *testing.T, dsn string, by http.RoundTripper) (*sql.DB, *rqlite.Connector) {
	t.Helper()
	cfg, err := rqlite.ParseDSN(dsn)
	require.NoError(t, err)
	cfg.HTTPClient = &http.Client{Transport: by}
	connector, err := rqlite.NewConnector(cfg)
	require.NoError(t, err)
	return sql.OpenDB(connector), connector
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost { // and not the question whether a slow node is alive
		r.requests.Add(1)
	}
	resp, err := r.transport.RoundTrip(req)
	if err == nil {
		r.bodies.Add(1)
		resp.Body = &countedBody{ReadCloser: resp.Body, closed: sync.OnceFunc(func() { r.bodies.Add(-1) })}
	}
	return resp, err
}

type countedBody struct {
	io.ReadCloser
	closed func()
}

// Close implements io.Closer.
func (b *countedBody) Close() error {
	b.closed()
	return b.ReadCloser.Close()
}
