package rqlitetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteError is an error of SQLite with SQLite's text.
type sqliteError struct {
	code    int32 // primary result code
	message string
}

func (e *sqliteError) Error() string { return e.message }

// isCode reports whether err is an error of SQLite with a primary result code.
func isCode(err error, code int32) bool {
	var e *sqliteError
	return errors.As(err, &e) && e.code == code
}

// conn is an SQLite connection. It uses SQLite's C interface and not database/sql, because rqlite's
// answers depend on things that only the C interface shows: storage classes, declared types, and
// whether preparing or running a statement failed. Only one goroutine at a time may use a conn,
// except for interrupt.
type conn struct {
	tls *libc.TLS
	db  uintptr
	out uintptr // two pointers, for results of C functions

	pinned  bool    // in a read transaction as long as it is open
	capture uintptr // handle in captures; 0 if there is none
}

const pointerSize = unsafe.Sizeof(uintptr(0))

// openConn opens the database of a file: URI and runs statements on it.
func openConn(uri string, setup ...string) (*conn, error) {
	c := &conn{tls: libc.NewTLS()}
	if c.out = libc.Xcalloc(c.tls, 2, libc.Tsize_t(pointerSize)); c.out == 0 {
		c.tls.Close()
		return nil, errors.New("rqlite: out of memory in the embedded server")
	}
	name, err := libc.CString(uri)
	if err != nil {
		c.close()
		return nil, err
	}
	defer libc.Xfree(c.tls, name)
	const flags = sqlite3.SQLITE_OPEN_READWRITE | sqlite3.SQLITE_OPEN_CREATE |
		sqlite3.SQLITE_OPEN_URI | sqlite3.SQLITE_OPEN_FULLMUTEX
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, c.out, flags, 0)
	c.db = c.returned(0)
	if rc != sqlite3.SQLITE_OK {
		err = c.lastError()
	} else {
		sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, 5000)
	}
	for _, text := range setup {
		if err == nil {
			_, err = c.exec(context.Background(), text, nil)
		}
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// returned reads a pointer that a C function wrote to c.out.
func (c *conn) returned(i uintptr) uintptr {
	return *(*uintptr)(pointer(c.out + i*pointerSize))
}

// pointer converts an address of C memory, which does not move and is not Go's. The indirection
// satisfies go vet, which cannot know that.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

func (c *conn) close() {
	captures.Delete(c.capture)
	if c.db != 0 {
		sqlite3.Xsqlite3_close_v2(c.tls, c.db)
		c.db = 0
	}
	libc.Xfree(c.tls, c.out)
	c.tls.Close()
}

// lastError returns the error of the last call on the connection, or nil.
func (c *conn) lastError() error {
	code := sqlite3.Xsqlite3_errcode(c.tls, c.db)
	if code == sqlite3.SQLITE_OK {
		return nil
	}
	return &sqliteError{code: code & 0xff, message: libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))}
}

// lateGrace is the time that a statement gets if it starts after its deadline.
const lateGrace = 100 * time.Millisecond

// interruptOn interrupts the connection from the end of ctx on, until the returned function is
// called. It interrupts repeatedly, because SQLite ignores an interrupt that comes just before a
// statement starts. If ctx has ended already, the statement still gets some time. On the real
// server, too, the interrupt comes too early then and is lost.
func (c *conn) interruptOn(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	late := ctx.Err() != nil
	finished, gone := make(chan struct{}), make(chan struct{})
	stopAfter := context.AfterFunc(ctx, func() {
		defer close(gone)
		tls := libc.NewTLS() // a TLS belongs to one goroutine, and c.tls is in use
		defer tls.Close()
		ticker := time.NewTicker(lateGrace)
		defer ticker.Stop()
		for {
			if !late {
				sqlite3.Xsqlite3_interrupt(tls, c.db)
				ticker.Reset(time.Millisecond)
			}
			late = false
			select {
			case <-finished:
				return
			case <-ticker.C:
			}
		}
	})
	return func() {
		close(finished)
		if !stopAfter() {
			<-gone
		}
	}
}

// stmt is a prepared statement. A zero handle stands for text without a statement, such as a
// comment. SQLite's functions accept it.
type stmt struct {
	c      *conn
	handle uintptr
	text   uintptr   // the SQL as a C string
	bound  []uintptr // C memory of bound values
}

// prepare compiles the first statement of a text. It returns the text after it, without surrounding
// space. Like every C program it stops at a NUL byte.
func (c *conn) prepare(text string) (*stmt, string, error) {
	ctext, err := libc.CString(text)
	if err != nil {
		return nil, "", err
	}
	rc := sqlite3.Xsqlite3_prepare_v2(c.tls, c.db, ctext, -1, c.out, c.out+pointerSize)
	if rc != sqlite3.SQLITE_OK {
		libc.Xfree(c.tls, ctext)
		return nil, "", c.lastError()
	}
	s := &stmt{c: c, handle: c.returned(0), text: ctext}
	return s, strings.TrimSpace(libc.GoString(c.returned(1))), nil
}

func (s *stmt) finalize() {
	sqlite3.Xsqlite3_finalize(s.c.tls, s.handle)
	libc.Xfree(s.c.tls, s.text)
	for _, p := range s.bound {
		libc.Xfree(s.c.tls, p)
	}
}

func (s *stmt) readOnly() bool {
	return sqlite3.Xsqlite3_stmt_readonly(s.c.tls, s.handle) != 0
}

func (s *stmt) numParams() int {
	return int(sqlite3.Xsqlite3_bind_parameter_count(s.c.tls, s.handle))
}

