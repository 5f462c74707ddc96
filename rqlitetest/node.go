package rqlitetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// node is one member of a cluster.
type node struct {
	group    *group
	index    int    // in group.nodes
	id       string // as rqlited -node-id
	raftAddr string // nothing listens there, because there is no Raft
	voter    bool
	cfg      ClusterConfig

	// These are set before the first start returns.
	addr    string // listening address, "127.0.0.1:PORT"
	url     string // "http://127.0.0.1:PORT"
	apiAddr string // advertised address
	apiURL  string

	front    *front
	journal  *journal
	faults   *faults
	handler  http.Handler
	snapshot atomic.Uint64 // log index of the last snapshot

	changing sync.Mutex // held during a start or stop
	life     *life      // nil while the node is stopped; guarded by group.mu

	lagging sync.Mutex
	age     time.Duration // how far the node lags
	past    *past         // database that it reads while it lags
}

// life is the state of a node between a start and the next stop.
type life struct {
	listener net.Listener
	server   *http.Server
	brake    *brake
	requests gate
	queue    *queue
	served   chan struct{} // closed after the last connection was accepted
}

// newNode returns a node that has not been started.
func newNode(g *group, i int, cfg ClusterConfig, single bool) *node {
	raftHost := "127.0.0.1"
	if single {
		raftHost = "localhost"
	}
	n := &node{
		group: g, index: i, id: strconv.Itoa(i + 1), voter: i < cfg.Nodes, cfg: cfg,
		raftAddr: net.JoinHostPort(raftHost, strconv.Itoa(4002+2*i)),
		journal:  &journal{}, faults: &faults{},
	}
	n.snapshot.Store(firstIndex)
	n.front = &front{node: n, accounts: g.accounts, started: time.Now()}
	n.handler = n.front
	if cfg.Intercept != nil {
		n.handler = cfg.Intercept(n.handler)
	}
	if !single {
		n.handler = n.journal.record(n.faults.inject(n.handler))
	}
	return n
}

// name sets the addresses of the node, which it keeps.
func (n *node) name(addr string) {
	scheme := "http://"
	if n.cfg.TLS {
		scheme = "https://"
	}
	n.addr, n.url, n.apiAddr = addr, scheme+addr, addr
	switch {
	case n.cfg.Unreachable:
		n.apiAddr = net.JoinHostPort("127.0.0.1", strconv.Itoa(1+n.index)) // nothing listens on the first ports
	case n.cfg.AdvertiseHost != "":
		_, port, _ := net.SplitHostPort(addr)
		n.apiAddr = net.JoinHostPort(n.cfg.AdvertiseHost, port)
	}
	n.apiURL = scheme + n.apiAddr
}

// start makes the node listen, on its old port if it had one. It does nothing if the node runs.
func (n *node) start() error {
	n.changing.Lock()
	defer n.changing.Unlock()
	if n.alive() != nil {
		return nil
	}
	addr := n.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("rqlite: the embedded server cannot listen: %w", err)
	}
	if n.addr == "" {
		n.name(listener.Addr().String())
	}
	l := &life{brake: newBrake(), served: make(chan struct{})}
	l.listener = &brakedListener{Listener: listener, brake: l.brake, closed: make(chan struct{})}
	l.queue = newQueue(func(ctx context.Context, stmts []statement) error {
		if err := l.brake.wait(ctx.Done()); err != nil {
			return err
		}
		return n.executeQueued(ctx, stmts)
	})
	l.server = &http.Server{
		Handler: l.requests.guard(n.handler), TLSConfig: n.group.tls.Clone(),
		ReadHeaderTimeout: time.Minute, ErrorLog: discardLog,
	}
	go l.serve()
	n.group.mu.Lock()
	defer n.group.mu.Unlock()
	n.life = l
	if n.group.leader == n.index { // a leader that comes back no longer leads
		n.group.leader = nobody
	}
	n.group.settle()
	return nil
}

// serve accepts connections until the server is closed.
func (l *life) serve() {
	defer close(l.served)
	if l.server.TLSConfig != nil {
		_ = l.server.ServeTLS(l.listener, "", "")
		return
	}
	_ = l.server.Serve(l.listener)
}

// stop breaks the node's connections and waits for its running requests. It does nothing if the
// node is stopped.
func (n *node) stop() error {
	n.changing.Lock()
	defer n.changing.Unlock()
	n.group.mu.Lock()
	l := n.life
	n.life = nil
	n.group.settle()
	n.group.mu.Unlock()
	if l == nil {
		return nil
	}
	l.brake.kill() // otherwise closing would wait for a paused node
	err := l.server.Close()
	<-l.served
	l.requests.close()
	l.queue.close()
	if closeErr := l.listener.Close(); !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	return err
}

// pause stops the node from accepting, reading and answering. With false it ends that. It does
// nothing if the node is stopped.
func (n *node) pause(paused bool) {
	n.group.mu.Lock()
	defer n.group.mu.Unlock()
	if n.life == nil {
		return
	}
	if paused {
		n.life.brake.hold()
	} else {
		n.life.brake.release()
	}
	n.group.settle()
}

// alive returns the node's life, or nil while it is stopped.
func (n *node) alive() *life {
	n.group.mu.Lock()
	defer n.group.mu.Unlock()
	return n.life
}

// up reports whether the node runs and is not paused. group.mu is held.
func (n *node) up() bool { return n.life != nil && n.life.brake.holding() == nil }

// leads reports whether the node is the leader.
func (n *node) leads() bool {
	n.group.mu.Lock()
	defer n.group.mu.Unlock()
	return n.group.leader == n.index
}

// executeQueued applies a batch of the node's queue. It has no credentials. So on a follower of a
// cluster with accounts it fails for ever, as on the real server.
func (n *node) executeQueued(ctx context.Context, stmts []statement) error {
	_, err := n.do(ctx, call{
		allowed: n.group.accounts.anybodyMay("execute"),
		timeout: defaultTimeout,
		run: func(on *node) error {
			_, _, err := on.execute(ctx, &dbRequest{statements: stmts})
			return err
		},
	})
	return err
}
