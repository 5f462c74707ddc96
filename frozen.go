package rqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
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

// freezeWrites returns the statements with literals in place of the present and of random numbers in those
// that write, and in the defaults that they take, so that all nodes store the same.
func (c *conn) freezeWrites(ctx context.Context, stmts []bind.Stmt) ([]bind.Stmt, error) {
	cfg := c.connector.cfg
	cfg.warnOfRandom(stmts)
	stmts, err := c.withDefaults(ctx, stmts, cfg.allowedCalls())
	if err != nil {
		return nil, err
	}
	const differ = sqltext.CallsTime | sqltext.CallsRandom
	if !slices.ContainsFunc(stmts, func(one bind.Stmt) bool { return one.Calls&differ != 0 && one.Kind != sqltext.Read }) {
		return stmts, nil
	}
	now, random := time.Now().UTC(), randomNumber
	if cfg.NoRewriteTime {
		now = time.Time{}
	}
	if cfg.NoRewriteRandom {
		random = nil
	}
	stmts = slices.Clone(stmts)
	for i := range stmts {
		if stmts[i].Kind == sqltext.Read {
			continue
		}
		stmts[i].SharesRandom = random != nil && stmts[i].RandomPerRow()
		statement, err := stmts[i].Frozen(now, random)
		if err != nil {
			return nil, sqlerr.Refused(sqlerr.At(err, i, len(stmts)))
		}
		stmts[i].Written, stmts[i].Statement = stmts[i].Text, statement
	}
	return stmts, nil
}

func randomNumber() int64 { return int64(rand.Uint64()) }

// needsTx reports whether a statement has to run in a transaction: one for which SQLite takes a random
// number for each row is right if it writes a single one, which a transaction finds out before it
// commits. See clearsPart for the other.
func needsTx(one bind.Stmt) bool { return one.SharesRandom || occ.ClearsPart(one.Statement) }

func anyNeedsTx(stmts []bind.Stmt) bool { return slices.ContainsFunc(stmts, needsTx) }

// inTx runs f in a transaction of its own, again after a conflict, until the time-out.
func (c *conn) inTx(ctx context.Context, f func(ctx context.Context, t *tx) error) error {
	if timeout := c.connector.cfg.requestTimeout(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return untilNoConflict(WithTxMode(ctx, TxInteractive), func(ctx context.Context) error {
		t, err := c.begin(ctx, driver.TxOptions{})
		if err != nil {
			return err
		}
		if err := f(ctx, t); err != nil {
			return errors.Join(err, t.Rollback())
		}
		return t.complete()
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
		case o.wantsRows && o.Returning > 0:
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

func anyTellsConnState(stmts []bind.Stmt) bool {
	return slices.ContainsFunc(stmts, func(one bind.Stmt) bool { return tellsConnState(one.Statement) })
}

// withConnState returns the statements with literals in place of what the connection did.
func (c *conn) withConnState(stmts []bind.Stmt) ([]bind.Stmt, error) {
	if !anyTellsConnState(stmts) {
		return stmts, nil
	}
	stmts = slices.Clone(stmts)
	for i := range stmts {
		if !tellsConnState(stmts[i].Statement) {
			continue
		}
		switch {
		case stmts[i].Calls&sqltext.CallsTotalChanges != 0:
			return nil, sqlerr.At(errTotalChanges, i, len(stmts))
		case !c.state.tells(stmts[i].Statement):
			return nil, sqlerr.At(errConnStateLost, i, len(stmts))
		}
		statement := stmts[i].WithConnState(c.state.rowid, c.state.changes)
		stmts[i].Statement = &statement
	}
	return stmts, nil
}

// oneByOne refuses what needs a request of its own among statements that have none.
func (c *conn) oneByOne(stmts []bind.Stmt) error {
	for i := range stmts {
		switch {
		case setsForeignKeys(stmts[i]) && !c.connector.cfg.SendForeignKeys:
			return sqlerr.At(errForeignKeys, i, len(stmts))
		case stmts[i].SharesRandom:
			return sqlerr.At(errRandomHere, i, len(stmts))
		case occ.ClearsPart(stmts[i].Statement):
			return sqlerr.At(occ.ErrPart, i, len(stmts))
		case tellsConnState(stmts[i].Statement):
			return sqlerr.At(errConnStateHere, i, len(stmts))
		}
	}
	return nil
}
