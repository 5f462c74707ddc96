package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// disguise makes each answer tell another version, or none if it is empty.
type disguise struct {
	http.Transport
	version string
}

// RoundTrip implements http.RoundTripper.
func (d *disguise) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := d.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Header.Del("X-Rqlite-Version")
	if d.version != "" {
		resp.Header.Set("X-Rqlite-Version", d.version)
	}
	return resp, nil
}

// openDisguised opens a database whose nodes tell another version.
func openDisguised(t *testing.T, dsn, version string) *sql.DB {
	t.Helper()
	d := &disguise{version: version}
	db, _ := openBy(t, dsn, d)
	t.Cleanup(func() {
		require.NoError(t, db.Close())
		d.CloseIdleConnections()
	})
	return db
}

// openOracle opens a new SQLite database that enforces foreign keys.
func openOracle(t *testing.T) *sql.DB {
	t.Helper()
	oracle, err := sql.Open("sqlite3", "file:"+filepath.Join(t.TempDir(), "oracle.db")+"?_journal_mode=MEMORY&_synchronous=OFF&_foreign_keys=on")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, oracle.Close()) })
	oracle.SetMaxOpenConns(1)
	return oracle
}

// post sends statements to a path of a node, by bare HTTP, as a program does that
// knows nothing of this driver.
func post(t *testing.T, base, path string, statements ...string) string {
	t.Helper()
	body, err := json.Marshal(statements)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post(base+path, "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, string(answer))
	return string(answer)
}

// rawExecute writes by bare HTTP. All statements have to succeed.
func (c *cluster) rawExecute(t *testing.T, statements ...string) {
	t.Helper()
	require.NotContains(t, post(t, c.nodes[0].url, "/db/execute", statements...), `"error"`)
}

// registerStates are the states in which a program may find the driver's table of versions.
// Some release or other goes wrong in each of them.
var registerStates = []struct {
	name    string
	prepare func(*testing.T, *cluster, *sql.DB)
}{
	{"no register", func(t *testing.T, c *cluster, _ *sql.DB) {
		t.Helper()
		c.rawExecute(t, "DROP TABLE IF EXISTS _rqlite_tx")
	}},
	{"no register, and the driver knows", func(t *testing.T, c *cluster, db *sql.DB) {
		t.Helper()
		c.rawExecute(t, "DROP TABLE IF EXISTS _rqlite_tx")
		mustExec(t, db, "CREATE TABLE IF NOT EXISTS spare (n INT)")
	}},
	{"a register", func(t *testing.T, _ *cluster, db *sql.DB) {
		t.Helper()
		require.NoError(t, once(t.Context(), db, nil, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS spare (n INT)")
			return err
		}))
	}},
}

// handle is what runs statements: a database, a connection or a transaction.
type handle interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

var (
	_ handle = (*sql.DB)(nil)
	_ handle = (*sql.Tx)(nil)
)

// kindOf sorts errors by SQLite's codes. rqlite words the violation of a primary key, and
// that of a rowid, as that of a unique column.
func kindOf(err error) string {
	kind := strings.NewReplacer("extended 1555", "extended 2067", "extended 2579", "extended 2067").Replace(errorKind(err))
	if kind == "other error" {
		kind += ": " + err.Error()
	}
	return kind
}

// declined reports whether the driver says that it cannot do a thing, and not that
// it failed.
func declined(err error) bool {
	var failed *rqlite.Error
	for _, other := range []error{rqlite.ErrIndeterminate, rqlite.ErrRowsLost, rqlite.ErrResultsChanged, rqlite.ErrTxConflict, context.DeadlineExceeded} {
		if errors.Is(err, other) {
			return false
		}
	}
	return err != nil && !errors.As(err, &failed)
}

// rowsText runs a query and returns what it gives, as text: the names of the
// columns, then the rows.
func rowsText(ctx context.Context, h handle, query string, args ...any) (string, error) {
	rows, err := h.QueryContext(ctx, query, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var lines []string
	for rows.Next() {
		values, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			pointers[i] = &values[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			return "", err
		}
		lines = append(lines, fmt.Sprintf("%#v", values))
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return "", err
	}
	return strings.Join(append([]string{strings.Join(columns, "|")}, lines...), "\n"), nil
}

// rowsIn returns all rows of tables, sorted.
func rowsIn(t *testing.T, h handle, tables ...string) string {
	t.Helper()
	var all []string
	for _, table := range tables {
		text, err := rowsText(t.Context(), h, "SELECT * FROM "+table)
		require.NoError(t, err)
		lines := strings.Split(text, "\n")
		slices.Sort(lines[1:])
		all = append(all, lines[1:]...)
		all = append(all, "")
	}
	return strings.Join(all, "\n")
}

// requireSameContents demands that tables are the same in both.
func requireSameContents(t *testing.T, want, got handle, tables ...string) {
	t.Helper()
	assert.Equal(t, rowsIn(t, want, tables...), rowsIn(t, got, tables...), "the tables of SQLite, and of rqlite")
}
