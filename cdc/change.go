package cdc

import (
	"encoding/base64"
	"fmt"
	"time"
)

// Op is the operation on a row. The zero value is Unknown.
type Op uint8

// The operations. A change is Unknown if rqlite itself did not know its operation; Err says why.
const (
	Unknown Op = iota // rqlite did not know it
	Insert            // a row was inserted
	Update            // a row was updated
	Delete            // a row was deleted
)

var opNames = [...]string{"UNKNOWN", "INSERT", "UPDATE", "DELETE"}

// String returns rqlite's name of the operation, such as "INSERT".
func (op Op) String() string {
	if int(op) < len(opNames) {
		return opNames[op]
	}
	return fmt.Sprintf("Op(%d)", uint8(op))
}

// ParseOp returns the operation with a name as String returns it. It returns an error for any other
// name.
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
	Op    Op     // what became of the row
	Table string // the name of its table

	// OldRowID is the rowid before an Update or Delete. NewRowID is the rowid after an Insert or
	// Update. They differ if an update changed the INTEGER PRIMARY KEY. OldRowID of an Insert and
	// NewRowID of a Delete are 0. Both are 0 in tables WITHOUT ROWID, and for the rowid 0, which
	// rqlite does not send.
	OldRowID, NewRowID int64

	// Before is the row before an Update or Delete. After is the row after an Insert or Update. The
	// keys are the names of the columns. Before of an Insert and After of a Delete are nil. Both
	// are nil with row_ids_only, and if Err is set. "Values" in the documentation of the package
	// lists the types of the values.
	Before, After map[string]any

	// Err is set if rqlite failed to read the row, and is rqlite's reason. The change has happened
	// all the same: a program that needs the row has to query for it. Err is normally "". "What
	// rqlite loses" says when to expect it.
	Err string

	// CommitTime is when the node that sent the change committed it, by that node's clock, to the
	// millisecond. Each node has its own time for the same change. It is the zero Time if rqlite
	// sent none.
	CommitTime time.Time

	// Index is the index of the Raft log entry that made the change. It rises with gaps, because
	// not every entry changes a row. One entry can commit several transactions. Part numbers them,
	// from 0.
	Index uint64
	Part  int

	// Uncertain says that the change may have been delivered before. Index is 0 then. "Exactly
	// once" says when this happens and how to avoid it.
	Uncertain bool

	NodeID    string // the node that sent the change, the leader
	ServiceID string // rqlite's "service_id", or ""
}

// Row returns After. For a Delete, which has no After, it returns Before. It is nil if both are.
func (c *Change) Row() map[string]any {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// Bytes decodes a value that the program knows to be a BLOB. rqlite sends a BLOB as base64, which
// looks like any other text. NULL gives nil. Any other value is an error, and so is a text that is
// not base64. Bytes cannot recognize a text that is base64 by chance.
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
