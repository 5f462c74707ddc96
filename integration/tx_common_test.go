package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
)

// either returns the short amount of every day, or the full one that
// RQLITE_SOAK asks for.
func either[T any](short, full T) T {
	if os.Getenv("RQLITE_SOAK") == "" {
		return short
	}
	return full
}

// patienceOfTx bounds a transaction and its repetitions: longer than the cluster
// is without a leader in any test.
const patienceOfTx = 20 * time.Second

// outcomes counts what became of transactions.
type outcomes struct {
	mu        sync.Mutex
	committed int
	conflicts int // tries that came to nothing, and were repeated
	unknown   int
	changed   int // committed with other results
	failed    int // otherwise
	errors    map[string]int

	// Of those that failed, how many had only met with conflicts and waits until
	// their context ended, by RunTx and by loops of their own.
	starved, starvedLoops int
}

// transact runs fn in a transaction until it is committed, by RunTx or by a loop as
// programs have it.
func (o *outcomes) transact(ctx context.Context, db *sql.DB, opts *sql.TxOptions, byRunTx bool, fn func(*sql.Tx) error) error {
	tries := 0
	counted := func(tx *sql.Tx) error {
		tries++
		return fn(tx)
	}
	var err error
	if byRunTx {
		err = rqlite.RunTx(ctx, db, opts, counted)
	} else {
		err = insist(ctx, db, opts, counted)
	}
	o.enter(err, tries)
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, rqlite.ErrIndeterminate) {
		o.starve(byRunTx)
	}
	return err
}

// starve notes that a transaction came to no end in time.
func (o *outcomes) starve(byRunTx bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if byRunTx {
		o.starved++
	} else {
		o.starvedLoops++
	}
}

// insist runs a transaction again as long as it meets with conflicts.
func insist(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(*sql.Tx) error) error {
	for {
		err := once(ctx, db, opts, fn)
		if !errors.Is(err, rqlite.ErrTxConflict) || ctx.Err() != nil {
			return err
		}
	}
}

// once runs fn in a transaction.
func once(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (o *outcomes) enter(err error, tries int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		if o.errors == nil {
			o.errors = map[string]int{}
		}
		o.errors[err.Error()]++
	}
	o.conflicts += max(tries-1, 0)
	switch {
	case err == nil:
		o.committed++
	case errors.Is(err, rqlite.ErrResultsChanged):
		o.changed++
	case errors.Is(err, rqlite.ErrIndeterminate):
		o.unknown++
	case errors.Is(err, rqlite.ErrTxConflict):
		o.conflicts++
		o.failed++
	default:
		o.failed++
	}
}

// counts returns how many transactions have been committed, and of how many the
// outcome is unknown.
func (o *outcomes) counts() (committed, unknown int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.committed, o.unknown
}

func (o *outcomes) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	rate := 100 * float64(o.conflicts) / float64(max(o.conflicts+o.committed, 1))
	text := fmt.Sprintf("%d committed, %d conflicts (%.1f %%), %d unknown, %d failed, %d with other results",
		o.committed, o.conflicts, rate, o.unknown, o.failed, o.changed)
	if o.starved+o.starvedLoops > 0 {
		text += fmt.Sprintf("; %d of RunTx and %d of other loops out of time", o.starved, o.starvedLoops)
	}
	return text
}

// log logs the errors, without what differs between those of a kind.
func (o *outcomes) log(t *testing.T) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	logErrors(t, &ledger{errors: o.errors})
}

// faultless demands that each transaction was committed.
func (o *outcomes) faultless(t *testing.T) {
	t.Helper()
	o.log(t)
	o.mu.Lock()
	defer o.mu.Unlock()
	assert.Zero(t, o.unknown, "transactions of unknown outcome")
	assert.Zero(t, o.failed, "transactions that failed")
	assert.Zero(t, o.changed, "transactions with other results")
}

