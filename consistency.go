package rqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/occ"
)

// Consistency is the read consistency level of rqlite: how much a read may miss of earlier writes,
// and what it costs to find out. It does not affect writes, which always go through the Raft log.
//
// The zero value is [Weak], which is rqlite's own default.
type Consistency uint8

const (
	// Weak asks the node that believes itself to be the leader. Right after a change of leader the
	// old one can answer with data that are about a second old.
	Weak Consistency = iota
	// Linearizable makes the leader confirm its leadership with a majority before it answers. A
	// read sees every write that was acknowledged before the read began.
	Linearizable
	// Strong sends the read itself through the Raft log. It gives what Linearizable gives, at the
	// price of a write. It serves tests more than programs.
	Strong
	// None lets any node answer from its own copy, without asking others. Only a freshness bounds
	// how old the answer may be.
	None
	// Auto lets the node choose: None on a read-only replica, Weak on any other node.
	Auto
)

// consistencyNames is indexed by Consistency.
var consistencyNames = []string{"weak", "linearizable", "strong", "none", "auto"}

// String returns rqlite's name for the level, such as "weak". For a value that is no level it
// returns text that [ParseConsistency] refuses.
func (c Consistency) String() string { return enumName("Consistency", consistencyNames, c) }

// ParseConsistency returns the level with the given name. Names are exact and in lower case; the
// error for any other text lists them.
func ParseConsistency(s string) (Consistency, error) {
	return parseEnum[Consistency]("consistency level", consistencyNames, s)
}

// MarshalText implements [encoding.TextMarshaler]. It fails for a value that is no level.
func (c Consistency) MarshalText() ([]byte, error) {
	if !c.valid() {
		return nil, errors.New("rqlite: " + invalidLevel(c))
	}
	return []byte(c.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler] with the rules of [ParseConsistency]. On an
// error the receiver keeps its value.
func (c *Consistency) UnmarshalText(text []byte) error {
	level, err := ParseConsistency(string(text))
	if err != nil {
		return err
	}
	*c = level
	return nil
}

func (c Consistency) valid() bool { return int(c) < len(consistencyNames) }

// takesFreshness reports whether rqlite obeys a freshness at this level. At the others it would
// silently ignore it.
func (c Consistency) takesFreshness() bool { return c == None || c == Auto }

func invalidLevel(c Consistency) string {
	return fmt.Sprintf("%v is no consistency level; use one of %s", c, strings.Join(consistencyNames, ", "))
}

// callOptions are the options that the With… functions put into a context. They never change there:
// each function stores a changed copy. A nil field was not given, so that the setting of the
// [Config] counts.
type callOptions struct {
	level               *Consistency
	freshness           *freshness
	linearizableTimeout *time.Duration
	queueing            *queueing
	txMode              *TxMode
	alone               bool // set by WithoutCoalescing
}

// queueing says whether writes go into rqlite's queue
// (https://rqlite.io/docs/api/queued-writes/), and whether to wait for them.
type queueing struct {
	on, wait bool
}

// freshness bounds how old the data may be of a node that answers on its own.
type freshness struct {
	bound  time.Duration
	strict bool
}

type callOptionsKey struct{}

// callOptionsOf returns a copy of the options in ctx.
func callOptionsOf(ctx context.Context) callOptions {
	o, _ := ctx.Value(callOptionsKey{}).(callOptions)
	return o
}

func (o callOptions) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, callOptionsKey{}, o)
}

// WithConsistency returns a context in which reads use the given level instead of that of the DSN.
// A freshness belongs to its level, so the DSN's freshness does not apply to such a read; add
// [WithFreshness] if needed. The last call wins if contexts are nested.
//
// If the value is no level, the call that uses the context fails, not this function. Writes ignore
// it.
func WithConsistency(ctx context.Context, level Consistency) context.Context {
	o := callOptionsOf(ctx)
	o.level = &level
	return o.in(ctx)
}

