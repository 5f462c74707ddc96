package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

var _ driver.Tx = (*tx)(nil)

// tx is a transaction. Until its Commit nothing of it is in the database: what
// it has done is a list of operations, which one request applies in the end.
// docs/transactions.md tells how a statement gets its result before that.
type tx struct {
	conn          *conn
	ctx           context.Context // of BeginTx: database/sql gives Commit none of its own
	readOnly      bool
	readCommitted bool // read committed: what was read need not hold
	isDeferred    bool

	ops operations
	// undone are operations that ROLLBACK TO took back, each time with those before
	// them: they will not be committed, but the program has seen what they gave.
	rolledBack  []operations
	hasSnapshot bool         // the operations have been seen at a version
	state       occ.State    // of that version; without a version table nothing seen is known to hold
	live        *result.Sets // those that are read from an answer; nil when there are none
	exclusive   bool         // it has the write turn

	keepsLock bool // from the beginning to the end

	sent           commitRequest // to commit, the last one; the zero value before the first
	committed      bool          // it turned out that it was applied
	answered       bool          // the answer to the commit was read whole
	atLeader       bool          // a node that is behind was met: reads ask the leader from now on
	run            *txRun        // of RunTx
	announced      string        // the announcement that stands, or ""
	lostRaces      int           // races lost since it was made
	lastCommitTime time.Duration // how long the last try to commit took
	failed         error         // why it cannot be committed
}

// Begin implements driver.Conn.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins a transaction. Nothing is sent, unless the transaction is a
// further try of RunTx.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	t, err := c.begin(ctx, opts)
	if err != nil {
		return nil, public(err)
	}
	return t, nil
}

// begin begins a transaction of the connection.
func (c *conn) begin(ctx context.Context, opts driver.TxOptions) (*tx, error) {
	switch {
	case c.closed:
		return nil, errClosed
	case c.tx != nil:
		return nil, errors.New("rqlite: the connection is in a transaction: use SAVEPOINT for one within it")
	case c.queueing(ctx).on:
		return nil, errQueuedInTx
	}
	loose, err := isReadCommitted(sql.IsolationLevel(opts.Isolation))
	if err != nil {
		return nil, err
	}
	mode := c.connector.cfg.TxMode
	if m := callOptionsOf(ctx).txMode; m != nil {
		mode = *m
	}
	if int(mode) >= len(txModeNames) {
		return nil, fmt.Errorf("rqlite: %v is no transaction mode", mode)
	}
	t := &tx{conn: c, ctx: ctx, readOnly: opts.ReadOnly, readCommitted: loose, isDeferred: mode == TxDeferred, run: txRunOf(ctx)}
	if err := errors.Join(t.deferFirst(), t.prepare(ctx, c.connector.cfg.TxLock)); err != nil {
		t.end()
		return nil, err
	}
	c.tx = t
	return t, nil
}

// prepare makes room for a transaction that writes. One that is run again after a
// conflict keeps others away from its beginning on, so that it has no other.
func (t *tx) prepare(ctx context.Context, lock TxLock) error {
	if t.readOnly || lock != TxLockImmediate && !t.run.again {
		return nil
	}
	t.keepsLock = true
	if err := t.lock(ctx); err != nil || !t.run.again {
		return err
	}
	t.lastCommitTime = t.run.took
	return t.announce(ctx)
}

var errQueuedInTx = errors.New("rqlite: a queued write cannot belong to a transaction: leave out queue or WithQueue")

// isReadCommitted reports whether an isolation level lets go of what was read.
func isReadCommitted(level sql.IsolationLevel) (bool, error) {
	switch level {
	case sql.LevelDefault, sql.LevelSerializable, sql.LevelSnapshot, sql.LevelRepeatableRead:
		return false, nil
	case sql.LevelReadCommitted, sql.LevelReadUncommitted:
		return true, nil
	case sql.LevelLinearizable:
		return false, errors.New(`rqlite: there is no isolation level "linearizable": use sql.LevelSerializable, and WithConsistency(ctx, Linearizable) for its reads`)
	case sql.LevelWriteCommitted:
	}
	return false, fmt.Errorf("rqlite: there is no isolation level %q: use sql.LevelSerializable or sql.LevelReadCommitted", level)
}

