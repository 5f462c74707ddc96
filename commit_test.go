package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The answers of a server to the requests of a transaction.
const (
	txWriteParams  = "blob_array&noparse&transaction&redirect"
	txReadParams   = "blob_array&noparse&timings&level=weak&transaction&redirect"
	insertedToken  = `{"last_insert_id":2305843009213694000,"rows_affected":1}`
	rolledBack     = `{"error":"integer overflow"}`
	staleEntry     = `{"error":"datatype mismatch"}`
	oneInserted    = `{"last_insert_id":1,"rows_affected":1}`
	oneUpdated     = `{"rows_affected":1}`
	insertedAlone  = `"INSERT INTO t VALUES(1)"`
	nextVersion    = "2305843009213694005"
	versionAfterIt = "2305843009213694006"
)

// stateEntry is the entry of a look at the version table.
func stateEntry(version, mark, token string) string {
	return table("v integer, a integer, b text, token text, t text", "["+version+",null,null,"+mark+","+token+"]")
}

func triesOut(reply string) step {
	return step{path: cluster.RequestPath, params: txWriteParams, reply: reply}
}

func commits(reply string) step {
	return step{path: cluster.ExecutePath, params: txWriteParams, reply: reply}
}

var tokenPattern = regexp.MustCompile(`END,'([A-Z2-7]+)'"`)

// tokenOf returns the token of the last commit that f has got.
func (f *fake) tokenOf() string {
	requests := f.got()
	for i := len(requests) - 1; i >= 0; i-- {
		if found := tokenPattern.FindStringSubmatch(requests[i].body); found != nil {
			return found[1]
		}
	}
	return "none"
}

// beginInsert begins a transaction and inserts a row, which f has to answer.
func (f *fake) beginInsert(ctx context.Context) *sql.Tx {
	f.t.Helper()
	f.then(triesOut(results(stateEntry(testVersion, "null", "null"), insertedToken, oneInserted, rolledBack)))
	tx, err := f.openMarked().BeginTx(ctx, nil)
	require.NoError(f.t, err)
	r, err := tx.Exec("INSERT INTO t VALUES(1)")
	require.NoError(f.t, err)
	assert.Equal(f.t, [2]int64{1, 1}, resultOf(f.t, r))
	return tx
}

// What a transaction sends, to the byte.
func TestCommitSends(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	tx := f.beginInsert(context.Background())
	f.then(applied(f))
	require.NoError(t, tx.Commit())
	sent := f.got()
	tried, committed := sent[0].body, sent[1].body
	assert.Equal(t, `["SELECT v,(SELECT v FROM _rqlite_tx WHERE k=-1),(SELECT token FROM _rqlite_tx WHERE k=-1),token,(SELECT token FROM _rqlite_tx WHERE k=1) FROM _rqlite_tx WHERE k=0",`+
		`"INSERT INTO _rqlite_tx(k,token) SELECT v+1,'s' FROM _rqlite_tx WHERE k=0",`+insertedAlone+`,"SELECT abs(-9223372036854775808)"]`, tried)
	assert.True(t, strings.HasPrefix(committed, `["INSERT INTO _rqlite_tx(k,token) SELECT CASE (SELECT v FROM _rqlite_tx WHERE k=0) WHEN 2305843009213693999 THEN 2305843009213694000 ELSE 'stale' END,'`), committed)
	assert.Contains(t, committed, `,`+insertedAlone+`,"UPDATE _rqlite_tx SET v=2305843009213694000,token=NULL WHERE k=0"`)
}

// applied answers a commit as the server does, with or without the removal of
// old tokens.
func applied(f *fake) step {
	return step{path: cluster.ExecutePath, params: txWriteParams, serve: func(w http.ResponseWriter, _ *http.Request) {
		requests := f.got()
		entries := []string{insertedToken, oneInserted, oneUpdated}
		if strings.Contains(requests[len(requests)-1].body, "k>0") {
			entries = append(entries, oneUpdated)
		}
		w.Write([]byte(results(entries...)))
	}}
}

// answers replies with the token of the last commit in place of TOKEN.
func answers(f *fake, path, reply string) step {
	return step{path: path, params: txWriteParams, serve: func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(strings.ReplaceAll(reply, "TOKEN", `"`+f.tokenOf()+`"`)))
	}}
}

