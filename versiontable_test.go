package rqlite

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What stands around the program's statements, as it is sent.
const (
	markSent   = `"UPDATE _rqlite_tx SET v=v+1,token='~' WHERE k=0"`
	askingSent = `"UPDATE _rqlite_tx SET token=NULL WHERE k=0 RETURNING v,(SELECT v FROM _rqlite_tx WHERE k=-1),(SELECT token FROM _rqlite_tx WHERE k=-1)"`
	unmarkSent = `"UPDATE _rqlite_tx SET token=NULL WHERE k=0"`
	moveSent   = `"UPDATE _rqlite_tx SET v=v+1,token=NULL WHERE k=0"`
)

// The version of the version table in these tests.
const testVersion = "2305843009213693999"

// missing is the entry of a statement on a version table that is not there.
const missing = `{"error":"no such table: _rqlite_tx"}`

// versionEntry is the entry of a statement that returns the version.
func versionEntry(version string) string {
	return table("v integer, a integer, b text", "["+version+",null,null]")
}

// openMarked returns a database on the fake whose writes move the version. The first of them asks for
// it, and later ones do now and then.
func (f *fake) openMarked() *sql.DB {
	f.t.Helper()
	db, _ := f.openConfig(&Config{Hosts: []string{f.addr}})
	return db
}

// tokenSent is the beginning of a request that leaves a token. Its groups are the slot and the name of the
// token.
var tokenSent = regexp.MustCompile(`^\["INSERT INTO _rqlite_tx\(k,token\)VALUES\(CASE WHEN\(SELECT v FROM _rqlite_tx WHERE k=0\)` +
	`BETWEEN \d+ AND \d+ THEN (\d+) ELSE'stale'END,'([A-Z2-7]{26})'\)",`)

// leavesToken is a step of a transaction that leaves a token, in front of the rest of the body. It may ask
// for the version, and remove tokens, as chance has it. The entries are those of the rest.
func leavesToken(t *testing.T, rest string, entries ...string) step {
	return writesAtomic("", "").served(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		body := string(sent)
		assert.Regexp(t, tokenSent, body)
		assert.True(t, strings.HasSuffix(body, rest), body)
		before := []string{oneUpdated, oneUpdated}
		if strings.Contains(body, askingSent) {
			before = append(before, versionEntry(testVersion))
		}
		io.WriteString(w, withPruned(sent, results(append(before, entries...)...)))
	})
}

// served returns the step with its answer.
func (s step) served(serve http.HandlerFunc) step {
	s.serve = serve
	return s
}

// mayAsk makes a step of a request that asks for the version or does not, as time has it. The body
// and the entries of the answer are those without the question.
func mayAsk(t *testing.T, s step, entries ...string) step {
	want := s.body
	s.body, s.serve = "", func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		body, answer := string(sent), entries
		if rest, ok := strings.CutPrefix(body, "["+moveSent+","+askingSent); ok { // in a transaction
			body = "[" + moveSent + rest
			if len(answer) > 1 {
				answer = slices.Insert(slices.Clone(answer), 1, versionEntry(testVersion))
			}
		}
		assert.Equal(t, want, strings.Replace(body, askingSent, unmarkSent, 1))
		io.WriteString(w, results(answer...))
	}
	return s
}

