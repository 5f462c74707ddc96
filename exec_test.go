package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"net/http"
	"testing"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// resultOf returns LastInsertId and RowsAffected.
func resultOf(t *testing.T, r sql.Result) [2]int64 {
	t.Helper()
	require.NotNil(t, r)
	id, err := r.LastInsertId()
	require.NoError(t, err)
	n, err := r.RowsAffected()
	require.NoError(t, err)
	return [2]int64{id, n}
}

// What Exec sends, and what it makes of the answer.
func TestExec(t *testing.T) {
	t.Parallel()
	const unique = `{"error":"UNIQUE constraint failed: t.id"}`
	for _, test := range []struct {
		name   string
		query  string
		args   []any
		steps  []step
		result [2]int64
		err    string
	}{
		{
			"a write", "INSERT INTO t VALUES(?)",
			[]any{5},
			[]step{writes(`[["INSERT INTO t VALUES(?)",5]]`, results(`{"last_insert_id":5,"rows_affected":1}`))},
			[2]int64{5, 1},
			"",
		},
		{"a write that hits nothing", "DELETE FROM t", nil, []step{writes(`["DELETE FROM t"]`, results(`{}`))}, [2]int64{}, ""},
		{
			"DDL repeats the numbers of an earlier write", "CREATE TABLE t(a)", nil,
			[]step{writes(`["CREATE TABLE t(a)"]`, results(`{"last_insert_id":5,"rows_affected":1}`))},
			[2]int64{},
			"",
		},
		{"a SELECT as well", "SELECT 1", nil, []step{writes(`["SELECT 1"]`, results(`{"last_insert_id":5,"rows_affected":1}`))}, [2]int64{}, ""},
		{"a PRAGMA", "PRAGMA user_version=3", nil, []step{writes(`["PRAGMA user_version=3"]`, results(`{}`))}, [2]int64{}, ""},
		{
			"RETURNING, whose counts a probe asks for", "INSERT INTO t VALUES(1) RETURNING id", nil,
			[]step{writes(`["INSERT INTO t VALUES(1) RETURNING id","SELECT 1"]`, results(table("id integer", "[1]"), `{"last_insert_id":1,"rows_affected":1}`))},
			[2]int64{1, 1},
			"",
		},
		{
			"RETURNING that fails", "INSERT INTO t VALUES(1) RETURNING id", nil,
			[]step{writes(`["INSERT INTO t VALUES(1) RETURNING id","SELECT 1"]`, results(unique, `{"last_insert_id":1,"rows_affected":1}`))},
			[2]int64{},
			"rqlite: UNIQUE constraint failed: t.id",
		},
		{"a failure", "INSERT INTO t VALUES(1)", nil, []step{writes(`["INSERT INTO t VALUES(1)"]`, results(unique))}, [2]int64{}, "rqlite: UNIQUE constraint failed: t.id"},
		{
			"several in one transaction", "INSERT INTO t VALUES(?); -- one\nINSERT INTO t VALUES(?);",
			[]any{1, 2},
			[]step{writesAtomic(`[["INSERT INTO t VALUES(?)",1],["INSERT INTO t VALUES(?)",2]]`, results(`{"last_insert_id":1,"rows_affected":1}`, `{"last_insert_id":2,"rows_affected":1}`))},
			[2]int64{2, 1},
			"",
		},
		{
			"several, RETURNING first", "DELETE FROM t RETURNING id; DELETE FROM u", nil,
			[]step{writesAtomic(`["DELETE FROM t RETURNING id","DELETE FROM u"]`, results(table("id integer", "[1]", "[2]"), `{"rows_affected":7}`))},
			[2]int64{0, 7},
			"",
		},
		{
			"several, RETURNING last", "DELETE FROM u; DELETE FROM t RETURNING id", nil,
			[]step{writesAtomic(`["DELETE FROM u","DELETE FROM t RETURNING id","SELECT 1"]`, results(`{"rows_affected":7}`, table("id integer"), `{"rows_affected":3}`))},
			[2]int64{0, 3},
			"",
		},
		{
			"several, one fails: again one by one, up to it", "INSERT INTO t VALUES(1); INSERT INTO t VALUES(1); DELETE FROM t", nil,
			[]step{
				writesAtomic(`["INSERT INTO t VALUES(1)","INSERT INTO t VALUES(1)","DELETE FROM t"]`, results(`{"last_insert_id":1,"rows_affected":1}`, unique)),
				writes(`["INSERT INTO t VALUES(1)"]`, results(`{"last_insert_id":1,"rows_affected":1}`)),
				writes(`["INSERT INTO t VALUES(1)"]`, results(unique)),
			},
			[2]int64{},
			"rqlite: statement 2 of 3: UNIQUE constraint failed: t.id",
		},
		{
			"several, a constraint fails at the commit", "INSERT INTO c VALUES(9); INSERT INTO p VALUES(9)", nil,
			[]step{
				writesAtomic("", `{"results":[],"error":"FOREIGN KEY constraint failed"}`),
				writes(`["INSERT INTO c VALUES(9)"]`, results(`{"error":"FOREIGN KEY constraint failed"}`)),
			},
			[2]int64{},
			"rqlite: statement 1 of 2: FOREIGN KEY constraint failed",
		},
		{
			"several, all well one by one", "INSERT INTO t VALUES(1); VALUES(2)", nil,
			[]step{
				writesAtomic("", results(`{"rows_affected":1}`, `{"error":"cannot do this within a transaction"}`)),
				writes(`["INSERT INTO t VALUES(1)"]`, results(`{"rows_affected":1}`)),
				writes(`["VALUES(2)"]`, results(`{"rows_affected":1}`)),
			},
			[2]int64{},
			"",
		},
		{
			"several that cannot share a transaction: OR FAIL", "INSERT OR FAIL INTO t VALUES(1); DELETE FROM t", nil,
			[]step{
				writes(`["INSERT OR FAIL INTO t VALUES(1)"]`, results(`{"rows_affected":1}`)),
				writes(`["DELETE FROM t"]`, results(`{"rows_affected":2}`)),
			},
			[2]int64{0, 2},
			"",
		},
		{
			"nor VACUUM", "DELETE FROM t; VACUUM", nil,
			[]step{writes(`["DELETE FROM t"]`, results(`{}`)), writes(`["VACUUM"]`, results(`{}`))},
			[2]int64{},
			"",
		},
		{
			"nor a PRAGMA, and the first failure is the end", "PRAGMA user_version=1; DELETE FROM nope; DELETE FROM t", nil,
			[]step{writes("", results(`{}`)), writes("", results(`{"error":"no such table: nope"}`))},
			[2]int64{},
			"rqlite: statement 2 of 3: no such table: nope",
		},
		{
			"a whole request that is refused", "INSERT INTO t VALUES(1); DELETE FROM t", nil,
			[]step{{path: cluster.ExecutePath, params: "*", status: 401}},
			[2]int64{},
			"*not authorized",
		},
		{
			"a request that may have been applied is not sent again", "INSERT INTO t VALUES(1); DELETE FROM t", nil,
			[]step{{path: cluster.ExecutePath, params: "*", status: 500, reply: "json: unsupported value: +Inf"}},
			[2]int64{},
			"*the outcome of the write is unknown",
		},
		{"too few entries", "DELETE FROM t", nil, []step{writes("", results())}, [2]int64{}, "*the outcome of the write is unknown"},
		{"too many entries", "DELETE FROM t", nil, []step{writes("", results(`{}`, `{}`))}, [2]int64{}, "*the outcome of the write is unknown"},
		{"an error behind the entries", "DELETE FROM t", nil, []step{writes("", `{"results":[{}],"error":"leadership lost while committing log"}`)}, [2]int64{}, "*the outcome of the write is unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, err := newFake(t, test.steps...).open("").ExecContext(context.Background(), test.query, test.args...)
			switch {
			case test.err == "":
				require.NoError(t, err)
				assert.Equal(t, test.result, resultOf(t, r))
			case test.err[0] == '*':
				assert.ErrorContains(t, err, test.err[1:])
			default:
				assert.EqualError(t, err, test.err)
				var failed *Error
				assert.ErrorAs(t, err, &failed)
			}
		})
	}
}

