// Command report measures the clients side by side and prints a table.
//
// In each round every client of a scenario gets its turn, of about -slice, so
// that what else the machine does hits all of them alike. The times are medians
// of the rounds; a ratio is the median of what the rounds say, each of which
// compares turns next to each other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/go-rqlite/rqlite/benchmarks/internal/lab"
)

func main() {
	rounds := flag.Int("rounds", 15, "how often every client gets its turn")
	slice := flag.Duration("slice", 100*time.Millisecond, "how long a turn is, at least one operation")
	only := flag.String("run", "", "measure the scenarios whose names match this regular expression")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := report(ctx, max(*rounds, 1), *slice, *only); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func report(ctx context.Context, rounds int, slice time.Duration, only string) (err error) {
	names, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	server, err := lab.FindServer()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if server.Embedded {
		fmt.Fprintln(os.Stderr, lab.EmbeddedWarning)
	}
	version, err := server.Version()
	if err != nil {
		return err
	}
	site, err := lab.Open(ctx, server, lab.Full)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close(context.WithoutCancel(ctx))) }()
	fmt.Printf("server %s %s, client %s %s/%s, %d CPUs shared by both, %d rounds\n\n",
		server.Kind, version, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), rounds)

	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.Debug)
	fmt.Fprintln(w, "scenario\tclient\ttime\tto bare\tfrom … to\tB/op\tallocs/op\tpeak MiB\t")
	for _, sc := range lab.Scenarios() {
		if !names.MatchString(sc.Name) {
			continue
		}
		if err := one(ctx, w, sc, site, rounds, slice); err != nil {
			return err
		}
	}
	return w.Flush()
}

// turn is what was measured of a client in a round, for each operation.
type turn struct {
	time   float64 // seconds
	bytes  float64 // allocated
	allocs float64
	peak   float64 // MiB of the heap above what it was; 0 when not asked for
}

// one measures a scenario and prints its lines of the table.
func one(ctx context.Context, w *tabwriter.Writer, sc *lab.Scenario, site *lab.Site, rounds int, slice time.Duration) error {
	clients, err := sc.Clients(ctx, site)
	if err != nil {
		return err
	}
	turns := make([][]turn, len(clients))
	for round := range rounds + 1 { // the first opens connections
		for i, client := range clients {
			t, err := takeTurn(ctx, client.Do, slice, sc.Memory)
			if err != nil {
				return fmt.Errorf("%s, client %s: %w", sc.Name, client.Name, err)
			}
			if round > 0 {
				turns[i] = append(turns[i], t)
			}
		}
	}
	for i, client := range clients {
		ratios := make([]float64, rounds)
		for round := range rounds {
			ratios[round] = turns[i][round].time / turns[0][round].time
		}
		slices.Sort(ratios)
		fmt.Fprintf(w, "%s\t%s\t%v\t%.2f\t%.2f … %.2f\t%.0f\t%.0f\t", sc.Name, client.Name,
			time.Duration(median(turns[i], func(t turn) float64 { return t.time })*1e9).Round(100*time.Nanosecond),
			ratios[rounds/2], ratios[rounds/4], ratios[rounds*3/4],
			median(turns[i], func(t turn) float64 { return t.bytes }),
			median(turns[i], func(t turn) float64 { return t.allocs }))
		if sc.Memory {
			fmt.Fprintf(w, "%.1f", median(turns[i], func(t turn) float64 { return t.peak }))
		}
		fmt.Fprintln(w, "\t")
	}
	return nil
}

// takeTurn repeats an operation until the slice is over.
func takeTurn(ctx context.Context, do lab.Operation, slice time.Duration, memory bool) (turn, error) {
	runtime.GC() // the garbage of the client before is not this one's
	var t turn
	var peak func() float64
	if memory {
		peak = lab.WatchHeap()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, n := time.Now(), 0.0
	for ; n == 0 || time.Since(start) < slice; n++ {
		if err := do(ctx); err != nil {
			return t, err
		}
	}
	t.time = time.Since(start).Seconds() / n
	runtime.ReadMemStats(&after)
	t.bytes = float64(after.TotalAlloc-before.TotalAlloc) / n
	t.allocs = float64(after.Mallocs-before.Mallocs) / n
	if memory {
		t.peak = peak()
	}
	return t, nil
}

// median returns the one in the middle of a value of each turn.
func median(turns []turn, value func(turn) float64) float64 {
	values := make([]float64, len(turns))
	for i, t := range turns {
		values[i] = value(t)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
