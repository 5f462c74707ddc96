//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rqlite/gorqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fortune is what a writer was told of one row.
type fortune int

const (
	acknowledged fortune = iota
	refused              // an error that says that it had no effect
	unknown
	panicked
)

// ledger keeps what writers were told of rows with numbers of their own.
type ledger struct {
	mu       sync.Mutex
	outcomes map[int64]fortune
	errors   map[string]int // how often which error came
	last     atomic.Int64
	patience time.Duration // of a writer for one row
}

func newLedger() *ledger {
	return &ledger{outcomes: map[int64]fortune{}, errors: map[string]int{}, patience: patienceOfWriters}
}

func (l *ledger) enter(n int64, o fortune, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes[n] = o
	if err != nil {
		l.errors[err.Error()]++
	}
}

// audit is how a ledger and a table go together.
type audit struct {
	acknowledged, refused, unknown, panicked int // what writers were told

	applied int // of the unknown ones
	lost    int // acknowledged, and not there
	doubled int // there more than once
	ghosts  int // refused, and there
	strange int // there, and nobody's
}

func (a audit) String() string {
	return fmt.Sprintf("%d acknowledged, %d refused, %d unknown (%d of them applied), %d panicked; %d lost, %d doubled, %d refused but there, %d from nowhere",
		a.acknowledged, a.refused, a.unknown, a.applied, a.panicked, a.lost, a.doubled, a.ghosts, a.strange)
}

// audit compares the ledger with how often each number is stored.
func (l *ledger) audit(stored map[int64]int) (a audit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, times := range stored {
		if times > 1 {
			a.doubled++
		}
		if _, ok := l.outcomes[n]; !ok {
			a.strange++
		}
	}
	for n, o := range l.outcomes {
		there := stored[n] > 0
		switch o {
		case acknowledged:
			a.acknowledged++
			if !there {
				a.lost++
			}
		case refused:
			a.refused++
			if there {
				a.ghosts++
			}
		case panicked:
			a.panicked++
		case unknown:
			a.unknown++
			if there {
				a.applied++
			}
		}
	}
	return a
}

// stored counts the rows of a table by number, in the data of the given node,
// or by a strong read if node is negative.
func (f *fleet) stored(t *testing.T, table string, node int) map[int64]int {
	t.Helper()
	db := openDSN(t, withSettings(f.dsn(), "level=strong"))
	if node >= 0 {
		db = f.openNode(t, node, "level=none")
	}
	return storedBy(t, db, table)
}

// storedBy counts the rows of a table by number, as a database reads them.
func storedBy(t *testing.T, db *sql.DB, table string) map[int64]int {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT n, count(*) FROM "+table+" GROUP BY n")
	require.NoError(t, err)
	defer rows.Close()
	counts := map[int64]int{}
	for rows.Next() {
		var n int64
		var times int
		require.NoError(t, rows.Scan(&n, &times))
		counts[n] = times
	}
	require.NoError(t, rows.Err())
	return counts
}

const (
	patienceOfWriters = 4 * time.Second
	// patienceForAll is enough for an election on a busy machine, so that nobody has to be left in doubt.
	patienceForAll = 30 * time.Second
)

// write inserts numbered rows until stop, and enters what it is told.
func (l *ledger) write(stop <-chan struct{}, insert func(context.Context, int64) (fortune, error)) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		n := l.last.Add(1)
		ctx, cancel := context.WithTimeout(context.Background(), l.patience)
		o, err := insert(ctx, n)
		cancel()
		l.enter(n, o, err)
	}
}

func insertByDriver(db *sql.DB, table string) func(context.Context, int64) (fortune, error) {
	return func(ctx context.Context, n int64) (fortune, error) {
		result, err := db.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (?)", n)
		if err != nil {
			return fortuneOf(err), err
		}
		if affected, err := result.RowsAffected(); err != nil || affected != 1 {
			return acknowledged, fmt.Errorf("%d rows affected: %w", affected, err)
		}
		return acknowledged, nil
	}
}

func insertByGorqlite(conn *gorqlite.Connection, table string) func(context.Context, int64) (fortune, error) {
	return func(ctx context.Context, n int64) (o fortune, err error) {
		defer func() {
			if p := recover(); p != nil {
				o, err = panicked, fmt.Errorf("panic: %v", p)
			}
		}()
		_, err = conn.WriteOneParameterizedContext(ctx, gorqlite.ParameterizedStatement{
			Query: "INSERT INTO " + table + " (n) VALUES (?)", Arguments: []any{n},
		})
		if err != nil {
			return unknown, err // its errors do not say more
		}
		return acknowledged, nil
	}
}

