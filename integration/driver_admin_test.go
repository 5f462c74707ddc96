package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// raw calls f with a connection of the driver.
func raw(t *testing.T, db *sql.DB, f func(context.Context, rqlite.Conn) error) error {
	t.Helper()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	return conn.Raw(func(c any) error { return f(t.Context(), c.(rqlite.Conn)) })
}

// TestQueue waits for queued writes, whose results nobody knows.
func TestQueue(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (n INT)")
		for i := range 5 {
			result, err := db.ExecContext(rqlite.WithQueue(t.Context(), i == 4), "INSERT INTO "+table+" VALUES (?)", i)
			require.NoError(t, err)
			_, err = result.RowsAffected()
			require.Error(t, err)
			_, err = result.LastInsertId()
			require.Error(t, err)
		}
		var numbers string
		scan(t, db, "SELECT group_concat(n) FROM (SELECT n FROM "+table+" ORDER BY rowid)", nil, &numbers)
		assert.Equal(t, "0,1,2,3,4", numbers, "the last one waited, and they are applied in order")
	})
}

func TestStatus(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error { return c.Ready(ctx) }))
		require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error {
			status, err := c.Status(ctx)
			assert.True(t, json.Valid(status))
			return err
		}))
		require.NoError(t, raw(t, db, func(ctx context.Context, c rqlite.Conn) error {
			nodes, err := c.Nodes(ctx)
			if err != nil {
				return err
			}
			assert.Len(t, nodes, len(b.shared.nodes))
			leader, err := c.Leader(ctx)
			assert.Contains(t, nodes, leader)
			return err
		}))
	})
}

// TestBackupAndLoad moves a database from one server to another, in both forms
// a backup can have.
func TestBackupAndLoad(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		if !b.live {
			t.Skip("the embedded server makes no backups")
		}
		source := openDSN(t, b.launch(t, serverOptions{}).dsn)
		mustExec(t, source, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB, r REAL)")
		mustExec(t, source, "INSERT INTO t (v, r) VALUES (?, 3.0), (?, 0.1), (NULL, NULL)", allBytes, []byte("x'41'"))
		want := observe(t.Context(), source, step{mode: queryMode, query: "SELECT * FROM t ORDER BY id"})
		require.NoError(t, want.err)

		for _, format := range []rqlite.BackupFormat{rqlite.BackupBinary, rqlite.BackupSQL} {
			var backup bytes.Buffer
			require.NoError(t, raw(t, source, func(ctx context.Context, c rqlite.Conn) error { return c.Backup(ctx, &backup, format) }))
			if format == rqlite.BackupBinary {
				file := filepath.Join(t.TempDir(), "backup.db")
				require.NoError(t, os.WriteFile(file, backup.Bytes(), 0o600))
				local, err := sql.Open("sqlite3", file)
				require.NoError(t, err)
				got := observe(t.Context(), local, step{mode: queryMode, query: "SELECT * FROM t ORDER BY id"})
				require.NoError(t, local.Close())
				assert.Equal(t, want, got)
			}
			target := openDSN(t, b.launch(t, serverOptions{}).dsn)
			require.NoError(t, raw(t, target, func(ctx context.Context, c rqlite.Conn) error { return c.Load(ctx, &backup) }))
			got := observe(t.Context(), target, step{mode: queryMode, query: "SELECT * FROM t ORDER BY id"})
			assert.Equal(t, want, got, fmt.Sprint(format))
		}
	})
}
