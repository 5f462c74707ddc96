//go:build go1.25

package coalesce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// The tests run in synctest bubbles, where time passes only while everyone waits: times
// are exact, and a goroutine that is left behind fails the test. The nodes are scripts
// behind the client's transport.

// reply answers one request of a node.
type reply func(*http.Request) (*http.Response, error)

// node is a scripted node: the first request gets the first reply, and so on; the last
// reply is repeated. It is well whenever it is asked.
type node struct {
	mu     sync.Mutex
	script []reply
	got    int // requests so far
}

func (n *node) answer(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/readyz" {
		return ok("[+]node ok")(r)
	}
	n.mu.Lock()
	next := n.script[min(n.got, len(n.script)-1)]
	n.got++
	n.mu.Unlock()
	return next(r)
}

// then replaces the replies to come.
func (n *node) then(script ...reply) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.script, n.got = script, 0
}

// requests returns the number of requests so far, since then was called.
func (n *node) requests() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.got
}

// nodes carries requests to nodes by their hosts.
type nodes map[string]*node

// RoundTrip implements http.RoundTripper.
func (n nodes) RoundTrip(r *http.Request) (*http.Response, error) { return n[r.URL.Host].answer(r) }

// limit is the timeout of the clients of these tests.
const limit = 20 * time.Second

// newCluster returns a node for each reply, 10.0.0.1:4001 and so on, and a client that
// knows them all.
func newCluster(t *testing.T, redirect bool, replies ...reply) (*cluster.Client, []*node) {
	t.Helper()
	var (
		hosts []string
		all   []*node
	)
	transport := make(nodes)
	for i, r := range replies {
		n := &node{script: []reply{r}}
		host := fmt.Sprintf("10.0.0.%d:4001", i+1)
		transport[host] = n
		hosts, all = append(hosts, host), append(all, n)
	}
	c := cluster.New(cluster.Config{Hosts: hosts, Scheme: "http", Transport: transport, Timeout: limit, Redirect: redirect})
	t.Cleanup(c.Close)
	return c, all
}

// text is an answer of any status.
func text(status int, body string) reply {
	return func(r *http.Request) (*http.Response, error) {
		header := http.Header{"X-Rqlite-Version": {"v10.2.7"}}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

// one is the answer to a write.
const one = `{"results":[{"last_insert_id":1,"rows_affected":1}]}`

func ok(body string) reply { return text(http.StatusOK, body) }

// failure is a 200 that reports a failure of the request as a whole.
func failure(message string) reply { return ok(fmt.Sprintf(`{"results":[],"error":%q}`, message)) }

// foreign answers as something other than rqlite.
func foreign(status int) reply {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
}

// movedTo redirects to the same path at another address.
func movedTo(base string) reply {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := text(http.StatusMovedPermanently, "")(r)
		resp.Header.Set("Location", base+r.URL.RequestURI())
		return resp, err
	}
}

// drop ends the connection without an answer.
func drop(*http.Request) (*http.Response, error) { return nil, io.EOF }

// cut ends the connection after some bytes of the answer.
func cut(body string, n int) reply {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := ok("")(r)
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(body[:n]), broken{}))
		return resp, err
	}
}

// broken is the rest of a body that does not come.
type broken struct{}

// Read implements io.Reader.
func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// hang gives no answer until the client goes away.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// after answers when time has passed.
func after(d time.Duration, then reply) reply {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return then(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// inBubble runs a subtest in a bubble of its own.
func inBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}

// requireError demands a *cluster.Error of the outcome and returns it.
func requireError(t *testing.T, err error, outcome cluster.Outcome) *cluster.Error {
	t.Helper()
	var failure *cluster.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, outcome, failure.Outcome, "%v", err)
	return failure
}

// table applies the statements that a fake node gets, as rqlite would: "ok 3" is
// applied and has 3 as its last insert id, "fail 3" fails, and with "choke 3" the
// server refuses the request as a whole.
type table struct {
	gate chan struct{} // each request waits for a value; nil lets all pass

	mu      sync.Mutex
	applied []string
	bulks   []string // the statements of each request, with "tx:" in front of a transaction
}

func (s *table) reply(r *http.Request) (*http.Response, error) {
	var statements []string
	if err := json.NewDecoder(r.Body).Decode(&statements); err != nil {
		return nil, err
	}
	atomic := strings.Contains(r.URL.RawQuery, "transaction")
	s.record(statements, atomic)
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	for _, statement := range statements {
		if strings.HasPrefix(statement, "choke") {
			return text(http.StatusBadRequest, "near "+statement)(r)
		}
	}
	return ok(`{"results":[` + strings.Join(s.apply(statements, atomic), ",") + "]}")(r)
}

