package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/go-rqlite/rqlite/internal/autocommit"
	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// Batch is a list of statements that go to rqlite's bulk endpoints as one request: one round trip,
// and for writes one entry in the Raft log (https://rqlite.io/docs/api/bulk-api/). The zero value
// is an empty batch, ready for use. A Batch must not be changed while it runs.
type Batch struct {
	// Atomic makes the batch all or nothing: if a statement fails, nothing of the batch is applied.
	// For Query it makes all statements read the same state. Otherwise the statements are
	// independent, and those after a failed one still run.
	Atomic bool

	statements []batchStatement
}

type batchStatement struct {
	query string
	args  []any
}

// Add appends a statement with its values. They may be of any type that database/sql takes: any
// type that it can convert, [driver.Valuer], and [sql.Named]. The batch refuses a query of several
// statements when it runs.
func (b *Batch) Add(query string, args ...any) {
	b.statements = append(b.statements, batchStatement{query: query, args: args})
}

// Len returns the number of statements.
func (b *Batch) Len() int { return len(b.statements) }

// BatchResult is the result of one statement of a batch.
type BatchResult struct {
	// LastInsertID and RowsAffected are 0 for a statement that writes nothing, and for one with
	// RETURNING, whose rows tell more.
	LastInsertID int64
	RowsAffected int64
	// Columns, Types and Rows are the result set of a statement that has one. Types are declared
	// types in lower case, as rqlite sends them. The values in Rows have the types that scanning
	// into *any gives.
	Columns []string
	Types   []string
	Rows    [][]any
	// Err is the failure of this statement, usually an [*Error].
	Err error
}

// Exec sends the batch to /db/execute and returns one result for each statement.
//
// The error is nil if every statement succeeded. If some failed, it is that of the first of them,
// and the results show all. An Atomic batch then has no results, because nothing was applied,
// unless it only failed to get the rows of RETURNING, which is [ErrRowsLost]. With other errors
// there are no results either.
func (b *Batch) Exec(ctx context.Context, db *sql.DB) ([]BatchResult, error) {
	return b.run(ctx, db, Conn.ExecBatch)
}

// Query sends the batch to /db/query, at the consistency level of ctx, and returns one result for
// each statement. Its errors are those of Exec. It refuses a statement that writes.
func (b *Batch) Query(ctx context.Context, db *sql.DB) ([]BatchResult, error) {
	return b.run(ctx, db, Conn.QueryBatch)
}

// Queue hands the batch to rqlite's queue and returns the sequence number that the node gave it.
// The numbers of one node rise. See [WithQueue] for the meaning, and for waiting: Queue waits only
// if ctx or the DSN says so. It refuses an Atomic batch, because the queue joins batches as it
// likes. An empty batch has the number 0.
func (b *Batch) Queue(ctx context.Context, db *sql.DB) (sequence int64, err error) {
	err = withConn(ctx, db, func(c Conn) error {
		sequence, err = c.QueueBatch(ctx, b)
		return err
	})
	return sequence, err
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
			case interface{ Raw() driver.Conn }: // the wrapper of otelsql and others
				inner = c.Raw()
			default:
				return fmt.Errorf("rqlite: the database is not one of this driver: its connections are of type %T", driverConn)
			}
		}
	})
}

// ExecBatch implements Conn.
func (c *conn) ExecBatch(ctx context.Context, b *Batch) ([]BatchResult, error) {
	return publicResults(c.execBatch(ctx, b))
}

// batchResults turns the outcomes of a batch into results.
func batchResults(outcomes []result.Outcome, err error) ([]BatchResult, error) {
	if outcomes == nil {
		return nil, err
	}
	results := make([]BatchResult, len(outcomes))
	for i, o := range outcomes {
		results[i] = BatchResult(o)
	}
	return results, err
}

// publicResults makes the errors of a batch public.
func publicResults(results []BatchResult, err error) ([]BatchResult, error) {
	told := public(err)
	for i := range results {
		if err != nil && results[i].Err == err { //nolint:errorlint // the same value stays the same
			results[i].Err = told
		} else {
			results[i].Err = public(results[i].Err)
		}
	}
	return results, told
}

