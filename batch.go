package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// Batch is a list of statements that go to rqlite's bulk endpoints as one
// request: one round trip, and for writes one entry in the Raft log
// (https://rqlite.io/docs/api/bulk-api/). The zero value is an empty batch, ready
// for use. A Batch must not be changed while it runs.
type Batch struct {
	// Atomic makes the batch all or nothing: if a statement fails, nothing of
	// the batch is applied. For Query it makes all statements read the same state.
	// Otherwise the statements are independent of each other, and those behind
	// one that failed run all the same.
	Atomic bool

	statements []batchStatement
}

type batchStatement struct {
	query string
	args  []any
}

// Add appends a statement with its values, which are those that database/sql
// takes: any type it can convert, [driver.Valuer], and [sql.Named]. A query of
// several statements is refused when the batch runs.
func (b *Batch) Add(query string, args ...any) {
	b.statements = append(b.statements, batchStatement{query: query, args: args})
}

// Len returns the number of statements.
func (b *Batch) Len() int { return len(b.statements) }

// BatchResult is what the server said of one statement of a batch.
type BatchResult struct {
	// LastInsertID and RowsAffected are 0 for a statement that writes nothing,
	// and for one with RETURNING, whose rows tell more.
	LastInsertID int64
	RowsAffected int64
	// Columns, Types and Rows are the result set of a statement that has one.
	// Types are declared types in lower case, as rqlite sends them. The values in
	// Rows are of the types that scanning into *any gives.
	Columns []string
	Types   []string
	Rows    [][]any
	// Err is the failure of this statement, an [*Error] as a rule.
	Err error
}

// Exec sends the batch to /db/execute and returns one result for each
// statement.
//
// The error is nil when every statement succeeded. When some failed, it is that
// of the first of them, and the results tell of all. An Atomic batch has no
// results then, for nothing was applied, unless all that failed was to get the
// rows of RETURNING, which is [ErrRowsLost]; nor are there any with other errors.
func (b *Batch) Exec(ctx context.Context, db *sql.DB) ([]BatchResult, error) {
	return b.run(ctx, db, Conn.ExecBatch)
}

// Query sends the batch to /db/query, at the consistency level of ctx, and
// returns one result for each statement; errors are as for Exec. A statement
// that writes is refused.
func (b *Batch) Query(ctx context.Context, db *sql.DB) ([]BatchResult, error) {
	return b.run(ctx, db, Conn.QueryBatch)
}

func (b *Batch) run(ctx context.Context, db *sql.DB, method func(Conn, context.Context, *Batch) ([]BatchResult, error)) (results []BatchResult, err error) {
	err = withConn(ctx, db, func(c Conn) error {
		results, err = method(c, ctx, b)
		return err
	})
	return results, err
}

// withConn calls f with a connection of the database.
func withConn(ctx context.Context, db *sql.DB, f func(Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(driverConn any) error {
		for inner := driverConn; ; {
			switch c := inner.(type) {
			case Conn:
				return f(c)
			case interface{ Raw() driver.Conn }: // what otelsql and others wrap a connection in
				inner = c.Raw()
			default:
				return fmt.Errorf("rqlite: the database is not one of this driver: its connections are of type %T", driverConn)
			}
		}
	})
}

// ExecBatch implements Conn.
func (c *conn) ExecBatch(ctx context.Context, b *Batch) ([]BatchResult, error) {
	if c.queueing(ctx).on {
		return nil, errors.New("rqlite: a queued batch has no results: use Batch.Queue")
	}
	return c.batch(ctx, b, cluster.Request{
		Path:   executePath,
		Params: c.connector.commonParams,
		Leader: true,
		Write:  true,
	})
}

// QueryBatch implements Conn.
func (c *conn) QueryBatch(ctx context.Context, b *Batch) ([]BatchResult, error) {
	params, leader, err := c.readParams(ctx)
	if err != nil {
		return nil, err
	}
	return c.batch(ctx, b, cluster.Request{Path: queryPath, Params: params, Leader: leader, Stream: true})
}

func (c *conn) batch(ctx context.Context, b *Batch, req cluster.Request) ([]BatchResult, error) {
	calls, err := b.calls()
	if err != nil || len(calls) == 0 {
		return nil, err
	}
	sent := calls
	if !req.Write {
		if err := onlyReads(calls); err != nil {
			return nil, err
		}
		sent = c.connector.schema.check(calls)
	}
	if b.Atomic {
		req.Params += "&transaction"
	}
	answer, err := c.send(ctx, req, sent)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	if len(sent) > len(calls) {
		if err := readCheck(answer, script{total: len(calls)}); err != nil {
			return nil, err
		}
	}
	reader := batchReader{answer: answer, calls: calls, values: valuer{loc: c.connector.cfg.Location}, atomic: b.Atomic, write: req.Write}
	return reader.read()
}

