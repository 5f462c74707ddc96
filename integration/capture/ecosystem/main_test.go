package ecosystem

import (
	"database/sql"
	"os"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// scs starts a store in memory before it is given another one, and does not end it.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}

// dsn returns where the test finds a server. The tables of the tests have different names, so
// that they can share one.
func dsn(t *testing.T) string {
	t.Helper()
	if given := os.Getenv("RQLITE_ECOSYSTEM_DSN"); given != "" {
		return given
	}
	return rqlitetest.New(t, func(c *rqlitetest.Config) { c.ForeignKeys = true }).DSN()
}

func open(t *testing.T) *sql.DB { return openWith(t, nil) }

// openWith opens the database by a configuration that change has changed.
func openWith(t *testing.T, change func(*rqlite.Config)) *sql.DB {
	t.Helper()
	cfg, err := rqlite.ParseDSN(dsn(t))
	require.NoError(t, err)
	if change != nil {
		change(cfg)
	}
	connector, err := rqlite.NewConnector(cfg)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// tables returns which of the names there are.
func tables(t *testing.T, db *sql.DB, names ...string) (found []string) {
	t.Helper()
	for _, name := range names {
		var n int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_schema WHERE name = ?", name).Scan(&n))
		if n > 0 {
			found = append(found, name)
		}
	}
	return found
}
