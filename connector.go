package rqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync/atomic"

	"github.com/go-rqlite/rqlite/internal/autocommit"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/transport"
	"github.com/go-rqlite/rqlite/internal/txn"
)

var (
	_ driver.Connector = (*Connector)(nil)
	_ io.Closer        = (*Connector)(nil)
)

// Connector makes the connections of one [database/sql.DB], for [database/sql.OpenDB]. It owns the
// HTTP connections to the cluster, which all of them share, and the knowledge of its nodes. It is
// safe for concurrent use.
type Connector struct {
	// NewConnector sets these, and nothing changes them. They are safe for concurrent use.
	cfg      *Config
	client   *cluster.Client
	engine   *autocommit.Engine
	versions *occ.Versions
	env      *txn.Env

	closed atomic.Bool // only Close sets it

	scripts sqltext.Cache // guards itself
}

// NewConnector returns a connector for a copy of cfg; nil stands for a node on localhost, with all
// defaults. It sends nothing. Its error says which setting is wrong. It reads the files for TLS.
func NewConnector(cfg *Config) (*Connector, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	cfg = cfg.Clone()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	carrier, err := newTransport(cfg)
	if err != nil {
		return nil, err
	}
	c := &Connector{cfg: cfg}
	c.client = cluster.New(cluster.Config{
		Hosts:     cfg.addresses(),
		Scheme:    cfg.scheme(),
		Prefix:    strings.TrimSuffix(cfg.PathPrefix, "/"),
		User:      cfg.User,
		Password:  cfg.Password,
		Transport: carrier,
		Proxy:     transport.Proxies(carrier),
		Verified:  cfg.verifiesNodes(),
		Timeout:   cfg.requestTimeout(),
		Redirect:  cfg.Discovery != DiscoveryOff && !cfg.behindProxy(),
		Members:   cfg.Discovery == DiscoveryNodes,
		Logger:    cfg.Logger,
	})
	c.versions = occ.New(clusterSender{c.client}, occ.Settings{
		Disabled: cfg.DisableTxVersion, NoTokens: cfg.ExactlyOnce == OnceOff, Timeout: cfg.requestTimeout(), Warn: cfg.warn,
	})
	c.engine = autocommit.NewEngine(&autocommit.Engine{
		Versions: c.versions, Nodes: c.client,
		Coalescer:  coalesce.New(coalesce.Config{Client: c.client, Request: c.versions.BulkRequest, Once: autocommit.BulkAttempts(c.versions), OnceAlone: cfg.ExactlyOnce == OnceAll, Logger: cfg.Logger}),
		Reads:      coalesce.NewReads(coalesce.Config{Client: c.client, Logger: cfg.Logger}),
		ReadParams: cfg.readParams, Queues: cfg.queues, Alone: cfg.alone, Warn: cfg.warn,
		Times: cfg.times(), NodesCall: cfg.allowedCalls(), SendForeignKeys: cfg.SendForeignKeys, TokensAlone: cfg.ExactlyOnce == OnceAll,
	})
	c.env = &txn.Env{
		Sender: c.versions, Versions: c.versions, Nodes: c.client, Texts: new(sqltext.Texts), ReadParams: cfg.readParamsUntil,
		SchemaChanged: c.engine.SchemaChanged, Defaults: c.engine.Defaults,
		Times: cfg.times(), Timeout: cfg.requestTimeout(),
	}
	return c, nil
}

// Connect implements driver.Connector. It sends nothing: the first statement does.
func (c *Connector) Connect(context.Context) (driver.Conn, error) {
	if c.closed.Load() {
		return nil, errors.New("rqlite: the connector is closed")
	}
	return c.newConn(), nil
}

// newConn returns a connection.
func (c *Connector) newConn() *conn {
	inner := &conn{connector: c}
	inner.session = autocommit.NewSession(c.engine, &inner.state)
	inner.session.InTx = inner.inTx
	return inner
}

// Driver implements driver.Connector.
func (c *Connector) Driver() driver.Driver { return &Driver{} }

// Stats counts the actions of a connector, over all of its connections.
type Stats struct {
	Requests  uint64 // requests for statements
	Failures  uint64 // requests that failed in the end, without statements that SQLite refused
	Coalesced uint64 // writes that were handed over to go out with others
	// CoalescedReads counts the reads that were handed over to go out with others. Some of them may
	// have been sent by themselves after all.
	CoalescedReads uint64
	Retries        uint64 // further attempts at a request
	Redirects      uint64 // redirects to the leader that were followed
	Leaders        uint64 // times that a leader was learned
	Fallbacks      uint64 // times that requests for the leader began to be forwarded
}

// Stats returns the counts so far. (*sql.DB).Driver does not lead here: keep the Connector that was
// given to sql.OpenDB.
func (c *Connector) Stats() Stats {
	sent, joint, reads := c.client.Counts(), c.engine.Coalescer.Counts(), c.engine.Reads.Counts()
	return Stats{
		Requests:       sent.Requests,
		Failures:       sent.Failures + joint.Failures + reads.Failures,
		Coalesced:      joint.Joined,
		CoalescedReads: reads.Joined,
		Retries:        sent.Retries,
		Redirects:      sent.Redirects,
		Leaders:        sent.Leaders,
		Fallbacks:      sent.Fallbacks,
	}
}

// Close closes the idle HTTP connections. (*sql.DB).Close calls it. It does not cut off requests
// under way, and leaves the connections of the program's HTTPClient alone.
func (c *Connector) Close() error {
	c.closed.Store(true)
	c.client.Close()
	return nil
}

// clusterSender sends requests to the cluster. Its errors are those of package sqlerr.
type clusterSender struct{ client *cluster.Client }

// Send implements occ.Sender.
func (s clusterSender) Send(ctx context.Context, req *cluster.Request) (*cluster.Answer, error) {
	answer, err := s.client.Send(ctx, req)
	if err != nil {
		return nil, sqlerr.WithPath(sqlerr.From(err), req.Path)
	}
	return answer, nil
}
