package cdc

import (
	"encoding/base64"
	"fmt"
	"time"
)

// Op is what was done to a row.
type Op uint8

// The operations. Unknown, the zero value, is that of a change whose Err says that
// rqlite itself did not know.
const (
	Unknown Op = iota
	Insert
	Update
	Delete
)

var opNames = [...]string{"UNKNOWN", "INSERT", "UPDATE", "DELETE"}

// String returns the name that rqlite sends, such as "INSERT".
func (op Op) String() string {
	if int(op) < len(opNames) {
		return opNames[op]
	}
	return fmt.Sprintf("Op(%d)", uint8(op))
}

// ParseOp returns the operation of a name that String gives.
func ParseOp(name string) (Op, error) {
	for i, known := range opNames {
		if name == known {
			return Op(i), nil
		}
	}
	return Unknown, fmt.Errorf("rqlite: %.20q is no operation of a change: it is one of INSERT, UPDATE, DELETE", name)
}

// Change is one row that was inserted, updated or deleted.
type Change struct {
	Op    Op
	Table string

	// OldRowID is the rowid before an Update or Delete, and NewRowID that after an
	// Insert or Update; they differ when an update changed the INTEGER PRIMARY KEY.
	// The one that does not apply is 0. Both are 0 in tables WITHOUT ROWID, and for
	// the rowid 0, which rqlite does not send.
	OldRowID, NewRowID int64

	// Before is the row before an Update or Delete, and After that after an Insert
	// or Update, by the names of the columns. The one that does not apply is nil, and
	// both are with row_ids_only and where Err is set. "Values" in the documentation
	// of the package tells what the values are.
	Before, After map[string]any

	// Err is what rqlite says in the place of the row when it failed to read it, and
	// "" as a rule. The change has happened all the same: who needs the row has to
	// query for it. "What rqlite loses" tells when to expect it.
	Err string

	// CommitTime is when the node that sent the change committed it by its own clock,
	// to the millisecond. Each node has its own time for the same change. It is the
	// zero Time if rqlite sent none.
	CommitTime time.Time

	// Index is that of the entry in the Raft log by which the change was made. It
	// rises, with gaps, for not every entry changes a row. Part counts the
	// transactions that one entry has committed, from 0.
	Index uint64
	Part  int

	// Uncertain says that the change may have been handed over before. Index is 0
	// then. "Exactly once" tells how it comes to that, and how to avoid it.
	Uncertain bool

	NodeID    string // the node that sent the change, the leader
	ServiceID string // "service_id" of rqlite's configuration, or ""
}

// Row returns After, or Before for a change that has only that.
func (c *Change) Row() map[string]any {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// Bytes returns the bytes of a value that the program knows to be a BLOB: rqlite
// sends base64 for it, which nothing tells from a text. NULL gives nil. Of anything
// else, text that is not base64 among it, Bytes returns an error; a text that is
// base64 by chance it cannot tell.
func Bytes(value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		b, err := base64.StdEncoding.Strict().DecodeString(v)
		if err != nil {
			return nil, fmt.Errorf("rqlite: the value of a change is not a BLOB: %w", err)
		}
		return b, nil
	}
	return nil, fmt.Errorf("rqlite: the value of a change is not a BLOB but of type %T", value)
}
