package integration_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

const (
	// hostileBound is the deadline of every call to a hostile server, and
	// hostileGrace how much later it may return.
	hostileBound = 1000 * time.Millisecond
	hostileGrace = time.Second
	// hostileMemory is how far the heap of the process may grow, whatever a server
	// sends. One value of 8 MiB is among it, for which buffers are doubled twice.
	hostileMemory = 128 << 20
	// hostileLength is what a server claims to send, or goes on to send.
	hostileLength = 10 << 30
)

// hostile is a server on a raw socket that answers requests as it likes.
type hostile struct {
	address    string
	requests   atomic.Int64
	authorized atomic.Int64 // requests that came with credentials
	sent       atomic.Int64 // bytes of answers
}

// newHostile starts a server that gives each request to answer. A server of
// another host has an address of loopback that is not 127.0.0.1.
func newHostile(t *testing.T, address string, answer func(io.Writer, *http.Request)) *hostile {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	h := &hostile{address: listener.Addr().String()}
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			served.Go(func() {
				defer conn.Close()
				h.serve(conn, answer)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		served.Wait()
	})
	return h
}

func (h *hostile) serve(conn net.Conn, answer func(io.Writer, *http.Request)) {
	requests := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(requests)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		if req.Header.Get("Authorization") != "" {
			h.authorized.Add(1)
		}
		if req.URL.Path == "/readyz" { // it is alive, it says
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		h.requests.Add(1)
		answer(&countingWriter{conn, &h.sent}, req)
		return
	}
}

type countingWriter struct {
	io.Writer
	n *atomic.Int64
}

// Write implements io.Writer.
func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// flood sends head, and then piece again and again until the client has
// enough, or hostileLength bytes are sent.
func flood(head, piece string) func(io.Writer, *http.Request) {
	chunk := []byte(strings.Repeat(piece, 1+(64<<10)/len(piece)))
	return func(w io.Writer, _ *http.Request) {
		fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", int64(hostileLength), head)
		for sent := 0; sent < hostileLength; sent += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

// say sends a text and then nothing more, without ending the connection.
func say(text string) func(io.Writer, *http.Request) {
	return func(w io.Writer, _ *http.Request) {
		_, _ = io.WriteString(w, text)
		if c, ok := w.(*countingWriter); ok {
			_, _ = io.Copy(io.Discard, c.Writer.(net.Conn)) // until the client goes
		}
	}
}

func redirectTo(url string) func(io.Writer, *http.Request) {
	return func(w io.Writer, req *http.Request) {
		fmt.Fprintf(w, "HTTP/1.1 301 Moved Permanently\r\nLocation: %s%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", url, req.URL.RequestURI())
	}
}

const (
	jsonHead = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	rowsHead = `{"results":[{"columns":["a"],"types":["integer"],"values":[`
)

// TestHostile lets servers answer what no server should.
func TestHostile(t *testing.T) {
	for name, answer := range map[string]func(io.Writer, *http.Request){
		// SQLite allows values of a gigabyte, so that no length alone gives this one away.
		"an endless value":     func(w io.Writer, _ *http.Request) { endlessValue(w) },
		"endless column name":  flood(`{"results":[{"columns":["`, "x"),
		"endless columns":      flood(`{"results":[{"columns":[`, `"x",`),
		"endless error":        flood(`{"results":[{"error":"`, "x"),
		"endless whitespace":   flood("", " \n"),
		"endless unknown key":  flood(`{"`, "x"),
		"endless nesting":      flood(`{"x":`, "["),
		"endless failure":      func(w io.Writer, r *http.Request) { endlessFailure(w, r) },
		"endless headers":      func(w io.Writer, r *http.Request) { endlessHeaders(w, r) },
		"a body without end":   say(jsonHead + "Content-Length: 100\r\n\r\n" + `{"results":[`),
		"an answer without it": say(jsonHead + "\r\n"),
		"no answer":            say(""),
		"half a status line":   say("HTTP/1.1 20"),
		"not HTTP":             say("+OK what do you want?\r\n\r\n"),
		"not JSON":             say(jsonHead + "Content-Length: 6\r\n\r\n<html>"),
		"other JSON":           say(jsonHead + "Content-Length: 9\r\n\r\n[1,2,[3]]"),
		"results of no kind":   say(jsonHead + "Content-Length: 15\r\n\r\n" + `{"results":"x"}`),
		"bytes":                say(jsonHead + "Content-Length: 8\r\n\r\n\x00\xff\xfe\x80\x01\x02\x03\x04"),
		"an odd status":        say("HTTP/1.1 299 Fine\r\nContent-Length: 2\r\n\r\n{}"),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t, "127.0.0.1:0", answer)
			attack(t, "rqlite://"+h.address, func(*testing.T, error) {})
		})
	}
}

