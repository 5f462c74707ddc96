//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// chaotic is a way to write while everything fails.
type chaotic struct {
	name     string
	writers  int
	mode     rqlite.ExactlyOnce // by which nobody is left in doubt
	settings []string
	hosts    []int // of the DSN, all if there are none
	context  func(context.Context) context.Context
}

var chaoticWays = []chaotic{
	{name: "alone", writers: 16, mode: rqlite.OnceAll, context: rqlite.WithoutCoalescing},
	{name: "joined", writers: 256, mode: rqlite.OnceJoined},
	{name: "forwarded", writers: 16, mode: rqlite.OnceJoined, settings: []string{"discovery=off"}, hosts: []int{1, 2}},
}

// TestOnceChaos has many write while the leader is killed, paused, restarted and isolated from its
// followers, and a third of all answers is lost. With tokens all is there once and nobody is left in doubt.
// Without them some are, which shows that the faults do what they are for. All nodes are the same at the
// end, also behind a VACUUM and snapshots.
func TestOnceChaos(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		for i, way := range chaoticWays {
			modes := []rqlite.ExactlyOnce{way.mode, rqlite.OnceOff}
			for _, mode := range modes[:either(2-min(i, 1), 2)] { // a short run goes without tokens once
				t.Run(way.name+", "+mode.String(), func(t *testing.T) { way.run(t, mode) })
			}
		}
	})
}

func (way chaotic) run(t *testing.T, mode rqlite.ExactlyOnce) {
	t.Helper()
	f := startFleet(t, fleetOptions{linked: true, voters: 3})
	direct := openDSN(t, f.dsn())
	mustExec(t, direct, "CREATE TABLE ours (n INT)")
	f.settle(t)

	db := openDSN(t, withSettings(f.dsn(way.hosts...), append(way.settings, "exactly_once="+mode.String())...))
	insert := insertByDriver(db, "ours")
	if way.context != nil {
		insert = inContext(way.context, insert)
	}
	told := newLedger()
	told.patience = 20 * time.Second
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range way.writers {
		writers.Go(func() { told.write(stop, insert) })
	}
	require.Eventually(t, func() bool { return told.last.Load() > int64(4*way.writers) }, startTimeout, time.Millisecond) // they meet each other
	f.obey(loseAnswers(3))
	done := f.torment(t, faultPlan(t))
	close(stop)
	writers.Wait()
	f.obey(nil)
	f.tidy(t, direct)

	stored := f.stored(t, "ours", -1)
	got := requireTold(t, told, stored)
	report(t, "%v: %v", done, got)
	logErrors(t, told)
	assert.Positive(t, done.kills)
	assert.Positive(t, done.isolations)
	assert.Greater(t, got.acknowledged, 100)
	if mode == rqlite.OnceOff {
		assert.Positive(t, got.unknown, "no answer was lost: the test tests nothing")
	} else {
		assert.Zero(t, got.unknown, "in doubt")
	}
	f.requireSame(t)
}

// inContext has an insert get another context.
func inContext(change func(context.Context) context.Context, insert func(context.Context, int64) (fortune, error)) func(context.Context, int64) (fortune, error) {
	return func(ctx context.Context, n int64) (fortune, error) { return insert(change(ctx), n) }
}

// loseAnswers returns a rule that loses every nth answer to statements, on average, also to the driver's
// questions what became of others. With a strict count a question could meet its own repetitions only.
func loseAnswers(n int) func(passage) fate {
	return func(p passage) fate {
		return fate{lose: p.method == http.MethodPost && statements(p) && rand.IntN(n) == 0}
	}
}

// tidy has all nodes run a VACUUM, and take a snapshot, when they have applied all of the log.
func (f *fleet) tidy(t *testing.T, db *sql.DB) {
	t.Helper()
	mustExec(t, db, "CREATE TABLE finished (n INTEGER PRIMARY KEY)") // whatever a node still has to do comes before it
	f.settle(t)
	mustExec(t, db, "VACUUM")
	f.settle(t)
	for i := range f.voters {
		f.snapshot(t, i)
	}
	require.NoError(t, db.PingContext(t.Context()))
}