// onlyReads refuses what does not read. The server refuses it as well, but for
// a PRAGMA, which changes one of its read connections for good.
func onlyReads(calls []call) error {
	for i := range calls {
		if calls[i].Kind != sqltext.Read && calls[i].Kind != sqltext.Unknown {
			return &Error{Message: "it does not only read: use Exec", Code: ReadOnly, ExtendedCode: ReadOnly, Statement: i, Statements: len(calls)}
		}
	}
	return nil
}

// calls parses the statements and deals them their values.
func (b *Batch) calls() ([]call, error) {
	calls := make([]call, 0, len(b.statements))
	for i, s := range b.statements {
		one, err := s.call()
		if err != nil {
			return nil, refused(atStatement(err, i, len(b.statements)))
		}
		calls = append(calls, one)
	}
	return calls, nil
}

func (s *batchStatement) call() (call, error) {
	script, err := parse(s.query)
	if err != nil {
		return call{}, err
	}
	if len(script) != 1 {
		return call{}, fmt.Errorf("it has %d statements where one belongs: add each on its own", len(script))
	}
	args, err := namedValues(s.args)
	if err != nil {
		return call{}, err
	}
	calls, err := deal(script, args)
	if err != nil {
		return call{}, err
	}
	return calls[0], nil
}

// namedValues converts values as database/sql does for the arguments of Exec.
func namedValues(args []any) ([]driver.NamedValue, error) {
	list := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		list[i].Ordinal = i + 1
		if n, ok := arg.(sql.NamedArg); ok {
			list[i].Name, arg = n.Name, n.Value
		}
		value, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return nil, fmt.Errorf("parameter %d: %w", i+1, err)
		}
		list[i].Value = value
	}
	return list, nil
}

// batchReader reads the answer to a batch.
type batchReader struct {
	answer *cluster.Answer
	calls  []call
	values valuer
	atomic bool
	write  bool
}

// read returns the results, and the failure of the first statement that failed.
func (r *batchReader) read() ([]BatchResult, error) {
	results := make([]BatchResult, len(r.calls))
	var first error
	for i := range results {
		if err := r.entry(&results[i], i); err != nil {
			return nil, err
		}
		failure := results[i].Err
		if r.atomic && failure != nil && !errors.Is(failure, ErrRowsLost) {
			return nil, failure // what the entries before it say was rolled back, and none need follow
		}
		if first == nil {
			first = failure
		}
	}
	if err := r.answer.End(); err != nil {
		return nil, publicError(err)
	}
	return results, first
}

// entry reads the entry of the statement at position i.
func (r *batchReader) entry(result *BatchResult, i int) error {
	entry, err := r.answer.Next()
	if err != nil {
		return publicError(err)
	}
	if r.calls[i].Kind == sqltext.Write {
		result.LastInsertID, result.RowsAffected = entry.LastInsertID, entry.RowsAffected
	}
	result.Columns, result.Types = entry.Columns, entry.Types
	if err := r.rows(result, i); err != nil {
		return err
	}
	switch message := r.answer.Result().Error; {
	case message != "":
		result.Err = failed(message, i, len(r.calls), r.write)
	case r.calls[i].Returning > 0 && len(entry.Columns) == 0:
		result.Err = errNotReturned(i, len(r.calls))
	}
	return nil
}

// rows reads the rows of the statement at position i.
func (r *batchReader) rows(result *BatchResult, i int) error {
	storage := make([]storage, len(result.Types))
	for column, typ := range result.Types {
		storage[column] = storageOf(typ)
	}
	for {
		err := r.answer.NextRow()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return publicError(err)
		}
		row := make([]any, len(storage))
		for column := range row {
			cell, err := r.answer.Cell()
			if err != nil {
				return publicError(err)
			}
			if row[column], err = r.values.value(cell, storage[column]); err != nil {
				err = fmt.Errorf("column %d (%s): %w", column+1, result.Columns[column], err)
				return unreadable(atStatement(err, i, len(r.calls)), r.write)
			}
		}
		result.Rows = append(result.Rows, row)
	}
}
