package rqlitetest

import (
	"net"
	"sync"
)

// brake holds what a node's connections carry while the node is paused.
type brake struct {
	mu       sync.Mutex
	released chan struct{} // closed at the release; nil while nothing is held
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

// kill lets nothing through any more. It is called once.
func (b *brake) kill() { close(b.killed) }

// holding returns the channel that tells the release, nil while nothing is held.
func (b *brake) holding() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.released
}

// wait returns when nothing is held; or with net.ErrClosed when done is closed
// or the node has been stopped.
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

// brakedListener accepts nothing while its node is paused. The kernel goes on
// to complete connections, as it does for a process that is stopped.
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

// brakedConn neither gives nor takes data while its node is paused.
type brakedConn struct {
	net.Conn
	brake     *brake
	closeOnce sync.Once
	closed    chan struct{}
}

// Read holds back also what arrives in a Read that was waiting already.
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
