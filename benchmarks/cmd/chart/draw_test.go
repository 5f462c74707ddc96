package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/benchmarks/internal/figures"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

func report(clients ...string) *figures.Report {
	r := &figures.Report{Setting: figures.Setting{Rqlite: "v9.9", CPUs: 2, Nodes: 3}}
	for _, client := range clients {
		for i, goroutines := range []int{1, 16, 64, 256, 1024} {
			r.Series = append(r.Series, &figures.Series{
				Scenario: "ConcurrentInsert", Goroutines: goroutines, Client: client,
				Turns: []load.Turn{{Operations: 1000 * (i + 1), Seconds: 1}},
			})
		}
	}
	return r
}

// texts returns those of an SVG document.
func texts(t *testing.T, svg string) []string {
	t.Helper()
	var texts []string
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok && strings.TrimSpace(string(text)) != "" {
			texts = append(texts, strings.TrimSpace(string(text)))
		}
	}
}

// TestChart draws two of the clients, from a file into another one.
func TestChart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "figures.json"), filepath.Join(dir, "chart.svg")
	if err := report("driver", "bare").Write(from); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"ConcurrentInsert", from, to}); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	all := "|" + strings.Join(texts(t, string(svg)), "|") + "|"
	for _, want := range []string{"this driver", "net/http, one request for each row", "goroutines", "rows per second", "1,024", "256", "1,000", "5,000"} {
		if !strings.Contains(all, "|"+want+"|") {
			t.Errorf("no text %q among %s", want, all)
		}
	}
	if !strings.Contains(all, "rqlite v9.9, 3 nodes, 2 CPUs") {
		t.Errorf("no circumstances among %s", all)
	}
	if strings.Contains(all, "gorqlite") {
		t.Errorf("a client that took no part is among %s", all)
	}
}

// TestChartOfOthers gives it the figures of another scenario.
func TestChartOfOthers(t *testing.T) {
	t.Parallel()
	r := report("driver")
	for _, s := range r.Series {
		s.Scenario = "ConcurrentSelect"
	}
	if _, err := drawChart(r, "ConcurrentInsert"); err == nil {
		t.Error("drawn without an INSERT")
	}
	if _, err := drawChart(r, "ConcurrentSelect"); err != nil {
		t.Error(err)
	}
	if _, err := drawChart(r, "PointSelect"); err == nil {
		t.Error("drawn without a title")
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 99999.9: "100,000"} {
		if got := thousands(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
