package rqlite

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// queues is a step of a write that goes into the queue of a node.
func queues(params, body string, sequence int) step {
	return step{path: cluster.ExecutePath, params: params, body: body, reply: fmt.Sprintf(`{"results":[],"sequence_number":%d}`, sequence)}
}

// The context has the last word on the queue.
func TestWithQueue(t *testing.T) {
	t.Parallel()
	background := context.Background()
	const body = `["DELETE FROM t"]`
	for _, test := range []struct {
		options string
		ctx     context.Context
		params  string
	}{
		{"", WithQueue(background, false), "blob_array&norwrandom&norwtime&queue"},
		{"", WithQueue(background, true), "blob_array&norwrandom&norwtime&queue&wait"},
		{"queue=true", background, "blob_array&norwrandom&norwtime&queue"},
		{"queue=true", WithQueue(background, true), "blob_array&norwrandom&norwtime&queue&wait"},
		{"queue=true&queue_wait=true", background, "blob_array&norwrandom&norwtime&queue&wait"},
		{"queue=true&queue_wait=true", WithQueue(background, false), "blob_array&norwrandom&norwtime&queue"},
		{"", WithQueue(WithQueue(background, true), false), "blob_array&norwrandom&norwtime&queue"},
		{"", WithConsistency(WithQueue(background, true), None), "blob_array&norwrandom&norwtime&queue&wait"},
		{"discovery=off&norwtime=true", WithQueue(background, false), "blob_array&norwrandom&norwtime&queue"},
	} {
		t.Run(test.params+" "+test.options, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, queues(test.params, body, 1), queues(test.params, `["DELETE FROM t","DELETE FROM u"]`, 2), queues(test.params, body, 3))
			db := f.open(test.options)
			_, err := db.ExecContext(test.ctx, "DELETE FROM t")
			require.NoError(t, err)
			r, err := db.ExecContext(test.ctx, "DELETE FROM t; DELETE FROM u")
			require.NoError(t, err)
			_, err = r.RowsAffected()
			require.ErrorIs(t, err, errQueued)
			sequence, err := batchOf(false, "DELETE FROM t").Queue(test.ctx, db)
			require.NoError(t, err)
			assert.EqualValues(t, 3, sequence)

			_, err = db.QueryContext(test.ctx, "DELETE FROM t RETURNING id")
			require.EqualError(t, err, "rqlite: a queued write gives no rows: use Exec")
			_, err = batchOf(false, "DELETE FROM t").Exec(test.ctx, db)
			require.EqualError(t, err, "rqlite: a queued batch has no results: use Batch.Queue")
		})
	}
}

// Reads take no notice of the queue.
func TestWithQueueReads(t *testing.T) {
	t.Parallel()
	f := newFake(t, reads(`["SELECT 1"]`, results(one)), reads(`["SELECT 1"]`, results(one)))
	ctx := WithQueue(context.Background(), true)
	db := f.open("")
	require.NoError(t, db.QueryRowContext(ctx, "SELECT 1").Scan(new(int)))
	_, err := batchOf(false, "SELECT 1").Query(ctx, db)
	require.NoError(t, err)
}

func TestBatchQueue(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := newFake(t,
		queues("blob_array&norwrandom&norwtime&queue", `[["INSERT INTO t VALUES(?)",1],["INSERT INTO t VALUES(?)","x'07'"]]`, 41),
		queues("blob_array&norwrandom&norwtime&queue", "", 42),
		step{path: cluster.ExecutePath, params: "blob_array&norwrandom&norwtime&queue&wait", status: 408, reply: "queue wait timeout"},
		step{path: cluster.ExecutePath, params: "blob_array&norwrandom&norwtime&queue", status: 401},
		step{path: cluster.ExecutePath, params: "blob_array&norwrandom&norwtime&queue", reply: results(`{"rows_affected":1}`)},
		step{path: cluster.ExecutePath, params: "blob_array&norwrandom&norwtime&queue", reply: `{"results":[],"sequence_number":43`},
	)
	db := f.open("")
	var b Batch
	b.Add("INSERT INTO t VALUES(?)", 1)
	b.Add("INSERT INTO t VALUES(?)", []byte{7})
	for _, want := range []int64{41, 42} {
		sequence, err := b.Queue(ctx, db)
		require.NoError(t, err)
		assert.Equal(t, want, sequence)
	}
	_, err := b.Queue(WithQueue(ctx, true), db)
	require.ErrorIs(t, err, ErrIndeterminate, "it is in the queue")
	_, err = b.Queue(ctx, db)
	require.ErrorIs(t, err, ErrUnauthorized)
	_, err = b.Queue(ctx, db)
	require.ErrorIs(t, err, ErrIndeterminate, "a node that does not know queues has run it: %v", err)
	_, err = b.Queue(ctx, db)
	require.ErrorIs(t, err, ErrIndeterminate)

	// Nothing of what follows is sent.
	sequence, err := (&Batch{}).Queue(ctx, db)
	require.NoError(t, err)
	assert.Zero(t, sequence)
	_, err = batchOf(true, "DELETE FROM t").Queue(ctx, db)
	require.EqualError(t, err, "rqlite: an atomic batch cannot be queued")
	_, err = batchOf(false, "DELETE FROM t", "INSERT INTO t VALUES(?)").Queue(ctx, db)
	require.ErrorContains(t, err, "statement 2 of 2")
	_, err = batchOf(false, "BEGIN").Queue(ctx, db)
	require.ErrorContains(t, err, "BEGIN cannot be sent as a statement")
}

