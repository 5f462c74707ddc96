//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/cdc"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Rows of these tables have a version v, which is 1 when they are inserted and one
// more after each update: what was seen of a row tells by itself whether it is all,
// once and in order.
const cdcTables = `
	CREATE TABLE items (id INTEGER PRIMARY KEY, v INTEGER NOT NULL);
	CREATE TABLE pairs (id INTEGER PRIMARY KEY, v INTEGER NOT NULL)`

// lastItem is the row that is written last.
const lastItem = -1

// changesReceiver is a program that receives changes, and stores them by the driver
// together with its checkpoint. It can be stopped and started, as by a new process.
type changesReceiver struct {
	address string
	db      *sql.DB // where the effects are

	server   *http.Server
	served   chan error
	handlers []*cdc.Handler // the last one receives
	finish   sync.Once
	done     chan struct{} // closed when the last row has come
}

func newChangesReceiver(t *testing.T, db *sql.DB) *changesReceiver {
	t.Helper()
	mustExec(t, db, "CREATE TABLE seen (n INTEGER PRIMARY KEY, tbl TEXT, id INTEGER, op TEXT, v INTEGER)")
	return &changesReceiver{address: freePort(t), db: db, done: make(chan struct{})}
}

func (r *changesReceiver) start(t *testing.T) {
	t.Helper()
	checkpoint, err := cdc.NewTable(r.db, nil)
	require.NoError(t, err)
	handler := cdc.NewHandler(func(ctx context.Context, changes []cdc.Change) error {
		err := rqlite.RunTx(ctx, r.db, nil, func(tx *sql.Tx) error {
			if err := storeChanges(ctx, tx, changes); err != nil {
				return err
			}
			return checkpoint.SaveTx(ctx, tx)
		})
		if last := changes[len(changes)-1]; err == nil && last.NewRowID == lastItem {
			r.finish.Do(func() { close(r.done) })
		}
		return err
	}, &cdc.Options{Checkpoint: checkpoint, Username: "rqlite", Password: "secret"})
	r.handlers = append(r.handlers, handler)
	listener, err := net.Listen("tcp", r.address)
	require.NoError(t, err)
	r.server = &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	r.served = make(chan error, 1)
	go func() { r.served <- r.server.Serve(listener) }()
}

// stop breaks all connections, also those of posts whose changes are being handled.
func (r *changesReceiver) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, r.server.Close())
	require.ErrorIs(t, <-r.served, http.ErrServerClosed)
}

// stats adds up those of all handlers.
func (r *changesReceiver) stats() (sum cdc.Stats) {
	for _, h := range r.handlers {
		s := h.Stats()
		sum.Posts += s.Posts
		sum.Changes += s.Changes
		sum.Duplicates += s.Duplicates
		sum.Uncertain += s.Uncertain
		sum.Refused += s.Refused
		sum.Failed += s.Failed
	}
	return sum
}

func storeChanges(ctx context.Context, tx *sql.Tx, changes []cdc.Change) error {
	var text strings.Builder
	var args []any
	for i, c := range changes {
		if c.Err != "" || c.Uncertain {
			return fmt.Errorf("%+v", c)
		}
		text.WriteString([]string{"INSERT INTO seen (tbl, id, op, v) VALUES ", ","}[min(i, 1)] + "(?,?,?,?)")
		args = append(args, c.Table, c.Row()["id"], c.Op.String(), c.Row()["v"])
	}
	_, err := tx.ExecContext(ctx, text.String(), args...)
	return err
}

// changesWriter is one of several goroutines that write rows of their own.
type changesWriter struct {
	db   *sql.DB
	next *atomic.Int64 // id
	rng  *rand.Rand
	own  []int64 // rows that are there, or may be
	done *atomic.Int64

	acknowledged, unknown, failed int // statements
}

// id returns a new one.
func (w *changesWriter) id() int64 { return w.next.Add(1) }

// any returns a row of the writer.
func (w *changesWriter) any() int64 { return w.own[w.rng.IntN(len(w.own))] }

