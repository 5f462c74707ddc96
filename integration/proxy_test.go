package integration_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// proxy stands between clients and one node, and can do to their exchanges
// what networks do. It speaks HTTP, so that it knows where an answer begins.
type proxy struct {
	address string // where clients find it
	target  string // host:port of the node

	mu       sync.Mutex
	listener net.Listener // nil while it refuses connections
	conns    map[net.Conn]bool
	rule     func(passage) fate
	open     chan struct{} // closed while requests pass
	log      []passage
	served   sync.WaitGroup
}

// passage is one request, as the proxy saw it.
type passage struct {
	method, path, query string
	authorized          bool // it carried credentials
	body                string
}

// isWrite reports whether the request can have an effect on the database.
func (p passage) isWrite() bool { return p.method == http.MethodPost && p.path == "/db/execute" }

// fate is what becomes of an exchange. The zero value lets it pass.
type fate struct {
	delay time.Duration // before the request goes on to the node
	// lose breaks the connection when the answer begins: the node has done what
	// it was asked for, and the client does not know.
	lose bool
	cut  bool // breaks the connection in the middle of the answer's body
	// mute swallows the answer, and all after it on the connection, until it is closed.
	mute <-chan struct{}
}

// newProxy starts a proxy at an address, with nothing in its way.
func newProxy(address, target string) (*proxy, error) {
	p := &proxy{address: address, target: target, conns: map[net.Conn]bool{}, open: make(chan struct{})}
	close(p.open)
	return p, p.accept()
}

// accept begins to accept connections, also after refuse.
func (p *proxy) accept() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		return err
	}
	p.listener = listener
	p.served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.served.Go(func() { p.serve(conn) })
		}
	})
	return nil
}

// refuse breaks all connections, and refuses new ones until accept.
func (p *proxy) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	for conn := range p.conns {
		conn.Close()
	}
}

// hold makes requests disappear until release: connections are accepted, and
// nothing else happens.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

// release lets requests pass again, those that were held too.
func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// obey makes rule decide over each request. It is called by several goroutines,
// one at a time. Nil lets all pass.
func (p *proxy) obey(rule func(passage) fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

// seen returns the requests that have come since forget.
func (p *proxy) seen() []passage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]passage(nil), p.log...)
}

func (p *proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = nil
}

// close ends the proxy, and waits until nothing of it is left.
func (p *proxy) close() {
	p.refuse()
	p.release()
	p.served.Wait()
}

// keep notes a connection as one to break later. It reports false when it has
// to be broken now.
func (p *proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *proxy) drop(conn net.Conn) {
	conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

// note keeps a passage and returns what becomes of it, and what it has to wait for.
func (p *proxy) note(req *http.Request, body []byte) (fate, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _, authorized := req.BasicAuth()
	seen := passage{
		method: req.Method, path: req.URL.Path, query: req.URL.RawQuery, authorized: authorized,
		body: string(body[:min(len(body), 256)]),
	}
	const most = 100_000 // a long run must not fill the memory
	if len(p.log) < most {
		p.log = append(p.log, seen)
	}
	if p.rule == nil {
		return fate{}, p.open
	}
	return p.rule(seen), p.open
}

// serve passes the exchanges of one client on to a connection of its own.
func (p *proxy) serve(client net.Conn) {
	defer p.drop(client)
	if !p.keep(client) {
		return
	}
	var server net.Conn
	requests := bufio.NewReader(client)
	var answers *bufio.Reader
	for {
		req, err := http.ReadRequest(requests)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		what, open := p.note(req, body)
		<-open
		time.Sleep(what.delay)
		if server == nil {
			if server, err = net.Dial("tcp", p.target); err != nil {
				return
			}
			defer p.drop(server)
			if !p.keep(server) {
				return
			}
			answers = bufio.NewReader(server)
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		if err := req.Write(server); err != nil {
			return
		}
		if err := pass(answers, client, req, what); err != nil {
			return
		}
	}
}

var errBroken = errors.New("the proxy broke the connection")

// pass copies one answer.
func pass(answers *bufio.Reader, client io.Writer, req *http.Request, what fate) error {
	resp, err := http.ReadResponse(answers, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case what.mute != nil:
		<-what.mute
		return errBroken
	case what.lose:
		return errBroken
	case what.cut:
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(client, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			resp.Status, len(body), body[:len(body)/2]); err != nil {
			return err
		}
		return errBroken
	}
	return resp.Write(client)
}

// loseEvery returns a rule that loses the answer of every nth write.
func loseEvery(n int) func(passage) fate {
	count := 0
	return func(p passage) fate {
		if !p.isWrite() {
			return fate{}
		}
		count++
		return fate{lose: count%n == 0}
	}
}

// count returns how many of the passages fit.
func count(passages []passage, fits func(passage) bool) int {
	n := 0
	for _, p := range passages {
		if fits(p) {
			n++
		}
	}
	return n
}

// statements reports whether a request carries statements, rather than a
// question about the cluster.
func statements(p passage) bool { return strings.HasPrefix(p.path, "/db/") }

// hasParam reports whether the request has a URL parameter, with whatever value.
func hasParam(p passage, name string) bool {
	values, err := url.ParseQuery(p.query)
	return err == nil && values.Has(name)
}