// bind binds positional values in order, and named values to each parameter of that name with any
// of the three prefixes. It ignores unknown names.
func (s *stmt) bind(params []param) error {
	for i, p := range params {
		if p.name == "" {
			if err := s.bindAt(i+1, p.value); err != nil {
				return err
			}
			continue
		}
		for _, prefix := range []string{":", "@", "$"} {
			name, err := libc.CString(prefix + p.name)
			if err != nil {
				return err
			}
			at := sqlite3.Xsqlite3_bind_parameter_index(s.c.tls, s.handle, name)
			libc.Xfree(s.c.tls, name)
			if at == 0 {
				continue
			}
			if err := s.bindAt(int(at), p.value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stmt) bindAt(index int, value any) error {
	i := int32(index)
	var rc int32
	switch v := value.(type) {
	case nil:
		rc = sqlite3.Xsqlite3_bind_null(s.c.tls, s.handle, i)
	case int64:
		rc = sqlite3.Xsqlite3_bind_int64(s.c.tls, s.handle, i, v)
	case float64:
		rc = sqlite3.Xsqlite3_bind_double(s.c.tls, s.handle, i, v)
	case bool:
		var n int64
		if v {
			n = 1
		}
		rc = sqlite3.Xsqlite3_bind_int64(s.c.tls, s.handle, i, n)
	case string:
		rc = sqlite3.Xsqlite3_bind_text(s.c.tls, s.handle, i, s.copyIn([]byte(v)), int32(len(v)), 0)
	case []byte:
		rc = sqlite3.Xsqlite3_bind_blob(s.c.tls, s.handle, i, s.copyIn(v), int32(len(v)), 0)
	default:
		return fmt.Errorf("rqlite: the embedded server cannot bind a %T", value)
	}
	if rc != sqlite3.SQLITE_OK {
		return s.c.lastError()
	}
	return nil
}

// copyIn copies b into C memory that lives as long as the statement. It never returns a null
// pointer, which SQLite would bind as NULL.
func (s *stmt) copyIn(b []byte) uintptr {
	p := libc.Xmalloc(s.c.tls, libc.Tsize_t(len(b)+1))
	if p == 0 {
		panic("rqlite: out of memory in the embedded server")
	}
	copy(unsafe.Slice((*byte)(pointer(p)), len(b)), b)
	s.bound = append(s.bound, p)
	return p
}

// step runs the statement to its next row. It returns false if there is none.
func (s *stmt) step() (bool, error) {
	switch sqlite3.Xsqlite3_step(s.c.tls, s.handle) {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE, sqlite3.SQLITE_OK:
		return false, nil
	default:
		return false, s.c.lastError()
	}
}

func (s *stmt) columnCount() int {
	return int(sqlite3.Xsqlite3_column_count(s.c.tls, s.handle))
}

func (s *stmt) columnName(i int) string {
	return libc.GoString(sqlite3.Xsqlite3_column_name(s.c.tls, s.handle, int32(i)))
}

// columnTable returns the table of a column, or "" for an expression.
func (s *stmt) columnTable(i int) string {
	return libc.GoString(sqlite3.Xsqlite3_column_table_name(s.c.tls, s.handle, int32(i)))
}

// declaredType returns the declared type in lower case, or "" for an expression.
func (s *stmt) declaredType(i int) string {
	return strings.ToLower(libc.GoString(sqlite3.Xsqlite3_column_decltype(s.c.tls, s.handle, int32(i))))
}

// column returns a stored value: int64, float64, string, []byte or nil.
func (s *stmt) column(i int) any {
	tls, n := s.c.tls, int32(i)
	switch sqlite3.Xsqlite3_column_type(tls, s.handle, n) {
	case sqlite3.SQLITE_INTEGER:
		return sqlite3.Xsqlite3_column_int64(tls, s.handle, n)
	case sqlite3.SQLITE_FLOAT:
		return sqlite3.Xsqlite3_column_double(tls, s.handle, n)
	case sqlite3.SQLITE_TEXT:
		p := sqlite3.Xsqlite3_column_text(tls, s.handle, n)
		return string(s.copyOut(p, n))
	case sqlite3.SQLITE_BLOB:
		p := sqlite3.Xsqlite3_column_blob(tls, s.handle, n)
		return s.copyOut(p, n)
	default:
		return nil
	}
}

func (s *stmt) copyOut(p uintptr, column int32) []byte {
	size := int(sqlite3.Xsqlite3_column_bytes(s.c.tls, s.handle, column))
	b := make([]byte, size)
	if p != 0 {
		copy(b, unsafe.Slice((*byte)(pointer(p)), size))
	}
	return b
}

// lastInsertID and changes are state of the connection. A statement that writes nothing leaves the
// values of the one before.
func (c *conn) lastInsertID() int64 { return sqlite3.Xsqlite3_last_insert_rowid(c.tls, c.db) }
func (c *conn) changes() int64      { return int64(sqlite3.Xsqlite3_changes(c.tls, c.db)) }

// serialize returns the database as an SQLite file.
func (c *conn) serialize() ([]byte, error) {
	name, err := libc.CString("main")
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, name)
	p := sqlite3.Xsqlite3_serialize(c.tls, c.db, name, c.out, 0)
	if p == 0 {
		return nil, errors.New("rqlite: the embedded server's database cannot be serialized")
	}
	defer sqlite3.Xsqlite3_free(c.tls, p)
	size := *(*int64)(pointer(c.out))
	return append([]byte(nil), unsafe.Slice((*byte)(pointer(p)), size)...), nil
}