// TestAtMostOnce has many writers insert rows that can be told apart, while
// leaders die, stop and come back, and answers get lost. What is acknowledged has
// to be there once, what is refused not at all, and the rest not more than once.
func TestAtMostOnce(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		for _, settings := range []string{"exactly_once=all", "exactly_once=joined&discovery=off", "exactly_once=off"} {
			t.Run(settings, func(t *testing.T) { startFleet(t, fleetOptions{}).atMostOnce(t, settings) })
		}
	})
}

// atMostOnce has writers write while nodes fail. With tokens, nobody is left in doubt. Without them some
// are, which shows that the faults do what they are for.
func (f *fleet) atMostOnce(t *testing.T, settings string) {
	t.Helper()
	db := openDSN(t, withSettings(f.dsn(), settings))
	mustExec(t, db, "CREATE TABLE ours (n INT); CREATE TABLE theirs (n INT)")
	f.settle(t)
	for _, m := range f.members {
		m.proxy.obey(loseEvery(40))
	}

	ours, theirs := newLedger(), newLedger()
	if settings != "exactly_once=off" {
		ours.patience = patienceForAll
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 16 {
		writers.Go(func() { ours.write(stop, insertByDriver(db, "ours")) })
	}
	client := &http.Client{Transport: &http.Transport{}, Timeout: patienceOfWriters}
	for range 4 {
		conn, err := gorqlite.OpenWithClient("http://"+f.members[0].proxy.address+"/", client)
		require.NoError(t, err)
		writers.Go(func() { theirs.write(stop, insertByGorqlite(conn, "theirs")) })
	}
	done := f.torment(t, faultPlan(t))
	close(stop)
	writers.Wait()
	client.CloseIdleConnections()

	f.obey(nil)
	mustExec(t, db, "CREATE TABLE finished (x)") // whatever a node still has to do comes before it
	f.settle(t)
	stored := f.stored(t, "ours", -1)
	got := ours.audit(stored)
	report(t, "%v", done)
	report(t, "the driver: %v", got)
	report(t, "gorqlite: %v", theirs.audit(f.stored(t, "theirs", -1)))
	logErrors(t, ours)
	assert.Zero(t, got.lost, "acknowledged, and not there")
	assert.Zero(t, got.doubled, "there more than once")
	assert.Zero(t, got.ghosts, "refused, and there")
	assert.Zero(t, got.strange, "from nowhere")
	switch settings {
	case "exactly_once=off":
		assert.Positive(t, got.unknown, "no answer was lost: the test tests nothing")
	case "exactly_once=all":
		assert.Zero(t, got.unknown, "in doubt")
	default: // a node that forwards to a dead leader may hold the question for longer than a writer waits
		assert.Less(t, 100*got.unknown, got.acknowledged, "in doubt")
	}
	assert.Greater(t, got.acknowledged, 100)
	for i := range f.members {
		assert.Equal(t, stored, f.stored(t, "ours", i), "the data of node %d", i+1)
	}
}

func logErrors(t *testing.T, l *ledger) {
	t.Helper()
	kinds := map[string]int{}
	for text, times := range l.errors {
		kinds[loopbackAddress.ReplaceAllString(text, "…")] += times // ports differ
	}
	for text, times := range kinds {
		t.Logf("%5d × %s", times, text)
	}
}

// TestAuditSeesDoubles shows that the audit finds what a client does wrong
// that sends a write again because it got no answer.
func TestAuditSeesDoubles(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 1})
		db := openDSN(t, f.dsn())
		mustExec(t, db, "CREATE TABLE t (n INT)")
		f.members[0].proxy.obey(loseEvery(2))

		l := newLedger()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for n := range int64(2) { // the answer to the second row gets lost once
			for {
				resp, err := client.Post("http://"+f.members[0].proxy.address+"/db/execute", "application/json",
					strings.NewReader(fmt.Sprintf(`[["INSERT INTO t (n) VALUES (?)", %d]]`, n)))
				if err != nil {
					continue
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err == nil {
					break
				}
			}
			l.enter(n, acknowledged, nil)
		}
		f.members[0].proxy.obey(nil)
		l.enter(2, acknowledged, nil) // never sent
		mustExec(t, db, "INSERT INTO t (n) VALUES (3), (4), (5)")
		l.enter(3, refused, nil)
		l.enter(4, unknown, nil)
		want := audit{acknowledged: 3, refused: 1, unknown: 1, applied: 1, lost: 1, doubled: 1, ghosts: 1, strange: 1}
		assert.Equal(t, want, l.audit(f.stored(t, "t", -1)))
	})
}
