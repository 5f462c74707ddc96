package cdc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var discard = slog.New(slog.DiscardHandler)

// receiver is a handler on a socket. It records the changes that it gets.
type receiver struct {
	*httptest.Server
	handler *Handler
	log     *strings.Builder // read only while no request is running

	mu      sync.Mutex
	handled []int64 // new rowids
}

// newReceiver starts a receiver. f may change its options. callback is called before the changes
// count as handled. Closing the receiver waits for its requests.
func newReceiver(t *testing.T, callback func(context.Context, []Change) error, f func(*Options)) *receiver {
	t.Helper()
	r := &receiver{log: &strings.Builder{}}
	opts := &Options{Logger: slog.New(slog.NewTextHandler(r.log, nil))}
	if f != nil {
		f(opts)
	}
	r.handler = NewHandler(func(ctx context.Context, changes []Change) error {
		if callback != nil {
			if err := callback(ctx, changes); err != nil {
				return err
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, c := range changes {
			r.handled = append(r.handled, c.NewRowID)
		}
		return nil
	}, opts)
	r.Server = httptest.NewServer(r.handler)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]int64(nil), r.handled...)
}

// body returns a post of inserts. Their rowids are the indexes.
func body(service string, indexes ...int) string {
	var groups []string
	for _, i := range indexes {
		groups = append(groups, fmt.Sprintf(`{"index":%d,"events":[{"op":"INSERT","table":"t","new_row_id":%d}]}`, i, i))
	}
	return fmt.Sprintf(`{"service_id":%q,"node_id":"1","payload":[%s]}`, service, strings.Join(groups, ","))
}

// send sends a request and returns the answer's status.
func (r *receiver) send(t *testing.T, method string, body io.Reader, prepare func(*http.Request)) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.URL, body)
	require.NoError(t, err)
	if prepare != nil {
		prepare(req)
	}
	resp, err := r.Client().Do(req)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

func (r *receiver) post(t *testing.T, body string) int {
	t.Helper()
	return r.send(t, http.MethodPost, strings.NewReader(body), nil).StatusCode
}

func TestHandler(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil, nil)
	assert.Equal(t, 200, r.post(t, body("", 3, 4)))
	assert.Equal(t, 200, r.post(t, body("", 3, 4)))
	assert.Equal(t, 200, r.post(t, body("", 4, 9)))
	assert.Equal(t, 200, r.post(t, body("other", 4)))
	assert.Equal(t, 200, r.post(t, body("")))
	assert.Equal(t, []int64{3, 4, 9, 4}, r.got())
	assert.Equal(t, Stats{Posts: 5, Changes: 4, Duplicates: 3}, r.handler.Stats())
}

