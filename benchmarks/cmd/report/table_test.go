package main

import (
	"context"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/benchmarks/internal/figures"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

func turns(operations int) []load.Turn {
	return []load.Turn{{Operations: operations, Seconds: 1, P50: 0.001, P99: 0.02}}
}

// cells returns those of the line of a client in the table of a scenario.
func cells(t *testing.T, text, scenario, client string) []string {
	t.Helper()
	for line := range strings.Lines(text) {
		var cells []string
		for cell := range strings.SplitSeq(line, "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		if len(cells) > 2 && cells[0] == scenario && cells[1] == client {
			return cells
		}
	}
	t.Fatalf("no line of %s, %s in:\n%s", scenario, client, text)
	return nil
}

func TestTables(t *testing.T) {
	t.Parallel()
	lost := &figures.Series{
		Scenario: "Many", Goroutines: 64, Client: "gorqlite", Turns: turns(100),
		Tally: &load.Tally{Acknowledged: 200, Stored: 203},
	}
	lost.Turns[0].Errors, lost.Turns[0].FirstError = 2, "it timed out"
	var out strings.Builder
	err := printTables(&out, &figures.Report{Series: []*figures.Series{
		{Scenario: "One", Client: "bare", Turns: turns(100)},
		{Scenario: "One", Client: "driver", Turns: turns(50)},
		{Scenario: "Many", Goroutines: 64, Client: "bare", Turns: turns(50), Tally: &load.Tally{Acknowledged: 7, Stored: 7}},
		lost,
	}})
	if err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if c := cells(t, text, "One", "driver"); c[2] != "20ms" || c[3] != "2.00" || c[5] != "" {
		t.Errorf("of half the speed, and next to no gorqlite: %q", c)
	}
	c := cells(t, text, "Many/64", "gorqlite")
	if c[2] != "100" || c[3] != "2.00" || c[5] != "1.00" || c[6] != "1ms" || c[7] != "20ms" {
		t.Errorf("of twice the speed: %q", c)
	}
	for _, want := range []string{"ERRORS: Many/64, client gorqlite: 2 operations", "it timed out", "LOST OR DOUBLED: Many/64, client gorqlite: 203 rows", "+3!"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "LOST OR DOUBLED"); n != 1 {
		t.Errorf("%d clients are said to have lost rows", n)
	}
}

// TestLoopTable prints a loop of three clients, of which one is out.
func TestLoopTable(t *testing.T) {
	t.Parallel()
	loop := func(client string, seconds float64, out string) *figures.Series {
		s := &figures.Series{Scenario: "TxInsert10", Client: client, Statements: 10, Out: out}
		if out == "" {
			s.Turns = []load.Turn{{Operations: 1, Seconds: seconds, Requests: 3, Logged: 2048, Largest: 1024}}
		}
		return s
	}
	var out strings.Builder
	err := printTables(&out, &figures.Report{Series: []*figures.Series{
		loop("bare", 0.01, ""), loop("sqlite", 0.005, ""), loop("auto", 0.02, ""), loop("interactive", 0, "more than 1m0s"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := cells(t, out.String(), "TxInsert10", "auto")
	if c[2] != "20ms" || c[3] != "2.00" || c[6] != "4.00" || c[7] != "3" || c[8] != "2.0" || c[9] != "1.0" {
		t.Errorf("twice as slow as bare, and four times as slow as SQLite: %q", c)
	}
	if c := cells(t, out.String(), "TxInsert10", "interactive"); c[2] != "out" || len(c) != 15 {
		t.Errorf("of a client that is out: %q", c)
	}
	if want := "OUT: TxInsert10, client interactive: more than 1m0s"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in:\n%s", want, out.String())
	}
}

// TestAlternate has one client leave in the second round: its turns go, and the other goes on.
func TestAlternate(t *testing.T) {
	t.Parallel()
	series := []*figures.Series{{Client: "stays"}, {Client: "leaves"}}
	taken := 0
	err := alternate(t.Context(), 3, series, []takeTurn{
		func(context.Context) (load.Turn, error) { return load.Turn{Operations: 1}, nil },
		func(context.Context) (load.Turn, error) {
			if taken++; taken == 2 {
				return load.Turn{}, outError{"it is slow"}
			}
			return load.Turn{Operations: 1}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(series[0].Turns) != 3 || len(series[1].Turns) != 0 || series[1].Out != "it is slow" || taken != 2 {
		t.Errorf("%d turns of one, %d of the other, which is out by %q after %d", len(series[0].Turns), len(series[1].Turns), series[1].Out, taken)
	}
}
