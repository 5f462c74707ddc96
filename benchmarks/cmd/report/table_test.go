package main

import (
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
