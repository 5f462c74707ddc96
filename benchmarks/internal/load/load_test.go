package load_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

var errRefused = errors.New("refused")

// TestRunOperations checks that an order is carried out to the last operation, with
// a smaller batch at its end, by the goroutines that it asks for.
func TestRunOperations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		order load.Order
		calls int
	}{
		{"one goroutine", load.Order{Goroutines: 1, Operations: 10}, 10},
		{"many goroutines", load.Order{Goroutines: 7, Operations: 100}, 100},
		{"more goroutines than operations", load.Order{Goroutines: 7, Operations: 3}, 3},
		{"batches", load.Order{Goroutines: 1, Operations: 10, Batch: 4}, 3},
		{"batches of many goroutines", load.Order{Goroutines: 5, Operations: 10, Batch: 4}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var calls, operations atomic.Int64
			turn, err := load.Run(t.Context(), tt.order, func(_ context.Context, n int) error {
				calls.Add(1)
				operations.Add(int64(n))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if turn.Operations != tt.order.Operations || int(operations.Load()) != tt.order.Operations || int(calls.Load()) != tt.calls {
				t.Errorf("%d operations in %d calls, and %d by the turn; want %d in %d",
					operations.Load(), calls.Load(), turn.Operations, tt.order.Operations, tt.calls)
			}
		})
	}
}

// TestRunTogether checks that the goroutines are under way at the same time: each waits
// for all others.
func TestRunTogether(t *testing.T) {
	t.Parallel()
	const goroutines = 50
	var all sync.WaitGroup
	all.Add(goroutines)
	turn, err := load.Run(t.Context(), load.Order{Goroutines: goroutines, Slice: time.Nanosecond}, func(context.Context, int) error {
		all.Done()
		all.Wait()
		return nil
	})
	if err != nil || turn.Operations != goroutines { // the slice is over before the first call
		t.Errorf("%d operations, error %v; want one of each goroutine", turn.Operations, err)
	}
}

func TestRunCountsErrors(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	turn, err := load.Run(t.Context(), load.Order{Goroutines: 4, Operations: 40}, func(context.Context, int) error {
		if calls.Add(1)%4 == 0 {
			return errRefused
		}
		return nil
	})
	if err != nil || turn.Operations != 30 || turn.Errors != 10 || turn.FirstError != errRefused.Error() {
		t.Errorf("error %v, turn %+v; want 30 operations, and 10 errors", err, turn)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := load.Run(ctx, load.Order{Goroutines: 4, Slice: time.Hour}, func(context.Context, int) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestRunLatencies has one of a hundred calls be slow.
func TestRunLatencies(t *testing.T) {
	t.Parallel()
	const slow = 50 * time.Millisecond
	var calls atomic.Int64
	turn, err := load.Run(t.Context(), load.Order{Goroutines: 1, Operations: 100}, func(context.Context, int) error {
		if calls.Add(1) == 42 {
			time.Sleep(slow) // it is what is measured
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if turn.P50 >= slow.Seconds() || turn.P99 < slow.Seconds() || turn.Seconds < turn.P99 {
		t.Errorf("turn %+v", turn)
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		tally load.Tally
		exact bool
	}{
		{load.Tally{Acknowledged: 5, Stored: 5}, true},
		{load.Tally{Acknowledged: 5, Stored: 4}, false},
		{load.Tally{Acknowledged: 5, Stored: 6}, false},
		{load.Tally{Acknowledged: 5, Failed: 1, Stored: 6}, true},
		{load.Tally{Acknowledged: 5, Failed: 1, Stored: 7}, false},
	} {
		if got := tt.tally.Exact(); got != tt.exact {
			t.Errorf("%+v: exact is %v", tt.tally, got)
		}
	}
}

// TestServe speaks to Serve as a Remote does.
func TestServe(t *testing.T) {
	t.Parallel()
	in, orders := io.Pipe()
	answers, out := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- load.Serve(t.Context(), in, out, func(_ context.Context, order load.Order) (load.Turn, error) {
			if order.Goroutines == 0 {
				return load.Turn{}, errRefused
			}
			return load.Turn{Operations: order.Goroutines, Seconds: 1}, nil
		})
	}()
	remote := load.NewRemote(orders, answers)
	turn, err := remote.Take(load.Order{Goroutines: 64})
	if err != nil || turn.Operations != 64 {
		t.Errorf("turn %+v, error %v", turn, err)
	}
	if _, err := remote.Take(load.Order{}); err == nil || err.Error() != errRefused.Error() {
		t.Errorf("error %v, want %v", err, errRefused)
	}
	if err := errors.Join(remote.Close(), <-served); err != nil {
		t.Error(err)
	}
}

// TestSockets opens three connections, and closes two of them.
func TestSockets(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var sockets load.Sockets
	dial := load.Transport(1, &sockets).DialContext
	var open []net.Conn
	for range 3 {
		c, err := dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	for _, c := range open[1:] {
		c.Close()
		c.Close() // which does not count again
	}
	if first, second := sockets.Most(), sockets.Most(); first != 3 || second != 1 {
		t.Errorf("%d at most, and then %d; want 3, and then 1", first, second)
	}
	open[0].Close()
}

// TestTraffic sends a body to an endpoint that writes, and larger ones to one that reads.
func TestTraffic(t *testing.T) {
	t.Parallel()
	traffic := &load.Traffic{Next: http.NewFileTransport(http.Dir(t.TempDir()))}
	client := &http.Client{Transport: traffic}
	for path, body := range map[string]string{"/db/execute": "12345", "/db/query": "1234567"} {
		resp, err := client.Post("file://"+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if got := traffic.Sent(); got != (load.Sent{Requests: 2, Logged: 5, Largest: 7}) {
		t.Errorf("it counted %+v", got)
	}
	if got := traffic.Sent(); got != (load.Sent{}) {
		t.Errorf("it still counts %+v", got)
	}
}
