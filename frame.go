package rqlite

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
func newFrames(v *versions) *frames {
	f := &frames{
		seqlockOpen: &cluster.Frame{Before: cluster.NewElements(v.readMark, markText)},
		bulkAlone:   &cluster.Frame{Before: cluster.NewElements(readGuard, guardText)},
		bulkWithout: &cluster.Frame{Before: cluster.NewElements(readGuard, guardVersionTableText)},
	}
	mark, moved := cluster.NewElements(v.readMark, markText), cluster.NewElements(v.readMoved, moveText)
	movedTold := cluster.NewElements(v.readMovedTold, moveText, tellText)
	f.seqlock = withQuestion{
		{Before: mark, After: cluster.NewElements(readUnmarked, unmarkText)},
		{Before: mark, After: cluster.NewElements(v.readTold, tellText)},
	}
	f.inTransaction = withQuestion{{Before: moved}, {Before: movedTold}}
	f.bulk = withQuestion{
		{Before: cluster.NewElements(readGuard, guardText), After: moved},
		{Before: cluster.NewElements(readGuard, guardText), After: movedTold},
	}
	return f
}

// readGuard reads the entry of a guard, whose failure is that of the whole transaction.
func readGuard(answer *cluster.Answer) error {
	_, err := answer.Next()
	return err
}

// errNoVersionTable is why a transaction that moves the version was rolled back.
var errNoVersionTable = errors.New("there is no table " + versionTable)

// readFirst reads the entry of the first statement on the version table.
func (v *versions) readFirst(answer *cluster.Answer) (entry *wire.Result, missing bool, err error) {
	if entry, err = answer.Next(); err != nil {
		return nil, false, err
	}
	missing = isMissingVersionTable(entry.Error)
	if v.missing.Load() != missing {
		v.missing.Store(missing)
	}
	return entry, missing, nil
}

// readMark reads the entry of the mark in front of statements that are applied one by one.
func (v *versions) readMark(answer *cluster.Answer) error {
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
func (v *versions) readTold(answer *cluster.Answer) error {
	entry, err := answer.Next()
	if err != nil {
		return err
	}
	if _, err := v.readState(answer, entry); err != nil {
		v.warn(sqlerr.From(err))
	}
	return nil
}

// readMoved reads the entry of what moves the version in a transaction.
func (v *versions) readMoved(answer *cluster.Answer) error {
	entry, missing, err := v.readFirst(answer)
	switch {
	case err != nil:
		return err
	case missing:
		return errNoVersionTable
	}
	return versionTableFailure(entry)
}

// readMovedTold reads the entries of what moves the version in a transaction, and tells it.
func (v *versions) readMovedTold(answer *cluster.Answer) error {
	if err := v.readMoved(answer); err != nil {
		return err
	}
	entry, err := answer.Next()
	if err == nil {
		_, err = v.readState(answer, entry)
	}
	return err
}

// frameOf returns the frame of statements that write.
func (v *versions) frameOf(atomic bool) *cluster.Frame {
	switch {
	case v.disabled:
		return nil
	case atomic:
		return v.frames.inTransaction.form(v.backoff.isDue())
	}
	return v.oneByOneFrame()
}

// oneByOneFrame returns the frame of statements that are applied one by one.
func (v *versions) oneByOneFrame() *cluster.Frame {
	if v.missing.Load() {
		return v.frames.seqlockOpen
	}
	return v.frames.seqlock.form(v.backoff.isDue())
}

// queueFrame returns the frame of writes that go into the server's queue. The version table comes first:
// where the queue is one transaction, marks that fail would take the writes of other clients with
// them. The answer has no entries.
func (v *versions) queueFrame() *cluster.Frame {
	if v.disabled {
		return nil
	}
	return &cluster.Frame{Before: cluster.NewElements(nil, createText, firstVersionText(), markText), After: cluster.NewElements(nil, unmarkText)}
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
	defersKeys      = "EXISTS(SELECT 1 FROM sqlite_schema WHERE instr(upper(sql),'DEFERR')>0)"
	hasVersionTable = "EXISTS(SELECT 1 FROM sqlite_schema WHERE name='_rqlite_tx')"

	guardText             = "SELECT CASE WHEN " + defersKeys + " THEN abs(-9223372036854775808) END"
	guardVersionTableText = "SELECT CASE WHEN " + hasVersionTable + " OR " + defersKeys + " THEN abs(-9223372036854775808) END"
)

// bulkRequest returns how the writes of several callers are sent. If they are independent of each
// other, they have one sequence lock for all.
func (v *versions) bulkRequest(atomic bool) cluster.Request {
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
	case v.missing.Load():
		req.Frame = v.frames.bulkWithout
	default:
		req.Frame = v.frames.bulk.form(v.backoff.isDue())
	}
	return req
}
