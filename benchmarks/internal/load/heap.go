package load

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// WatchHeap samples, each millisecond, what is allocated on the heap, garbage
// included. The function it returns ends that and returns the peak above the
// start, in MiB.
func WatchHeap() (stop func() float64) {
	runtime.GC()
	idle := heapBytes()
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		most := idle
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, heapBytes())
			select {
			case <-tick.C:
			case <-done:
				peak <- most
				return
			}
		}
	}()
	return func() float64 {
		close(done)
		return float64(<-peak-idle) / (1 << 20)
	}
}

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
