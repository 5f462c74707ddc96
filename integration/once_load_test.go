//go:build unix

package integration_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOnceLoads has a database loaded again and again while others write, a third of all answers is lost,
// and every one to a load. A load takes back rows, but none is there twice, and none that was refused.
// Each load is followed by a version that was not there before.
func TestOnceLoads(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3})
		db := openDSN(t, withSettings(f.dsn(), "exactly_once=all"))
		mustExec(t, db, "CREATE TABLE loaded (n INT)")
		f.settle(t)
		lose := loseAnswers(3)
		f.obey(func(p passage) fate { return fate{lose: p.path == "/db/load" || lose(p).lose} })

		told := newLedger()
		told.patience = 20 * time.Second
		stop := make(chan struct{})
		var writers sync.WaitGroup
		for i := range 12 {
			insert := insertOnce[i%len(insertOnce)](db, "loaded")
			writers.Go(func() { told.write(stop, insert) })
		}
		loads := either(4, 40)
		for range loads {
			linger(t.Context(), 200*time.Millisecond)
			var backup bytes.Buffer
			require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error { return c.Backup(ctx, &backup, rqlite.BackupBinary) }))
			var before, after int64
			scan(t, db, "SELECT v FROM _rqlite_tx WHERE k = 0", nil, &before)
			linger(t.Context(), 200*time.Millisecond)
			err := raw(t, db, func(ctx context.Context, c rqlite.Conn) error { return c.Load(ctx, &backup) })
			require.ErrorIs(t, err, rqlite.ErrIndeterminate)
			scan(t, db, "SELECT v FROM _rqlite_tx WHERE k = 0", nil, &after)
			assert.Greater(t, max(after-before, before-after), int64(1)<<24, "the version came back")
		}
		close(stop)
		writers.Wait()
		f.obey(nil)
		f.tidy(t, db)

		got := told.audit(f.stored(t, "loaded", -1))
		report(t, "%d loads whose answer was lost: %v", loads, got)
		logErrors(t, told)
		assert.Greater(t, got.acknowledged, 50)
		assert.Zero(t, got.doubled, "there more than once")
		assert.Zero(t, got.ghosts, "refused, and there")
		assert.Zero(t, got.strange, "from nowhere")
		f.requireSame(t)
	})
}
