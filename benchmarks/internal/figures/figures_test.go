package figures_test

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/go-rqlite/rqlite/benchmarks/internal/figures"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// series returns one whose turns took a second each.
func series(client string, operations ...int) *figures.Series {
	s := &figures.Series{Scenario: "S", Goroutines: 4, Client: client}
	for _, n := range operations {
		s.Turns = append(s.Turns, load.Turn{Operations: n, Seconds: 1})
	}
	return s
}

// TestSpeed checks that rounds are compared one by one: the medians of both are the
// same.
func TestSpeed(t *testing.T) {
	t.Parallel()
	low, median, high := series("a", 10, 200, 30, 40, 50).Speed(series("b", 20, 50, 30, 10, 200))
	if low != 0.5 || median != 1 || high != 4 {
		t.Errorf("%v, %v, %v; want 0.5, 1 and 4 of 0.25, 0.5, 1, 4 and 4", low, median, high)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	s := series("a", 50, 10, 30)
	if got := s.Median(load.Turn.Throughput); got != 30 || s.Turns[0].Operations != 50 {
		t.Errorf("%v, want 30, and the turns as they were: %+v", got, s.Turns)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	s, other := series("a", 1), series("b", 1)
	elsewhere := series("b", 1)
	elsewhere.Goroutines++
	r := &figures.Report{Series: []*figures.Series{s, elsewhere, other}}
	if got := r.Find(s, "b"); got != other {
		t.Errorf("%+v", got)
	}
	if got := r.Find(s, "c"); got != nil {
		t.Errorf("%+v of a client that takes no part", got)
	}
}

func TestWriteRead(t *testing.T) {
	t.Parallel()
	s := series("a", 1, 2)
	s.Tally = &load.Tally{Acknowledged: 3, Failed: 1, Stored: 4}
	s.Turns[1].Errors, s.Turns[1].FirstError = 1, "refused"
	want := &figures.Report{Setting: figures.Setting{Go: "go1.26", CPUs: 2, Nodes: 3}, Series: []*figures.Series{s}}
	path := filepath.Join(t.TempDir(), "report.json")
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := figures.Read(path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("error %v, read %+v", err, got)
	}
}
