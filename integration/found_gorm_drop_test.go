//go:build unix

package integration_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/gormrqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// GORM drops a table that others refer to, on three nodes that enforce foreign keys, while others
// try to violate them, and a node is killed. At no time are keys not enforced, and all nodes agree.
func TestFoundGormDropsReferencedTables(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{serverOptions: serverOptions{foreignKeys: true}})
		pool := openDSN(t, f.dsn())
		db, err := gorm.Open(gormrqlite.New(pool), &gorm.Config{Logger: logger.Discard})
		require.NoError(t, err)
		mustExec(t, pool, "CREATE TABLE owner (id INTEGER PRIMARY KEY); CREATE TABLE thing (id INTEGER PRIMARY KEY, o INTEGER REFERENCES owner (id))")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var violated, refused atomic.Int64
		var violating sync.WaitGroup
		for range 3 {
			violating.Go(func() {
				for ctx.Err() == nil {
					_, err := pool.ExecContext(ctx, "INSERT INTO thing (o) VALUES (999)")
					if err == nil {
						violated.Add(1)
					} else if errors.Is(err, rqlite.ConstraintForeignKey) {
						refused.Add(1)
					}
				}
			})
		}
		dropped, follower := 0, 0
		for end := time.Now().Add(either(4*time.Second, 30*time.Second)); time.Now().Before(end) || dropped < 5; dropped++ {
			if dropped == 3 {
				follower = (f.leader(t) + 1) % len(f.members)
				f.kill(t, follower)
			}
			require.NoError(t, db.Migrator().DropTable("parent", "child"))
			require.NoError(t, db.Exec("CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p INTEGER REFERENCES parent (id))").Error)
			require.NoError(t, db.Exec("INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1)").Error)
			require.NoError(t, db.Migrator().DropTable("parent"))
			require.Error(t, db.Exec("INSERT INTO child VALUES (2)").Error)
		}
		cancel()
		violating.Wait()
		report(t, "%d times dropped, %d violations refused", dropped, refused.Load())
		f.restart(t, follower)
		f.settle(t)
		f.requireSame(t)
		assert.Zero(t, violated.Load(), "keys were not enforced for a moment")
		assert.Positive(t, refused.Load())
	})
}