// endless is a body of a given size that is made while it is read.
type endless struct {
	left int
	read atomic.Int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := min(len(p), e.left)
	for i := range n {
		p[i] = ' '
	}
	e.left -= n
	e.read.Add(int64(n))
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// TestBadRequests checks the status of bad requests, and that none of their changes are handled.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	const size = 100_000_000
	secret := func(o *Options) { o.Username, o.Password, o.Token = "u", "p", "token" }
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	header := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	good := body("", 1)
	for name, c := range map[string]struct {
		method  string
		body    io.Reader
		options func(*Options)
		prepare func(*http.Request)
		status  int
		log     string
	}{
		"GET":                     {method: "GET", status: 405, log: "POST"},
		"PUT":                     {method: "PUT", body: strings.NewReader(good), status: 405, log: "POST"},
		"truncated":               {body: strings.NewReader(good[:len(good)-3]), status: 400, log: "no post of changes"},
		"empty":                   {status: 400, log: "no post of changes"},
		"100 MB":                  {body: &endless{left: size}, prepare: func(r *http.Request) { r.ContentLength = size }, status: 413, log: "MaxBody"},
		"100 MB, size not told":   {body: &endless{left: size}, options: func(o *Options) { o.MaxBody = 4 << 20 }, status: 413, log: "MaxBody"},
		"above a limit":           {body: strings.NewReader(good), options: func(o *Options) { o.MaxBody = int64(len(good)) - 1 }, status: 413, log: "MaxBody"},
		"at the limit":            {body: strings.NewReader(good), options: func(o *Options) { o.MaxBody = int64(len(good)) }, status: 200},
		"no credentials":          {body: strings.NewReader(good), options: secret, status: 401, log: "credentials"},
		"none, by GET":            {method: "GET", options: secret, status: 401, log: "credentials"},
		"wrong user":              {body: strings.NewReader(good), options: secret, prepare: basic("x", "p"), status: 401, log: "credentials"},
		"wrong password":          {body: strings.NewReader(good), options: secret, prepare: basic("u", "x"), status: 401, log: "credentials"},
		"right password":          {body: strings.NewReader(good), options: secret, prepare: basic("u", "p"), status: 200},
		"wrong token":             {body: strings.NewReader(good), options: secret, prepare: header("Bearer toke"), status: 401, log: "credentials"},
		"no token":                {body: strings.NewReader(good), options: secret, prepare: header("Bearer"), status: 401, log: "credentials"},
		"right token":             {body: strings.NewReader(good), options: secret, prepare: header("bearer token"), status: 200},
		"token without a secret":  {body: strings.NewReader(good), prepare: header("Bearer x"), status: 200},
		"password, but a token":   {body: strings.NewReader(good), options: func(o *Options) { o.Token = "p" }, prepare: basic("", "p"), status: 401, log: "credentials"},
		"empty token, basic only": {body: strings.NewReader(good), options: func(o *Options) { o.Username = "u" }, prepare: header("Bearer "), status: 401, log: "credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, nil, c.options)
			if c.method == "" {
				c.method = http.MethodPost
			}
			resp := r.send(t, c.method, c.body, c.prepare)
			r.Close() // waits for running requests
			assert.Equal(t, c.status, resp.StatusCode)
			assert.Contains(t, r.log.String(), c.log)
			assert.NotContains(t, r.log.String(), "token ")
			assert.Equal(t, c.status == 401, resp.Header.Get("WWW-Authenticate") != "")
			assert.Equal(t, c.status == 405, resp.Header.Get("Allow") == "POST")
			if c.status == 200 {
				assert.Equal(t, []int64{1}, r.got())
				assert.Empty(t, r.log.String())
				return
			}
			assert.Empty(t, r.got())
			assert.Equal(t, Stats{Refused: 1}, r.handler.Stats())
			if e, ok := c.body.(*endless); ok {
				assert.Less(t, e.read.Load(), int64(size), "it was read to its end")
			}
		})
	}
}

// TestCallbackFails checks that the post is not acknowledged if the callback fails or panics, and
// that the changes come again.
func TestCallbackFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail func() error
		log  string
	}{
		"error": {func() error { return errors.New("disk full") }, "disk full"},
		"panic": {func() error { panic("out of cheese") }, "out of cheese"},
		"nil":   {func() error { var c *Change; _ = c.Op; return nil }, "handler_test.go"}, // the stack names this file
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			r := newReceiver(t, func(context.Context, []Change) error {
				if calls++; calls <= 2 {
					return c.fail()
				}
				return nil
			}, nil)
			assert.Equal(t, 500, r.post(t, body("", 1, 2)))
			assert.Equal(t, 500, r.post(t, body("", 1, 2)))
			assert.Equal(t, 200, r.post(t, body("", 1, 2)))
			assert.Equal(t, 200, r.post(t, body("", 1, 2, 3)))
			r.Close()
			assert.Equal(t, []int64{1, 2, 3}, r.got())
			assert.Equal(t, 2, strings.Count(r.log.String(), "not acknowledged"))
			assert.Contains(t, r.log.String(), c.log)
			assert.Equal(t, Stats{Posts: 2, Changes: 3, Duplicates: 2, Failed: 2}, r.handler.Stats())
		})
	}
}

// TestSenderHangsUp checks that the context of a slow callback ends when the sender hangs up, and
// that the post is not acknowledged. A sender that waits for its turn can hang up, too.
func TestSenderHangsUp(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	calls := 0
	r := newReceiver(t, func(ctx context.Context, _ []Change) error {
		if calls++; calls > 1 {
			return nil
		}
		began <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return ctx.Err()
	}, nil)
	hang := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, strings.NewReader(body("", 1)))
		require.NoError(t, err)
		resp, err := r.Client().Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	first, cancelFirst := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- hang(first) }()
	<-began
	second, cancelSecond := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancelSecond()
	require.ErrorIs(t, hang(second), context.DeadlineExceeded) // it does not reach the callback
	cancelFirst()
	require.ErrorIs(t, <-done, context.Canceled)
	<-ended
	assert.Equal(t, 200, r.post(t, body("", 1)))
	r.Close()
	assert.Equal(t, []int64{1}, r.got())
	assert.Equal(t, 2, calls)
}

