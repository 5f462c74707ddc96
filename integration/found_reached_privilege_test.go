//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/require"
)

// TestFoundExecuteAlone loses the leader of a user who may write and not read.
func TestFoundExecuteAlone(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3, serverOptions: serverOptions{users: []user{
			{Name: "all", Password: "secret", Perms: []string{"all"}},
			{Name: "writer", Password: "secret", Perms: []string{"execute"}},
			{Name: "*", Perms: []string{"ready"}}, // whether a node is ready is asked by nobody
		}}})
		db := openDSN(t, withUser(t, f.dsn(), "writer", "secret"))
		mustExec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
		for range 2 {
			leader := f.leader(t)
			f.kill(t, leader)
			require.NoError(t, f.until(t.Context(), func(ctx context.Context) error { return insertInto(ctx, db) }))
			require.NoError(t, insertInto(rqlite.WithQueue(t.Context(), true), db))
			f.restart(t, leader)
		}
	})
}

func insertInto(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := db.ExecContext(ctx, "INSERT INTO t DEFAULT VALUES")
	return err
}
