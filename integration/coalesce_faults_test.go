//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"errors"
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

// joinedFault is something that happens to a cluster while many write together.
type joinedFault struct {
	name string
	// rule is what the proxies do, nil for nothing.
	rule func() func(passage) fate
	// strike does something to whoever leads.
	strike func(*testing.T, *fleet, *sql.DB)
	// doubt says that some writers cannot know what became of their writes.
	doubt bool
}

var joinedFaults = []joinedFault{
	{name: "leader killed", strike: func(t *testing.T, f *fleet, _ *sql.DB) {
		leader := f.leader(t)
		f.kill(t, leader)
		f.leader(t)
		linger(t.Context(), 500*time.Millisecond)
		f.restart(t, leader)
	}},
	{name: "leader paused", doubt: true, strike: func(t *testing.T, f *fleet, _ *sql.DB) {
		leader := f.leader(t)
		f.pause(t, leader)
		linger(t.Context(), faultPlan(t).pause)
		f.resume(t, leader)
	}},
	{name: "replies lost", doubt: true, rule: func() func(passage) fate { return loseEvery(10) }},
	{name: "replies cut", doubt: true, rule: func() func(passage) fate { return cutEvery(10) }},
	{name: "step-downs", strike: func(t *testing.T, f *fleet, db *sql.DB) {
		for range 3 {
			next := (f.leader(t) + 1) % f.voters
			err := raw(t, db, func(ctx context.Context, c rqlite.Conn) error { return c.StepDown(ctx, f.members[next].id) })
			if err != nil {
				t.Logf("step down: %v", err)
			}
			linger(t.Context(), 300*time.Millisecond)
		}
	}},
}

// cutEvery returns a rule that cuts the answer of every nth write in its middle.
func cutEvery(n int) func(passage) fate {
	lose := loseEvery(n)
	return func(p passage) fate { return fate{cut: lose(p).lose} }
}

// TestJoinedAtMostOnce has 64 writers at a time write rows that can be told apart
// while something happens to three nodes. What is acknowledged has to be there once,
// what is refused not at all, and the rest not more than once.
func TestJoinedAtMostOnce(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3})
		for _, fault := range joinedFaults {
			t.Run(fault.name, func(t *testing.T) { fault.run(t, f) })
		}
		f.requireSame(t)
	})
}

func (fault joinedFault) run(t *testing.T, f *fleet) {
	t.Helper()
	j, table := openJoined(t, f.dsn()), strings.NewReplacer(" ", "_", "-", "_").Replace(fault.name)
	mustExec(t, j.DB, "CREATE TABLE "+table+" (n INT, must INT NOT NULL)")
	f.settle(t)
	if fault.rule != nil {
		rule := sharedRule(fault.rule())
		for _, m := range f.members {
			m.proxy.obey(rule)
		}
	}
	told := newLedger()
	var longest atomic.Int64
	var wrong violations
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 64 {
		writers.Go(func() {
			told.write(stop, func(ctx context.Context, n int64) (fortune, error) {
				begun := time.Now()
				o, err := insertOrFail(ctx, j.DB, table, n)
				wrong.looks.Add(1)
				if errors.Is(err, errStrange) {
					wrong.add("%v", err)
				}
				for d, old := int64(time.Since(begun)), longest.Load(); d > old && !longest.CompareAndSwap(old, d); old = longest.Load() {
				}
				return o, err
			})
		})
	}
	linger(t.Context(), 300*time.Millisecond)
	for end := time.Now().Add(either(time.Second, 10*time.Second)); ; {
		if fault.strike != nil {
			fault.strike(t, f, j.DB)
		}
		linger(t.Context(), 700*time.Millisecond)
		if time.Now().After(end) {
			break
		}
	}
	close(stop)
	writers.Wait()
	for _, m := range f.members {
		m.proxy.obey(nil)
	}
	mustExec(t, j.DB, "CREATE TABLE after_"+table+" (x)") // whatever a node still has to do comes before it
	f.settle(t)
	got := requireTold(t, told, f.stored(t, table, -1))
	report(t, "%d acknowledged, %d refused, %d unknown (%d of them applied); the longest took %v; %+v, %d of %d transactions worked",
		got.acknowledged, got.refused, got.unknown, got.applied, time.Duration(longest.Load()).Round(time.Millisecond),
		j.connector.Stats(), j.worked.Load(), j.atomic.Load())
	logErrors(t, told)
	wrong.none(t)
	assert.Less(t, time.Duration(longest.Load()), 2*patienceOfWriters, "a caller's time-out did not end its call")
	assert.Greater(t, got.acknowledged, 500)
	if fault.doubt {
		assert.Positive(t, got.unknown, "nothing happened to anybody")
	}
	j.requireJoined(t, got.acknowledged+got.refused+got.unknown)
	assert.Positive(t, j.worked.Load())
	require.NoError(t, j.PingContext(t.Context()))
}

var errStrange = errors.New("an error of somebody else")

// insertOrFail inserts a row; one in 500 fails, which takes the request that it is
// in apart.
func insertOrFail(ctx context.Context, db *sql.DB, table string, n int64) (fortune, error) {
	fails := n%500 == 0
	var must any = 1
	if fails {
		must = nil
	}
	_, err := db.ExecContext(ctx, "INSERT INTO "+table+" (n, must) VALUES (?, ?)", n, must)
	var failed *rqlite.Error
	if errors.As(err, &failed) != fails && (err == nil || failed != nil) {
		return fortuneOf(err), fmt.Errorf("%w: row %d: %w", errStrange, n, err)
	}
	return fortuneOf(err), err
}

// sharedRule has several proxies count together.
func sharedRule(rule func(passage) fate) func(passage) fate {
	var mu sync.Mutex
	return func(p passage) fate {
		mu.Lock()
		defer mu.Unlock()
		return rule(p)
	}
}