// A node that forwards tries twice, and tells of the second try alone: a script is no
// transaction there, of which nobody knew whether it was undone.
func TestExecForwarded(t *testing.T) {
	t.Parallel()
	off := func(c *Config) { c.Discovery = DiscoveryOff }
	const script = "INSERT INTO t VALUES(1); INSERT INTO t VALUES(1)"
	one := step{path: cluster.ExecutePath, params: "blob_array&norwrandom&norwtime", body: `["INSERT INTO t VALUES(1)"]`, reply: results(`{"rows_affected":1}`)}
	other := one
	other.reply = results(`{"error":"UNIQUE constraint failed: t.id"}`)

	c := newFake(t, one, other).connect(off)
	_, err := c.ExecContext(t.Context(), script, nil)
	require.EqualError(t, err, "rqlite: statement 2 of 2: UNIQUE constraint failed: t.id")

	// Here this turns out when the transaction is under way: to the leader's address the
	// credentials must not go.
	moved := step{path: cluster.ExecutePath, params: "blob_array&norwrandom&norwtime&transaction&redirect", serve: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://192.0.2.1:4001/db/execute")
		w.WriteHeader(http.StatusMovedPermanently)
	}}
	for _, answer := range []string{other.reply, `{"results":[],"error":"UNIQUE constraint failed"}`} {
		c := newFake(t, moved, step{path: cluster.ExecutePath, params: "blob_array&norwrandom&norwtime&transaction", reply: answer}).connect(func(c *Config) { c.User, c.Password = "bob", "secret" })
		_, err := c.ExecContext(t.Context(), script, nil)
		require.ErrorIs(t, err, ErrIndeterminate)
		require.ErrorContains(t, err, "the transaction may have been forwarded twice: UNIQUE constraint failed")
	}
}

