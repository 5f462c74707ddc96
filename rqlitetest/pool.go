package rqlitetest

import "sync"

// pool keeps connections for reuse. A request takes the one used last, so that
// what a statement leaves behind on a connection, such as a changed pragma or
// an outdated schema, is met again as on the real server.
type pool struct {
	open func() (*conn, error)

	mu   sync.Mutex
	idle []*conn
}

// maxIdle is how many connections are kept, as many as database/sql keeps.
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
	return p.open()
}

func (p *pool) put(c *conn) {
	p.mu.Lock()
	keep := len(p.idle) < maxIdle
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// close closes the idle connections. Connections must not be in use.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.close()
	}
	p.idle = nil
}
