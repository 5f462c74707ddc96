package txn

import (
	"bytes"
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
	if err == nil {
		_, err = t.runAll(ctx, list)
	}
	if err != nil {
		t.wentOn = true
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
		t.wentOn = true
		return nil, err
	}
	sets := result.NewSets(t.env.Times)
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
		t.wentOn = true
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
	t.streamed = list
	if err != nil {
		return err
	}
	sets.Add(s)
	t.live = sets
	return nil
}

// record adds operations to those that the transaction has to keep true. At ReadCommitted it leaves
// out what only reads, and what failed. Savepoints and deferrals keep their place behind operations
// that wait.
func (t *Tx) record(list ...*operation) {
	for _, o := range list {
		t.notes(o, o.failure == "")
		switch {
		case t.ReadCommitted && !o.isSent() && !o.isSavepoint():
			continue
		case len(t.untried) > 0:
			t.untried = append(t.untried, o)
		default:
			t.ops = append(t.ops, o)
		}
		t.recordSchema(o)
	}
}

// notes takes in whether last_insert_rowid() and changes() tell what SQLite tells behind an operation,
// which stands, or has failed or was taken back.
func (t *Tx) notes(o *operation, stands bool) {
	switch {
	case o.Kind != sqltext.Write:
	case stands:
		t.changesLost, t.rowidLost = false, t.rowidLost && !o.setsRowid()
	default:
		t.changesLost, t.rowidLost = true, t.rowidLost || o.Insert
	}
}

// recordSchema keeps a change of the schema for created.
func (t *Tx) recordSchema(o *operation) {
	if o.Kind == sqltext.Schema && o.failure == "" {
		t.schema = append(t.schema, o.Stmt)
	}
}

// runAll runs operations in order. It returns how many succeeded before one failed.
func (t *Tx) runAll(ctx context.Context, list operations) (done int, err error) {
	if t.failed != nil {
		return 0, t.failed
	}
	t.keepRows()
	t.wentOn = t.wentOn || slices.ContainsFunc(t.streamed, func(o *operation) bool { return o.failure != "" })
	t.streamed = nil
	for done < len(list) {
		if o := list[done]; o.Kind == sqltext.Control {
			if err := t.control(ctx, o); err != nil {
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
	case t.canWait(list):
		if err := t.wait(ctx, list); err != nil {
			return 0, err
		}
		return len(list), nil
	case !t.needsTrial(list):
		return t.readAll(ctx, list)
	}
	defer t.unlockIdle()
	done, failure, err := t.try(ctx, list)
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
	return t.wrote() || list.attempted() ||
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

// control carries out SAVEPOINT, RELEASE and ROLLBACK TO. They only change the list of operations;
// the server does not see them. ROLLBACK TO first runs what waits: the program knows that it has not
// failed, and that must be true.
func (t *Tx) control(ctx context.Context, o *operation) error {
	action, name, _ := o.Savepoint()
	if action == sqltext.SavepointOpen {
		o.savepoint = name
		t.record(o)
		return nil
	}
	if action == sqltext.SavepointRollbackTo {
		if err := t.tryUntried(ctx); err != nil {
			return err
		}
	}
	at, list := t.untried.savepoint(name), &t.untried
	if at < 0 {
		at, list = t.ops.savepoint(name), &t.ops
	}
	switch {
	case at < 0:
		if err := t.tryUntried(ctx); err != nil { // a failure before it is told first
			return err
		}
		return sqlerr.New("no such savepoint: "+name, 0, 1)
	case action == sqltext.SavepointRollbackTo:
		t.rollbackTo(at + 1)
		return nil
	case list == &t.ops:
		t.untried = t.untried.withoutSavepoints(0)
	}
	*list = list.withoutSavepoints(at)
	return nil
}

// rollbackTo takes back the operations from a position on. What the program has seen of them must
// still hold.
func (t *Tx) rollbackTo(from int) {
	kept, taken := t.ops[:from:from], t.ops[from:]
	if !taken.attempted() {
		t.ops = append(kept, taken.notWriting()...)
		return
	}
	seen := append(kept.changes(), taken.filter(func(o *operation) bool { return !o.isSavepoint() })...)
	t.rolledBack = append(t.rolledBack, seen)
	for _, o := range taken {
		t.notes(o, false)
	}
	t.ops = append(kept, taken.deferrals()...)
	t.schema = nil
	for _, o := range t.ops {
		t.recordSchema(o)
	}
	t.forgetIDs()
}

// operations prepares statements. Its error says why one of them cannot run in the transaction;
// then none has run.
func (t *Tx) operations(ctx context.Context, stmts []bind.Stmt, query bool) (operations, error) {
	now := time.Now().UTC()
	list := make(operations, 0, len(stmts))
	schema := t.schema
	for i := range stmts {
		o := &operation{Stmt: stmts[i], source: t.shapeOf(&stmts[i]), wantsRows: query, isWrite: stmts[i].Kind != sqltext.Read && stmts[i].Kind != sqltext.Control}
		if o.SetsDeferral() {
			o.defers, o.isWrite = true, false
		}
		o.clears = o.isWrite && o.Clears(occ.Table)
		err := t.refuses(o, list)
		if err == nil && !o.isWrite && !t.wrote() && !list.attempted() {
			err = t.tellState(o)
		}
		if err == nil && o.LeavesOut != "" {
			statement, err := t.env.Defaults(ctx, &o.Stmt, schema)
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
		if o.Kind == sqltext.Schema {
			schema = append(schema[:len(schema):len(schema)], o.Stmt)
		}
	}
	return list, nil
}

// shapeOf returns the shape of a statement. It remembers the last one for loops.
func (t *Tx) shapeOf(s *bind.Stmt) string {
	if t.shaped != s.Text {
		t.shaped, t.shape = s.Text, s.Shape()
	}
	return t.shape
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
		statement, err := o.WithoutBackquotes()
		if err != nil {
			return err
		}
		o.Statement = &statement
	}
	o.needsCounts = o.Returning > 0 && !o.wantsRows
	for i, value := range o.Values {
		if blob, ok := value.([]byte); ok {
			o.Values[i] = bytes.Clone(blob) // the program may use its buffer again
		}
	}
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
	case !o.isWrite && !t.wrote() && !before.attempted():
		return nil // it gets what the connection did before
	case o.Calls&sqltext.CallsChanges != 0 && (t.changesLost || !t.ops.counted()) && !t.untried.counted() && !before.counted():
		return errNoChanges
	case o.Calls&sqltext.CallsLastInsertRowid != 0 && (t.rowidLost || !t.ops.inserts()) && !t.untried.inserts() && !before.inserts():
		return errNoRowid
	}
	return nil
}

var (
	errNoChanges = errors.New("changes() has nothing to tell before the first write of the transaction, nor behind one that failed or that ROLLBACK TO took back")
	errNoRowid   = errors.New("last_insert_rowid() has nothing to tell before the first INSERT of the transaction that inserts a row with a rowid, nor behind one that failed or that ROLLBACK TO took back")
)

// readOnlyTx is the error of a write in a read-only transaction.
func readOnlyTx(o *operation) error {
	what := o.Keyword
	if what == "" {
		what = "the statement"
	}
	return sqlerr.Within(fmt.Errorf("attempt to write a readonly database: %s in a read-only transaction", what), sqlerr.ReadOnly)
}
