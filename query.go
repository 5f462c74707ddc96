package rqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/txn"
)

var (
	errPragma      = errors.New("a PRAGMA that sets or does something gives no rows in rqlite: use Exec")
	errQueuedQuery = errors.New("a queued write gives no rows: use Exec")
)

// query runs a script; each of its statements gives one result set.
//
// Statements that only read go out as one request. Where one of them writes,
// each goes out on its own, in order, and the first that fails ends the script.
func (c *conn) query(ctx context.Context, script []sqltext.Statement, args []driver.NamedValue) (*result.Sets, error) {
	stmts, err := c.deal(ctx, script, args)
	switch {
	case err != nil:
		return nil, err
	case c.tx != nil && len(stmts) > 0:
		return c.tx.Query(ctx, stmts)
	}
	for i := range stmts {
		if stmts[i].Kind == sqltext.Pragma && !stmts[i].SetsDeferral() {
			return nil, fmt.Errorf("rqlite: %w", sqlerr.At(errPragma, i, len(stmts)))
		}
	}
	sets := result.NewSets(c.connector.cfg.Location)
	if err := c.start(ctx, sets, stmts); err != nil {
		sets.Close()
		return nil, err
	}
	sets.Open()
	return sets, nil
}

// start sends the requests that statements take and adds their answers.
func (c *conn) start(ctx context.Context, sets *result.Sets, stmts []bind.Stmt) error {
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

// request sends statements, which are several only if all of them read.
func (c *conn) request(ctx context.Context, stmts []bind.Stmt, at result.Span) (*result.Source, error) {
	stmts, err := c.state.Apply(stmts)
	if err != nil {
		return nil, sqlerr.Refused(err)
	}
	switch stmts[0].Kind {
	case sqltext.Read:
		return c.read(ctx, stmts, at)
	case sqltext.Unknown:
		// /db/query tells whether it writes: it refuses what does, without effect.
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
func (c *conn) read(ctx context.Context, stmts []bind.Stmt, at result.Span) (*result.Source, error) {
	params, leader, err := c.connector.readParams(ctx, explain(stmts))
	if err != nil {
		return nil, err
	}
	answer, err := c.send(ctx, c.readRequest(params, leader, stmts), stmts)
	if err != nil {
		return nil, err
	}
	return result.NewSource(answer, stmts, at, false, nil)
}

// readRequest returns the request of statements that read.
func (c *conn) readRequest(params string, leader bool, stmts []bind.Stmt) cluster.Request {
	req := cluster.Request{Path: cluster.QueryPath, Params: params, Leader: leader, Stream: true}
	if c.connector.schema.isDue(stmts) {
		req.Frame = schemaLook
	}
	return req
}

// writeRows sends a statement to /db/execute, which sends back the rows of RETURNING.
func (c *conn) writeRows(ctx context.Context, stmts []bind.Stmt, at result.Span) (*result.Source, error) {
	if c.queueing(ctx).on {
		return nil, fmt.Errorf("rqlite: %w", sqlerr.At(errQueuedQuery, at.First, at.Total))
	}
	c.state.Lose()
	if needsTx(stmts[0]) {
		return c.rowsInTx(ctx, stmts, at)
	}
	answer, err := c.writeForRows(ctx, cluster.Request{Path: cluster.ExecutePath, Params: cluster.WriteParams, Stream: true}, stmts, writing{rows: true})
	if err != nil {
		return nil, err
	}
	s, err := result.NewSource(answer, stmts, at, true, nil)
	if lostItsRows(err, &stmts[0]) {
		return nil, c.rowsLost(ctx, err)
	}
	return s, err
}

// rowsInTx runs a statement that writes in a transaction of its own. Its rows are in memory.
func (c *conn) rowsInTx(ctx context.Context, stmts []bind.Stmt, at result.Span) (*result.Source, error) {
	var set *result.Set
	err := c.inTx(ctx, func(ctx context.Context, t *txn.Tx) error {
		var err error
		set, err = t.Rows(ctx, stmts)
		return err
	})
	if err != nil {
		return nil, sqlerr.Renumbered(err, at.First, at.Total)
	}
	return result.InMemory(set), nil
}

// readParams returns the URL parameters of a read, and whether only the leader
// can answer it.
func (c *Connector) readParams(ctx context.Context, explains bool) (params string, leader bool, err error) {
	options, err := readOptionsFor(ctx, c.cfg)
	if err != nil {
		return "", false, err
	}
	params = options.params()
	if explains { // rqlite 9.4.0 to 10.2.6 takes EXPLAIN of a write for a read only if it parses that
		params = strings.Replace(params, "&noparse", "&norwtime", 1)
	}
	if deadline, ok := ctx.Deadline(); ok {
		// The node need not work longer than anyone waits for it. With a write
		// this would be replicated, and each node would count for itself.
		params += "&db_timeout=" + strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10) + "ms"
	}
	return params, options.Level != None && options.Level != Auto, nil
}

// readParamsInTx returns the URL parameters of a read within a transaction.
func (c *Connector) readParamsInTx(ctx context.Context, explains bool, asks txn.Asks) (params string, leader bool, err error) {
	options, err := readOptionsFor(ctx, c.cfg)
	switch {
	case err != nil:
		return "", false, err
	case asks == txn.AsksLog:
		ctx = WithConsistency(ctx, Strong)
	case asks == txn.AsksLeader && options.Level.takesFreshness():
		ctx = WithConsistency(ctx, Weak)
	}
	return c.readParams(ctx, explains)
}

// readsOnly are the URL parameters of every read. The server is told not to parse it: what it
// rewrites, on some releases at every level, does not always mean the same, and a read stores
// nothing that would need it.
const readsOnly = cluster.BlobsAsArrays + "&noparse&level="

// explain reports whether one of the statements is an EXPLAIN.
func explain(stmts []bind.Stmt) bool {
	return slices.ContainsFunc(stmts, func(one bind.Stmt) bool { return one.Keyword == "EXPLAIN" })
}

// params returns the options as URL parameters.
func (o readOptions) params() string {
	params := readsOnly + o.Level.String()
	if o.Freshness > 0 {
		params += "&freshness=" + url.QueryEscape(o.Freshness.String())
	}
	if o.FreshnessStrict {
		params += "&freshness_strict"
	}
	if o.LinearizableTimeout > 0 {
		params += "&linearizable_timeout=" + url.QueryEscape(o.LinearizableTimeout.String())
	}
	return params
}
