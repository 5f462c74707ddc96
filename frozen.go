package rqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var (
	errRandomRows = errors.New("random() or randomblob() would be the same in all rows, for every node has to store the same: " +
		"nothing was written; write one row at a time, or pass the values as parameters")
	errRandomHere    = errors.New("random() or randomblob() of an UPDATE or of INSERT … SELECT could be the same in several rows: pass the values as parameters")
	errTotalChanges  = errors.New("total_changes() counts what a node has done for all clients: use RowsAffected of each write")
	errConnStateHere = errors.New("last_insert_rowid() and changes() have nothing to tell here: use Exec one by one, or an atomic Batch or a transaction, " +
		"or Result.LastInsertId and RETURNING")
	errConnStateLost = errors.New("last_insert_rowid() and changes() are not known behind a Query that writes, several statements in one Exec, a Batch or a queued write, " +
		"nor the rowid behind an INSERT that may have updated a row: use what these return")
)

// freezeWrites returns the calls with literals in place of the present and of random numbers in those
// that write, and in the defaults that they take, so that all nodes store the same.
func (c *conn) freezeWrites(ctx context.Context, calls []call) ([]call, error) {
	cfg := c.connector.cfg
	cfg.warnOfRandom(calls)
	calls, err := c.withDefaults(ctx, calls, cfg.allowedCalls())
	if err != nil {
		return nil, err
	}
	const differ = sqltext.CallsTime | sqltext.CallsRandom
	if !slices.ContainsFunc(calls, func(one call) bool { return one.Calls&differ != 0 && one.Kind != sqltext.Read }) {
		return calls, nil
	}
	now, random := time.Now().UTC(), randomNumber
	if cfg.NoRewriteTime {
		now = time.Time{}
	}
	if cfg.NoRewriteRandom {
		random = nil
	}
	calls = slices.Clone(calls)
	for i := range calls {
		if calls[i].Kind == sqltext.Read {
			continue
		}
		calls[i].randomPerRow = random != nil && calls[i].RandomPerRow()
		statement, err := calls[i].frozen(now, random)
		if err != nil {
			return nil, refused(atStatement(err, i, len(calls)))
		}
		calls[i].written, calls[i].Statement = calls[i].Text, statement
	}
	return calls, nil
}

func randomNumber() int64 { return int64(rand.Uint64()) }

// frozen returns the statement with literals in place of time and random numbers, so
// that it does the same whenever, and wherever, it is run. See [sqltext.Statement.Freeze] for a zero
// now and a nil random.
func (c *call) frozen(now time.Time, random func() int64) (*sqltext.Statement, error) {
	if !now.IsZero() {
		if err := c.checkTimeParams(); err != nil {
			return nil, err
		}
	}
	frozen, err := c.Freeze(now, random)
	return &frozen, err
}

// checkTimeParams refuses a value by which a date function would read the clock of each node.
func (c *call) checkTimeParams() error {
	for _, index := range c.TimeParams() {
		text, ok := c.values[index-1].(string)
		if blob, isBlob := c.values[index-1].([]byte); isBlob {
			text, ok = string(blob), true
		}
		if ok && isNow(text) {
			return fmt.Errorf("parameter %d of a date function is %q, which each node would read as a time of its own: "+
				"write it into the statement, or pass a time", index, text)
		}
	}
	return nil
}

// isNow reports whether SQLite's date functions take a text for the present.
func isNow(text string) bool {
	return strings.EqualFold(text, "now") || strings.EqualFold(text, "subsec") || strings.EqualFold(text, "subsecond")
}

// needsTx reports whether a call has to run in a transaction: one for which SQLite takes a random
// number for each row is right if it writes a single one, which a transaction finds out before it
// commits. See clearsPart for the other.
func (c *call) needsTx() bool { return c.randomPerRow || clearsPart(c.Statement) }

func anyNeedsTx(calls []call) bool {
	return slices.ContainsFunc(calls, func(one call) bool { return one.needsTx() })
}