// The version has moved between the last look and the commit. What was seen is
// compared, and decides.
func TestCommitAtAnotherVersion(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		again string // what a new trial says
		steps func(*fake) []step
		err   error
	}{
		"nothing else has changed": {
			results(stateEntry(nextVersion, "null", "null"), insertedToken, oneInserted, rolledBack),
			func(f *fake) []step { return []step{applied(f)} }, nil,
		},
		"the id that was seen is another": {
			results(stateEntry(nextVersion, "null", "null"), insertedToken, `{"last_insert_id":2,"rows_affected":1}`, rolledBack), nil, ErrTxConflict,
		},
		"it gives rows now": {
			results(stateEntry(nextVersion, "null", "null"), insertedToken, table("a integer", "[1]", "[2]"), rolledBack), nil, ErrTxConflict,
		},
		"the statement fails now": {
			results(stateEntry(nextVersion, "null", "null"), insertedToken, `{"error":"UNIQUE constraint failed: t.a"}`), nil, ErrTxConflict,
		},
		"it was committed: the server has run it twice": {
			// The trial fails, because the row is there already; that must not count.
			results(stateEntry(nextVersion, "null", "TOKEN"), insertedToken, `{"error":"UNIQUE constraint failed: t.a"}`), nil, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			tx := f.beginInsert(context.Background())
			f.then(commits(results(staleEntry)), answers(f, cluster.RequestPath, test.again))
			if test.steps != nil {
				f.then(test.steps(f)...)
			}
			require.ErrorIs(t, tx.Commit(), test.err)
		})
	}
}

// The answer to a commit is lost. Its outcome is asked for, as often as it takes.
func TestCommitWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	lost := step{path: cluster.ExecutePath, params: txWriteParams, serve: cut(results(oneInserted), 0)}
	lostQuestion := step{path: cluster.RequestPath, params: txWriteParams, serve: cut(results(oneInserted), 0)}
	moved := versionEntry(nextVersion)
	for name, test := range map[string]struct {
		steps func(*fake) []step
		err   error
	}{
		"it was applied": {func(f *fake) []step {
			return []step{lost, answers(f, cluster.RequestPath, results(moved, stateEntry(nextVersion, "null", "TOKEN")))}
		}, nil},
		"the question is lost too": {func(f *fake) []step {
			return []step{lost, lostQuestion, answers(f, cluster.RequestPath, results(moved, stateEntry(nextVersion, "null", "TOKEN")))}
		}, nil},
		"it was not applied, and is applied now": {func(f *fake) []step {
			return []step{
				lost, answers(f, cluster.RequestPath, results(moved, stateEntry(nextVersion, "null", "null"))),
				triesOut(results(stateEntry(nextVersion, "null", "null"), insertedToken, oneInserted, rolledBack)), applied(f),
			}
		}, nil},
		"it was not applied, and cannot be any more": {func(f *fake) []step {
			return []step{
				lost, answers(f, cluster.RequestPath, results(moved, stateEntry(nextVersion, "null", `"OTHER"`))),
				triesOut(results(stateEntry(nextVersion, "null", `"OTHER"`), insertedToken, `{"last_insert_id":2,"rows_affected":1}`, rolledBack)),
			}
		}, ErrTxConflict},
		"the register is another by now": {func(f *fake) []step {
			return []step{lost, answers(f, cluster.RequestPath, results(versionEntry("2905843009213694005"), stateEntry("2905843009213694005", "null", "null")))}
		}, ErrIndeterminate},
		"the register is gone": {func(f *fake) []step {
			return []step{lost, answers(f, cluster.RequestPath, results(missing, missing))}
		}, ErrIndeterminate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			tx := f.beginInsert(context.Background())
			f.then(test.steps(f)...)
			err := tx.Commit()
			require.ErrorIs(t, err, test.err)
			if errors.Is(test.err, ErrTxConflict) {
				assert.NotErrorIs(t, err, ErrIndeterminate)
			}
		})
	}
}

// The results of a deferred transaction are lost with the answer to the commit.
// They are not made up.
func TestDeferredCommitWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]http.HandlerFunc{
		"all of it":       cut(results(oneInserted), 0),
		"a part of it":    cut(results(insertedToken, oneInserted, oneUpdated), 110),
		"it came to late": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(results(staleEntry))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t,
				step{path: cluster.QueryPath, params: txReadParams, reply: results(stateEntry(testVersion, "null", "null"))},
				step{path: cluster.ExecutePath, params: txWriteParams, serve: lost},
			)
			if name == "it came to late" { // because it was run twice
				f.then(step{path: cluster.QueryPath, params: txReadParams, serve: func(w http.ResponseWriter, _ *http.Request) {
					w.Write([]byte(results(stateEntry(nextVersion, "null", `"`+f.tokenOf()+`"`))))
				}})
			} else {
				f.then(answers(f, cluster.RequestPath, results(oneUpdated, stateEntry(nextVersion, "null", "TOKEN"))))
			}
			tx, err := f.openMarked().BeginTx(WithTxMode(t.Context(), TxPipelined), nil)
			require.NoError(t, err)
			r, err := tx.Exec("INSERT INTO t VALUES(1)")
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
			_, err = r.LastInsertId()
			require.ErrorIs(t, err, ErrRowsLost)
			_, err = r.RowsAffected()
			require.ErrorIs(t, err, ErrRowsLost)
		})
	}
}

