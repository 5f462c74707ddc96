// Command chart draws the throughput of concurrent INSERTs from what cmd/report has
// written:
//
//	go run ./cmd/report -run ConcurrentInsert -json figures.json
//	go run ./cmd/chart figures.json ../docs/inserts.svg
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/go-rqlite/rqlite/benchmarks/internal/figures"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: chart figures.json chart.svg")
	}
	r, err := figures.Read(args[0])
	if err != nil {
		return err
	}
	svg, err := drawChart(r)
	if err != nil {
		return err
	}
	return os.WriteFile(args[1], svg, 0o644)
}
