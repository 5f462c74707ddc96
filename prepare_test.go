package rqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const schemaLookElement = `"SELECT 1 FROM sqlite_schema LIMIT 0"`

// checks is a step that explains a statement: an element of a body.
func checks(element, entry string) step {
	return reads("["+schemaLookElement+","+element+"]", results(table("1 "), entry))
}

// plan is the entry of a statement that can be explained.
var plan = table("addr integer", "[0]", "[1]")

const refusesToRead = `{"error":"attempt to change database via query operation"}`

func TestPrepareLateAsksNobody(t *testing.T) {
	t.Parallel()
	stmt, err := newFake(t).open("prepare=late").Prepare("SELECT 1 FROM")
	require.NoError(t, err)
	require.NoError(t, stmt.Close())
}

func TestPrepareCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, query string
		element     string // of the request; "" is none
		entry       string
	}{
		{"read", "SELECT a FROM t", `"EXPLAIN SELECT a FROM t"`, plan},
		{"numbered", "SELECT ?, ?3 -- x", `["EXPLAIN SELECT ?, ?3",null,null,null]`, plan},
		{"named", "UPDATE t SET a = :a, b = @b WHERE c = $c AND d = :a", `["EXPLAIN UPDATE t SET a = :a, b = @b WHERE c = $c AND d = :a",null,null,null]`, plan},
		{"write", "INSERT INTO t VALUES(random(), ?) RETURNING a", `["EXPLAIN INSERT INTO t VALUES(random(), ?) RETURNING a",null]`, plan},
		{"write on earlier releases", "DELETE FROM t", `"EXPLAIN DELETE FROM t"`, refusesToRead},
		{"schema", "CREATE TABLE t(a)", `"EXPLAIN CREATE TABLE t(a)"`, plan},
		{"the first of a script", ";CREATE TABLE t(a); INSERT INTO t VALUES(?)", `"EXPLAIN CREATE TABLE t(a)"`, plan},
		{"unknown", "WITH c AS (SELECT 1) (SELECT 2)", `"EXPLAIN WITH c AS (SELECT 1) (SELECT 2)"`, plan},
		{"comment", "/* a */ -- b", "", ""},
		{"nothing", "", "", ""},
		{"explanation", "EXPLAIN QUERY PLAN SELECT a FROM t", "", ""},
		{"pragma that asks", "PRAGMA table_info(t)", "", ""},
		{"pragma that sets", "PRAGMA user_version = 1; SELECT a FROM t", "", ""},
		{"vacuum", "VACUUM", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			if test.element != "" {
				f.then(checks(test.element, test.entry))
			}
			db := f.open("prepare=check")
			for range 3 {
				stmt, err := db.Prepare(test.query)
				require.NoError(t, err)
				require.NoError(t, stmt.Close())
			}
		})
	}
}

func TestPrepareCheckFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		query, message string
		text           string
	}{
		{"SELECT 1 FROM", `incomplete input`, `rqlite: incomplete input`},
		{"DELETE FROM t", "no such table: t", "rqlite: no such table: t"},
		{"SELECT b FROM t; SELECT 1", "no such column: b", "rqlite: statement 1 of 2: no such column: b"},
	} {
		entry := fmt.Sprintf(`{"error":%q}`, test.message)
		db := newFake(t, reads("", results(table("1 "), entry)), reads("", results(table("1 "), entry))).open("prepare=check")
		for range 2 {
			_, err := db.Prepare(test.query)
			require.EqualError(t, err, test.text)
			var failure *Error
			require.ErrorAs(t, err, &failure)
			assert.Equal(t, Error{Message: test.message, Code: GenericError, ExtendedCode: GenericError, Statements: strings.Count(test.query, ";") + 1}, *failure)
		}
	}
}

// What fails for another reason is not remembered.
func TestPrepareCheckUnanswered(t *testing.T) {
	t.Parallel()
	f := newFake(t, step{path: cluster.QueryPath, params: weakRead, status: http.StatusUnauthorized}, checks(`"EXPLAIN SELECT 1"`, plan))
	db := f.open("prepare=check")
	_, err := db.Prepare("SELECT 1")
	require.ErrorIs(t, err, ErrUnauthorized)
	stmt, err := db.Prepare("SELECT 1")
	require.NoError(t, err)
	require.NoError(t, stmt.Close())
}

