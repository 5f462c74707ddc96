package load

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// Sockets counts the connections of a transport.
type Sockets struct {
	open, most atomic.Int64
}

// Transport returns a transport that keeps as many connections to a node as there are
// goroutines, and is tuned like the driver's own apart from that. Sockets may be nil.
func Transport(goroutines int, sockets *Sockets) *http.Transport {
	t := &http.Transport{
		MaxIdleConnsPerHost: goroutines,
		ReadBufferSize:      16 << 10,
		DisableCompression:  true,
	}
	if sockets != nil {
		t.DialContext = sockets.dial
	}
	return t
}

// Most returns how many were open at the same time, at most, since it was asked for
// the last time.
func (s *Sockets) Most() int { return int(s.most.Swap(s.open.Load())) }

func (s *Sockets) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	now := s.open.Add(1)
	for most := s.most.Load(); most < now && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	return &socket{Conn: c, closed: sync.OnceFunc(func() { s.open.Add(-1) })}, nil
}

// socket is a connection that is counted.
type socket struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (s *socket) Close() error {
	s.closed()
	return s.Conn.Close()
}
