package rqlite

import (
	"context"
	"testing"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a leader of an earlier release would lose, it is asked for in another way.
func TestReturningOnEarlierReleases(t *testing.T) {
	t.Parallel()
	const trialParams = "blob_array&norwtime&transaction&redirect"
	seen := results(table("b blob", "[[1,2]]"), rolledBack)
	row := results(table("b blob", "[[1,2]]"))
	for _, test := range []struct {
		release, query string
		script         []step
		want           string
	}{
		{
			"v9.4.0", "INSERT INTO `t` VALUES (?) RETURNING `b`",
			[]step{{path: cluster.ExecutePath, params: plainWrite, body: "[[\"INSERT INTO `t` VALUES (?) RETURNING `b`\",1]]", reply: row}},
			"",
		},
		{
			"v8.43.4", "INSERT INTO `t` VALUES (?) RETURNING `b`",
			[]step{{path: cluster.RequestPath, params: "blob_array&norwtime&redirect", body: `[["INSERT INTO t VALUES (?) RETURNING b",1]]`, reply: row}},
			"",
		},
		{
			"", "INSERT INTO `t` VALUES (?) RETURNING `b`", // a proxy has taken the header away
			[]step{{path: cluster.RequestPath, params: "blob_array&norwtime&redirect", body: `[["INSERT INTO t VALUES (?) RETURNING b",1]]`, reply: row}}, "",
		},
		{
			"v9.1.0", "UPDATE `t` AS x SET a = ? RETURNING b",
			[]step{
				{path: cluster.RequestPath, params: trialParams, body: `[["UPDATE t AS x SET a = ? RETURNING b",1],"` + bind.Abort.Text + `"]`, reply: seen},
				{path: cluster.RequestPath, params: "blob_array&norwtime&redirect", body: `[["UPDATE t AS x SET a = ? RETURNING b",1]]`, reply: row},
			},
			"",
		},
		{
			"v9.1.0", "UPDATE t AS x SET a = ? RETURNING b",
			[]step{{path: cluster.RequestPath, params: trialParams, reply: results(oneUpdated, rolledBack)}},
			"rqlite: " + bind.ErrUnseenReturning.Error(),
		},
		{
			"v8.43.4", "INSERT INTO t SELECT ?, datetime(?1) WHERE date(?1) RETURNING b", nil,
			"each node would read as a time of its own",
		},
		{"v8.43.3", "INSERT INTO t VALUES (?) RETURNING b", nil, "the node runs rqlite v8.43.3"},
	} {
		f := newFake(t, test.script...)
		f.release = test.release
		var value any = 1
		if test.want != "" && test.script == nil {
			value = "now"
		}
		var b []byte
		err := f.open("").QueryRowContext(t.Context(), test.query, value).Scan(&b)
		if test.want != "" {
			require.ErrorContains(t, err, test.want, test.query)
			continue
		}
		require.NoError(t, err, test.query)
		assert.Equal(t, []byte{1, 2}, b)
	}
}

// A statement with RETURNING does not roll back the others on earlier releases, so that they
// must not depend on it: they go one by one, or as a transaction whose commit is not parsed.
func TestReturningInTransactionsOfEarlierReleases(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const insert = "INSERT INTO t VALUES(1) RETURNING id"
	held := table("i integer, c integer, g text", "[1,1,null]") // of the guard
	trial := step{
		path: cluster.RequestPath, params: "blob_array&norwtime&transaction&redirect",
		reply: results(stateEntry(testVersion, "null", "null"), insertedToken, table("id integer", "[1]"), held, rolledBack),
	}
	commit := func(entries ...string) step {
		return commits(results(append([]string{insertedToken, oneUpdated}, append(entries, oneUpdated)...)...))
	}
	earlier := func(script ...step) *fake {
		f := newFake(t, script...)
		f.release = "v9.4.1"
		return f
	}

	t.Run("a script", func(t *testing.T) {
		f := earlier(writes(`["`+insert+`","SELECT 1"]`, results(table("id integer", "[1]"), oneInserted)), writes(`["DELETE FROM u"]`, results(oneUpdated)))
		_, err := f.open("").Exec(insert + "; DELETE FROM u")
		require.NoError(t, err)
	})
	t.Run("an atomic batch", func(t *testing.T) {
		second := trial
		second.reply = results(stateEntry(testVersion, "null", "null"), insertedToken, table("id integer", "[1]"), held, oneUpdated, rolledBack)
		f := earlier(second, second, commit(oneInserted, oneUpdated)) // the second time to see whether the rows are made up
		got, err := batchOf(true, insert, "DELETE FROM u").Exec(ctx, f.openMarked())
		require.NoError(t, err)
		assert.Equal(t, []BatchResult{
			{Columns: []string{"id"}, Types: []string{"integer"}, Rows: [][]any{{int64(1)}}},
			{RowsAffected: 1},
		}, got)
		assert.Contains(t, f.got()[len(f.got())-1].body, `"`+insert+`","SELECT 1","DELETE FROM u"`)
	})
	t.Run("an atomic batch, of a leader that does not tell its release", func(t *testing.T) {
		compared := step{
			path: cluster.ExecutePath, params: "blob_array&norwtime&transaction&norwrandom&redirect",
			reply: results(insertedToken, table("id integer", "[1]"), oneUpdated),
		}
		unguarded := trial
		unguarded.reply = results(stateEntry(testVersion, "null", "null"), insertedToken, table("id integer", "[1]"), rolledBack)
		f := newFake(t, asksState(stateEntry(testVersion, "null", "null")), unguarded, compared)
		f.release = ""
		f.members = "v10.2.7"
		_, err := batchOf(true, insert).Exec(ctx, f.openMarked())
		require.NoError(t, err)
	})
	t.Run("an atomic batch that fails", func(t *testing.T) {
		failing := trial
		failing.reply = results(stateEntry(testVersion, "null", "null"), insertedToken, `{"error":"UNIQUE constraint failed: t.id"}`, rolledBack)
		f := earlier(failing)
		got, err := batchOf(true, insert).Exec(ctx, f.openMarked())
		require.ErrorIs(t, err, ConstraintUnique)
		assert.Nil(t, got)
	})
	t.Run("a transaction", func(t *testing.T) {
		f := earlier(trial, trial, commit(oneInserted))
		tx, err := f.openMarked().Begin()
		require.NoError(t, err)
		var id int
		require.NoError(t, tx.QueryRow(insert).Scan(&id))
		require.NoError(t, tx.Commit())
	})
	t.Run("a transaction with rows that are made up anew", func(t *testing.T) {
		other := trial
		other.reply = results(stateEntry(testVersion, "null", "null"), insertedToken, table("id integer", "[2]"), held, rolledBack)
		f := earlier(trial, other)
		tx, err := f.openMarked().Begin()
		require.NoError(t, err)
		var id int
		require.NoError(t, tx.QueryRow(insert).Scan(&id))
		require.ErrorIs(t, tx.Commit(), ErrTxConflict, "and nothing was sent")
	})
	t.Run("a trial in which SQLite rolls back", func(t *testing.T) {
		over := trial
		over.reply = results(stateEntry(testVersion, "null", "null"), insertedToken, table("id integer", "[1]"), rolledBack)
		tx, err := earlier(over).openMarked().Begin()
		require.NoError(t, err)
		_, err = tx.Query(insert)
		require.ErrorContains(t, err, "the transaction ended while it was tried out")
		require.NoError(t, tx.Rollback())
	})
	t.Run("a script in which only the server sees RETURNING", func(t *testing.T) {
		f := earlier(writes(`["DELETE FROM u"]`, results(oneUpdated)), writes("", results(`{"error":"no such table: t"}`)))
		_, err := f.open("").Exec("DELETE FROM u; EXPLAIN INSERT INTO t VALUES(1) RETURNING id")
		require.ErrorContains(t, err, "statement 2 of 2: no such table: t")
	})
	t.Run("a transaction whose commit fails", func(t *testing.T) {
		f := earlier(trial, trial, commits(results(insertedToken, `{"error":"UNIQUE constraint failed: t.id"}`)))
		tx, err := f.openMarked().Begin()
		require.NoError(t, err)
		var id int
		require.NoError(t, tx.QueryRow(insert).Scan(&id))
		require.ErrorIs(t, tx.Commit(), ErrTxConflict)
	})
}

// An entry behind a failure shows that a node has applied the rest of a transaction.
func TestTransactionThatGoesOnBehindAFailure(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	answer := results(`{"error":"no such table: u"}`, oneInserted)
	f := newFake(t, writesAtomic("", answer), writesAtomic("", answer))
	_, err := f.open("").Exec("DELETE FROM u; INSERT INTO t VALUES(1)")
	require.ErrorIs(t, err, ErrIndeterminate)
	_, err = batchOf(true, "DELETE FROM u", "INSERT INTO t VALUES(1)").Exec(ctx, f.open(""))
	require.ErrorIs(t, err, ErrIndeterminate)
}