// step does some writes, and returns the number of its statements.
func (w *changesWriter) step(ctx context.Context) (n int, err error) {
	const update = " SET v = v + 1 WHERE id = ?"
	switch kind := w.rng.IntN(10); {
	case kind < 3 || len(w.own) == 0: // a single insert
		id := w.id()
		w.own = append(w.own, id)
		_, err = w.db.ExecContext(ctx, "INSERT INTO items VALUES (?, 1)", id)
		return 1, err
	case kind < 6: // a single update
		_, err = w.db.ExecContext(ctx, "UPDATE items"+update, w.any())
		return 1, err
	case kind < 7: // a delete, for good
		i := w.rng.IntN(len(w.own))
		id := w.own[i]
		w.own = append(w.own[:i:i], w.own[i+1:]...)
		_, err = w.db.ExecContext(ctx, "DELETE FROM items WHERE id = ?", id)
		return 1, err
	case kind < 8: // one statement of several rows
		a, b, c := w.id(), w.id(), w.id()
		w.own = append(w.own, a, b, c)
		_, err = w.db.ExecContext(ctx, "INSERT INTO items VALUES (?, 1), (?, 1), (?, 1)", a, b, c)
		return 1, err
	case kind < 9: // bulk
		b := rqlite.Batch{Atomic: true}
		for range 10 {
			id := w.id()
			w.own = append(w.own, id)
			b.Add("INSERT INTO items VALUES (?, 1)", id)
			b.Add("UPDATE items"+update, w.any())
		}
		_, err = b.Exec(ctx, w.db)
		return b.Len(), err
	}
	a, b := w.id(), w.any()
	w.own = append(w.own, a)
	return 4, rqlite.RunTx(ctx, w.db, nil, func(tx *sql.Tx) error {
		for _, s := range []struct {
			text string
			id   int64
		}{
			{"INSERT INTO pairs VALUES (?, 1)", a},
			{"INSERT INTO items VALUES (?, 1)", a},
			{"UPDATE items" + update, b},
			{"UPDATE pairs" + update, a},
		} {
			if _, err := tx.ExecContext(ctx, s.text, s.id); err != nil {
				return err
			}
		}
		return nil
	})
}

// run writes until all writers together have sent that many statements.
func (w *changesWriter) run(ctx context.Context, statements int64) {
	for w.done.Load() < statements && ctx.Err() == nil {
		n, err := w.step(ctx)
		w.done.Add(int64(n))
		switch {
		case err == nil, errors.Is(err, rqlite.ErrRowsLost):
			w.acknowledged += n
		case errors.Is(err, rqlite.ErrIndeterminate):
			w.unknown += n
		default:
			w.failed += n
		}
	}
}

// seenChange is what the receiver has stored of a change.
type seenChange struct {
	op string
	v  int64
}

// checkSeen compares what was seen with what is there.
func checkSeen(t *testing.T, cluster, effects *sql.DB) (changes int) {
	t.Helper()
	seen := map[string][]seenChange{}
	rows, err := effects.QueryContext(t.Context(), "SELECT tbl, id, op, v FROM seen ORDER BY n")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var table string
		var id int64
		var c seenChange
		require.NoError(t, rows.Scan(&table, &id, &c.op, &c.v))
		key := fmt.Sprint(table, id)
		seen[key] = append(seen[key], c)
		changes++
	}
	require.NoError(t, rows.Err())
	there := map[string]int64{}
	for _, table := range []string{"items", "pairs"} {
		rows, err := cluster.QueryContext(rqlite.WithConsistency(t.Context(), rqlite.Linearizable), "SELECT id, v FROM "+table)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var id, v int64
			require.NoError(t, rows.Scan(&id, &v))
			there[fmt.Sprint(table, id)] = v
		}
		require.NoError(t, rows.Err())
	}
	for key, v := range there {
		assert.Equal(t, versions(v, false), seen[key], key)
	}
	for key, list := range seen {
		if _, ok := there[key]; !ok { // it was deleted
			assert.Equal(t, versions(list[len(list)-1].v, true), list, key)
		}
	}
	return changes
}

// versions is what is to be seen of a row that has come to a version.
func versions(v int64, deleted bool) (list []seenChange) {
	for i := int64(1); i <= v; i++ {
		list = append(list, seenChange{map[bool]string{true: "INSERT", false: "UPDATE"}[i == 1], i})
	}
	if deleted {
		list = append(list, seenChange{"DELETE", v})
	}
	return list
}

