//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	bankAccounts = 10
	bankTotal    = 1000 * bankAccounts
	bankSlices   = 4 // rows that each transfer inserts by one statement, again and again
)

// bank is a number of accounts, between which clients transfer money.
type bank struct {
	clients   []*sql.DB // as of several processes
	options   *sql.TxOptions
	transfers outcomes
	plain     outcomes // writes outside of transactions
	journal   *ledger  // of the transfers, each of which inserts a number
	last      atomic.Int64
	violations
}

// newBank makes the tables, and shares the total out.
func newBank(t *testing.T, setUp *sql.DB, clients []*sql.DB) *bank {
	t.Helper()
	mustExec(t, setUp, "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)")
	mustExec(t, setUp, "CREATE TABLE journal (n INT)")
	mustExec(t, setUp, "CREATE TABLE slices (n INT, slice INT)")
	for id := range bankAccounts {
		mustExec(t, setUp, "INSERT INTO accounts VALUES (?, ?)", id, bankTotal/bankAccounts)
	}
	return &bank{clients: clients, journal: newLedger()}
}

const totalText = "SELECT sum(balance) FROM accounts"

// total looks at the total within a transaction.
func (b *bank) total(ctx context.Context, tx *sql.Tx, where string) error {
	n, err := one(ctx, tx, totalText)
	if err != nil {
		return err
	}
	b.check(n, where)
	return nil
}

func (b *bank) check(total int64, where string) {
	b.looks.Add(1)
	if total != bankTotal {
		b.add("a total of %d, seen %s", total, where)
	}
}

// transfer reads two accounts and writes what is left, and has a look at the
// total here and there.
func (b *bank) transfer(ctx context.Context, tx *sql.Tx, n int64) error {
	from, amount, look := numbers(bankAccounts, 2), rand.Int64N(20)-5, rand.N(3)
	if look == 0 {
		if err := b.total(ctx, tx, "before a transfer"); err != nil {
			return err
		}
	}
	var balances [2]int64
	for i, id := range from {
		var err error
		if balances[i], err = one(ctx, tx, "SELECT balance FROM accounts WHERE id = ?", id); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO journal VALUES (?)", n); err != nil {
		return err
	}
	if err := repeat(ctx, tx, bankSlices, "INSERT INTO slices (n, slice) VALUES (?, ?)", func(i int) []any { return []any{n, i} }); err != nil {
		return err
	}
	if err := repeat(ctx, tx, bankSlices, "UPDATE accounts SET balance = balance + ? WHERE id = ?", func(i int) []any {
		return []any{1 - i%2*2, from[i%2]} // to and fro
	}); err != nil {
		return err
	}
	for i, change := range []int64{-amount, amount} {
		result, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = ? WHERE id = ?", balances[i]+change, from[i])
		if err != nil {
			return err
		}
		affected, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if affected != 1 {
			b.add("%d rows affected by the update of one", affected)
		}
	}
	if look == 1 {
		return b.total(ctx, tx, "after a transfer, before its commit")
	}
	return nil
}

// transferAgain makes one transfer, in as many tries as it takes.
func (b *bank) transferAgain(db *sql.DB, byRunTx bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
	defer cancel()
	n := b.last.Add(1)
	err := b.transfers.transact(ctx, db, b.options, byRunTx, func(tx *sql.Tx) error { return b.transfer(ctx, tx, n) })
	b.journal.enter(n, fortuneOf(err), err)
}

// shift moves an amount by a single statement.
func (b *bank) shift(db *sql.DB) {
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
	defer cancel()
	from := numbers(bankAccounts, 2)
	_, err := db.ExecContext(ctx, "UPDATE accounts SET balance = balance + CASE id WHEN ? THEN ? ELSE ? END WHERE id IN (?, ?)",
		from[0], 3, -3, from[0], from[1])
	b.plain.enter(err, 1)
}

// readParts reads the total in two parts in a read-only transaction, and then as a
// whole.
func (b *bank) readParts(db *sql.DB) {
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
	defer cancel()
	// What fails says nothing about the total.
	_ = once(ctx, db, &sql.TxOptions{ReadOnly: true}, func(tx *sql.Tx) error {
		low, err := one(ctx, tx, totalText+" WHERE id < 5")
		if err != nil {
			return err
		}
		high, err := one(ctx, tx, totalText+" WHERE id >= 5")
		if err != nil {
			return err
		}
		b.check(low+high, "in two parts in a read-only transaction")
		return b.total(ctx, tx, "in a read-only transaction")
	})
}

