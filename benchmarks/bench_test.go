package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/go-rqlite/rqlite/benchmarks/internal/lab"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

func BenchmarkPointSelect(b *testing.B) { run(b, lab.PointSelect) }
func BenchmarkScanRows(b *testing.B)    { run(b, lab.ScanRows) }
func BenchmarkScanTimes(b *testing.B)   { run(b, lab.ScanTimes) }
func BenchmarkScanWide(b *testing.B)    { run(b, lab.ScanWide) }
func BenchmarkScanMillion(b *testing.B) { run(b, lab.ScanMillion) }
func BenchmarkInsert(b *testing.B)      { run(b, lab.Insert) }
func BenchmarkReadBlob(b *testing.B)    { run(b, lab.ReadBlob) }
func BenchmarkWriteBlob(b *testing.B)   { run(b, lab.WriteBlob) }
func BenchmarkTx1(b *testing.B)         { run(b, lab.Tx1) }
func BenchmarkTx3(b *testing.B)         { run(b, lab.Tx3) }
func BenchmarkTx10(b *testing.B)        { run(b, lab.Tx10) }
func BenchmarkTx100(b *testing.B)       { run(b, lab.Tx100) }
func BenchmarkTxReadOnly(b *testing.B)  { run(b, lab.TxReadOnly) }

func BenchmarkConcurrentInsert(b *testing.B) { runConcurrent(b, lab.ConcurrentInsert) }
func BenchmarkConcurrentSelect(b *testing.B) { runConcurrent(b, lab.ConcurrentSelect) }
func BenchmarkConcurrentSelectLinearizable(b *testing.B) {
	runConcurrent(b, lab.ConcurrentSelectLinearizable)
}
func BenchmarkConcurrentSelectNone(b *testing.B) { runConcurrent(b, lab.ConcurrentSelectNone) }
func BenchmarkCrowdInsert(b *testing.B)          { runConcurrent(b, lab.CrowdInsert) }
func BenchmarkCrowdSelect(b *testing.B)          { runConcurrent(b, lab.CrowdSelect) }

// shared is the server and the site of all benchmarks of a run, made when the
// first of them needs it.
var shared struct {
	once   sync.Once
	server *lab.Server
	site   *lab.Site
	err    error
}

func sharedSite(ctx context.Context) (*lab.Site, error) {
	shared.once.Do(func() {
		server, err := lab.FindServer(1)
		if err != nil {
			shared.err = err
			return
		}
		shared.server = server
		version, err := server.Version()
		if err != nil {
			shared.err = err
			return
		}
		shared.site, shared.err = lab.Open(ctx, server, lab.Full)
		// In the form of benchmark results: benchstat takes these for what was measured.
		fmt.Printf("server: %s %s\ngo: %s\ncpus: %d\n", server.Kind, version, runtime.Version(), runtime.NumCPU())
		if server.Embedded {
			fmt.Fprintln(os.Stderr, lab.EmbeddedWarning)
		}
	})
	return shared.site, shared.err
}

// TestMain stops the server that the benchmarks started.
func TestMain(m *testing.M) {
	code := m.Run()
	var err error
	if shared.site != nil {
		err = shared.site.Close(context.Background())
	}
	if shared.server != nil {
		err = errors.Join(err, shared.server.Stop())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run measures each client of a scenario in a sub-benchmark.
func run(b *testing.B, sc *lab.Scenario) {
	s, err := sharedSite(context.WithoutCancel(b.Context()))
	if err != nil {
		b.Fatal(err)
	}
	clients, err := sc.Clients(b.Context(), s)
	if err != nil {
		b.Fatal(err)
	}
	for _, client := range clients {
		b.Run(prefix()+"client="+client.Name, func(b *testing.B) { measure(b, client.Do, sc.Memory) })
	}
}

// prefix says in the names of benchmarks that they do not measure rqlite.
func prefix() string {
	if shared.server.Embedded {
		return "server=EMBEDDED/"
	}
	return ""
}

func measure(b *testing.B, do lab.Operation, memory bool) {
	ctx := b.Context()
	if err := do(ctx); err != nil { // opens connections
		b.Fatal(err)
	}
	var peak func() load.Heap
	if memory {
		peak = load.WatchHeap()
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := do(ctx); err != nil {
			b.Fatal(err)
		}
	}
	if memory {
		b.ReportMetric(peak().Peak, "peak-MiB")
	}
}

// runConcurrent measures each client of a scenario, for each number of goroutines, in a
// sub-benchmark, and sees to it that each row is stored once.
func runConcurrent(b *testing.B, sc *lab.Concurrent) {
	s, err := sharedSite(context.WithoutCancel(b.Context()))
	if err != nil {
		b.Fatal(err)
	}
	for _, goroutines := range sc.Goroutines {
		b.Run(fmt.Sprintf("%sgoroutines=%d", prefix(), goroutines), func(b *testing.B) {
			for _, client := range openClients(b, sc, s, goroutines) {
				b.Run("client="+client.Name, func(b *testing.B) { measureConcurrent(b, client, goroutines) })
				checkTally(b, client)
			}
		})
	}
}

// openClients opens the clients of a scenario until the test ends.
func openClients(tb testing.TB, sc *lab.Concurrent, s *lab.Site, goroutines int) []*lab.ConcurrentClient {
	clients, err := sc.Clients(tb.Context(), s, goroutines)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for _, client := range clients {
			if err := client.Close(context.Background()); err != nil {
				tb.Error(err)
			}
		}
	})
	return clients
}

