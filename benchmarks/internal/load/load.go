// Package load has goroutines repeat an operation, and measures that. It knows no
// driver: two that are registered under the same name have to be measured in
// processes of their own, both of them by this package.
package load

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Operation is what is measured. It does n operations at once, for which the caller
// gives one answer: n is above 1 only where the Order has a Batch. It is called by
// all goroutines of an order at the same time.
type Operation func(ctx context.Context, n int) error

// Order is what is to be done in a turn. It needs Slice or Operations.
type Order struct {
	Goroutines int           `json:"goroutines"`
	Batch      int           `json:"batch"`      // operations in one call at most; 0 is 1
	Slice      time.Duration `json:"slice"`      // no call begins later, except the first of each goroutine; 0 is no bound
	Operations int           `json:"operations"` // of all goroutines together; 0 is no bound
	Heap       bool          `json:"heap"`       // measure its peak
}

// Turn is what was measured. What is allocated is that of the whole process.
type Turn struct {
	Operations int     `json:"operations"` // that succeeded
	Errors     int     `json:"errors,omitempty"`
	FirstError string  `json:"first_error,omitempty"`
	Seconds    float64 `json:"seconds"` // from the first begin to the last end
	P50        float64 `json:"p50"`     // seconds that a call took, if it succeeded
	P99        float64 `json:"p99"`
	Bytes      float64 `json:"bytes"`  // allocated for an operation
	Allocs     float64 `json:"allocs"` // for an operation
	PeakMiB    float64 `json:"peak_mib,omitempty"`
	LiveMiB    float64 `json:"live_mib,omitempty"`

	// These are filled in by clients that know them, and are 0 otherwise.
	Sockets  int    `json:"sockets,omitempty"`  // open at the same time, at most
	Requests uint64 `json:"requests,omitempty"` // sent for the operations
	Logged   int64  `json:"logged,omitempty"`   // bytes of their bodies that went through the Raft log
	Largest  int64  `json:"largest,omitempty"`  // bytes of the largest body
}

// Throughput returns the operations per second.
func (t Turn) Throughput() float64 { return float64(t.Operations) / t.Seconds }

// Run takes a turn. Operations that fail are counted; the error is that of ctx.
func Run(ctx context.Context, order Order, do Operation) (Turn, error) {
	r := &run{order: order, do: do}
	r.order.Batch = max(order.Batch, 1)
	r.left.Store(int64(order.Operations))
	workers := make([]worker, order.Goroutines)
	for i := range workers {
		workers[i].latencies = make([]time.Duration, 0, 64) // so that growing counts for little
	}
	runtime.GC() // the garbage of the turn before is not this one's
	peak := func() Heap { return Heap{} }
	if order.Heap {
		peak = WatchHeap()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var group sync.WaitGroup
	r.start = time.Now()
	for i := range workers {
		group.Go(func() { r.work(ctx, &workers[i]) })
	}
	group.Wait()
	elapsed := time.Since(r.start)
	runtime.ReadMemStats(&after)
	turn := summary(workers)
	heap := peak()
	turn.PeakMiB, turn.LiveMiB = heap.Peak, heap.Live
	turn.Seconds = elapsed.Seconds()
	n := float64(max(turn.Operations, 1))
	turn.Bytes = float64(after.TotalAlloc-before.TotalAlloc) / n
	turn.Allocs = float64(after.Mallocs-before.Mallocs) / n
	return turn, ctx.Err()
}

// run is a turn under way.
type run struct {
	order Order
	do    Operation
	start time.Time
	left  atomic.Int64 // operations that nobody has taken
}

// worker is what one goroutine has seen.
type worker struct {
	operations int
	errors     int
	first      error
	latencies  []time.Duration
}

func (r *run) work(ctx context.Context, w *worker) {
	for first := true; first || r.order.Slice == 0 || time.Since(r.start) < r.order.Slice; first = false {
		n := r.take()
		if n == 0 || ctx.Err() != nil {
			return
		}
		begin := time.Now()
		if err := r.do(ctx, n); err != nil {
			w.errors += n
			if w.first == nil {
				w.first = err
			}
			continue
		}
		w.latencies = append(w.latencies, time.Since(begin))
		w.operations += n
	}
}

// take returns how many operations the next call is to do; 0 when all are done.
func (r *run) take() int {
	batch := int64(r.order.Batch)
	if r.order.Operations == 0 {
		return int(batch)
	}
	return int(max(min(r.left.Add(-batch)+batch, batch), 0))
}

func summary(workers []worker) Turn {
	var t Turn
	var latencies []time.Duration
	for _, w := range workers {
		t.Operations += w.operations
		t.Errors += w.errors
		if t.FirstError == "" && w.first != nil {
			t.FirstError = w.first.Error()
		}
		latencies = append(latencies, w.latencies...)
	}
	slices.Sort(latencies)
	if n := len(latencies); n > 0 {
		t.P50 = latencies[n/2].Seconds()
		t.P99 = latencies[n*99/100].Seconds()
	}
	return t
}
