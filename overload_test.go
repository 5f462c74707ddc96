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

// busyNode answers one request after the other, whether its client still waits or not. Its answers are
// 60 ms on the way.
type busyNode struct {
	mu   sync.Mutex
	free time.Time // when it has done the requests so far
}

const (
	perRequest   = 250 * time.Microsecond
	perStatement = 20 * time.Microsecond
	onTheWay     = 60 * time.Millisecond
)

// RoundTrip implements http.RoundTripper.
func (n *busyNode) RoundTrip(r *http.Request) (*http.Response, error) {
	statements := 0
	if r.Body != nil { // it is not asked whether it is alive
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		statements = bytes.Count(body, []byte("SELECT"))
	}
	n.mu.Lock()
	if now := time.Now(); n.free.Before(now) {
		n.free = now
	}
	n.free = n.free.Add(perRequest + time.Duration(statements)*perStatement)
	answered := n.free.Add(onTheWay)
	n.mu.Unlock()
	select {
	case <-time.After(time.Until(answered)):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	entry := fmt.Sprintf(quickEntry+",", "a")
	answer := results(strings.TrimSuffix(strings.Repeat(entry, statements), ","))
	return &http.Response{StatusCode: http.StatusOK, Header: fromRqlite, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

// goodput returns how many reads a second so many goroutines get in time. Each read has 100 ms.
func goodput(t *testing.T, goroutines int, coalesce bool) (perSecond int) {
	t.Helper()
	const (
		begin = time.Second
		end   = 4 * time.Second
	)
	synctest.Test(t, func(t *testing.T) {
		cfg := &Config{Hosts: []string{"localhost"}, HTTPClient: &http.Client{Transport: &busyNode{}}, Discovery: DiscoveryOff, DisableCoalescing: !coalesce}
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
					_, err := readText(ctx, db, "SELECT 1")
					if cancel(); err == nil && time.Since(begun) > begin {
						good.Add(1)
					}
				}
			})
		}
		all.Wait()
		perSecond = int(float64(good.Load()) / (end - begin).Seconds())
		t.Logf("%d goroutines: %d a second, %d joined", goroutines, perSecond, connector.Stats().CoalescedReads)
	})
	return perSecond
}

// More goroutines than a node can serve in time do not keep it from serving as many as it can.
func TestOverload(t *testing.T) {
	t.Parallel()
	for _, coalesce := range []bool{true, false} {
		t.Run(fmt.Sprintf("coalesce=%v", coalesce), func(t *testing.T) {
			best, last := 0, 0
			for _, goroutines := range []int{250, 400, 600, 1000} {
				last = goodput(t, goroutines, coalesce)
				best = max(best, last)
			}
			assert.GreaterOrEqual(t, float64(last), 0.8*float64(best))
		})
	}
}
