//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/rqlitetest/conformance"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// binary is an rqlited of a known release.
type binary struct{ path, version string }

// listedBinaries returns those that RQLITED_BINS lists, the oldest first.
func listedBinaries(t *testing.T) (list []binary) {
	t.Helper()
	backends, _, err := chosen()
	require.NoError(t, err)
	if !slices.ContainsFunc(backends, func(b *backend) bool { return b.name == "process" || b.kind == "process" }) {
		t.Skip("the backend process is not chosen")
	}
	for path := range strings.SplitSeq(os.Getenv("RQLITED_BINS"), ",") {
		if path = strings.TrimSpace(path); path == "" {
			continue
		}
		said, err := exec.Command(path, "-version").CombinedOutput()
		require.NoError(t, err, path)
		words := strings.Fields(string(said)) // rqlited v9.4.5 linux …
		require.Greater(t, len(words), 1, string(said))
		list = append(list, binary{path, words[1]})
	}
	slices.SortStableFunc(list, func(a, b binary) int {
		return conformance.ReleaseOf(a.version).Compare(conformance.ReleaseOf(b.version))
	})
	if len(list) < 2 {
		t.Skipf("RQLITED_BINS lists %d binaries of rqlited: an upgrade takes two, as in \"make releases\"", len(list))
	}
	return list
}

// TestRollingUpgrade stops the nodes of a cluster one after the other, and starts
// each as the next release with the data it had, while clients write and read. Nothing
// may be lost, doubled or come from nowhere, and all nodes have the same in the end.
func TestRollingUpgrade(t *testing.T) {
	list := listedBinaries(t)
	for i := range list[1:] {
		for _, leaderFirst := range []bool{false, true} {
			name := map[bool]string{false: "followers first, by SIGTERM", true: "leader first, by SIGKILL"}[leaderFirst]
			t.Run(fmt.Sprintf("%s to %s, %s", list[i].version, list[i+1].version, name), func(t *testing.T) {
				upgradeAll(t, list[i], list[i+1], leaderFirst)
			})
		}
	}
}

func upgradeAll(t *testing.T, from, to binary, leaderFirst bool) {
	t.Helper()
	options := fleetOptions{voters: 3}
	noteFleet("process")
	f := newFleet(t, options, func(f *fleet, i int) (runner, error) {
		return newProcess(from.path, options.serverOptions, f.flags(i, options))
	})
	f.requireVersion(t, from)
	l := newUpgradeLoad(t, f)
	l.start()
	t.Cleanup(l.end)
	l.stage(t, f, "before")
	upgraded := map[int]bool{}
	for len(upgraded) < len(f.members) {
		i := f.nextToUpgrade(t, upgraded, leaderFirst)
		f.upgrade(t, i, to.path, !leaderFirst)
		upgraded[i] = true
		f.leader(t)
		l.stage(t, f, fmt.Sprintf("with %d upgraded", len(upgraded)))
	}
	l.end()
	f.requireVersion(t, to)
	l.requireLoad(t)
}

// nextToUpgrade returns a node that is still to be upgraded: the leader last, or first
// and as long as it is not yet.
func (f *fleet) nextToUpgrade(t *testing.T, upgraded map[int]bool, leaderFirst bool) int {
	t.Helper()
	leader, others := f.leader(t), []int{}
	for i := range f.members {
		if i != leader && !upgraded[i] {
			others = append(others, i)
		}
	}
	if len(others) == 0 || leaderFirst && !upgraded[leader] {
		return leader
	}
	return others[0]
}

// upgrade ends a node, and starts it again with its data, by another binary. It waits
// until the node has what the leader had then.
func (f *fleet) upgrade(t *testing.T, i int, path string, gently bool) {
	t.Helper()
	m := f.members[i]
	p := m.runner.(*processRunner)
	if gently {
		require.NoError(t, syscall.Kill(p.pid, syscall.SIGTERM))
		select {
		case <-p.ended():
		case <-time.After(startTimeout):
			require.FailNow(t, "a node does not end", p.logs())
		}
		m.proxy.refuse()
		m.down = true
		_ = p.kill() // its guard says that it has ended by itself
	} else {
		f.kill(t, i)
	}
	leader := f.leader(t)
	want, err := f.status(t.Context(), leader)
	require.NoError(t, err)
	p.command[0] = path
	f.restart(t, i)
	if i > 0 || !gently { // a node that ends gently may take a snapshot
		assert.Equal(t, i == 0, strings.Contains(p.logs(), " 0 preexisting snapshots"), "%s begins with another state than it was to", m.id)
	}
	require.NoError(t, f.until(t.Context(), func(ctx context.Context) error {
		got, err := f.status(ctx, i)
		if err == nil && got.Store.Raft.Applied < want.Store.Raft.CommitIndex {
			err = fmt.Errorf("%s has applied %d of %d", m.id, got.Store.Raft.Applied, want.Store.Raft.CommitIndex)
		}
		return err
	}), "%s", last(p.logs(), 20))
}

