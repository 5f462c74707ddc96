package rqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openOnce returns a database on the fake all of whose writes leave tokens. The fake answers the question
// for the version in front of the first.
func (f *fake) openOnce(change ...func(*Config)) *sql.DB {
	f.t.Helper()
	f.then(asksState(stateEntry(testVersion, "null", "null")))
	cfg := &Config{Hosts: []string{f.addr}, ExactlyOnce: OnceAll}
	for _, c := range change {
		c(cfg)
	}
	db, _ := f.openConfig(cfg)
	return db
}

func asksState(entry string) step {
	return step{path: cluster.RequestPath, params: "blob_array&noparse&transaction&redirect", reply: results(entry)}
}

// asksToken is a step of the question what became of the last write that left a token. NAME in the state
// stands for its token.
func asksToken(f *fake, state string) step {
	return step{path: cluster.RequestPath, params: "blob_array&noparse&transaction&redirect", serve: func(w http.ResponseWriter, r *http.Request) {
		slot, name := f.lastToken()
		body, err := io.ReadAll(r.Body)
		assert.NoError(f.t, err)
		assert.True(f.t, strings.HasPrefix(string(body), `["INSERT OR IGNORE INTO _rqlite_tx(k,token)VALUES(`+slot+`,'void')","SELECT v,`), string(body))
		assert.Contains(f.t, string(body), "k="+slot+")")
		io.WriteString(w, results(oneInserted, strings.ReplaceAll(state, "NAME", `"`+name+`"`)))
	}}
}

// lastToken returns the slot and the name of the last token that a write was to leave.
func (f *fake) lastToken() (slot, name string) {
	for _, r := range f.got() {
		if found := tokenSent.FindStringSubmatch(r.body); found != nil {
			slot, name = found[1], found[2]
		}
	}
	return slot, name
}

