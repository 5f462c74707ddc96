package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The guards in front of writes that go out as one transaction, as they are sent.
const (
	guardSent      = `"SELECT CASE WHEN EXISTS(SELECT 1 FROM sqlite_schema WHERE instr(upper(sql),'DEFERR')>0) THEN abs(-9223372036854775808) END"`
	guardTableSent = `"SELECT CASE WHEN EXISTS(SELECT 1 FROM sqlite_schema WHERE name='_rqlite_tx') OR ` +
		`EXISTS(SELECT 1 FROM sqlite_schema WHERE instr(upper(sql),'DEFERR')>0) THEN abs(-9223372036854775808) END"`
)

// crowd is a connector whose writes have to wait for each other, until released.
type crowd struct {
	t         *testing.T
	connector *Connector
	db        *sql.DB
	tickets   []int // of the writes that occupy makes
}

func (f *fake) crowd(change func(*Config)) *crowd {
	f.t.Helper()
	cfg := &Config{Hosts: []string{f.addr}, DisableTxVersion: true}
	if change != nil {
		change(cfg)
	}
	db, connector := f.openConfig(cfg)
	connector.engine.Coalescer = coalesce.New(coalesce.Config{
		Client: connector.client, Request: connector.versions.BulkRequest, Patience: time.Hour, // they wait for release
	})
	require.True(f.t, connector.client.AllSince(f.t.Context(), cluster.Oldest, true))
	c := &crowd{t: f.t, connector: connector, db: db}
	c.occupy()
	return c
}

// occupy makes writes wait.
func (c *crowd) occupy() {
	for {
		ticket, ok := c.connector.engine.Coalescer.Begin(nil)
		if !ok {
			return
		}
		c.tickets = append(c.tickets, ticket)
	}
}

// do starts a call, and returns when it waits for others, or has ended. The error
// comes from the channel.
func (c *crowd) do(call func() error) (waits bool, ended <-chan error) {
	c.t.Helper()
	result := make(chan error, 1)
	before := c.connector.Stats().Coalesced
	go func() { result <- call() }()
	for end := time.Now().Add(waitAtMost); ; time.Sleep(time.Millisecond) {
		switch {
		case c.connector.Stats().Coalesced > before:
			return true, result
		case len(result) > 0:
			return false, result
		case time.Now().After(end):
			require.Fail(c.t, "it neither waits nor ends")
		}
	}
}

// release lets those go that wait.
func (c *crowd) release() {
	c.connector.engine.Coalescer.End(c.tickets[0])
	c.tickets = c.tickets[1:]
}

// answerAll answers each statement of a request alike.
func answerAll(w http.ResponseWriter, r *http.Request, entry string) {
	var statements []json.RawMessage
	json.NewDecoder(r.Body).Decode(&statements)
	entries := make([]string, len(statements))
	for i := range entries {
		entries[i] = entry
	}
	io.WriteString(w, results(entries...))
}

// Single statements that write rows wait for others, and nothing else does.
func TestWhatIsCoalesced(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	exec := func(ctx context.Context, query string, args ...any) func(*sql.DB) error {
		return func(db *sql.DB) error { _, err := db.ExecContext(ctx, query, args...); return err }
	}
	query := func(query string, args ...any) func(*sql.DB) error {
		return func(db *sql.DB) error {
			rows, err := db.QueryContext(ctx, query, args...) //nolint:sqlclosecheck // closed below
			if err != nil {
				return err
			}
			return rows.Close()
		}
	}
	large := strings.Repeat("x", 64<<10)
	tests := map[string]struct {
		do    func(*sql.DB) error
		waits bool
	}{
		"an INSERT":                          {exec(ctx, "INSERT INTO t VALUES (?)", 1), true},
		"an UPDATE":                          {exec(ctx, "UPDATE t SET a = 1"), true},
		"a DELETE":                           {exec(ctx, "DELETE FROM t"), true},
		"a WITH that writes":                 {exec(ctx, "WITH c AS (SELECT 1) INSERT INTO t SELECT * FROM c"), true},
		"OR IGNORE":                          {exec(ctx, "INSERT OR IGNORE INTO t VALUES (1)"), true},
		"UPDATE … RETURNING by Exec":         {exec(ctx, "UPDATE t SET a = 1 RETURNING a"), false},
		"INSERT … RETURNING by Exec":         {exec(ctx, "INSERT INTO t VALUES (1) RETURNING a"), true},
		"INSERT … SELECT … RETURNING":        {query("INSERT INTO t select a FROM u RETURNING a"), false},
		"INSERT … RETURNING by Query":        {query("INSERT INTO t VALUES (1) RETURNING a"), true},
		"REPLACE … RETURNING by Query":       {query("REPLACE INTO t VALUES (1) RETURNING a"), true},
		"UPDATE … RETURNING by Query":        {query("UPDATE t SET a = 1 RETURNING a"), false},
		"OR FAIL":                            {exec(ctx, "INSERT OR FAIL INTO t VALUES (1), (2)"), false},
		"OR ROLLBACK":                        {exec(ctx, "INSERT OR ROLLBACK INTO t VALUES (1), (2)"), false},
		"a SELECT by Query":                  {query("SELECT 1"), false},
		"a SELECT by Exec":                   {exec(ctx, "SELECT 1"), false},
		"CREATE TABLE":                       {exec(ctx, "CREATE TABLE t (a)"), false},
		"a PRAGMA":                           {exec(ctx, "PRAGMA user_version = 1"), false},
		"VACUUM":                             {exec(ctx, "VACUUM"), false},
		"two statements":                     {exec(ctx, "DELETE FROM t; DELETE FROM t"), false},
		"a large statement":                  {exec(ctx, "INSERT INTO t VALUES (?)", large), false},
		"a queued write":                     {exec(WithQueue(ctx, false), "DELETE FROM t"), false},
		"a write that wants to go by itself": {exec(WithoutCoalescing(ctx), "DELETE FROM t"), false},
		"a batch": {func(db *sql.DB) error {
			return onConn(ctx, db, func(c Conn) error {
				b := &Batch{}
				b.Add("DELETE FROM t")
				b.Add("DELETE FROM t")
				_, err := c.ExecBatch(ctx, b)
				return err
			})
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := step{path: cluster.ExecutePath, params: "*", serve: func(w http.ResponseWriter, r *http.Request) { answerAll(w, r, one) }}
			switch {
			case strings.Contains(name, "SELECT by Query"):
				answer.path = cluster.QueryPath
			case strings.Contains(name, "queued"):
				answer.serve, answer.reply = nil, `{"results":[],"sequence_number":7}`
			}
			script := []step{answer}
			if strings.Contains(name, "SELECT … RETURNING") {
				script = []step{triesRows(results(one, rolledBack)), answer}
			}
			f := newFake(t, script...)
			c := f.crowd(nil)
			waits, ended := c.do(func() error { return tt.do(c.db) })
			assert.Equal(t, tt.waits, waits)
			c.release()
			require.NoError(t, <-ended)
		})
	}
}