// The marks around writes do not show, whether there is a version table or not.
func TestMarksDoNotShow(t *testing.T) {
	t.Parallel()
	const inserted = `{"last_insert_id":5,"rows_affected":1}`
	for name, test := range map[string]struct {
		mark, unmark string
		missing      bool // so that only the first write is marked on both sides
	}{
		"with a register":      {`{"last_insert_id":9,"rows_affected":1}`, `{"last_insert_id":5,"rows_affected":1}`, false},
		"without one":          {missing, missing, true},
		"with an emptied one":  {`{"last_insert_id":9}`, `{"last_insert_id":5}`, false},
		"with one that is odd": {`{"error":"no such column: v"}`, `{"error":"no such column: v"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := true
			marked := func(statements string, entries ...string) step {
				body, reply := "["+markSent+","+statements, append([]string{test.mark}, entries...)
				if first || !test.missing {
					body, reply = body+","+unmarkSent, append(reply, test.unmark)
				}
				first = false
				return mayAsk(t, writes(body+"]", ""), reply...)
			}
			f := newFake(t,
				marked(`"INSERT INTO t VALUES(5)"`, inserted),
				marked(`"INSERT INTO t VALUES(5) RETURNING id","SELECT 1"`, table("id integer", "[5]"), inserted),
				marked(`"INSERT INTO t VALUES(5)"`, `{"error":"UNIQUE constraint failed: t.id"}`),
				marked(`"DELETE FROM t RETURNING id"`, table("id integer", "[5]", "[6]")),
				marked(`"DELETE FROM t","DELETE FROM u"`, `{"rows_affected":2}`, `{"error":"no such table: u"}`),
				writes(`["SELECT 1"]`, results(`{}`)),
			)
			writeInManyWays(t, f.openMarked())
		})
	}
}

func writeInManyWays(t *testing.T, db *sql.DB) {
	t.Helper()
	for _, query := range []string{"INSERT INTO t VALUES(5)", "INSERT INTO t VALUES(5) RETURNING id"} {
		r, err := db.Exec(query)
		require.NoError(t, err)
		assert.Equal(t, [2]int64{5, 1}, resultOf(t, r))
	}
	_, err := db.Exec("INSERT INTO t VALUES(5)")
	require.EqualError(t, err, "rqlite: UNIQUE constraint failed: t.id")
	rows, err := db.Query("DELETE FROM t RETURNING id")
	require.NoError(t, err)
	assert.Equal(t, [][]any{{int64(5)}, {int64(6)}}, scanAll(t, rows))
	require.NoError(t, rows.Err())

	var b Batch
	b.Add("DELETE FROM t")
	b.Add("DELETE FROM u")
	got, err := b.Exec(context.Background(), db)
	require.EqualError(t, err, "rqlite: statement 2 of 2: no such table: u")
	assert.EqualValues(t, 2, got[0].RowsAffected)

	_, err = db.Exec("SELECT 1")
	require.NoError(t, err, "it writes nothing, and goes without marks")
}

// A version table that has been made since is marked again.
func TestMarksAfterTheRegisterIsMade(t *testing.T) {
	t.Parallel()
	f := newFake(t,
		mayAsk(t, writes("["+markSent+`,"DELETE FROM t",`+unmarkSent+"]", ""), missing, `{}`, missing),
		writes("["+markSent+`,"DELETE FROM t"]`, results(missing, `{}`)),
		writes("["+markSent+`,"DELETE FROM t"]`, results(oneUpdated, `{}`)),
		mayAsk(t, writes("["+markSent+`,"DELETE FROM t",`+unmarkSent+"]", ""), oneUpdated, `{}`, oneUpdated),
	)
	db := f.openMarked()
	for range 4 {
		_, err := db.Exec("DELETE FROM t")
		require.NoError(t, err)
	}
}

// A write asks for announcements now and then, and the next one heeds them.
func TestWritesAskForAnnouncements(t *testing.T) {
	t.Parallel()
	asking := "[" + markSent + `,"DELETE FROM t",` + askingSent + "]"
	announced := results(oneUpdated, `{}`, table("v integer, a integer, b text", "["+testVersion+`,60,"ONE"]`))
	db := newFake(t, writes(asking, announced), writes(asking, announced)).openMarked()
	begun := time.Now()
	for range 2 {
		_, err := db.Exec("DELETE FROM t")
		require.NoError(t, err)
	}
	assert.Greater(t, time.Since(begun), 60*time.Millisecond, "it waits, and asks again after that time")
}

// A statement that inserts nothing repeats the last rowid of the server's
// connection. If that is of the version table, the program sees none.
func TestRowidsOfTheRegisterDoNotShow(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]int64{testVersion: 0, "2305843009213693000": 0, "2305843009213694000": 0, "2305847304180989295": 2305847304180989295, "7": 7} {
		f := newFake(t, writes("", results(`{"rows_affected":1}`, `{"last_insert_id":`+id+`,"rows_affected":1}`, versionEntry(testVersion))))
		r, err := f.openMarked().Exec("INSERT INTO t VALUES(1) ON CONFLICT DO UPDATE SET a = 2")
		require.NoError(t, err)
		assert.Equal(t, [2]int64{want, 1}, resultOf(t, r))
	}
}

// In a transaction the version is moved once. Without a version table everything is
// rolled back, so that it has to be made.
func TestAtomicWritesMakeTheRegister(t *testing.T) {
	t.Parallel()
	asked := func(entry string) step {
		return step{path: cluster.RequestPath, params: "blob_array&noparse&transaction&redirect", reply: results(entry)}
	}
	const told = `,"DELETE FROM t","DELETE FROM u"]`
	f := newFake(t,
		asked(missing),
		writesAtomic("", results(`{}`, oneUpdated)),
		asked(stateEntry(testVersion, "null", "null")),
		leavesToken(t, told, `{"rows_affected":2}`, `{"rows_affected":3}`),
		leavesToken(t, told, `{"rows_affected":4}`, `{"rows_affected":5}`),
		leavesToken(t, told, `{"rows_affected":6}`, `{"rows_affected":7}`),
		writesAtomic("", results(missing)), // somebody has dropped it
		asked(missing),
		writesAtomic("", results(`{"error":"there is already a view named _rqlite_tx"}`)),
		writesAtomic("", results(missing)), // without a token
		writesAtomic("", results(`{"error":"there is already a view named _rqlite_tx"}`)),
	)
	db := f.openMarked()
	r, err := db.Exec("DELETE FROM t; DELETE FROM u")
	require.NoError(t, err)
	assert.Equal(t, [2]int64{0, 3}, resultOf(t, r))
	made := f.got()[1].body
	assert.True(t, strings.HasPrefix(made, `["CREATE TABLE IF NOT EXISTS _rqlite_tx(k INTEGER PRIMARY KEY,v INTEGER,token TEXT)","INSERT INTO _rqlite_tx(k,v) SELECT 0,`), made)

	var b Batch
	b.Atomic = true
	b.Add("DELETE FROM t")
	b.Add("DELETE FROM u")
	for _, want := range []int64{5, 7} {
		got, err := b.Exec(context.Background(), db)
		require.NoError(t, err)
		assert.Equal(t, want, got[1].RowsAffected)
	}
	_, err = b.Exec(context.Background(), db)
	require.EqualError(t, err, "rqlite: the table _rqlite_tx, which transactions need, cannot be made: there is already a view named _rqlite_tx")
}