func TestPrepareCheckRefuses(t *testing.T) {
	t.Parallel()
	db := newFake(t).open("prepare=check")
	for query, text := range map[string]string{
		"COMMIT":               "rqlite: COMMIT cannot be sent as a statement",
		"ATTACH 'x' AS y":      "rqlite: ATTACH cannot be sent",
		"CREATE TEMP TABLE t9": "rqlite: a TEMP object",
		"SELECT 'a":            "rqlite: unterminated string",
	} {
		_, err := db.Prepare(query)
		require.ErrorContains(t, err, text)
	}
}

// Within a transaction nobody is asked, and nothing is remembered.
func TestPrepareCheckInTransaction(t *testing.T) {
	t.Parallel()
	c := newFake(t, checks(`"EXPLAIN SELECT 1"`, plan)).connect(func(cfg *Config) { cfg.PrepareMode = PrepareCheck })
	prepare := func() {
		stmt, err := c.Prepare("SELECT 1")
		require.NoError(t, err)
		require.NoError(t, stmt.Close())
	}
	tx, err := c.BeginTx(t.Context(), driver.TxOptions{})
	require.NoError(t, err)
	prepare()
	require.NoError(t, tx.Rollback())
	prepare()
	require.NoError(t, c.Close())
	_, err = c.Prepare("SELECT 2")
	require.ErrorIs(t, err, errClosed)
}

func TestPrepareCheckLevel(t *testing.T) {
	t.Parallel()
	const read, write = "SELECT 1", "DELETE FROM t"
	ctx := context.Background()
	for _, test := range []struct {
		options string
		ctx     context.Context
		query   string
		params  string
	}{
		{"", ctx, write, weakRead},
		{"", WithQueue(ctx, false), write, weakRead},
		{"level=linearizable&linearizable_timeout=1s", ctx, write, "blob_array&noparse&timings&level=linearizable&linearizable_timeout=1s&redirect"},
		{"level=strong", ctx, read, "blob_array&noparse&timings&level=linearizable&redirect"},
		{"level=none&freshness=1s", ctx, read, "blob_array&noparse&timings&level=none&freshness=1s"},
		{"level=none&freshness=1s", ctx, write, weakRead},
		{"level=auto", ctx, read, "blob_array&noparse&timings&level=auto"},
		{"", WithFreshness(WithConsistency(ctx, Auto), time.Second, true), write, weakRead},
		{"discovery=off", ctx, write, "blob_array&noparse&timings&level=weak"},
	} {
		f := newFake(t, step{path: cluster.QueryPath, params: test.params, reply: results(table("1 "), plan)})
		stmt, err := f.open("prepare=check&"+test.options).PrepareContext(test.ctx, test.query)
		require.NoError(t, err)
		require.NoError(t, stmt.Close())
	}
	_, err := newFake(t).open("prepare=check").PrepareContext(WithConsistency(ctx, 9), read)
	require.ErrorContains(t, err, "Consistency(9) is no consistency level")
}

func TestPrepareCheckContext(t *testing.T) {
	t.Parallel()
	hangs := step{path: cluster.QueryPath, params: "*", serve: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	f := newFake(t, hangs)
	_, err := f.open("prepare=check").PrepareContext(ctx, "DELETE FROM t")
	assert.True(t, err == context.DeadlineExceeded, "%v", err) //nolint:errorlint // so do programs
	assert.Contains(t, f.got()[0].params, "&db_timeout=")

	_, err = newFake(t, hangs).open("prepare=check&timeout=" + soon.String()).Prepare("DELETE FROM t")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	_, err = newFake(t).connect(func(cfg *Config) { cfg.PrepareMode = PrepareCheck }).PrepareContext(ctx, "DELETE FROM t")
	assert.True(t, err == context.DeadlineExceeded, "%v", err) //nolint:errorlint // so do programs
}