// measureConcurrent spreads b.N operations over the goroutines. What it reports is what
// the client says, which may be a process of its own.
func measureConcurrent(b *testing.B, client *lab.ConcurrentClient, goroutines int) {
	if _, err := client.Turn(b.Context(), load.Order{Operations: min(b.N, goroutines)}); err != nil { // opens connections
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	turn, err := client.Turn(b.Context(), load.Order{Operations: b.N})
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	if turn.Errors > 0 {
		b.Errorf("%d of %d operations failed, one of them so: %s", turn.Errors, b.N, turn.FirstError)
	}
	b.ReportMetric(turn.Seconds/float64(b.N)*1e9, "ns/op")
	b.ReportMetric(turn.Bytes, "B/op")
	b.ReportMetric(turn.Allocs, "allocs/op")
	b.ReportMetric(turn.Throughput(), "op/s")
	b.ReportMetric(turn.P50*1e6, "p50-µs")
	b.ReportMetric(turn.P99*1e6, "p99-µs")
	if turn.PeakMiB > 0 {
		b.ReportMetric(turn.PeakMiB, "peak-MiB")
	}
	if turn.Sockets > 0 {
		b.ReportMetric(float64(turn.Sockets), "sockets")
	}
}

// checkTally fails unless each row that was acknowledged is there once.
func checkTally(tb testing.TB, client *lab.ConcurrentClient) {
	tally, err := client.Tally(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	if tally != nil && !tally.Exact() {
		tb.Errorf("client=%s: rows lost or doubled: %+v", client.Name, *tally)
	}
}

// smallSite opens small tables on the embedded server until the test ends.
func smallSite(t *testing.T, nodes int) *lab.Site {
	server, err := lab.StartEmbedded(nodes)
	if err != nil {
		t.Fatal(err)
	}
	s, err := lab.Open(t.Context(), server, lab.Size{Rows: 100, Blob: 4 << 10, Loop: 20})
	if err != nil {
		t.Fatal(errors.Join(err, server.Stop()))
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(context.Background()), server.Stop()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestScenarios runs every operation of every benchmark, on small tables of the
// embedded server, so that none of them breaks unnoticed.
func TestScenarios(t *testing.T) {
	s := smallSite(t, 1)
	for _, sc := range lab.Scenarios() {
		t.Run(sc.Name, func(t *testing.T) {
			clients, err := sc.Clients(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			for _, client := range clients {
				for range 2 { // on a new connection, and on one that was used
					for _, do := range []lab.Operation{client.Before, client.Do, client.After} {
						if do == nil {
							continue
						}
						if err := do(t.Context()); err != nil {
							t.Errorf("client=%s: %v", client.Name, err)
							break
						}
					}
				}
			}
		})
	}
	testConcurrent(t, s)
}

// TestScenariosOfCluster runs those of many goroutines on three nodes, which clients
// have to find.
func TestScenariosOfCluster(t *testing.T) { testConcurrent(t, smallSite(t, 3)) }

func testConcurrent(t *testing.T, s *lab.Site) {
	const goroutines, operations = 8, 30
	for _, sc := range lab.Concurrents() {
		t.Run(sc.Name, func(t *testing.T) {
			for _, client := range openClients(t, sc, s, goroutines) {
				turn, err := client.Turn(t.Context(), load.Order{Operations: operations})
				switch {
				case err != nil:
					t.Error(err)
				case turn.Operations != operations || turn.Errors != 0:
					t.Errorf("client=%s: %d operations instead of %d, %d errors, such as: %s",
						client.Name, turn.Operations, operations, turn.Errors, turn.FirstError)
				}
				checkTally(t, client)
			}
		})
	}
}
