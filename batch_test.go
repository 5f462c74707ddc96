package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// upper is a type of a program's own.
type upper string

// Value implements driver.Valuer.
func (u upper) Value() (driver.Value, error) {
	if u == "" {
		return nil, errors.New("empty")
	}
	return "<" + string(u) + ">", nil
}

// batchOf returns a batch of statements without values.
func batchOf(atomic bool, statements ...string) *Batch {
	b := &Batch{Atomic: atomic}
	for _, s := range statements {
		b.Add(s)
	}
	return b
}

// atomicRead is a step of a read of one state.
func atomicRead(body, reply string) step {
	return step{path: cluster.QueryPath, params: "blob_array&noparse&timings&level=weak&transaction&redirect", body: body, reply: reply}
}

func TestBatchExec(t *testing.T) {
	t.Parallel()
	var b Batch
	assert.Zero(t, b.Len())
	b.Add("INSERT INTO t VALUES(?, ?)", 1, upper("a"))
	b.Add("INSERT INTO t VALUES(:a, @b);", sql.Named("b", []byte{7}), sql.Named("a", uint8(2)))
	b.Add("CREATE TABLE u(a)")
	b.Add("INSERT INTO t VALUES(3) RETURNING\nid, at", nil...)
	b.Add("SELECT ?", `x'00'`)
	assert.Equal(t, 5, b.Len())
	body := `[["INSERT INTO t VALUES(?, ?)",1,"<a>"],["INSERT INTO t VALUES(:a, @b)",2,"x'07'"],"CREATE TABLE u(a)",` +
		`"INSERT INTO t VALUES(3) RETURNING \u000aid, at",["SELECT 'x''00'''","x'00'"]]`
	reply := results(`{"last_insert_id":1,"rows_affected":1}`, `{"last_insert_id":2,"rows_affected":1}`, `{"last_insert_id":2,"rows_affected":1}`,
		table("id integer,at datetime", `[3,"2024-02-29T01:02:03Z"]`), `{"last_insert_id":2,"rows_affected":1}`)
	want := []BatchResult{
		{LastInsertID: 1, RowsAffected: 1},
		{LastInsertID: 2, RowsAffected: 1},
		{},
		{Columns: []string{"id", "at"}, Types: []string{"integer", "datetime"}, Rows: [][]any{{int64(3), time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC)}}},
		{},
	}
	f := newFake(t, writes(body, reply), writesAtomic(body, reply))
	db := f.open("")
	for _, atomic := range []bool{false, true} {
		b.Atomic = atomic
		got, err := b.Exec(context.Background(), db)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestBatchQuery(t *testing.T) {
	t.Parallel()
	b := batchOf(false, "SELECT 1", "SELECT 2")
	b.Add("SELECT * FROM t WHERE a=?", 3)
	body := `[` + check + `,"SELECT 1","SELECT 2",["SELECT * FROM t WHERE a=?",3]]`
	reply := results(checked, one, table("b real"), table("a integer,b text,c blob", `[1,"x",[1]]`, `[2,null,[]]`))
	want := []BatchResult{
		{Columns: []string{"1"}, Types: []string{"integer"}, Rows: [][]any{{int64(1)}}},
		{Columns: []string{"b"}, Types: []string{"real"}},
		{Columns: []string{"a", "b", "c"}, Types: []string{"integer", "text", "blob"}, Rows: [][]any{{int64(1), "x", []byte{1}}, {int64(2), nil, []byte{}}}},
	}
	f := newFake(t, reads(body, reply), atomicRead(body, reply), step{path: cluster.QueryPath, params: "blob_array&noparse&timings&level=none", body: body, reply: reply})
	db := f.open("")
	for _, atomic := range []bool{false, true} {
		b.Atomic = atomic
		got, err := b.Query(context.Background(), db)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	b.Atomic = false
	_, err := b.Query(WithConsistency(context.Background(), None), db)
	require.NoError(t, err)
	_, err = b.Query(WithFreshness(context.Background(), time.Second, false), db)
	require.ErrorContains(t, err, "freshness has no effect at level weak")
}

func TestBatchEmpty(t *testing.T) {
	t.Parallel()
	db := newFake(t).open("")
	for _, run := range []func(*Batch, context.Context, *sql.DB) ([]BatchResult, error){(*Batch).Exec, (*Batch).Query} {
		got, err := run(&Batch{Atomic: true}, context.Background(), db)
		require.NoError(t, err)
		assert.Empty(t, got)
	}
}

// What cannot be sent is refused, and nothing of the batch is sent.
func TestBatchRefused(t *testing.T) {
	t.Parallel()
	db := newFake(t).open("")
	for _, test := range []struct {
		query string
		args  []any
		err   string
	}{
		{"DELETE FROM t; DELETE FROM u", nil, "rqlite: statement 2 of 2: it has 2 statements where one belongs: add each on its own"},
		{"-- nothing", nil, "rqlite: statement 2 of 2: it has 0 statements where one belongs: add each on its own"},
		{"BEGIN", nil, "rqlite: statement 2 of 2: BEGIN cannot be sent as a statement: use the transactions of database/sql, or a Batch with Atomic set"},
		{"SELECT 'a", nil, "rqlite: statement 2 of 2: unterminated string starting at byte 7"},
		{"SELECT ?", nil, "rqlite: statement 2 of 2: too few values: the statement has 1 parameter, and 0 are given, so that none is left for number 1"},
		{"SELECT ?", []any{1, 2}, "rqlite: statement 2 of 2: too many values: 2 are given, and there are not as many parameters"},
		{"SELECT ?", []any{upper("")}, "rqlite: statement 2 of 2: parameter 1: empty"},
		{"SELECT ?", []any{"\xff"}, "rqlite: statement 2 of 2: parameter 1: the text is not valid UTF-8, which JSON cannot carry: pass it as []byte"},
	} {
		b := batchOf(true, "SELECT 1")
		b.Add(test.query, test.args...)
		for _, run := range []func(*Batch, context.Context, *sql.DB) ([]BatchResult, error){(*Batch).Exec, (*Batch).Query} {
			got, err := run(b, context.Background(), db)
			require.EqualError(t, err, test.err)
			assert.Nil(t, got)
		}
	}
	_, err := batchOf(false, "DELETE FROM t").Exec(context.Background(), newFake(t).open("queue=true"))
	require.EqualError(t, err, "rqlite: a queued batch has no results: use Batch.Queue")
}

// Statements of a batch that is not atomic are independent.
func TestBatchFailures(t *testing.T) {
	t.Parallel()
	const unique = `{"error":"UNIQUE constraint failed: t.id"}`
	f := newFake(t, writes("", results(`{"rows_affected":1}`, unique, table("id integer", "[4]"), `{}`, `{"error":"no such table: u"}`)))
	b := batchOf(false, "INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(4) RETURNING id", "DELETE FROM t RETURNING id", "DELETE FROM u")
	got, err := b.Exec(context.Background(), f.open(""))
	require.EqualError(t, err, "rqlite: statement 2 of 5: UNIQUE constraint failed: t.id")
	require.ErrorIs(t, err, ConstraintUnique)
	require.Len(t, got, 5)
	assert.Equal(t, BatchResult{RowsAffected: 1}, got[0])
	assert.Equal(t, err, got[1].Err)
	assert.Equal(t, BatchResult{Columns: []string{"id"}, Types: []string{"integer"}, Rows: [][]any{{int64(4)}}}, got[2])
	require.ErrorIs(t, got[3].Err, ErrRowsLost)
	require.EqualError(t, got[4].Err, "rqlite: statement 5 of 5: no such table: u")
}

// Of an atomic batch nothing is left when a statement fails, so that it has no
// results; and a batch that was cut off is no batch that failed.
func TestBatchAnswers(t *testing.T) {
	t.Parallel()
	const (
		well   = `{"rows_affected":1}`
		failed = `{"error":"no such table: u"}`
	)
	for _, test := range []struct {
		name   string
		atomic bool
		reply  string
		is     error
		not    error
		found  int // results
	}{
		{"atomic, well", true, results(well, well, table("id integer")), nil, nil, 3},
		{"atomic, the first fails", true, results(failed), GenericError, ErrIndeterminate, 0},
		{"atomic, the second fails", true, results(well, failed), GenericError, ErrIndeterminate, 0},
		{"atomic, the last fails", true, results(well, well, failed), GenericError, ErrRowsLost, 0},
		{"atomic, a constraint fails at the commit", true, `{"results":[],"error":"FOREIGN KEY constraint failed"}`, ConstraintForeignKey, ErrIndeterminate, 0},
		{"atomic, and it failed at the commit behind results", true, `{"results":[` + well + `,` + well + `,` + table("id integer") + `],"error":"FOREIGN KEY constraint failed"}`, ConstraintForeignKey, ErrIndeterminate, 0},
		{"atomic, rows lost", true, results(well, well, well), ErrRowsLost, ErrIndeterminate, 3},
		{"atomic, cut off", true, results(well, well), ErrIndeterminate, GenericError, 0},
		{"atomic, not JSON", true, `{"results":[` + well + `,`, ErrIndeterminate, GenericError, 0},
		{"atomic, too many", true, results(well, well, table("id integer"), well), ErrIndeterminate, GenericError, 0},
		{"rows lost", false, results(well, well, well), ErrRowsLost, ErrIndeterminate, 3},
		{"cut off", false, results(well, well), ErrIndeterminate, GenericError, 0},
		{"cut off behind a failure", false, results(well, failed), ErrIndeterminate, nil, 0},
		{"too many, behind a failure", false, results(well, failed, table("id integer"), well), ErrIndeterminate, nil, 0},
		{"a failure of all behind a failure", false, `{"results":[` + well + `,` + failed + `,` + table("id integer") + `],"error":"leadership lost while committing log"}`, ErrIndeterminate, nil, 0},
		{"a value that cannot be read", false, results(well, well, table("id real", "[1e999]")), ErrRowsLost, ErrIndeterminate, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := writes("", test.reply)
			if test.atomic {
				s = writesAtomic("", test.reply)
			}
			b := batchOf(test.atomic, "DELETE FROM t", "DELETE FROM u", "DELETE FROM v RETURNING id")
			got, err := b.Exec(context.Background(), newFake(t, s).open(""))
			assert.Len(t, got, test.found)
			if test.is == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, test.is)
			assert.Regexp(t, "^rqlite: ", err.Error())
			if test.not != nil {
				assert.NotErrorIs(t, err, test.not)
			}
		})
	}
}

