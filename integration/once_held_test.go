//go:build unix

package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// keeper is a proxy in front of one node that keeps copies of requests. The first requests that write
// lose their answers. Every second of them is not delivered at all. It keeps these, and the driver's
// questions what became of them.
type keeper struct {
	carrier

	mu     sync.Mutex
	losing int // so many answers are still to be lost
	kept   []keptRequest
}

type keptRequest struct {
	request *http.Request // without its body
	body    []byte
}

// ServeHTTP implements http.Handler.
func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	lose, deliver := k.keep(r, body)
	if !deliver {
		panic(http.ErrAbortHandler)
	}
	status, header, answer := k.deliver(r, body)
	if lose {
		panic(http.ErrAbortHandler)
	}
	hand(w, status, header, answer)
}

// keep decides what becomes of a request, and keeps a copy of one that changes something.
func (k *keeper) keep(r *http.Request, body []byte) (lose, deliver bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	writes := r.URL.Path == "/db/execute"
	lose = writes && k.losing > 0
	if lose {
		k.losing--
	}
	if lose || bytes.Contains(body, []byte("INSERT OR IGNORE INTO _rqlite_tx")) {
		k.kept = append(k.kept, keptRequest{r.Clone(context.Background()), body})
	}
	return lose, !lose || k.losing%2 == 0
}

// lose has the answers to the next n requests that write be lost.
func (k *keeper) lose(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.losing = n
}

// slots returns those of the tokens of what was kept.
func (k *keeper) slots() (slots []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, kept := range k.kept {
		if found := slotSent.FindSubmatch(kept.body); found != nil {
			slots = append(slots, string(found[1]))
		}
	}
	return slots
}

// slotSent finds the slot of a token in a write.
var slotSent = regexp.MustCompile(`THEN (\d+) ELSE'stale'`)

// deliverAll delivers what was kept to a node, each twice, and returns how many requests that were.
func (k *keeper) deliverAll(t *testing.T, host string) int {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.target.Host = host
	for range 2 {
		for _, kept := range k.kept {
			status, _, answer := k.deliver(kept.request, kept.body)
			assert.Equal(t, http.StatusOK, status, "it did not reach the leader: %s", answer)
		}
	}
	return 2 * len(k.kept)
}

// heldCases are what happens to a cluster while requests are held back. Time itself changes nothing for
// the tokens: what counts is how far the version moves.
var heldCases = []struct {
	name    string
	moves   int64 // how far the version moves
	prunes  bool  // the tokens of their time are removed
	restart bool  // all nodes start again from a snapshot
}{
	{name: "the version is in the window", moves: 20_000},
	{name: "the version is behind the window", moves: 30_000},
	{name: "their tokens are removed", moves: 7 << 15, prunes: true},
	{name: "the slots are used again", moves: 1 << 27},
	{name: "all nodes start again, in the window", moves: 20_000, restart: true},
	{name: "all nodes start again, tokens removed", moves: 7 << 15, prunes: true, restart: true},
}

// TestOnceHeldBack has a proxy hold requests back for as long as it takes the version to move far, and
// the tokens to be removed. Then it delivers them, each twice, and so the driver's questions. Nothing is
// applied then: neither what was said not to be applied and was sent again, nor what was applied. Without
// tokens it is not so, which shows that the copies do what they are for.
func TestOnceHeldBack(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3})
		for n, c := range heldCases {
			t.Run(c.name, func(t *testing.T) {
				f.heldBack(t, fmt.Sprintf("held%d", n), rqlite.OnceAll, func(db *sql.DB, k *keeper) {
					f.moveVersion(t, db, c.moves)
					if c.prunes {
						f.prune(t, db, k)
					}
					if c.restart {
						f.startAgain(t)
					}
				})
			})
		}
		t.Run("without tokens", func(t *testing.T) {
			f.heldBack(t, "held", rqlite.OnceOff, func(*sql.DB, *keeper) {})
		})
		f.requireSame(t)
	})
}