// last returns the last lines of a text.
func last(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}

// requireVersion demands that all nodes are of a release.
func (f *fleet) requireVersion(t *testing.T, b binary) {
	t.Helper()
	for _, m := range f.members {
		version, err := versionOf(f.client, f.url(m))
		require.NoError(t, err)
		require.Equal(t, b.version, version, m.id)
	}
}

// upgradeWriter is one kind of write of the load, with a ledger of its own.
type upgradeWriter struct {
	name       string
	goroutines int
	tables     []string // that have the number of each write
	refuses    bool     // some writes violate a unique column
	insert     func(ctx context.Context, n int64) (fortune, error)
	ledger     *ledger
	done       atomic.Int64 // writes that were acknowledged
	last       audit        // of the end of the last stage
}

// upgradeLoad is what clients do meanwhile.
type upgradeLoad struct {
	writers []*upgradeWriter
	joined  *joined
	reads   map[string]*sql.DB // by level
	read    map[string]*atomic.Int64
	failed  ledger // reads that failed
	wrong   violations
	stop    chan struct{}
	busy    sync.WaitGroup
	gate    sync.RWMutex // whoever holds it keeps the clients from going on
	end     func()
}

const upgradeSchema = `CREATE TABLE singles (n INT); CREATE TABLE joins (n INT);
	CREATE TABLE keyed (n INT, u INT UNIQUE); INSERT INTO keyed VALUES (-1, -1);
	CREATE TABLE lefts (n INT); CREATE TABLE middles (n INT, u INT UNIQUE); CREATE TABLE rights (n INT); INSERT INTO middles VALUES (-1, -1);
	CREATE TABLE ours (n INT); CREATE TABLE copies (n INT); CREATE TABLE late (n INT); CREATE TABLE lates (n INT)`

func newUpgradeLoad(t *testing.T, f *fleet) *upgradeLoad {
	t.Helper()
	post(t, f.url(f.members[0]), "/db/execute", upgradeSchema)
	f.settle(t) // or a read finds no tables
	l := &upgradeLoad{
		joined: openJoined(t, f.dsn()), stop: make(chan struct{}), failed: ledger{errors: map[string]int{}},
		reads: map[string]*sql.DB{}, read: map[string]*atomic.Int64{},
	}
	l.end = sync.OnceFunc(func() {
		close(l.stop)
		l.busy.Wait()
	})
	for _, level := range []string{"weak", "linearizable", "none"} {
		l.reads[level] = openDSN(t, withSettings(f.dsn(), "level="+level))
		l.read[level] = &atomic.Int64{}
	}
	alone, dbs := openDSN(t, withSettings(f.dsn(), "coalesce=false")), openSeveral(t, 3, f.dsn())
	l.writers = []*upgradeWriter{
		{name: "single inserts", goroutines: 2, tables: []string{"singles"}, insert: insertByDriver(alone, "singles")},
		{name: "joined inserts", goroutines: 8, tables: []string{"joins"}, insert: insertByDriver(l.joined.DB, "joins")},
		{name: "RETURNING", goroutines: 6, tables: []string{"keyed"}, refuses: true, insert: l.insertReturning(l.joined.DB)},
		{name: "atomic batches", goroutines: 2, tables: []string{"lefts", "middles", "rights"}, refuses: true, insert: l.insertBatch(dbs[2])},
		{name: "transactions", goroutines: 2, tables: []string{"ours", "copies"}, insert: insertInTx(dbs[0], rqlite.TxInteractive, "ours", "copies")},
		{name: "deferred transactions", goroutines: 2, tables: []string{"late", "lates"}, insert: insertInTx(dbs[1], rqlite.TxPipelined, "late", "lates")},
	}
	for _, w := range l.writers {
		w.ledger = newLedger()
	}
	return l
}

// fromUnique returns the value for a unique column: for each fourth number one that
// is there already.
func fromUnique(n int64) (u int64, taken bool) {
	if n%4 == 0 {
		return -1, true
	}
	return n, false
}

