//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// direct opens a database that reaches a node without its proxy.
func (f *fleet) direct(t *testing.T, i int) *sql.DB {
	t.Helper()
	return openDSN(t, withSettings(f.options.dsn(f.members[i].address), "discovery=off"))
}

// storedTimes returns how often a number is in the table.
func storedTimes(t *testing.T, db *sql.DB, n int) (times int) {
	t.Helper()
	scan(t, db, "SELECT count(*) FROM numbered WHERE n = ?", []any{n}, &times)
	return times
}

// Somebody deletes tokens between a commit, whose answer is lost, and the question what became of
// it. The answer to that must not be that it was not applied.
func TestAttackTokensDeleted(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 1})
		direct, db := f.direct(t, 0), openDSN(t, f.dsn())
		mustExec(t, db, "CREATE TABLE numbered (n INT)")
		ctx := context.Background()
		exec := func(query string) func() error {
			return func() error { _, err := direct.Exec(query); return err }
		}
		batch := func(atomic bool) func() error {
			return func() error {
				b := rqlite.Batch{Atomic: atomic}
				b.Add("DELETE FROM _rqlite_tx WHERE k > 0")
				_, err := b.Exec(ctx, direct)
				return err
			}
		}
		for n, way := range []struct {
			name    string
			refused bool
			clear   func() error
		}{
			{"tokens", false, exec("DELETE FROM _rqlite_tx WHERE k > 0")},
			{"tokens otherwise", false, exec("DELETE FROM main.\"_rqlite_tx\" WHERE v IS NULL RETURNING k")},
			{"version", false, exec("DELETE FROM _rqlite_tx WHERE k = 0")},
			{"all", false, exec("DELETE FROM _rqlite_tx")},
			{"table", false, exec("DROP TABLE _rqlite_tx")},
			{"script", false, exec("DELETE FROM _rqlite_tx WHERE k > 0; INSERT INTO numbered VALUES (100)")},
			{"query", false, func() error {
				rows, err := direct.Query("DELETE FROM _rqlite_tx WHERE k > 0 RETURNING k")
				if err == nil {
					err = rows.Close()
				}
				return err
			}},
			{"atomic batch", false, batch(true)},
			{"batch", true, batch(false)},
			{"queue", true, func() error {
				_, err := direct.ExecContext(rqlite.WithQueue(ctx, true), "DELETE FROM _rqlite_tx WHERE k > 0")
				return err
			}},
			{"WITH", true, exec("WITH x AS (SELECT 1) DELETE FROM _rqlite_tx WHERE k > 0")},
			{"UPDATE", true, exec("UPDATE '_rqlite_tx' SET token = NULL WHERE k > 0")},
			{"trigger", true, exec("CREATE TRIGGER x AFTER INSERT ON numbered BEGIN DELETE FROM _rqlite_tx WHERE k > 0; END")},
		} {
			require.NoError(t, once(t.Context(), db, nil, insertsNumber(0)))
			var lost, cleared atomic.Bool
			f.obey(func(p passage) fate {
				switch {
				case isCommit(p) && !lost.Swap(true):
					return fate{lose: true}
				case isTrial(p) && strings.Contains(p.body, "SET v=v+1") && !cleared.Swap(true):
					if err := way.clear(); way.refused {
						assert.Error(t, err, way.name)
					} else if err != nil && !errors.Is(err, rqlite.ErrIndeterminate) { // it is forwarded, and knew the table before
						assert.ErrorContains(t, err, "while it was tried out", way.name) // before rqlite 9.4.2 rows of RETURNING cannot be had
					}
				}
				return fate{}
			})
			err := once(t.Context(), db, nil, insertsNumber(n+1))
			f.obey(nil)
			require.True(t, cleared.Load())
			if err != nil {
				require.ErrorIs(t, err, rqlite.ErrIndeterminate, way.name)
			}
			assert.Equal(t, 1, storedTimes(t, direct, n+1), "%s: %v", way.name, err)
		}
	})
}

