package rqlite

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	readOnly = `{"error":"attempt to change database via query operation"}`
	check    = `"SELECT 1 FROM sqlite_schema LIMIT 0"`
)

// checked is the entry of the schema check.
var checked = table("1 integer")

// allSets reads every result set to its end.
func allSets(t *testing.T, rows *sql.Rows) [][][]any {
	t.Helper()
	var sets [][][]any
	for {
		sets = append(sets, scanAll(t, rows))
		if !rows.NextResultSet() {
			return sets
		}
	}
}

// What Query sends, and what it makes of the answers.
func TestQuery(t *testing.T) {
	t.Parallel()
	two := table("2 integer", "[2]")
	ones, twos := [][]any{{int64(1)}}, [][]any{{int64(2)}}
	for _, test := range []struct {
		name  string
		query string
		args  []any
		steps []step
		sets  [][][]any
		err   string
	}{
		{"a read", "SELECT ?;", []any{1}, []step{reads(`[["SELECT ?",1]]`, results(one))}, [][][]any{ones}, ""},
		{"VALUES", "VALUES(1)", nil, []step{reads(`["VALUES(1)"]`, results(one))}, [][][]any{ones}, ""},
		{"WITH … SELECT", "WITH a AS (SELECT 1) SELECT 1 FROM a", nil, []step{reads("", results(one))}, [][][]any{ones}, ""},
		{"EXPLAIN of a write", "EXPLAIN DELETE FROM t RETURNING id", nil, []step{{path: cluster.QueryPath, params: "blob_array&norwtime&timings&level=weak&redirect", reply: results(one)}}, [][][]any{ones}, ""},
		{"a PRAGMA that asks", "PRAGMA table_info(t)", nil, []step{reads(`["PRAGMA table_info(t)"]`, results(one))}, [][][]any{ones}, ""},
		{"a write", "DELETE FROM t", nil, []step{writes(`["DELETE FROM t"]`, results(`{"rows_affected":1}`))}, [][][]any{{}}, ""},
		{"DDL", "CREATE TABLE t(a)", nil, []step{writes(`["CREATE TABLE t(a)"]`, results(`{}`))}, [][][]any{{}}, ""},
		{"RETURNING", "DELETE FROM t RETURNING id", nil, []step{writes(`["DELETE FROM t RETURNING id"]`, results(table("id integer", "[1]", "[2]")))}, [][][]any{{{int64(1)}, {int64(2)}}}, ""},
		{"RETURNING of nothing", "DELETE FROM t RETURNING id", nil, []step{writes("", results(table("id integer")))}, [][][]any{{}}, ""},
		{
			"RETURNING that the server did not see", "DELETE FROM [t] RETURNING id", nil,
			[]step{triesRows(results(`{"rows_affected":1}`, rolledBack))},
			nil,
			"rqlite: " + bind.ErrUnseenReturning.Error(),
		},
		{
			"RETURNING that the server sees in a trial", "DELETE FROM [t] RETURNING id", nil,
			[]step{triesRows(results(table("id integer", "[3]"), rolledBack)), writes("", results(table("id integer", "[3]")))},
			[][][]any{{{int64(3)}}},
			"",
		},
		{
			"RETURNING of a statement that fails in its trial, and then not", "DELETE FROM [t] RETURNING id", nil,
			[]step{triesRows(results(`{"error":"no such table: t"}`)), writes("", results(`{"rows_affected":1}`))},
			nil,
			"rqlite: the write was applied, but the rows of RETURNING were lost: rqlite does not understand a part of the statement",
		},
		{
			"RETURNING of a user that may not try it", "DELETE FROM [t] RETURNING id", nil,
			[]step{{path: cluster.RequestPath, params: "*", status: 401}, writes("", results(table("id integer")))},
			[][][]any{{}},
			"",
		},
		{
			"RETURNING that the server did not see, in a script", "SELECT 1; DELETE FROM [t] RETURNING id", nil,
			[]step{reads("", results(one)), triesRows(results(`{"rows_affected":1}`, rolledBack))},
			nil,
			"rqlite: " + bind.ErrUnseenReturning.Error(),
		},
		{"an unknown word that reads", "FROB 1", nil, []step{reads(`["FROB 1"]`, results(one))}, [][][]any{ones}, ""},
		{"an unknown word that writes", "FROB 1", nil, []step{reads(`["FROB 1"]`, results(readOnly)), writes(`["FROB 1"]`, results(`{}`))}, [][][]any{{}}, ""},
		{"an unknown word that is wrong", "FROB 1", nil, []step{reads(`["FROB 1"]`, results(`{"error":"near \"FROB\": syntax error"}`))}, nil, `rqlite: near "FROB": syntax error`},
		{"SELECT *", "SELECT * FROM t", nil, []step{reads(`[`+check+`,"SELECT * FROM t"]`, results(checked, one))}, [][][]any{ones}, ""},
		{"SELECT * in a subquery", "SELECT a FROM (SELECT t.* FROM t)", nil, []step{reads(`[`+check+`,"SELECT a FROM (SELECT t.* FROM t)"]`, results(checked, one))}, [][][]any{ones}, ""},
		{"count(*) is none", "SELECT count(*) FROM t", nil, []step{reads(`["SELECT count(*) FROM t"]`, results(one))}, [][][]any{ones}, ""},
		{"SELECT * that fails", "SELECT * FROM nope", nil, []step{reads("", results(checked, `{"error":"no such table: nope"}`))}, nil, "rqlite: no such table: nope"},
		{"the check fails", "SELECT * FROM t", nil, []step{reads("", results(`{"error":"disk I/O error"}`, one))}, nil, "rqlite: disk I/O error"},
		{"several reads", "SELECT 1; SELECT ?", []any{2}, []step{reads(`["SELECT 1",["SELECT ?",2]]`, results(one, two))}, [][][]any{ones, twos}, ""},
		{"several reads, one with a *", "SELECT 1; SELECT * FROM t", nil, []step{reads(`[`+check+`,"SELECT 1","SELECT * FROM t"]`, results(checked, one, two))}, [][][]any{ones, twos}, ""},
		{"the first of several fails", "SELECT 1; SELECT 2", nil, []step{reads("", results(`{"error":"no such table: a"}`, two))}, nil, "rqlite: statement 1 of 2: no such table: a"},
		{
			"reads and writes, each on its own", "SELECT 1; DELETE FROM t RETURNING id; SELECT 2", nil,
			[]step{reads(`["SELECT 1"]`, results(one)), writes(`["DELETE FROM t RETURNING id"]`, results(two)), reads(`["SELECT 2"]`, results(two))},
			[][][]any{ones, twos, twos},
			"",
		},
		{
			"and the first that fails is the last", "SELECT 1; DELETE FROM nope; DELETE FROM t", nil,
			[]step{reads(`["SELECT 1"]`, results(one)), writes(`["DELETE FROM nope"]`, results(`{"error":"no such table: nope"}`))},
			nil, "rqlite: statement 2 of 3: no such table: nope",
		},
		{"a PRAGMA that sets", "PRAGMA user_version=3", nil, nil, nil, "rqlite: a PRAGMA that sets or does something gives no rows in rqlite: use Exec"},
		{"a PRAGMA that sets, last", "DELETE FROM t; PRAGMA user_version=3", nil, nil, nil, "rqlite: statement 2 of 2: a PRAGMA that sets or does something gives no rows in rqlite: use Exec"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rows, err := newFake(t, test.steps...).open("").QueryContext(context.Background(), test.query, test.args...)
			if test.err != "" {
				require.EqualError(t, err, test.err)
				require.Nil(t, rows)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.sets, allSets(t, rows))
			require.NoError(t, rows.Err())
			require.NoError(t, rows.Close())
		})
	}
}

