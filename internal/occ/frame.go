package occ

import (
	"errors"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// frames are the statements that a connector sends around those of a program. Each is built once.
type frames struct {
	// seqlock is a sequence lock around statements that are applied one by one: a read between them,
	// on a node, sees that a write is under way.
	seqlock withQuestion
	// seqlockOpen is the first half of it, for when there was no version table the last time. If there is
	// one by now, the mark stays until the next write takes it off, and readers go through the log
	// meanwhile.
	seqlockOpen *cluster.Frame
	// inTransaction moves the version in the transaction that the statements are applied by.
	inTransaction withQuestion
	// bulk guards a transaction of the writes of several callers, and moves the version. bulkAlone
	// does not move it, and bulkWithout demands that there is none.
	bulk                   withQuestion
	bulkAlone, bulkWithout *cluster.Frame
}

// withQuestion are two forms of a frame. The second asks for the version and the announcement as well.
type withQuestion [2]*cluster.Frame

// form returns the form that asks, or the one that does not.
func (w withQuestion) form(asks bool) *cluster.Frame {
	if asks {
		return w[1]
	}
	return w[0]
}

// newFrames returns the frames of a connector. A version table that does not exist makes the driver's
// statements fail, and nobody needs to be told then; only in a transaction it has to be made first.
func newFrames(v *Versions) *frames {
	f := &frames{
		seqlockOpen: &cluster.Frame{Before: cluster.NewElements(v.readMark, markText)},
		bulkAlone:   &cluster.Frame{Before: cluster.NewElements(readGuard, GuardText)},
		bulkWithout: &cluster.Frame{Before: cluster.NewElements(readGuard, GuardVersionTableText)},
	}
	mark, moved := cluster.NewElements(v.readMark, markText), cluster.NewElements(v.readMoved, MoveText)
	movedTold := cluster.NewElements(v.readMovedTold, MoveText, tellText)
	f.seqlock = withQuestion{
		{Before: mark, After: cluster.NewElements(readUnmarked, unmarkText)},
		{Before: mark, After: cluster.NewElements(v.readTold, tellText)},
	}
	f.inTransaction = withQuestion{{Before: moved}, {Before: movedTold}}
	f.bulk = withQuestion{
		{Before: cluster.NewElements(readGuard, GuardText), After: moved},
		{Before: cluster.NewElements(readGuard, GuardText), After: movedTold},
	}
	return f
}

// readGuard reads the entry of a guard, whose failure is that of the whole transaction.
func readGuard(answer *cluster.Answer) error {
	_, err := answer.Next()
	return err
}

// errNoVersionTable is why a transaction that moves the version was rolled back.
var errNoVersionTable = errors.New("there is no table " + Table)

// readFirst reads the entry of the first statement on the version table.
func (v *Versions) readFirst(answer *cluster.Answer) (entry *wire.Result, missing bool, err error) {
	if entry, err = answer.Next(); err != nil {
		return nil, false, err
	}
	missing = IsMissing(entry.Error)
	if v.Missing.Load() != missing {
		v.Missing.Store(missing)
	}
	return entry, missing, nil
}

// readMark reads the entry of the mark in front of statements that are applied one by one.
func (v *Versions) readMark(answer *cluster.Answer) error {
	_, _, err := v.readFirst(answer)
	return err
}

// readUnmarked reads the entry of what takes the mark off.
func readUnmarked(answer *cluster.Answer) error {
	_, err := answer.Next()
	return err
}

// readTold reads the entry of what takes the mark off and tells the version. The write itself has
// been applied, whatever that says.
func (v *Versions) readTold(answer *cluster.Answer) error {
	entry, err := answer.Next()
	if err != nil {
		return err
	}
	if _, err := v.ReadState(answer, entry); err != nil {
		v.warn(sqlerr.From(err))
	}
	return nil
}

// readMoved reads the entry of what moves the version in a transaction.
func (v *Versions) readMoved(answer *cluster.Answer) error {
	entry, missing, err := v.readFirst(answer)
	switch {
	case err != nil:
		return err
	case missing:
		return errNoVersionTable
	}
	return Failure(entry)
}

// readMovedTold reads the entries of what moves the version in a transaction, and tells it.
func (v *Versions) readMovedTold(answer *cluster.Answer) error {
	if err := v.readMoved(answer); err != nil {
		return err
	}
	entry, err := answer.Next()
	if err == nil {
		_, err = v.ReadState(answer, entry)
	}
	return err
}

// FrameOf returns the frame of statements that write.
func (v *Versions) FrameOf(atomic bool) *cluster.Frame {
	switch {
	case v.disabled:
		return nil
	case atomic:
		return v.frames.inTransaction.form(v.Backoff.isDue())
	}
	return v.oneByOneFrame()
}

// oneByOneFrame returns the frame of statements that are applied one by one.
func (v *Versions) oneByOneFrame() *cluster.Frame {
	if v.Missing.Load() {
		return v.frames.seqlockOpen
	}
	return v.frames.seqlock.form(v.Backoff.isDue())
}

// QueueFrame returns the frame of writes that go into the server's queue. The version table comes first:
// where the queue is one transaction, marks that fail would take the writes of other clients with
// them. The answer has no entries.
func (v *Versions) QueueFrame() *cluster.Frame {
	if v.disabled {
		return nil
	}
	return &cluster.Frame{Before: cluster.NewElements(nil, CreateText, firstVersionText(), markText), After: cluster.NewElements(nil, unmarkText)}
}

// A bulk goes out as a transaction, which SQLite commits once instead of once for each
// statement. Nobody can tell: when a statement fails, so does the bulk, and it is sent
// again without. There is one thing that a transaction would let pass: the violation of
// a deferred foreign key that another statement mends. So where the schema has deferred
// keys this makes the transaction fail
// (https://www.sqlite.org/foreignkeys.html#fk_deferred). It fails too when there is a
// version table that this connector knows nothing of, so that its version would not move.
//
// Each node decides for itself when it applies the request, and all have to come to the
// same end. So this looks at nothing but the schema, which is replicated: whether keys are
// enforced, and what LIKE means, are settings of each node's own connection.
const (
	DefersKeys      = "EXISTS(SELECT 1 FROM sqlite_schema WHERE instr(upper(sql),'DEFERR')>0)"
	hasVersionTable = "EXISTS(SELECT 1 FROM sqlite_schema WHERE name='_rqlite_tx')"

	GuardText             = "SELECT CASE WHEN " + DefersKeys + " THEN abs(-9223372036854775808) END"
	GuardVersionTableText = "SELECT CASE WHEN " + hasVersionTable + " OR " + DefersKeys + " THEN abs(-9223372036854775808) END"
)

// BulkRequest returns how the writes of several callers are sent. If they are independent of each
// other, they have one sequence lock for all.
func (v *Versions) BulkRequest(atomic bool) cluster.Request {
	req := cluster.Request{Path: cluster.ExecutePath, Params: cluster.WriteParams}
	if atomic {
		req.Params += cluster.Transaction
	}
	switch {
	case !atomic && v.disabled:
	case !atomic:
		req.Frame = v.oneByOneFrame()
	case v.disabled:
		req.Frame = v.frames.bulkAlone
	case v.Missing.Load():
		req.Frame = v.frames.bulkWithout
	default:
		req.Frame = v.frames.bulk.form(v.Backoff.isDue())
	}
	return req
}