// Versions never come back, whatever a program puts in their place.
func TestAttackRegisterRestored(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		c := b.launch(t, serverOptions{})
		db, other := openDSN(t, c.dsn), openDSN(t, c.dsn)
		mustExec(t, db, "CREATE TABLE numbered (n INT); CREATE TABLE saved (k, v, token)")
		for _, ways := range [][]string{
			{"DELETE FROM _rqlite_tx", "INSERT INTO _rqlite_tx SELECT * FROM saved"},
			{"REPLACE INTO '_rqlite_tx' SELECT * FROM saved"},
			{"UPDATE _rqlite_tx SET v = (SELECT v FROM saved WHERE k = 0) WHERE k = 0"},
			{"DROP TABLE _rqlite_tx", "CREATE TABLE \"_rqlite_tx\" (k INTEGER PRIMARY KEY, v INTEGER, token TEXT)", "INSERT INTO main._rqlite_tx SELECT * FROM saved"},
			{"DROP TABLE _rqlite_tx", "ALTER TABLE saved RENAME TO _rqlite_tx"},
		} {
			require.NoError(t, once(t.Context(), other, nil, insertsNumber(0)))
			mustExec(t, other, "DELETE FROM saved")
			var k, v int64
			scan(t, other, "SELECT k, v FROM _rqlite_tx WHERE k = 0", nil, &k, &v)
			mustExec(t, other, "INSERT INTO saved VALUES (?, ?, NULL)", k, v+1) // this moves it on as well
			tx := begin(t, db, nil)
			n, err := one(t.Context(), tx, "SELECT count(*) FROM numbered")
			require.NoError(t, err)
			_, err = tx.Exec("INSERT INTO numbered VALUES (100 + ?)", n)
			require.NoError(t, err)
			mustExec(t, other, "INSERT INTO numbered VALUES (1)")
			for _, way := range ways {
				if _, err := other.Exec(way); err != nil {
					require.ErrorContains(t, err, "belongs to the driver", way)
				}
			}
			require.ErrorIs(t, tx.Commit(), rqlite.ErrTxConflict, "%q: it has not seen a row", ways)
		}
		mustExec(t, db, "INSERT INTO saved (token) VALUES ('_rqlite_tx')")
		mustExec(t, db, "DELETE FROM saved WHERE token <> '_rqlite_tx'")
	})
}

// A node runs a forwarded commit twice, and then nobody answers any more: the program must not be
// told that it failed.
func TestAttackCommitTwiceThenSilence(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 1})
		direct, db := f.direct(t, 0), openDSN(t, withSettings(f.dsn(), "discovery=off"))
		mustExec(t, db, "CREATE TABLE numbered (n INT)")
		for i, mode := range []rqlite.TxMode{rqlite.TxInteractive, rqlite.TxPipelined} {
			require.NoError(t, once(t.Context(), db, nil, insertsNumber(0)))
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			silent := make(chan struct{})
			var twice atomic.Bool
			f.obey(func(p passage) fate {
				switch {
				case isCommit(p) && !twice.Swap(true):
					var version int64
					scan(t, direct, "SELECT v FROM _rqlite_tx WHERE k = 0", nil, &version)
					head, _, _ := strings.Cut(strings.TrimPrefix(p.body, `["`), `",`)
					post(t, f.url(f.members[0]), "/db/execute?transaction", head, "INSERT INTO numbered VALUES ("+[]string{"1", "2"}[i]+")",
						"UPDATE _rqlite_tx SET v=v+1,token=NULL WHERE k=0")
				case twice.Load():
					return fate{mute: silent}
				}
				return fate{}
			})
			err := once(rqlite.WithTxMode(ctx, mode), db, nil, insertsNumber(i+1))
			f.obey(nil)
			close(silent)
			require.True(t, twice.Load())
			require.ErrorIs(t, err, rqlite.ErrIndeterminate, "%v", mode)
			require.NotErrorIs(t, err, rqlite.ErrTxConflict)
			assert.Equal(t, 1, storedTimes(t, direct, i+1))
		}
	})
}

// clearing takes rows of the version table, or all of it, away until ctx ends, in transactions and
// outside.
func clearing(ctx context.Context, db *sql.DB, ways []string, cleared *atomic.Int64) {
	for n := rand.N(len(ways)); ctx.Err() == nil; n++ {
		way := ways[n%len(ways)]
		var err error
		if n%4 == 3 {
			err = once(ctx, db, nil, func(tx *sql.Tx) error { _, err := tx.ExecContext(ctx, way); return err })
		} else {
			_, err = db.ExecContext(ctx, way)
		}
		if err == nil {
			cleared.Add(1)
		}
		linger(ctx, 60*time.Millisecond)
	}
}

