package txn

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// Exec runs the statements of a script within the transaction. It returns the result of the last
// one, nil if that does not write. The first failure ends the script. The statements before it stay
// part of the transaction.
func (t *Tx) Exec(ctx context.Context, stmts []bind.Stmt) (driver.Result, error) {
	list, err := t.operations(ctx, stmts, false)
	if err != nil {
		return nil, err
	}
	if _, err := t.runAll(ctx, list); err != nil {
		return nil, err
	}
	last := list[len(list)-1]
	if last.Kind != sqltext.Write {
		return nil, nil
	}
	return last, nil
}

// Query runs the statements of a script within the transaction. Each gives one result set.
func (t *Tx) Query(ctx context.Context, stmts []bind.Stmt) (*result.Sets, error) {
	list, err := t.operations(ctx, stmts, true)
	if err != nil {
		return nil, err
	}
	sets := result.NewSets(t.env.Location)
	if !t.needsTrial(list) && !list.haveSavepoints() && len(list.deferrals()) == 0 {
		err = t.stream(ctx, sets, list)
	} else if _, err = t.runAll(ctx, list); err == nil {
		for _, o := range list {
			if o.set == nil {
				o.set = &result.Set{}
			}
			sets.Add(result.InMemory(o.set))
			o.set = nil
		}
	}
	if err != nil {
		return nil, err
	}
	sets.Open()
	return sets, nil
}

// Rows runs one statement within the transaction and returns its rows.
func (t *Tx) Rows(ctx context.Context, one []bind.Stmt) (*result.Set, error) {
	list, err := t.operations(ctx, one, true)
	if err != nil {
		return nil, err
	}
	if _, err := t.runAll(ctx, list); err != nil {
		return nil, err
	}
	if list[0].set == nil {
		return &result.Set{}, nil
	}
	return list[0].set, nil
}

// stream starts reading the result sets of statements that only read, before the first write. The
// program reads the rows as they arrive.
func (t *Tx) stream(ctx context.Context, sets *result.Sets, list operations) error {
	if t.failed != nil {
		return t.failed
	}
	t.keepRows()
	answer, err := t.read(ctx, list)
	if err != nil {
		return err
	}
	stmts := make([]bind.Stmt, len(list))
	for i, o := range list {
		stmts[i] = o.Stmt
	}
	s, err := result.NewSource(answer, stmts, result.Span{Total: len(stmts)}, false, list.witnesses())
	t.record(list...)
	if err != nil {
		return err
	}
	sets.Add(s)
	t.live = sets
	return nil
}

// record adds operations to those that the transaction has to keep true. At ReadCommitted it leaves
// out what only reads, and what failed.
func (t *Tx) record(list ...*operation) {
	for _, o := range list {
		if !t.ReadCommitted || o.isSent() || o.isSavepoint() {
			t.ops = append(t.ops, o)
		}
	}
}

// runAll runs operations in order. It returns how many succeeded before one failed.
func (t *Tx) runAll(ctx context.Context, list operations) (done int, err error) {
	if t.failed != nil {
		return 0, t.failed
	}
	t.keepRows()
	for done < len(list) {
		if o := list[done]; o.Kind == sqltext.Control {
			if err := t.control(o); err != nil {
				return done, sqlerr.Renumbered(err, done, len(list))
			}
			done++
			continue
		} else if o.defers {
			t.record(o)
			done++
			continue
		}
		end := done + 1
		for end < len(list) && list[end].Kind != sqltext.Control && !list[end].defers {
			end++
		}
		n, err := t.runPart(ctx, list[done:end])
		done += n
		if err != nil {
			return done, sqlerr.Renumbered(err, done, len(list))
		}
	}
	return done, nil
}

