package rqlitetest

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// capture collects the changes of the write connection. Like the real server it uses SQLite's
// hooks, and sends one group of changes for each commit. The store's writer lock is held while it
// is used.
type capture struct {
	filter     *regexp.Regexp // nil means all tables
	rowIDsOnly bool
	columns    func(table string) ([]string, error)
	emit       func(changeGroup)

	pending changeGroup
}

// changeGroup is one commit, in the form in which it is sent.
type changeGroup struct {
	Index     uint64        `json:"index"`
	Timestamp int64         `json:"commit_timestamp,omitempty"`
	Events    []changeEvent `json:"events"`
}

type changeEvent struct {
	Op       string         `json:"op"`
	Table    string         `json:"table,omitempty"`
	NewRowID int64          `json:"new_row_id,omitempty"`
	OldRowID int64          `json:"old_row_id,omitempty"`
	Before   map[string]any `json:"before,omitempty"`
	After    map[string]any `json:"after,omitempty"`
	Error    string         `json:"error,omitempty"`

	before, after []any // used until the commit finds the column names
}

// captures are the captures of all open connections. The key is the handle that SQLite passes to
// the hooks.
var captures sync.Map // uintptr to *capture

var captureHandles atomic.Uintptr

// watch makes the connection report its changes to a capture until it is closed.
func (c *conn) watch(to *capture) {
	c.capture = captureHandles.Add(1)
	captures.Store(c.capture, to)
	sqlite3.Xsqlite3_preupdate_hook(c.tls, c.db, functionPointer(onPreupdate), c.capture)
	sqlite3.Xsqlite3_commit_hook(c.tls, c.db, functionPointer(onCommit), c.capture)
}

// functionPointer returns a pointer to a C function for SQLite as translated to Go: the word in the
// variable of a Go function.
func functionPointer[T any](f T) uintptr {
	v := struct{ f T }{f}
	return *(*uintptr)(unsafe.Pointer(&v))
}

func onPreupdate(tls *libc.TLS, handle, db uintptr, op int32, _, table uintptr, oldRowID, newRowID int64) {
	if to, ok := captures.Load(handle); ok {
		to.(*capture).preupdate(tls, db, op, libc.GoString(table), oldRowID, newRowID)
	}
}

func onCommit(_ *libc.TLS, handle uintptr) int32 {
	if to, ok := captures.Load(handle); ok {
		to.(*capture).commit()
	}
	return 0
}

// reset begins a log entry. Pending changes belong to a transaction that was rolled back, so it
// drops them.
func (c *capture) reset(index uint64) {
	if c != nil {
		c.pending = changeGroup{Index: index}
	}
}

func (c *capture) preupdate(tls *libc.TLS, db uintptr, op int32, table string, oldRowID, newRowID int64) {
	if c.filter != nil && !c.filter.MatchString(table) {
		return
	}
	e := changeEvent{Table: table}
	switch op {
	case sqlite3.SQLITE_INSERT:
		e.Op, e.NewRowID = "INSERT", newRowID
	case sqlite3.SQLITE_UPDATE:
		e.Op, e.OldRowID, e.NewRowID = "UPDATE", oldRowID, newRowID
	case sqlite3.SQLITE_DELETE:
		e.Op, e.OldRowID = "DELETE", oldRowID
	}
	var err error
	if !c.rowIDsOnly && op != sqlite3.SQLITE_INSERT {
		if e.before, err = changedRow(tls, db, sqlite3.Xsqlite3_preupdate_old); err != nil {
			e.Error = "failed to get old row data: " + err.Error()
		}
	}
	if !c.rowIDsOnly && op != sqlite3.SQLITE_DELETE && err == nil {
		if e.after, err = changedRow(tls, db, sqlite3.Xsqlite3_preupdate_new); err != nil {
			e.Error = "failed to get new row data: " + err.Error()
		}
	}
	c.pending.Events = append(c.pending.Events, e)
}

