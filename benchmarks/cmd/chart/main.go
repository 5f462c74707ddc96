// Command chart draws the throughput of concurrent INSERTs, or SELECTs, from what cmd/report has
// written:
//
//	go run ./cmd/report -run 'ConcurrentInsert|ConcurrentSelect$' -json figures.json
//	go run ./cmd/chart ConcurrentInsert figures.json ../docs/inserts.svg
//	go run ./cmd/chart ConcurrentSelect figures.json ../docs/selects.svg
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
	if len(args) != 3 {
		return errors.New("usage: chart scenario figures.json chart.svg")
	}
	r, err := figures.Read(args[1])
	if err != nil {
		return err
	}
	svg, err := drawChart(r, args[0])
	if err != nil {
		return err
	}
	return os.WriteFile(args[2], svg, 0o644)
}
