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
	var dialer net.Dialer
	r.transport = &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			r.dials.Add(1)
			return dialer.DialContext(ctx, network, address)
		},
	}
	cfg, err := rqlite.ParseDSN(dsn)
	require.NoError(t, err)
	cfg.HTTPClient = &http.Client{Transport: r}
	connector, err := rqlite.NewConnector(cfg)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() {
		require.NoError(t, db.Close())
		r.transport.CloseIdleConnections()
		require.Zero(t, r.bodies.Load(), "bodies of answers were not closed")
	})
	return db, r
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