// onConn statements f with a connection of the driver.
func onConn(ctx context.Context, db *sql.DB, f func(Conn) error) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Raw(func(raw any) error { return f(raw.(Conn)) })
}

func TestCoalescingDisabled(t *testing.T) {
	t.Parallel()
	f := newFake(t, writes(`["DELETE FROM t"]`, results(`{}`)))
	c := f.crowd(func(cfg *Config) { cfg.DisableCoalescing = true })
	_, err := c.db.Exec("DELETE FROM t")
	require.NoError(t, err)
	assert.Zero(t, c.connector.Stats().Coalesced)
}

// Statements of a transaction wait for nobody.
func TestCoalescingNotInTx(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.crowd(nil)
	tx, err := c.db.BeginTx(WithTxMode(t.Context(), TxPipelined), nil)
	require.NoError(t, err)
	waits, ended := c.do(func() error { _, err := tx.Exec("DELETE FROM t"); return err })
	assert.False(t, waits)
	require.NoError(t, <-ended)
	require.NoError(t, tx.Rollback())
}

// Each caller gets what its own statement did, with parameters and rows of its own.
func TestCoalescedAnswers(t *testing.T) {
	t.Parallel()
	const bodies = `["INSERT INTO t VALUES (?)","x"],"INSERT INTO t VALUES (1), (1) RETURNING a","SELECT 1","INSERT INTO t VALUES (2) RETURNING a","DELETE FROM gone"`
	entries := []string{`{"last_insert_id":7,"rows_affected":1}`, table("a integer", "[1]", "[1]"), `{"last_insert_id":7,"rows_affected":2}`, table("a text", `["],[\""]`)}
	broken := `{"error":"no such table: gone"}`
	f := newFake(t,
		writesAtomic("["+guardSent+","+bodies+"]", results(append(append([]string{table("1")}, entries...), broken)...)),
		writes("["+bodies+"]", results(append(entries, broken)...)),
	)
	c := f.crowd(nil)
	_, inserted := c.do(func() error {
		r, err := c.db.Exec("INSERT INTO t VALUES (?)", "x")
		if assert.NoError(t, err) {
			assert.Equal(t, [2]int64{7, 1}, resultOf(t, r))
		}
		return err
	})
	_, updated := c.do(func() error {
		r, err := c.db.Exec("INSERT INTO t VALUES (1), (1) RETURNING a")
		if assert.NoError(t, err) {
			assert.Equal(t, [2]int64{7, 2}, resultOf(t, r))
		}
		return err
	})
	_, returned := c.do(func() error {
		var a string
		err := c.db.QueryRow("INSERT INTO t VALUES (2) RETURNING a").Scan(&a)
		assert.Equal(t, `],["`, a)
		return err
	})
	_, failed := c.do(func() error { _, err := c.db.Exec("DELETE FROM gone"); return err })
	c.release()
	require.NoError(t, <-inserted)
	require.NoError(t, <-updated)
	require.NoError(t, <-returned)
	var own *Error
	err := <-failed
	require.ErrorAs(t, err, &own)
	assert.Equal(t, "no such table: gone", own.Message)
	assert.Equal(t, "rqlite: no such table: gone", err.Error(), "it says nothing of other statements")
}

