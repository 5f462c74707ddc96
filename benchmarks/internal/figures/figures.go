// Package figures holds what cmd/report has measured, for its table and for
// cmd/chart.
package figures

import (
	"encoding/json"
	"os"
	"slices"

	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// Report is a run of cmd/report.
type Report struct {
	Setting Setting   `json:"setting"`
	Series  []*Series `json:"series"`
}

// Setting is what was measured where.
type Setting struct {
	Server   string `json:"server"`
	Rqlite   string `json:"rqlite"` // versions
	Go       string `json:"go"`
	Driver   string `json:"driver"` // git revision; "" if there is none
	Gorqlite string `json:"gorqlite"`
	Platform string `json:"platform"`
	CPUs     int    `json:"cpus"`
	Nodes    int    `json:"nodes"` // 0 where it is not known
	Rounds   int    `json:"rounds"`
}

// Series is the turns of a client, one for each round.
type Series struct {
	Scenario   string      `json:"scenario"`
	Goroutines int         `json:"goroutines,omitempty"` // 0 for a scenario of one operation after the other
	Client     string      `json:"client"`
	Statements int         `json:"statements,omitempty"` // of a loop in a transaction; 0 for other scenarios
	Out        string      `json:"out,omitempty"`        // why the client of a loop took no part; it has no turns then
	Turns      []load.Turn `json:"turns"`
	Tally      *load.Tally `json:"tally,omitempty"`
}

// Write writes a report to a file.
func (r *Report) Write(path string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// Read reads a report that Write has written.
func Read(path string) (*Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// Find returns the series of a client in the scenario of another one, or nil.
func (r *Report) Find(like *Series, client string) *Series {
	for _, s := range r.Series {
		if s.Scenario == like.Scenario && s.Goroutines == like.Goroutines && s.Client == client {
			return s
		}
	}
	return nil
}

// Errors returns how many operations failed.
func (s *Series) Errors() int {
	n := 0
	for _, t := range s.Turns {
		n += t.Errors
	}
	return n
}

// Median returns the one in the middle of a value of each turn.
func (s *Series) Median(value func(load.Turn) float64) float64 {
	return quantile(s.values(value), 2)
}

// Speed returns how many times as fast as another client this one was: quartiles of
// what the rounds say, each of which compares turns that were next to each other.
func (s *Series) Speed(other *Series) (low, median, high float64) {
	speeds := s.values(load.Turn.Throughput)
	for i, t := range other.Turns {
		speeds[i] /= t.Throughput()
	}
	return quantile(speeds, 1), quantile(speeds, 2), quantile(speeds, 3)
}

func (s *Series) values(value func(load.Turn) float64) []float64 {
	values := make([]float64, len(s.Turns))
	for i, t := range s.Turns {
		values[i] = value(t)
	}
	return values
}

// quantile sorts values, and returns the one at so many quarters.
func quantile(values []float64, quarters int) float64 {
	slices.Sort(values)
	return values[len(values)*quarters/4]
}