// A statement that failed undid an atomic batch, also where the rows of another
// were lost: nothing was applied.
func TestBatchLostRowsAndFailure(t *testing.T) {
	t.Parallel()
	f := newFake(t, writesAtomic("", results(`{"rows_affected":1}`, `{"error":"no such table: u"}`)))
	_, err := batchOf(true, "DELETE FROM t RETURNING id", "DELETE FROM u").Exec(context.Background(), f.open(""))
	require.EqualError(t, err, "rqlite: statement 2 of 2: no such table: u")
	require.NotErrorIs(t, err, ErrRowsLost)
}

func TestBatchQueryFailures(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := newFake(t,
		reads("", results(one, `{"error":"no such table: u"}`, `{"columns":["a"],"types":["integer"],"values":[[1]],"error":"integer overflow"}`)),
		atomicRead("", results(one, `{"error":"no such table: u"}`, one)),
		reads("", results(`{"error":"disk I/O error"}`, one)),
		reads("", results(table("a datetime", `["never"]`), one, one)),
	)
	db := f.open("")
	b := batchOf(false, "SELECT 1", "SELECT 2", "SELECT 3")
	got, err := b.Query(ctx, db)
	require.EqualError(t, err, "rqlite: statement 2 of 3: no such table: u")
	require.Len(t, got, 3)
	assert.Equal(t, [][]any{{int64(1)}}, got[0].Rows)
	require.EqualError(t, got[2].Err, "rqlite: statement 3 of 3: integer overflow")

	b.Atomic = true
	got, err = b.Query(ctx, db)
	require.EqualError(t, err, "rqlite: statement 2 of 3: no such table: u")
	assert.Empty(t, got)

	_, err = batchOf(false, "SELECT * FROM t").Query(ctx, db)
	require.ErrorIs(t, err, IOError, "the schema check failed")

	b.Atomic = false
	_, err = b.Query(ctx, db)
	require.EqualError(t, err, `rqlite: statement 1 of 3: column 1 (a): "never" is not a time as rqlite sends it`)
}

// otherDriver is a database/sql driver that is not this one.
type otherDriver struct{}

func (otherDriver) Connect(context.Context) (driver.Conn, error) { return otherDriver{}, nil }
func (otherDriver) Driver() driver.Driver                        { return nil }
func (otherDriver) Prepare(string) (driver.Stmt, error)          { return nil, io.EOF }
func (otherDriver) Begin() (driver.Tx, error)                    { return nil, io.EOF }
func (otherDriver) Close() error                                 { return nil }

func TestBatchWrongDatabase(t *testing.T) {
	t.Parallel()
	db := sql.OpenDB(otherDriver{})
	defer db.Close()
	_, err := batchOf(false, "SELECT 1").Exec(context.Background(), db)
	require.EqualError(t, err, "rqlite: the database is not one of this driver: its connections are of type rqlite.otherDriver")
	require.NoError(t, db.Close())
	_, err = batchOf(false, "SELECT 1").Query(context.Background(), db)
	require.ErrorContains(t, err, "database is closed")
}