// cdcCases are settings of the writers whose changes are received.
var cdcCases = []struct {
	name     string
	settings []string
	filter   string // of rqlite's configuration
	lose     int    // so many answers to one that is lost; 0 for none
}{
	{name: "default", filter: "^[^_]"},
	{name: "tokens, answers lost", settings: []string{"exactly_once=all"}, filter: "^[^_]", lose: 5},
	{name: "tokens, answers lost, no filter", settings: []string{"exactly_once=all"}, lose: 5},
}

// Every change that three nodes commit has its effect once, and for each row in order,
// although the leader is killed and the receiver starts anew. The version table's own changes do not show.
func TestCDC(t *testing.T) {
	t.Parallel()
	onFleets(t, func(t *testing.T) {
		fleetNeeds(t, "9.0.0", "there is no change data capture")
		for _, c := range cdcCases {
			t.Run(c.name, func(t *testing.T) { receiveChanges(t, c.settings, c.filter, c.lose) })
		}
	})
}

// receiveChanges receives the changes that writers with some settings make.
func receiveChanges(t *testing.T, settings []string, filter string, lose int) {
	t.Helper()
	statements := either[int64](600, 10_000)
	embedded, err := startEmbedded(serverOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, embedded.stop()) })
	receiver := newChangesReceiver(t, openDSN(t, embedded.dsn))
	receiver.start(t)
	t.Cleanup(func() { receiver.stop(t) })
	config, err := json.Marshal(map[string]any{
		"endpoint":         "http://rqlite:secret@" + receiver.address + "/",
		"service_id":       "test",
		"table_filter":     filter,
		"max_batch_size":   50,
		"max_batch_delay":  50 * time.Millisecond,
		"transmit_timeout": 5 * time.Second, "transmit_min_backoff": 100 * time.Millisecond,
	})
	require.NoError(t, err)
	f := startFleet(t, fleetOptions{serverOptions: serverOptions{cdc: config}, voters: 3})
	db := openDSN(t, withSettings(f.dsn(), settings...))
	mustExec(t, db, cdcTables)
	if lose > 0 {
		f.obey(loseAnswers(lose))
	}

	writers := startChangesWriters(t, db, statements, func(part int) {
		switch part {
		case 1:
			leader := f.leader(t)
			f.kill(t, leader)
			f.leader(t, leader)
			f.restart(t, leader)
		case 2:
			receiver.stop(t)
			receiver.start(t)
		}
	})
	f.obey(nil)
	mustExec(t, db, "INSERT INTO items VALUES (?, 1)", lastItem)
	select {
	case <-receiver.done:
	case <-time.After(startTimeout):
		t.Errorf("the last change does not come: %+v", receiver.stats())
	}
	changes := checkSeen(t, db, receiver.db)
	stats := receiver.stats()
	report(t, "%d statements acknowledged, %d unknown, %d failed: %d changes seen once and in order; %d posts, %d transactions dropped as duplicates, %d posts failed",
		writers.acknowledged, writers.unknown, writers.failed, changes, stats.Posts, stats.Duplicates, stats.Failed)
	assert.GreaterOrEqual(t, int64(writers.acknowledged), statements/2)
	assert.Zero(t, stats.Uncertain)
	assert.Zero(t, stats.Refused)
	if lose > 0 {
		assert.Zero(t, writers.unknown, "in doubt")
	}
}

// startChangesWriters runs eight writers until they have sent all statements, and calls
// disturb after the first third and after the second. It returns their counts.
func startChangesWriters(t *testing.T, db *sql.DB, statements int64, disturb func(part int)) (sum changesWriter) {
	t.Helper()
	var next, done atomic.Int64
	writers := make([]*changesWriter, 8)
	var busy sync.WaitGroup
	for i := range writers {
		w := &changesWriter{db: db, next: &next, done: &done, rng: rand.New(rand.NewPCG(uint64(i), 7))}
		writers[i] = w
		busy.Go(func() { w.run(t.Context(), statements) })
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for part := int64(1); part <= 2; part++ {
		for done.Load() < part*statements/3 {
			<-again.C
		}
		disturb(int(part))
	}
	busy.Wait()
	for _, w := range writers {
		sum.acknowledged += w.acknowledged
		sum.unknown += w.unknown
		sum.failed += w.failed
	}
	return sum
}
