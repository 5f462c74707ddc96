package integration_test

import (
	"io"
	"net"
	"sync"
)

// link carries the Raft traffic to one node, until it is cut.
type link struct {
	address, target string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	carried  sync.WaitGroup
}

// newLink makes a link that carries at once.
func newLink(address, target string) (*link, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	l := &link{address: address, target: target, listener: listener, conns: map[net.Conn]bool{}}
	l.carried.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			l.carried.Go(func() { l.carry(from) })
		}
	})
	return l, nil
}

func (l *link) carry(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer to.Close()
	if !l.keep(from, to) {
		return
	}
	l.carried.Go(func() {
		_, _ = io.Copy(to, from)
		to.Close()
	})
	_, _ = io.Copy(from, to)
}

// keep notes connections, unless the link is cut.
func (l *link) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil {
		return false
	}
	for _, conn := range conns {
		l.conns[conn] = true
	}
	return true
}

// cut breaks the link for good, and waits until nothing passes any more.
func (l *link) cut() {
	l.mu.Lock()
	if l.listener != nil {
		l.listener.Close()
		l.listener = nil
	}
	for conn := range l.conns {
		conn.Close()
	}
	l.mu.Unlock()
	l.carried.Wait()
}
