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
	// doubt says that without tokens some writers cannot know what became of their writes.
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
			modes := []rqlite.ExactlyOnce{rqlite.OnceJoined}
			if fault.doubt {
				modes = []rqlite.ExactlyOnce{rqlite.OnceAll, rqlite.OnceOff}
			}
			for _, mode := range modes {
				t.Run(fault.name+", "+mode.String(), func(t *testing.T) { fault.run(t, f, mode) })
			}
		}
		t.Run("requests held up", func(t *testing.T) { besideHeld(t, f) })
		f.requireSame(t)
	})
}

func (fault joinedFault) run(t *testing.T, f *fleet, mode rqlite.ExactlyOnce) {
	t.Helper()
	j, table := openJoined(t, withSettings(f.dsn(), "exactly_once="+mode.String())), strings.NewReplacer(" ", "_", "-", "_").Replace(fault.name)+"_"+mode.String()
	mustExec(t, j.DB, "CREATE TABLE "+table+" (n INT, must INT NOT NULL)")
	f.settle(t)
	if fault.rule != nil {
		rule := sharedRule(fault.rule())
		f.obey(rule)
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
	f.obey(nil)
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
	switch mode {
	case rqlite.OnceAll:
		assert.Zero(t, got.unknown, "in doubt")
	case rqlite.OnceOff:
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

// besideHeld has the connections of some requests hang for a while, on nodes that are well.
// Others must not wait for them for long, and they are answered in the end.
func besideHeld(t *testing.T, f *fleet) {
	t.Helper()
	const held, hang, writers = 3, 6 * time.Second, 64
	j := openJoined(t, f.dsn())
	mustExec(t, j.DB, "CREATE TABLE held_up (n INTEGER PRIMARY KEY)")
	f.settle(t)
	var holds, answered, waited atomic.Int64
	begun := make(chan struct{}) // closed when the last of them hangs
	rule := sharedRule(func(p passage) fate {
		if !p.isWrite() || holds.Load() == held {
			return fate{}
		}
		if holds.Add(1) == held {
			close(begun)
		}
		return fate{delay: hang}
	})
	f.obey(rule)
	defer f.obey(nil)
	var failures violations
	var all sync.WaitGroup
	stop := make(chan struct{})
	write := func(g int) {
		n := g
		until(stop, func() {
			start := time.Now()
			_, err := j.ExecContext(t.Context(), "INSERT INTO held_up VALUES (?)", n)
			failures.looks.Add(1)
			switch {
			case err != nil:
				failures.add("%v", err)
			case time.Since(start) >= hang:
				waited.Add(1)
			}
			answered.Add(1)
			n += writers
		})
	}
	for g := range writers / 2 {
		all.Go(func() { write(g) })
	}
	<-begun // most of these have a part in a request that hangs
	for g := range writers / 2 {
		all.Go(func() { write(writers/2 + g) })
	}
	linger(t.Context(), hang/3)
	before := answered.Load()
	linger(t.Context(), hang/3)
	meanwhile := answered.Load() - before
	close(stop)
	all.Wait()
	report(t, "%d writes were answered while %d requests hung; %d waited for these, of %d", meanwhile, held, waited.Load(), answered.Load())
	failures.none(t)
	assert.Greater(t, meanwhile, int64(writers), "they waited")
	assert.Positive(t, waited.Load(), "nothing was held up")
	var rows int64
	scan(t, j.DB, "SELECT count(*) FROM held_up", nil, &rows)
	assert.Equal(t, answered.Load(), rows)
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
