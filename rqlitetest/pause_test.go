package rqlitetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/rqlitetest"
)

func TestPause(t *testing.T) {
	t.Parallel()
	c, client := newTable(t)
	c.Pause(1)
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.URL(1), "http://"))
	require.NoError(t, err, "the kernel completes the connection")
	require.NoError(t, conn.Close())

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, _, err = tryCall(ctx, client, "GET", c.URL(1)+"/readyz?noleader", "")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	answer := make(chan string, 1)
	go func() {
		_, body, err := tryCall(t.Context(), client, "POST", c.URL(1)+"/db/execute", insert)
		answer <- fmt.Sprint(body, err)
	}()
	select {
	case got := <-answer:
		t.Fatal("a node that is paused answered", got)
	case <-time.After(30 * time.Millisecond):
	}
	c.Resume(1)
	assert.Equal(t, `{"results":[{"last_insert_id":1,"rows_affected":1}]}<nil>`, <-answer)
}

// TestPauseHoldsAnswers checks that a pause also holds connections that were open before, even with
// a running request.
func TestPauseHoldsAnswers(t *testing.T) {
	t.Parallel()
	inside, goOn := make(chan struct{}), make(chan struct{})
	c, client := newTable(t, func(c *rqlitetest.ClusterConfig) {
		c.Intercept = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("wait_for_it") {
					close(inside)
					<-goOn
				}
				next.ServeHTTP(w, r)
			})
		}
	})
	answer := make(chan error, 1)
	go func() {
		_, _, err := tryCall(t.Context(), client, "POST", c.URL(0)+"/db/query?wait_for_it", count)
		answer <- err
	}()
	<-inside
	c.Pause(0)
	close(goOn)
	select {
	case <-answer:
		t.Fatal("a node that is paused answered")
	case <-time.After(30 * time.Millisecond):
	}
	c.Resume(0)
	require.NoError(t, <-answer)
}

func TestPausedLeader(t *testing.T) {
	t.Parallel()
	c, client := newTable(t)
	c.Pause(0)
	assert.Equal(t, 0, c.Leader())
	const timeout = "read protobuf length: read tcp 127.0.0.1:4004->127.0.0.1:4002: i/o timeout"
	status, body := call(t, client, "POST", c.URL(1)+"/db/execute?timeout=20ms", insert)
	assert.Equal(t, http.StatusOK, status)
	var got struct{ Error string }
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	assert.Equal(t, timeout, got.Error)
	status, body = call(t, client, "GET", c.URL(1)+"/readyz?timeout=20ms", "")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, "[+]node ok\n[+]leader not contactable: "+timeout, body)

	// A redirect waits for the leader.
	answer := make(chan int, 1)
	go func() {
		status, _, _ := tryCall(t.Context(), client, "POST", c.URL(1)+"/db/query?redirect&timeout=1ms", count)
		answer <- status
	}()
	select {
	case <-answer:
		t.Fatal("a redirect to a leader that is paused")
	case <-time.After(30 * time.Millisecond):
	}
	c.Resume(0)
	assert.Equal(t, http.StatusMovedPermanently, <-answer)
	assert.Equal(t, "0", rows(t, client, c.URL(0)), "what timed out was not forwarded")
}

// TestStopPaused checks that a paused node can be stopped, with open connections of any kind.
// Requests forwarded to it end.
func TestStopPaused(t *testing.T) {
	t.Parallel()
	for _, tls := range []bool{false, true} {
		c := rqlitetest.NewCluster(t, func(c *rqlitetest.ClusterConfig) { c.TLS = tls })
		client := newClient(t, nil)
		if tls {
			client = newClient(t, trusting(t, c.CAFile()))
		}
		call(t, client, "GET", c.URL(0)+"/readyz", "")
		c.Pause(0)
		answers := make(chan string, 2)
		for i := range 2 {
			go func() {
				_, body, err := tryCall(t.Context(), client, "GET", c.URL(i)+"/db/query?q=SELECT+1", "")
				answers <- fmt.Sprint(body, err != nil)
			}()
		}
		require.Eventually(t, func() bool { return len(c.Requests(1)) == 1 }, 10*time.Second, time.Millisecond)
		require.NoError(t, c.Stop(0))
		got := []string{<-answers, <-answers}
		assert.Contains(t, got, "true", "its own connections break")
		if !assert.Condition(t, func() bool {
			return strings.Contains(strings.Join(got, ""), "EOF") || strings.Contains(strings.Join(got, ""), "connection refused")
		}) {
			t.Log(got)
		}
		require.NoError(t, c.Start(0))
		status, _ := call(t, client, "GET", c.URL(0)+"/readyz?noleader", "")
		assert.Equal(t, http.StatusOK, status, "it is no longer paused")
	}
}