// runPart runs operations that are statements of SQLite.
func (t *Tx) runPart(ctx context.Context, list operations) (done int, err error) {
	switch {
	case !t.mode.hasResults() && (t.wrote() || list.tried()):
		return t.postpone(list)
	case !t.needsTrial(list):
		return t.readAll(ctx, list)
	}
	defer t.unlockIdle()
	done, failure, err := t.speculate(ctx, list)
	if err != nil {
		return 0, err
	}
	t.record(list[:done]...)
	if failure != nil && list[done].failure != "" { // the server's failure, not the driver's
		t.record(list[done])
	}
	return done, failure
}

// needsTrial reports whether operations need a trial: they write, or must see what was written or
// set.
func (t *Tx) needsTrial(list operations) bool {
	return t.wrote() || list.tried() ||
		len(t.ops.deferrals()) > 0 && slices.ContainsFunc(list, func(o *operation) bool { return o.Mentions("defer_foreign_keys") })
}

// readAll runs operations that only read, and whose rows the program does not want.
func (t *Tx) readAll(ctx context.Context, list operations) (done int, err error) {
	answer, err := t.read(ctx, list)
	if err != nil {
		return 0, err
	}
	defer answer.Close()
	for i, o := range list {
		failure, err := t.result(answer, o, t.state, at{i, len(list)})
		if err != nil {
			return i, err
		}
		if failure == nil || o.failure != "" {
			t.record(o)
		}
		if failure != nil {
			return i, failure
		}
	}
	return len(list), nil
}

// postpone records operations whose results come with the commit.
func (t *Tx) postpone(list operations) (done int, err error) {
	for i, o := range list {
		switch {
		case !o.isWrite || o.wantsRows:
			return i, sqlerr.Refused(sqlerr.At(errDeferredRead, i, len(list)))
		case o.SharesRandom:
			return i, sqlerr.Refused(sqlerr.At(bind.ErrRandomHere, i, len(list)))
		}
		o.err = errPostponed
		t.record(o)
	}
	return len(list), nil
}

var (
	errDeferredRead = errors.New("a deferred transaction has no rows to give after its first write: read before it, or use tx=interactive")
	errPostponed    = errors.New("rqlite: the result of a write in a deferred transaction is known after the commit")
)

// control carries out SAVEPOINT, RELEASE and ROLLBACK TO. They only change the list of operations;
// the server does not see them.
func (t *Tx) control(o *operation) error {
	action, name, _ := o.Savepoint()
	if action == sqltext.SavepointOpen {
		o.savepoint = name
		t.record(o)
		return nil
	}
	at := t.ops.savepoint(name)
	if at < 0 {
		return sqlerr.New("no such savepoint: "+name, 0, 1)
	}
	if action == sqltext.SavepointRelease {
		t.ops = append(t.ops[:at:at], t.ops[at:].filter(func(o *operation) bool { return !o.isSavepoint() })...)
		return nil
	}
	t.rollbackTo(at + 1)
	return nil
}

// rollbackTo takes back the operations from a position on. What the program has seen of them must
// still hold.
func (t *Tx) rollbackTo(from int) {
	kept, taken := t.ops[:from:from], t.ops[from:]
	switch {
	case !taken.tried():
		kept = append(kept, taken.notWriting()...)
	default:
		kept = t.mode.takeBack(t, kept, taken)
	}
	t.ops = kept
}

var errTakenBack = errors.New("rqlite: the write was rolled back to a savepoint")

// operations prepares statements. Its error says why one of them cannot run in the transaction;
// then none has run.
func (t *Tx) operations(ctx context.Context, stmts []bind.Stmt, query bool) (operations, error) {
	now := time.Now().UTC()
	list := make(operations, 0, len(stmts))
	for i := range stmts {
		o := &operation{Stmt: stmts[i], wantsRows: query, isWrite: stmts[i].Kind != sqltext.Read && stmts[i].Kind != sqltext.Control}
		if o.SetsDeferral() {
			o.defers, o.isWrite = true, false
		}
		o.clears = o.isWrite && o.Clears(occ.Table)
		err := t.refuses(o, list)
		if err == nil && !o.isWrite && !t.wrote() && !list.tried() {
			err = t.tellState(o)
		}
		if err == nil && o.LeavesOut != "" {
			statement, err := t.env.Defaults(ctx, &o.Stmt, t.created(stmts[:i]))
			if err != nil {
				return nil, err
			}
			if statement != nil {
				o.Statement = statement
			}
		}
		if err == nil && o.Kind != sqltext.Control {
			err = t.prepareOperation(ctx, o, now)
		}
		if err != nil {
			return nil, sqlerr.Refused(sqlerr.At(err, i, len(stmts)))
		}
		list = append(list, o)
	}
	return list, nil
}