// What was committed is not what the program was told.
func TestCommitWithOtherResults(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	tx := f.beginInsert(context.Background())
	f.then(step{path: cluster.ExecutePath, params: txWriteParams, serve: func(w http.ResponseWriter, _ *http.Request) {
		entries := []string{insertedToken, `{"last_insert_id":9,"rows_affected":1}`, oneUpdated}
		if strings.Contains(f.got()[1].body, "k>0") {
			entries = append(entries, oneUpdated)
		}
		w.Write([]byte(results(entries...)))
	}})
	require.ErrorIs(t, tx.Commit(), ErrResultsChanged)
}

// A deferred constraint fails at the commit; nothing is applied.
func TestCommitOfADeferredViolation(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	tx := f.beginInsert(context.Background())
	f.then(commits(`{"results":[],"error":"FOREIGN KEY constraint failed"}`))
	require.ErrorIs(t, tx.Commit(), ConstraintForeignKey)
}

// A server that does not roll back what it was to try out.
func TestTrialThatIsNotRolledBack(t *testing.T) {
	t.Parallel()
	f := newFake(t, triesOut(results(stateEntry(testVersion, "null", "null"), insertedToken, oneInserted, `{"rows_affected":1}`)))
	tx, err := f.openMarked().Begin()
	require.NoError(t, err)
	_, err = tx.Exec("INSERT INTO t VALUES(1)")
	require.ErrorContains(t, err, "did not roll back")
	require.NoError(t, tx.Rollback())
}

// What cannot belong to a transaction is refused, and a ping does not.
func TestBesideATransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	queued := WithQueue(ctx, false)
	f := newFake(t, step{path: cluster.QueryPath, params: weakRead, body: `["SELECT 1"]`, reply: results(one)})
	c := f.connect()
	_, err := c.BeginTx(queued, driver.TxOptions{})
	require.ErrorIs(t, err, errQueuedInTx)
	tx, err := c.BeginTx(ctx, driver.TxOptions{})
	require.NoError(t, err)
	_, err = c.BeginTx(ctx, driver.TxOptions{})
	require.ErrorContains(t, err, "use SAVEPOINT")
	_, err = c.ExecContext(queued, "DELETE FROM t", nil)
	require.ErrorIs(t, err, errQueuedInTx)
	var b Batch
	b.Add("DELETE FROM t")
	_, err = c.QueueBatch(ctx, &b)
	require.ErrorIs(t, err, errQueuedInTx)
	require.NoError(t, c.Ping(ctx))
	require.NoError(t, tx.Commit())
	assert.Nil(t, c.tx)
}

// The connection's end, and its next user, end a transaction that nobody has ended,
// and let others write.
func TestTransactionThatNobodyEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*conn) error{
		"closed": (*conn).Close,
		"reused": func(c *conn) error { return c.ResetSession(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFake(t).connect(func(cfg *Config) { cfg.TxLock = TxLockImmediate })
			_, err := c.BeginTx(t.Context(), driver.TxOptions{})
			require.NoError(t, err)
			other := c.connector.newConn()
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err = other.BeginTx(ctx, driver.TxOptions{})
			require.ErrorIs(t, err, Busy)
			require.NoError(t, end(c))
			tx, err := other.BeginTx(t.Context(), driver.TxOptions{})
			require.NoError(t, err)
			require.NoError(t, tx.Rollback())
		})
	}
}

