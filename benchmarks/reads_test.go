package benchmarks

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/benchmarks/internal/lab"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// The reads of BenchmarkMixedReads, by how often one comes among a hundred.
var mixedReads = []struct {
	name  string
	share int
	query string
}{
	{"point", 90, load.SelectQuery},
	{"rows=100", 9, "SELECT id, name, score, n FROM bench_rows WHERE id > ? LIMIT 100"},
	{"rows=10000", 1, "SELECT id, name, score, n FROM bench_rows WHERE id > ? LIMIT 10000"},
}

// readAll reads the rows of a query to their end.
func readAll(ctx context.Context, db *sql.DB, query string, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var id, n int64
	var name string
	var score float64
	for rows.Next() {
		if err := rows.Scan(&id, &name, &score, &n); err != nil {
			return err
		}
	}
	return rows.Err()
}

// latencies are those of calls of one kind.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

// report reports the percentiles, in milliseconds.
func (l *latencies) report(b *testing.B, name string) {
	slices.Sort(l.all)
	for _, p := range []int{50, 99} {
		if n := len(l.all); n > 0 {
			b.ReportMetric(l.all[n*p/100].Seconds()*1e3, fmt.Sprintf("%s-p%d-ms", name, p))
		}
	}
}

// read is one of the reads of a benchmark.
type read struct {
	query string
	arg   int
}

// slowReads returns the reads that are always under way in BenchmarkReadsBeside. By themselves they take
// some 0.3 and 2 s. On the embedded server, which is slower, they are smaller.
func slowReads() []read {
	million := 1_000_000
	if shared.server.Embedded {
		million /= 10
	}
	return []read{{slowQuery, 3 * million / 2}, {slowQuery, 11 * million}}
}

const slowQuery = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) SELECT i, '', 0.5, i FROM c ORDER BY i DESC LIMIT 1"

// BenchmarkMixedReads has 32 goroutines do point reads mostly, larger reads now and then, and very
// large ones seldom. It reports the time of each kind.
func BenchmarkMixedReads(b *testing.B) {
	reads := make([]read, len(mixedReads))
	for i, class := range mixedReads {
		reads[i] = read{class.query, load.PointID}
	}
	onReaders(b, reads, func(b *testing.B, do []lab.Operation) {
		seen := make([]latencies, len(mixedReads))
		inGoroutines(b, func(i int) error {
			class, place := 0, (i*37)%100
			for place >= mixedReads[class].share {
				place -= mixedReads[class].share
				class++
			}
			begin := time.Now()
			err := do[class](b.Context())
			seen[class].add(time.Since(begin))
			return err
		})
		for i := range seen {
			seen[i].report(b, mixedReads[i].name)
		}
	})
}

// BenchmarkReadsBeside has 32 goroutines do point reads beside slowReads.
func BenchmarkReadsBeside(b *testing.B) {
	if _, err := sharedSite(context.WithoutCancel(b.Context())); err != nil {
		b.Fatal(err)
	}
	reads := append([]read{{load.SelectQuery, load.PointID}}, slowReads()...)
	onReaders(b, reads, func(b *testing.B, do []lab.Operation) {
		ctx, cancel := context.WithCancel(b.Context())
		var beside sync.WaitGroup
		for _, slow := range do[1:] {
			beside.Go(func() {
				for ctx.Err() == nil {
					_ = slow(ctx) // the end of the benchmark cuts it off
				}
			})
		}
		var seen latencies
		inGoroutines(b, func(int) error {
			begin := time.Now()
			err := do[0](b.Context())
			seen.add(time.Since(begin))
			return err
		})
		cancel()
		beside.Wait()
		seen.report(b, "point")
	})
}

// onReaders runs a benchmark on net/http, on the driver as it is, and without joining. do are the reads.
func onReaders(b *testing.B, reads []read, run func(b *testing.B, do []lab.Operation)) {
	b.Helper()
	site, err := sharedSite(context.WithoutCancel(b.Context()))
	if err != nil {
		b.Fatal(err)
	}
	var onDatabase []func(context.Context, *sql.DB) error
	for _, r := range reads {
		onDatabase = append(onDatabase, func(ctx context.Context, db *sql.DB) error { return readAll(ctx, db, r.query, r.arg) })
	}
	bare, err := site.Bare(b.Context(), onDatabase...)
	if err != nil {
		b.Fatal(err)
	}
	b.Run(prefix()+"client=bare", func(b *testing.B) { run(b, bare) })
	for _, client := range []struct{ name, settings string }{{"driver", ""}, {"driver-separate", "?coalesce=false"}} {
		b.Run(prefix()+"client="+client.name, func(b *testing.B) {
			cfg, err := rqlite.ParseDSN(shared.server.URL + client.settings)
			if err != nil {
				b.Fatal(err)
			}
			connector, err := rqlite.NewConnector(cfg)
			if err != nil {
				b.Fatal(err)
			}
			db := sql.OpenDB(connector)
			defer db.Close()
			db.SetMaxIdleConns(readers)
			do := make([]lab.Operation, len(reads))
			for i, read := range onDatabase {
				do[i] = func(ctx context.Context) error { return read(ctx, db) }
				if err := do[i](b.Context()); err != nil { // so that the texts are known
					b.Fatal(err)
				}
			}
			before := connector.Stats().Requests
			run(b, do)
			b.ReportMetric(float64(b.N)/float64(connector.Stats().Requests-before), "ops/request")
		})
	}
}

// readers is how many goroutines read.
const readers = 32

// inGoroutines spreads b.N calls, which are numbered, over the goroutines.
func inGoroutines(b *testing.B, call func(i int) error) {
	b.Helper()
	b.ResetTimer()
	defer b.StopTimer()
	var group sync.WaitGroup
	for g := range readers {
		group.Go(func() {
			for i := g; i < b.N; i += readers {
				if err := call(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}
