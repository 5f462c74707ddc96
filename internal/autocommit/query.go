package autocommit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var (
	errPragma      = errors.New("a PRAGMA that sets or does something gives no rows in rqlite: use Exec")
	errQueuedQuery = errors.New("a queued write gives no rows: use Exec")
)

// Query runs a script. Each of its statements gives one result set.
//
// Statements that only read go out as one request. If one of them writes, each goes out on its own,
// in order, and the first failure ends the script.
func (c *Session) Query(ctx context.Context, stmts []bind.Stmt) (*result.Sets, error) {
	stmts, err := c.freezeWrites(ctx, stmts)
	if err != nil {
		return nil, err
	}
	for i := range stmts {
		if stmts[i].Kind == sqltext.Pragma && !stmts[i].SetsDeferral() {
			return nil, fmt.Errorf("rqlite: %w", sqlerr.At(errPragma, i, len(stmts)))
		}
	}
	sets := result.NewSets(c.engine.Times)
	if err := c.start(ctx, sets, stmts); err != nil {
		sets.Close()
		return nil, err
	}
	sets.Open()
	return sets, nil
}

// start sends the requests of statements and adds their answers.
func (c *Session) start(ctx context.Context, sets *result.Sets, stmts []bind.Stmt) error {
	step := 1
	if allRead(stmts) {
		step = len(stmts)
	}
	for i := 0; i < len(stmts); i += step {
		if c.note(&stmts[i]) {
			sets.Add(result.InMemory(&result.Set{}))
			continue
		}
		s, err := c.request(ctx, stmts[i:i+step], result.Span{First: i, Total: len(stmts)})
		if err != nil {
			return err
		}
		sets.Add(s)
	}
	return nil
}

func allRead(stmts []bind.Stmt) bool {
	for i := range stmts {
		if stmts[i].Kind != sqltext.Read {
			return false
		}
	}
	return true
}

// request sends statements. There are several only if all of them read.
func (c *Session) request(ctx context.Context, stmts []bind.Stmt, at result.Span) (result.Source, error) {
	stmts, err := c.state.Apply(stmts)
	if err != nil {
		return result.Source{}, sqlerr.Refused(err)
	}
	switch stmts[0].Kind {
	case sqltext.Read:
		return c.read(ctx, stmts, at)
	case sqltext.Unknown:
		// /db/query refuses a statement that writes, without effect.
		s, err := c.read(ctx, stmts, at)
		if errors.Is(err, sqlerr.ReadOnly) {
			return c.writeRows(ctx, stmts, at)
		}
		return s, err
	case sqltext.Write, sqltext.Schema, sqltext.Maintenance, sqltext.Pragma, sqltext.Control:
	}
	return c.writeRows(ctx, stmts, at)
}

// read sends statements to /db/query, at the consistency level of the context.
func (c *Session) read(ctx context.Context, stmts []bind.Stmt, at result.Span) (result.Source, error) {
	return c.engine.readAsked(ctx, occ.AsksAsSet, stmts, at)
}

// readAsked sends statements to /db/query.
func (e *Engine) readAsked(ctx context.Context, asks occ.Asks, stmts []bind.Stmt, at result.Span) (result.Source, error) {
	params, leader, err := e.ReadParams(ctx, explain(stmts), asks)
	if err != nil {
		return result.Source{}, err
	}
	req := e.readRequest(params, leader, stmts)
	if cost := e.costOf(ctx, stmts); cost != nil {
		return e.readOne(ctx, req, stmts, at, cost)
	}
	deadline, _ := ctx.Deadline()
	req.Params = cluster.WithDeadline(req.Params, deadline)
	answer, err := e.send(ctx, req, stmts)
	if err != nil {
		return result.Source{}, err
	}
	return result.NewSource(answer, stmts, at, false, nil)
}

// readRequest returns the request of statements that read.
func (e *Engine) readRequest(params string, leader bool, stmts []bind.Stmt) cluster.Request {
	req := cluster.Request{Path: cluster.QueryPath, Params: params, Leader: leader, Stream: true}
	if e.schema.isDue(stmts) {
		req.Frame = schemaLook
	}
	return req
}

