package autocommit

import (
	"sync/atomic"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// schemaWatch works around a flaw of the server. After a change of schema, the first statement on
// each of its read connections answers with the old columns and declared types: values come under
// wrong names, or are read as another type. A statement that looks at the schema first, in the same
// request, cures the connection.
//
// The driver sends it with every SELECT *, whose columns any change moves, and with every read for
// a while after this connector may have changed the schema. schemaWatch is safe for concurrent use.
type schemaWatch struct {
	// until is when reads need no look any more, in Unix nanoseconds. changed moves it; 0 before
	// the first change.
	until atomic.Int64
	// tables are the known tables, nil before the first question. changed replaces them by none.
	// Engine.tables stores an answer only if there was no change since it asked.
	tables atomic.Pointer[knownTables]
	asking chan struct{} // full while somebody asks for tables, so that one asks for all
}

// schemaSettles is how long reads are checked after a change: twice as long as rqlite keeps an
// unused read connection.
const schemaSettles = time.Minute

// schemaLook is the frame of reads that need the look at the schema in front of them.
var schemaLook = &cluster.Frame{Before: cluster.NewElements(readSchemaLook, "SELECT 1 FROM sqlite_schema LIMIT 0")}

// readSchemaLook reads the entry of the look at the schema.
func readSchemaLook(answer *cluster.Answer) error {
	entry, err := answer.Next()
	if err == nil && entry.Error != "" {
		err = sqlerr.FailedRead(entry.Error, -1, 0)
	}
	return err
}

// changed notes that the schema may have changed just now.
func (w *schemaWatch) changed() {
	w.until.Store(time.Now().Add(schemaSettles).UnixNano())
	w.tables.Store(&knownTables{})
}

// isDue reports whether reads need a look at the schema in front of them.
func (w *schemaWatch) isDue(stmts []bind.Stmt) bool {
	if selectsStar(stmts) {
		return true
	}
	until := w.until.Load()
	return until != 0 && time.Now().UnixNano() <= until
}

func selectsStar(stmts []bind.Stmt) bool {
	for i := range stmts {
		if stmts[i].Star {
			return true
		}
	}
	return false
}

// mayChangeSchema reports whether one of the statements may change the schema.
func mayChangeSchema(stmts []bind.Stmt) bool {
	for i := range stmts {
		if stmts[i].Added {
			continue // only the driver uses its own table
		}
		switch stmts[i].Kind {
		case sqltext.Schema, sqltext.Maintenance, sqltext.Unknown:
			return true
		case sqltext.Read, sqltext.Write, sqltext.Pragma, sqltext.Control:
		}
	}
	return false
}
