//go:build unix

package integration_test

import (
	"bytes"
	"database/sql"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOnceCostsOneRequest counts the requests of writes that work, and that fail, with tokens and without.
// Once a minute a failure asks for the schema.
func TestOnceCostsOneRequest(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 1})
		for _, mode := range []rqlite.ExactlyOnce{rqlite.OnceOff, rqlite.OnceJoined, rqlite.OnceAll} {
			db := openDSN(t, withSettings(f.dsn(), "exactly_once="+mode.String()))
			mustExec(t, db, "CREATE TABLE IF NOT EXISTS unequal (n INT UNIQUE)")
			mustExec(t, db, "INSERT OR IGNORE INTO unequal VALUES (1)")
			_, err := db.Exec("INSERT INTO unequal VALUES (1)")
			require.ErrorIs(t, err, rqlite.ConstraintUnique)
			f.members[0].proxy.forget()
			for range 20 {
				_, err := db.Exec("INSERT INTO unequal VALUES (1)")
				require.ErrorIs(t, err, rqlite.ConstraintUnique)
				mustExec(t, db, "INSERT OR IGNORE INTO unequal VALUES (1)")
			}
			assert.Equal(t, 40, count(f.members[0].proxy.seen(), statements), mode)
		}
	})
}

// TestOnceWithoutPermission has a user write who may not ask what became of writes. They go as without
// tokens, one request each, and the log says so once.
func TestOnceWithoutPermission(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 1, serverOptions: serverOptions{users: []user{
			{Name: "all", Password: "secret", Perms: []string{"all"}},
			{Name: "writer", Password: "secret", Perms: []string{"execute"}},
			{Name: "*", Perms: []string{"ready"}}, // whether a node is ready is asked by nobody
		}}})
		mustExec(t, openDSN(t, withUser(t, f.dsn(), "all", "secret")), "CREATE TABLE t (id INTEGER PRIMARY KEY)")
		cfg, err := rqlite.ParseDSN(withUser(t, withSettings(f.dsn(), "exactly_once=all"), "writer", "secret"))
		require.NoError(t, err)
		var log bytes.Buffer
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		connector, err := rqlite.NewConnector(cfg)
		require.NoError(t, err)
		db := sql.OpenDB(connector)
		defer db.Close()
		mustExec(t, db, "INSERT INTO t DEFAULT VALUES")
		f.members[0].proxy.forget()
		for range 20 {
			result, err := db.Exec("INSERT INTO t DEFAULT VALUES")
			require.NoError(t, err)
			affected, err := result.RowsAffected()
			require.NoError(t, err)
			assert.EqualValues(t, 1, affected)
		}
		assert.Equal(t, 20, count(f.members[0].proxy.seen(), statements))
		assert.Equal(t, 1, strings.Count(log.String(), "writes leave no token"), log.String())
	})
}
