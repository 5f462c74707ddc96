package autocommit

import (
	"sync/atomic"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// schemaWatch works around a flaw of the server. After a change of schema, the
// first statement on each of its read connections answers with the columns, and
// the declared types, of before: values come under wrong names, or are read as
// of another type. A statement that looks at the schema first, in the same
// request, cures the connection.
//
// It is sent along with every SELECT *, whose columns any change moves, and with
// every read for a while after this connector may have changed the schema. It is
// safe for several goroutines.
type schemaWatch struct {
	until  atomic.Int64 // Unix nanoseconds
	tables atomic.Pointer[knownTables]
	asking chan struct{} // holds one while somebody asks for tables
}

// schemaSettles is how long reads are checked after a change: twice as long as
// rqlite keeps a read connection that nobody uses.
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

// mayChangeSchema reports whether one of the statements can be a change of schema.
func mayChangeSchema(stmts []bind.Stmt) bool {
	for i := range stmts {
		if stmts[i].Added {
			continue // the driver's own table is nobody else's
		}
		switch stmts[i].Kind {
		case sqltext.Schema, sqltext.Maintenance, sqltext.Unknown:
			return true
		case sqltext.Read, sqltext.Write, sqltext.Pragma, sqltext.Control:
		}
	}
	return false
}
