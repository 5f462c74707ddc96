package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// twins are two rows that all writers keep equal: those outside of transactions add 1
// to both by one statement, transactions read both and write what they make of it.
type twins struct {
	added   atomic.Int64 // by writes that were acknowledged
	outcome outcomes
	dropped bool         // the version table is, now and then
	torn    atomic.Int64 // looks at unequal rows meanwhile, which is rare, and is never committed
	violations
}

const byTx = 1_000_000

// addOne is a write that is joined with others.
func (w *twins) addOne(ctx context.Context, db *sql.DB) {
	result, err := db.ExecContext(ctx, "UPDATE twins SET v = v + 1")
	if err != nil {
		w.add("a write outside of transactions: %v", err)
		return
	}
	if n, err := result.RowsAffected(); err != nil || n != 2 {
		w.add("%d rows affected: %v", n, err)
	}
	w.added.Add(1)
}

// raise is a transaction that reads, and writes what it has read and more.
func (w *twins) raise(ctx context.Context, tx *sql.Tx) error {
	var v [2]int64
	for k := range v {
		var err error
		if v[k], err = one(ctx, tx, "SELECT v FROM twins WHERE k = ?", k); err != nil {
			return err
		}
	}
	w.looks.Add(1)
	if v[0] != v[1] && w.dropped {
		w.torn.Add(1)
	} else if v[0] != v[1] {
		w.add("a transaction sees %d and %d", v[0], v[1])
	}
	for k := range v {
		if _, err := tx.ExecContext(ctx, "UPDATE twins SET v = ? WHERE k = ?", v[k]+byTx, k); err != nil {
			return err
		}
	}
	return nil
}

// TestJoinedBesideTx has transactions of other connectors, and of the same one, read
// and write what 32 joined writers change at the same time. Nobody's update is lost:
// with the version table, without it at first, and when somebody drops it now and then.
func TestJoinedBesideTx(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		for _, mode := range []rqlite.TxMode{rqlite.TxInteractive, rqlite.TxPipelined} {
			for _, dropped := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v, register dropped %v", mode, dropped), func(t *testing.T) {
					besideTx(t, b.launch(t, serverOptions{}).dsn, mode, dropped)
				})
			}
		}
	})
}

func besideTx(t *testing.T, dsn string, mode rqlite.TxMode, dropped bool) {
	t.Helper()
	j, other, outside := openJoined(t, dsn), openDSN(t, dsn), openDSN(t, withSettings(dsn, "txversion=false"))
	mustExec(t, outside, "CREATE TABLE twins (k INTEGER PRIMARY KEY, v INTEGER NOT NULL)")
	mustExec(t, outside, "INSERT INTO twins VALUES (0, 0), (1, 0)")
	mustExec(t, outside, "CREATE TABLE others (n INTEGER PRIMARY KEY)")
	var registers int
	scan(t, outside, "SELECT count(*) FROM sqlite_schema WHERE name = '_rqlite_tx'", nil, &registers)
	require.Zero(t, registers)

	ctx, cancel := context.WithTimeout(t.Context(), 3*patienceOfTx)
	defer cancel()
	w := &twins{dropped: dropped}
	stop := make(chan struct{})
	var writers, txs sync.WaitGroup
	for range 32 {
		writers.Go(func() { until(stop, func() { w.addOne(ctx, j.DB) }) })
	}
	var drops atomic.Int64
	if dropped {
		writers.Go(func() {
			every(100*time.Millisecond, stop, func() {
				if _, err := outside.ExecContext(ctx, "DROP TABLE _rqlite_tx"); err == nil {
					drops.Add(1)
				} else if !strings.Contains(err.Error(), "no such table") {
					w.add("%v", err)
				}
			})
		})
	}
	// Both are to happen, however fast or slow the machine is.
	least := either(6, 100)
	for i := range 4 {
		db := []*sql.DB{other, j.DB}[i/3]
		txs.Go(func() {
			for n := 0; ctx.Err() == nil && (n < least || dropped && drops.Load() == 0); n++ {
				ctx := rqlite.WithTxMode(ctx, mode)
				tries := 0
				raise := func(tx *sql.Tx) error {
					tries++
					return w.raise(ctx, tx)
				}
				err := rqlite.RunTx(ctx, db, nil, raise)
				for droppedAtOnce(err) {
					err = rqlite.RunTx(ctx, db, nil, raise)
				}
				w.outcome.enter(err, tries)
			}
		})
	}
	txs.Wait()
	close(stop)
	writers.Wait()

	committed, _ := w.outcome.counts()
	report(t, "%d joined writes, %v; the register was dropped %d times, and %d looks were torn",
		w.added.Load(), &w.outcome, drops.Load(), w.torn.Load())
	w.none(t)
	w.outcome.faultless(t)
	assert.GreaterOrEqual(t, committed, 4*least)
	assert.Positive(t, w.outcome.conflicts, "no transaction met with a joined write")
	want := w.added.Load() + int64(committed)*byTx
	var got [2]int64
	scan(t, outside, "SELECT min(v), max(v) FROM twins", nil, &got[0], &got[1])
	assert.Equal(t, [2]int64{want, want}, got)
	if dropped {
		assert.Positive(t, drops.Load())
	}
	j.requireJoined(t, int(w.added.Load()))
	assert.Positive(t, j.worked.Load())
}

// droppedAtOnce reports whether a transaction failed because somebody dropped the
// version table between its making and its use.
func droppedAtOnce(err error) bool {
	return err != nil && strings.Contains(err.Error(), "was made, and is not there")
}