// A follower would take queued writes too, but could not always hand them on.
func TestQueueGoesToTheLeader(t *testing.T) {
	t.Parallel()
	script := make([]step, 6)
	for i := range script {
		script[i] = queues("blob_array&norwrandom&norwtime&queue", fmt.Sprintf(`["DELETE FROM t%d"]`, i), i+1)
	}
	for _, dead := range []bool{false, true} {
		leader := newFake(t, script...)
		follower := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, cluster.QueryPath+"?"+whoLeads, r.URL.String())
			http.Redirect(w, r, "http://"+leader.addr+r.URL.String(), http.StatusMovedPermanently)
		}))
		hosts := follower.Listener.Addr().String()
		if dead {
			hosts = "127.0.0.1:1," + hosts
		}
		db, err := sql.Open("rqlite", "rqlite://"+hosts+"/?txversion=false&queue=true&level=none")
		require.NoError(t, err)
		for i := range script {
			_, err := db.Exec(fmt.Sprintf("DELETE FROM t%d", i))
			require.NoError(t, err)
		}
		require.NoError(t, db.Close())
		follower.Close()
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	write := writes(`["DELETE FROM t"]`, results(`{}`))
	leader := newFake(t, write, write, writes(`["DELETE FROM t"]`, results(`{"error":"no such table: t"}`)),
		step{path: cluster.ExecutePath, params: plainWrite, status: 401})
	follower := newFake(t,
		step{path: cluster.ExecutePath, params: plainWrite, status: 503, reply: "leader not found"},
		step{path: cluster.ExecutePath, params: plainWrite, serve: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+leader.addr+cluster.ExecutePath, http.StatusMovedPermanently)
		}})
	connector, err := NewConnector(&Config{Hosts: []string{follower.addr}, Logger: slog.New(slog.DiscardHandler), DisableTxVersion: true})
	require.NoError(t, err)
	assert.Zero(t, connector.Stats())
	db := sql.OpenDB(connector)
	for _, want := range []error{nil, nil, GenericError, ErrUnauthorized} {
		_, err := db.Exec("DELETE FROM t")
		require.ErrorIs(t, err, want)
	}
	require.NoError(t, db.Close())
	assert.Equal(t, Stats{Requests: 4, Failures: 1, Retries: 1, Redirects: 1, Leaders: 1}, connector.Stats())
}

// The cookies of a client of the program's own go with each request once, also
// with many at a time.
func TestHTTPClientWithCookies(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 5
	script := make([]step, workers*each)
	for i := range script {
		script[i] = writes(`["DELETE FROM t"]`, results(`{}`))
	}
	f := newFake(t, script...)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	jar.SetCookies(&url.URL{Scheme: "http", Host: f.addr, Path: "/"}, []*http.Cookie{{Name: "session", Value: "7"}})
	client := &http.Client{Transport: &http.Transport{}, Jar: jar}
	connector, err := NewConnector(&Config{Hosts: []string{f.addr}, HTTPClient: client, DisableTxVersion: true, DisableCoalescing: true})
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	var all sync.WaitGroup
	for range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			for range each {
				_, err := db.Exec("DELETE FROM t")
				assert.NoError(t, err)
			}
		}()
	}
	all.Wait()
	for _, r := range f.got() {
		assert.Equal(t, []string{"session=7"}, r.header["Cookie"])
	}
	require.NoError(t, db.Close())
	client.CloseIdleConnections()
}
