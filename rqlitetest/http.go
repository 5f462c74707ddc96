package rqlitetest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-rqlite/rqlite/rqlitetest/internal/rewrite"
)

// Version is the version that the server reports. It names the release of rqlite that the server
// copies.
const Version = "v10.3.0+rqlitetest"

const (
	jsonContent     = "application/json; charset=utf-8"
	servedBy        = "X-Rqlite-Served-By"
	defaultTimeout  = 30 * time.Second
	allowMethods    = "OPTIONS, GET, POST"
	challengeHeader = `Basic realm="rqlite"`
)

// front is the HTTP API of a node.
type front struct {
	node     *node
	accounts accounts
	started  time.Time
}

// gate counts running requests until it is closed.
type gate struct {
	mu    sync.Mutex
	shut  bool
	count sync.WaitGroup
}

// guard lets close wait for running requests, including the part of the intercepting handler. Later
// requests are cut off.
func (g *gate) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		if g.shut {
			g.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		g.count.Add(1)
		g.mu.Unlock()
		defer g.count.Done()
		h.ServeHTTP(w, r)
	})
}

// close refuses new requests and waits for running ones.
func (g *gate) close() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	g.count.Wait()
}

// ServeHTTP finds the endpoint, mostly by the beginning of the path: "/db/query/x" is a query.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Rqlite-Version", Version)
	h.Set("Access-Control-Allow-Methods", allowMethods)
	h.Set("Access-Control-Allow-Headers", "Content-Type")
	if f.accounts != nil {
		h.Set("Access-Control-Allow-Headers", "Content-Type, Authorization")
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("WWW-Authenticate", challengeHeader)
	}
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return
	}
	p, err := parseParams(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, e := range endpoints {
		if r.URL.Path == e.path || !e.whole && strings.HasPrefix(r.URL.Path, e.path) {
			f.serve(w, r, p, e)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

// endpoint is a path with the conditions for serving it.
type endpoint struct {
	path    string
	whole   bool // the path must match as a whole, not only its beginning
	perms   []string
	methods []string
	plain   bool // the answer is not JSON
	handle  func(*front, http.ResponseWriter, *http.Request, params)
}

var endpoints = []endpoint{
	{path: "/db/execute", perms: []string{"execute"}, methods: []string{"POST"}, handle: (*front).execute},
	{path: "/db/query", perms: []string{"query"}, methods: []string{"GET", "POST"}, handle: (*front).query},
	{path: "/db/request", perms: []string{"query", "execute"}, methods: []string{"POST"}, handle: (*front).request},
	{path: "/db/sql", perms: []string{"query"}, methods: []string{"GET", "POST"}, handle: (*front).analyze},
	{path: "/db/backup", perms: []string{"backup"}, methods: []string{"GET"}, plain: true, handle: (*front).backup},
	{path: "/db/load", perms: []string{"load"}, methods: []string{"POST"}, plain: true, handle: (*front).load},
	{path: "/boot", whole: true, perms: []string{"load"}, methods: []string{"POST"}, plain: true, handle: (*front).boot},
	{path: "/snapshot", whole: true, perms: []string{"snapshot"}, methods: []string{"POST"}, plain: true, handle: (*front).snapshot},
	{path: "/leader", whole: true, perms: []string{"leader-ops"}, methods: []string{"GET", "POST"}, handle: (*front).leader},
	{path: "/status", perms: []string{"status"}, methods: []string{"GET"}, handle: (*front).status},
	{path: "/nodes", perms: []string{"status"}, methods: []string{"GET"}, handle: (*front).nodes},
	{path: "/readyz", perms: []string{"ready"}, methods: []string{"GET"}, plain: true, handle: (*front).ready},
}

func (f *front) serve(w http.ResponseWriter, r *http.Request, p params, e endpoint) {
	if !e.plain {
		w.Header().Set("Content-Type", jsonContent)
	}
	if !f.accounts.allow(r, e.perms...) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	for _, method := range e.methods {
		if r.Method == method {
			e.handle(f, w, r, p)
			return
		}
	}
	w.WriteHeader(http.StatusMethodNotAllowed)
}

// statements reads the statements in a body. With plain set the body may also be SQL as plain text.
// On an error it sends the answer itself and returns false.
func statements(w http.ResponseWriter, r *http.Request, plain bool) ([]statement, bool) {
	if plain && strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return nil, false
		}
		return []statement{{sql: string(text)}}, true
	}
	stmts, err := parseStatements(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil, false
	}
	return stmts, true
}

func (f *front) execute(w http.ResponseWriter, r *http.Request, p params) {
	if p.has("queue") {
		f.enqueue(w, r, p)
		return
	}
	stmts, ok := statements(w, r, true)
	if !ok {
		return
	}
	if !rewritten(w, p, stmts, p.rewriting()) {
		return
	}
	f.serveDB(w, r, p, "Execute", (*node).execute, p.dbRequest(stmts), "execute")
}

func (f *front) query(w http.ResponseWriter, r *http.Request, p params) {
	stmts := []statement{{sql: p["q"]}}
	if r.Method == http.MethodPost {
		var ok bool
		if stmts, ok = statements(w, r, true); !ok {
			return
		}
	}
	req := p.dbRequest(stmts)
	opts := rewrite.Options{} // reads below strong are not in the log, so each node may evaluate them by itself
	if req.level == levelStrong {
		opts = p.rewriting()
	}
	if !rewritten(w, p, stmts, opts) {
		return
	}
	f.serveDB(w, r, p, "query", (*node).query, req, "query")
}

func (f *front) request(w http.ResponseWriter, r *http.Request, p params) {
	stmts, ok := statements(w, r, false)
	if !ok {
		return
	}
	if !rewritten(w, p, stmts, p.rewriting()) {
		return
	}
	f.serveDB(w, r, p, "Request", (*node).request, p.dbRequest(stmts), "query", "execute")
}

// enqueue takes a queued write. An invalid body counts as one without statements. A client can use
// such a body to wait for the queue. Only an empty list without wait is refused.
func (f *front) enqueue(w http.ResponseWriter, r *http.Request, p params) {
	start := time.Now()
	if !p.has("noleader") && f.node.group.leaderNode() == nil {
		http.Error(w, errLeaderNotFound.Error(), http.StatusServiceUnavailable)
		return
	}
	stmts, err := parseStatements(r.Body)
	if errors.Is(err, errNoStatements) && !p.has("wait") {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := rewriteAll(stmts, p.rewriting()); err != nil { // noparse has no effect here
		http.Error(w, "SQL rewrite: "+err.Error(), http.StatusInternalServerError)
		return
	}
	item := queued{statements: stmts}
	var flushed chan struct{}
	if p.has("wait") {
		flushed = make(chan struct{})
		item.flushed = flushed
	}
	l := f.node.alive()
	if l == nil { // the node is being stopped
		panic(http.ErrAbortHandler)
	}
	number, err := l.queue.write(r.Context(), item)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if flushed != nil {
		timer := time.NewTimer(p.duration("timeout", defaultTimeout))
		defer timer.Stop()
		select {
		case <-flushed:
		case <-timer.C:
			http.Error(w, "queue wait timeout", http.StatusRequestTimeout)
			return
		case <-r.Context().Done():
			return
		}
	}
	resp := &response{sequence: number, seconds: since(start, p.has("timings"))}
	writeJSON(w, p, resp)
}

// dbOperation is an operation of a node on the database. With an error there are no results.
type dbOperation func(*node, context.Context, *dbRequest) ([]result, uint64, error)

// serveDB runs an operation on the node or the leader, and answers. Most errors also have status
// 200.
func (f *front) serveDB(w http.ResponseWriter, r *http.Request, p params, name string, run dbOperation, req *dbRequest, perms ...string) {
	resp := &response{associative: p.has("associative")}
	start := time.Now()
	served, err := f.node.do(r.Context(), f.call(r, p, func(n *node) (err error) {
		resp.results, resp.index, err = run(n, r.Context(), req)
		return err
	}, perms...))
	if f.failed(w, r, name, err) {
		return
	}
	if err != nil {
		resp.results, resp.err = nil, err.Error()
	} else {
		w.Header().Set(servedBy, served)
	}
	if err != nil || !p.has("raft_index") {
		resp.index = 0
	}
	resp.seconds = since(start, p.has("timings"))
	writeJSON(w, p, resp)
}

func writeJSON(w http.ResponseWriter, p params, v any) {
	body, err := marshal(p, v)
	if err != nil {
		// This names the type in the real server, because clients see its name.
		text := "json: error calling MarshalJSON for type *http.DBResults: " + unmarshalable(err).Error()
		http.Error(w, text, http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(body)
}

func marshal(p params, v any) ([]byte, error) {
	if p.has("pretty") {
		return json.MarshalIndent(v, "", "    ")
	}
	return json.Marshal(v)
}