// WithFreshness returns a context in which a node refuses to answer a read from its own copy if it
// last heard from the leader more than d ago. With strict set, a node that knows that it is behind
// also refuses if the last change it applied reached it more than d after the leader logged it.
//
// It works only at the levels [None] and [Auto]. Reading with it at another level is an error,
// because rqlite would silently ignore it. Zero d removes the bound of the DSN, and then strict
// must be false. Negative d is an error. Errors come from the call that uses the context. Writes
// ignore it.
func WithFreshness(ctx context.Context, d time.Duration, strict bool) context.Context {
	o := callOptionsOf(ctx)
	o.freshness = &freshness{bound: d, strict: strict}
	return o.in(ctx)
}

// WithLinearizableTimeout returns a context in which a read at level [Linearizable] gives up if the
// leader could not confirm its leadership within d. Reads at other levels, and writes, ignore it.
// Zero means the server's default, even if the DSN sets another bound. Negative d is an error of
// the call that uses the context.
func WithLinearizableTimeout(ctx context.Context, d time.Duration) context.Context {
	o := callOptionsOf(ctx)
	o.linearizableTimeout = &d
	return o.in(ctx)
}

// WithQueue returns a context in which Exec hands its statements to the queue of the node that gets
// them. They are acknowledged before they are applied, so neither their results nor their failures
// are known. With wait, Exec returns when they have been applied or have failed; it does not report
// which. Statements in one queue are applied in the order in which they came.
//
// A queued write is lost if its node dies before it is applied. Query refuses a statement that
// writes. Reads ignore it.
func WithQueue(ctx context.Context, wait bool) context.Context {
	o := callOptionsOf(ctx)
	o.queueing = &queueing{on: true, wait: wait}
	return o.in(ctx)
}

// WithTxMode returns a context in which BeginTx uses the given mode instead of that of the DSN. If
// the value is no mode, BeginTx fails. Other calls ignore it.
func WithTxMode(ctx context.Context, mode TxMode) context.Context {
	o := callOptionsOf(ctx)
	o.txMode = &mode
	return o.in(ctx)
}

// WithoutCoalescing returns a context whose statements go out as requests of their own, at once,
// whatever other goroutines do at the time. With coalesce=false in the DSN all statements do.
func WithoutCoalescing(ctx context.Context) context.Context {
	o := callOptionsOf(ctx)
	o.alone = true
	return o.in(ctx)
}

// queueing returns the setting of the context, or else that of the Config.
func (c *Config) queueing(ctx context.Context) queueing {
	if o := callOptionsOf(ctx); o.queueing != nil {
		return *o.queueing
	}
	return queueing{on: c.Queue, wait: c.QueueWait}
}

// queues reports whether the writes of a call go into the server's queue.
func (c *Config) queues(ctx context.Context) bool { return c.queueing(ctx).on }

// alone reports whether the writes of a call must not go out with others.
func (c *Config) alone(ctx context.Context) bool {
	return c.DisableCoalescing || callOptionsOf(ctx).alone
}

// readOptions says how to do one read.
type readOptions struct {
	Level Consistency
	// Freshness is zero for no bound. It is never set at a level at which rqlite ignores it.
	Freshness       time.Duration
	FreshnessStrict bool
	// LinearizableTimeout is zero for the server's default, and at every level but Linearizable.
	LinearizableTimeout time.Duration
}

// readOptionsFor merges the options in ctx over those of cfg, which must be valid. It fails if the
// options of the context make no sense.
func readOptionsFor(ctx context.Context, cfg *Config) (readOptions, error) {
	r := readOptions{
		Level:               cfg.Consistency,
		Freshness:           cfg.Freshness,
		FreshnessStrict:     cfg.FreshnessStrict,
		LinearizableTimeout: cfg.LinearizableTimeout,
	}
	o := callOptionsOf(ctx)
	if o.level != nil {
		r.Level, r.Freshness, r.FreshnessStrict = *o.level, 0, false
	}
	if o.freshness != nil {
		r.Freshness, r.FreshnessStrict = o.freshness.bound, o.freshness.strict
	}
	if o.linearizableTimeout != nil {
		r.LinearizableTimeout = *o.linearizableTimeout
	}
	if wrong := r.contradiction(); wrong != "" {
		return readOptions{}, errors.New("rqlite: context of the call: " + wrong)
	}
	if r.Level != Linearizable {
		r.LinearizableTimeout = 0
	}
	return r, nil
}