// changedRow reads the row before or after the change.
func changedRow(tls *libc.TLS, db uintptr, read func(tls *libc.TLS, db uintptr, i int32, out uintptr) int32) ([]any, error) {
	out := libc.Xmalloc(tls, libc.Tsize_t(pointerSize))
	if out == 0 {
		panic("rqlite: out of memory in the embedded server")
	}
	defer libc.Xfree(tls, out)
	row := make([]any, sqlite3.Xsqlite3_preupdate_count(tls, db))
	for i := range row {
		if rc := read(tls, db, int32(i), out); rc != sqlite3.SQLITE_OK {
			return nil, fmt.Errorf("%s", libc.GoString(sqlite3.Xsqlite3_errstr(tls, rc)))
		}
		row[i] = changedValue(tls, *(*uintptr)(pointer(out)))
	}
	return row, nil
}

// changedValue returns a stored value.
func changedValue(tls *libc.TLS, value uintptr) any {
	switch sqlite3.Xsqlite3_value_type(tls, value) {
	case sqlite3.SQLITE_INTEGER:
		return sqlite3.Xsqlite3_value_int64(tls, value)
	case sqlite3.SQLITE_FLOAT:
		return sqlite3.Xsqlite3_value_double(tls, value)
	case sqlite3.SQLITE_TEXT:
		p := sqlite3.Xsqlite3_value_text(tls, value) // must come before the call for the length
		return string(copyBytes(p, sqlite3.Xsqlite3_value_bytes(tls, value)))
	case sqlite3.SQLITE_BLOB:
		p := sqlite3.Xsqlite3_value_blob(tls, value)
		return copyBytes(p, sqlite3.Xsqlite3_value_bytes(tls, value))
	default:
		return nil
	}
}

func copyBytes(p uintptr, size int32) []byte {
	b := make([]byte, size)
	if p != 0 {
		copy(b, unsafe.Slice((*byte)(pointer(p)), size))
	}
	return b
}

// commit sends the pending changes. It takes the column names from a read connection, which does
// not see the transaction yet. That causes the errors for new tables. Later commits of the same
// entry have no index.
func (c *capture) commit() {
	if len(c.pending.Events) == 0 {
		return
	}
	group := c.pending
	c.pending = changeGroup{}
	group.Timestamp = time.Now().UnixMilli()
	names := make(map[string][]string)
	for i := range group.Events {
		e := &group.Events[i]
		columns, known := names[e.Table]
		if !known {
			var err error
			if columns, err = c.columns(e.Table); err != nil {
				e.Error = fmt.Sprintf("failed to get column names for table %s: %v", e.Table, err)
				continue
			}
			names[e.Table] = columns
		}
		e.name(columns)
	}
	c.emit(group)
}

// name turns the rows into maps by column name.
func (e *changeEvent) name(columns []string) {
	for _, row := range []struct {
		which  string
		values []any
		to     *map[string]any
	}{{"old", e.before, &e.Before}, {"new", e.after, &e.After}} {
		if e.Error != "" || row.values == nil {
			continue
		}
		if len(columns) != len(row.values) {
			e.Error = "mismatched column names and " + row.which + " CDC row column count"
			continue
		}
		*row.to = make(map[string]any, len(columns))
		for i, name := range columns {
			(*row.to)[name] = row.values[i]
		}
	}
}

// columnNames returns the column names of a table, as a read connection sees them.
func (s *store) columnNames(table string) ([]string, error) {
	readers := s.readers.Load()
	c, err := readers.get()
	if err != nil {
		return nil, err
	}
	defer readers.put(c)
	rows, err := c.query(context.Background(), `SELECT * FROM "`+strings.ReplaceAll(table, `"`, `""`)+`" LIMIT 0`, nil, rowOptions{})
	if err != nil {
		return nil, err
	}
	return rows.columns, nil
}
