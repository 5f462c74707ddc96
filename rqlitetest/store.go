package rqlitetest

import (
	"context"
	"errors"
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
}

func (r *dbRequest) rowOptions() rowOptions {
	return rowOptions{blobArray: r.blobArray, qualify: r.qualify}
}

// store is the database that all nodes share, with one connection that writes
// and a pool of connections that only read.
type store struct {
	writer    sync.Mutex // held while the write connection is used
	writeConn *conn
	readers   *pool
	index     atomic.Uint64 // of the last log entry applied

	// life ends when the server closes, and with it every statement.
	life   context.Context
	cancel context.CancelFunc
}

// firstIndex stands for the entries a cluster has in its log from its start.
const firstIndex = 2

// openStore makes a database in WAL mode, so that reads and writes do not wait
// for each other.
func openStore(path string, foreignKeys bool) (*store, error) {
	fk := "PRAGMA foreign_keys = OFF"
	if foreignKeys {
		fk = "PRAGMA foreign_keys = ON"
	}
	if path = filepath.ToSlash(path); path[0] != '/' {
		path = "/" + path // SQLite wants a drive letter after a slash
	}
	uri := (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String()
	w, err := openConn(uri, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = OFF", fk)
	if err != nil {
		return nil, err
	}
	s := &store{writeConn: w}
	s.readers = &pool{open: func() (*conn, error) {
		return openConn(uri+"?mode=ro", "PRAGMA synchronous = OFF", fk, "PRAGMA query_only = ON")
	}}
	s.index.Store(firstIndex)
	s.life, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// close closes the connections; no request may be under way.
func (s *store) close() error {
	s.cancel()
	s.readers.close()
	s.writeConn.close()
	return nil
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
func (s *store) execute(ctx context.Context, r *dbRequest) ([]result, uint64, error) {
	if err := r.check(); err != nil {
		return nil, 0, err
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.writer.Lock()
	defer s.writer.Unlock()
	index := s.index.Add(1)
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
		if err != nil && tx.open {
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

// query answers a request of /db/query; the index is 0 unless the read is
// strong. The end of ctx interrupts all but strong reads.
func (s *store) query(ctx context.Context, r *dbRequest) ([]result, uint64, error) {
	if err := r.check(); err != nil {
		return nil, 0, err
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	if r.level == levelStrong {
		index := s.index.Add(1)
		results, err := s.read(s.life, r)
		return results, index, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	results, err := s.read(ctx, r)
	return results, 0, err
}

// read runs the statements on a read connection. After an error it goes on with
// the next statement.
func (s *store) read(ctx context.Context, r *dbRequest) ([]result, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	c, err := s.readers.get()
	if err != nil {
		return nil, err
	}
	defer s.readers.put(c)
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

// request answers a request of /db/request: with reads only, from a read
// connection; else all of it, reads included, in order on the write connection.
func (s *store) request(ctx context.Context, r *dbRequest) ([]result, uint64, error) {
	if err := r.check(); err != nil {
		return nil, 0, err
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	writes, err := s.hasWrites(r.statements)
	if err != nil {
		return nil, 0, err
	}
	if !writes && r.level != levelStrong {
		return s.query(ctx, r)
	}
	s.writer.Lock()
	defer s.writer.Unlock()
	index := s.index.Add(1)
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
func (s *store) hasWrites(stmts []statement) (bool, error) {
	c, err := s.readers.get()
	if err != nil {
		return false, err
	}
	defer s.readers.put(c)
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

// transaction is a BEGIN that is to be ended, or, when not open, nothing.
type transaction struct {
	c    *conn
	open bool
}

func (c *conn) begin(wanted bool) (*transaction, error) {
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