func TestQueryErrors(t *testing.T) {
	t.Parallel()
	f := newFake(t, reads("", results(`{"error":"no such table: a"}`)), writes("", results(`{}`)))
	db := f.open("")
	_, err := db.Query("SELECT 1 FROM a")
	var failed *Error
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, &Error{Message: "no such table: a", Code: GenericError, ExtendedCode: GenericError, Statements: 1}, failed)
	_, err = db.Query("DELETE FROM t RETURNING id")
	require.ErrorIs(t, err, ErrRowsLost)
	assert.False(t, errors.As(err, &failed), "the statement did not fail")
}

// After a statement that may have changed the schema, reads look at it first:
// the server's read connections would still go by the old one.
func TestSchemaCheckAfterDDL(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := newFake(t, reads(`["SELECT 1"]`, results(one)))
	db := f.open("")
	ask := func() {
		n := 0
		require.NoError(t, db.QueryRowContext(ctx, "SELECT 1").Scan(&n))
		require.Equal(t, 1, n)
	}
	ask()
	f.then(writes(`["ALTER TABLE t DROP COLUMN a"]`, results(`{}`)), reads(`[`+check+`,"SELECT 1"]`, results(checked, one)))
	_, err := db.ExecContext(ctx, "ALTER TABLE t DROP COLUMN a")
	require.NoError(t, err)
	ask()
	f.then(reads(`[`+check+`,"SELECT 1"]`, results(checked, one)))
	b := Batch{}
	b.Add("SELECT 1")
	all, err := b.Query(ctx, db)
	require.NoError(t, err)
	assert.Equal(t, [][]any{{int64(1)}}, all[0].Rows)

	// A change that failed, or whose outcome is unknown, counts as one.
	f.then(writes("", `<`), reads(`[`+check+`,"SELECT 1"]`, results(checked, one)))
	db = f.open("")
	_, err = db.ExecContext(ctx, "CREATE TABLE t(a)")
	require.ErrorIs(t, err, ErrIndeterminate)
	ask()
}

// A read is sent again after any failure, since it can do no harm.
func TestQueryRetries(t *testing.T) {
	t.Parallel()
	reply := results(one)
	f := newFake(t,
		step{path: cluster.QueryPath, params: weakRead, serve: cut(reply, 0)},
		step{path: cluster.QueryPath, params: weakRead, serve: cut(reply, 20)},
		step{path: cluster.QueryPath, params: weakRead, status: 500, reply: "no idea"},
		reads("", `{"results":[],"error":"leadership lost while committing log"}`),
		reads(`["SELECT 1"]`, reply))
	n := 0
	require.NoError(t, f.open("").QueryRow("SELECT 1").Scan(&n))
	assert.Equal(t, 1, n)
}