// notTaken says that a write with a value that is taken has to be refused for that, unless
// the cluster was out of reach.
func (l *upgradeLoad) notTaken(taken bool, err error) {
	if taken && err == nil {
		l.wrong.add("a value was stored twice in a unique column")
	}
	if !taken && errors.Is(err, rqlite.ConstraintUnique) {
		l.wrong.add("a value that nobody has used is taken: %v", err)
	}
}

func (l *upgradeLoad) insertReturning(db *sql.DB) func(context.Context, int64) (fortune, error) {
	return func(ctx context.Context, n int64) (fortune, error) {
		u, taken := fromUnique(n)
		text, err := rowsText(ctx, db, "INSERT INTO keyed (n, u) VALUES (?, ?) RETURNING n", n, u)
		if want := fmt.Sprintf("n\n[]interface {}{%d}", n); err == nil && text != want {
			l.wrong.add("RETURNING gives %q, and not %q", text, want)
		}
		l.notTaken(taken, err)
		return fortuneOf(err), err
	}
}

// insertBatch inserts by an atomic batch, each second one with RETURNING.
func (l *upgradeLoad) insertBatch(db *sql.DB) func(context.Context, int64) (fortune, error) {
	return func(ctx context.Context, n int64) (fortune, error) {
		u, taken := fromUnique(n)
		returning := ""
		if n%8 < 4 {
			returning = " RETURNING n"
		}
		b := rqlite.Batch{Atomic: true}
		b.Add("INSERT INTO lefts (n) VALUES (?)", n)
		b.Add("INSERT INTO middles (n, u) VALUES (?, ?)"+returning, n, u)
		b.Add("INSERT INTO rights (n) VALUES (?)"+returning, n)
		_, err := b.Exec(ctx, db)
		l.notTaken(taken, err)
		return fortuneOf(err), err
	}
}

// insertInTx inserts into two tables by one transaction.
func insertInTx(db *sql.DB, mode rqlite.TxMode, first, second string) func(context.Context, int64) (fortune, error) {
	return func(ctx context.Context, n int64) (fortune, error) {
		err := once(rqlite.WithTxMode(ctx, mode), db, nil, func(tx *sql.Tx) error {
			for _, table := range []string{first, second} {
				if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (?)", n); err != nil {
					return err
				}
			}
			return nil
		})
		return fortuneOf(err), err
	}
}

// start starts all goroutines. Each waits a little between its writes, for the nodes
// have to keep up.
func (l *upgradeLoad) start() {
	for _, w := range l.writers {
		for range w.goroutines {
			l.busy.Go(func() {
				every(15*time.Millisecond, l.stop, func() {
					l.gate.RLock()
					defer l.gate.RUnlock()
					ctx, cancel := context.WithTimeout(context.Background(), patienceOfWriters)
					defer cancel()
					n := w.ledger.last.Add(1)
					o, err := w.insert(ctx, n)
					w.ledger.enter(n, o, err)
					if o == acknowledged {
						w.done.Add(1)
					}
				})
			})
		}
	}
	for level, db := range l.reads {
		l.busy.Go(func() { every(20*time.Millisecond, l.stop, func() { l.look(level, db) }) })
	}
}

// look counts rows at a level. Where that is promised, all that were acknowledged have to
// be there.
func (l *upgradeLoad) look(level string, db *sql.DB) {
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfWriters)
	defer cancel()
	least := l.writers[0].done.Load()
	var rows, days int64
	err := db.QueryRowContext(ctx, "SELECT count(*), count(*) FILTER (WHERE date('now') > '2000') FROM singles").Scan(&rows, &days)
	switch {
	case err != nil:
		l.failed.mu.Lock()
		l.failed.errors[level+": "+err.Error()]++
		l.failed.mu.Unlock()
		return
	case rows != days, level == "linearizable" && rows < least:
		l.wrong.add("a read at %s gives %d and %d rows, and %d were acknowledged before", level, rows, days, least)
	}
	l.wrong.looks.Add(1)
	l.read[level].Add(1)
}