// heldBack writes by all ways by a proxy that keeps requests, and delivers them again when meanwhile is
// over.
func (f *fleet) heldBack(t *testing.T, table string, mode rqlite.ExactlyOnce, meanwhile func(*sql.DB, *keeper)) {
	t.Helper()
	leader := f.leader(t)
	k := &keeper{carrier: carrier{target: url.URL{Scheme: "http", Host: f.members[leader].address}}}
	proxy := httptest.NewServer(k)
	defer proxy.Close()
	k.client.Transport = &http.Transport{}
	defer k.client.CloseIdleConnections()
	cfg := &rqlite.Config{Hosts: []string{strings.TrimPrefix(proxy.URL, "http://")}, Discovery: rqlite.DiscoveryRedirect, ExactlyOnce: mode}
	connector, err := rqlite.NewConnector(cfg)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	defer db.Close()
	direct := openDSN(t, f.dsn())
	mustExec(t, direct, "CREATE TABLE "+table+" (n INT)")

	told := newLedger()
	for range 4 {
		for _, way := range insertOnce {
			k.lose(1 + int(told.last.Load()%2)) // the first attempt, or two of them
			n := told.last.Add(1)
			o, err := way(db, table)(t.Context(), n)
			told.enter(n, o, err)
		}
	}
	k.lose(16) // and once more, together
	var all sync.WaitGroup
	for i := range 16 {
		n := told.last.Add(1)
		all.Go(func() {
			o, err := insertOnce[i%len(insertOnce)](db, table)(t.Context(), n)
			told.enter(n, o, err)
		})
	}
	all.Wait()
	meanwhile(direct, k)
	delivered := k.deliverAll(t, f.members[f.leader(t)].address)
	f.settle(t)
	got := told.audit(storedBy(t, direct, table))
	report(t, "%d requests delivered late: %v", delivered, got)
	require.GreaterOrEqual(t, delivered, 32)
	if mode == rqlite.OnceOff {
		assert.Positive(t, got.unknown, "the proxy does nothing")
		assert.Positive(t, got.doubled, "the copies do nothing")
		return
	}
	logErrors(t, told)
	assert.Equal(t, audit{acknowledged: got.acknowledged}, got)
}

// moveVersion moves the version as so many writes do, and then by one write.
func (f *fleet) moveVersion(t *testing.T, db *sql.DB, n int64) {
	t.Helper()
	body := fmt.Sprintf(`["UPDATE _rqlite_tx SET v=v+%d,token=NULL WHERE k=0"]`, n)
	resp, err := f.client.Post(f.url(f.members[f.leader(t)])+"/db/execute", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(answer), `"rows_affected":1`)
	mustExec(t, db, "CREATE TABLE IF NOT EXISTS moved (n INT)")
}

// prune writes until the tokens of what was kept are removed.
func (f *fleet) prune(t *testing.T, db *sql.DB, k *keeper) {
	t.Helper()
	slots := k.slots()
	require.NotEmpty(t, slots)
	writer := openDSN(t, withSettings(f.dsn(), "exactly_once=all"))
	count := "SELECT count(*) FROM _rqlite_tx WHERE k IN (" + strings.Join(slots, ",") + ")"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for left := -1; left != 0; {
		require.NoError(t, ctx.Err(), "%d tokens are left", left)
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				for range 8 {
					if _, err := writer.ExecContext(rqlite.WithoutCoalescing(ctx), "INSERT INTO moved VALUES (1)"); err != nil {
						t.Errorf("a write: %v", err)
					}
				}
			})
		}
		all.Wait()
		scan(t, db, count, nil, &left)
	}
}

// startAgain has all nodes take a snapshot, and starts them again from it.
func (f *fleet) startAgain(t *testing.T) {
	t.Helper()
	f.settle(t)
	for i := range f.voters {
		f.snapshot(t, i)
	}
	for i := range f.members {
		f.kill(t, i)
	}
	var started sync.WaitGroup
	for _, m := range f.members {
		started.Go(func() {
			if err := f.start(m); err != nil {
				t.Errorf("%s: %v\n%s", m.id, err, m.runner.logs())
			}
		})
	}
	started.Wait()
	for _, m := range f.members {
		require.NoError(t, m.proxy.accept())
		m.down = false
	}
	f.leader(t)
}
