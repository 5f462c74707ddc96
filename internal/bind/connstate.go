package bind

import (
	"errors"
	"slices"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var (
	// ErrTotalChanges is why total_changes() is refused.
	ErrTotalChanges = errors.New("total_changes() counts what a node has done for all clients: use RowsAffected of each write")

	errConnStateLost = errors.New("last_insert_rowid() and changes() are not known behind a Query that writes, several statements in one Exec, a Batch or a queued write, " +
		"nor the rowid behind an INSERT that may have updated a row: use what these return")
)

// ConnState is what the functions last_insert_rowid() and changes() tell a connection of
// database/sql: what its last writes did. The one connection that rqlite writes by would tell
// what somebody else did. The zero value is that of a new connection.
type ConnState struct {
	rowid, changes         int64
	rowidLost, changesLost bool // a write has not told
}

// Wrote takes note of a write outside of a transaction that told what it did. An INSERT that has
// updated a row tells the rowid of somebody else's.
func (s *ConnState) Wrote(statement *sqltext.Statement, rowid, changes int64) {
	s.Inserted(statement, rowid, changes)
	s.rowidLost = s.rowidLost || changes > 0 && statement.Upserts()
}

// Inserted takes note of a write that told what it did, and of the rowid if it may have inserted a
// row. Without a rowid it is not known.
func (s *ConnState) Inserted(statement *sqltext.Statement, rowid, changes int64) {
	s.changes, s.changesLost = changes, false
	if statement.Insert && changes > 0 {
		s.rowid, s.rowidLost = rowid, rowid == 0
	}
}

// Lose takes note of writes that did not tell what they did.
func (s *ConnState) Lose() { s.rowidLost, s.changesLost = true, true }

// tells reports whether what a statement asks for is known.
func (s *ConnState) tells(statement *sqltext.Statement) bool {
	return (!s.rowidLost || statement.Calls&sqltext.CallsLastInsertRowid == 0) && (!s.changesLost || statement.Calls&sqltext.CallsChanges == 0)
}

const callsConnState = sqltext.CallsLastInsertRowid | sqltext.CallsChanges

// TellsConnState reports whether a statement asks what the connection did.
func TellsConnState(s *sqltext.Statement) bool {
	return s.Calls&(callsConnState|sqltext.CallsTotalChanges) != 0 && (s.Kind == sqltext.Read || s.Kind == sqltext.Write)
}

// AnyTellsConnState reports whether one of the statements asks what the connection did.
func AnyTellsConnState(stmts []Stmt) bool {
	return slices.ContainsFunc(stmts, func(one Stmt) bool { return TellsConnState(one.Statement) })
}

// Apply returns the statements with literals in place of what the connection did.
func (s *ConnState) Apply(stmts []Stmt) ([]Stmt, error) {
	if !AnyTellsConnState(stmts) {
		return stmts, nil
	}
	stmts = slices.Clone(stmts)
	for i := range stmts {
		if !TellsConnState(stmts[i].Statement) {
			continue
		}
		switch {
		case stmts[i].Calls&sqltext.CallsTotalChanges != 0:
			return nil, sqlerr.At(ErrTotalChanges, i, len(stmts))
		case !s.tells(stmts[i].Statement):
			return nil, sqlerr.At(errConnStateLost, i, len(stmts))
		}
		statement := stmts[i].WithConnState(s.rowid, s.changes)
		stmts[i].Statement = &statement
	}
	return stmts, nil
}
