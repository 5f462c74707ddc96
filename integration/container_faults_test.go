//go:build unix

package integration_test

import (
	"database/sql"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAtMostOnceContainers is TestAtMostOnce on containers.
func TestAtMostOnceContainers(t *testing.T) {
	onBackend(t, "container", func(t *testing.T) { startContainerFleet(t, fleetOptions{}, true).atMostOnce(t, "exactly_once=all") })
}

// TestContainersOnly has nodes that advertise what they are called on the
// network of their containers, as they do unless told otherwise: a client
// outside cannot go to the leader, and has its requests forwarded.
func TestContainersOnly(t *testing.T) {
	onBackend(t, "container", func(t *testing.T) {
		f := startContainerFleet(t, fleetOptions{voters: 3}, false)
		leader := f.leader(t)
		cfg, err := rqlite.ParseDSN(f.dsn((leader+1)%f.voters, (leader+2)%f.voters))
		require.NoError(t, err)
		connector, err := rqlite.NewConnector(cfg)
		require.NoError(t, err)
		db := sql.OpenDB(connector)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		mustExec(t, db, "CREATE TABLE t (n INTEGER PRIMARY KEY)")
		for n := range 10 {
			mustExec(t, db, "INSERT INTO t VALUES (?)", n)
		}
		var rows int
		scan(t, db, "SELECT count(*) FROM t", nil, &rows)
		assert.Equal(t, 10, rows)
		assert.EqualValues(t, 1, connector.Stats().Fallbacks)
	})
}
