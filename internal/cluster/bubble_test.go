package cluster

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"
)

// The tests that are about time run real HTTP over pipes in a synctest bubble, where
// time passes only while everyone waits: times are exact, and a goroutine that
// is left behind fails the test.

// pipes is a listener whose connections are pipes within the process.
type pipes struct {
	n     byte // it is 10.0.0.n:4001
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: errors.New("connection refused")}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: ctx.Err()}
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error { close(p.done); return nil }

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, p.n), Port: 4001} }

// dialFor bounds a dial in a bubble, as the driver's dialer does: net/http lets
// dials go on behind the requests that wanted them.
const dialFor = 5 * time.Second

// newPipedCluster returns a fake node for each script, 10.0.0.1:4001 and so on,
// and a client that knows them all and times out after limit, unless the options
// say otherwise. It must be called in a bubble.
func newPipedCluster(t *testing.T, limit time.Duration, scripts [][]reply, options ...func(*Config)) ([]*fake, *Client) {
	t.Helper()
	nodes := make([]*fake, len(scripts))
	hosts := make([]string, len(scripts))
	byHost := make(map[string]*fake)
	for i, script := range scripts {
		f := newUnstarted(script...)
		f.Listener.Close()
		f.Listener = &pipes{n: byte(i + 1), conns: make(chan net.Conn), done: make(chan struct{})}
		server := &http.Server{Handler: f, ErrorLog: quiet}
		go server.Serve(f.Listener)
		t.Cleanup(func() { server.Close() })
		nodes[i], hosts[i] = f, f.host()
		byHost[f.host()] = f
	}
	dial := func(c *Config) {
		c.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialFor)
			defer cancel()
			f := byHost[address]
			if f == nil {
				return nil, &net.OpError{Op: "dial", Net: "pipe", Err: errors.New("no such host")}
			}
			if f.deaf.Load() {
				<-ctx.Done()
				return nil, &net.OpError{Op: "dial", Net: "pipe", Err: ctx.Err()}
			}
			return f.Listener.(*pipes).dial(ctx)
		}
	}
	c, _ := newClient(t, hosts, append([]func(*Config){timeout(limit), dial}, options...)...)
	return nodes, c
}

// newPiped is newPipedCluster of one node.
func newPiped(t *testing.T, limit time.Duration, script ...reply) (*fake, *Client) {
	t.Helper()
	nodes, c := newPipedCluster(t, limit, [][]reply{script})
	return nodes[0], c
}

// inBubble runs a subtest in a bubble of its own.
func inBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		bubble(t, test)
	})
}

// knows makes the first n nodes those of the configuration.
func knows(n int) func(*Config) { return func(c *Config) { c.Hosts = c.Hosts[:n] } }

// after answers when time has passed.
func after(d time.Duration, then reply) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			then(w, r)
		case <-r.Context().Done():
		}
	}
}
