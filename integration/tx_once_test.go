//go:build unix

package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onceRows is how many numbers each transaction inserts.
const onceRows = 6

// insertTwice inserts numbers, the last of which is n, into two tables by one transaction, which it
// does not repeat.
func insertTwice(ctx context.Context, db *sql.DB, n int64) (fortune, error) {
	err := once(ctx, db, nil, func(tx *sql.Tx) error {
		for _, table := range []string{"ours", "copies"} {
			if err := repeat(ctx, tx, onceRows, "INSERT INTO "+table+" (n) VALUES (?)", func(i int) []any { return []any{n - int64(i)} }); err != nil {
				return err
			}
		}
		return nil
	})
	return fortuneOf(err), err
}

// insertAtOnce inserts numbers by several connectors for a time, each transaction
// for as long as it has patience.
func insertAtOnce(t *testing.T, clients []*sql.DB, lasts, patience time.Duration) *ledger {
	t.Helper()
	l := newLedger()
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for _, db := range clients {
		for range 3 {
			busy.Go(func() {
				until(stop, func() {
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					defer cancel()
					n := l.last.Add(onceRows)
					o, err := insertTwice(ctx, db, n)
					for i := range int64(onceRows) {
						l.enter(n-i, o, err)
					}
				})
			})
		}
	}
	linger(t.Context(), lasts)
	close(stop)
	busy.Wait()
	return l
}

// exactlyOnce compares a ledger with both tables.
func (f *fleet) exactlyOnce(t *testing.T, l *ledger) audit {
	t.Helper()
	db := openDSN(t, f.dsn())
	mustExec(t, db, "CREATE TABLE IF NOT EXISTS finished (n INTEGER PRIMARY KEY)") // what a node still has to do comes before it
	f.settle(t)
	stored := f.stored(t, "ours", -1)
	assert.Equal(t, stored, f.stored(t, "copies", -1), "half of a transaction")
	got := l.audit(stored)
	report(t, "%v", got)
	logErrors(t, l)
	assert.Zero(t, got.lost, "committed, and not there")
	assert.Zero(t, got.doubled, "there more than once")
	assert.Zero(t, got.ghosts, "not committed, and there")
	assert.Zero(t, got.strange, "from nowhere")
	assert.Greater(t, got.acknowledged, 20*onceRows)
	f.requireSame(t)
	return got
}

// startOnce starts a cluster with both tables.
func startOnce(t *testing.T) *fleet {
	t.Helper()
	f := startFleet(t, fleetOptions{})
	db := openDSN(t, f.dsn())
	mustExec(t, db, "CREATE TABLE ours (n INT)")
	mustExec(t, db, "CREATE TABLE copies (n INT)")
	mustCommitOnce(t, db)
	f.settle(t)
	return f
}

// TestCommitAnswersLost loses every third answer.
func TestCommitAnswersLost(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		for name, fits := range map[string]func(passage) bool{
			"commits":    isCommit,
			"trials":     isTrial, // and the questions what became of a commit
			"everything": statements,
		} {
			t.Run(name, func(t *testing.T) {
				f := startOnce(t)
				third := &loser{every: 3, fits: fits}
				f.obey(third.rule)
				l := insertAtOnce(t, openModes(t, 3, f.dsn()), either(3*time.Second, 30*time.Second), patienceOfTx)
				f.obey(nil)
				got := f.exactlyOnce(t, l)
				report(t, "%d answers lost", third.lost())
				assert.Greater(t, third.lost(), int64(5))
				assert.Zero(t, got.unknown, "the cluster was never out of reach")
			})
		}
	})
}

// TestCommitsLate has commits arrive when whoever sent them has given up already,
// and asked what became of them.
func TestCommitsLate(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startOnce(t)
		var seen, late atomic.Int64
		f.obey(func(p passage) fate {
			if !isCommit(p) || seen.Add(1)%3 != 0 {
				return fate{}
			}
			late.Add(1)
			return fate{delay: 700 * time.Millisecond}
		})
		l := insertAtOnce(t, openModes(t, 3, f.dsn()), either(4*time.Second, time.Minute), 400*time.Millisecond)
		linger(t.Context(), time.Second) // the last ones arrive
		f.obey(nil)
		got := f.exactlyOnce(t, l)
		report(t, "%d commits late", late.Load())
		assert.Greater(t, late.Load(), int64(5))
		assert.GreaterOrEqual(t, int64(got.refused), late.Load()/2*onceRows, "late commits were waited for: the test tests nothing")
		assert.Zero(t, got.unknown, "the cluster was never out of reach")
	})
}

// repeater sends commits more than once: each at once twice, and old ones again
// when others have been committed since.
type repeater struct {
	transport http.Transport
	mu        sync.Mutex
	old       []*http.Request
	bodies    [][]byte
	repeated  atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (r *repeater) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodPost || req.Body == nil {
		return r.transport.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	req.Body.Close()
	if err != nil {
		return nil, err
	}
	if isCommit(passage{method: req.Method, path: req.URL.Path, body: string(body)}) {
		r.mu.Lock()
		r.old, r.bodies = append(r.old, req), append(r.bodies, body)
		last := len(r.old) - 1
		r.mu.Unlock()
		for _, i := range []int{last, last - 1, last - 2, last - 20, last - 50} {
			if i >= 0 {
				r.again(i)
			}
		}
	}
	copied := req.Clone(req.Context())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	return r.transport.RoundTrip(copied)
}

// again sends a commit and throws the answer away.
func (r *repeater) again(i int) {
	r.mu.Lock()
	req, body := r.old[i], r.bodies[i]
	r.mu.Unlock()
	req = req.Clone(context.WithoutCancel(req.Context()))
	req.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := r.transport.RoundTrip(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		r.repeated.Add(1)
	}
}

// TestCommitsRepeated has commits arrive twice, the second time at once or long
// after: rqlite may send them to a leader twice, and networks are said to.
func TestCommitsRepeated(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startOnce(t)
		var clients []*sql.DB
		var repeated int64
		repeaters := make([]*repeater, 2)
		for i := range repeaters {
			repeaters[i] = &repeater{}
			clients = append(clients, openThrough(t, withSettings(f.dsn(), setting(aheadModes[i])), repeaters[i], repeaters[i].transport.CloseIdleConnections))
		}
		l := insertAtOnce(t, clients, either(4*time.Second, time.Minute), patienceOfTx)
		for _, r := range repeaters {
			repeated += r.repeated.Load()
		}
		report(t, "%d commits repeated", repeated)
		f.exactlyOnce(t, l)
		assert.Greater(t, repeated, int64(50))
	})
}

// openThrough opens a database whose requests go through a transport.
func openThrough(t *testing.T, dsn string, transport http.RoundTripper, closeIdle func()) *sql.DB {
	t.Helper()
	cfg, err := rqlite.ParseDSN(dsn)
	require.NoError(t, err)
	cfg.HTTPClient = &http.Client{Transport: transport}
	connector, err := rqlite.NewConnector(cfg)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() {
		require.NoError(t, db.Close())
		closeIdle()
	})
	return db
}