// Answers to commits are lost while several programs clear the version table, beside joined writes.
func TestAttackClearedOutside(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		for name, ways := range map[string][]string{
			"whole": {"DELETE FROM _rqlite_tx", "DROP TABLE IF EXISTS _rqlite_tx", "DELETE FROM _rqlite_tx WHERE k = 0"},
			"part":  {"DELETE FROM _rqlite_tx WHERE k > 0", "DELETE FROM _rqlite_tx WHERE v IS NULL"},
		} {
			t.Run(name, func(t *testing.T) {
				f := startOnce(t)
				db := openDSN(t, f.dsn())
				mustExec(t, db, "CREATE TABLE counters (id INTEGER PRIMARY KEY, n INT); INSERT INTO counters VALUES (1, 0), (2, 0); CREATE TABLE plain (n INT)")
				third := &loser{every: 3, fits: isCommit}
				f.obey(third.rule)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var busy sync.WaitGroup
				var cleared, joined atomic.Int64
				for _, db := range openSeveral(t, 3, f.dsn()) {
					busy.Go(func() { clearing(ctx, db, ways, &cleared) })
					for range 2 {
						busy.Go(func() {
							for ctx.Err() == nil {
								if _, err := db.ExecContext(ctx, "INSERT INTO plain VALUES (1)"); err == nil {
									joined.Add(1)
								}
								linger(ctx, 5*time.Millisecond)
							}
						})
					}
				}
				var told outcomes
				for _, db := range openSeveral(t, 2, f.dsn()) {
					busy.Go(func() {
						for ctx.Err() == nil {
							own, cancel := context.WithTimeout(context.Background(), patienceOfTx)
							told.enter(once(own, db, nil, func(tx *sql.Tx) error { return countOn(own, tx) }), 1)
							cancel()
						}
					})
				}
				l := insertAtOnce(t, openSeveral(t, 2, f.dsn()), either(10*time.Second, time.Minute), patienceOfTx)
				cancel()
				busy.Wait()
				f.obey(nil)
				var first, second int
				scan(t, db, "SELECT (SELECT n FROM counters WHERE id = 1), (SELECT n FROM counters WHERE id = 2)", nil, &first, &second)
				committed, unknown := told.counts()
				report(t, "%d answers lost, cleared %d times, %d joined writes; counted to %d, %v", third.lost(), cleared.Load(), joined.Load(), first, &told)
				assert.Equal(t, first, second)
				assert.GreaterOrEqual(t, first, committed, "lost updates, or commits")
				assert.LessOrEqual(t, first, committed+unknown, "commits that were done twice, or told as failed")
				assert.Greater(t, cleared.Load(), int64(10))
				f.exactlyOnce(t, l)
			})
		}
	})
}

// countOn reads a counter and writes the next number to two.
func countOn(ctx context.Context, tx *sql.Tx) error {
	n, err := one(ctx, tx, "SELECT n FROM counters WHERE id = 1")
	for id := 1; id <= 2 && err == nil; id++ {
		_, err = tx.ExecContext(ctx, "UPDATE counters SET n = ? WHERE id = ?", n+1, id)
	}
	return err
}

// SQLite carries out many a PRAGMA when it is prepared, also behind EXPLAIN.
func TestAttackExplainedPragmas(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		dsn := b.launch(t, serverOptions{foreignKeys: true}).dsn
		db, other := openDSN(t, dsn), openDSN(t, dsn)
		mustExec(t, db, "CREATE TABLE checked (n CHECK (n > 0)); CREATE TABLE child (p REFERENCES checked (n))")
		for _, query := range []string{
			"EXPLAIN PRAGMA ignore_check_constraints = ON", "explain query plan pragma case_sensitive_like(1)",
			"EXPLAIN PRAGMA foreign_keys = OFF", "/**/ EXPLAIN PRAGMA query_only = ON",
		} {
			_, err := db.Exec(query)
			require.ErrorContains(t, err, "leave EXPLAIN out", query)
			_, err = db.Query(query)
			require.ErrorContains(t, err, "leave EXPLAIN out", query)
			err = once(t.Context(), db, nil, func(tx *sql.Tx) error {
				if _, err := tx.Exec("INSERT INTO checked VALUES (1)"); err != nil {
					return err
				}
				_, err := tx.Exec(query)
				return err
			})
			require.ErrorContains(t, err, "leave EXPLAIN out", query)
		}
		_, err := other.Exec("INSERT INTO checked VALUES (-1)")
		require.ErrorIs(t, err, rqlite.ConstraintCheck)
		_, err = other.Exec("INSERT INTO child VALUES (5)")
		require.Error(t, err)
		var like bool
		scan(t, other, "SELECT 'a' LIKE 'A'", nil, &like)
		assert.True(t, like)
		rows, err := db.Query("EXPLAIN PRAGMA foreign_keys")
		require.NoError(t, err)
		require.NoError(t, rows.Close())
	})
}

