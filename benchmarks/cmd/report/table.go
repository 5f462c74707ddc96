package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-rqlite/rqlite/benchmarks/internal/figures"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// printTables prints what was measured: a table of one operation after the other,
// with ratios of times, one of loops in transactions, and one of many goroutines, with ratios of
// throughputs.
func printTables(out io.Writer, r *figures.Report) error {
	s := r.Setting
	nodes := "nodes not counted"
	if s.Nodes > 0 {
		nodes = fmt.Sprintf("nodes: %d", s.Nodes)
	}
	fmt.Fprintf(out, "server %s %s, %s; %s %s, %d CPUs shared by all\ndriver %s, gorqlite %s; %d rounds\n",
		s.Server, s.Rqlite, nodes, s.Go, s.Platform, s.CPUs, cmp.Or(s.Driver, "of no revision"), s.Gorqlite, s.Rounds)
	one := newTable(out, "scenario\tclient\ttime\tto bare\tfrom … to\tto gorqlite\tB/op\tallocs/op\tpeak MiB\t")
	loops := newTable(out, "transaction\tclient\ttime\tto bare\tfrom … to\tto gorqlite\tto SQLite\trequests\tlogged KiB\tlargest KiB\tB/op\tallocs/op\tpeak MiB\tlive MiB\t")
	many := newTable(out, "goroutines\tclient\tops/s\tx bare\tfrom … to\tx gorqlite\tp50\tp99\tB/op\tallocs/op\tpeak MiB\tsockets\tops/request\terrors\tstored\t")
	for _, series := range r.Series {
		switch {
		case series.Statements > 0:
			loops.row(loopLine(r, series))
		case series.Goroutines == 0:
			one.row(oneLine(r, series))
		default:
			many.row(manyLine(r, series))
		}
	}
	for _, t := range []*table{one, loops, many} {
		if err := t.flush(); err != nil {
			return err
		}
	}
	warn(out, r)
	return nil
}

// table prints its head before the first row.
type table struct {
	w     *tabwriter.Writer
	head  string
	empty bool
}

func newTable(out io.Writer, head string) *table {
	return &table{w: tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.Debug), head: head, empty: true}
}

func (t *table) row(line string) {
	if t.empty {
		fmt.Fprintf(t.w, "\n%s\n", t.head)
	}
	t.empty = false
	fmt.Fprintln(t.w, line)
}

func (t *table) flush() error { return t.w.Flush() }

func oneLine(r *figures.Report, s *figures.Series) string {
	toBare, spread := ratio(r, s, "bare", inverse)
	toGorqlite, _ := ratio(r, s, "gorqlite", inverse)
	return fmt.Sprintf("%s\t%s\t%v\t%s\t%s\t%s\t%s\t%s\t", s.Scenario, s.Client,
		duration(s.Median(func(t load.Turn) float64 { return 1 / t.Throughput() })),
		toBare, spread, toGorqlite, allocations(s), peak(s))
}

func loopLine(r *figures.Report, s *figures.Series) string {
	if len(s.Turns) == 0 {
		return fmt.Sprintf("%s\t%s\tout%s", s.Scenario, s.Client, strings.Repeat("\t", 12))
	}
	toBare, spread := ratio(r, s, "bare", inverse)
	toGorqlite, _ := ratio(r, s, "gorqlite", inverse)
	toSQLite, _ := ratio(r, s, "sqlite", inverse)
	return fmt.Sprintf("%s\t%s\t%v\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t", s.Scenario, s.Client,
		duration(s.Median(func(t load.Turn) float64 { return t.Seconds })),
		toBare, spread, toGorqlite, toSQLite, shownIf("%.0f", s.Median(func(t load.Turn) float64 { return float64(t.Requests) })),
		shownIf("%.1f", s.Median(func(t load.Turn) float64 { return float64(t.Logged) / 1024 })),
		shownIf("%.1f", s.Median(func(t load.Turn) float64 { return float64(t.Largest) / 1024 })),
		allocations(s), peak(s), shownIf("%.1f", s.Median(func(t load.Turn) float64 { return t.LiveMiB })))
}

