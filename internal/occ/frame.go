package occ

import (
	"context"
	"errors"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// frames are the statements that a connector sends around those of a program. newFrames builds each
// once, and nothing changes them.
type frames struct {
	// seqlock puts a sequence lock around statements that are applied one by one. A reader of the
	// node in between sees that a write is under way.
	seqlock withQuestion
	// seqlockOpen is the first half of seqlock. It is sent if the last write found no version
	// table. If one exists by now, its writing flag stays set until the next write clears it.
	// Readers go through the log meanwhile.
	seqlockOpen *cluster.Frame
	// inTransaction moves the version in the transaction of the program's statements.
	inTransaction withQuestion
	// bulk guards a transaction of the writes of several callers, and moves the version. bulkAlone
	// is the guard without the version. bulkWithout demands that no version table exists.
	bulk                   withQuestion
	bulkAlone, bulkWithout *cluster.Frame
}

// withQuestion is two forms of a frame. The second also asks for the version and the announcement.
type withQuestion [2]*cluster.Frame

// form returns the form that asks, or the one that does not.
func (w withQuestion) form(asks bool) *cluster.Frame {
	if asks {
		return w[1]
	}
	return w[0]
}

// newFrames returns the frames of a connector. If the version table is missing, the driver's
// statements fail, and nobody needs to know. Only in a transaction it has to be created first.
func newFrames(v *Versions) *frames {
	f := &frames{
		seqlockOpen: &cluster.Frame{Before: cluster.NewElements(v.readSetWriting, setWritingText)},
		bulkAlone:   &cluster.Frame{Before: cluster.NewElements(readGuard, guardText)},
		bulkWithout: &cluster.Frame{Before: cluster.NewElements(readGuard, guardVersionTableText)},
	}
	setWriting, moved := cluster.NewElements(v.readSetWriting, setWritingText), cluster.NewElements(v.readMoved, MoveText)
	movedTold := cluster.NewElements(v.readMovedTold, MoveText, tellText)
	f.seqlock = withQuestion{
		{Before: setWriting, After: cluster.NewElements(readClearWriting, clearWritingText)},
		{Before: setWriting, After: cluster.NewElements(v.readTold, tellText)},
	}
	f.inTransaction = withQuestion{{Before: moved}, {Before: movedTold}}
	f.bulk = withQuestion{
		{Before: cluster.NewElements(readGuard, guardText), After: moved},
		{Before: cluster.NewElements(readGuard, guardText), After: movedTold},
	}
	return f
}

// readGuard reads the entry of a guard. Its failure is that of the whole transaction.
func readGuard(answer *cluster.Answer) error {
	_, err := answer.Next()
	return err
}

// errNoVersionTable says why a transaction that moves the version was rolled back.
var errNoVersionTable = errors.New("there is no table " + Table)

// readFirst reads the entry of the first statement on the version table.
func (v *Versions) readFirst(answer *cluster.Answer) (entry *wire.Result, missing bool, err error) {
	if entry, err = answer.Next(); err != nil {
		return nil, false, err
	}
	missing = IsMissing(entry.Error)
	if v.missing.Load() != missing {
		v.missing.Store(missing)
	}
	return entry, missing, nil
}

// readSetWriting reads the entry of the statement that sets the writing flag in front of statements
// that are applied one by one.
func (v *Versions) readSetWriting(answer *cluster.Answer) error {
	_, _, err := v.readFirst(answer)
	return err
}

// readClearWriting reads the entry of the statement that clears the writing flag.
func readClearWriting(answer *cluster.Answer) error {
	_, err := answer.Next()
	return err
}

// readTold reads the entry of the statement that clears the writing flag and tells the version. The
// write itself was applied, whatever the entry says.
func (v *Versions) readTold(answer *cluster.Answer) error {
	entry, err := answer.Next()
	if err != nil {
		return err
	}
	if _, err := v.ReadState(answer, entry); err != nil {
		v.Warn(sqlerr.From(err))
	}
	return nil
}

// readMoved reads the entry of the statement that moves the version in a transaction.
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

// readMovedTold reads the entries of the statements that move the version in a transaction and tell
// it. If a statement of the program fails, there never was the version that they tell, but there was the
// one before it.
func (v *Versions) readMovedTold(answer *cluster.Answer) error {
	if err := v.readMoved(answer); err != nil {
		return err
	}
	entry, err := answer.Next()
	if err != nil {
		return err
	}
	state, err := v.readState(answer, entry)
	if state.Exists {
		v.learn(state.Version - 1)
	}
	return err
}

// FrameOf returns the frame of statements that write. It is nil if writes do not move the version.
func (v *Versions) FrameOf(atomic bool) *cluster.Frame {
	switch {
	case v.Disabled:
		return nil
	case atomic:
		return v.frames.inTransaction.form(v.Backoff.isDue())
	}
	return v.oneByOneFrame()
}

// oneByOneFrame returns the frame of statements that are applied one by one.
func (v *Versions) oneByOneFrame() *cluster.Frame {
	if v.missing.Load() {
		return v.frames.seqlockOpen
	}
	return v.frames.seqlock.form(v.Backoff.isDue())
}

// QueueFrame returns the frame of writes in the server's queue. It creates the version table first:
// where the queue is one transaction, a failed statement on the table would roll back the writes of
// other clients. The answer has no entries.
func (v *Versions) QueueFrame() *cluster.Frame {
	if v.Disabled {
		return nil
	}
	return &cluster.Frame{Before: cluster.NewElements(nil, CreateText, firstVersionText(), setWritingText), After: cluster.NewElements(nil, clearWritingText)}
}

// A bulk goes out as a transaction, because SQLite then commits once instead of once per statement.
// Callers cannot tell: if a statement fails, the bulk fails, and it is sent again without a
// transaction. A transaction would allow one thing more: another statement could mend the violation
// of a deferred foreign key. So the guard fails the transaction if the schema has deferred keys
// (https://www.sqlite.org/foreignkeys.html#fk_deferred). The second guard also fails if there is a
// version table that this connector does not know of, because its version would not move.
//
// Each node evaluates the guard when it applies the request, and all nodes must come to the same
// result. So the guard looks only at the schema, which is replicated. Whether keys are enforced,
// and what LIKE means, are settings of each node's own connection.
const (
	DefersKeys      = "EXISTS(SELECT 1 FROM sqlite_schema WHERE instr(upper(sql),'DEFERR')>0)"
	hasVersionTable = "EXISTS(SELECT 1 FROM sqlite_schema WHERE name='" + Table + "')"

	guardText             = "SELECT CASE WHEN " + DefersKeys + " THEN abs(-9223372036854775808) END"
	guardVersionTableText = "SELECT CASE WHEN " + hasVersionTable + " OR " + DefersKeys + " THEN abs(-9223372036854775808) END"
)

// BulkAttempt returns the request, without a body, of the writes of several callers as a transaction that
// leaves a token, and the token; see [Versions.NewToken].
func (v *Versions) BulkAttempt(ctx context.Context, forwarded bool) (req cluster.Request, token *Token, err error) {
	token, err = v.NewToken(ctx, forwarded)
	if token == nil {
		return req, nil, err
	}
	return bulkRequest(true, token.Frame(true)), token, nil
}

// bulkRequest returns the request, without a body, of the writes of several callers.
func bulkRequest(atomic bool, frame *cluster.Frame) cluster.Request {
	req := cluster.Request{Path: cluster.ExecutePath, Params: cluster.WriteParams, Leader: true, Write: true, Frame: frame}
	if atomic {
		req.Params += cluster.Transaction
	}
	return req
}

// BulkRequest returns the request, without a body, of the writes of several callers. Independent
// writes share one sequence lock.
func (v *Versions) BulkRequest(atomic bool) cluster.Request {
	return bulkRequest(atomic, v.bulkFrame(atomic))
}

// bulkFrame returns the frame of the writes of several callers that leave no token.
func (v *Versions) bulkFrame(atomic bool) *cluster.Frame {
	switch {
	case !atomic && v.Disabled:
		return nil
	case !atomic:
		return v.oneByOneFrame()
	case v.Disabled:
		return v.frames.bulkAlone
	case v.missing.Load():
		return v.frames.bulkWithout
	}
	return v.frames.bulk.form(v.Backoff.isDue())
}