// broken is a step of a write whose answer does not come.
func broken() step {
	return writesAtomic("", "").served(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// refusesToken is a step of a write whose token the server refuses.
func refusesToken(message string) step { return writesAtomic("", results(`{"error":"`+message+`"}`)) }

// versionBehind returns a version so far behind that of the tests.
func versionBehind(n int64) string { return fmt.Sprint(2305843009213693999 + n) }

// What becomes of a write whose answer is lost, or whose token is refused.
func TestOnce(t *testing.T) {
	t.Parallel()
	const (
		there   = "NAME"
		void    = `"void"`
		another = `"ANOTHERTOKENANOTHERTOKENAB"`
	)
	sent := func(t *testing.T) step {
		return leavesToken(t, `,"DELETE FROM t"]`, `{"rows_affected":2}`)
	}
	for name, test := range map[string]struct {
		script  func(t *testing.T, f *fake) []step
		rows    int64 // that the result tells
		lost    bool  // the result tells nothing
		unknown bool
	}{
		"no fault": {script: func(t *testing.T, _ *fake) []step { return []step{sent(t)} }, rows: 2},
		"applied": {script: func(_ *testing.T, f *fake) []step {
			return []step{broken(), asksToken(f, stateEntry(testVersion, "null", there))}
		}, lost: true},
		"applied long ago": {script: func(_ *testing.T, f *fake) []step {
			return []step{broken(), asksToken(f, stateEntry(versionBehind(1_000_000), "null", there))}
		}, lost: true},
		"not applied": {script: func(t *testing.T, f *fake) []step {
			return []step{broken(), asksToken(f, stateEntry(testVersion, "null", void)), sent(t)}
		}, rows: 2},
		"twice not applied": {script: func(t *testing.T, f *fake) []step {
			return []step{broken(), asksToken(f, stateEntry(testVersion, "null", void)), broken(), asksToken(f, stateEntry(testVersion, "null", void)), sent(t)}
		}, rows: 2},
		"another's token": {script: func(t *testing.T, f *fake) []step {
			return []step{broken(), asksToken(f, stateEntry(testVersion, "null", another)), sent(t)}
		}, rows: 2},
		"at the last version": {script: func(t *testing.T, f *fake) []step {
			return []step{broken(), asksToken(f, stateEntry(versionBehind(100_000), "null", void)), sent(t)}
		}, rows: 2},
		"tokens may be removed": {script: func(_ *testing.T, f *fake) []step {
			return []step{broken(), asksToken(f, stateEntry(versionBehind(100_001), "null", void))}
		}, unknown: true},
		"an earlier version": {script: func(_ *testing.T, f *fake) []step {
			return []step{broken(), asksToken(f, stateEntry(versionBehind(-1), "null", void))}
		}, unknown: true},
		"no version": {script: func(_ *testing.T, f *fake) []step { return []step{broken(), asksToken(f, table("v,a,b,token,t"))} }, unknown: true},
		"no table": {script: func(_ *testing.T, _ *fake) []step {
			return []step{broken(), {path: cluster.RequestPath, params: "*", reply: results(missing)}}
		}, unknown: true},
		"nobody to ask": {script: func(_ *testing.T, _ *fake) []step {
			return []step{broken(), {path: cluster.RequestPath, params: "*", status: 401}}
		}, unknown: true},
		"refused, and nobody to ask": {script: func(_ *testing.T, _ *fake) []step {
			return []step{refusesToken("UNIQUE constraint failed: _rqlite_tx.k"), {path: cluster.RequestPath, params: "*", status: 401}}
		}, unknown: true},
		"the answer to the question breaks off": {script: func(t *testing.T, f *fake) []step {
			question := step{path: cluster.RequestPath, params: "*", serve: cut(results(oneInserted, stateEntry(testVersion, "null", void)), 60)}
			return []step{broken(), question, asksToken(f, stateEntry(testVersion, "null", void)), sent(t)}
		}, rows: 2},
		"no room for a token": {script: func(_ *testing.T, _ *fake) []step {
			return []step{refusesToken("database or disk is full"), {path: cluster.ExecutePath, params: plainWrite, reply: results(oneUpdated, `{"rows_affected":2}`, oneUpdated)}}
		}, rows: 2},
		"behind the window": {script: func(t *testing.T, f *fake) []step {
			return []step{refusesToken("datatype mismatch"), asksToken(f, stateEntry(versionBehind(1_000_000), "null", void)), sent(t)}
		}, rows: 2},
		"arrived twice": {script: func(_ *testing.T, f *fake) []step {
			return []step{refusesToken("UNIQUE constraint failed: _rqlite_tx.k"), asksToken(f, stateEntry(testVersion, "null", there))}
		}, lost: true},
		"slot of another": {script: func(t *testing.T, f *fake) []step {
			return []step{refusesToken("UNIQUE constraint failed: _rqlite_tx.k"), asksToken(f, stateEntry(testVersion, "null", another)), sent(t)}
		}, rows: 2},
		"the table was gone": {script: func(t *testing.T, _ *fake) []step {
			return []step{refusesToken("no such table: _rqlite_tx"), asksState(missing), writesAtomic("", results(`{}`, oneUpdated)), asksState(stateEntry(testVersion, "null", "null")), sent(t)}
		}, rows: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			db := f.openOnce()
			f.then(test.script(t, f)...)
			r, err := db.Exec("DELETE FROM t")
			if test.unknown {
				require.ErrorIs(t, err, ErrIndeterminate)
				return
			}
			require.NoError(t, err)
			rows, err := r.RowsAffected()
			if test.lost {
				require.ErrorIs(t, err, ErrRowsLost)
				_, err = r.LastInsertId()
				require.ErrorIs(t, err, ErrRowsLost)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.rows, rows)
		})
	}
}

// Scripts, batches and rows of RETURNING.
func TestOnceInOtherWays(t *testing.T) {
	t.Parallel()
	script := []string{"DELETE FROM t", "DELETE FROM u"}
	atomic := func(db *sql.DB) ([]BatchResult, error) {
		b := Batch{Atomic: true}
		for _, query := range script {
			b.Add(query)
		}
		return b.Exec(context.Background(), db)
	}
	const told = `,"DELETE FROM t","DELETE FROM u"]`
	lostThen := func(t *testing.T, token string, then ...step) *sql.DB {
		f := newFake(t)
		db := f.openOnce(func(c *Config) { c.ExactlyOnce = OnceJoined })
		f.then(append([]step{broken(), asksToken(f, stateEntry(testVersion, "null", token))}, then...)...)
		return db
	}
	t.Run("script", func(t *testing.T) {
		r, err := lostThen(t, `"void"`, leavesToken(t, told, oneUpdated, `{"rows_affected":3}`)).Exec(strings.Join(script, ";"))
		require.NoError(t, err)
		assert.Equal(t, [2]int64{0, 3}, resultOf(t, r))
	})
	t.Run("script that was applied", func(t *testing.T) {
		r, err := lostThen(t, "NAME").Exec(strings.Join(script, ";"))
		require.NoError(t, err)
		_, err = r.RowsAffected()
		require.ErrorIs(t, err, ErrRowsLost)
	})
	t.Run("script that fails leaves a void behind before it goes one by one", func(t *testing.T) {
		f := newFake(t)
		db := f.openOnce(func(c *Config) { c.ExactlyOnce = OnceJoined })
		f.then(
			leavesToken(t, told, `{"rows_affected":3}`, `{"error":"no such table: u"}`),
			asksToken(f, stateEntry(testVersion, "null", `"void"`)),
			step{path: cluster.ExecutePath, params: plainWrite, reply: results(oneUpdated, oneUpdated, oneUpdated)},
			step{path: cluster.ExecutePath, params: plainWrite, reply: results(oneUpdated, `{"error":"no such table: u"}`, oneUpdated)},
		)
		_, err := db.Exec(strings.Join(script, ";"))
		require.EqualError(t, err, "rqlite: statement 2 of 2: no such table: u")
	})
	t.Run("batch", func(t *testing.T) {
		got, err := atomic(lostThen(t, `"void"`, leavesToken(t, told, oneUpdated, `{"rows_affected":3}`)))
		require.NoError(t, err)
		assert.EqualValues(t, 3, got[1].RowsAffected)
	})
	t.Run("batch that was applied", func(t *testing.T) {
		_, err := atomic(lostThen(t, "NAME"))
		require.EqualError(t, err, "rqlite: the write was applied, but the answer that told its results was lost")
		require.ErrorIs(t, err, ErrRowsLost)
	})
	t.Run("rows", func(t *testing.T) {
		for token, then := range map[string][]step{
			`"void"`: {leavesToken(t, `,"DELETE FROM t RETURNING a"]`, table("a integer", "[5]", "[6]"))},
			"NAME":   nil,
		} {
			f := newFake(t)
			db := f.openOnce()
			f.then(append([]step{broken(), asksToken(f, stateEntry(testVersion, "null", token))}, then...)...)
			rows, err := db.Query("DELETE FROM t RETURNING a")
			if then == nil {
				require.ErrorIs(t, err, ErrRowsLost)
				continue
			}
			require.NoError(t, err)
			assert.Equal(t, [][]any{{int64(5)}, {int64(6)}}, scanAll(t, rows))
			require.NoError(t, rows.Err())
		}
	})
	t.Run("the failure of the commit behind rows", func(t *testing.T) {
		f := newFake(t)
		db := f.openOnce()
		f.then(writesAtomic("", "").served(func(w http.ResponseWriter, _ *http.Request) {
			reply := results(oneUpdated, oneUpdated, versionEntry(testVersion), table("a integer", "[5]"))
			io.WriteString(w, strings.TrimSuffix(reply, "}")+`,"error":"FOREIGN KEY constraint failed"}`)
		}))
		var a int
		err := db.QueryRow("INSERT INTO t VALUES(5) RETURNING a").Scan(&a)
		require.ErrorIs(t, err, ConstraintForeignKey)
		assert.Zero(t, a)
	})
}

// A failure of a statement costs one request, as without a token. Where it would not be the same outside of
// a transaction, the statement goes there.
func TestOnceFails(t *testing.T) {
	t.Parallel()
	const unique = `{"error":"UNIQUE constraint failed: t.a"}`
	schema := func(create string) step {
		return reads("", results(table("name text,sql text", fmt.Sprintf(`["t",%q]`, create))))
	}
	plain := step{path: cluster.ExecutePath, params: plainWrite, reply: results(oneUpdated, unique, oneUpdated)}
	for name, test := range map[string]struct {
		create string
		plain  []step
	}{
		"plain schema":     {"CREATE TABLE t(a UNIQUE, fail)", nil},
		"ON CONFLICT FAIL": {"CREATE TABLE t(a UNIQUE ON CONFLICT FAIL)", []step{plain}},
		"RAISE(FAIL)":      {"CREATE TRIGGER x BEFORE INSERT ON t BEGIN SELECT RAISE ( FAIL, 'no'); END", []step{plain}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			db := f.openOnce()
			if test.plain != nil { // a late copy of the first form must do nothing
				test.plain = append([]step{asksToken(f, stateEntry(testVersion, "null", `"void"`))}, test.plain...)
			}
			f.then(leavesToken(t, `,"UPDATE t SET a=1"]`, unique), schema(test.create))
			f.then(test.plain...)
			_, err := db.Exec("UPDATE t SET a=1")
			require.ErrorIs(t, err, ConstraintUnique)
			f.then(leavesToken(t, `,"UPDATE t SET a=1"]`, unique))
			f.then(test.plain...)
			_, err = db.Exec("UPDATE t SET a=1")
			require.ErrorIs(t, err, ConstraintUnique, "the schema is known now")
		})
	}
	t.Run("rows that cannot be sent", func(t *testing.T) {
		const odd = `{"error":"Time.MarshalText: year outside of range [0,9999]"}`
		f := newFake(t)
		db := f.openOnce()
		f.then(
			leavesToken(t, `]`, odd),
			asksToken(f, stateEntry(testVersion, "null", `"void"`)),
			step{path: cluster.ExecutePath, params: plainWrite, reply: results(oneUpdated, odd, oneUpdated)},
			reads("", results(table("1 integer"))),
		)
		_, err := db.Query("DELETE FROM t RETURNING a")
		require.ErrorIs(t, err, ErrRowsLost)
	})
	t.Run("what is not the same in a transaction", func(t *testing.T) {
		for _, query := range []string{"UPDATE OR FAIL t SET a=1", "VACUUM"} {
			f := newFake(t)
			cfg := &Config{Hosts: []string{f.addr}, ExactlyOnce: OnceAll}
			db, _ := f.openConfig(cfg)
			f.then(step{path: cluster.ExecutePath, params: plainWrite, reply: results(oneUpdated, oneUpdated, versionEntry(testVersion))})
			_, err := db.Exec(query)
			require.NoError(t, err, query)
		}
	})
}

