package rqlitetest_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/rqlitetest"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	const whole = `{"results":[{"last_insert_id":1,"rows_affected":1}]}`
	for _, test := range []struct {
		name    string
		fault   rqlitetest.Fault
		status  int
		body    string
		err     error
		applied string
	}{
		{name: "none", status: 200, body: whole, applied: "1"},
		{name: "answer lost", fault: rqlitetest.Fault{Cut: rqlitetest.CutAnswer}, err: io.EOF, applied: "1"},
		{name: "request lost", fault: rqlitetest.Fault{Unapplied: true, Cut: rqlitetest.CutAnswer}, err: io.EOF, applied: "0"},
		{
			name: "half an answer", fault: rqlitetest.Fault{Cut: rqlitetest.CutBody},
			status: 200, body: whole[:len(whole)/2], err: io.ErrUnexpectedEOF, applied: "1",
		},
		{
			name: "leadership lost", fault: rqlitetest.Fault{Error: "leadership lost while committing log"},
			status: 200, body: `{"results":[],"error":"leadership lost while committing log"}`, applied: "1",
		},
		{
			name: "leadership lost before", fault: rqlitetest.Fault{Unapplied: true, Error: "leadership lost while committing log"},
			status: 200, body: `{"results":[],"error":"leadership lost while committing log"}`, applied: "0",
		},
		{
			name: "unavailable", fault: rqlitetest.Fault{Unapplied: true, Status: 503, Body: "leader not found\n"},
			status: 503, body: "leader not found\n", applied: "0",
		},
		{name: "status alone", fault: rqlitetest.Fault{Status: 502}, status: 502, body: whole, applied: "1"},
		{name: "garbage", fault: rqlitetest.Fault{Body: "<html>"}, status: 200, body: "<html>", applied: "1"},
		{name: "delay", fault: rqlitetest.Fault{Delay: 20 * time.Millisecond}, status: 200, body: whole, applied: "1"},
		{name: "another path", fault: rqlitetest.Fault{Path: "/db/query/x", Status: 500}, status: 200, body: whole, applied: "1"},
		{name: "this path", fault: rqlitetest.Fault{Path: "/db/exec", Status: 500}, status: 500, body: whole, applied: "1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, client := newTable(t)
			c.Fail(0, test.fault)
			start := time.Now()
			status, body, err := tryCall(t.Context(), client, "POST", c.URL(0)+"/db/execute", insert)
			assert.GreaterOrEqual(t, time.Since(start), test.fault.Delay)
			assert.Equal(t, test.status, status)
			assert.Equal(t, test.body, body)
			if test.err == nil {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, test.err)
			}
			assert.Equal(t, test.applied, rows(t, client, c.URL(1)))
		})
	}
}

func TestFaultTimes(t *testing.T) {
	t.Parallel()
	c, client := newTable(t)
	ask := func(node int, path string) int {
		status, _ := call(t, client, "GET", c.URL(node)+path, "")
		return status
	}
	c.Fail(1, rqlitetest.Fault{Path: "/readyz", Times: 2, Status: 501})
	c.Fail(1, rqlitetest.Fault{Status: 502})
	c.Fail(1, rqlitetest.Fault{Times: -1, Status: 503})
	var got []int
	for _, path := range []string{"/readyz", "/nodes", "/readyz", "/readyz", "/nodes"} {
		got = append(got, ask(1, path))
	}
	assert.Equal(t, []int{501, 502, 501, 503, 503}, got)
	assert.Equal(t, 200, ask(2, "/readyz"))
	c.Heal(1)
	assert.Equal(t, 200, ask(1, "/readyz"))
}

// TestDelayOutlasted checks that a client may give up waiting for a delayed answer. Its write is
// applied, and nothing else of it remains.
func TestDelayOutlasted(t *testing.T) {
	t.Parallel()
	c, client := newTable(t)
	c.Fail(0, rqlitetest.Fault{Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, _, err := tryCall(ctx, client, "POST", c.URL(0)+"/db/execute", insert)
		ended <- err
	}()
	require.Eventually(t, func() bool { return rows(t, client, c.URL(1)) == "1" }, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestRequests(t *testing.T) {
	t.Parallel()
	c, client := newTable(t)
	c.ForgetRequests()
	c.Fail(1, rqlitetest.Fault{Unapplied: true, Status: 500})
	call(t, client, "POST", c.URL(1)+"/db/query?level=weak&redirect", count)
	call(t, client, "GET", c.URL(1)+"/readyz", "", "bob", "pw")
	execute(t, client, c.URL(1), insert)
	assert.Equal(t, []rqlitetest.Request{
		{Method: "POST", Path: "/db/query", Query: "level=weak&redirect"},
		{Method: "GET", Path: "/readyz", Authorization: true},
		{Method: "POST", Path: "/db/execute"},
	}, c.Requests(1))
	assert.Empty(t, c.Requests(0), "forwarding is no request")
	c.ForgetRequests()
	assert.Empty(t, c.Requests(1))
}

func TestCutString(t *testing.T) {
	t.Parallel()
	for cut, want := range map[rqlitetest.Cut]string{
		rqlitetest.CutNothing: "nothing", rqlitetest.CutBody: "body", rqlitetest.CutAnswer: "answer", 7: "Cut(7)",
	} {
		assert.Equal(t, want, cut.String())
	}
}

func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	c := rqlitetest.NewCluster(t, func(c *rqlitetest.ClusterConfig) { c.Nodes = 1 })
	n := rqlitetest.Journal(c, 0, 50_001)
	assert.Equal(t, 10_000, n)
	assert.Equal(t, http.MethodGet, c.Requests(0)[0].Method)
}
