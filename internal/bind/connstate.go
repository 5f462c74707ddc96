package bind

import (
	"errors"
	"slices"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var (
	// ErrTotalChanges says why total_changes() is refused.
	ErrTotalChanges = errors.New("total_changes() counts what a node has done for all clients: use RowsAffected of each write")

	errConnStateLost = errors.New("last_insert_rowid() and changes() are not known behind a Query that writes, several statements in one Exec, a Batch, a queued write, or a write that failed or was rolled back, " +
		"nor the rowid behind an INSERT that may have updated a row: use what these return")
)

// ConnState holds the values of last_insert_rowid() and changes() for one connection of
// database/sql: what its last writes did. rqlite's own connection for writes is shared, and would
// return what another client did. The zero value is that of a new connection. It can only be used
// by one goroutine at a time.
type ConnState struct {
	// A value counts only while its flag is false. Lose and Lost set flags. Inserted and Wrote store
	// the values that a write reported, and reset or set their flags.
	rowid, changes         int64
	rowidLost, changesLost bool
}

// Wrote records a write outside of a transaction that reported what it did. After an INSERT that
// may have updated a row the rowid is not known: it may be that of another client.
func (s *ConnState) Wrote(statement *sqltext.Statement, rowid, changes int64) {
	s.Inserted(statement, rowid, changes)
	s.rowidLost = s.rowidLost || changes > 0 && statement.Upserts()
}

// Inserted records a write that reported what it did, with the rowid if it may have inserted a row.
// A rowid of 0 means that it is not known.
func (s *ConnState) Inserted(statement *sqltext.Statement, rowid, changes int64) {
	s.changes, s.changesLost = changes, false
	if statement.Insert && changes > 0 {
		s.rowid, s.rowidLost = rowid, rowid == 0
	}
}

// Rowid returns the rowid that the connection inserted last, 0 if that is not known.
func (s *ConnState) Rowid() int64 {
	if s.rowidLost {
		return 0
	}
	return s.rowid
}

// Lost records which of the values are not known. SQLite tells of a row that it had inserted before the
// statement failed, or was rolled back.
func (s *ConnState) Lost(rowid, changes bool) {
	s.rowidLost, s.changesLost = s.rowidLost || rowid, s.changesLost || changes
}

// Lose records writes that did not report what they did.
func (s *ConnState) Lose() { s.Lost(true, true) }

// tells reports whether the values that a statement asks for are known.
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

// Apply returns the statements with literals for what the connection did. It does not change stmts.
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
