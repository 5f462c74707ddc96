//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// insertMany has goroutines insert rows until so many are stored, or the time is over. It returns how many
// there are, and how long that took.
func insertMany(t *testing.T, db *sql.DB, change func(context.Context) context.Context, goroutines int, most int64, longest time.Duration) (rows int64, took time.Duration) {
	t.Helper()
	var begun, done atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range goroutines {
		all.Go(func() {
			for time.Since(start) < longest && begun.Add(1) <= most {
				if _, err := db.ExecContext(change(t.Context()), "INSERT INTO stored (n) VALUES (?)", 1); err != nil {
					t.Errorf("a write: %v", err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return done.Load(), time.Since(start)
}

func unchanged(ctx context.Context) context.Context { return ctx }

// TestOnceTableSize reports how large the version table is after many writes that each leave a token. It
// holds those of six epochs of 32,768 versions at most, and some that are removed soon.
func TestOnceTableSize(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 1})
		db := openDSN(t, withSettings(f.options.dsn(f.members[0].address), "exactly_once=all"))
		mustExec(t, db, "CREATE TABLE stored (n INT)")
		for _, writes := range either([]int64{3000}, []int64{100_000, 400_000, 500_000}) {
			rows, took := insertMany(t, db, rqlite.WithoutCoalescing, 64, writes, 20*time.Minute)
			require.Equal(t, writes, rows)
			var stored, tokens, size int64
			scan(t, db, "SELECT count(*) FROM stored", nil, &stored)
			scan(t, db, "SELECT count(*) FROM _rqlite_tx", nil, &tokens)
			scan(t, db, "SELECT sum(pgsize) FROM dbstat WHERE name = '_rqlite_tx'", nil, &size)
			report(t, "behind %d writes the version table has %d rows, %d bytes; the last %d took %v", stored, tokens, size, writes, took.Round(time.Second))
			assert.Less(t, tokens, int64(7)<<15)
		}
	})
}

// TestOnceLogSize reports how many bytes a write is in the Raft log, by what goes to one of the followers.
func TestOnceLogSize(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3, linked: true})
		follower := f.members[(f.leader(t)+1)%f.voters].link
		mustExec(t, openDSN(t, f.dsn()), "CREATE TABLE stored (n INT)")
		for _, way := range []struct {
			name       string
			goroutines int
			most       int64
			mode       rqlite.ExactlyOnce
		}{
			{"alone", 1, 300, rqlite.OnceAll},
			{"joined", 64, 6400, rqlite.OnceJoined},
		} {
			var sizes []float64
			for _, mode := range []rqlite.ExactlyOnce{rqlite.OnceOff, way.mode} {
				db := openDSN(t, withSettings(f.dsn(), "exactly_once="+mode.String()))
				insertMany(t, db, unchanged, way.goroutines, int64(way.goroutines), time.Minute) // it knows the table then
				f.settle(t)
				before := follower.carriedBytes.Load()
				rows, _ := insertMany(t, db, unchanged, way.goroutines, way.most, time.Minute)
				f.settle(t)
				sizes = append(sizes, float64(follower.carriedBytes.Load()-before)/float64(rows))
			}
			report(t, "%s: %.0f bytes a write without tokens, %.0f with", way.name, sizes[0], sizes[1])
			assert.Less(t, sizes[1], sizes[0]+400)
		}
	})
}

// TestOnceCost reports what tokens cost writers of one node, in turns.
func TestOnceCost(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		turns, lasts := either(1, 21), either(100*time.Millisecond, 400*time.Millisecond)
		f := startFleet(t, fleetOptions{voters: 1})
		dsn := f.options.dsn(f.members[0].address)
		modes := []rqlite.ExactlyOnce{rqlite.OnceOff, rqlite.OnceJoined, rqlite.OnceAll}
		var dbs []*sql.DB
		for _, mode := range modes {
			dbs = append(dbs, openDSN(t, withSettings(dsn, "exactly_once="+mode.String())))
		}
		mustExec(t, dbs[0], "CREATE TABLE stored (n INT)")
		for _, goroutines := range []int{1, 64, 256, 1024} {
			perSecond := make([][]float64, len(modes))
			for turn := range turns + 1 {
				for i := range modes {
					i = (i + turn) % len(modes)
					rows, took := insertMany(t, dbs[i], unchanged, goroutines, 1<<40, lasts)
					if turn > 0 { // the first one warms up
						perSecond[i] = append(perSecond[i], float64(rows)/took.Seconds())
					}
				}
			}
			line := fmt.Sprintf("%d goroutines:", goroutines)
			for i, mode := range modes {
				var ratios []float64
				for turn := range turns {
					ratios = append(ratios, perSecond[i][turn]/perSecond[0][turn])
				}
				line += fmt.Sprintf(" %v %.0f rows/s (%.2f);", mode, median(perSecond[i]), median(ratios))
			}
			report(t, "%s", line)
		}
	})
}

func median(numbers []float64) float64 { return slices.Sorted(slices.Values(numbers))[len(numbers)/2] }
