package integration_test

import (
	"crypto/x509"
	"database/sql"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// accounts are a reader, a writer, and one for what the tests need besides.
var accounts = []user{
	{Name: "reader", Password: "r&d:/?#", Perms: []string{"query"}},
	{Name: "writer", Password: "w@%", Perms: []string{"query", "execute"}},
	{Name: "*", Perms: []string{"ready"}},
}

func TestPermissions(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		c := b.launch(t, serverOptions{users: accounts})
		writer := openDSN(t, withUser(t, c.dsn, "writer", "w@%"))
		reader := openDSN(t, withUser(t, c.dsn, "reader", "r&d:/?#"))

		require.NoError(t, writer.PingContext(t.Context()))
		mustExec(t, writer, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
		mustExec(t, writer, "INSERT INTO t (v) VALUES (1); INSERT INTO t (v) VALUES (2)")
		var id, count int
		scan(t, writer, "INSERT INTO t (v) VALUES (3) RETURNING id", nil, &id)
		assert.Equal(t, 3, id)
		scan(t, writer, "SELECT count(*) FROM t", nil, &count)
		assert.Equal(t, 3, count)

		require.NoError(t, reader.PingContext(t.Context()))
		for _, level := range []rqlite.Consistency{rqlite.Weak, rqlite.Linearizable, rqlite.Strong, rqlite.None, rqlite.Auto} {
			ctx := rqlite.WithConsistency(t.Context(), level)
			require.NoError(t, reader.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&count), level)
			assert.Equal(t, 3, count)
		}
		require.NoError(t, checkColumns(reader, "SELECT * FROM t WHERE 0"))
		_, err := reader.ExecContext(t.Context(), "INSERT INTO t (v) VALUES (4)")
		require.ErrorIs(t, err, rqlite.ErrUnauthorized)
		require.ErrorIs(t, reader.QueryRowContext(t.Context(), "DELETE FROM t RETURNING id").Scan(&id), rqlite.ErrUnauthorized)
		scan(t, writer, "SELECT count(*) FROM t", nil, &count)
		assert.Equal(t, 3, count)
	})
}

// TestWrongPassword demands one request: asking again locks accounts.
func TestWrongPassword(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		c := b.launch(t, serverOptions{users: accounts})
		for name, password := range map[string]string{"reader": "secretguess", "nobody": "secretguess", "": ""} {
			for what, call := range map[string]func(*sql.DB) error{
				"ping": func(db *sql.DB) error { return db.PingContext(t.Context()) },
				"query": func(db *sql.DB) error {
					var n int
					return db.QueryRowContext(t.Context(), "SELECT 1").Scan(&n)
				},
				"exec": func(db *sql.DB) error {
					_, err := db.ExecContext(t.Context(), "CREATE TABLE t (x)")
					return err
				},
			} {
				db, recorder := openRecorded(t, withUser(t, c.dsn, name, password))
				err := call(db)
				require.ErrorIs(t, err, rqlite.ErrUnauthorized, "%s as %q", what, name)
				assert.NotContains(t, err.Error(), "secretguess")
				assert.EqualValues(t, 1, recorder.requests.Load(), "%s as %q", what, name)
			}
		}
	})
}

func TestTLS(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		c := b.launch(t, serverOptions{tls: newCertificates(t)})
		db := openDSN(t, c.dsn)
		require.NoError(t, db.PingContext(t.Context()))
		mustExec(t, db, "CREATE TABLE t (x)")
		mustExec(t, db, "INSERT INTO t VALUES (1)")
		var x int
		scan(t, db, "SELECT x FROM t", nil, &x)
		assert.Equal(t, 1, x)

		cfg, err := rqlite.ParseDSN(c.dsn)
		require.NoError(t, err)
		host := cfg.Hosts[0]
		var unknown x509.UnknownAuthorityError
		err = openDSN(t, "https://"+host).PingContext(t.Context())
		require.ErrorAs(t, err, &unknown, "the authority is not one of the system's")
		require.NoError(t, openDSN(t, "https://"+host+"/?tls_insecure_skip_verify=true").PingContext(t.Context()))
		require.Error(t, openDSN(t, withSettings("rqlite://"+host, "timeout=1s")).PingContext(t.Context()), "plain HTTP")
		var wrongName x509.HostnameError
		err = openDSN(t, withSettings(c.dsn, "tls_server_name=rqlite.example")).PingContext(t.Context())
		require.ErrorAs(t, err, &wrongName)
	})
}

func TestMutualTLS(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		certs := newCertificates(t)
		c := b.launch(t, serverOptions{tls: certs, verify: true})
		db := openDSN(t, withSettings(c.dsn, "tls_cert="+certs.clientCertFile, "tls_key="+certs.clientKeyFile))
		mustExec(t, db, "CREATE TABLE t (x)")
		require.NoError(t, db.PingContext(t.Context()))
		require.Error(t, openDSN(t, withSettings(c.dsn, "timeout=1s")).PingContext(t.Context()), "without a certificate")
	})
}
