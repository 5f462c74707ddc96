package rqlitetest

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// accept returns the errors that every node gives, leader or not.
func (r *dbRequest) accept(ctx context.Context) error {
	if err := r.check(); err != nil {
		return err
	}
	return ctx.Err()
}

// execute answers a request of /db/execute. The node must lead.
func (n *node) execute(ctx context.Context, r *dbRequest) ([]result, uint64, error) {
	if err := r.accept(ctx); err != nil {
		return nil, 0, err
	}
	if !n.leads() {
		return nil, 0, errNotLeader
	}
	return n.group.store.execute(r)
}

// query answers a request of /db/query. The node must lead unless the level is none. On a replica
// auto means none.
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

// request answers a request of /db/request. Unlike /db/query it takes auto for none on every node,
// and then ignores the freshness.
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

// heartbeat is how long ago an up-to-date follower last heard from the leader.
const heartbeat = 10 * time.Millisecond

// stale reports whether the node is too far behind for a read with that freshness. The leader never
// is.
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

// lagBehind makes the node read the database as it is now from now on. With 0 it catches up.
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

// past is the database as it was at some time: a single connection in a transaction that stays
// open.
type past struct {
	mu     sync.Mutex // held while the connection is used, and after it is closed
	conn   *conn
	closed bool
}

func newPast(s *store) (*past, error) {
	// SQLite takes the snapshot at the first read, not at BEGIN.
	c, err := s.readers.Load().open("PRAGMA query_only = ON", "BEGIN", "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return nil, fmt.Errorf("rqlite: no snapshot of the embedded server's database: %w", err)
	}
	c.pinned = true
	return &past{conn: c}, nil
}

// get fails with a stale read if the past was closed after it was chosen.
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
