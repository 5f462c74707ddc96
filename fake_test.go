package rqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// waitAtMost bounds the waits of the tests; it only passes when one fails.
const waitAtMost = 10 * time.Second

// soon is a time-out that ends while a request hangs. A busy machine has sent the request by then.
const soon = 500 * time.Millisecond

// TestMain fails the run when goroutines of the driver are left at its end.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftGoroutines(waitAtMost); left != "" {
		fmt.Fprintln(os.Stderr, "goroutines left at the end of the tests:\n"+left)
		code = 1
	}
	os.Exit(code)
}

// leftGoroutines returns the stacks of those that serve a connection or run code
// of this module, once they had time to end.
func leftGoroutines(wait time.Duration) string {
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(wait); ; <-tick.C {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		var left []string
		for i, stack := range strings.Split(string(stacks), "\n\n") {
			own := i == 0 // the first is this one
			if !own && (strings.Contains(stack, "go-rqlite/rqlite") || strings.Contains(stack, "net/http.(*persistConn)") ||
				strings.Contains(stack, "database/sql.")) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return ""
		}
		if time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
	}
}

// The URL parameters of requests without special settings.
const (
	weakRead   = "blob_array&noparse&timings&level=weak&redirect"
	plainWrite = "blob_array&norwrandom&norwtime&redirect"
)

// step is a request that a fake expects, and its answer.
type step struct {
	method string // "" is POST
	sends  string // Content-Type; "" is that of statements, "none" none
	path   string
	params string // the whole query of the URL; "*" is any
	body   string // to the byte; "" is any
	status int    // 0 is 200
	reply  string
	// serve gives the answer in place of status and reply.
	serve http.HandlerFunc
	// optional says that the request need not come.
	optional bool
}

// reads is a step of a plain read.
func reads(body, reply string) step {
	return step{path: cluster.QueryPath, params: weakRead, body: body, reply: reply}
}

// writes is a step of a plain write.
func writes(body, reply string) step {
	return step{path: cluster.ExecutePath, params: plainWrite, body: body, reply: reply}
}

// writesAtomic is a step of a write in one transaction.
func writesAtomic(body, reply string) step {
	return step{path: cluster.ExecutePath, params: "blob_array&norwrandom&norwtime&transaction&redirect", body: body, reply: reply}
}

// triesRows is a step of the trial in which a statement shows whether the server sees its
// RETURNING clause.
func triesRows(reply string) step {
	return step{path: cluster.RequestPath, params: "blob_array&norwtime&transaction&redirect", reply: reply}
}

// request is what a fake got.
type request struct {
	method, path, params, body string
	header                     http.Header
}

// fake answers requests by a script, on a real socket. It fails the test for
// every request that the script does not have next, for those that did not come, and for
// connections that are still open at the end, as they are when a body was not
// closed.
type fake struct {
	t      *testing.T
	server *httptest.Server
	addr   string

	mu       sync.Mutex
	script   []step
	requests []request
	release  string // that all nodes of the cluster say they are
	members  string // that the list of nodes says they are; "" is release
	conns    map[net.Conn]bool
	changed  chan struct{} // closed and replaced when conns changes
}

func newFake(t *testing.T, script ...step) *fake {
	t.Helper()
	f := &fake{t: t, script: script, release: "v10.2.7", conns: make(map[net.Conn]bool), changed: make(chan struct{})}
	f.server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.server.Config.ConnState = f.connState
	f.server.Start()
	f.addr = f.server.Listener.Addr().String()
	t.Cleanup(f.finish)
	return f
}

// then adds steps to the script.
func (f *fake) then(script ...step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = append(f.script, script...)
}

// forget drops what is left of the script, which must be optional.
func (f *fake) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.script {
		assert.True(f.t, s.optional, "a request did not come: %s", s.path)
	}
	f.script = nil
}

// got returns the requests so far.
func (f *fake) got() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]request(nil), f.requests...)
}

