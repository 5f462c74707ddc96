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

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var (
	errPragma      = errors.New("a PRAGMA that sets or does something gives no rows in rqlite: use Exec")
	errQueuedQuery = errors.New("a queued write gives no rows: use Exec")
)

// query runs a script; each of its statements gives one result set.
//
// Statements that only read go out as one request. Where one of them writes,
// each goes out on its own, in order, and the first that fails ends the script.
func (c *conn) query(ctx context.Context, script []sqltext.Statement, args []driver.NamedValue) (driver.Rows, error) {
	calls, err := c.deal(ctx, script, args)
	switch {
	case err != nil:
		return nil, err
	case c.tx != nil && len(calls) > 0:
		return c.tx.query(ctx, calls)
	}
	for i := range calls {
		if calls[i].Kind == sqltext.Pragma && !calls[i].SetsDeferral() {
			return nil, fmt.Errorf("rqlite: %w", atStatement(errPragma, i, len(calls)))
		}
	}
	r := &rows{values: valuer{loc: c.connector.cfg.Location}}
	if err := c.start(ctx, r, calls); err != nil {
		r.closeAll()
		return nil, err
	}
	r.open()
	return r, nil
}

// start sends the requests that calls take and gives their answers to r.
func (c *conn) start(ctx context.Context, r *rows, calls []call) error {
	step := 1
	if allRead(calls) {
		step = len(calls)
	}
	for i := 0; i < len(calls); i += step {
		if c.note(&calls[i]) {
			r.sources = append(r.sources, &source{set: &resultSet{}})
			continue
		}
		s, err := c.request(ctx, calls[i:i+step], script{first: i, total: len(calls)})
		if err != nil {
			return err
		}
		r.sources = append(r.sources, s)
	}
	return nil
}

func allRead(calls []call) bool {
	for i := range calls {
		if calls[i].Kind != sqltext.Read {
			return false
		}
	}
	return true
}

// request sends calls, which are several only if all of them read.
func (c *conn) request(ctx context.Context, calls []call, at script) (*source, error) {
	calls, err := c.withConnState(calls)
	if err != nil {
		return nil, refused(err)
	}
	switch calls[0].Kind {
	case sqltext.Read:
		return c.read(ctx, calls, at)
	case sqltext.Unknown:
		// /db/query tells whether it writes: it refuses what does, without effect.
		s, err := c.read(ctx, calls, at)
		if errors.Is(err, ReadOnly) {
			return c.writeRows(ctx, calls, at)
		}
		return s, err
	case sqltext.Write, sqltext.Schema, sqltext.Maintenance, sqltext.Pragma, sqltext.Control:
	}
	return c.writeRows(ctx, calls, at)
}

// read sends calls to /db/query, at the consistency level of the context.
func (c *conn) read(ctx context.Context, calls []call, at script) (*source, error) {
	params, leader, err := c.readParams(ctx, explain(calls))
	if err != nil {
		return nil, err
	}
	sent := c.connector.schema.check(calls)
	answer, err := c.send(ctx, cluster.Request{Path: queryPath, Params: params, Leader: leader, Stream: true}, sent)
	if err != nil {
		return nil, err
	}
	s := &source{conn: c, answer: answer, calls: calls, at: at}
	if len(sent) > len(calls) {
		if err := readCheck(answer, at); err != nil {
			answer.Close()
			return nil, err
		}
	}
	return s.begin()
}

// writeRows sends a statement to /db/execute, which sends back the rows of RETURNING.
func (c *conn) writeRows(ctx context.Context, calls []call, at script) (*source, error) {
	if c.queueing(ctx).on {
		return nil, fmt.Errorf("rqlite: %w", atStatement(errQueuedQuery, at.first, at.total))
	}
	c.state.lose()
	if calls[0].needsTx() {
		return c.rowsInTx(ctx, calls, at)
	}
	answer, m, err := c.writeForRows(ctx, cluster.Request{Path: executePath, Params: writeParams, Stream: true}, calls, false)
	if err != nil {
		return nil, err
	}
	s, err := (&source{conn: c, answer: answer, calls: calls, at: at, wrote: true, marking: m}).begin()
	if lostItsRows(err, &calls[0]) {
		return nil, c.rowsLost(ctx, err)
	}
	return s, err
}

// rowsInTx runs a statement that writes in a transaction of its own. Its rows are in memory.
func (c *conn) rowsInTx(ctx context.Context, calls []call, at script) (*source, error) {
	set := &resultSet{}
	err := c.inTx(ctx, func(ctx context.Context, t *tx) error {
		list, err := t.operations(ctx, calls, true)
		if err == nil {
			_, err = t.run(ctx, list)
		}
		if err == nil && list[0].set != nil {
			set = list[0].set
		}
		return err
	})
	if err != nil {
		return nil, renumbered(err, at.first, at.total)
	}
	return &source{set: set}, nil
}

// readParams returns the URL parameters of a read, and whether only the leader
// can answer it.
func (c *conn) readParams(ctx context.Context, explains bool) (params string, leader bool, err error) {
	options, err := readOptionsFor(ctx, c.connector.cfg)
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

// readsOnly are the URL parameters of every read. The server is told not to parse it: what it
// rewrites, on some releases at every level, does not always mean the same, and a read stores
// nothing that would need it.
const readsOnly = blobsAsArrays + "&noparse&level="

// explain reports whether one of the calls is an EXPLAIN.
func explain(calls []call) bool {
	return slices.ContainsFunc(calls, func(one call) bool { return one.Keyword == "EXPLAIN" })
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