// A PRAGMA in the queue, where there is nothing else, would be there for the transaction of the next
// client.
func TestAttackQueuedDeferral(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		dsn := b.launch(t, serverOptions{foreignKeys: true}).dsn
		db, other := openDSN(t, withSettings(dsn, "txversion=false")), openDSN(t, withSettings(dsn, "txversion=false"))
		mustExec(t, db, "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p INTEGER REFERENCES parent (id))")
		_, queued := db.ExecContext(rqlite.WithQueue(t.Context(), true), deferKeys)
		batch := rqlite.Batch{Atomic: true}
		batch.Add("INSERT INTO child VALUES (1)")
		batch.Add("INSERT INTO parent VALUES (1)")
		_, err := batch.Exec(t.Context(), other)
		require.ErrorIs(t, err, rqlite.ConstraintForeignKey)
		require.ErrorContains(t, queued, "belongs to a transaction")
	})
}

// A table that is made of a query has a random number for each row, or is not made.
func TestAttackRandomTable(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := b.open(t), newTable()
		const rows = " AS SELECT value, hex(randomblob(8)) AS r FROM json_each('[1,2,3]')"
		batch := rqlite.Batch{}
		batch.Add("CREATE TABLE " + table + rows)
		_, execErr := db.Exec("CREATE TABLE " + table + rows)
		_, batchErr := batch.Exec(t.Context(), db)
		txErr := once(t.Context(), db, nil, func(tx *sql.Tx) error { _, err := tx.Exec("CREATE TABLE " + table + rows); return err })
		for _, err := range []error{execErr, batchErr, txErr} {
			require.ErrorContains(t, err, "in all rows")
		}
		mustExec(t, db, "CREATE TABLE "+table+" AS SELECT random() AS r UNION ALL SELECT random() UNION ALL VALUES (random())")
		var n int
		scan(t, db, "SELECT count(DISTINCT r) FROM "+table, nil, &n)
		assert.Equal(t, 3, n)
	})
}

// An INSERT that updates a row, or has no rowid, does not make last_insert_rowid() that of somebody
// else.
func TestAttackRowidOfOthers(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := openDSN(t, b.launch(t, serverOptions{}).dsn)
		ctx := t.Context()
		mustExec(t, db, "CREATE TABLE named (id INTEGER PRIMARY KEY, name TEXT UNIQUE, n INT); CREATE TABLE others (id INTEGER PRIMARY KEY); CREATE TABLE bare (k TEXT PRIMARY KEY) WITHOUT ROWID")
		c, other := connOf(t, db), connOf(t, db)
		_, err := c.ExecContext(ctx, "INSERT INTO named (name) VALUES ('a')")
		require.NoError(t, err)
		_, err = other.ExecContext(ctx, "INSERT INTO others VALUES (5000)")
		require.NoError(t, err)
		const upsert = "INSERT INTO named (name) VALUES ('a') ON CONFLICT (name) DO UPDATE SET n = 1"
		_, err = c.ExecContext(ctx, upsert)
		require.NoError(t, err)
		var id, changes int64
		require.ErrorContains(t, c.QueryRowContext(ctx, "SELECT last_insert_rowid()").Scan(&id), "may have updated a row", "SQLite says 1")
		require.NoError(t, c.QueryRowContext(ctx, "SELECT changes()").Scan(&changes))
		assert.EqualValues(t, 1, changes)
		for _, query := range []string{upsert, "INSERT INTO bare VALUES ('x')"} {
			_, err = c.ExecContext(ctx, "INSERT INTO named (name) VALUES (?)", query)
			require.NoError(t, err)
			tx, err := c.BeginTx(ctx, nil)
			require.NoError(t, err)
			_, err = tx.Exec(query)
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
			require.Error(t, c.QueryRowContext(ctx, "SELECT last_insert_rowid()").Scan(&id), query)
		}
		_, err = c.ExecContext(ctx, "INSERT INTO named (id, name) VALUES (77, 'b')")
		require.NoError(t, err)
		require.NoError(t, c.QueryRowContext(ctx, "SELECT last_insert_rowid()").Scan(&id))
		assert.EqualValues(t, 77, id)
	})
}

