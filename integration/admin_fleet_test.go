//go:build unix

package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAdministration does to a cluster what an administrator does.
func TestAdministration(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		leader := f.leader(t)
		db := openDSN(t, f.dsn((leader+1)%f.voters, (leader+2)%f.voters)) // no host of it leads
		mustExec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB, s TEXT, r REAL)")
		mustExec(t, db, "INSERT INTO t (v, s, r) VALUES (?, 'one', 3.0), (?, ?, 0.1), (NULL, NULL, NULL)",
			allBytes, []byte("x'41'"), "it's ☃\n;")

		t.Run("nodes", func(t *testing.T) { f.listed(t, db, leader) })
		t.Run("status", func(t *testing.T) {
			require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error {
				text, err := c.Status(ctx)
				var got status
				require.NoError(t, json.Unmarshal(text, &got))
				assert.Contains(t, []string{"Leader", "Follower"}, got.Store.Raft.State)
				require.NoError(t, c.Ready(ctx))
				return err
			}))
		})
		t.Run("snapshot", func(t *testing.T) {
			require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error { return c.Snapshot(ctx) }))
		})
		t.Run("backup and load", func(t *testing.T) { f.backsUpAndLoads(t, db) })
		t.Run("boot", func(t *testing.T) { boots(t, db) })
		t.Run("step down", func(t *testing.T) {
			successor := (leader + 1) % f.voters
			require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error { return c.StepDown(ctx, f.members[successor].id) }))
			assert.Equal(t, successor, f.leader(t))
			mustExec(t, db, "INSERT INTO t DEFAULT VALUES")
			require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error { return c.StepDown(ctx, "") }))
			assert.NotEqual(t, successor, f.leader(t))
			mustExec(t, db, "INSERT INTO t DEFAULT VALUES")
		})
	})
}

// listed demands that Nodes and Leader tell what there is.
func (f *fleet) listed(t *testing.T, db *sql.DB, leader int) {
	t.Helper()
	require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error {
		nodes, err := c.Nodes(ctx)
		require.NoError(t, err)
		byID := map[string]rqlite.Node{}
		for _, n := range nodes {
			byID[n.ID] = n
		}
		require.Len(t, byID, len(f.members))
		for i, m := range f.members {
			n := byID[m.id]
			assert.Equal(t, "http://"+m.proxy.address, n.APIAddr)
			assert.Equal(t, i < f.voters, n.Voter, m.id)
			assert.Equal(t, i == leader, n.Leader, m.id)
			assert.True(t, n.Reachable, m.id)
			assert.NotEmpty(t, n.Version)
		}
		got, err := c.Leader(ctx)
		assert.Equal(t, f.members[leader].id, got.ID)
		return err
	}))
}

// contents is what is compared of two databases.
var contents = step{mode: queryMode, query: "SELECT id, v, s, r FROM t ORDER BY id"}

// backsUpAndLoads opens a binary backup by SQLite itself, and loads backups of
// both forms into the cluster after its data has changed.
func (f *fleet) backsUpAndLoads(t *testing.T, db *sql.DB) {
	t.Helper()
	want := observe(t.Context(), db, contents)
	require.NoError(t, want.err)
	for _, format := range []rqlite.BackupFormat{rqlite.BackupBinary, rqlite.BackupSQL} {
		var backup bytes.Buffer
		require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error { return c.Backup(ctx, &backup, format) }))
		if format == rqlite.BackupBinary {
			file := filepath.Join(t.TempDir(), "backup.db")
			require.NoError(t, os.WriteFile(file, backup.Bytes(), 0o600))
			local, err := sql.Open("sqlite3", file)
			require.NoError(t, err)
			assert.Equal(t, want, observe(t.Context(), local, contents))
			require.NoError(t, local.Close())
			mustExec(t, db, "DELETE FROM t WHERE id = 1; UPDATE t SET s = 'changed'")
		} else {
			mustExec(t, db, "DROP TABLE t")
		}
		require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error { return c.Load(ctx, &backup) }))
		assert.Equal(t, want, observe(t.Context(), db, contents), format.String())
		f.settle(t)
		for i := range f.members {
			assert.Equal(t, want, observe(t.Context(), f.openNode(t, i, "level=none"), contents), "node %d", i+1)
		}
	}
}

// boots gives the data of a cluster to a node that is alone.
func boots(t *testing.T, db *sql.DB) {
	t.Helper()
	want := observe(t.Context(), db, contents)
	require.NoError(t, want.err)
	var backup bytes.Buffer
	require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error { return c.Backup(ctx, &backup, rqlite.BackupBinary) }))
	single := openDSN(t, startFleet(t, fleetOptions{voters: 1}).dsn())
	require.NoError(t, raw(t, single, func(ctx context.Context, c rqlite.Conn) error {
		return c.Boot(ctx, bytes.NewReader(backup.Bytes()))
	}))
	assert.Equal(t, want, observe(t.Context(), single, contents))
	require.Error(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error {
		return c.Boot(ctx, bytes.NewReader(backup.Bytes()))
	}), "a node of a cluster cannot be booted")
}
