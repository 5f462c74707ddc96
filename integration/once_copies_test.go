//go:build unix

package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// copier is a proxy in front of one node that repeats requests that write. Of ten of them, it
//
//   - breaks the connection of one, and delivers it later,
//   - delivers one, breaks the connection, and delivers it once more later,
//   - delivers one twice, and gives the second answer,
//   - delivers one, gives the answer, and delivers it once more later.
//
// It leaves those alone that failed, of which a late copy may be applied by decision.
type copier struct {
	carrier
	later  time.Duration // how much later, at most
	count  atomic.Int64
	copies atomic.Int64
	held   sync.WaitGroup
}

// ServeHTTP implements http.Handler.
func (c *copier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	kind := int64(9)
	if r.URL.Path == "/db/execute" {
		kind = c.count.Add(1) % 10
	}
	if kind == 0 {
		c.deliverLater(r, body)
		panic(http.ErrAbortHandler)
	}
	if kind == 2 {
		c.deliver(r, body)
	}
	status, header, answer := c.deliver(r, body)
	if kind == 1 || kind == 3 {
		if !bytes.Contains(answer, []byte(`"error"`)) {
			c.deliverLater(r, body)
		}
		if kind == 1 {
			panic(http.ErrAbortHandler)
		}
	}
	hand(w, status, header, answer)
}

// hand gives an answer to a client.
func hand(w http.ResponseWriter, status int, header http.Header, answer []byte) {
	for _, name := range []string{"X-Rqlite-Version", "Content-Type"} {
		w.Header().Set(name, header.Get(name))
	}
	w.WriteHeader(status)
	w.Write(answer)
}

func (c *copier) deliverLater(r *http.Request, body []byte) {
	after := time.Duration(c.copies.Add(1)) * 37 * time.Millisecond % c.later
	c.held.Go(func() {
		time.Sleep(after)
		c.deliver(r, body)
	})
}

// carrier delivers requests to a node.
type carrier struct {
	target url.URL // without a path
	client http.Client
}

// deliver delivers a request, and returns the answer.
func (c *carrier) deliver(r *http.Request, body []byte) (status int, header http.Header, answer []byte) {
	to := c.target
	to.Path, to.RawQuery = r.URL.Path, r.URL.RawQuery
	req, err := http.NewRequestWithContext(context.Background(), r.Method, to.String(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header.Clone()
	resp, err := c.client.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	return resp.StatusCode, resp.Header, answer
}

// TestOnceLateCopies writes through a proxy that loses, repeats and delays requests. With tokens, each
// row is there once, and nobody is left in doubt. Without them it is not so, which shows that the proxy
// does what it is for.
func TestOnceLateCopies(t *testing.T) {
	onEach(t, func(t *testing.T, b *backend) {
		for _, mode := range []rqlite.ExactlyOnce{rqlite.OnceAll, rqlite.OnceOff} {
			t.Run(mode.String(), func(t *testing.T) { lateCopies(t, b, mode) })
		}
	})
}

func lateCopies(t *testing.T, b *backend, mode rqlite.ExactlyOnce) {
	t.Helper()
	cfg, err := rqlite.ParseDSN(b.shared.dsn)
	require.NoError(t, err)
	c := &copier{carrier: carrier{target: url.URL{Scheme: "http", Host: cfg.Hosts[0]}, client: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}, later: 2 * time.Second}
	if cfg.TLS || cfg.User != "" {
		t.Skip("the proxy speaks plain HTTP, without a user")
	}
	defer c.client.CloseIdleConnections()
	proxy := httptest.NewServer(c)
	defer proxy.Close()
	cfg.Hosts, cfg.ExactlyOnce = []string{strings.TrimPrefix(proxy.URL, "http://")}, mode
	cfg.Discovery = rqlite.DiscoveryRedirect
	connector, err := rqlite.NewConnector(cfg)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	defer db.Close()

	table := newTable()
	direct := b.open(t)
	mustExec(t, direct, "CREATE TABLE "+table+" (n INT)")
	told := newLedger()
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for i := range 12 {
		insert := insertOnce[i%len(insertOnce)](db, table)
		writers.Go(func() { told.write(stop, insert) })
	}
	linger(t.Context(), either(2*time.Second, 20*time.Second))
	close(stop)
	writers.Wait()
	c.held.Wait()

	got := told.audit(storedBy(t, direct, table))
	report(t, "%d requests that write, %d copies: %v", c.count.Load(), c.copies.Load(), got)
	logErrors(t, told)
	assert.Positive(t, c.copies.Load())
	assert.Greater(t, got.acknowledged, 50)
	if mode == rqlite.OnceOff {
		assert.Positive(t, got.doubled, "the proxy does nothing")
		assert.Positive(t, got.unknown, "the proxy does nothing")
		return
	}
	assert.Equal(t, audit{acknowledged: got.acknowledged}, got)
}

// appliedOnce is what an error says of a write. That its answer was lost says that it was applied.
func appliedOnce(err error) fortune {
	if errors.Is(err, rqlite.ErrRowsLost) {
		return acknowledged
	}
	return fortuneOf(err)
}

// insertOnce are ways to insert a row outside of transactions.
var insertOnce = []func(db *sql.DB, table string) func(context.Context, int64) (fortune, error){
	func(db *sql.DB, table string) func(context.Context, int64) (fortune, error) { // joined
		return func(ctx context.Context, n int64) (fortune, error) {
			_, err := db.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (?)", n)
			return appliedOnce(err), err
		}
	},
	func(db *sql.DB, table string) func(context.Context, int64) (fortune, error) { // alone
		return func(ctx context.Context, n int64) (fortune, error) {
			_, err := db.ExecContext(rqlite.WithoutCoalescing(ctx), "INSERT INTO "+table+" (n) VALUES (?)", n)
			return appliedOnce(err), err
		}
	},
	func(db *sql.DB, table string) func(context.Context, int64) (fortune, error) { // with its row
		return func(ctx context.Context, n int64) (fortune, error) {
			var stored int64
			err := db.QueryRowContext(ctx, "INSERT INTO "+table+" (n) VALUES (?) RETURNING n", n).Scan(&stored)
			if err == nil && stored != n {
				return acknowledged, fmt.Errorf("row %d came for %d", stored, n)
			}
			return appliedOnce(err), err
		}
	},
	func(db *sql.DB, table string) func(context.Context, int64) (fortune, error) { // a script
		return func(ctx context.Context, n int64) (fortune, error) {
			_, err := db.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (?); UPDATE "+table+" SET n=n WHERE n=?", n, n)
			return appliedOnce(err), err
		}
	},
	func(db *sql.DB, table string) func(context.Context, int64) (fortune, error) { // an atomic batch
		return func(ctx context.Context, n int64) (fortune, error) {
			b := rqlite.Batch{Atomic: true}
			b.Add("INSERT INTO "+table+" (n) VALUES (?)", n)
			b.Add("UPDATE "+table+" SET n=n WHERE n=?", n)
			_, err := b.Exec(ctx, db)
			return appliedOnce(err), err
		}
	},
}
