package rqlite

import (
	"context"
	"errors"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// frames are the statements that a connector sends around those of a program. Each is built once.
type frames struct {
	// schemaLook goes before reads; see schemaWatch.
	schemaLook *cluster.Frame
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
func newFrames(c *Connector) *frames {
	f := &frames{
		schemaLook:  &cluster.Frame{Before: elements(readSchemaLook, schemaLookText)},
		seqlockOpen: &cluster.Frame{Before: elements(c.readMark, markText)},
		bulkAlone:   &cluster.Frame{Before: elements(readGuard, guardText)},
		bulkWithout: &cluster.Frame{Before: elements(readGuard, guardVersionTableText)},
	}
	mark, moved := elements(c.readMark, markText), elements(c.readMoved, moveText)
	movedTold := elements(c.readMovedTold, moveText, tellText)
	f.seqlock = withQuestion{
		{Before: mark, After: elements(readUnmarked, unmarkText)},
		{Before: mark, After: elements(c.readTold, tellText)},
	}
	f.inTransaction = withQuestion{{Before: moved}, {Before: movedTold}}
	f.bulk = withQuestion{
		{Before: elements(readGuard, guardText), After: moved},
		{Before: elements(readGuard, guardText), After: movedTold},
	}
	return f
}

// elements returns statements for a frame, and what reads their entries.
func elements(read func(*cluster.Answer) error, texts ...string) cluster.Elements {
	e := cluster.Elements{Count: len(texts), Read: read}
	for i, text := range texts {
		if i > 0 {
			e.JSON = append(e.JSON, ',')
		}
		e.JSON = append(append(append(e.JSON, '"'), text...), '"') // nothing in it has to be escaped
	}
	return e
}

// readSchemaLook reads the entry of the look at the schema.
func readSchemaLook(answer *cluster.Answer) error {
	entry, err := answer.Next()
	if err == nil && entry.Error != "" {
		err = sqlerr.FailedRead(entry.Error, -1, 0)
	}
	return err
}

// readGuard reads the entry of a guard, whose failure is that of the whole transaction.
func readGuard(answer *cluster.Answer) error {
	_, err := answer.Next()
	return err
}

// errNoVersionTable is why a transaction that moves the version was rolled back.
var errNoVersionTable = errors.New("there is no table " + versionTable)

// readFirst reads the entry of the first statement on the version table.
func (c *Connector) readFirst(answer *cluster.Answer) (entry *wire.Result, missing bool, err error) {
	if entry, err = answer.Next(); err != nil {
		return nil, false, err
	}
	missing = isMissingVersionTable(entry.Error)
	if c.versionTableMissing.Load() != missing {
		c.versionTableMissing.Store(missing)
	}
	return entry, missing, nil
}

// readMark reads the entry of the mark in front of statements that are applied one by one.
func (c *Connector) readMark(answer *cluster.Answer) error {
	_, _, err := c.readFirst(answer)
	return err
}

// readUnmarked reads the entry of what takes the mark off.
func readUnmarked(answer *cluster.Answer) error {
	_, err := answer.Next()
	return err
}

// readTold reads the entry of what takes the mark off and tells the version. The write itself has
// been applied, whatever that says.
func (c *Connector) readTold(answer *cluster.Answer) error {
	entry, err := answer.Next()
	if err != nil {
		return err
	}
	if _, err := c.readState(answer, entry); err != nil {
		c.cfg.warn(sqlerr.From(err))
	}
	return nil
}

// readMoved reads the entry of what moves the version in a transaction.
func (c *Connector) readMoved(answer *cluster.Answer) error {
	entry, missing, err := c.readFirst(answer)
	switch {
	case err != nil:
		return err
	case missing:
		return errNoVersionTable
	}
	return versionTableFailure(entry)
}

// readMovedTold reads the entries of what moves the version in a transaction, and tells it.
func (c *Connector) readMovedTold(answer *cluster.Answer) error {
	if err := c.readMoved(answer); err != nil {
		return err
	}
	entry, err := answer.Next()
	if err == nil {
		_, err = c.readState(answer, entry)
	}
	return err
}

// frameOf returns the frame of statements that write.
func (c *Connector) frameOf(stmts []bind.Stmt, atomic bool) *cluster.Frame {
	switch {
	case c.cfg.DisableTxVersion || allRead(stmts):
		return nil
	case atomic:
		return c.frames.inTransaction.form(c.backoff.isDue())
	}
	return c.oneByOneFrame()
}

// oneByOneFrame returns the frame of statements that are applied one by one.
func (c *Connector) oneByOneFrame() *cluster.Frame {
	if c.versionTableMissing.Load() {
		return c.frames.seqlockOpen
	}
	return c.frames.seqlock.form(c.backoff.isDue())
}

// queueFrame returns the frame of writes that go into the server's queue. The version table comes first:
// where the queue is one transaction, marks that fail would take the writes of other clients with
// them. The answer has no entries.
func (c *Connector) queueFrame() *cluster.Frame {
	if c.cfg.DisableTxVersion {
		return nil
	}
	return &cluster.Frame{Before: elements(nil, createText, firstVersionText(), markText), After: elements(nil, unmarkText)}
}

// writing says how statements that write are sent.
type writing struct {
	atomic bool // as a transaction
	rows   bool // the rows of RETURNING are wanted
}

// waitToWrite waits until a write outside of transactions may leave. It has to leave the turn then.
func (c *conn) waitToWrite(ctx context.Context) error {
	connector := c.connector
	if err := connector.writeLock.join(ctx, connector.cfg.requestTimeout()); err != nil {
		return err
	}
	if err := connector.backoff.wait(ctx); err != nil {
		connector.writeLock.leave()
		return err
	}
	return nil
}

// write sends statements that write, when it is their turn. The entry of the first of them comes next in
// the answer.
func (c *conn) write(ctx context.Context, req cluster.Request, stmts []bind.Stmt, how writing) (*cluster.Answer, error) {
	if err := c.waitToWrite(ctx); err != nil {
		return nil, err
	}
	connector := c.connector
	defer connector.writeLock.leave()
	if connector.coalesces(ctx, stmts, how) {
		era, ok := connector.coalescer.Begin()
		if !ok {
			answer, err := c.join(ctx, stmts)
			if !sqlerr.IsEarlier(err) {
				return answer, sqlerr.WithPath(sqlerr.From(err), cluster.ExecutePath)
			}
		} else {
			defer connector.coalescer.End(era)
		}
	}
	req.Frame = connector.frameOf(stmts, how.atomic)
	return c.sendWrite(ctx, req, stmts)
}

// sendWrite sends statements that write. It makes the version table if they move the version of one.
func (c *conn) sendWrite(ctx context.Context, req cluster.Request, stmts []bind.Stmt) (*cluster.Answer, error) {
	req.Leader, req.Write = true, true
	answer, err := c.send(ctx, req, stmts)
	if !errors.Is(err, errNoVersionTable) { // or else all was rolled back
		return answer, err
	}
	if err := c.makeVersionTable(ctx); err != nil {
		return nil, err
	}
	answer, err = c.send(ctx, req, stmts)
	if errors.Is(err, errNoVersionTable) {
		return nil, errVersionTableGone
	}
	return answer, err
}