// stepDown asks the leader to hand over, which may fail.
func (f *fleet) stepDown(t *testing.T, leader int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := connOf(t, f.direct(t, leader)).Raw(func(c any) error { return c.(rqlite.Conn).StepDown(ctx, "") }); err != nil {
		t.Logf("stepping down: %v", err)
	}
}

// cutLink breaks the link to a node in one way or another, and returns what mends it.
func cutLink(t *testing.T, p *proxy) (heal func()) {
	t.Helper()
	switch rand.N(4) {
	case 0:
		p.refuse()
		return func() { assert.NoError(t, p.accept()) }
	case 1:
		p.hold()
		return p.release
	case 2:
		p.obey(func(passage) fate { return fate{lose: true} })
		return func() { p.obey(nil) }
	}
	muted := make(chan struct{})
	p.obey(func(passage) fate { return fate{mute: muted} })
	return func() { p.obey(nil); close(muted) }
}

// The link to the leader comes and goes, in all ways and while the leader changes, under joined
// writes and transactions.
func TestAttackLinkComesAndGoes(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3})
		db := openDSN(t, f.dsn())
		mustExec(t, db, "CREATE TABLE ours (n INT); CREATE TABLE copies (n INT); CREATE TABLE plain (n INT)")
		mustCommitOnce(t, db)
		clients := openSeveral(t, 3, f.dsn())
		stop := make(chan struct{})
		var busy sync.WaitGroup
		joined := newLedger()
		for _, db := range clients {
			for range 4 {
				busy.Go(func() {
					until(stop, func() {
						ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
						defer cancel()
						n := joined.last.Add(1)
						_, err := db.ExecContext(ctx, "INSERT INTO plain VALUES (?)", n)
						joined.enter(n, fortuneOf(err), err)
					})
				})
			}
		}
		var cuts atomic.Int64
		busy.Go(func() {
			until(stop, func() {
				leader := f.leader(t)
				heal := cutLink(t, f.members[leader].proxy)
				cuts.Add(1)
				if rand.N(3) == 0 {
					f.stepDown(t, leader)
				}
				linger(context.Background(), time.Duration(200+rand.N(1800))*time.Millisecond)
				heal()
				linger(context.Background(), time.Duration(rand.N(1500))*time.Millisecond)
			})
		})
		l := insertAtOnce(t, clients, either(8*time.Second, time.Minute), patienceOfTx)
		close(stop)
		busy.Wait()
		f.obey(nil)
		got := joined.audit(f.stored(t, "plain", -1))
		report(t, "%d cuts; joined: %v", cuts.Load(), got)
		assert.Zero(t, got.lost+got.doubled+got.ghosts+got.strange+got.refused)
		f.exactlyOnce(t, l)
	})
}

// An election is not taken for a cut link: nothing is forwarded.
func TestAttackElectionIsNoCut(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3})
		mustExec(t, openDSN(t, f.dsn()), "CREATE TABLE plain (n INT)")
		stop := make(chan struct{})
		var busy sync.WaitGroup
		var failed violations
		var connectors []*rqlite.Connector
		for range 3 {
			c := newConnector(t, f.dsn())
			connectors = append(connectors, c)
			db := sql.OpenDB(c)
			t.Cleanup(func() { assert.NoError(t, db.Close()) })
			for range 4 {
				busy.Go(func() {
					until(stop, func() {
						failed.looks.Add(1)
						if _, err := db.Exec("INSERT INTO plain VALUES (1)"); err != nil && !errors.Is(err, rqlite.ErrIndeterminate) {
							failed.add("%v", err)
						}
					})
				})
			}
		}
		for range either(1, 5) {
			leader := f.leader(t)
			f.kill(t, leader)
			linger(t.Context(), 2*time.Second)
			f.restart(t, leader)
			leader = f.leader(t)
			f.pause(t, leader)
			linger(t.Context(), 3*time.Second)
			f.resume(t, leader)
			f.stepDown(t, f.leader(t))
			linger(t.Context(), time.Second)
		}
		close(stop)
		busy.Wait()
		failed.none(t)
		for _, c := range connectors {
			assert.Zero(t, c.Stats().Fallbacks)
		}
		report(t, "%d writes", failed.looks.Load())
	})
}