// endlessValue begins with a text of 10 GB, sends as much of it as a client may
// well keep, and then nothing.
func endlessValue(w io.Writer) {
	say(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", jsonHead, int64(hostileLength),
		`{"results":[{"columns":["a"],"types":["text"],"values":[["`+strings.Repeat("x", 8<<20)))(w, nil)
}

func endlessFailure(w io.Writer, _ *http.Request) {
	fmt.Fprintf(w, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: %d\r\n\r\n", int64(hostileLength))
	chunk := []byte(strings.Repeat("no ", 20<<10))
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func endlessHeaders(w io.Writer, _ *http.Request) {
	_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\n")
	for i := 0; ; i++ {
		if _, err := fmt.Fprintf(w, "X-%d: %s\r\n", i, strings.Repeat("y", 4<<10)); err != nil {
			return
		}
	}
}

// attack writes to and reads from a hostile server: both have to fail in time,
// without much memory, and to leave nothing behind.
func attack(t *testing.T, dsn string, check func(*testing.T, error)) {
	t.Helper()
	for what, call := range map[string]func(context.Context, *sql.DB) error{
		"write": func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "INSERT INTO t VALUES (1)")
			return err
		},
		"read": func(ctx context.Context, db *sql.DB) error {
			rows, err := db.QueryContext(ctx, "SELECT a FROM t")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
			}
			return rows.Err()
		},
	} {
		t.Run(what, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			db, err := sql.Open("rqlite", dsn)
			require.NoError(t, err)
			grown := watchMemory()
			ctx, cancel := context.WithTimeout(t.Context(), hostileBound)
			defer cancel()
			start := time.Now()
			err = call(ctx, db)
			took := time.Since(start)
			assert.Less(t, grown(), int64(hostileMemory), "bytes of memory")
			require.Error(t, err)
			assert.True(t, strings.HasPrefix(err.Error(), "rqlite: ") || errors.Is(err, context.DeadlineExceeded), err.Error())
			assert.Less(t, len(err.Error()), 8<<10, "the message is too long to read")
			assert.NotContains(t, err.Error(), "s3cret")
			assert.LessOrEqual(t, took, hostileBound+hostileGrace)
			check(t, err)
			require.NoError(t, db.Close())
			require.NoError(t, goleak.Find(before, goleak.IgnoreAnyFunction("github.com/go-rqlite/rqlite/integration_test.(*hostile).serve")))
		})
	}
}