// A database that was loaded gets a version that none had before.
func TestLoadRenewsTheVersion(t *testing.T) {
	t.Parallel()
	f := newFake(t,
		uploads("/db/load", "data", 0, `{"results":[]}`), writesAtomic("", results(oneUpdated, oneUpdated)),
		uploads("/boot", "data", 0, ""), writesAtomic("", results(missing)),
		uploads("/db/load", "data", 0, `{"results":[]}`), step{path: cluster.ExecutePath, params: "*", status: 401},
	)
	c := f.connect(func(cfg *Config) { cfg.DisableTxVersion = false })
	require.NoError(t, c.Load(t.Context(), strings.NewReader("data")))
	require.NoError(t, c.Boot(t.Context(), strings.NewReader("data")))
	require.NoError(t, c.Load(t.Context(), strings.NewReader("data")), "the load is done")
	requests := slices.DeleteFunc(f.got(), func(r request) bool { return r.path != cluster.ExecutePath })
	const unless = `AND \(SELECT v FROM _rqlite_tx WHERE k=0\)NOT BETWEEN \d{19} AND \d{19}`
	assert.Regexp(t, `^\["DELETE FROM _rqlite_tx WHERE k<>0 `+unless+`","UPDATE _rqlite_tx SET v=\d{19},token=NULL WHERE k=0 `+unless+`"\]$`, requests[0].body)
}

// A load that may have replaced the database is followed by a new version, too. One that has changed nothing
// is not.
func TestLoadRenewsTheVersionInDoubt(t *testing.T) {
	t.Parallel()
	lost := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, test := range map[string]struct {
		answer step
		renews bool
	}{
		"the answer is lost":                       {step{serve: lost}, true},
		"a statement of a text fails":              {step{reply: `{"results":[{},{"error":"UNIQUE constraint failed: t.a"}]}`}, true},
		"leadership is lost":                       {step{reply: `{"results":[],"error":"leadership lost while committing log"}`}, true},
		"there is no leader":                       {step{status: 503, reply: "leader not found"}, false},
		"a user who may not load":                  {step{status: 401}, false},
		"the context ends before the answer comes": {step{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			load := uploads("/db/load", "data", test.answer.status, test.answer.reply)
			load.serve = test.answer.serve
			if strings.HasPrefix(name, "the context") {
				load.serve = func(_ http.ResponseWriter, r *http.Request) {
					cancel()
					<-r.Context().Done()
				}
			}
			f := newFake(t, load)
			if test.renews {
				f.then(writesAtomic("", results(oneUpdated, oneUpdated)))
			}
			c := f.connect(func(cfg *Config) { cfg.DisableTxVersion = false })
			require.Error(t, c.Load(ctx, strings.NewReader("data")))
			renewed := slices.ContainsFunc(f.got(), func(r request) bool { return strings.HasPrefix(r.body, `["DELETE FROM _rqlite_tx WHERE k<>0 `) })
			assert.Equal(t, test.renews, renewed)
		})
	}
}

// Queued writes bring the version table along, since a mark that fails would undo
// what others have queued where the server's queue is a transaction.
func TestQueuedWritesBringTheRegister(t *testing.T) {
	t.Parallel()
	f := newFake(t, step{path: cluster.ExecutePath, params: "blob_array&norwrandom&norwtime&queue", serve: nil, reply: `{"results":[],"sequence_number":7}`})
	_, err := f.openMarked().ExecContext(WithQueue(context.Background(), false), "DELETE FROM t")
	require.NoError(t, err)
	body := f.got()[len(f.got())-1].body
	assert.Contains(t, body, `"CREATE TABLE IF NOT EXISTS _rqlite_tx(`)
	assert.True(t, strings.HasSuffix(body, markSent+`,"DELETE FROM t",`+unmarkSent+"]"), body)
}
