package autocommit

import (
	"context"
	"database/sql/driver"
	"fmt"
	"sync/atomic"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// Engine carries out statements outside of transactions. All sessions of a connector share it. It
// is safe for concurrent use. The exported fields are set before the first statement and never
// change.
type Engine struct {
	Versions  *occ.Versions
	Nodes     Nodes
	Coalescer *coalesce.Coalescer // of writes
	Reads     *coalesce.Reads
	// ReadParams returns the URL parameters of a read, without a deadline, and whether only the
	// leader can answer it.
	ReadParams func(ctx context.Context, explains bool, asks occ.Asks) (params string, leader bool, err error)
	// Queues reports whether the writes of a call go into the server's queue.
	Queues func(ctx context.Context) bool
	// Alone reports whether the statements of a call must not go out with others.
	Alone func(ctx context.Context) bool
	Warn  func(error) // gets errors that concern no caller

	Times           result.Times  // how times are read
	NodesCall       sqltext.Calls // functions that the driver leaves to each node
	SendForeignKeys bool          // PRAGMA foreign_keys is sent
	TokensAlone     bool          // single writes leave tokens, too

	// schema, quick and texts guard themselves.
	schema schemaWatch
	quick  quickTexts
	// returningAlone says that an infinite REAL was seen among rows of RETURNING; see coalesces.
	// join sets it, and nothing resets it.
	returningAlone atomic.Bool
	texts          sqltext.Texts // what is known of texts
}

// What may be known of the text of a statement.
const (
	seenReturning sqltext.Trait = 1 << iota // the server has seen its RETURNING clause; see demandSeen
	compiled                                // Prepare found it good
	unfusable                               // the server refused several of it as one statement
)

// NewEngine completes an engine whose exported fields are set.
func NewEngine(e *Engine) *Engine {
	e.schema.asking = make(chan struct{}, 1)
	return e
}

// SchemaChanged notes that the schema may have changed just now.
func (e *Engine) SchemaChanged() { e.schema.changed() }

// Nodes tells about the nodes of the cluster; see package cluster.
type Nodes interface {
	LeaderSince(ctx context.Context, release cluster.Release) bool
	AllSince(ctx context.Context, release cluster.Release, waits bool) bool
	Forwarding() bool
}

// Tx is a transaction, for statements outside of any that need one.
type Tx interface {
	Exec(ctx context.Context, stmts []bind.Stmt) (driver.Result, error)
	Rows(ctx context.Context, one []bind.Stmt) (*result.Set, error)
	ExecBatch(ctx context.Context, atomic bool, stmts []bind.Stmt) ([]result.Outcome, error)
}

// Session carries out the statements of one connection of database/sql. It is used by one goroutine
// at a time.
type Session struct {
	// engine and state never change. The transactions of the connection share what state points to:
	// each write changes it.
	engine *Engine
	state  *bind.ConnState
	// InTx runs f in a transaction of its own, and again after a conflict, until the timeout. It is
	// set before the first statement; it may be nil if none needs a transaction.
	InTx func(ctx context.Context, f func(ctx context.Context, t Tx) error) error
	// deferral is the PRAGMA defer_foreign_keys that waits for the next transaction, nil if there
	// is none. note sets it. TakeDeferral, and each other statement, resets it.
	deferral *bind.Stmt
}

// NewSession returns a session that tells state what its statements did. InTx is left to set.
func NewSession(engine *Engine, state *bind.ConnState) *Session {
	return &Session{engine: engine, state: state}
}

// TakeDeferral removes and returns the PRAGMA defer_foreign_keys for the next transaction, nil if
// there is none.
func (c *Session) TakeDeferral() *bind.Stmt {
	deferral := c.deferral
	c.deferral = nil
	return deferral
}

// send encodes statements and sends them as one request.
func (e *Engine) send(ctx context.Context, req cluster.Request, stmts []bind.Stmt) (*cluster.Answer, error) {
	body, err := bind.AppendAll(req.Frame.Open(bind.Size(stmts)), stmts)
	if err != nil {
		return nil, fmt.Errorf("rqlite: %w", err)
	}
	req.Body, req.Statements = req.Frame.Close(body), bind.CountOwn(stmts)
	answer, err := e.post(ctx, &req)
	if mayChangeSchema(stmts) {
		e.schema.changed()
	}
	return answer, err
}

// post sends a request.
func (e *Engine) post(ctx context.Context, req *cluster.Request) (*cluster.Answer, error) {
	return e.Versions.Send(ctx, req)
}
