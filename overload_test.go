//go:build go1.25

package rqlite

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// busyNode answers one request after the other. Its answers are 60 ms on the way.
type busyNode struct {
	perRequest time.Duration // that it takes, besides perStatement
	busy       chan struct{} // full while it works
}

const (
	perStatement = 20 * time.Microsecond
	onTheWay     = 60 * time.Millisecond

	busyRead  = "SELECT 1"
	busyWrite = "DELETE FROM t"
)

// RoundTrip implements http.RoundTripper. The node does not begin to work on what its client has given
// up, and does not stop either.
func (n *busyNode) RoundTrip(r *http.Request) (*http.Response, error) {
	statements := 0
	if r.Body != nil { // it is not asked whether it is alive
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		statements = bytes.Count(body, []byte(busyRead)) + bytes.Count(body, []byte(busyWrite))
	}
	gone := r.Context().Done()
	select {
	case n.busy <- struct{}{}:
	case <-gone:
		return nil, r.Context().Err()
	}
	time.Sleep(n.perRequest + time.Duration(statements)*perStatement)
	<-n.busy
	select {
	case <-time.After(onTheWay):
	case <-gone:
		return nil, r.Context().Err()
	}
	entry := fmt.Sprintf(quickEntry+",", "a")
	answer := results(strings.TrimSuffix(strings.Repeat(entry, statements), ","))
	return &http.Response{StatusCode: http.StatusOK, Header: fromRqlite, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

// goodput returns how many times a second so many goroutines get an answer in time. Each statement has
// 100 ms.
func goodput(t *testing.T, goroutines int, call func(context.Context, *sql.DB) error, coalesce bool, perRequest time.Duration) (perSecond int) {
	t.Helper()
	const (
		begin = time.Second
		end   = 2500 * time.Millisecond
	)
	synctest.Test(t, func(t *testing.T) {
		cfg := &Config{Hosts: []string{"localhost"}, HTTPClient: &http.Client{Transport: &busyNode{perRequest: perRequest, busy: make(chan struct{}, 1)}}, Discovery: DiscoveryOff, DisableCoalescing: !coalesce, DisableTxVersion: true}
		connector, err := NewConnector(cfg)
		require.NoError(t, err)
		db := sql.OpenDB(connector)
		defer db.Close()
		db.SetMaxIdleConns(goroutines)
		var (
			good atomic.Int64
			all  sync.WaitGroup
		)
		begun := time.Now()
		for range goroutines {
			all.Go(func() {
				for time.Since(begun) < end {
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
					err := call(ctx, db)
					if cancel(); err == nil && time.Since(begun) > begin {
						good.Add(1)
					}
				}
			})
		}
		all.Wait()
		time.Sleep(time.Second) // requests end that nobody waits for
		perSecond = int(float64(good.Load()) / (end - begin).Seconds())
		stats := connector.Stats()
		t.Logf("%d goroutines: %d a second, %d joined", goroutines, perSecond, stats.CoalescedReads+stats.Coalesced)
	})
	return perSecond
}

// More goroutines than a node can serve in time do not keep it from serving as many as it can.
func TestOverload(t *testing.T) {
	t.Parallel()
	read := func(ctx context.Context, db *sql.DB) error {
		_, err := readText(ctx, db, busyRead)
		return err
	}
	write := func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, busyWrite)
		return err
	}
	for name, node := range map[string]struct {
		call       func(context.Context, *sql.DB) error
		coalesce   bool
		perRequest time.Duration
		atLeast    int // answers a second of 1,000 goroutines
	}{
		"joined":              {read, true, 250 * time.Microsecond, 12_000},
		"joined, a slow node": {read, true, 3 * time.Millisecond, 5_000},
		"alone":               {read, false, 250 * time.Microsecond, 3_000},
		"writes":              {write, true, 250 * time.Microsecond, 10_000},
		"writes alone":        {write, false, 250 * time.Microsecond, 3_000},
	} {
		t.Run(name, func(t *testing.T) {
			best, last := 0, 0
			for _, goroutines := range []int{250, 600, 1000} {
				last = goodput(t, goroutines, node.call, node.coalesce, node.perRequest)
				best = max(best, last)
			}
			assert.GreaterOrEqual(t, float64(last), 0.8*float64(best))
			assert.GreaterOrEqual(t, last, node.atLeast)
		})
	}
}

// A read that is sent again by itself, because those that it was joined with were not answered, has no
// more time than any other.
func TestJoinedReadsTimeOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const timeout = 2 * time.Second
		s := &readServer{}
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Body == nil { // it is asked whether it is alive
				return &http.Response{StatusCode: http.StatusOK, Header: fromRqlite, Body: http.NoBody}, nil
			}
			return s.RoundTrip(r)
		})
		cfg := &Config{Hosts: []string{"localhost"}, HTTPClient: &http.Client{Transport: transport}, Discovery: DiscoveryOff, Timeout: timeout}
		connector, err := NewConnector(cfg)
		require.NoError(t, err)
		db := sql.OpenDB(connector)
		defer db.Close()
		_, err = readText(t.Context(), db, "SELECT 1")
		require.NoError(t, err)
		s.hold = make(chan struct{})
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				begun := time.Now()
				_, err := readText(t.Context(), db, "SELECT 1")
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, timeout, time.Since(begun))
			})
		}
		all.Wait()
		time.Sleep(timeout)
	})
}

// Writes that begin together ask a node once which release it runs.
func TestFirstWritesAskOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		node := &busyNode{perRequest: time.Millisecond, busy: make(chan struct{}, 1)}
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				asked.Add(1)
			}
			return node.RoundTrip(r)
		})
		cfg := &Config{Hosts: []string{"localhost"}, HTTPClient: &http.Client{Transport: transport}, Discovery: DiscoveryOff, DisableCoalescing: true, DisableTxVersion: true}
		connector, err := NewConnector(cfg)
		require.NoError(t, err)
		db := sql.OpenDB(connector)
		defer db.Close()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				_, err := db.ExecContext(t.Context(), busyWrite)
				assert.NoError(t, err)
			})
		}
		all.Wait()
		assert.Equal(t, int64(1), asked.Load())
		time.Sleep(time.Second)
	})
}
