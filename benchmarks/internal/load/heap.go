package load

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// Heap is the most that was on the heap above the start, in MiB.
type Heap struct {
	Peak float64 // garbage included
	Live float64 // found in use by the garbage collector
}

// WatchHeap samples, each millisecond, what is on the heap. The function it returns ends that
// and returns the peaks.
func WatchHeap() (stop func() Heap) {
	runtime.GC()
	idle := newHeapSample()
	done, peak := make(chan struct{}), make(chan Heap)
	go func() {
		var most Heap
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			now := newHeapSample()
			most.Peak = max(most.Peak, now.Peak-idle.Peak)
			most.Live = max(most.Live, now.Live-idle.Live)
			select {
			case <-tick.C:
			case <-done:
				peak <- most
				return
			}
		}
	}()
	return func() Heap {
		close(done)
		return <-peak
	}
}

func newHeapSample() Heap {
	const mebi = 1 << 20
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return Heap{Peak: float64(samples[0].Value.Uint64()) / mebi, Live: float64(samples[1].Value.Uint64()) / mebi}
}
