package rqlite

import (
	"errors"
	"slices"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var (
	// errTotalChanges is why total_changes() is refused.
	errTotalChanges = errors.New("total_changes() counts what a node has done for all clients: use RowsAffected of each write")

	errConnStateLost = errors.New("last_insert_rowid() and changes() are not known behind a Query that writes, several statements in one Exec, a Batch or a queued write, " +
		"nor the rowid behind an INSERT that may have updated a row: use what these return")
)

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

// apply returns the statements with literals in place of what the connection did.
func (s *connState) apply(stmts []bind.Stmt) ([]bind.Stmt, error) {
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
		case !s.tells(stmts[i].Statement):
			return nil, sqlerr.At(errConnStateLost, i, len(stmts))
		}
		statement := stmts[i].WithConnState(s.rowid, s.changes)
		stmts[i].Statement = &statement
	}
	return stmts, nil
}
