package rqlitetest

import "sync"

// source gives out read-only connections.
type source interface {
	get() (*conn, error)
	put(*conn)
}

// pool keeps connections for reuse. get returns the one used last. So a request meets the state
// that an earlier statement left on the connection, such as a changed pragma or an old schema. The
// real server does the same.
type pool struct {
	open func(setup ...string) (*conn, error)

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

// maxIdle is the number of idle connections to keep, that of database/sql.
const maxIdle = 2

func (p *pool) get() (*conn, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	return p.open("PRAGMA query_only = ON")
}

func (p *pool) put(c *conn) {
	p.mu.Lock()
	keep := len(p.idle) < maxIdle && !p.closed
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// close closes idle connections at once, and others when they are put back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.close()
	}
	p.idle, p.closed = nil, true
}