// watchMemory returns a function that tells how far the heap has grown at most
// until it is called.
func watchMemory() (grown func() int64) {
	heap := func() int64 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	runtime.GC()
	idle := heap()
	stop, result := make(chan struct{}), make(chan int64)
	go func() {
		most := idle
		ticks := time.NewTicker(10 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				most = max(most, heap())
			case <-stop:
				result <- max(most, heap()) - idle
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-result
	}
}

// TestHostileRedirects sends the driver where it must not go.
func TestHostileRedirects(t *testing.T) {
	const credentials = "rqlite://robert:s3cret@"
	t.Run("another host", func(t *testing.T) {
		// On Linux all of 127.0.0.0/8 is this machine.
		foreign := newHostile(t, foreignAddress(t), say(jsonHead+"Content-Length: 22\r\n\r\n"+`{"results":[{"x":"y"}]}`))
		h := newHostile(t, "127.0.0.1:0", redirectTo("http://"+foreign.address))
		attack(t, credentials+h.address, func(t *testing.T, _ error) { t.Helper() })
		assert.Zero(t, foreign.authorized.Load(), "another host got the credentials")
		assert.Positive(t, h.authorized.Load())
	})
	t.Run("in a loop", func(t *testing.T) {
		var h *hostile
		h = newHostile(t, "127.0.0.1:0", func(w io.Writer, req *http.Request) { redirectTo("http://"+h.address)(w, req) })
		attack(t, credentials+h.address, func(t *testing.T, err error) {
			assert.NotErrorIs(t, err, rqlite.ErrIndeterminate, "a redirect means that nothing was done")
		})
		// 20 ms at first, 250 ms at most between attempts, of up to six redirects each
		assert.Less(t, h.requests.Load(), int64(300), "it was asked without end")
	})
	t.Run("to nowhere", func(t *testing.T) {
		for _, location := range []string{"", ":", "//", "ftp://127.0.0.1", "http://", "http://127.0.0.1:0", "http://[::1", "/db/execute"} {
			h := newHostile(t, "127.0.0.1:0", redirectTo(location))
			attack(t, credentials+h.address, func(*testing.T, error) {})
		}
	})
}

// foreignAddress returns an address of another host than 127.0.0.1.
func foreignAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skipf("this machine has one address only: %v", err)
	}
	require.NoError(t, listener.Close())
	return "127.0.0.2:0"
}

// TestEndlessRows reads rows that do not end, until Close.
func TestEndlessRows(t *testing.T) {
	h := newHostile(t, "127.0.0.1:0", flood(rowsHead, "[1],"))
	before := goleak.IgnoreCurrent()
	db, err := sql.Open("rqlite", withSettings("rqlite://"+h.address, "timeout=1s"))
	require.NoError(t, err)
	grown := watchMemory()
	rows, err := db.QueryContext(t.Context(), "SELECT a FROM t")
	require.NoError(t, err)
	const enough = 3_000_000
	for n := range enough {
		if n == 0 || n == enough-1 {
			require.True(t, rows.Next(), "row %d: %v", n, rows.Err())
			var a int64
			require.NoError(t, rows.Scan(&a))
			require.EqualValues(t, 1, a)
			continue
		}
		require.True(t, rows.Next())
	}
	start := time.Now()
	require.NoError(t, rows.Close())
	assert.Less(t, time.Since(start), hostileGrace, "Close reads what it need not")
	assert.Less(t, grown(), int64(hostileMemory), "bytes of memory")
	assert.Less(t, h.sent.Load(), int64(hostileLength)/10)
	require.NoError(t, db.Close())
	require.NoError(t, goleak.Find(before, goleak.IgnoreAnyFunction("github.com/go-rqlite/rqlite/integration_test.(*hostile).serve")))
}

// TestDowngrade has a server with a certificate redirect to http.
func TestDowngrade(t *testing.T) {
	certs := newCertificates(t)
	plain := newHostile(t, "127.0.0.1:0", say(""))
	proxied := serveTLS(t, certs, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("X-Rqlite-Version", "v10.2.7")
		w.Header().Set("Location", "http://"+plain.address+req.URL.RequestURI())
		w.WriteHeader(http.StatusMovedPermanently)
	})
	attack(t, withSettings("rqlite://robert:s3cret@"+proxied, "tls=true", "tls_ca="+certs.authorityFile), func(t *testing.T, err error) {
		assert.ErrorContains(t, err, "https to http")
		assert.NotErrorIs(t, err, rqlite.ErrIndeterminate)
	})
	assert.Zero(t, plain.requests.Load(), "it went from https to http")
}