func (f *fake) connState(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch state {
	case http.StateNew:
		f.conns[c] = true
	case http.StateClosed, http.StateHijacked:
		delete(f.conns, c)
	case http.StateActive, http.StateIdle:
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	assert.NoError(f.t, err)
	r.Body = io.NopCloser(bytes.NewReader(body)) // for the step
	got := request{method: r.Method, path: r.URL.Path, params: r.URL.RawQuery, body: string(body), header: r.Header}
	if got.path == cluster.QueryPath && got.params == whoLeads && !f.expects(whoLeads) {
		w.Header().Set("X-Rqlite-Version", f.release)
		io.WriteString(w, `{"results":[{"columns":["1"],"types":["integer"],"values":[[1]]}]}`)
		return
	}
	w.Header().Set("X-Rqlite-Version", f.release)
	if got.path == "/readyz" && got.params == isAlive && !f.expects(isAlive) {
		return // before the first write, or in a test that a busy machine holds up
	}
	if got.path == "/nodes" && got.params == allNodes && !f.expects(allNodes) {
		fmt.Fprintf(w, `{"nodes":[{"id":"1","version":%q}]}`, cmp.Or(f.members, f.release))
		return
	}
	next, ok := f.next(got)
	switch {
	case !ok:
		f.t.Errorf("an unexpected request: %s?%s %s", got.path, got.params, got.body)
		http.Error(w, "the script has no such request", http.StatusTeapot)
	case next.serve != nil:
		next.serve(w, r)
	default:
		reply := withPruned(body, next.reply)
		w.Header().Set("Content-Length", strconv.Itoa(len(reply)))
		if next.status != 0 {
			w.WriteHeader(next.status)
		}
		io.WriteString(w, reply)
	}
}

// pruneSent begins the statement that removes tokens of writes, and pruneOfTx that of transactions. One request
// in 256 that leaves a token has it, as chance has it.
const (
	pruneSent = "DELETE FROM _rqlite_tx WHERE k IN(SELECT"
	pruneOfTx = "DELETE FROM _rqlite_tx WHERE k>0 AND k<(SELECT"
)

// withPruned returns a reply with an entry more if the request removes tokens. The script does not know that.
func withPruned(body []byte, reply string) string {
	var sent []any
	if json.Unmarshal(body, &sent) != nil {
		return reply
	}
	at := slices.IndexFunc(sent, func(element any) bool {
		text, ok := element.(string)
		return ok && (strings.HasPrefix(text, pruneSent) || strings.HasPrefix(text, pruneOfTx))
	})
	var answer struct{ Results []json.RawMessage }
	if at < 0 || json.Unmarshal([]byte(reply), &answer) != nil || len(answer.Results) < at {
		return reply
	}
	var entries []string
	for _, entry := range slices.Insert(answer.Results, at, json.RawMessage("{}")) {
		entries = append(entries, string(entry))
	}
	return results(entries...)
}

// whoLeads are the parameters of the question who leads. It is answered beside the
// script, unless the script has it.
const whoLeads = "level=weak&redirect"

// isAlive are the parameters of the question whether a node that is late is alive, and allNodes
// those of the question for the nodes of the cluster. They are answered beside the script, too.
const (
	isAlive  = "noleader"
	allNodes = "nonvoters&ver=2"
)

func (f *fake) expects(params string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.script) > 0 && f.script[0].params == params
}

// next records a request and takes its step off the script.
func (f *fake) next(got request) (step, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, got)
	if len(f.script) == 0 {
		return step{}, false
	}
	want := f.script[0]
	f.script = f.script[1:]
	assert.Equal(f.t, want.path, got.path)
	if want.params != "*" {
		assert.Equal(f.t, want.params, got.params)
	}
	if want.body != "" {
		assert.Equal(f.t, want.body, got.body)
	}
	assert.Equal(f.t, cmp.Or(want.method, http.MethodPost), got.method)
	var sends []string
	if want.sends != "none" {
		sends = []string{cmp.Or(want.sends, "application/json")}
	}
	assert.Equal(f.t, sends, got.header["Content-Type"])
	return want, true
}

