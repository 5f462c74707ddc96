package benchmarks

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

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

// BenchmarkMixedReads has 32 goroutines do point reads mostly, larger reads now and then, and very
// large ones seldom. It reports the time of each kind.
func BenchmarkMixedReads(b *testing.B) {
	onReaders(b, func(b *testing.B, db *sql.DB) {
		seen := make([]latencies, len(mixedReads))
		inGoroutines(b, func(i int) error {
			class, place := 0, (i*37)%100
			for place >= mixedReads[class].share {
				place -= mixedReads[class].share
				class++
			}
			begin := time.Now()
			err := readAll(b.Context(), db, mixedReads[class].query, load.PointID)
			seen[class].add(time.Since(begin))
			return err
		})
		for i := range seen {
			seen[i].report(b, mixedReads[i].name)
		}
	})
}

// BenchmarkReadsBeside has 32 goroutines do point reads while one read of a part of a second, and one
// of some seconds, are always under way.
func BenchmarkReadsBeside(b *testing.B) {
	const slow = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) SELECT i, '', 0.5, i FROM c ORDER BY i DESC LIMIT 1"
	onReaders(b, func(b *testing.B, db *sql.DB) {
		ctx, cancel := context.WithCancel(b.Context())
		var slowReads sync.WaitGroup
		for _, n := range []int{200_000, 1_500_000} {
			slowReads.Go(func() {
				for ctx.Err() == nil {
					_ = readAll(ctx, db, slow, n) // the end of the benchmark cuts it off
				}
			})
		}
		var seen latencies
		inGoroutines(b, func(int) error {
			begin := time.Now()
			err := readAll(b.Context(), db, load.SelectQuery, load.PointID)
			seen.add(time.Since(begin))
			return err
		})
		cancel()
		slowReads.Wait()
		seen.report(b, "point")
	})
}

// onReaders runs a benchmark on the driver as it is, and without joining.
func onReaders(b *testing.B, run func(*testing.B, *sql.DB)) {
	b.Helper()
	if _, err := sharedSite(context.WithoutCancel(b.Context())); err != nil {
		b.Fatal(err)
	}
	for _, client := range []struct{ name, settings string }{{"driver", ""}, {"driver-separate", "?coalesce=false"}} {
		b.Run(prefix()+"client="+client.name, func(b *testing.B) {
			db, err := sql.Open("rqlite", shared.server.URL+client.settings)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			db.SetMaxIdleConns(readers)
			for _, class := range mixedReads { // so that the texts are known
				if err := readAll(b.Context(), db, class.query, load.PointID); err != nil {
					b.Fatal(err)
				}
			}
			run(b, db)
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