// A write whose answer is cut off anywhere is indeterminate, or known for what
// it was: it is never sent again, and never a success that nobody confirmed.
func TestExecCutOff(t *testing.T) {
	t.Parallel()
	reply := results(`{"last_insert_id":5,"rows_affected":1}`)
	f := newFake(t)
	db := f.open("")
	for n := range len(reply) {
		f.then(step{path: cluster.ExecutePath, params: plainWrite, serve: cut(reply, n)})
		_, err := db.Exec("INSERT INTO t VALUES(5)")
		require.ErrorIs(t, err, ErrIndeterminate, "after %q", reply[:n])
		f.then(writes("", reply[:n]))
		_, err = db.Exec("INSERT INTO t VALUES(5)")
		require.ErrorIs(t, err, ErrIndeterminate, "after %q", reply[:n])
	}
}

// A context that ends while the write is under way leaves its outcome unknown.
func TestExecCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	f := newFake(t, step{path: cluster.ExecutePath, params: plainWrite, serve: func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}})
	db := f.open("")
	_, err := db.ExecContext(ctx, "DELETE FROM t")
	require.ErrorIs(t, err, ErrIndeterminate)
	require.ErrorIs(t, err, context.Canceled)

	_, err = db.ExecContext(ctx, "DELETE FROM t") // and nothing is sent with one that has ended
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrIndeterminate)
	_, err = f.connect().ExecContext(ctx, "DELETE FROM t", nil)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrIndeterminate)
}

// What provably had no effect is sent again.
func TestExecRetries(t *testing.T) {
	t.Parallel()
	f := newFake(t,
		step{path: cluster.ExecutePath, params: plainWrite, status: 503, reply: "leader not found"},
		writes("", `{"results":[],"error":"not leader"}`),
		writes(`["DELETE FROM t"]`, results(`{"rows_affected":1}`)))
	r, err := f.open("").Exec("DELETE FROM t")
	require.NoError(t, err)
	assert.Equal(t, [2]int64{0, 1}, resultOf(t, r))
}

