package integration_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/require"
)

// cluster is what a backend starts: one node or more.
type cluster struct {
	nodes   []node
	dsn     string // reaches all nodes, with all permissions
	version string // as the nodes say, "" if they were not asked
	// stop ends the cluster and frees what it took. It may be called once.
	stop func() error
}

// node is one member of a cluster.
type node struct {
	url string // of its HTTP API, without credentials and trailing slash
}

// serverOptions says what is special about a server. The zero value is rqlited
// with its defaults.
type serverOptions struct {
	users       []user // none: no authentication
	tls         *certificates
	verify      bool // clients have to show a certificate of the same authority
	foreignKeys bool
	cdc         []byte // the file of -cdc-config, nil for none
}

// user is one account of a server. The permissions of "*" are everybody's.
type user struct {
	Name     string   `json:"username"`
	Password string   `json:"password,omitempty"`
	Perms    []string `json:"perms"`
}

// backend is one way to have a cluster.
type backend struct {
	name string
	kind string // what RQLITE_BACKENDS may call it besides
	// optional says that nobody has asked for it by name.
	optional bool
	// live is false for the embedded server.
	live bool
	// external is set when the servers are not started by the tests, which must
	// leave alone what is not theirs.
	external bool
	// start starts a cluster. The error is errMissing where there is none of this
	// kind, and errOption where there is none like that.
	start func(serverOptions) (*cluster, error)

	shared  *cluster // the one of most tests, with default options
	err     error    // why there is none
	runs    atomic.Int64
	failed  atomic.Int64
	fleets  atomic.Int64 // clusters of several nodes that were started
	skipped struct {
		sync.Mutex
		names []string
	}
}

var (
	// errMissing says that a backend does not exist here.
	errMissing = errors.New("not available")
	// errOption says that a backend cannot start servers of that kind.
	errOption = errors.New("this backend has no such servers")
)

// backends are all there are, in the order in which they run.
var backends = slices.Concat(
	[]*backend{{name: "embedded", start: startEmbedded}, {name: "process", live: true, start: startProcess}},
	containerBackends(),
	[]*backend{{name: "dsn", live: true, external: true, start: startDSN}},
)

// chosen returns the backends that the environment asks for, and whether it
// names them.
func chosen() (list []*backend, named bool, err error) {
	if liveMode() == "0" {
		return backends[:1], false, nil
	}
	names := os.Getenv("RQLITE_BACKENDS")
	if names == "" {
		return backends, false, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		before := len(list)
		for _, b := range backends {
			if b.name == name || b.kind == name {
				list = append(list, b)
			}
		}
		if len(list) == before {
			return nil, true, fmt.Errorf("RQLITE_BACKENDS: there is no backend %q", name)
		}
	}
	return list, true, nil
}

// liveMode returns RQLITE_LIVE: "" to use what is there, "1" to fail without a
// live server, "0" for none.
func liveMode() string { return os.Getenv("RQLITE_LIVE") }

// forEach runs a test on every chosen backend, as subtests that run in
// parallel with each other and with those of other tests.
func forEach(t *testing.T, test func(*testing.T, *backend)) {
	t.Helper()
	onEach(t, func(t *testing.T, b *backend) {
		t.Parallel()
		test(t, b)
	})
}

// onEach runs a test on every chosen backend, while nothing else runs: for
// tests that measure.
func onEach(t *testing.T, test func(*testing.T, *backend)) {
	t.Helper()
	list, _, err := chosen()
	require.NoError(t, err)
	for _, b := range list {
		t.Run(b.name, func(t *testing.T) {
			if b.err != nil {
				t.Skipf("backend %s: %v", b.name, b.err)
			}
			b.count(t)
			test(t, b)
		})
	}
}

// count notes for the summary how a test ends.
func (b *backend) count(t *testing.T) {
	t.Cleanup(func() {
		b.runs.Add(1)
		switch {
		case t.Failed():
			b.failed.Add(1)
		case t.Skipped():
			b.skipped.Lock()
			defer b.skipped.Unlock()
			b.skipped.names = append(b.skipped.names, strings.TrimSuffix(t.Name(), "/"+b.name))
		}
	})
}

// noteFleet notes for the summary that a backend gets a cluster of several nodes.
func noteFleet(name string) {
	for _, b := range backends {
		if b.name == name {
			b.fleets.Add(1)
		}
	}
}

// launch starts a cluster for one test alone, which is skipped where the
// backend has no such servers.
func (b *backend) launch(t *testing.T, options serverOptions) *cluster {
	t.Helper()
	if b.external {
		t.Skip("the test needs a server of its own, which RQLITE_DSN does not give it")
	}
	c, err := b.start(options)
	if errors.Is(err, errOption) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.stop()) })
	return c
}

// open opens the shared cluster with further settings of the DSN, such as
// "level=none".
func (b *backend) open(t *testing.T, settings ...string) *sql.DB {
	t.Helper()
	return openDSN(t, withSettings(b.shared.dsn, settings...))
}

func openDSN(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("rqlite", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// withSettings adds keys and values to a DSN.
func withSettings(dsn string, settings ...string) string {
	for _, setting := range settings {
		switch {
		case strings.Contains(dsn, "?"):
			dsn += "&"
		case strings.Count(dsn, "/") < 3:
			dsn += "/?"
		default:
			dsn += "?"
		}
		dsn += setting
	}
	return dsn
}

// withUser returns the DSN for another user.
func withUser(t *testing.T, dsn, name, password string) string {
	t.Helper()
	cfg, err := rqlite.ParseDSN(dsn)
	require.NoError(t, err)
	cfg.User, cfg.Password = name, password
	return cfg.FormatDSN()
}

// tablePrefix begins the names of all tables of this run, so that they can be
// dropped in a cluster that others use too.
var tablePrefix = fmt.Sprintf("it%x_", time.Now().UnixNano())

var tables atomic.Int64

// newTable returns a name for a table that no other test uses.
func newTable() string { return fmt.Sprintf("%st%d", tablePrefix, tables.Add(1)) }

// dropTables drops the tables and views of this run.
func dropTables(dsn string) error {
	db, err := sql.Open("rqlite", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.Query("SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND substr(name, 1, ?) = ?",
		len(tablePrefix), tablePrefix)
	if err != nil {
		return err
	}
	defer rows.Close()
	var drops []string
	for rows.Next() {
		var kind, name string
		if err := rows.Scan(&kind, &name); err != nil {
			return err
		}
		drops = append(drops, fmt.Sprintf(`DROP %s IF EXISTS "%s"`, kind, name))
	}
	if err := rows.Err(); err != nil || len(drops) == 0 {
		return err
	}
	_, err = db.Exec(strings.Join(drops, ";"))
	return err
}

// mustExec runs a statement that has to succeed.
func mustExec(t *testing.T, db *sql.DB, query string, args ...any) sql.Result {
	t.Helper()
	result, err := db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err, query)
	return result
}

// scan runs a query that has to give one row, and scans it.
func scan(t *testing.T, db *sql.DB, query string, args []any, dest ...any) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), query, args...).Scan(dest...), query)
}
