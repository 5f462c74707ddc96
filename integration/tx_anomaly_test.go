//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ward is where doctors leave: each transaction looks whether there would be
// somebody left, and so does a plain statement.
type ward struct {
	transactions []*sql.DB // one per doctor and round
	plain        *sql.DB   // nil for none
	options      *sql.TxOptions
	outcomes
}

const onCallText = "SELECT count(*) FROM doctors WHERE on_call"

// newWard makes the table.
func newWard(t *testing.T, db *sql.DB) {
	t.Helper()
	mustExec(t, db, "CREATE TABLE doctors (id INTEGER PRIMARY KEY, on_call INTEGER NOT NULL)")
	mustExec(t, db, "INSERT INTO doctors VALUES (1, 0), (2, 0)")
}

// leave has a doctor leave, if another one stays.
func leave(ctx context.Context, tx *sql.Tx, doctor int) error {
	n, err := one(ctx, tx, onCallText)
	if err != nil || n < 2 {
		return err
	}
	return repeat(ctx, tx, 5, "UPDATE doctors SET on_call = 0 WHERE id = ?", func(int) []any { return []any{doctor} })
}

// leavePlainly does the same by one statement.
func leavePlainly(ctx context.Context, db *sql.DB, doctor int) error {
	_, err := db.ExecContext(ctx, "UPDATE doctors SET on_call = 0 WHERE id = ? AND 2 <= ("+onCallText+")", doctor)
	return err
}

// round has all doctors try to leave at once, and returns how many have stayed.
func (w *ward) round(t *testing.T, n int) (onCall int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfTx)
	defer cancel()
	_, err := w.transactions[0].ExecContext(ctx, "UPDATE doctors SET on_call = 1")
	require.NoError(t, err)
	var leaving sync.WaitGroup
	for i, db := range w.transactions {
		leaving.Go(func() {
			_ = w.transact(ctx, db, w.options, i%2 == 0, func(tx *sql.Tx) error { return leave(ctx, tx, i%2+1) }) // noted
		})
	}
	if w.plain != nil {
		leaving.Go(func() { assert.NoError(t, leavePlainly(ctx, w.plain, n%2+1)) })
	}
	leaving.Wait()
	require.NoError(t, w.transactions[0].QueryRowContext(ctx, onCallText).Scan(&onCall))
	return onCall
}

// TestWriteSkew has two doctors leave at once, each of whom may only while the other
// one stays.
func TestWriteSkew(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		newWard(t, openDSN(t, f.dsn()))
		t.Run("serializable", func(t *testing.T) {
			w := &ward{transactions: openModes(t, 4, f.dsn()), plain: openDSN(t, f.dsn())}
			rounds := either(40, 600)
			for n := range rounds {
				require.Equal(t, 1, w.round(t, n), "doctors on call after round %d", n)
			}
			report(t, "%d rounds: %v", rounds, &w.outcomes)
			w.faultless(t)
		})
		t.Run("read committed", func(t *testing.T) {
			w := &ward{transactions: openModes(t, 4, f.dsn()), options: readCommitted}
			wrong := 0
			for n := range 200 {
				if w.round(t, n) == 0 {
					wrong++
					report(t, "nobody was on call after round %d", n)
					break
				}
			}
			assert.Positive(t, wrong, "no write skew: the test cannot fail")
		})
		f.requireSame(t)
	})
}

// TestWriteSkewInTurn is one certain order of events: a plain write comes between
// what a transaction reads and what it writes.
func TestWriteSkewInTurn(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		db := openDSN(t, f.dsn())
		newWard(t, db)
		mustCommitOnce(t, db) // there is a version table
		inModes(t, txModes, func(t *testing.T, mode rqlite.TxMode) {
			for _, c := range []struct {
				name    string
				setting string // of the plain writer
				options *sql.TxOptions
				onCall  int
			}{
				{"serializable", "txversion=true", nil, 1},
				{"read committed", "txversion=true", readCommitted, 0},
				{"without a version", "txversion=false", nil, 0},
			} {
				for before := range 6 { // of the writes of the transaction, how many come before the plain one
					plain := openDSN(t, withSettings(f.dsn(), c.setting))
					mustExec(t, plain, "UPDATE doctors SET on_call = 1")
					err := skewInTurn(rqlite.WithTxMode(t.Context(), mode), t, db, plain, c.options, before)
					if c.onCall == 1 {
						assert.ErrorIs(t, err, rqlite.ErrTxConflict, "%s, behind %d writes", c.name, before)
					} else {
						assert.NoError(t, err, "%s, behind %d writes", c.name, before)
					}
					var onCall int
					scan(t, db, onCallText, nil, &onCall)
					assert.Equal(t, c.onCall, onCall, "%s, behind %d writes", c.name, before)
				}
			}
		})
		f.requireSame(t)
	})
}