// WithTxMode returns a context for BeginTx in which the transaction is carried
// out by the given mode instead of that of the DSN. A value that is no mode is an
// error of BeginTx. Other calls take no notice.
func WithTxMode(ctx context.Context, mode TxMode) context.Context {
	o := callOptionsOf(ctx)
	o.txMode = &mode
	return o.in(ctx)
}

// Rollback implements driver.Tx. Nothing has been applied, so that nothing is sent.
func (t *tx) Rollback() error {
	t.end()
	return nil
}

// Commit implements driver.Tx. When it returns nil all of the transaction has
// been applied, and otherwise nothing of it, but for ErrIndeterminate and
// ErrResultsChanged.
func (t *tx) Commit() error { return public(t.complete()) }

// complete commits the transaction, and ends it in any case.
func (t *tx) complete() error {
	defer t.end()
	switch {
	case t.failed != nil:
		return t.failed
	case !t.ops.written():
		return nil
	}
	err := t.commit(t.ctx)
	if t.isDeferred {
		t.tell(err)
	}
	if err == nil {
		t.ops.tellState(&t.conn.state)
	}
	return err
}

// tell makes the results of a deferred transaction answer.
func (t *tx) tell(err error) {
	if err == nil && !t.answered {
		err = errResultsLost
	}
	for _, o := range t.ops {
		o.err = err
	}
}

var errResultsLost = sqlerr.Told(errors.New("the transaction was committed, but the answer that told its results was lost"), sqlerr.ErrRowsLost)

// end lets go of what the transaction holds.
func (t *tx) end() {
	t.unlock()
	t.live = nil
	if t.conn.tx == t {
		t.conn.tx = nil
	}
}

func (t *tx) unlock() {
	if t.exclusive {
		t.conn.connector.versions.Lock.Free()
		t.exclusive = false
	}
}

// unlockIdle lets other writers go on when the transaction has nothing that they could disturb: its
// writes have all failed. A later one takes the turn again.
func (t *tx) unlockIdle() {
	if !t.keepsLock && !t.ops.written() && len(t.rolledBack) == 0 {
		t.unlock()
	}
}

// lock waits until no other transaction or write of the process is under
// way. It has no effect when the transaction has the turn.
func (t *tx) lock(ctx context.Context) error {
	if t.exclusive {
		return nil
	}
	connector := t.conn.connector
	defer t.waits(time.Now())
	if err := connector.versions.Lock.Take(ctx, connector.cfg.requestTimeout()); err != nil {
		return err
	}
	t.exclusive = true
	return nil
}

// yield holds the transaction back while another process has announced one.
func (t *tx) yield(ctx context.Context) error {
	defer t.waits(time.Now())
	return t.conn.connector.versions.Backoff.Wait(ctx)
}

// waits notes that the transaction has waited for others since begun.
func (t *tx) waits(begun time.Time) { t.run.waited += time.Since(begun) }

// keepRows reads what the program has not read yet of an earlier query into
// memory.
func (t *tx) keepRows() {
	if t.live != nil {
		t.live.Buffer()
		t.live = nil
	}
}

// conflict ends the hope for a transaction.
func (t *tx) conflict(what string) error {
	t.failed = errConflict(what)
	return t.failed
}

// errConflict is SQLite's SQLITE_BUSY_SNAPSHOT, and ErrTxConflict.
func errConflict(what string) error {
	return sqlerr.Of(sqlerr.ErrTxConflict, &sqlerr.Error{
		Message:      what + ", and nothing was applied; run the transaction again, as RunTx does",
		Code:         sqlerr.Busy,
		ExtendedCode: sqlerr.BusySnapshot,
		Statement:    -1,
	})
}

// wrote reports whether the program has tried to write: from then on its reads
// have to see what it wrote.
func (t *tx) wrote() bool { return t.ops.tried() || len(t.rolledBack) > 0 }

// adopt makes state the one that all operations have been seen at.
func (t *tx) adopt(state occ.State) {
	t.state, t.hasSnapshot = state, true
}

// moved reports whether what was seen before may not hold at a state.
func (t *tx) moved(state occ.State) bool {
	return t.hasSnapshot && len(t.ops)+len(t.rolledBack) > 0 && (!t.state.Exists || !state.Exists || state.Version != t.state.Version)
}
