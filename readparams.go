package rqlite

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// readParams returns the URL parameters of a read, and whether only the leader can answer it.
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
		// The node need not work after the caller has given up. A write must not have this
		// parameter: it would be replicated, and each node would measure for itself.
		params += "&db_timeout=" + strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10) + "ms"
	}
	return params, options.Level != None && options.Level != Auto, nil
}

// readParamsFor is readParams for a read at the level that asks says.
func (c *Connector) readParamsFor(ctx context.Context, explains bool, asks occ.Asks) (params string, leader bool, err error) {
	switch asks {
	case occ.AsksAsSet:
	case occ.AsksWeak:
		ctx = atLevel(ctx, Weak)
	case occ.AsksLog:
		ctx = atLevel(ctx, Strong)
	case occ.AsksLeader:
		options, err := readOptionsFor(ctx, c.cfg)
		if err != nil {
			return "", false, err
		}
		if options.Level.takesFreshness() {
			ctx = atLevel(ctx, Weak)
		}
	}
	return c.readParams(ctx, explains)
}

// atLevel returns a context for one read at a level, without a freshness.
func atLevel(ctx context.Context, level Consistency) context.Context {
	return callOptions{level: &level}.in(ctx)
}

// readsOnly are the URL parameters of every read. The server must not parse the statement: some
// releases rewrite it at every level, and that can change its meaning. A read stores nothing, so it
// needs no rewriting.
const readsOnly = cluster.BlobsAsArrays + "&noparse&level="

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

// queues reports whether the writes of a call go into the server's queue.
func (c *Connector) queues(ctx context.Context) bool { return c.queueing(ctx).on }

// alone reports whether the writes of a call must not go out with others.
func (c *Connector) alone(ctx context.Context) bool {
	return c.cfg.DisableCoalescing || callOptionsOf(ctx).alone
}

// allowedCalls returns which functions each node is to carry out by itself.
func (c *Config) allowedCalls() (stmts sqltext.Calls) {
	if c.NoRewriteRandom {
		stmts |= sqltext.CallsRandom
	}
	if c.NoRewriteTime {
		stmts |= sqltext.CallsTime
	}
	return stmts
}