// shownIf returns a cell with a number, which is empty if that is 0.
func shownIf(format string, number float64) string {
	if number == 0 {
		return ""
	}
	return fmt.Sprintf(format, number)
}

func manyLine(r *figures.Report, s *figures.Series) string {
	toBare, spread := ratio(r, s, "bare", same)
	toGorqlite, _ := ratio(r, s, "gorqlite", same)
	return fmt.Sprintf("%s/%d\t%s\t%.0f\t%s\t%s\t%s\t%v\t%v\t%s\t%s\t%s\t%s\t%d\t%s\t", s.Scenario, s.Goroutines, s.Client,
		s.Median(load.Turn.Throughput), toBare, spread, toGorqlite,
		duration(s.Median(func(t load.Turn) float64 { return t.P50 })),
		duration(s.Median(func(t load.Turn) float64 { return t.P99 })),
		allocations(s), peak(s), sockets(s), joined(s), s.Errors(), stored(s))
}

func duration(seconds float64) time.Duration {
	return time.Duration(seconds * 1e9).Round(100 * time.Nanosecond)
}

// same and inverse make what a table shows of a ratio of speeds.
func same(speed float64) float64    { return speed }
func inverse(speed float64) float64 { return 1 / speed }

// ratio returns a cell with the ratio to another client, and one with the quartiles of
// it. They are empty where the other does not take part.
func ratio(r *figures.Report, s *figures.Series, client string, shown func(speed float64) float64) (median, quartiles string) {
	other := r.Find(s, client)
	if other == nil || len(other.Turns) == 0 {
		return "", ""
	}
	low, middle, high := s.Speed(other)
	low, high = shown(low), shown(high)
	return fmt.Sprintf("%.2f", shown(middle)), fmt.Sprintf("%.2f … %.2f", min(low, high), max(low, high))
}

// allocations returns two cells.
func allocations(s *figures.Series) string {
	return fmt.Sprintf("%.0f\t%.0f",
		s.Median(func(t load.Turn) float64 { return t.Bytes }),
		s.Median(func(t load.Turn) float64 { return t.Allocs }))
}

func peak(s *figures.Series) string {
	return shownIf("%.1f", s.Median(func(t load.Turn) float64 { return t.PeakMiB }))
}

func sockets(s *figures.Series) string {
	most := 0
	for _, t := range s.Turns {
		most = max(most, t.Sockets)
	}
	if most == 0 {
		return ""
	}
	return strconv.Itoa(most)
}

func joined(s *figures.Series) string {
	perRequest := s.Median(func(t load.Turn) float64 { return float64(t.Operations) / float64(max(t.Requests, 1)) })
	if s.Turns[0].Requests == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", perRequest)
}

func stored(s *figures.Series) string {
	switch {
	case s.Tally == nil:
		return ""
	case s.Tally.Exact():
		return "all"
	}
	return fmt.Sprintf("%+d!", s.Tally.Stored-s.Tally.Acknowledged)
}

// warn says in words what must not be overlooked in the table.
func warn(out io.Writer, r *figures.Report) {
	for _, s := range r.Series {
		if s.Out != "" {
			fmt.Fprintf(out, "\nOUT: %s, client %s: %s\n", s.Scenario, s.Client, s.Out)
		}
		name := fmt.Sprintf("%s/%d, client %s", s.Scenario, s.Goroutines, s.Client)
		for _, t := range s.Turns {
			if t.FirstError != "" {
				fmt.Fprintf(out, "\nERRORS: %s: %d operations failed, one of them so: %s\n", name, s.Errors(), t.FirstError)
				break
			}
		}
		if t := s.Tally; t != nil && !t.Exact() {
			fmt.Fprintf(out, "\nROWS LOST OR DOUBLED: %s: %d rows are stored; %d were acknowledged, and %d had failed\n",
				name, t.Stored, t.Acknowledged, t.Failed)
		}
	}
}