// inTx runs f in a transaction of its own, again after a conflict, until the time-out.
func (c *conn) inTx(ctx context.Context, f func(ctx context.Context, t *tx) error) error {
	if timeout := c.connector.cfg.requestTimeout(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return untilNoConflict(WithTxMode(ctx, TxInteractive), func(ctx context.Context) error {
		if _, err := c.BeginTx(ctx, driver.TxOptions{}); err != nil {
			return err
		}
		t := c.tx
		if err := f(ctx, t); err != nil {
			return errors.Join(err, t.Rollback())
		}
		return t.Commit()
	})
}

// connState is what the functions last_insert_rowid() and changes() tell a connection of
// database/sql: what its last writes did. The one connection that rqlite writes by would tell
// what somebody else did. The zero value is that of a new connection.
type connState struct {
	rowid, changes         int64
	rowidLost, changesLost bool // a write has not told
}

// wrote takes note of a write outside of a transaction that told what it did. An INSERT that has
// updated a row tells the rowid of somebody else's.
func (s *connState) wrote(statement *sqltext.Statement, rowid, changes int64) {
	s.inserted(statement, rowid, changes)
	s.rowidLost = s.rowidLost || changes > 0 && statement.Upserts()
}

// inserted takes note of a write that told what it did, and of the rowid if it may have inserted a
// row. Without a rowid it is not known.
func (s *connState) inserted(statement *sqltext.Statement, rowid, changes int64) {
	s.changes, s.changesLost = changes, false
	if statement.Insert && changes > 0 {
		s.rowid, s.rowidLost = rowid, rowid == 0
	}
}

// lose takes note of writes that did not tell what they did.
func (s *connState) lose() { s.rowidLost, s.changesLost = true, true }

// committed takes note of the operations of a transaction.
func (s *connState) committed(list operations) {
	for _, o := range list.changes() {
		switch {
		case o.Kind != sqltext.Write:
		case o.query && o.Returning > 0:
			s.lose()
		default:
			s.inserted(o.Statement, o.lastInsertID, o.rowsAffected)
		}
	}
}

// tells reports whether what a statement asks for is known.
func (s *connState) tells(statement *sqltext.Statement) bool {
	return (!s.rowidLost || statement.Calls&sqltext.CallsLastInsertRowid == 0) && (!s.changesLost || statement.Calls&sqltext.CallsChanges == 0)
}

const callsConnState = sqltext.CallsLastInsertRowid | sqltext.CallsChanges

// tellsConnState reports whether a statement asks what the connection did.
func tellsConnState(s *sqltext.Statement) bool {
	return s.Calls&(callsConnState|sqltext.CallsTotalChanges) != 0 && (s.Kind == sqltext.Read || s.Kind == sqltext.Write)
}

func anyTellsConnState(calls []call) bool {
	return slices.ContainsFunc(calls, func(one call) bool { return tellsConnState(one.Statement) })
}

// withConnState returns the calls with literals in place of what the connection did.
func (c *conn) withConnState(calls []call) ([]call, error) {
	if !anyTellsConnState(calls) {
		return calls, nil
	}
	calls = slices.Clone(calls)
	for i := range calls {
		if !tellsConnState(calls[i].Statement) {
			continue
		}
		switch {
		case calls[i].Calls&sqltext.CallsTotalChanges != 0:
			return nil, atStatement(errTotalChanges, i, len(calls))
		case !c.state.tells(calls[i].Statement):
			return nil, atStatement(errConnStateLost, i, len(calls))
		}
		statement := calls[i].WithConnState(c.state.rowid, c.state.changes)
		calls[i].Statement = &statement
	}
	return calls, nil
}

// oneByOne refuses what needs a request of its own among statements that have none.
func (c *conn) oneByOne(calls []call) error {
	for i := range calls {
		switch {
		case setsForeignKeys(calls[i]) && !c.connector.cfg.SendForeignKeys:
			return atStatement(errForeignKeys, i, len(calls))
		case calls[i].randomPerRow:
			return atStatement(errRandomHere, i, len(calls))
		case clearsPart(calls[i].Statement):
			return atStatement(errPartHere, i, len(calls))
		case tellsConnState(calls[i].Statement):
			return atStatement(errConnStateHere, i, len(calls))
		}
	}
	return nil
}