// contradiction says what is wrong with the options, "" if nothing is. [Config] and contexts share
// these rules.
func (r readOptions) contradiction() string {
	switch {
	case !r.Level.valid():
		return invalidLevel(r.Level)
	case r.Freshness < 0:
		return "freshness must not be negative"
	case r.FreshnessStrict && r.Freshness == 0:
		return "freshness_strict needs a freshness"
	case r.Freshness > 0 && !r.Level.takesFreshness():
		return fmt.Sprintf("freshness has no effect at level %v; use level none or auto, or leave freshness out", r.Level)
	case r.LinearizableTimeout < 0:
		return "linearizable_timeout must not be negative"
	}
	return ""
}

// readOptionsAsked is readOptionsFor for a read of the driver's own, which asks in its own way. A
// read that does not depend on the options of ctx ignores what is wrong with them.
func readOptionsAsked(ctx context.Context, cfg *Config, asks occ.Asks) (readOptions, error) {
	leader, unlogged := false, false
	switch asks {
	case occ.AsksWeak:
		return readOptions{Level: Weak}, nil
	case occ.AsksLog:
		return readOptions{Level: Strong}, nil
	case occ.AsksLeader:
		leader = true
	case occ.AsksUnlogged:
		unlogged = true
	case occ.AsksLeaderUnlogged:
		leader, unlogged = true, true
	case occ.AsksAsSet:
	}
	options, err := readOptionsFor(ctx, cfg)
	switch {
	case err != nil:
		return readOptions{}, err
	case leader && options.Level.takesFreshness():
		return readOptions{Level: Weak}, nil
	case unlogged && options.Level == Strong:
		return readOptionsFor(WithConsistency(ctx, Linearizable), cfg)
	}
	return options, nil
}

// readParams returns the URL parameters of a read, without a deadline, and whether only the leader
// can answer it.
func (c *Config) readParams(ctx context.Context, explains bool, asks occ.Asks) (params string, leader bool, err error) {
	options, err := readOptionsAsked(ctx, c, asks)
	if err != nil {
		return "", false, err
	}
	params = options.params()
	if explains { // rqlite 9.4.0 to 10.2.6 takes EXPLAIN of a write for a read only if it parses that
		params = strings.Replace(params, "&noparse", "&norwtime", 1)
	}
	return params, !options.Level.takesFreshness(), nil
}

// readParamsUntil is readParams with the deadline of the context.
func (c *Config) readParamsUntil(ctx context.Context, explains bool, asks occ.Asks) (params string, leader bool, err error) {
	params, leader, err = c.readParams(ctx, explains, asks)
	deadline, _ := ctx.Deadline()
	return cluster.WithDeadline(params, deadline), leader, err
}

// readsOnly are the URL parameters of every read. The server must not parse the statement: some
// releases rewrite it at every level, and that can change its meaning. A read stores nothing, so it
// needs no rewriting. The server tells how long it took, so that the driver knows the quick ones.
const readsOnly = cluster.BlobsAsArrays + "&noparse&timings&level="

// plainReads are the parameters of a read with a level and no further option, by Consistency.
var plainReads = func() (all []string) {
	for _, level := range consistencyNames {
		all = append(all, readsOnly+level)
	}
	return all
}()

// params returns the options as URL parameters. The level must be valid.
func (r readOptions) params() string {
	params := plainReads[r.Level]
	if r.Freshness > 0 {
		params += "&freshness=" + url.QueryEscape(r.Freshness.String())
	}
	if r.FreshnessStrict {
		params += "&freshness_strict"
	}
	if r.LinearizableTimeout > 0 {
		params += "&linearizable_timeout=" + url.QueryEscape(r.LinearizableTimeout.String())
	}
	return params
}

// enumName returns the name of e, or text such as "TxMode(7)" if it has none.
func enumName[E ~uint8](typ string, names []string, e E) string {
	if int(e) < len(names) {
		return names[e]
	}
	return fmt.Sprintf("%s(%d)", typ, uint8(e))
}

// parseEnum returns the value whose name is s.
func parseEnum[E ~uint8](what string, names []string, s string) (E, error) {
	i := slices.Index(names, s)
	if i < 0 {
		return 0, fmt.Errorf("rqlite: %s %q: must be one of %s", what, s, strings.Join(names, ", "))
	}
	return E(i), nil
}