// A version that a write has told which failed never was. The token of the next write demands the one before.
func TestOnceVersionOfAFailure(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	db := f.openOnce()
	const unique = `{"error":"UNIQUE constraint failed: t.a"}`
	f.then(
		writesAtomic("", results(oneUpdated, oneUpdated, versionEntry(versionBehind(10)), unique)), // the first one asks
		reads("", results(table("name text,sql text"))),
	)
	_, err := db.Exec("UPDATE t SET a=1")
	require.ErrorIs(t, err, ConstraintUnique)
	f.then(leavesToken(t, "]", oneUpdated))
	_, err = db.Exec("UPDATE t SET a=1")
	require.NoError(t, err)
	requests := f.got()
	assert.Contains(t, requests[len(requests)-1].body, "BETWEEN "+versionBehind(9)+" AND "+versionBehind(25_009)+" ")
}

// A script that was not sent says why, and nothing is asked.
func TestOnceNotSent(t *testing.T) {
	t.Parallel()
	t.Run("no permission", func(t *testing.T) {
		f := newFake(t)
		db := f.openOnce(func(c *Config) { c.ExactlyOnce = OnceJoined })
		f.then(writesAtomic("", "").served(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
		_, err := db.Exec("DELETE FROM t; DELETE FROM u")
		require.ErrorIs(t, err, ErrUnauthorized)
		require.NotErrorIs(t, err, ErrIndeterminate)
	})
	t.Run("an earlier release than the list of nodes says", func(t *testing.T) {
		f := newFake(t)
		f.release, f.members = "v9.3.0", "v10.2.7"
		db := f.openOnce()
		f.then(step{path: cluster.RequestPath, params: "*", serve: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }})
		_, err := db.Query("DELETE FROM t RETURNING id")
		require.ErrorIs(t, err, ErrIndeterminate, "it went without a token")
	})
}

// Attempts and questions together last no longer than the timeout.
func TestOnceTimeout(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	db := f.openOnce(func(c *Config) { c.Timeout = 3 * soon })
	hangs := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	f.then(
		writesAtomic("", "").served(func(http.ResponseWriter, *http.Request) {
			time.Sleep(2 * soon)
			panic(http.ErrAbortHandler)
		}),
		asksToken(f, stateEntry(testVersion, "null", `"void"`)),
		writesAtomic("", "").served(hangs),
	)
	begun := time.Now()
	_, err := db.Exec("DELETE FROM t")
	require.ErrorIs(t, err, ErrIndeterminate)
	assert.Less(t, time.Since(begun), 4*soon)
}

// Rows that cannot be read are those of a write that was applied.
func TestOnceUnreadableRows(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	db := f.openOnce()
	f.then(leavesToken(t, "]", table("a real", "[1e999]")))
	_, err := db.Query("DELETE FROM t RETURNING a")
	require.ErrorIs(t, err, ErrRowsLost)
}

// Where nodes forward requests, the answer may be that of a second copy. The table may have been cleared
// since the first one.
func TestOnceForwarded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer, state string
	}{
		"the table is gone":            {missing, missing},
		"the table is another":         {`{"error":"datatype mismatch"}`, stateEntry("2400000000000000000", "null", `"void"`)},
		"a statement of a second copy": {oneUpdated, "NAME"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, asksState(stateEntry(testVersion, "null", "null")))
			for i := range f.script {
				f.script[i].params = "*"
			}
			db, _ := f.openConfig(&Config{Hosts: []string{f.addr}, Discovery: DiscoveryOff})
			first := writesAtomic("", results(test.answer))
			if test.state == "NAME" {
				first = leavesToken(t, "]", `{"error":"FOREIGN KEY constraint failed"}`)
			}
			asked := asksToken(f, test.state)
			switch test.state {
			case missing:
				asked = step{path: cluster.RequestPath, reply: results(missing)}
			case "NAME":
				asked = asksToken(f, stateEntry(testVersion, "null", "NAME"))
			}
			first.params, asked.params = "*", "*"
			f.then(first, asked)
			r, err := db.Exec("UPDATE t SET a=1")
			if test.state != "NAME" {
				require.ErrorIs(t, err, ErrIndeterminate)
				return
			}
			require.NoError(t, err)
			_, err = r.RowsAffected()
			require.ErrorIs(t, err, ErrRowsLost)
		})
	}
}

