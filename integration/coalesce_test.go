package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// joined is a database whose concurrent writes go out together, and what can be seen
// of that.
type joined struct {
	*sql.DB
	connector *rqlite.Connector
	transport *http.Transport
	dials     atomic.Int64
	atomic    atomic.Int64 // requests that were transactions of several statements
	worked    atomic.Int64 // those of them in whose answer nothing failed
}

// openJoined opens a database that does not share its transport.
func openJoined(t *testing.T, dsn string) *joined {
	t.Helper()
	j := &joined{}
	j.transport = countingTransport(&j.dials)
	j.DB, j.connector = openBy(t, dsn, j)
	t.Cleanup(func() {
		require.NoError(t, j.Close())
		j.transport.CloseIdleConnections()
	})
	return j
}

// hasSeveral reports whether a request has several statements that are not the driver's own.
func hasSeveral(req *http.Request) bool {
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	req.Body = io.NopCloser(bytes.NewReader(body))
	var statements []json.RawMessage
	if err != nil || json.Unmarshal(body, &statements) != nil {
		return false
	}
	return len(slices.DeleteFunc(statements, func(text json.RawMessage) bool {
		return bytes.Contains(text, []byte("_rqlite_tx")) || bytes.Contains(text, []byte("sqlite_schema"))
	})) > 1
}

// RoundTrip implements http.RoundTripper.
func (j *joined) RoundTrip(req *http.Request) (*http.Response, error) {
	isTransaction := req.URL.Path == "/db/execute" && req.URL.Query().Has("transaction") && hasSeveral(req)
	resp, err := j.transport.RoundTrip(req)
	if err != nil || !isTransaction {
		return resp, err
	}
	j.atomic.Add(1)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK && !strings.Contains(string(text), `"error"`) {
		j.worked.Add(1)
	}
	resp.Body = io.NopCloser(strings.NewReader(string(text)))
	return resp, nil
}

// requireJoined demands that of so many writes most went out with others: a test
// of joined writes would say nothing otherwise.
func (j *joined) requireJoined(t *testing.T, writes int) {
	t.Helper()
	stats := j.connector.Stats()
	t.Logf("%d writes in %d requests, %d of them waited; %d of %d transactions worked",
		writes, stats.Requests, stats.Coalesced, j.worked.Load(), j.atomic.Load())
	assert.Positive(t, stats.Coalesced)
	assert.Less(t, stats.Requests, uint64(writes)/2, "requests for %d writes", writes)
}

// together runs f in n goroutines that start at the same time, and waits for them.
func together(n int, f func(g int)) {
	var running sync.WaitGroup
	start := make(chan struct{})
	for g := range n {
		running.Go(func() {
			<-start
			f(g)
		})
	}
	close(start)
	running.Wait()
}

// TestJoinedOrder writes by many connections, each of which has to find what it
// has written before.
func TestJoinedOrder(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		j, table := openJoined(t, b.shared.dsn), newTable()
		mustExec(t, j.DB, "CREATE TABLE "+table+" (k INTEGER PRIMARY KEY, v INTEGER NOT NULL)")
		const conns = 64
		steps := either(12, 200)
		together(conns, func(g int) {
			conn, err := j.Conn(t.Context())
			if !assert.NoError(t, err) {
				return
			}
			defer conn.Close()
			if _, err := conn.ExecContext(t.Context(), "INSERT INTO "+table+" VALUES (?, 0)", g); !assert.NoError(t, err) {
				return
			}
			for n := range steps {
				if !assert.NoError(t, oneMore(t.Context(), conn, table, g, n), "connection %d", g) {
					return
				}
			}
		})
		j.requireJoined(t, conns*(steps+1))
		assert.Positive(t, j.worked.Load())
		var rows, least int
		scan(t, j.DB, "SELECT count(*), min(v) FROM "+table, nil, &rows, &least)
		assert.Equal(t, [2]int{conns, steps}, [2]int{rows, least})
	})
}

// oneMore moves a row from n to n + 1, and looks for that now and then.
func oneMore(ctx context.Context, conn *sql.Conn, table string, k, n int) error {
	result, err := conn.ExecContext(ctx, "UPDATE "+table+" SET v = v + 1 WHERE k = ? AND v = ?", k, n)
	if err != nil {
		return err
	}
	if affected, err := result.RowsAffected(); err != nil || affected != 1 {
		return fmt.Errorf("%d rows were at %d: %w", affected, n, err)
	}
	if n%4 != 0 {
		return nil
	}
	var v int
	if err := conn.QueryRowContext(ctx, "SELECT v FROM "+table+" WHERE k = ?", k).Scan(&v); err != nil || v != n+1 {
		return fmt.Errorf("a read finds %d after %d was written: %w", v, n+1, err)
	}
	return nil
}