// TestConcurrentPosts checks that posts of one service run one after the other, and that posts of
// another service do not wait for them.
func TestConcurrentPosts(t *testing.T) {
	t.Parallel()
	began, free := make(chan struct{}), make(chan struct{})
	var inside, most int
	var mu sync.Mutex
	r := newReceiver(t, func(_ context.Context, changes []Change) error {
		if changes[0].ServiceID == "slow" {
			close(began)
			<-free
			return nil
		}
		mu.Lock()
		inside++
		most = max(most, inside)
		mu.Unlock()
		defer func() {
			mu.Lock()
			inside--
			mu.Unlock()
		}()
		return nil
	}, nil)
	var all sync.WaitGroup
	all.Add(1)
	go func() {
		defer all.Done()
		assert.Equal(t, 200, r.post(t, body("slow", 1)))
	}()
	<-began
	for range 20 {
		all.Add(1)
		go func() {
			defer all.Done()
			assert.Equal(t, 200, r.post(t, body("", 1, 2, 3)))
		}()
	}
	all.Add(1)
	go func() {
		defer all.Done()
		for r.handler.Stats().Posts < 20 {
			assert.Equal(t, 200, r.post(t, body("other")))
		}
		close(free)
	}()
	all.Wait()
	assert.Equal(t, 1, most)
	assert.Equal(t, []int64{1, 2, 3, 1}, r.got())
}

// TestSavesAfterHangUp checks that handled changes are stored even if the sender hangs up at the
// last moment.
func TestSavesAfterHangUp(t *testing.T) {
	t.Parallel()
	memory := NewMemory()
	ctx, cancel := context.WithCancel(t.Context())
	h := NewHandler(func(context.Context, []Change) error { cancel(); return nil }, &Options{Checkpoint: ends{memory}, Logger: discard})
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(body("", 7))))
	assert.Equal(t, 200, rec.Code)
	mark, err := memory.Load(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, Mark{Index: 7, NodeID: "1"}, mark)
}

// ends is a checkpoint that fails if its context has ended.
type ends struct{ *Memory }

func (e ends) Save(ctx context.Context, service string, from, to Mark) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.Memory.Save(ctx, service, from, to)
}

// flaky is a checkpoint that reports failures. It may have saved the mark nevertheless.
type flaky struct {
	*Memory
	saves bool
	fails int // number of failures left
	loads int
}

func (f *flaky) Load(ctx context.Context, service string) (Mark, error) {
	f.loads++
	return f.Memory.Load(ctx, service)
}

func (f *flaky) Save(ctx context.Context, service string, from, to Mark) error {
	if f.fails--; f.fails < 0 || f.saves {
		if err := f.Memory.Save(ctx, service, from, to); err != nil {
			return err
		}
	}
	if f.fails >= 0 {
		return assert.AnError
	}
	return nil
}

// TestCheckpointFails checks that the handler reads the checkpoint again after a failed save: the
// mark may have been saved.
func TestCheckpointFails(t *testing.T) {
	t.Parallel()
	for saves, want := range map[bool][]int64{false: {1, 1, 2}, true: {1, 2}} {
		checkpoint := &flaky{Memory: NewMemory(), saves: saves, fails: 1}
		r := newReceiver(t, nil, func(o *Options) { o.Checkpoint = checkpoint })
		assert.Equal(t, 500, r.post(t, body("", 1)))
		assert.Equal(t, 200, r.post(t, body("", 1)))
		assert.Equal(t, 200, r.post(t, body("", 2)))
		r.Close()
		assert.Equal(t, want, r.got())
		assert.Equal(t, 2, checkpoint.loads)
	}
}

// TestCheckpointShared checks that a restarted receiver continues after the changes that were
// handled before, and that a receiver notices when another one has moved the checkpoint.
func TestCheckpointShared(t *testing.T) {
	t.Parallel()
	memory := NewMemory()
	use := func(o *Options) { o.Checkpoint = memory }
	a, b := newReceiver(t, nil, use), newReceiver(t, nil, use)
	assert.Equal(t, 200, a.post(t, body("", 1)))
	assert.Equal(t, 200, b.post(t, body("", 1, 2)))
	assert.Equal(t, 500, a.post(t, body("", 2, 3))) // it handled 2 again, and then could not save
	assert.Equal(t, 200, a.post(t, body("", 2, 3)))
	a.Close()
	assert.Equal(t, []int64{1, 2, 3, 3}, a.got())
	assert.Equal(t, []int64{2}, b.got())
	assert.Contains(t, a.log.String(), ErrMoved.Error())
}

