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
	timeout     time.Duration // 0 is none
	timings     bool
	level       level
	blobArray   bool
	qualify     bool // column names with their table, on read endpoints only

	freshness       time.Duration // 0 is any
	rollbackOnError bool          // end a transaction that a failed statement leaves open
}

func (r *dbRequest) rowOptions() rowOptions {
	return rowOptions{blobArray: r.blobArray, qualify: r.qualify}
}

// store is the database that all nodes share, with one connection that writes
// and a pool of connections that only read.
type store struct {
	path        string
	foreignKeys bool

	writer    sync.Mutex // held while the write connection is used
	writeConn *conn
	capture   *capture      // nil if changes are not posted
	loads     int           // databases loaded in place of the first
	index     atomic.Uint64 // of the last log entry applied
	readers   atomic.Pointer[pool]

	// life ends when the server closes, and with it every statement.
	life   context.Context
	cancel context.CancelFunc
}

// firstIndex stands for the entries a cluster has in its log from its start.
const firstIndex = 2

// openStore makes a database, whose changes are captured unless changes is nil.
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

// open opens a database in WAL mode, so that reads and writes do not wait for
// each other, and makes it the store's. The one before is closed.
func (s *store) open(path string) error {
	fk := "PRAGMA foreign_keys = OFF"
	if s.foreignKeys {
		fk = "PRAGMA foreign_keys = ON"
	}
	if path = filepath.ToSlash(path); path[0] != '/' {
		path = "/" + path // SQLite wants a drive letter after a slash
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

// close closes the connections; no request may be under way.
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

// breakingPragma matches the pragmas that the server keeps for itself, at the
// very start of a statement's text.
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

// bounded returns ctx with the request's timeout.
func (r *dbRequest) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, r.timeout)
}

// timedOut names an expired deadline as the server does.
func timedOut(err, name error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return name
	}
	return err
}

// execute applies a request of /db/execute, and returns its results and its log
// index. An error means that there are no results. The client's going away does
// not stop it: a write that has been proposed is applied.
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
		err = ctx.Err() // too late counts as failed, although it is done
	}
	if err != nil {
		return nil, timedOut(err, errExecuteTimeout)
	}
	return &execResult{written: w, seconds: since(start, r.timings)}, nil
}

// query answers reads from a source of connections; the index is 0 unless the
// read goes through the log, as a strong one does. The end of ctx interrupts
// all others.
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

// read runs the statements on a read connection. After an error it goes on with
// the next statement.
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

// request answers a request of /db/request that goes through the log: all of
// it, reads included, in order on the write connection.
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

// mixed runs reads and writes on the write connection. An error in running a
// statement rolls a transaction back and ends it; an error in preparing one is
// reported in its place, and the rest is still run and committed.
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
				res = &rowsResult{err: err.Error()} // unlike errorResult in the associative form
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

// hasWrites reports whether any statement writes, as far as SQLite says so of
// its first part. What cannot be prepared counts as a write.
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

// transaction is a BEGIN that is to be ended, or, when not open, nothing. On a
// connection that is in a transaction for good it is nothing.
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

// commit ends an open transaction; if that fails, nothing of it remains. The
// end of the context has rolled the transaction back, as database/sql does it.
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

// rollback ends an open transaction. It may fail because SQLite has already
// rolled back by itself, which is as well.
func (t *transaction) rollback() {
	if t.open {
		t.open = false
		_, _ = t.c.exec(context.Background(), "ROLLBACK", nil)
	}
}
