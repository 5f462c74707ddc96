//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRouting looks at which node gets what.
func TestRouting(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		db := openDSN(t, f.dsn())
		mustExec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v INT)")
		mustExec(t, db, "INSERT INTO t VALUES (1, 0)")
		f.settle(t)
		leader := f.leader(t)
		follower := (leader + 1) % f.voters

		t.Run("writes go to the leader", func(t *testing.T) { f.writesGoToLeader(t, follower, leader) })
		for _, level := range []rqlite.Consistency{rqlite.None, rqlite.Auto} {
			t.Run("reads at "+level.String()+" spread", func(t *testing.T) { f.readsSpread(t, leader, level) })
		}
		t.Run("the first host is dead", func(t *testing.T) {
			dsn := "rqlite://" + deadAddress(t) + "," + strings.TrimPrefix(f.dsn(follower), "rqlite://")
			mustExec(t, openDSN(t, dsn), "UPDATE t SET v = v + 1")
			var v int
			scan(t, openDSN(t, withSettings(dsn, "level=none")), "SELECT id FROM t", nil, &v)
			assert.Equal(t, 1, v)
		})
		t.Run("all hosts are dead", func(t *testing.T) {
			first, second := deadAddress(t), deadAddress(t)
			db := openDSN(t, "rqlite://"+first+","+second+"/?timeout=400ms")
			start := time.Now()
			_, err := db.ExecContext(t.Context(), "UPDATE t SET v = v + 1")
			assert.Less(t, time.Since(start), 400*time.Millisecond+behindDeadline*2)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.NotErrorIs(t, err, rqlite.ErrIndeterminate, "nothing was sent")
			assert.ErrorContains(t, err, "connection refused", "it says why")
		})
		t.Run("answers are cut off", func(t *testing.T) { f.answersAreCut(t, leader) })
		t.Run("a follower that swallows requests is passed over", func(t *testing.T) {
			f.members[follower].proxy.hold()
			defer f.members[follower].proxy.release()
			db := openDSN(t, withSettings(f.dsn(), "level=none", "timeout=5s"))
			for range 2 * len(f.members) {
				var v int
				scan(t, db, "SELECT id FROM t", nil, &v)
			}
		})
		t.Run("a follower that is gone is passed over", func(t *testing.T) {
			f.kill(t, follower)
			db := openDSN(t, withSettings(f.dsn(), "level=none"))
			for range 2 * len(f.members) {
				var v int
				scan(t, db, "SELECT id FROM t", nil, &v)
			}
			f.restart(t, follower)
		})
	})
}

func deadAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// forgetAll empties the logs of the proxies.
func (f *fleet) forgetAll() {
	for _, m := range f.members {
		m.proxy.forget()
	}
}

func (f *fleet) writesGoToLeader(t *testing.T, follower, leader int) {
	t.Helper()
	f.forgetAll()
	db := openDSN(t, f.dsn(follower))
	for range 20 {
		mustExec(t, db, "UPDATE t SET v = v + 1")
	}
	for i, m := range f.members {
		got := count(m.proxy.seen(), passage.isWrite)
		switch i {
		case leader:
			assert.Equal(t, 20, got, "writes at the leader")
		case follower:
			assert.Equal(t, 1, got, "writes at the follower, which redirects the first one")
		default:
			assert.Zero(t, got, "writes at node %d, which is in no DSN", i+1)
		}
		for _, p := range m.proxy.seen() {
			assert.True(t, !p.isWrite() || hasParam(p, "redirect"), "the follower is asked to redirect, not to forward: %s", p.query)
		}
	}
}

// answersAreCut has a first answer cut in its middle: a read is done again, and a
// write is not.
func (f *fleet) answersAreCut(t *testing.T, leader int) {
	t.Helper()
	db := openDSN(t, f.dsn(leader))
	cuts := 0
	f.members[leader].proxy.obey(func(passage) fate {
		cuts++
		return fate{cut: cuts == 1, delay: time.Millisecond}
	})
	defer f.members[leader].proxy.obey(nil)
	var before, after int
	scan(t, db, "SELECT v FROM t", nil, &before)
	f.members[leader].proxy.obey(func(p passage) fate { return fate{cut: p.isWrite()} })
	_, err := db.ExecContext(t.Context(), "UPDATE t SET v = v + 1")
	require.ErrorIs(t, err, rqlite.ErrIndeterminate)
	f.members[leader].proxy.obey(nil)
	scan(t, db, "SELECT v FROM t", nil, &after)
	assert.Equal(t, before+1, after)
}

// readsSpread begins with one host, and learns the others.
func (f *fleet) readsSpread(t *testing.T, leader int, level rqlite.Consistency) {
	t.Helper()
	db := openDSN(t, withSettings(f.dsn(leader), "discovery=nodes", "level="+level.String()))
	var v int
	require.NoError(t, f.until(t.Context(), func(ctx context.Context) error { // the members are learned behind the reads
		f.forgetAll()
		for range len(f.members) {
			if err := db.QueryRowContext(ctx, "SELECT id FROM t").Scan(&v); err != nil {
				return err
			}
		}
		for i, m := range f.members {
			if count(m.proxy.seen(), statements) == 0 {
				return fmt.Errorf("node %d has answered no read", i+1)
			}
		}
		return nil
	}))
	f.forgetAll()
	const each = 10
	for range each * len(f.members) {
		scan(t, db, "SELECT id FROM t", nil, &v)
	}
	for i, m := range f.members {
		assert.Equal(t, each, count(m.proxy.seen(), statements), "reads at node %d", i+1)
	}
}

// TestUnreachableLeader has nodes that advertise an address which nobody can
// connect to, as in containers.
func TestUnreachableLeader(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3, advertise: deadAddress(t)})
		leader := f.leader(t)
		follower := (leader + 1) % f.voters
		cfg, err := rqlite.ParseDSN(f.dsn(follower))
		require.NoError(t, err)
		connector, err := rqlite.NewConnector(cfg)
		require.NoError(t, err)
		db := sql.OpenDB(connector)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		mustExec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
		for range 10 {
			mustExec(t, db, "INSERT INTO t DEFAULT VALUES")
		}
		var rows int
		scan(t, db, "SELECT count(*) FROM t", nil, &rows)
		assert.Equal(t, 10, rows)
		assert.EqualValues(t, 1, connector.Stats().Fallbacks)
		seen := f.members[follower].proxy.seen()
		assert.Equal(t, 1, count(seen, func(p passage) bool { return p.isWrite() && hasParam(p, "redirect") }), "requests that were not to be forwarded")
		assert.Empty(t, f.members[leader].proxy.seen())
	})
}
