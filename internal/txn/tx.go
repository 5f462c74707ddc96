package txn

import (
	"context"
	"errors"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/fuse"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// Tx is a transaction. Before its Commit nothing of it is in the database: it is a list of
// operations, and the commit is one request that applies them. docs/transactions.md explains how a
// statement gets its result before that. A Tx can only be used by one goroutine at a time.
type Tx struct {
	env *Env
	// Begin sets these, and nothing changes them. Only Run.waited and State, which they point to,
	// change.
	Options
	// ops are the operations that have run and that the commit has to keep true, in order. record
	// and settleUntried add to them; rollbackTo and RELEASE take away.
	ops operations
	// untried are the operations behind ops that wait: writes that have not run, and the savepoints
	// and deferrals between them. wait and record add to them. settleUntried moves them to ops when a
	// trial has run them. Invariant: the program knows nothing of their results but what was
	// foreseen. If they are not empty, the first is a write.
	untried operations
	// schema are the changes of the schema among ops and untried. recordSchema adds to them;
	// rollbackTo takes away.
	schema []bind.Stmt
	// shaped is the text of the last statement, and shape its shape. Only shapeOf sets them.
	shaped, shape string
	// histories are by the shapes of statements. nil at first, and always if Interactive.
	histories map[string]*history
	// inserters are the last texts that inserted rows, one for each table. Only for them ids are
	// foreseen.
	inserters []*history
	finder    fuse.Finder
	// unfused says that nothing is to be fused any more, because the server refused it. tryOut and
	// commit set it, and nothing resets it.
	unfused bool
	// wentOn says that a statement has failed, and that the program may go on. Nothing resets it.
	wentOn bool
	// streamed are the operations of the last stream, whose rows may fail while they are read. stream
	// sets it, and runAll resets it.
	streamed operations
	// rolledBack are the operations that ROLLBACK TO took back, each time with the writes before
	// them. The commit does not send them, but the program has seen their results. Only rollbackTo
	// adds to it.
	rolledBack []operations
	// rowidLost and changesLost say that last_insert_rowid() and changes() are not what SQLite tells:
	// of a statement that failed, or that ROLLBACK TO took back. Only notes sets them.
	rowidLost, changesLost bool
	// hasSnapshot says that state holds. adopt sets both, and nothing resets them. Invariant: if
	// state.Exists, every operation in ops and rolledBack that has run showed the program what it
	// shows at state.Version. Without a version table nothing seen is known to hold.
	hasSnapshot bool
	state       occ.State
	// live is the query whose rows the program still reads from an answer, nil if there is none.
	// stream sets it; keepRows reads its rows into memory before the next request.
	live *result.Sets
	// exclusive says that the transaction holds the write lock. lock sets it, unlock resets it.
	// Invariant: exclusive || !ops.written() && len(rolledBack) == 0. Operations that wait need no
	// lock.
	exclusive bool
	// keepsLock says that the transaction holds the lock from Begin to its end. prepare sets it.
	keepsLock bool
	// atLeader makes all reads ask the leader. read sets it when it meets a node that is behind,
	// and commit if nothing was tried. Nothing resets it.
	atLeader bool
	// failed says why the transaction cannot be committed. conflict and lostTrack set it, and
	// nothing resets it.
	failed error

	// sent is the last commit request. It is zero before the first, and again when it is known that
	// the request was not applied and will not be.
	sent commitRequest
	// committed says that the version table shows that sent was applied. isCommitted sets it.
	committed bool
	// answered says that the answer to the commit was read to its end. applied sets it.
	answered bool
	// announced is the name of the last announcement that was stored, "" before the first. announce
	// sets it; the commit deletes the announcement.
	announced string
	// lostRaces counts the races lost since the last announcement. Only lose changes it. Invariant:
	// 0 <= lostRaces < maxLostRaces.
	lostRaces int
	// lastCommitTime is how long the last attempt to commit took, or the run before. It sets how
	// long an announcement holds others back.
	lastCommitTime time.Duration
}

// Env is shared by the transactions of a connector. Nothing in it changes.
type Env struct {
	// Sender sends requests. Its errors are those of package sqlerr, or of a frame.
	Sender   occ.Sender
	Versions *occ.Versions
	Nodes    Nodes
	Texts    *sqltext.Texts // by shapes
	// ReadParams returns the URL parameters of a read within a transaction, and whether only the
	// leader can answer it.
	ReadParams func(ctx context.Context, explains bool, asks occ.Asks) (params string, leader bool, err error)
	// Defaults returns an INSERT that gives its left-out columns their defaults, nil if there is
	// nothing to give. The changes of the schema before it may create its table.
	Defaults func(ctx context.Context, one *bind.Stmt, schema []bind.Stmt) (*sqltext.Statement, error)
	// SchemaChanged is called after a commit that may have changed the schema.
	SchemaChanged func()
	Times         result.Times  // how times are read
	Timeout       time.Duration // bounds each wait for others; 0 waits until the context ends
}

// Nodes tells about the nodes of the cluster; see package cluster.
type Nodes interface {
	LeaderSince(ctx context.Context, release cluster.Release) bool
	AllSince(ctx context.Context, release cluster.Release, waits bool) bool
	LeaderTells() bool
	Forwarding() bool
}

// Options are those of one transaction.
type Options struct {
	Ctx           context.Context // of BeginTx, because database/sql gives Commit none of its own
	ReadOnly      bool
	ReadCommitted bool // reads need not hold at the commit
	LockFirst     bool // the transaction takes the write lock at its beginning
	Mode          Mode
	Run           *Run // the run of RunTx; never nil
	// State gives the transaction's reads before its first write their values. A commit tells it
	// what the transaction did.
	State *bind.ConnState
	// Deferral sets whether foreign keys are deferred; nil if the program did not say.
	Deferral *bind.Stmt
}

// Begin begins a transaction. It sends nothing, unless the transaction is a further run of RunTx.
func Begin(env *Env, options Options) (*Tx, error) {
	t := &Tx{env: env, Options: options}
	if err := errors.Join(t.deferFirst(), t.prepare(options.Ctx)); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

// prepare makes room for a transaction that writes. A run after a conflict keeps other writers away
// from its beginning on, so that it does not conflict again.
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

// Rollback ends the transaction. Nothing was applied, so it sends nothing. A program that rolls back
// after a failure does not handle it, so that the failing statement may wait in further transactions.
func (t *Tx) Rollback() {
	if n := len(t.ops); t.failed == nil && len(t.untried) == 0 && n > 0 && t.ops[n-1].failure != "" {
		t.env.Texts.Remove(t.ops[n-1].source, fails)
	}
	t.untried.tell(errNotRun)
	t.undone()
	t.end()
}

// undone tells the state of the connection that SQLite tells of writes that were not applied.
func (t *Tx) undone() {
	for _, list := range []operations{t.ops, t.untried} {
		for _, o := range list {
			t.notes(o, false)
		}
	}
	t.State.Lost(t.rowidLost, t.changesLost)
}

// Commit commits the transaction, and ends it in any case. If it returns nil, all of the
// transaction was applied. Otherwise nothing was, except after ErrIndeterminate and
// ErrResultsChanged.
func (t *Tx) Commit() error {
	defer t.end()
	switch {
	case t.failed != nil:
		t.untried.tell(t.failed)
		t.undone()
		return t.failed
	case !t.written():
		t.undone()
		return nil
	}
	err := t.commit(t.Ctx)
	if err != nil {
		t.untried.tell(err)
		t.undone()
		return err
	}
	t.ops.tellState(t.State)
	if !t.answered {
		if len(t.untried) > 0 {
			t.State.Lose()
		}
		t.untried.tell(errResultsLost)
	} else {
		t.untried.tell(nil)
		t.untried.tellState(t.State)
		t.settleUntried()
	}
	t.State.Lost(t.rowidLost, t.changesLost)
	return nil
}

// end releases what the transaction holds.
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

// unlockIdle releases the write lock if all writes of the transaction have failed: other writers
// cannot disturb it. A later write takes the lock again.
func (t *Tx) unlockIdle() {
	if !t.keepsLock && !t.written() && len(t.rolledBack) == 0 {
		t.unlock()
	}
}

// lock takes the write lock: it waits for the other transactions and writes of the connector. It
// does nothing if the transaction holds the lock.
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

// yield holds the transaction back while an announcement of another process is in force.
func (t *Tx) yield(ctx context.Context) error {
	defer t.waits(time.Now())
	return t.env.Versions.Backoff.Wait(ctx)
}

// waits adds the time since begun to the run's waits.
func (t *Tx) waits(begun time.Time) { t.Run.waited += time.Since(begun) }

// keepRows reads the unread rows of an earlier query into memory.
func (t *Tx) keepRows() {
	if t.live != nil {
		t.live.Buffer()
		t.live = nil
	}
}

// conflict fails the transaction; only a rollback is left.
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

// wrote reports whether the program has tried to write. From then on its reads must see what it
// wrote.
func (t *Tx) wrote() bool { return t.tried() || len(t.untried) > 0 }

// tried reports whether a write has run in a trial.
func (t *Tx) tried() bool { return t.ops.attempted() || len(t.rolledBack) > 0 }

// written reports whether there is something to commit.
func (t *Tx) written() bool { return t.ops.written() || t.untried.written() }

// adopt makes state the snapshot of the transaction.
func (t *Tx) adopt(state occ.State) {
	t.state, t.hasSnapshot = state, true
}

// moved reports whether earlier results may not hold at a state.
func (t *Tx) moved(state occ.State) bool {
	return t.hasSnapshot && len(t.ops)+len(t.rolledBack) > 0 && (!t.state.Exists || !state.Exists || state.Version != t.state.Version)
}

// deferFirst puts the Deferral at the head of the operations.
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