// A single write that leaves no token asks for nothing that only tokens need, as the list of nodes.
func TestOnceJoinedAsksNothingForOne(t *testing.T) {
	t.Parallel()
	f := newFake(t, step{path: cluster.ExecutePath, params: plainWrite, reply: results(oneUpdated, oneUpdated, oneUpdated, versionEntry(testVersion))})
	var mu sync.Mutex
	var paths []string
	own := &http.Transport{}
	defer own.CloseIdleConnections()
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.Path)
		return own.RoundTrip(r)
	})
	db, _ := f.openConfig(&Config{Hosts: []string{f.addr}, HTTPClient: &http.Client{Transport: transport}})
	_, err := db.Exec("DELETE FROM t RETURNING a")
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	assert.NotContains(t, paths, "/nodes")
	assert.Contains(t, paths, cluster.ExecutePath)
}

// With exactly_once=joined a write that happens to meet no others leaves a token all the same, if others
// went together within the last second.
func TestOnceJoinedLately(t *testing.T) {
	t.Parallel()
	f := newFake(t, asksState(stateEntry(testVersion, "null", "null")))
	db, connector := f.openConfig(&Config{Hosts: []string{f.addr}})
	f.then(writesAtomic("", "").served(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.True(t, strings.HasPrefix(string(body), "["+guardSent+`,"INSERT INTO _rqlite_tx`), string(body))
		entries := []string{`{}`, oneUpdated, oneUpdated}
		if strings.Contains(string(body), askingSent) {
			entries = append(entries, versionEntry(testVersion))
		}
		io.WriteString(w, withPruned(body, results(append(entries, oneUpdated, oneUpdated)...)))
	}))
	c := &crowd{t: t, connector: connector, db: db}
	c.occupy()
	var ended [2]<-chan error
	for i := range ended {
		var waits bool
		waits, ended[i] = c.do(func() error { _, err := db.Exec("UPDATE t SET a=1"); return err })
		require.True(t, waits)
	}
	for range 2 { // those that occupied it
		c.release()
	}
	for _, end := range ended {
		require.NoError(t, <-end)
	}
	coalescer := connector.engine.Coalescer
	require.Eventually(t, func() bool { // the bulk has ended
		ticket, ok := coalescer.Begin(nil)
		if ok {
			coalescer.End(ticket)
		}
		return ok
	}, waitAtMost, time.Millisecond)
	f.then(leavesToken(t, `,"DELETE FROM t"]`, `{"rows_affected":2}`))
	r, err := db.Exec("DELETE FROM t")
	require.NoError(t, err)
	assert.Equal(t, [2]int64{0, 2}, resultOf(t, r))
}

// The write ends with its context, and then it is not sent again.
func TestOnceEndsWithTheContext(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	db := f.openOnce()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	f.then(writesAtomic("", "").served(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	_, err := db.ExecContext(ctx, "DELETE FROM t")
	require.ErrorIs(t, err, ErrIndeterminate)
	require.True(t, errors.Is(err, context.DeadlineExceeded))
}

// A user who may not look at the version table writes as without tokens.
func TestOnceWithoutPermission(t *testing.T) {
	t.Parallel()
	f := newFake(t, step{path: cluster.RequestPath, params: "*", status: 401})
	db, _ := f.openConfig(&Config{Hosts: []string{f.addr}, ExactlyOnce: OnceAll})
	for range 2 {
		f.then(step{path: cluster.ExecutePath, params: plainWrite, serve: func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			last := oneUpdated
			if strings.Contains(string(body), askingSent) {
				last = versionEntry(testVersion)
			}
			io.WriteString(w, results(oneUpdated, `{"rows_affected":2}`, last))
		}})
		r, err := db.Exec("DELETE FROM t")
		require.NoError(t, err)
		assert.Equal(t, [2]int64{0, 2}, resultOf(t, r))
	}
}