// The frame of a bulk moves the version, whether it is a transaction or not.
func TestCoalescedMarks(t *testing.T) {
	t.Parallel()
	const a, b = `"DELETE FROM a"`, `"DELETE FROM b"`
	tests := map[string]struct {
		script  []step
		missing bool // the write before finds no version table
		version int64
		after   bool // the write behind goes without the second half of its marks
	}{
		"a transaction": {script: []step{
			writesAtomic("["+guardSent+","+a+","+b+","+moveSent+","+askingSent+"]", results(one, `{}`, `{}`, oneUpdated, versionEntry(testVersion))),
		}, version: 2305843009213693998},
		"a transaction that fails": {script: []step{
			writesAtomic("", results(one, `{"error":"no such table: a"}`)),
			mayAsk(t, writes("["+markSent+","+a+","+b+","+unmarkSent+"]", ""), `{}`, `{}`, `{}`, `{}`),
		}},
		"no register": {script: []step{
			writesAtomic("", results(one, `{}`, `{}`, missing)),
			mayAsk(t, writes("["+markSent+","+a+","+b+","+unmarkSent+"]", ""), missing, `{}`, `{}`, missing),
		}, after: true},
		"no register, as before": {missing: true, script: []step{
			writesAtomic("["+guardTableSent+","+a+","+b+"]", results(table("1"), `{}`, `{}`)),
		}, after: true},
		"a register that was made meanwhile": {missing: true, script: []step{
			writesAtomic("", results(`{"error":"integer overflow"}`)),
			writes("["+markSent+","+a+","+b+"]", results(`{}`, `{}`, `{}`)),
		}},
		"the marks fail, the writes do not": {script: []step{
			writesAtomic("", results(one, `{}`, `{}`, `{"error":"no such column: v"}`)),
			writes("", results(`{"error":"no such column: v"}`, `{}`, `{}`, `{"error":"no such column: v"}`)),
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			c := f.crowd(func(cfg *Config) { cfg.DisableTxVersion = false })
			alone := func(marked string, entries ...string) {
				f.then(mayAsk(t, writes(marked, ""), entries...))
				_, err := c.db.ExecContext(WithoutCoalescing(t.Context()), "DELETE FROM c")
				require.NoError(t, err)
			}
			marked := "[" + markSent + `,"DELETE FROM c",` + unmarkSent + "]"
			if tt.missing {
				alone(marked, missing, `{}`, missing)
			}
			f.then(tt.script...)
			_, first := c.do(func() error { _, err := c.db.Exec("DELETE FROM a"); return err })
			_, second := c.do(func() error { _, err := c.db.Exec("DELETE FROM b"); return err })
			c.release()
			require.NoError(t, <-first)
			require.NoError(t, <-second)
			assert.Equal(t, tt.version, c.connector.versions.LastState().Version)
			if tt.after {
				alone("["+markSent+`,"DELETE FROM c"]`, `{}`, `{}`)
			} else {
				alone(marked, `{}`, `{}`, `{}`)
			}
		})
	}
}

// An infinite REAL takes the answers of all the others along, once.
func TestCoalescedRowsThatCannotBeSent(t *testing.T) {
	t.Parallel()
	const unsendable = "json: unsupported value: +Inf"
	returning := `"INSERT INTO t VALUES (9e999) RETURNING a"`
	f := newFake(t,
		step{path: cluster.ExecutePath, params: "*", status: http.StatusInternalServerError, reply: unsendable},
		step{path: cluster.ExecutePath, params: "*", body: "[" + returning + "]", status: http.StatusInternalServerError, reply: unsendable},
	)
	c := f.crowd(nil)
	insert := func() error {
		var a float64
		return c.db.QueryRow("INSERT INTO t VALUES (9e999) RETURNING a").Scan(&a)
	}
	_, returned := c.do(insert)
	_, deleted := c.do(func() error { _, err := c.db.Exec("DELETE FROM a"); return err })
	c.release()
	require.ErrorIs(t, <-returned, ErrIndeterminate)
	require.ErrorIs(t, <-deleted, ErrIndeterminate)
	assert.EqualValues(t, 1, c.connector.Stats().Failures, "one request for both")
	c.occupy()
	waits, returned := c.do(insert)
	assert.False(t, waits)
	require.ErrorIs(t, <-returned, ErrRowsLost, "alone, it is known to be applied")
}

// A write does not wait on a connection that database/sql has given up.
func TestCoalescingOnClosedConn(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.crowd(nil)
	own, err := c.connector.Connect(t.Context())
	require.NoError(t, err)
	require.NoError(t, own.Close())
	_, err = own.(driver.ExecerContext).ExecContext(t.Context(), "DELETE FROM t", nil)
	require.ErrorIs(t, err, errClosed)
}