// skewInTurn has one doctor leave by a transaction of five writes, and the other one by a plain
// statement behind some of them.
func skewInTurn(ctx context.Context, t *testing.T, db, plain *sql.DB, options *sql.TxOptions, before int) error {
	t.Helper()
	return once(ctx, db, options, func(tx *sql.Tx) error {
		n, err := one(ctx, tx, onCallText)
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		leave := func(times int) error {
			return repeat(ctx, tx, times, "UPDATE doctors SET on_call = 0 WHERE id = ?", func(int) []any { return []any{1} })
		}
		if err := leave(before); err != nil {
			return err
		}
		require.NoError(t, leavePlainly(ctx, plain, 2))
		return leave(5 - before)
	})
}

// mustCommitOnce commits a transaction that writes.
func mustCommitOnce(t *testing.T, db *sql.DB) {
	t.Helper()
	require.NoError(t, once(t.Context(), db, nil, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS commits (n INTEGER PRIMARY KEY)")
		return err
	}))
}

// counter is a number that clients add one to: by reading and writing it in a
// transaction, and by plain statements.
type counter struct {
	clients []*sql.DB
	options *sql.TxOptions
	read    outcomes // in transactions
	plain   outcomes
}

// addOne reads the number and writes the next one.
func addOne(ctx context.Context, tx *sql.Tx) error {
	n, err := one(ctx, tx, "SELECT n FROM counter")
	if err != nil {
		return err
	}
	return repeat(ctx, tx, 5, "UPDATE counter SET n = ?", func(int) []any { return []any{n + 1} })
}

// run lets all clients count for a time, by transactions and by statements of
// plain, and returns how much was lost and how much of that may be of those whose
// outcome is unknown.
func (c *counter) run(t *testing.T, plain *sql.DB, lasts time.Duration) (lost, unknown int) {
	t.Helper()
	mustExec(t, plain, "UPDATE counter SET n = 0")
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for _, db := range c.clients {
		for worker := range 2 {
			busy.Go(func() {
				until(stop, func() {
					ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
					defer cancel()
					_ = c.read.transact(ctx, db, c.options, worker == 0, func(tx *sql.Tx) error { return addOne(ctx, tx) }) // noted
				})
			})
		}
	}
	busy.Go(func() {
		every(25*time.Millisecond, stop, func() {
			ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
			defer cancel()
			_, err := plain.ExecContext(ctx, "UPDATE counter SET n = n + 1")
			c.plain.enter(err, 1)
		})
	})
	linger(t.Context(), lasts)
	close(stop)
	busy.Wait()
	var n int
	scan(t, plain, "SELECT n FROM counter", nil, &n)
	inTx, a := c.read.counts()
	plainly, b := c.plain.counts()
	return inTx + plainly - n, a + b
}

// TestLostUpdate demands that each addition that was committed is there, and no
// other, while answers to commits get lost.
func TestLostUpdate(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		mustExec(t, openDSN(t, f.dsn()), "CREATE TABLE counter (n INTEGER)")
		mustExec(t, openDSN(t, f.dsn()), "INSERT INTO counter VALUES (0)")
		mustCommitOnce(t, openDSN(t, f.dsn()))
		t.Run("serializable", func(t *testing.T) {
			writes := &loser{every: 10, fits: passage.isWrite}
			f.obey(writes.rule)
			c := &counter{clients: openModes(t, 3, f.dsn())}
			lost, unknown := c.run(t, openDSN(t, f.dsn()), either(4*time.Second, time.Minute))
			f.obey(nil)
			report(t, "in transactions: %v; plain: %v; %d answers lost", &c.read, &c.plain, writes.lost())
			c.read.faultlessButLoops(t)
			c.plain.log(t)
			assert.LessOrEqual(t, lost, 0, "additions were lost")
			assert.LessOrEqual(t, -lost, unknown, "additions that nobody was told of")
			assert.Positive(t, writes.lost(), "no answer was lost")
			committed, _ := c.read.counts()
			assert.Greater(t, committed, 20)
		})
		t.Run("read committed", func(t *testing.T) {
			lostWith(t, "additions in transactions", &counter{clients: openModes(t, 3, f.dsn()), options: readCommitted}, openDSN(t, f.dsn()))
		})
		t.Run("without a version", func(t *testing.T) {
			lostWith(t, "plain additions", &counter{clients: openModes(t, 3, f.dsn())}, openDSN(t, withSettings(f.dsn(), "txversion=false")))
		})
		f.requireSame(t)
	})
}

