package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"
)

var (
	_ driver.Connector          = (*recorder)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.StmtExecContext    = (*stmt)(nil)
	_ driver.StmtQueryContext   = (*stmt)(nil)
)

// recorder is a database that writes down what is done to it.
type recorder struct {
	db    *sql.DB
	file  string
	steps []*step
	setup int      // the number of steps before the program itself
	names []string // drawn at random, in order of their appearance
}

// capture runs a scenario on a new database.
func (s scenario) capture() (captured capturedScenario, err error) {
	directory, err := os.MkdirTemp("", "capture")
	if err != nil {
		return captured, err
	}
	r := &recorder{file: filepath.Join(directory, "db")}
	r.db = sql.OpenDB(r)
	r.db.SetMaxOpenConns(1)
	defer func() {
		if p := recover(); p != nil {
			last := ""
			if len(r.steps) > 0 {
				last = r.steps[len(r.steps)-1].SQL
			}
			err = fmt.Errorf("after %q: %v", last, p)
		}
		err = errors.Join(err, r.db.Close(), os.RemoveAll(directory))
	}()
	if s.setup != nil {
		s.setup(r)
	}
	r.setup = len(r.steps)
	s.run(r)
	sortChecks(r.steps)
	return capturedScenario{Name: s.name, Setup: r.steps[:r.setup], Steps: r.steps[r.setup:]}, nil
}

// sortChecks brings into one order what GORM's migrator asks of the schema while
// it iterates over a map.
func sortChecks(steps []*step) {
	isCheck := func(s *step) bool {
		return s.SQL == steps[0].SQL && strings.HasPrefix(s.SQL, "SELECT count(*) FROM sqlite_master") && !s.Fails
	}
	for len(steps) > 0 {
		n := 0
		for n < len(steps) && isCheck(steps[n]) {
			n++
		}
		slices.SortFunc(steps[:n], func(a, b *step) int { return strings.Compare(fmt.Sprint(a.Args), fmt.Sprint(b.Args)) })
		steps = steps[max(n, 1):]
	}
}

// Connect implements driver.Connector.
func (r *recorder) Connect(context.Context) (driver.Conn, error) {
	c, err := r.Driver().Open("file:" + r.file + "?_foreign_keys=1&_journal_mode=MEMORY&_synchronous=OFF")
	if err != nil {
		return nil, err
	}
	return &conn{c.(*sqlite3.SQLiteConn), r}, nil
}

// Driver implements driver.Connector.
func (*recorder) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

// record adds a step, and notes the error that it gives.
func (r *recorder) record(do, query string, args []driver.NamedValue, err error) *step {
	s := &step{Do: do, SQL: r.settle(query), Fails: err != nil}
	for _, a := range args {
		s.Args = append(s.Args, newArgument(a))
	}
	r.steps = append(r.steps, s)
	return s
}

// randomNames are those of the savepoints of GORM and bun.
var randomNames = regexp.MustCompile(`\b(sp\d{6,}|SP_[0-9a-f]{6,})\b`)

// timestamps are written into statements by bun.
var timestamps = regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00:00`)

// foreignKeys are those of a CREATE TABLE of GORM, which has them from a map.
var foreignKeys = regexp.MustCompile("(,CONSTRAINT `[^`]+` FOREIGN KEY \\([^)]*\\) REFERENCES `[^`]+`\\([^)]*\\)){2,}")

// settle replaces what differs between two runs of a program.
func (r *recorder) settle(query string) string {
	query = foreignKeys.ReplaceAllStringFunc(query, func(list string) string {
		keys := strings.Split(list, ",CONSTRAINT ")
		slices.Sort(keys)
		return strings.Join(keys, ",CONSTRAINT ")
	})
	query = randomNames.ReplaceAllStringFunc(query, func(name string) string {
		for i, n := range r.names {
			if n == name {
				return fmt.Sprintf("sp%d", i+1)
			}
		}
		r.names = append(r.names, name)
		return fmt.Sprintf("sp%d", len(r.names))
	})
	return timestamps.ReplaceAllStringFunc(query, func(text string) string {
		at, err := time.Parse("2006-01-02 15:04:05.999999999Z07:00", text)
		if err == nil && time.Since(at).Abs() < time.Hour {
			return clock.Format("2006-01-02 15:04:05.999999+00:00")
		}
		return text
	})
}

// conn records what is done on a connection.
type conn struct {
	*sqlite3.SQLiteConn
	r *recorder
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.SQLiteConn.ExecContext(ctx, query, args)
	c.r.record("exec", query, args, err)
	return result, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	result, err := c.SQLiteConn.QueryContext(ctx, query, args)
	return newRows(result, err, c.r.record("query", query, args, err))
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.SQLiteConn.PrepareContext(ctx, query)
	if err != nil {
		c.r.record("prepared query", query, nil, err)
		return nil, err
	}
	return &stmt{s.(*sqlite3.SQLiteStmt), c.r, query}, nil
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	t, err := c.SQLiteConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	c.r.record("begin", "", nil, nil)
	return &tx{t, c.r}, nil
}

// stmt records the calls of a prepared statement.
type stmt struct {
	*sqlite3.SQLiteStmt
	r     *recorder
	query string
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	result, err := s.SQLiteStmt.ExecContext(ctx, args)
	s.r.record("prepared exec", s.query, args, err)
	return result, err
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	result, err := s.SQLiteStmt.QueryContext(ctx, args)
	return newRows(result, err, s.r.record("prepared query", s.query, args, err))
}

// tx records how a transaction ends.
type tx struct {
	driver.Tx
	r *recorder
}

func (t *tx) Commit() error {
	err := t.Tx.Commit()
	t.r.record("commit", "", nil, err)
	return err
}

func (t *tx) Rollback() error {
	err := t.Tx.Rollback()
	t.r.record("rollback", "", nil, err)
	return err
}

// rows notes an error that comes only when rows are read.
type rows struct {
	*sqlite3.SQLiteRows
	step *step
}

func newRows(result driver.Rows, err error, s *step) (driver.Rows, error) {
	if err != nil {
		return nil, err
	}
	return &rows{result.(*sqlite3.SQLiteRows), s}, nil
}

func (r *rows) Next(dest []driver.Value) error {
	err := r.SQLiteRows.Next(dest)
	if err != nil && !errors.Is(err, io.EOF) {
		r.step.Fails = true
	}
	return err
}