// execBatch runs a batch that may write.
func (c *conn) execBatch(ctx context.Context, b *Batch) ([]BatchResult, error) {
	if c.connector.cfg.queueing(ctx).on {
		return nil, errors.New("rqlite: a queued batch has no results: use Batch.Queue")
	}
	stmts, err := b.stmts(c)
	if err != nil || len(stmts) == 0 {
		return nil, err
	}
	if c.tx != nil {
		return batchResults(c.tx.ExecBatch(ctx, b.Atomic, stmts))
	}
	return batchResults(c.session.ExecBatch(ctx, b.Atomic, stmts))
}

// QueryBatch implements Conn.
func (c *conn) QueryBatch(ctx context.Context, b *Batch) ([]BatchResult, error) {
	return publicResults(c.queryBatch(ctx, b))
}

// queryBatch runs a batch that only reads.
func (c *conn) queryBatch(ctx context.Context, b *Batch) ([]BatchResult, error) {
	stmts, err := b.stmts(c)
	if err != nil {
		return nil, err
	}
	if _, err := readOptionsFor(ctx, c.connector.cfg); err != nil || len(stmts) == 0 {
		return nil, err
	}
	if err := autocommit.OnlyReads(stmts); err != nil {
		return nil, err
	}
	if c.tx != nil {
		return batchResults(c.tx.ExecBatch(ctx, b.Atomic, stmts))
	}
	return batchResults(c.session.QueryBatch(ctx, b.Atomic, stmts))
}

// QueueBatch implements Conn.
func (c *conn) QueueBatch(ctx context.Context, b *Batch) (int64, error) {
	sequence, err := c.queueBatch(ctx, b)
	return sequence, public(err)
}

// queueBatch hands a batch to the queue of a node.
func (c *conn) queueBatch(ctx context.Context, b *Batch) (int64, error) {
	switch {
	case b.Atomic:
		return 0, errors.New("rqlite: an atomic batch cannot be queued")
	case c.tx != nil:
		return 0, errQueuedInTx
	}
	stmts, err := b.stmts(c)
	if err != nil || len(stmts) == 0 {
		return 0, err
	}
	return c.session.Enqueue(ctx, stmts, c.connector.cfg.queueing(ctx).wait)
}

// stmts parses the statements and binds their values.
func (b *Batch) stmts(c *conn) ([]bind.Stmt, error) {
	if c.closed {
		return nil, errClosed
	}
	stmts := make([]bind.Stmt, 0, len(b.statements))
	for i, s := range b.statements {
		one, err := s.stmt(c)
		if err != nil {
			return nil, sqlerr.Refused(sqlerr.At(err, i, len(b.statements)))
		}
		stmts = append(stmts, one)
	}
	return stmts, nil
}

func (s *batchStatement) stmt(c *conn) (bind.Stmt, error) {
	script, err := c.parse(s.query)
	if err != nil {
		return bind.Stmt{}, err
	}
	if len(script) != 1 {
		return bind.Stmt{}, fmt.Errorf("it has %d statements where one belongs: add each on its own", len(script))
	}
	args, err := namedValues(s.args)
	if err != nil {
		return bind.Stmt{}, err
	}
	stmts, err := bind.Deal(script, args)
	if err != nil {
		return bind.Stmt{}, err
	}
	return stmts[0], nil
}

// namedValues converts values as database/sql does for the arguments of Exec.
func namedValues(args []any) ([]driver.NamedValue, error) {
	list := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		list[i].Ordinal = i + 1
		if n, ok := arg.(sql.NamedArg); ok {
			list[i].Name, arg = n.Name, n.Value
		}
		value, err := jsonText(arg)
		if errors.Is(err, driver.ErrSkip) {
			value, err = driver.DefaultParameterConverter.ConvertValue(arg)
		}
		if err != nil {
			return nil, fmt.Errorf("parameter %d: %w", i+1, err)
		}
		list[i].Value = value
	}
	return list, nil
}
