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
)

func BenchmarkPointSelect(b *testing.B) { run(b, lab.PointSelect) }
func BenchmarkScanRows(b *testing.B)    { run(b, lab.ScanRows) }
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
		server, err := lab.FindServer()
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
	prefix := ""
	if shared.server.Embedded {
		prefix = "server=EMBEDDED/"
	}
	for _, client := range clients {
		b.Run(prefix+"client="+client.Name, func(b *testing.B) { measure(b, client.Do, sc.Memory) })
	}
}

func measure(b *testing.B, do lab.Operation, memory bool) {
	ctx := b.Context()
	if err := do(ctx); err != nil { // opens connections
		b.Fatal(err)
	}
	var peak func() float64
	if memory {
		peak = lab.WatchHeap()
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := do(ctx); err != nil {
			b.Fatal(err)
		}
	}
	if memory {
		b.ReportMetric(peak(), "peak-MiB")
	}
}

// TestScenarios runs every operation of every benchmark, on small tables of the
// embedded server, so that none of them breaks unnoticed.
func TestScenarios(t *testing.T) {
	server, err := lab.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	s, err := lab.Open(ctx, server, lab.Size{Rows: 100, Blob: 4 << 10})
	if err != nil {
		t.Fatal(errors.Join(err, server.Stop()))
	}
	defer func() {
		if err := errors.Join(s.Close(context.WithoutCancel(ctx)), server.Stop()); err != nil {
			t.Error(err)
		}
	}()
	for _, sc := range lab.Scenarios() {
		t.Run(sc.Name, func(t *testing.T) {
			clients, err := sc.Clients(ctx, s)
			if err != nil {
				t.Fatal(err)
			}
			for _, client := range clients {
				for range 2 { // on a new connection, and on one that was used
					if err := client.Do(ctx); err != nil {
						t.Errorf("client=%s: %v", client.Name, err)
					}
				}
			}
		})
	}
}