// writeRows sends a statement to /db/execute, which returns the rows of RETURNING.
func (c *Session) writeRows(ctx context.Context, stmts []bind.Stmt, at result.Span) (result.Source, error) {
	if c.engine.Queues(ctx) {
		return result.Source{}, fmt.Errorf("rqlite: %w", sqlerr.At(errQueuedQuery, at.First, at.Total))
	}
	c.state.Lose()
	if needsTx(stmts[0]) {
		return c.rowsInTx(ctx, stmts, at)
	}
	var a attempt
	var s result.Source
	lost, err := c.untilSettled(ctx, &a, func(ctx context.Context) (err error) {
		s, err = c.rowsAttempt(ctx, stmts, at, writeOptions{rows: true, attempt: &a})
		return err
	})
	if lost {
		return result.Source{}, errAnswerLost
	}
	return s, err
}

func (c *Session) rowsAttempt(ctx context.Context, stmts []bind.Stmt, at result.Span, how writeOptions) (result.Source, error) {
	answer, err := c.writeForRows(ctx, cluster.Request{Path: cluster.ExecutePath, Params: cluster.WriteParams, Stream: true}, stmts, how)
	if err != nil {
		return result.Source{}, err
	}
	if how.isAtomic() {
		return c.wholeRows(answer, at)
	}
	s, err := result.NewSource(answer, stmts, at, true, nil)
	if lostItsRows(err, &stmts[0]) {
		return result.Source{}, c.rowsLost(ctx, err)
	}
	return s, err
}

// wholeRows reads the answer to a statement in a transaction to its end. The failure of the commit stands
// behind the rows, and a program that reads one row would not see it.
func (c *Session) wholeRows(answer *cluster.Answer, at result.Span) (result.Source, error) {
	defer answer.Close()
	entry, err := answer.Next()
	if err != nil {
		return result.Source{}, sqlerr.From(err)
	}
	if entry.Error != "" {
		if err := answer.Undone(); err != nil {
			return result.Source{}, sqlerr.From(err)
		}
		return result.Source{}, sqlerr.New(entry.Error, at.First, at.Total)
	}
	set, err := result.Read(answer, entry, &result.Values{Times: c.engine.Times}, nil)
	var unread *result.UnreadableValue
	switch {
	case errors.As(err, &unread):
		return result.Source{}, result.Unreadable(sqlerr.At(err, at.First, at.Total), true)
	case err != nil:
		return result.Source{}, sqlerr.From(err)
	case answer.Result().Error != "":
		return result.Source{}, sqlerr.New(answer.Result().Error, at.First, at.Total)
	}
	if err := answer.End(); err != nil {
		return result.Source{}, sqlerr.From(err)
	}
	return result.InMemory(set), nil
}

// rowsInTx runs a statement that writes in a transaction of its own. Its rows are in memory.
func (c *Session) rowsInTx(ctx context.Context, stmts []bind.Stmt, at result.Span) (result.Source, error) {
	var set *result.Set
	err := c.InTx(ctx, func(ctx context.Context, t Tx) error {
		var err error
		set, err = t.Rows(ctx, stmts)
		return err
	})
	if err != nil {
		return result.Source{}, sqlerr.Renumbered(err, at.First, at.Total)
	}
	return result.InMemory(set), nil
}

// explain reports whether one of the statements is an EXPLAIN.
func explain(stmts []bind.Stmt) bool {
	return slices.ContainsFunc(stmts, func(one bind.Stmt) bool { return one.Keyword == "EXPLAIN" })
}

// Ping asks the cluster a question that only a leader can answer.
func (c *Session) Ping(ctx context.Context) error {
	s, err := c.engine.readAsked(ctx, occ.AsksWeak, []bind.Stmt{pingStmt}, result.Span{Total: 1})
	if err != nil {
		return err
	}
	s.Close()
	return nil
}

var pingStmt = bind.Stmt{Statement: &sqltext.Statement{Text: "SELECT 1", Kind: sqltext.Read}}
