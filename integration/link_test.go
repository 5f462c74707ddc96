package integration_test

import (
	"io"
	"net"
	"regexp"
	"sync"
	"sync/atomic"
)

// partition keeps the Raft traffic between one node and all others waiting. The zero value is none.
type partition struct {
	mu   sync.Mutex
	node string        // the address of its link
	over chan struct{} // closed when the traffic goes on; nil before the first partition
}

// isolate begins a partition.
func (p *partition) isolate(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.node, p.over = node, make(chan struct{})
}

// heal ends a partition if there is one. What has waited goes on.
func (p *partition) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.node != "" {
		close(p.over)
	}
	p.node = ""
}

// wait waits while there is a partition between two nodes.
func (p *partition) wait(a, b string) {
	p.mu.Lock()
	over, isBetween := p.over, p.node != "" && (p.node == a || p.node == b)
	p.mu.Unlock()
	if isBetween {
		<-over
	}
}

// link carries the Raft traffic to one node, until it is cut.
type link struct {
	address, target string
	partition       *partition
	carriedBytes    atomic.Int64 // to the node

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	carried  sync.WaitGroup
}

// newLink makes a link that carries at once.
func newLink(address, target string, p *partition) (*link, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	l := &link{address: address, target: target, partition: p, listener: listener, conns: map[net.Conn]bool{}}
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
	var sender sender
	l.carried.Go(func() {
		l.copy(to, from, func(piece []byte) string {
			l.carriedBytes.Add(int64(len(piece)))
			return sender.learn(piece)
		})
		to.Close()
	})
	l.copy(from, to, func([]byte) string { return sender.get() })
}

// copy copies from one connection to the other. Each piece waits while there is a partition between the
// node of the link and the one that learn tells.
func (l *link) copy(to io.Writer, from io.Reader, learn func(piece []byte) string) {
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			l.partition.wait(l.address, learn(piece[:n]))
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// sender is the node that has opened a connection. Each request of Raft begins with its address. The zero
// value is one that has said nothing.
type sender struct {
	mu   sync.Mutex
	head []byte // what has come while it is not known
	node string // "" is not known
}

var loopbackAddress = regexp.MustCompile(`127\.0\.0\.1:\d{5}`)

// learn looks for the sender in the next piece, and returns it, "" if it is not known. A connection that
// does not name it near its beginning is none of Raft's.
func (s *sender) learn(piece []byte) string {
	const longest = 1 << 10
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == "" && len(s.head) < longest {
		s.head = append(s.head, piece...)
		s.node = string(loopbackAddress.Find(s.head))
	}
	return s.node
}

func (s *sender) get() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
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