func TestIsolationLevels(t *testing.T) {
	t.Parallel()
	c := newFake(t).connect()
	for level, want := range map[sql.IsolationLevel]string{
		sql.LevelDefault: "", sql.LevelReadUncommitted: "", sql.LevelReadCommitted: "", sql.LevelRepeatableRead: "", sql.LevelSnapshot: "", sql.LevelSerializable: "",
		sql.LevelWriteCommitted: `rqlite: there is no isolation level "Write Committed": use sql.LevelSerializable or sql.LevelReadCommitted`,
		sql.LevelLinearizable:   `rqlite: there is no isolation level "linearizable": use sql.LevelSerializable, and WithConsistency(ctx, Linearizable) for its reads`,
		99:                      `rqlite: there is no isolation level "IsolationLevel(99)": use sql.LevelSerializable or sql.LevelReadCommitted`,
	} {
		tx, err := c.BeginTx(t.Context(), driver.TxOptions{Isolation: driver.IsolationLevel(level)})
		if want != "" {
			require.EqualError(t, err, want)
			continue
		}
		require.NoError(t, err, level)
		require.NoError(t, tx.Rollback())
	}
	_, err := c.BeginTx(WithTxMode(t.Context(), 7), driver.TxOptions{})
	require.EqualError(t, err, "rqlite: TxMode(7) is no transaction mode")
}

// A read that meets a write half done asks again, and in the end by the log.
func TestReadThatMeetsTheMark(t *testing.T) {
	t.Parallel()
	read := func(params, mark string) step {
		return step{path: cluster.QueryPath, params: params, reply: results(stateEntry(testVersion, mark, "null"), table("a integer", "[1]"))}
	}
	strong := "blob_array&noparse&timings&level=strong&transaction&redirect"
	for name, steps := range map[string][]step{
		"for a moment": {read(txReadParams, `"~"`), read(txReadParams, "null")},
		"left behind": {
			read(txReadParams, `"~"`), read(txReadParams, `"~"`), read(txReadParams, `"~"`), read(txReadParams, `"~"`),
			read(strong, `"~"`),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tx, err := newFake(t, steps...).openMarked().Begin()
			require.NoError(t, err)
			var a int
			require.NoError(t, tx.QueryRow("SELECT a FROM t").Scan(&a))
			assert.Equal(t, 1, a)
			require.NoError(t, tx.Commit())
		})
	}
}

// A statement is tried out again when the version moves once more while what
// failed before it is looked at. Only what it gave the last time counts.
func TestStatementThatIsTriedOutTwice(t *testing.T) {
	t.Parallel()
	const unique = `{"error":"UNIQUE constraint failed: t.a"}`
	row := table("id integer", "[7]")
	trial := func(version string, entries ...string) step {
		s := triesOut(results(append([]string{stateEntry(version, "null", "null"), insertedToken}, entries...)...))
		if entries[0] == row {
			s.params = "blob_array&norwtime&transaction&norwrandom&redirect" // or there would be no rows
		}
		return s
	}
	f := newFake(t,
		trial(testVersion, unique),
		trial(nextVersion, row, rolledBack), // the version has moved,
		trial(nextVersion, row, rolledBack),
		trial(versionAfterIt, unique), // and again,
		trial(versionAfterIt, row, rolledBack),
		trial(versionAfterIt, unique), // and not any more
	)
	tx, err := f.openMarked().Begin()
	require.NoError(t, err)
	_, err = tx.Exec("INSERT INTO t VALUES(1)")
	require.ErrorIs(t, err, ConstraintUnique)
	var id int
	require.NoError(t, tx.QueryRow("INSERT INTO t VALUES(2) RETURNING id").Scan(&id))
	assert.Equal(t, 7, id)

	// At another version the same rows are the same again.
	const last = "2305843009213694009"
	f.then(
		trial(last, row, oneUpdated, rolledBack), trial(last, row, oneUpdated, rolledBack), trial(last, unique),
		trial(last, row, oneUpdated, oneUpdated, rolledBack),
	)
	for range 2 {
		_, err = tx.Exec("UPDATE t SET a = 3")
		require.NoError(t, err)
	}
	require.NoError(t, tx.Rollback())
}

// A query that failed gives rows by now, which is another thing to have seen.
func TestFailureThatIsNoneAnyMore(t *testing.T) {
	t.Parallel()
	read := func(version string, entries ...string) step {
		return step{path: cluster.QueryPath, params: txReadParams, reply: results(append([]string{stateEntry(version, "null", "null")}, entries...)...)}
	}
	rows := table("a integer, b integer", "[1,2]", "[3,4]")
	f := newFake(t, read(testVersion, `{"error":"no such table: t"}`), read(nextVersion, rows), read(nextVersion, rows, rows))
	tx, err := f.openMarked().Begin()
	require.NoError(t, err)
	for _, want := range []error{GenericError, ErrTxConflict} {
		_, err = tx.Exec("SELECT a, b FROM t")
		require.ErrorIs(t, err, want)
	}
	require.NoError(t, tx.Rollback())
}