// TestJoinedMany has 10,000 goroutines write once each.
func TestJoinedMany(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		j, table := openJoined(t, b.shared.dsn), newTable()
		mustExec(t, j.DB, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY)")
		const writers, mostSockets = 10_000, 16
		begun := time.Now()
		var failures violations
		together(writers, func(g int) {
			if _, err := j.ExecContext(t.Context(), "INSERT INTO "+table+" VALUES (?)", g); err != nil {
				failures.add("%v", err)
			}
		})
		report(t, "%d inserts of as many goroutines in %v, by %d sockets and %d requests", writers,
			time.Since(begun).Round(time.Millisecond), j.dials.Load(), j.connector.Stats().Requests)
		failures.looks.Add(writers)
		failures.none(t)
		j.requireJoined(t, writers)
		assert.LessOrEqual(t, j.dials.Load(), int64(mostSockets))
		var rows int
		scan(t, j.DB, "SELECT count(*) FROM "+table, nil, &rows)
		assert.Equal(t, writers, rows)
	})
}

// TestJoinedClose closes the database while many wait for their writes.
func TestJoinedClose(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		table, db := newTable(), b.open(t)
		mustExec(t, db, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY)")
		const writers = 500
		for range either(3, 50) {
			mustExec(t, db, "DELETE FROM "+table)
			j := openJoined(t, b.shared.dsn)
			told := newLedger()
			half := make(chan struct{}) // closed when so many have begun
			var begun atomic.Int64
			var closed time.Time
			together(writers+1, func(g int) {
				if g == writers {
					<-half
					assert.NoError(t, j.Close())
					closed = time.Now()
					return
				}
				if begun.Add(1) == writers/2 {
					close(half)
				}
				_, err := j.ExecContext(t.Context(), "INSERT INTO "+table+" VALUES (?)", g)
				told.enter(int64(g), fortuneOf(err), err)
			})
			assert.Less(t, time.Since(closed), 5*time.Second, "writers hang when the database is closed")
			for text := range told.errors {
				assert.True(t, strings.Contains(text, "closed"), text)
			}
			requireTold(t, told, storedIn(t, db, "SELECT n FROM "+table))
		}
	})
}

// storedIn counts how often a query gives each number.
func storedIn(t *testing.T, db *sql.DB, query string) map[int64]int {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	counts := map[int64]int{}
	for rows.Next() {
		var n int64
		require.NoError(t, rows.Scan(&n))
		counts[n]++
	}
	require.NoError(t, rows.Err())
	return counts
}

// requireTold demands that what writers were told is true.
func requireTold(t *testing.T, l *ledger, stored map[int64]int) audit {
	t.Helper()
	got := l.audit(stored)
	t.Log(got)
	assert.Zero(t, got.lost, "acknowledged, and not there")
	assert.Zero(t, got.doubled, "there more than once")
	assert.Zero(t, got.ghosts, "refused, and there")
	assert.Zero(t, got.strange, "from nowhere")
	return got
}

// TestJoinedCancelled has writers lose their patience before their write is sent,
// while it is under way, or after it.
func TestJoinedCancelled(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		j, table := openJoined(t, b.shared.dsn), newTable()
		mustExec(t, j.DB, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY)")
		const writers = 96
		each := either(20, 500)
		told, impatient := newLedger(), newLedger()
		var early atomic.Int64 // gave up, with nothing sent
		together(writers, func(g int) {
			conn, err := j.Conn(t.Context())
			if !assert.NoError(t, err) {
				return
			}
			defer conn.Close()
			defer func() { assert.NoError(t, conn.PingContext(t.Context()), "the connection works on") }()
			for i := range each {
				n := int64(g*each + i)
				ctx, ledger, cancelled := t.Context(), told, false
				if g%2 == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithCancel(ctx)
					timer := time.AfterFunc(time.Duration(n%51)*100*time.Microsecond, cancel)
					defer timer.Stop()
					ledger, cancelled = impatient, true
				}
				_, err := conn.ExecContext(ctx, "INSERT INTO "+table+" VALUES (?)", n)
				ledger.enter(n, fortuneOf(err), err)
				if err != nil {
					assert.True(t, cancelled, "nobody cancelled this one: %v", err)
					assert.ErrorIs(t, err, context.Canceled)
				}
				if err != nil && !errors.Is(err, rqlite.ErrIndeterminate) {
					early.Add(1)
				}
			}
		})
		mustExec(t, j.DB, "CREATE TABLE "+newTable()+" (x)") // it comes behind whatever is still under way
		stored := storedIn(t, j.DB, "SELECT n FROM "+table+" WHERE n / "+fmt.Sprint(each)+" % 2 = 1")
		got := requireTold(t, told, stored)
		assert.Equal(t, writers/2*each, got.acknowledged, "the others are not concerned")
		got = requireTold(t, impatient, storedIn(t, j.DB, "SELECT n FROM "+table+" WHERE n / "+fmt.Sprint(each)+" % 2 = 0"))
		report(t, "of %d writers with a context that ends: %d acknowledged, %d unknown (%d applied), %d never sent",
			writers/2*each, got.acknowledged, got.unknown, got.applied, early.Load())
		logErrors(t, impatient)
		assert.Positive(t, got.unknown, "nobody gave up while its write was under way")
		assert.Positive(t, got.refused, "nobody gave up before")
		j.requireJoined(t, writers*each)
		assert.Zero(t, j.Stats().InUse)
		require.NoError(t, j.PingContext(t.Context()))
	})
}
