package rqlitetest

import (
	"net"
	"sync"
)

// brake holds back the data of a node's connections while the node is paused.
type brake struct {
	mu       sync.Mutex
	released chan struct{} // closed when the pause ends; nil if there is none
	killed   chan struct{} // closed when the node is stopped
}

func newBrake() *brake { return &brake{killed: make(chan struct{})} }

func (b *brake) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.released == nil {
		b.released = make(chan struct{})
	}
}

func (b *brake) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.released != nil {
		close(b.released)
		b.released = nil
	}
}

// kill ends all waiting for good. It must be called only once.
func (b *brake) kill() { close(b.killed) }

// holding returns a channel that is closed when the pause ends, or nil if there is no pause.
func (b *brake) holding() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.released
}

// wait returns nil when there is no pause. It returns net.ErrClosed if done is closed or the node
// was stopped.
func (b *brake) wait(done <-chan struct{}) error {
	for {
		select {
		case <-b.killed:
			return net.ErrClosed
		case <-done:
			return net.ErrClosed
		default:
		}
		released := b.holding()
		if released == nil {
			return nil
		}
		select {
		case <-released:
		case <-b.killed:
		case <-done:
		}
	}
}

// brakedListener accepts no connections while its node is paused. The kernel still completes them,
// as for a stopped process.
type brakedListener struct {
	net.Listener
	brake     *brake
	closeOnce sync.Once
	closed    chan struct{}
}

func (l *brakedListener) Accept() (net.Conn, error) {
	if err := l.brake.wait(l.closed); err != nil {
		return nil, err
	}
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &brakedConn{Conn: c, brake: l.brake, closed: make(chan struct{})}, nil
}

func (l *brakedListener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// brakedConn neither reads nor writes while its node is paused.
type brakedConn struct {
	net.Conn
	brake     *brake
	closeOnce sync.Once
	closed    chan struct{}
}

// Read also holds back data that arrives in a Read begun before the pause.
func (c *brakedConn) Read(p []byte) (int, error) {
	if err := c.brake.wait(c.closed); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		if err := c.brake.wait(c.closed); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (c *brakedConn) Write(p []byte) (int, error) {
	if err := c.brake.wait(c.closed); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *brakedConn) Close() error {
	c.closeOnce.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
