package rqlitetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// dbRequest is a request to the database.
type dbRequest struct {
	statements  []statement
	transaction bool
	timeout     time.Duration // 0 means none
	timings     bool
	level       level
	blobArray   bool
	qualify     bool // column names with their table, on read endpoints only

	freshness       time.Duration // 0 means any
	rollbackOnError bool          // roll back a transaction that a failed statement leaves open
}

func (r *dbRequest) rowOptions() rowOptions {
	return rowOptions{blobArray: r.blobArray, qualify: r.qualify}
}

// store is the database that all nodes share. It has one connection that writes and a pool of
// read-only connections.
type store struct {
	path        string
	foreignKeys bool

	writer    sync.Mutex // held while the write connection is used
	writeConn *conn
	capture   *capture      // nil if changes are not posted
	loads     int           // number of databases loaded so far
	index     atomic.Uint64 // of the last applied log entry
	readers   atomic.Pointer[pool]

	// life ends when the server closes. All running statements end with it.
	life   context.Context
	cancel context.CancelFunc
}

// firstIndex stands for the log entries of a cluster at its start.
const firstIndex = 2

// openStore creates a database. changes captures its changes, unless it is nil.
func openStore(path string, foreignKeys bool, changes *capture) (*store, error) {
	s := &store{path: path, foreignKeys: foreignKeys, capture: changes}
	if changes != nil {
		changes.columns = s.columnNames
	}
	if err := s.open(path); err != nil {
		return nil, fmt.Errorf("rqlite: opening the embedded server's database: %w", err)
	}
	s.index.Store(firstIndex)
	s.life, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// open opens a database in WAL mode, so that reads and writes do not wait for each other. It
// replaces the store's database and closes the old one.
func (s *store) open(path string) error {
	fk := "PRAGMA foreign_keys = OFF"
	if s.foreignKeys {
		fk = "PRAGMA foreign_keys = ON"
	}
	if path = filepath.ToSlash(path); path[0] != '/' {
		path = "/" + path // SQLite wants a slash before a drive letter
	}
	uri := (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String()
	w, err := openConn(uri, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = OFF", fk)
	if err != nil {
		return err
	}
	if s.writeConn != nil {
		s.writeConn.close()
		s.readers.Load().close()
	}
	s.writeConn = w
	if s.capture != nil {
		w.watch(s.capture)
	}
	s.readers.Store(&pool{open: func(setup ...string) (*conn, error) {
		return openConn(uri+"?mode=ro", append([]string{"PRAGMA synchronous = OFF", fk}, setup...)...)
	}})
	return nil
}

// close closes the connections. No request may be running.
func (s *store) close() {
	s.cancel()
	s.readers.Load().close()
	s.writeConn.close()
}

var (
	errDisallowedPragma = errors.New("disallowed pragma")
	errQueryTimeout     = errors.New("query timeout")
	errExecuteTimeout   = errors.New("execute timeout")
	errTxDone           = errors.New("sql: transaction has already been committed or rolled back")
	errWriteByQuery     = errors.New("attempt to change database via query operation")
)

// breakingPragma matches the pragmas that the server refuses, at the start of a statement's text
// only.
var breakingPragma = regexp.MustCompile(`(?i)^\s*PRAGMA\s+(?:` +
	`(?:\w+\.)?(?:(?:journal_mode|synchronous|query_only)\s*=|wal_checkpoint)|wal_autocheckpoint\s*=)`)

func (r *dbRequest) check() error {
	for _, stmt := range r.statements {
		if breakingPragma.MatchString(stmt.sql) {
			return errDisallowedPragma
		}
	}
	return nil
}

// bounded returns ctx with the timeout of the request.
func (r *dbRequest) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, r.timeout)
}

// timedOut returns the server's own error for an expired deadline.
func timedOut(err, name error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return name
	}
	return err
}

// execute applies a request of /db/execute, and returns its results and its log index. With an
// error there are no results. A client that goes away does not stop it: a proposed write is
// applied.
func (s *store) execute(r *dbRequest) ([]result, uint64, error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	index := s.index.Add(1)
	s.capture.reset(index)
	ctx, cancel := r.bounded(s.life)
	defer cancel()
	tx, err := s.writeConn.begin(r.transaction)
	if err != nil {
		return nil, 0, err
	}
	var results []result
	for _, stmt := range r.statements {
		if stmt.sql == "" {
			continue
		}
		res, err := s.executeOne(ctx, stmt, r)
		if err != nil {
			res = errorResult(err.Error())
		}
		results = append(results, res)
		if err != nil && (tx.open || r.rollbackOnError) {
			tx.open = true
			tx.rollback()
			break
		}
	}
	if err := tx.commit(ctx); err != nil {
		return nil, 0, err
	}
	return results, index, nil
}

func (s *store) executeOne(ctx context.Context, stmt statement, r *dbRequest) (result, error) {
	start := time.Now()
	if stmt.returnsRows {
		rows, err := s.writeConn.query(ctx, stmt.sql, stmt.params, rowOptions{blobArray: r.blobArray})
		if err != nil {
			return nil, timedOut(err, errQueryTimeout)
		}
		rows.seconds = since(start, r.timings)
		return rows, nil
	}
	w, err := s.writeConn.exec(ctx, stmt.sql, stmt.params)
	if err == nil {
		err = ctx.Err() // a late write fails although it is done
	}
	if err != nil {
		return nil, timedOut(err, errExecuteTimeout)
	}
	return &execResult{written: w, seconds: since(start, r.timings)}, nil
}

