//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fleetAccounts are those of a cluster: the first one is the administrator, as
// which the nodes join.
var fleetAccounts = append([]user{{Name: "admin", Password: "4dm1n", Perms: []string{"all"}}}, accounts...)

// TestLeastPrivilege has users with no more than they need, on a cluster whose
// followers redirect to the leader.
func TestLeastPrivilege(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{serverOptions: serverOptions{users: fleetAccounts}, voters: 3})
		admin := openDSN(t, withUser(t, f.dsn(), "admin", "4dm1n"))
		mustExec(t, admin, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
		mustExec(t, admin, "INSERT INTO t VALUES (1, 'one')")
		f.settle(t)
		leader := f.leader(t)
		for i := range f.voters { // the host of the DSN is each of the nodes in turn
			reader := openDSN(t, withUser(t, f.dsn(i), "reader", "r&d:/?#"))
			readsOnly(t, reader)
			assertRedirected(t, f, i, leader)
			writer := openDSN(t, withUser(t, f.dsn(i), "writer", "w@%"))
			readsAndWrites(t, writer)
			assertRedirected(t, f, i, leader)
			f.refusesGuesses(t, i)
		}
		var count int
		scan(t, admin, "SELECT count(*) FROM t", nil, &count)
		assert.Equal(t, 1, count)
	})
}

// readsOnly demands that a user reads at all levels, and cannot write.
func readsOnly(t *testing.T, db *sql.DB) {
	t.Helper()
	require.NoError(t, db.PingContext(t.Context()))
	for _, level := range []rqlite.Consistency{rqlite.Weak, rqlite.Linearizable, rqlite.Strong, rqlite.None, rqlite.Auto} {
		var v string
		ctx := rqlite.WithConsistency(t.Context(), level)
		require.NoError(t, db.QueryRowContext(ctx, "SELECT v FROM t WHERE id = ?", 1).Scan(&v), level)
		assert.Equal(t, "one", v)
	}
	_, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (2, 'two')")
	require.ErrorIs(t, err, rqlite.ErrUnauthorized)
	assert.NotErrorIs(t, err, rqlite.ErrIndeterminate)
	var id int
	require.ErrorIs(t, db.QueryRowContext(t.Context(), "DELETE FROM t RETURNING id").Scan(&id), rqlite.ErrUnauthorized)
	require.ErrorIs(t, administers(t, db), rqlite.ErrUnauthorized)
}

// readsAndWrites demands that a user can do what database/sql offers, and not
// administer.
func readsAndWrites(t *testing.T, db *sql.DB) {
	t.Helper()
	require.NoError(t, db.PingContext(t.Context()))
	mustExec(t, db, "CREATE TABLE mine (id INTEGER PRIMARY KEY, v)")
	var id, count int
	scan(t, db, "INSERT INTO mine (v) VALUES (?) RETURNING id", []any{7}, &id)
	assert.Equal(t, 1, id)
	batch := rqlite.Batch{Atomic: true}
	batch.Add("INSERT INTO mine (v) VALUES (?)", 8)
	batch.Add("INSERT INTO mine (v) VALUES (?)", 9)
	_, err := batch.Exec(t.Context(), db)
	require.NoError(t, err)
	scan(t, db, "SELECT count(*) FROM mine", nil, &count)
	assert.Equal(t, 3, count)
	mustExec(t, db, "DROP TABLE mine")
	require.ErrorIs(t, administers(t, db), rqlite.ErrUnauthorized)
}

// administers asks for the nodes, for which "status" is needed.
func administers(t *testing.T, db *sql.DB) error {
	t.Helper()
	return raw(t, db, func(ctx context.Context, c rqlite.Conn) error {
		_, err := c.Nodes(ctx)
		return err
	})
}

// assertRedirected demands that the requests since the last look came with
// credentials, and that a follower saw no more than one of them that was for the
// leader: it is asked once where the leader is.
func assertRedirected(t *testing.T, f *fleet, host, leader int) {
	t.Helper()
	for i, m := range f.members {
		seen := m.proxy.seen()
		m.proxy.forget()
		for _, p := range seen {
			assert.True(t, p.authorized, "%s %s without credentials", p.method, p.path)
		}
		switch i {
		case leader:
			assert.NotEmpty(t, seen)
		case host:
			asked := count(seen, func(p passage) bool { return statements(p) && hasParam(p, "redirect") })
			assert.Equal(t, 1, asked, "the follower was asked again and again")
		default:
			assert.Empty(t, seen, "a node that nobody was told of")
		}
	}
}

// refusesGuesses demands that a wrong password is one request, whatever is done
// first: asking again, or asking everybody, locks accounts.
func (f *fleet) refusesGuesses(t *testing.T, host int) {
	t.Helper()
	for what, call := range map[string]func(*sql.DB) error{
		"ping": func(db *sql.DB) error { return db.PingContext(t.Context()) },
		"query": func(db *sql.DB) error {
			var n int
			return db.QueryRowContext(t.Context(), "SELECT 1").Scan(&n)
		},
		"exec": func(db *sql.DB) error {
			_, err := db.ExecContext(t.Context(), "DELETE FROM t")
			return err
		},
	} {
		hosts := []int{host, (host + 1) % f.voters}
		err := call(openDSN(t, withUser(t, f.dsn(hosts...), "reader", "s3cretguess")))
		require.ErrorIs(t, err, rqlite.ErrUnauthorized, what)
		assert.NotErrorIs(t, err, rqlite.ErrIndeterminate, what)
		assert.NotContains(t, err.Error(), "s3cretguess")
		requests := 0
		for _, m := range f.members {
			for _, r := range m.proxy.seen() {
				if strings.HasPrefix(r.path, "/db/") { // and not the question which release it is
					requests++
				}
			}
			m.proxy.forget()
		}
		assert.Equal(t, 1, requests, "requests with a wrong password: %s", what)
	}
}
