package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rawNode is a listener that treats every connection by a script, for what no
// HTTP server would do.
type rawNode struct {
	net.Listener
	conns atomic.Int64
}

func newRawNode(t *testing.T, script func(conn net.Conn)) *rawNode {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &rawNode{Listener: l}
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.conns.Add(1)
			script(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		group.Wait()
	})
	return n
}

// readRequest reads a request of the client to its last byte.
func readRequest(conn net.Conn) {
	var got []byte
	buf := make([]byte, 1024)
	for !strings.HasSuffix(string(got), `["INSERT"]`) {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		got = append(got, buf[:n]...)
	}
}

// Once a write may have left, whatever comes back that is no answer makes it
// unknown, and it is not sent again.
func TestRawAnswers(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	tests := []struct {
		name, answer string
	}{
		{"nothing", ""},
		{"another protocol", "SSH-2.0-OpenSSH_9.6\r\n"},
		{"half a status line", "HTTP/1.1 2"},
		{"half the headers", head},
		{"no body", head + "Content-Length: 20\r\n\r\n"},
		{"half a body", head + "Content-Length: 51\r\n\r\n" + written[:25]},
		{"half a chunk", head + "Transfer-Encoding: chunked\r\n\r\n33\r\n" + written[:25]},
		{"no last entry", head + "Transfer-Encoding: chunked\r\n\r\nc\r\n" + written[:12] + "\r\n0\r\n\r\n"},
		{"invalid chunk", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + written},
		{"length of another body", head + "Connection: close\r\nContent-Length: 30\r\n\r\n" + written},
		{"body that ends with the connection", head + "Connection: close\r\n\r\n" + written[:40]},
		{"informational only", "HTTP/1.1 100 Continue\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			node := newRawNode(t, func(conn net.Conn) {
				readRequest(conn)
				io.WriteString(conn, tt.answer)
			})
			c, _ := newClient(t, []string{node.Addr().String()})
			failure := requireError(t, do(t.Context(), c, write()), Unknown)
			assert.True(t, failure.Write)
			assert.EqualValues(t, 1, node.conns.Load())
		})
	}
}

// A node that closes without reading may yet have got the write: as soon as a
// byte of it was written to a connection, there is no other attempt.
func TestRawClosedAtOnce(t *testing.T) {
	t.Parallel()
	node := newRawNode(t, func(net.Conn) {})
	var written atomic.Int64
	c, _ := newClient(t, []string{node.Addr().String()}, func(c *Config) {
		c.Timeout = time.Second
		c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return &countingConn{Conn: conn, written: &written}, err
		}
	})
	if err := do(t.Context(), c, write()); written.Load() > 0 {
		requireError(t, err, Unknown)
	} else { // it closed before anything was written, as all the times after that
		require.Error(t, err)
	}
	assert.LessOrEqual(t, written.Load(), int64(1))
}

// countingConn counts the writes to it that begin a request with statements.
type countingConn struct {
	net.Conn
	written *atomic.Int64
}

// Write implements io.Writer.
func (c *countingConn) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("POST")) {
		c.written.Add(1)
	}
	return c.Conn.Write(p)
}

// The whole document is the whole answer, though the last chunk is missing.
func TestRawWholeDocument(t *testing.T) {
	t.Parallel()
	node := newRawNode(t, func(conn net.Conn) {
		readRequest(conn)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+written)
	})
	c, _ := newClient(t, []string{node.Addr().String()})
	require.NoError(t, do(t.Context(), c, write()))
}

// A handshake that fails has sent nothing of the write.
func TestRawHandshakeFails(t *testing.T) {
	t.Parallel()
	broken := newRawNode(t, func(net.Conn) {})
	well := newTLSFake(t, ok(written))
	c, _ := newClient(t, []string{broken.Addr().String(), well.host()}, trusting(well, true))
	require.NoError(t, do(t.Context(), c, write()))
	assert.Len(t, well.got(), 1)
}

// A kept connection on which nothing could be written is replaced by net/http
// itself; the write is sent once.
func TestRawKeptConnectionThatIsClosed(t *testing.T) {
	t.Parallel()
	node := newFake(t, ok(written))
	var conns []net.Conn
	c, _ := newClient(t, []string{node.host()}, func(c *Config) {
		c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			conns = append(conns, conn)
			return conn, err
		}
	})
	require.NoError(t, do(t.Context(), c, write()))
	require.Len(t, conns, 1)
	conns[0].Close() // both directions fail from now on
	require.NoError(t, do(t.Context(), c, write()))
	assert.Len(t, node.got(), 2)
}

// A transport that tells nothing of its steps is never believed to have sent
// nothing, unless it says so.
func TestOpaqueTransport(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err      error
		attempts int
	}{
		"failed somehow":    {errors.New("broken"), 1},
		"failed to connect": {&net.OpError{Op: "dial", Err: errors.New("refused")}, 2},
		"failed to read":    {&net.OpError{Op: "read", Err: errors.New("reset")}, 1},
		"failed to write":   {&net.OpError{Op: "write", Err: errors.New("reset")}, 1},
	} {
		attempts := 0
		c, _ := newClient(t, []string{"a:1", "b:1"}, func(c *Config) {
			c.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
				if attempts++; attempts > 1 {
					return response(200, ""), nil
				}
				return nil, tt.err
			})
		})
		err := do(t.Context(), c, write())
		assert.Equal(t, tt.attempts, attempts, name)
		if tt.attempts == 1 {
			requireError(t, err, Unknown)
			require.ErrorIs(t, err, tt.err)
		} else {
			require.NoError(t, err)
		}
	}
}

// Requests that find out at the same time that the leader is of no use say so
// once.
func TestForwardingIsLoggedOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, "by many", func(t *testing.T) {
		const many = 8
		var waiting atomic.Int64
		all := make(chan struct{})
		var log logBuffer
		c, _ := newClient(t, []string{"node:1"}, credentials, log.into, func(c *Config) {
			c.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				if _, asked := req.URL.Query()["redirect"]; !asked {
					return response(200, ""), nil
				}
				if waiting.Add(1) == many {
					close(all)
				}
				<-all
				return response(301, "http://foreign:1/"), nil
			})
		})
		errs := make(chan error, many)
		for range many {
			go func() { errs <- do(t.Context(), c, write()) }()
		}
		for range many {
			require.NoError(t, <-errs)
		}
		assert.Equal(t, 1, strings.Count(log.String(), "are forwarded"), "%s", &log)
		assert.True(t, c.routes.forwarding())
	})
}