// lostWith demands that a weaker setting loses updates.
func lostWith(t *testing.T, what string, c *counter, plain *sql.DB) {
	t.Helper()
	for range 10 {
		again := &counter{clients: c.clients, options: c.options}
		if lost, _ := again.run(t, plain, time.Second); lost > 0 {
			report(t, "%s: %d lost of %v and %v", what, lost, &again.read, &again.plain)
			return
		}
	}
	t.Error("nothing is lost: the test cannot fail")
}

// TestReadsFitTogether has transactions read two accounts one after the other
// while others transfer money between them.
func TestReadsFitTogether(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		db := openDSN(t, f.dsn())
		mustExec(t, db, "CREATE TABLE pair (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)")
		mustExec(t, db, "INSERT INTO pair VALUES (1, 50), (2, 50)")
		stop := make(chan struct{})
		var writers sync.WaitGroup
		for i, db := range openModes(t, 3, f.dsn()) {
			writers.Go(func() { every(15*time.Millisecond, stop, func() { movePair(t, db, i) }) })
		}
		for _, r := range []struct {
			name    string
			setting string
			options *sql.TxOptions
			between string // a write between the two reads
			pairs   int
		}{
			{"read-only", "level=weak", &sql.TxOptions{ReadOnly: true}, "", either(200, 1000)},
			{"read-only of any node", "level=none", &sql.TxOptions{ReadOnly: true}, "", either(200, 1000)},
			{"reads first", "level=linearizable", nil, "", either(200, 1000)},
			{"write between", "level=weak", nil, "UPDATE pair SET n = n WHERE id = 3", either(50, 1000)},
			{"writes between, sent ahead", "level=weak&tx=pipelined", nil, "UPDATE pair SET n = n WHERE id = 3", either(50, 1000)},
			{"write between, any node", "level=none", nil, "UPDATE pair SET n = n WHERE id = 3", either(20, 1000)},
		} {
			t.Run(r.name, func(t *testing.T) {
				tries, wrong := readPairs(t, openDSN(t, withSettings(f.dsn(), r.setting)), r.options, r.between, r.pairs)
				report(t, "%d pairs in %d tries, %d do not fit together", r.pairs, tries, wrong)
				assert.Zero(t, wrong)
			})
		}
		t.Run("outside of a transaction", func(t *testing.T) {
			for n := range 5000 {
				var a, b int
				scan(t, db, "SELECT n FROM pair WHERE id = 1", nil, &a)
				scan(t, db, "SELECT n FROM pair WHERE id = 2", nil, &b)
				if a+b != 100 {
					report(t, "pair %d does not fit together", n)
					return
				}
			}
			t.Error("all fit together: the test cannot fail")
		})
		close(stop)
		writers.Wait()
		f.requireSame(t)
	})
}

// movePair moves an amount from the one to the other, in a transaction or by a
// statement.
func movePair(t *testing.T, db *sql.DB, i int) {
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
	defer cancel()
	move := "UPDATE pair SET n = n + CASE id WHEN 1 THEN 1 ELSE -1 END"
	if i == 0 {
		_, err := db.ExecContext(ctx, move)
		assert.NoError(t, err)
		return
	}
	assert.NoError(t, rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
		return repeat(ctx, tx, 8, "UPDATE pair SET n = n + ? WHERE id = ?", func(i int) []any { return []any{2 - i%2*4, 1 + i%2} })
	}))
}

// errSeen ends a transaction that has seen enough.
var errSeen = errors.New("seen enough")

// readPairs reads a number of pairs, each in a transaction that is not
// committed, and returns how many tries that took, and how many pairs do not fit
// together.
func readPairs(t *testing.T, db *sql.DB, options *sql.TxOptions, between string, pairs int) (tries, wrong int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for range pairs {
		err := rqlite.RunTx(ctx, db, options, func(tx *sql.Tx) error {
			tries++
			a, err := one(ctx, tx, "SELECT n FROM pair WHERE id = 1")
			if err != nil {
				return err
			}
			if between != "" {
				if err := repeat(ctx, tx, 3, between, func(int) []any { return nil }); err != nil {
					return err
				}
			}
			b, err := one(ctx, tx, "SELECT n FROM pair WHERE id = 2")
			if err != nil {
				return err
			}
			if a+b != 100 {
				wrong++
			}
			return errSeen
		})
		require.ErrorIs(t, err, errSeen)
	}
	return tries, wrong
}