// faultlessButLoops demands that each transaction was committed, but for those
// that a loop without RunTx repeated until its time was over: such a loop never
// announces itself, and nobody promises that it gets its turn on a row that all want.
func (o *outcomes) faultlessButLoops(t *testing.T) {
	t.Helper()
	o.log(t)
	o.mu.Lock()
	defer o.mu.Unlock()
	assert.Zero(t, o.unknown, "transactions of unknown outcome")
	assert.Equal(t, o.starvedLoops, o.failed, "transactions that failed")
	assert.Zero(t, o.starved, "transactions that RunTx gave up")
	assert.Zero(t, o.changed, "transactions with other results")
}

// fortuneOf says what a writer was told by an error.
func fortuneOf(err error) fortune {
	switch {
	case err == nil, errors.Is(err, rqlite.ErrResultsChanged), errors.Is(err, rqlite.ErrRowsLost):
		return acknowledged
	case errors.Is(err, rqlite.ErrIndeterminate):
		return unknown
	}
	return refused
}

// violations collects what must not happen.
type violations struct {
	mu    sync.Mutex
	total int
	first []string
	looks atomic.Int64 // how often something was looked at
}

func (v *violations) add(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.total++
	if len(v.first) < 10 {
		v.first = append(v.first, fmt.Sprintf(format, args...))
	}
}

func (v *violations) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.total
}

func (v *violations) none(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	assert.Zero(t, v.total, strings.Join(v.first, "\n"))
	assert.Positive(t, v.looks.Load(), "nothing was looked at")
}

// isCommit reports whether a request commits a transaction.
func isCommit(p passage) bool {
	return p.isWrite() && strings.HasPrefix(strings.TrimLeft(p.body, `[" `), "INSERT INTO _rqlite_tx")
}

// isTrial reports whether a request tries out statements of a transaction.
func isTrial(p passage) bool { return p.path == "/db/request" && hasParam(p, "transaction") }

// loser loses the answer to every nth request that fits.
type loser struct {
	every int
	fits  func(passage) bool
	seen  atomic.Int64
}

// rule is obeyed by proxies, which count together.
func (l *loser) rule(p passage) fate {
	if !l.fits(p) {
		return fate{}
	}
	return fate{lose: l.seen.Add(1)%int64(l.every) == 0}
}

func (l *loser) lost() int64 { return l.seen.Load() / int64(l.every) }

// every calls do on each tick until stop. The ticks that come while it runs are left out.
func every(d time.Duration, stop <-chan struct{}, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			do()
		}
	}
}

// until calls do again and again until stop.
func until(stop <-chan struct{}, do func()) {
	for {
		select {
		case <-stop:
			return
		default:
			do()
		}
	}
}

// openSeveral opens connectors that know as little of each other as those of
// several processes.
func openSeveral(t *testing.T, n int, dsn string, settings ...string) []*sql.DB {
	t.Helper()
	list := make([]*sql.DB, n)
	for i := range list {
		list[i] = openDSN(t, withSettings(dsn, settings...))
	}
	return list
}

// openModes opens connectors as openSeveral does, whose transactions are in one mode each.
func openModes(t *testing.T, n int, dsn string, settings ...string) (list []*sql.DB) {
	t.Helper()
	for i := range n {
		mode := txModes[(i+1)%len(txModes)]
		list = append(list, openDSN(t, withSettings(dsn, append([]string{setting(mode)}, settings...)...)))
	}
	return list
}

// repeat runs a statement several times, so that the later ones are sent ahead.
func repeat(ctx context.Context, tx *sql.Tx, times int, query string, args func(i int) []any) error {
	for i := range times {
		if _, err := tx.ExecContext(ctx, query, args(i)...); err != nil {
			return err
		}
	}
	return nil
}

// one reads a number in a transaction.
func one(ctx context.Context, tx *sql.Tx, query string, args ...any) (n int64, err error) {
	err = tx.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// readCommitted has transactions not look whether what they read still holds.
var readCommitted = &sql.TxOptions{Isolation: sql.LevelReadCommitted}

// quantile returns a quantile of durations, which it sorts.
func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[min(int(q*float64(len(list))), len(list)-1)].Round(100 * time.Microsecond)
}

// numbers returns k different numbers below n.
func numbers(n, k int) []int { return rand.Perm(n)[:k] }