// created returns the schema changes of the transaction, followed by more.
func (t *Tx) created(more []bind.Stmt) (stmts []bind.Stmt) {
	for _, o := range t.ops {
		if o.Kind == sqltext.Schema && o.failure == "" {
			stmts = append(stmts, o.Stmt)
		}
	}
	return append(stmts, more...)
}

// tellState replaces the calls of last_insert_rowid() and changes() in an operation that reads by
// what the connection did before the transaction.
func (t *Tx) tellState(o *operation) error {
	stmts, err := t.State.Apply([]bind.Stmt{o.Stmt})
	if err == nil {
		o.Stmt = stmts[0]
	}
	return err
}

// prepareOperation encodes an operation as it will run in trials and in the commit.
func (t *Tx) prepareOperation(ctx context.Context, o *operation, now time.Time) (err error) {
	o.SharesRandom = o.SharesRandom || o.RandomPerRow()
	if o.Written == "" {
		o.Written = o.Text
	}
	if o.Statement, err = o.Frozen(now, bind.RandomNumber); err != nil {
		return err
	}
	if o.Returning > 0 && !t.env.Nodes.LeaderSince(ctx, cluster.ReturnsAllRows) {
		if *o.Statement, err = o.WithoutBackquotes(); err != nil {
			return err
		}
	}
	o.needsCounts = o.Returning > 0 && !o.wantsRows
	o.body, err = wire.AppendStatement(nil, o.SQL(), o.Values)
	return err
}

// refuses returns why an operation, which comes after others, cannot run in the transaction.
func (t *Tx) refuses(o *operation, before operations) error {
	switch {
	case t.ReadOnly && o.isWrite:
		return readOnlyTx(o)
	case o.Kind == sqltext.Maintenance:
		return fmt.Errorf("%s cannot run in a transaction: run it outside of one", o.Keyword)
	case o.Kind == sqltext.Pragma && !o.defers:
		return errors.New("a PRAGMA that sets or does something would reach beyond the transaction: run it outside of one")
	case o.ConflictFail:
		return errors.New("OR FAIL and OR ROLLBACK leave a transaction half done: use OR ABORT, which is the default")
	case o.isWrite && !o.clears && o.Mentions(occ.Table):
		return occ.ErrOwned
	case o.Kind == sqltext.Schema:
		return nil // calls in a definition run later
	case o.Calls&sqltext.CallsTotalChanges != 0:
		return bind.ErrTotalChanges
	case !o.isWrite && !t.wrote() && !before.tried():
		return nil // it gets what the connection did before
	case o.Calls&sqltext.CallsChanges != 0 && !t.ops.written() && !before.written():
		return errors.New("changes() has nothing to tell before the first write of the transaction")
	case o.Calls&sqltext.CallsLastInsertRowid != 0 && !t.ops.inserts() && !before.inserts():
		return errNoRowid
	}
	return nil
}

var errNoRowid = errors.New("last_insert_rowid() has nothing to tell before the first INSERT of the transaction that inserts a row with a rowid")

// readOnlyTx is the error of a write in a read-only transaction.
func readOnlyTx(o *operation) error {
	what := o.Keyword
	if what == "" {
		what = "the statement"
	}
	return sqlerr.Within(fmt.Errorf("attempt to write a readonly database: %s in a read-only transaction", what), sqlerr.ReadOnly)
}