// stage has the clients work for a while, of which something of each kind has to be
// acknowledged, then stops them and compares what they were told with what is there.
func (l *upgradeLoad) stage(t *testing.T, f *fleet, name string) {
	t.Helper()
	before := make([]int64, len(l.writers))
	for i, w := range l.writers {
		before[i] = w.done.Load()
	}
	linger(t.Context(), either(1500*time.Millisecond, 20*time.Second))
	for i, w := range l.writers {
		assert.Eventually(t, func() bool { return w.done.Load() > before[i]+3 }, startTimeout/2, 20*time.Millisecond, "%s: nothing of %s is acknowledged", name, w.name)
	}
	l.gate.Lock()
	defer l.gate.Unlock()
	post(t, f.url(f.members[f.leader(t)]), "/db/execute", "CREATE TABLE IF NOT EXISTS finished (n INT)") // what a node still has to do comes before it
	f.settle(t)
	for _, w := range l.writers {
		l.audit(t, f, w, name)
	}
	// So the first node is to begin with its log, and the others with a snapshot. (That they
	// take some by themselves would cut their logs short. A 9.4.5 that leads cannot
	// bring a snapshot to a 10.3, which then never has what it has missed.)
	for i := range f.members[1:] {
		f.snapshot(t, i+1)
	}
	require.False(t, t.Failed(), "what comes next would be wrong as well")
}

// audit compares what writers were told with what is there, on each node.
func (l *upgradeLoad) audit(t *testing.T, f *fleet, w *upgradeWriter, stage string) {
	t.Helper()
	stored := f.rawNumbers(t, f.members[0], w.tables[0])
	w.last = w.ledger.audit(stored)
	assert.Zero(t, w.last.lost+w.last.doubled+w.last.ghosts+w.last.strange, "%s, %s on %s: %v", stage, w.name, f.members[0].id, w.last)
	for _, m := range f.members {
		for _, table := range w.tables {
			if rows := f.rawNumbers(t, m, table); !maps.Equal(stored, rows) {
				assert.Fail(t, "tables differ", "%s, %s: %s on %s has %d rows, and %s on %s has %d: %v",
					stage, w.name, table, m.id, len(rows), w.tables[0], f.members[0].id, len(stored), w.ledger.audit(rows))
			}
		}
	}
}

// requireLoad demands that enough was done to tell anything, and reports it.
func (l *upgradeLoad) requireLoad(t *testing.T) {
	t.Helper()
	for _, w := range l.writers {
		report(t, "%s: %v", w.name, w.last)
		logErrors(t, w.ledger)
		assert.Greater(t, w.last.acknowledged, 15, w.name)
		if w.refuses {
			assert.Greater(t, w.last.refused, 5, w.name)
		}
	}
	logErrors(t, &l.failed)
	for level, n := range l.read {
		assert.Greater(t, n.Load(), int64(40), "reads at %s", level)
	}
	assert.Positive(t, l.joined.connector.Stats().Coalesced, "no writes went out together")
	l.wrong.none(t)
}

// rawNumbers counts the rows of a table by their numbers, in the data of a node, by
// bare HTTP. The row that was there from the beginning is left out.
func (f *fleet) rawNumbers(t *testing.T, m *member, table string) map[int64]int {
	t.Helper()
	var answer struct {
		Results []struct {
			Values [][2]int64 `json:"values"`
			Error  string     `json:"error"`
		} `json:"results"`
	}
	text := post(t, f.url(m), "/db/query?level=none", "SELECT n, count(*) FROM "+table+" WHERE n > 0 GROUP BY n")
	require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
	require.Len(t, answer.Results, 1)
	require.Empty(t, answer.Results[0].Error)
	counts := map[int64]int{}
	for _, row := range answer.Results[0].Values {
		counts[row[0]] = int(row[1])
	}
	return counts
}

// TestQueueWithoutLeader hands a write to the queue of a node that has lost its
// majority: it is refused, and no word of an outcome that nobody knows.
func TestQueueWithoutLeader(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 2})
		post(t, f.url(f.members[0]), "/db/execute", "CREATE TABLE queued (n INT)")
		f.kill(t, 1)
		require.NoError(t, f.until(t.Context(), func(ctx context.Context) error {
			s, err := f.status(ctx, 0)
			if err == nil && s.Store.Raft.State == "Leader" {
				err = errors.New("it still leads")
			}
			return err
		}))
		db := f.openNode(t, 0, "timeout=2s")
		for name, ctx := range map[string]context.Context{"waiting": rqlite.WithQueue(t.Context(), true), "not waiting": rqlite.WithQueue(t.Context(), false)} {
			_, err := db.ExecContext(ctx, "INSERT INTO queued VALUES (1)")
			require.Error(t, err, name)
			assert.NotErrorIs(t, err, rqlite.ErrIndeterminate, name)
		}
		f.restart(t, 1)
		f.leader(t)
		mustExec(t, db, "CREATE TABLE IF NOT EXISTS finished (n INT)")
		assert.Empty(t, timesStored(t, db, "queued"))
	})
}
