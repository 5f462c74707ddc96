package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain fails the run when goroutines of the client, or connections that
// nobody closed, are left behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftBehind(); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leftBehind returns the stacks of goroutines that do not end by themselves.
func leftBehind() string {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); ; <-tick.C {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		var left []string
		for stack := range strings.SplitSeq(string(stacks), "\n\n") {
			if !strings.Contains(stack, "cluster.TestMain") &&
				(strings.Contains(stack, "internal/cluster.") || strings.Contains(stack, "net/http.(*persistConn)")) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
	}
}

// seen is a request as a fake server got it.
type seen struct {
	Method, Path, Query, Body, Auth, ContentType string
}

// reply answers one request.
type reply func(w http.ResponseWriter, r *http.Request)

// fake is a scripted node on a real socket: the first request gets the first
// reply, and so on; the last reply is repeated.
type fake struct {
	*httptest.Server
	conns   atomic.Int64 // connections accepted
	probes  atomic.Int64 // times that it was asked whether it is alive
	hangs   atomic.Bool  // it accepts connections, and says nothing
	deaf    atomic.Bool  // it does not even accept connections; in bubbles only
	foreign atomic.Bool  // it does not say that it is rqlite
	healthy atomic.Int64 // HTTP status of the answer to probes; 0 is 200

	mu       sync.Mutex
	script   []reply
	requests []seen
}

func newFake(t *testing.T, script ...reply) *fake {
	t.Helper()
	f := newUnstarted(script...)
	f.Start()
	t.Cleanup(f.Close)
	return f
}

func newUnstarted(script ...reply) *fake {
	f := &fake{script: script}
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			f.conns.Add(1)
		}
	}
	return f
}

// ServeHTTP implements http.Handler.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !names(w.Header()) && !f.foreign.Load() {
		w.Header().Set(releaseHeader, "") // a release that is not known
	}
	if r.URL.Path == "/readyz" && r.URL.RawQuery == "noleader" {
		f.probed(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client gave up while sending
	}
	f.mu.Lock()
	n := min(len(f.requests), len(f.script)-1)
	f.requests = append(f.requests, seen{
		r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header.Get("Authorization"), r.Header.Get("Content-Type"),
	})
	answer := f.script[n]
	f.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body)) // for the reply
	if f.hangs.Load() {
		answer = hang("")
	}
	answer(w, r)
}

func (f *fake) probed(w http.ResponseWriter, r *http.Request) {
	f.probes.Add(1)
	if f.hangs.Load() {
		<-r.Context().Done()
	} else if status := f.healthy.Load(); status != 0 {
		w.WriteHeader(int(status))
	}
}

// host returns the node's host:port.
func (f *fake) host() string { return f.Listener.Addr().String() }

// got returns the requests so far.
func (f *fake) got() []seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]seen(nil), f.requests...)
}

// then replaces the replies to come.
func (f *fake) then(script ...reply) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script, f.requests = script, nil
}

const (
	written = `{"results":[{"last_insert_id":1,"rows_affected":1}]}`
	rows    = `{"results":[{"columns":["a"],"types":["integer"],"values":[[1],[2]]}]}`
)

// text is an answer of any status.
func text(status int, body string) reply {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func ok(body string) reply { return text(http.StatusOK, body) }

// failure is a 200 that reports a failure of the request as a whole.
func failure(message string) reply { return ok(fmt.Sprintf(`{"results":[],"error":%q}`, message)) }

// moved redirects to the same path at another address.
func moved(base func() string) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", base()+r.URL.RequestURI())
		w.WriteHeader(http.StatusMovedPermanently)
	}
}

func movedTo(base string) reply { return moved(func() string { return base }) }

// drop closes the connection without an answer.
func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// cut announces a whole body, sends the beginning of it and closes the connection.
func cut(body string, n int) reply {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		io.WriteString(w, body[:n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// hang sends the beginning of an answer, if any, and then nothing until the
// client goes away.
func hang(begin string) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		if begin != "" {
			io.WriteString(w, begin)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}
}

// refusing returns an address at which nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// watcher carries requests and watches the bodies of the answers.
type watcher struct {
	http.RoundTripper
	open atomic.Int64 // bodies not closed
	read atomic.Int64 // bytes read of bodies
}

// RoundTrip implements http.RoundTripper.
func (w *watcher) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(req)
	if err == nil {
		w.open.Add(1)
		resp.Body = &watchedBody{ReadCloser: resp.Body, watcher: w}
	}
	return resp, err
}

// CloseIdleConnections lets Client.CloseIdle reach the transport.
func (w *watcher) CloseIdleConnections() {
	if t, ok := w.RoundTripper.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

type watchedBody struct {
	io.ReadCloser
	watcher *watcher
	once    sync.Once
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.watcher.read.Add(int64(n))
	return n, err
}

// Close implements io.Closer.
func (b *watchedBody) Close() error {
	b.once.Do(func() { b.watcher.open.Add(-1) })
	return b.ReadCloser.Close()
}

// newClient returns a client that has met its hosts, so that it does not ask them which
// release they are. See [newStranger].
func newClient(t *testing.T, hosts []string, options ...func(*Config)) (*Client, *watcher) {
	t.Helper()
	c, w := newStranger(t, hosts, options...)
	for _, n := range c.routes.hosts {
		n.build.Store(&build{})
	}
	return c, w
}

// newStranger returns a client of the hosts, changed by the options, that the
// test closes. Every body must have been closed then, or soon after: a node may
// still be answering whether it is alive.
func newStranger(t *testing.T, hosts []string, options ...func(*Config)) (*Client, *watcher) {
	t.Helper()
	cfg := Config{
		Hosts:     hosts,
		Scheme:    "http",
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
		Timeout:   20 * time.Second,
		Redirect:  true,
	}
	for _, option := range options {
		option(&cfg)
	}
	w := &watcher{RoundTripper: cfg.Transport}
	cfg.Transport = w
	c := New(cfg)
	t.Cleanup(func() {
		c.Close()
		for range 100 {
			if w.open.Load() == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		assert.Zero(t, w.open.Load(), "bodies that were not closed")
	})
	return c, w
}

func timeout(d time.Duration) func(*Config) { return func(c *Config) { c.Timeout = d } }

func credentials(c *Config) { c.User, c.Password = "bob", "secret" }

// write and query are requests for the leader.
func write() *Request {
	return &Request{Path: "/db/execute", Params: "blob_array", Body: []byte(`["INSERT"]`), Leader: true, Write: true, Statements: 1}
}

func query() *Request {
	return &Request{Path: "/db/query", Params: "blob_array", Body: []byte(`["SELECT"]`), Leader: true}
}

// do sends a request and reads its answer of one entry to the end.
func do(ctx context.Context, c *Client, req *Request) error {
	a, err := c.Send(ctx, req)
	if err != nil {
		return err
	}
	defer a.Close()
	return readAnswer(a)
}

func readAnswer(a *Answer) error {
	result, err := a.Next()
	if err != nil {
		return err
	}
	columns := len(result.Columns)
	for columns > 0 {
		err := a.NextRow()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for range columns {
			if _, err := a.Cell(); err != nil {
				return err
			}
		}
	}
	return a.End()
}

// requireError demands an *Error of the outcome and returns it.
func requireError(t *testing.T, err error, outcome Outcome) *Error {
	t.Helper()
	var failure *Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, outcome, failure.Outcome, "%v", err)
	return failure
}

// quiet is for servers whose clients misbehave on purpose.
var quiet = log.New(io.Discard, "", 0)

// roundTrip makes a transport of a function.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