// tables returns a post with one change for each table, all in one commit.
func tables(index int, names ...string) string {
	var events []string
	for _, n := range names {
		events = append(events, fmt.Sprintf(`{"op":"INSERT","table":%q,"new_row_id":%d}`, n, index))
	}
	return fmt.Sprintf(`{"node_id":"1","payload":[{"index":%d,"events":[%s]}]}`, index, strings.Join(events, ","))
}

// TestFilters checks that a post without wanted changes moves the checkpoint without a call of the
// callback.
func TestFilters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tables func(string) bool
		want   []string
	}{
		"default": {nil, []string{"a", "b"}},
		"some":    {func(t string) bool { return t != "a" }, []string{"_rqlite_tx", "b"}},
		"none":    {func(string) bool { return false }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory := NewMemory()
			var got []string
			r := newReceiver(t, func(_ context.Context, changes []Change) error {
				for _, c := range changes {
					got = append(got, c.Table)
				}
				return nil
			}, func(o *Options) { o.Checkpoint, o.Tables = memory, c.tables })
			assert.Equal(t, 200, r.post(t, tables(5, "a", "_rqlite_tx", "b")))
			assert.Equal(t, 200, r.post(t, tables(6)))
			r.Close()
			assert.Equal(t, c.want, got)
			assert.EqualValues(t, 3-len(c.want), r.handler.Stats().Filtered)
			mark, err := memory.Load(t.Context(), "")
			require.NoError(t, err)
			assert.Equal(t, Mark{Index: 6, NodeID: "1"}, mark)
		})
	}
}

// TestUncertain checks that uncertain changes are delivered, marked and logged, and do not move the
// checkpoint.
func TestUncertain(t *testing.T) {
	t.Parallel()
	memory := NewMemory()
	var got []string
	r := newReceiver(t, func(_ context.Context, changes []Change) error {
		for _, c := range changes {
			got = append(got, fmt.Sprint(c.NewRowID, c.Index, c.Part, c.Uncertain))
		}
		return nil
	}, func(o *Options) { o.Checkpoint = memory })
	assert.Equal(t, 200, r.post(t, body("", 4)))
	assert.Equal(t, 200, r.post(t, strings.Replace(body("", 0, 0, 5), `"node_id":"1"`, `"node_id":"2"`, 1)))
	assert.Equal(t, 200, r.post(t, strings.Replace(body("", 0, 6), `"node_id":"1"`, `"node_id":"2"`, 1)))
	assert.Equal(t, 200, r.post(t, strings.Replace(body("", 0), `"node_id":"1"`, `"node_id":"3"`, 1)))
	r.Close()
	assert.Equal(t, []string{"4 4 0 false", "0 0 0 true", "0 0 0 true", "5 5 0 false", "0 5 1 false", "6 6 0 false", "0 0 0 true"}, got)
	assert.Equal(t, 2, strings.Count(r.log.String(), "without an index"))
	assert.EqualValues(t, 3, r.handler.Stats().Uncertain)
	mark, err := memory.Load(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, Mark{Index: 6, NodeID: "2"}, mark)
}

func TestTableNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b", "1a", `x"`, "ä", "a;b"} {
		_, err := NewTable(nil, &TableOptions{Name: name})
		assert.ErrorContains(t, err, "rqlite: ", name)
	}
	table, err := NewTable(nil, &TableOptions{Name: "My_1", Dollar: true})
	require.NoError(t, err)
	assert.Equal(t, "SELECT $1 FROM My_1 WHERE a = $2 AND b = 7", table.query("SELECT ? FROM %s WHERE a = ? AND b = %d", 7))
}

func TestSaveTxMisused(t *testing.T) {
	t.Parallel()
	table, err := NewTable(nil, nil)
	require.NoError(t, err)
	assert.ErrorContains(t, table.SaveTx(t.Context(), nil), "the context of a callback")
	var failure error
	r := newReceiver(t, func(ctx context.Context, _ []Change) error {
		failure = table.SaveTx(ctx, nil)
		return failure
	}, nil)
	assert.Equal(t, 500, r.post(t, body("", 1)))
	assert.ErrorContains(t, failure, "not the handler's")
}
