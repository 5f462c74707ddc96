//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
)

// stream writes at a steady rate.
type stream struct {
	db        *sql.DB
	perSecond int
	write     func(ctx context.Context, db *sql.DB, n int64) error

	written, failed, dropped atomic.Int64
}

// run writes until stop. At most 64 writes are under way; those that come then
// are dropped.
func (s *stream) run(stop <-chan struct{}) {
	var under sync.WaitGroup
	free := make(chan struct{}, 64)
	n := int64(0)
	every(time.Second/time.Duration(s.perSecond), stop, func() {
		n++
		select {
		case free <- struct{}{}:
		default:
			s.dropped.Add(1)
			return
		}
		under.Go(func() {
			defer func() { <-free }()
			ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
			defer cancel()
			if s.write(ctx, s.db, n) != nil {
				s.failed.Add(1)
				return
			}
			s.written.Add(1)
		})
	})
	under.Wait()
}

// TestNoStarvation has a process commit short transactions while another one
// writes to the same table all the time.
func TestNoStarvation(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		db := openDSN(t, f.dsn())
		mustExec(t, db, "CREATE TABLE busy (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)")
		for id := range 100 {
			mustExec(t, db, "INSERT INTO busy VALUES (?, 0)", id)
		}
		mustCommitOnce(t, db)
		for _, c := range []struct {
			name string
			row  int // that the transactions read
		}{
			{"other rows", 99},
			{"the same row", 5},
		} {
			t.Run(c.name, func(t *testing.T) { notStarved(t, f, c.row) })
		}
		f.requireSame(t)
	})
}

// notStarved commits transactions of three statements, that read and write one
// row and insert another one. The steady writes go to rows 0 to 9.
func notStarved(t *testing.T, f *fleet, row int) {
	t.Helper()
	others := &stream{db: openDSN(t, f.dsn()), perSecond: 300, write: func(ctx context.Context, db *sql.DB, n int64) error {
		_, err := db.ExecContext(ctx, "UPDATE busy SET n = n + 1 WHERE id = ?", n%10)
		return err
	}}
	db := openDSN(t, f.dsn())
	stop := make(chan struct{})
	var streaming sync.WaitGroup
	begun := time.Now()
	streaming.Go(func() { others.run(stop) })
	alone := time.Second // before the transactions begin
	linger(t.Context(), alone)
	before := others.written.Load()

	var o outcomes
	var took []time.Duration
	const patience = 5 * time.Second
	lasts := either(5*time.Second, time.Minute)
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		from := time.Now()
		err := o.transact(ctx, db, nil, true, func(tx *sql.Tx) error {
			n, err := one(ctx, tx, "SELECT n FROM busy WHERE id = ?", row)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE busy SET n = ? WHERE id = ?", n+1, row); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO busy (n) VALUES (?)", n)
			return err
		})
		cancel()
		took = append(took, time.Since(from))
		assert.NoError(t, err)
	}
	close(stop)
	during := others.written.Load() - before
	streaming.Wait()
	committed, _ := o.counts()
	seconds := (time.Since(begun) - alone).Seconds()
	report(t, "%.1f commits/s, p50 %v, p99 %v, slowest %v; the others wrote %d/s before and %d/s beside it (%d left out, %d failed); %v",
		float64(committed)/seconds, quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1), before, int(float64(during)/seconds),
		others.dropped.Load(), others.failed.Load(), &o)
	o.faultless(t)
	assert.Greater(t, committed, 10)
	assert.Greater(t, during, int64(10), "the others wrote nothing: the test tests nothing")
	assert.Zero(t, others.failed.Load(), "steady writes that failed")
}

// TestStarvedOnes shows how it looks when transactions do starve: another process
// changes what they have read in each try, whatever was announced.
func TestStarvedOnes(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 1})
		db := openDSN(t, f.dsn())
		mustExec(t, db, "CREATE TABLE busy (n INTEGER)")
		mustExec(t, db, "INSERT INTO busy VALUES (0)")
		mustCommitOnce(t, db)
		others := openDSN(t, f.dsn())
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		tries := 0
		err := rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
			tries++
			if _, err := one(ctx, tx, "SELECT n FROM busy"); err != nil {
				return err
			}
			if _, err := others.ExecContext(context.WithoutCancel(ctx), "UPDATE busy SET n = n + 1"); err != nil {
				return fmt.Errorf("the other one: %w", err)
			}
			_, err := tx.ExecContext(ctx, "UPDATE busy SET n = n + 1")
			return err
		})
		assert.Error(t, err)
		assert.Greater(t, tries, 3)
		report(t, "%d tries, and: %v", tries, err)
	})
}