// query answers reads on connections of a source. The index is 0 unless the read goes through the
// log, as a strong read does. The end of ctx interrupts other reads.
func (s *store) query(ctx context.Context, r *dbRequest, from source, logged bool) ([]result, uint64, error) {
	if logged {
		index := s.index.Add(1)
		results, err := s.read(s.life, r, from)
		return results, index, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	results, err := s.read(ctx, r, from)
	return results, 0, err
}

// read runs the statements on a read connection. If a statement fails it continues with the next.
func (s *store) read(ctx context.Context, r *dbRequest, from source) ([]result, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	c, err := from.get()
	if err != nil {
		return nil, err
	}
	defer from.put(c)
	tx, err := c.begin(r.transaction)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, stmt := range r.statements {
		if stmt.sql == "" {
			continue
		}
		start := time.Now()
		rows, err := c.query(ctx, stmt.sql, stmt.params, r.rowOptions())
		switch {
		case isCode(err, sqlite3.SQLITE_READONLY):
			rows = &rowsResult{err: errWriteByQuery.Error()}
		case err != nil:
			rows = &rowsResult{err: timedOut(err, errQueryTimeout).Error()}
		default:
			rows.seconds = since(start, r.timings)
		}
		results = append(results, rows)
	}
	return results, tx.commit(ctx)
}

// request answers a request of /db/request that goes through the log. Everything, including reads,
// runs in order on the write connection.
func (s *store) request(r *dbRequest) ([]result, uint64, error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	index := s.index.Add(1)
	s.capture.reset(index)
	ctx, cancel := r.bounded(s.life)
	defer cancel()
	results, err := s.mixed(ctx, r)
	if err != nil {
		return nil, 0, err
	}
	return results, index, nil
}

// mixed runs reads and writes on the write connection. If running a statement fails, it rolls a
// transaction back and stops. If preparing one fails, it reports the error in its place, runs the
// rest, and commits.
func (s *store) mixed(ctx context.Context, r *dbRequest) ([]result, error) {
	tx, err := s.writeConn.begin(r.transaction)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, stmt := range r.statements {
		if stmt.sql == "" {
			continue
		}
		first, _, err := s.writeConn.prepare(stmt.sql)
		if err != nil {
			results = append(results, errorResult(err.Error()))
			continue
		}
		reads := first.readOnly()
		first.finalize()

		var res result
		if reads {
			if res, err = s.readOne(ctx, stmt, r); err != nil {
				res = &rowsResult{err: err.Error()} // differs from errorResult in the associative form
			}
		} else if res, err = s.executeOne(ctx, stmt, r); err != nil {
			res = errorResult(err.Error())
		}
		results = append(results, res)
		if err != nil && tx.open {
			tx.rollback()
			break
		}
	}
	return results, tx.commit(ctx)
}

func (s *store) readOne(ctx context.Context, stmt statement, r *dbRequest) (result, error) {
	start := time.Now()
	rows, err := s.writeConn.query(ctx, stmt.sql, stmt.params, r.rowOptions())
	if err != nil {
		return nil, timedOut(err, errQueryTimeout)
	}
	rows.seconds = since(start, r.timings)
	return rows, nil
}

// hasWrites reports whether any statement writes, by SQLite's answer for the first part of its
// text. A statement that cannot be prepared counts as a write.
func hasWrites(stmts []statement, from source) (bool, error) {
	c, err := from.get()
	if err != nil {
		return false, err
	}
	defer from.put(c)
	for _, stmt := range stmts {
		if stmt.sql == "" || stmt.explain {
			continue
		}
		first, _, err := c.prepare(stmt.sql)
		if err != nil {
			return true, nil
		}
		reads := first.readOnly()
		first.finalize()
		if !reads {
			return true, nil
		}
	}
	return false, nil
}

// transaction is a transaction that must be ended. If it is not open it does nothing; that includes
// connections that always are in a transaction.
type transaction struct {
	c    *conn
	open bool
}

func (c *conn) begin(wanted bool) (*transaction, error) {
	wanted = wanted && !c.pinned
	if wanted {
		if _, err := c.exec(context.Background(), "BEGIN", nil); err != nil {
			return nil, err
		}
	}
	return &transaction{c: c, open: wanted}, nil
}

// commit ends an open transaction. If that fails, it is rolled back. If the context has ended, it
// is rolled back as well, as in database/sql.
func (t *transaction) commit(ctx context.Context) error {
	if !t.open {
		return nil
	}
	if ctx.Err() != nil {
		t.rollback()
		return errTxDone
	}
	t.open = false
	_, err := t.c.exec(context.Background(), "COMMIT", nil)
	if err != nil {
		_, _ = t.c.exec(context.Background(), "ROLLBACK", nil)
	}
	return err
}

// rollback ends an open transaction. An error means that SQLite has already rolled back, so it is
// ignored.
func (t *transaction) rollback() {
	if t.open {
		t.open = false
		_, _ = t.c.exec(context.Background(), "ROLLBACK", nil)
	}
}