// readPlain reads the total outside of a transaction.
func (b *bank) readPlain(db *sql.DB) {
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
	defer cancel()
	var total int64
	if err := db.QueryRowContext(ctx, totalText).Scan(&total); err == nil {
		b.check(total, "by a plain read")
	}
}

// run keeps all clients busy while something is done to the cluster.
func (b *bank) run(t *testing.T, meanwhile func()) {
	t.Helper()
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for i, db := range b.clients {
		for worker := range 4 {
			busy.Go(func() { until(stop, func() { b.transferAgain(db, worker%2 == 0) }) })
		}
		busy.Go(func() { every(40*time.Millisecond, stop, func() { b.readParts(db) }) })
		busy.Go(func() { every(50*time.Millisecond, stop, func() { b.readPlain(db) }) })
		if i < 2 {
			busy.Go(func() { every(30*time.Millisecond, stop, func() { b.shift(db) }) })
		}
	}
	meanwhile()
	close(stop)
	busy.Wait()
}

// audit compares what is stored with what clients were told.
func (b *bank) audit(t *testing.T, f *fleet) {
	t.Helper()
	b.readPlain(openDSN(t, withSettings(f.dsn(), "level=strong")))
	b.none(t)
	b.transfers.log(t)
	b.plain.log(t)
	got := b.journal.audit(f.stored(t, "journal", -1))
	t.Logf("the journal: %v", got)
	assert.Zero(t, got.lost, "committed, and not there")
	assert.Zero(t, got.doubled, "there more than once")
	assert.Zero(t, got.ghosts, "not committed, and there")
	assert.Zero(t, got.strange, "from nowhere")
	var torn int
	scan(t, openDSN(t, withSettings(f.dsn(), "level=strong")), "SELECT count(*) FROM (SELECT n FROM slices GROUP BY n HAVING count(DISTINCT slice) <> ? OR count(*) <> ?)",
		[]any{bankSlices, bankSlices}, &torn)
	assert.Zero(t, torn, "transfers with more or fewer slices")
	assert.Equal(t, f.stored(t, "journal", -1), f.stored(t, "(SELECT DISTINCT n FROM slices)", -1), "slices without a transfer, or the other way round")
	assert.Zero(t, b.transfers.changed, "committed with other results")
	assert.Zero(t, b.transfers.unknown, "of unknown outcome")
}

// TestBank has clients of several processes transfer money in transactions, and
// others by plain statements, while leaders die, stop and come back, and answers get
// lost. The total that anybody sees never changes.
func TestBank(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		clients := append(openModes(t, 3, f.dsn()), openModes(t, 1, f.dsn(), "level=none")...)
		clients = append(clients, openModes(t, 1, f.dsn(), "txlock=immediate")...)
		b := newBank(t, openDSN(t, f.dsn()), clients)
		f.settle(t)
		commits := &loser{every: 8, fits: isCommit}
		others := &loser{every: 60, fits: func(p passage) bool { return statements(p) && !isCommit(p) }}
		f.obey(func(p passage) fate {
			if isCommit(p) {
				return commits.rule(p)
			}
			return others.rule(p)
		})
		var done torments
		b.run(t, func() { done = f.torment(t, faultPlan(t)) })
		f.obey(nil)
		report(t, "%d kills, %d pauses, %d restarts of the leader; %d answers to commits and %d others lost",
			done.kills, done.pauses, done.restarts, commits.lost(), others.lost())
		report(t, "transfers: %v", &b.transfers)
		report(t, "plain: %v; %d looks at the total", &b.plain, b.looks.Load())
		b.audit(t, f)
		committed, _ := b.transfers.counts()
		assert.Greater(t, committed, 10)
		assert.Positive(t, commits.lost(), "no answer to a commit was lost: the test tests less than it says")
		f.requireSame(t)
	})
}

// TestBankLosesMoney shows that the bank notices transactions that do not look
// whether what they read still holds.
func TestBankLosesMoney(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 1})
		b := newBank(t, openDSN(t, f.dsn()), openModes(t, 3, f.dsn()))
		b.options = readCommitted
		b.run(t, func() {
			// The total is looked at by all.
			if err := f.until(t.Context(), func(context.Context) error {
				if b.count() == 0 {
					return fmt.Errorf("no violation in %d looks", b.looks.Load())
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		report(t, "read committed: %v; %d violations in %d looks", &b.transfers, b.count(), b.looks.Load())
		require.Positive(t, b.count())
	})
}
