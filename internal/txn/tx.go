package txn

import (
	"context"
	"errors"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// Tx is a transaction. Until its Commit nothing of it is in the database: what
// it has done is a list of operations, which one request applies in the end.
// docs/transactions.md tells how a statement gets its result before that.
type Tx struct {
	env *Env
	Options

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
	announced      string        // the announcement that stands, or ""
	lostRaces      int           // races lost since it was made
	lastCommitTime time.Duration // how long the last try to commit took
	failed         error         // why it cannot be committed
}

// Env is what the transactions of a connector share. Nothing in it changes.
type Env struct {
	// Sender sends requests. Its errors are those of package sqlerr, or of a frame.
	Sender   occ.Sender
	Versions *occ.Versions
	Nodes    Nodes
	// ReadParams returns the URL parameters of a read within a transaction, and whether only the leader
	// can answer it.
	ReadParams func(ctx context.Context, explains bool, asks occ.Asks) (params string, leader bool, err error)
	// Defaults returns an INSERT that gives the columns that it leaves out their defaults, and nil where
	// there is nothing to give. The statements before it may create its table.
	Defaults func(ctx context.Context, one *bind.Stmt, before []bind.Stmt) (*sqltext.Statement, error)
	// SchemaChanged is called when a commit may have changed the schema.
	SchemaChanged func()
	Location      *time.Location // of times that are read; nil leaves them in the zone they are stored with
	Timeout       time.Duration  // bounds waiting; 0 is until the context ends
}

// Nodes tells of the nodes of the cluster; see package cluster.
type Nodes interface {
	LeaderSince(ctx context.Context, release cluster.Release) bool
	AllSince(ctx context.Context, release cluster.Release, waits bool) bool
	LeaderTells() bool
	Forwarding() bool
}

// Options are those of one transaction.
type Options struct {
	Ctx           context.Context // of BeginTx: database/sql gives Commit none of its own
	ReadOnly      bool
	ReadCommitted bool // what was read need not hold
	Deferred      bool // writes are kept until the commit
	LockFirst     bool // it takes the write lock at its beginning
	Run           *Run // of RunTx; never nil
	// State is told what the transaction did, and tells its reads before the first write.
	State *bind.ConnState
	// Deferral sets whether foreign keys are deferred; nil if nothing was said of it.
	Deferral *bind.Stmt
}

// Begin begins a transaction. Nothing is sent, unless it is a further run of RunTx.
func Begin(env *Env, options Options) (*Tx, error) {
	t := &Tx{env: env, Options: options}
	if err := errors.Join(t.deferFirst(), t.prepare(options.Ctx)); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

// prepare makes room for a transaction that writes. One that is run again after a
// conflict keeps others away from its beginning on, so that it has no other.
func (t *Tx) prepare(ctx context.Context) error {
	if t.ReadOnly || !t.LockFirst && !t.Run.Again {
		return nil
	}
	t.keepsLock = true
	if err := t.lock(ctx); err != nil || !t.Run.Again {
		return err
	}
	t.lastCommitTime = t.Run.Took
	return t.announce(ctx)
}

// Rollback ends the transaction. Nothing has been applied, so that nothing is sent.
func (t *Tx) Rollback() { t.end() }

// Commit commits the transaction, and ends it in any case. When it returns nil all of the transaction
// has been applied, and otherwise nothing of it, but for ErrIndeterminate and ErrResultsChanged.
func (t *Tx) Commit() error {
	defer t.end()
	switch {
	case t.failed != nil:
		return t.failed
	case !t.ops.written():
		return nil
	}
	err := t.commit(t.Ctx)
	if t.Deferred {
		t.tell(err)
	}
	if err == nil {
		t.ops.tellState(t.State)
	}
	return err
}

// tell makes the results of a deferred transaction answer.
func (t *Tx) tell(err error) {
	if err == nil && !t.answered {
		err = errResultsLost
	}
	for _, o := range t.ops {
		o.err = err
	}
}

var errResultsLost = sqlerr.Told(errors.New("the transaction was committed, but the answer that told its results was lost"), sqlerr.ErrRowsLost)

// end lets go of what the transaction holds.
func (t *Tx) end() {
	t.unlock()
	t.live = nil
}

func (t *Tx) unlock() {
	if t.exclusive {
		t.env.Versions.Lock.Free()
		t.exclusive = false
	}
}

// unlockIdle lets other writers go on when the transaction has nothing that they could disturb: its
// writes have all failed. A later one takes the turn again.
func (t *Tx) unlockIdle() {
	if !t.keepsLock && !t.ops.written() && len(t.rolledBack) == 0 {
		t.unlock()
	}
}

// lock waits until no other transaction or write of the process is under
// way. It has no effect when the transaction has the turn.
func (t *Tx) lock(ctx context.Context) error {
	if t.exclusive {
		return nil
	}
	defer t.waits(time.Now())
	if err := t.env.Versions.Lock.Take(ctx, t.env.Timeout); err != nil {
		return err
	}
	t.exclusive = true
	return nil
}

// yield holds the transaction back while another process has announced one.
func (t *Tx) yield(ctx context.Context) error {
	defer t.waits(time.Now())
	return t.env.Versions.Backoff.Wait(ctx)
}

// waits notes that the transaction has waited for others since begun.
func (t *Tx) waits(begun time.Time) { t.Run.waited += time.Since(begun) }

// keepRows reads what the program has not read yet of an earlier query into
// memory.
func (t *Tx) keepRows() {
	if t.live != nil {
		t.live.Buffer()
		t.live = nil
	}
}

// conflict ends the hope for a transaction.
func (t *Tx) conflict(what string) error {
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
func (t *Tx) wrote() bool { return t.ops.tried() || len(t.rolledBack) > 0 }

// adopt makes state the one that all operations have been seen at.
func (t *Tx) adopt(state occ.State) {
	t.state, t.hasSnapshot = state, true
}

// moved reports whether what was seen before may not hold at a state.
func (t *Tx) moved(state occ.State) bool {
	return t.hasSnapshot && len(t.ops)+len(t.rolledBack) > 0 && (!t.state.Exists || !state.Exists || state.Version != t.state.Version)
}

// deferFirst begins the operations of a transaction with what was set for it.
func (t *Tx) deferFirst() error {
	if t.Deferral == nil {
		return nil
	}
	o := &operation{Stmt: *t.Deferral, defers: true}
	var err error
	o.body, err = wire.AppendStatement(nil, o.SQL(), o.Values)
	t.record(o)
	return err
}