func (s *table) record(statements []string, atomic bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := strings.Join(statements, ",")
	if atomic {
		line = "tx:" + line
	}
	s.bulks = append(s.bulks, line)
}

// apply returns the entries of the answer.
func (s *table) apply(statements []string, atomic bool) (entries []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.applied)
	for _, statement := range statements {
		verb, id, _ := strings.Cut(statement, " ")
		if verb == "ok" {
			s.applied = append(s.applied, id)
			entries = append(entries, fmt.Sprintf(`{"last_insert_id":%s,"rows_affected":1}`, id))
			continue
		}
		entries = append(entries, fmt.Sprintf(`{"error":"UNIQUE constraint failed: %s"}`, id))
		if atomic {
			s.applied = s.applied[:before]
			break
		}
	}
	return entries
}

// got returns the requests so far.
func (s *table) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bulks...)
}

// unframed is how the requests of these tests are sent.
func unframed(atomic bool) cluster.Request {
	req := cluster.Request{Path: cluster.ExecutePath, Leader: true, Write: true}
	if atomic {
		req.Params = "transaction"
	}
	return req
}

// writer is a goroutine that writes.
type writer struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
	id     int64
	err    error
}

// joins starts a writer of one statement, and waits until it waits.
func joins(t *testing.T, q *Coalescer, statement string) *writer {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	w := &writer{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.id, w.err = joinOne(ctx, q, statement)
	}()
	synctest.Wait()
	return w
}

func joinOne(ctx context.Context, q *Coalescer, statement string) (id int64, err error) {
	answer, err := q.Join(ctx, Part{Elements: fmt.Appendf(nil, "%q", statement), Entries: 1})
	if err != nil {
		return 0, err
	}
	defer answer.Close()
	result, err := answer.Next()
	if err != nil {
		return 0, err
	}
	if result.Error != "" {
		return 0, errors.New(result.Error)
	}
	return result.LastInsertID, answer.End()
}

// applied demands that a statement was, and that the writer got its own id.
func (w *writer) applied(t *testing.T, id int64) {
	t.Helper()
	<-w.done
	require.NoError(t, w.err)
	assert.Equal(t, id, w.id)
}

// failed demands that a statement failed with its own error.
func (w *writer) failed(t *testing.T, id int) {
	t.Helper()
	<-w.done
	assert.EqualError(t, w.err, fmt.Sprintf("UNIQUE constraint failed: %d", id))
}

// refused demands that nothing came of the write, for a reason.
func (w *writer) refused(t *testing.T, why error) {
	t.Helper()
	<-w.done
	assert.True(t, requireError(t, w.err, cluster.Refused).Write)
	assert.ErrorIs(t, w.err, why)
}

// unknown demands that the writer does not know what became of its write.
func (w *writer) unknown(t *testing.T) {
	t.Helper()
	<-w.done
	assert.True(t, requireError(t, w.err, cluster.Unknown).Write)
}

// setting is how busy makes a coalescer.
type setting struct {
	patience time.Duration // 0 is that of a coalescer without a setting
	forwards bool          // nodes forward requests to the leader
}

// busy returns a coalescer that already has as many requests under way as it wants,
// each of which release lets end. It must be called in a bubble.
func busy(t *testing.T, set setting) (q *Coalescer, s *table, only *node, release func()) {
	t.Helper()
	s = &table{}
	client, all := newCluster(t, !set.forwards, s.reply)
	q = New(Config{Client: client, Request: unframed, Patience: set.patience})
	for range writeLimits.underWay {
		require.True(t, begins(q))
	}
	require.False(t, begins(q), "one too many")
	return q, s, all[0], func() { endFirst(q); synctest.Wait() }
}

// begins begins a write that goes by itself, if one may.
func begins(q *Coalescer) bool {
	_, ok := q.Begin(nil)
	return ok
}

// endFirst ends the first request that its caller sent by itself.
func endFirst(q *Coalescer) {
	q.mu.Lock()
	all := q.requests.all
	first := slices.IndexFunc(all, func(one request) bool { return one.parts == 0 })
	ticket := all[first].ticket
	q.mu.Unlock()
	q.End(ticket)
}
