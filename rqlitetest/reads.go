package rqlitetest

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// accept refuses what every node refuses, whether or not it leads.
func (r *dbRequest) accept(ctx context.Context) error {
	if err := r.check(); err != nil {
		return err
	}
	return ctx.Err()
}

// execute answers a request of /db/execute. It takes the leader.
func (n *node) execute(ctx context.Context, r *dbRequest) ([]result, uint64, error) {
	if err := r.accept(ctx); err != nil {
		return nil, 0, err
	}
	if !n.leads() {
		return nil, 0, errNotLeader
	}
	return n.group.store.execute(r)
}

// query answers a request of /db/query. It takes the leader unless the level is
// none, which auto means on a replica.
func (n *node) query(ctx context.Context, r *dbRequest) ([]result, uint64, error) {
	if err := r.accept(ctx); err != nil {
		return nil, 0, err
	}
	local := r.level == levelNone || r.level == levelAuto && !n.voter
	if !local && !n.leads() {
		return nil, 0, errNotLeader
	}
	if local && n.stale(r.freshness) {
		return nil, 0, errStaleRead
	}
	return n.group.store.query(ctx, r, n.source(), r.level == levelStrong)
}

// request answers a request of /db/request. Unlike /db/query it takes auto on
// every node for none, and does not look at the freshness then.
func (n *node) request(ctx context.Context, r *dbRequest) ([]result, uint64, error) {
	if err := r.accept(ctx); err != nil {
		return nil, 0, err
	}
	from := n.source()
	writes, err := hasWrites(r.statements, from)
	if err != nil {
		return nil, 0, err
	}
	local := !writes && (r.level == levelNone || r.level == levelAuto)
	if !local && !n.leads() {
		return nil, 0, errNotLeader
	}
	if local && r.level == levelNone && n.stale(r.freshness) {
		return nil, 0, errStaleRead
	}
	if !writes && r.level != levelStrong {
		return n.group.store.query(ctx, r, from, false)
	}
	return n.group.store.request(r)
}

// heartbeat is how long ago a follower that keeps up has heard of the leader.
const heartbeat = 10 * time.Millisecond

// stale reports whether a read that must be that fresh cannot be answered. The
// leader's never is.
func (n *node) stale(freshness time.Duration) bool {
	if freshness == 0 || n.leads() {
		return false
	}
	n.lagging.Lock()
	age := n.age
	n.lagging.Unlock()
	return heartbeat+age+n.group.sinceContact() > freshness
}

// source returns the connections for the node's reads.
func (n *node) source() source {
	n.lagging.Lock()
	past := n.past
	n.lagging.Unlock()
	if past == nil || n.leads() {
		return n.group.store.readers.Load()
	}
	return past
}

// lagBehind makes the node stay behind: what it reads is from now on the
// database of now. With 0 it catches up.
func (n *node) lagBehind(by time.Duration) error {
	var p *past
	if by > 0 {
		var err error
		if p, err = newPast(n.group.store); err != nil {
			return err
		}
	}
	n.lagging.Lock()
	before := n.past
	n.age, n.past = max(by, 0), p
	n.lagging.Unlock()
	if before != nil {
		before.close()
	}
	return nil
}

// past is a database as it was: a single connection in a transaction that does
// not end.
type past struct {
	mu     sync.Mutex // held while the connection is used, and once it is closed
	conn   *conn
	closed bool
}

func newPast(s *store) (*past, error) {
	// The snapshot is taken when something is read, not at BEGIN.
	c, err := s.readers.Load().open("PRAGMA query_only = ON", "BEGIN", "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return nil, fmt.Errorf("rqlite: no snapshot of the embedded server's database: %w", err)
	}
	c.pinned = true
	return &past{conn: c}, nil
}

// get fails with a stale read if the past has been closed since it was chosen.
func (p *past) get() (*conn, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errStaleRead
	}
	return p.conn, nil
}

func (p *past) put(*conn) { p.mu.Unlock() }

func (p *past) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.conn.close()
}