// finish holds the test to the script and to its connections.
func (f *fake) finish() {
	timeout := time.NewTimer(waitAtMost)
	defer timeout.Stop()
	for open := true; open; {
		f.mu.Lock()
		n, changed := len(f.conns), f.changed
		f.mu.Unlock()
		if open = n > 0; !open {
			break
		}
		select {
		case <-changed:
		case <-timeout.C:
			f.t.Errorf("%d connections are left open", n)
			f.server.CloseClientConnections()
			open = false
		}
	}
	f.server.Close()
	for _, s := range f.script {
		if !s.optional {
			f.t.Errorf("a request did not come: %s?%s %s", s.path, s.params, s.body)
		}
	}
}

// open returns a database on the fake, with options such as "timeout=1s". Its
// writes go without marks, which tests of their own are about.
func (f *fake) open(options string) *sql.DB {
	f.t.Helper()
	db, err := sql.Open("rqlite", "rqlite://"+f.addr+"/?txversion=false&"+options)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { assert.NoError(f.t, db.Close()) })
	return db
}

// openConfig returns a database on the fake, and its connector.
func (f *fake) openConfig(cfg *Config) (*sql.DB, *Connector) {
	f.t.Helper()
	connector, err := NewConnector(cfg)
	require.NoError(f.t, err)
	db := sql.OpenDB(connector)
	f.t.Cleanup(func() { assert.NoError(f.t, db.Close()) })
	return db, connector
}

// connect returns a connection for a test of the driver without database/sql.
func (f *fake) connect(change ...func(*Config)) *conn {
	f.t.Helper()
	cfg := &Config{Hosts: []string{f.addr}, DisableTxVersion: true}
	for _, c := range change {
		c(cfg)
	}
	connector, err := NewConnector(cfg)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { assert.NoError(f.t, connector.Close()) })
	c, err := connector.Connect(context.Background())
	require.NoError(f.t, err)
	return c.(*conn)
}

// cut answers with the first n bytes of a reply, and then breaks the connection.
func cut(reply string, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(reply)))
		io.WriteString(w, reply[:n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// pieces answers with what comes from a channel, each piece at once.
func pieces(from <-chan string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for {
			select {
			case piece, ok := <-from:
				if !ok {
					return
				}
				io.WriteString(w, piece)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
}

// results wraps the entries of a reply.
func results(entries ...string) string {
	return `{"results":[` + strings.Join(entries, ",") + `]}`
}

// table is the entry of a result set: its columns as "name type" with commas
// between, and its rows as JSON.
func table(columns string, rows ...string) string {
	var names, types bytes.Buffer
	for i, column := range strings.Split(columns, ",") {
		name, typ, _ := strings.Cut(strings.TrimSpace(column), " ")
		if i > 0 {
			names.WriteByte(',')
			types.WriteByte(',')
		}
		names.WriteString(strconv.Quote(name))
		types.WriteString(strconv.Quote(typ))
	}
	if len(rows) == 0 {
		return fmt.Sprintf(`{"columns":[%s],"types":[%s]}`, &names, &types)
	}
	return fmt.Sprintf(`{"columns":[%s],"types":[%s],"values":[%s]}`, &names, &types, strings.Join(rows, ","))
}

// one is the entry of SELECT 1.
var one = table("1 integer", "[1]")

// scanAll reads what is left of a result set, each value as database/sql gives it.
func scanAll(t *testing.T, rows *sql.Rows) [][]any {
	t.Helper()
	columns, err := rows.Columns()
	require.NoError(t, err)
	all := [][]any{}
	for rows.Next() {
		row := make([]any, len(columns))
		dest := make([]any, len(columns))
		for i := range row {
			dest[i] = &row[i]
		}
		require.NoError(t, rows.Scan(dest...))
		all = append(all, row)
	}
	return all
}

// roundTripper is a function as http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