func TestQueue(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	queued := func(params, body string) step {
		return step{path: cluster.ExecutePath, params: params, body: body, reply: `{"results":[],"sequence_number":1}`}
	}
	f := newFake(t,
		queued("blob_array&norwrandom&norwtime&queue", `["DELETE FROM t"]`),
		queued("blob_array&norwrandom&norwtime&queue", `["DELETE FROM t RETURNING id"]`),
		reads(`["SELECT 1"]`, results(one)),
		reads(`["SELECT 1"]`, results(one)),
		queued("blob_array&norwrandom&norwtime&queue&wait", `["DELETE FROM t"]`),
		step{path: cluster.ExecutePath, params: "blob_array&norwrandom&norwtime&queue&wait", status: 408, reply: "queue wait timeout"},
	)
	db := f.open("queue=true")
	for _, query := range []string{"DELETE FROM t", "DELETE FROM t RETURNING id"} { // no probe: it would be a write of the queue
		r, err := db.ExecContext(ctx, query)
		require.NoError(t, err)
		_, err = r.LastInsertId()
		require.EqualError(t, err, "rqlite: the write was queued, so that its result is not known")
		_, err = r.RowsAffected()
		require.ErrorIs(t, err, errQueued)
	}
	require.NoError(t, db.QueryRow("SELECT 1").Scan(new(int)))
	_, err := db.QueryContext(ctx, "DELETE FROM t RETURNING id")
	require.EqualError(t, err, "rqlite: a queued write gives no rows: use Exec")
	_, err = db.QueryContext(ctx, "SELECT 1; DELETE FROM t")
	require.ErrorContains(t, err, "statement 2 of 2: a queued write gives no rows", "and it was not sent")

	waiting := f.open("queue=true&queue_wait=true")
	_, err = waiting.ExecContext(ctx, "DELETE FROM t")
	require.NoError(t, err)
	_, err = waiting.ExecContext(ctx, "DELETE FROM t")
	require.ErrorIs(t, err, ErrIndeterminate, "it is in the queue")
}

// Prepared statements are sent with each call, and count their values.
func TestPrepared(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := newFake(t,
		writes(`[["INSERT INTO t VALUES(?,?)",1,2]]`, results(`{"rows_affected":1}`)),
		writes(`[["INSERT INTO t VALUES(?,?)",3,4]]`, results(`{"rows_affected":1}`)),
		reads(`[["SELECT ?",5]]`, results(table("? integer", "[5]"))),
		reads(`[["SELECT :a",6]]`, results(table(":a integer", "[6]"))),
		writes(`[["DELETE FROM t WHERE a=?",7]]`, results(`{}`)),
		reads(`[["SELECT ?",8]]`, results(table("? integer", "[8]"))),
	)
	db := f.open("")
	insert, err := db.PrepareContext(ctx, "INSERT INTO t VALUES(?,?)")
	require.NoError(t, err)
	for i := range 2 {
		_, err = insert.ExecContext(ctx, 2*i+1, 2*i+2)
		require.NoError(t, err)
	}
	_, err = insert.ExecContext(ctx, 1)
	require.EqualError(t, err, "sql: expected 2 arguments, got 1")
	require.NoError(t, insert.Close())

	n := 0
	query, err := db.PrepareContext(ctx, "SELECT ?")
	require.NoError(t, err)
	require.NoError(t, query.QueryRowContext(ctx, 5).Scan(&n))
	assert.Equal(t, 5, n)
	require.NoError(t, query.Close())
	query, err = db.PrepareContext(ctx, "SELECT :a")
	require.NoError(t, err)
	require.NoError(t, query.QueryRowContext(ctx, sql.Named("a", 6)).Scan(&n))
	assert.Equal(t, 6, n)
	require.NoError(t, query.Close())

	c := f.connect() // what database/sql does not call
	s, err := c.Prepare("DELETE FROM t WHERE a=?")
	require.NoError(t, err)
	_, err = s.Exec([]driver.Value{int64(7)}) //nolint:staticcheck // the interface demands it
	require.NoError(t, err)
	require.NoError(t, s.Close())
	_, err = s.Exec([]driver.Value{int64(7)}) //nolint:staticcheck // the interface demands it
	require.ErrorIs(t, err, errClosed)
	s, err = c.Prepare("SELECT ?")
	require.NoError(t, err)
	rows, err := s.Query([]driver.Value{int64(8)}) //nolint:staticcheck // the interface demands it
	require.NoError(t, err)
	require.NoError(t, rows.Close())
	require.NoError(t, s.Close())
	_, err = s.Query(nil) //nolint:staticcheck // the interface demands it
	require.ErrorIs(t, err, errClosed)
}

func TestNumInput(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]int{
		"SELECT 1": 0, "": 0, "SELECT ?": 1, "SELECT ?3": 3, "SELECT ?, ?; SELECT ?": 3, "SELECT :a": -1, "SELECT ?; SELECT $a": -1,
	} {
		script, err := (&conn{connector: new(Connector)}).parse(query)
		require.NoError(t, err)
		assert.Equal(t, want, (&stmt{script: script}).NumInput(), query)
	}
}
