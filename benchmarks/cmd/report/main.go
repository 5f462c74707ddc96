// Command report measures the clients side by side and prints a table.
//
// In each round every client of a scenario gets its turn, of about -slice, so
// that what else the machine does hits all of them alike. What is printed are medians
// of the rounds; a ratio is the median of what the rounds say, each of which
// compares turns next to each other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"time"

	"github.com/go-rqlite/rqlite/benchmarks/internal/figures"
	"github.com/go-rqlite/rqlite/benchmarks/internal/lab"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// settings are the flags.
type settings struct {
	rounds int
	slice  time.Duration // of one operation after the other
	crowd  time.Duration // of many goroutines
	most   time.Duration // of a loop in a transaction
	nodes  int
	names  *regexp.Regexp
	json   string
}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 15, "how often every client gets its turn")
	flag.DurationVar(&s.slice, "slice", 100*time.Millisecond, "how long a turn is, at least one operation")
	flag.DurationVar(&s.crowd, "crowd", time.Second, "how long a turn of many goroutines is, at least one operation of each")
	flag.DurationVar(&s.most, "most", time.Minute, "how long a loop in a transaction may take; a client that takes longer is left out")
	flag.IntVar(&s.nodes, "nodes", 1, "how many nodes the server has that is started")
	flag.StringVar(&s.json, "json", "", "write the figures of every turn to this file")
	only := flag.String("run", "", "measure the scenarios whose names match this regular expression")
	flag.Parse()
	names, err := regexp.Compile(*only)
	if err == nil {
		ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
		defer cancel()
		s.names, s.rounds, s.nodes = names, max(s.rounds, 1), max(s.nodes, 1)
		err = report(ctx, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func report(ctx context.Context, s settings) (err error) {
	server, err := lab.FindServer(s.nodes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if server.Embedded {
		fmt.Fprintln(os.Stderr, lab.EmbeddedWarning)
	}
	setting, err := describe(server, s.rounds)
	if err != nil {
		return err
	}
	site, err := lab.Open(ctx, server, lab.Full)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close(context.WithoutCancel(ctx))) }()
	r := &figures.Report{Setting: setting}
	if err := measure(ctx, r, s, site); err != nil {
		return err
	}
	if s.json != "" {
		if err := r.Write(s.json); err != nil {
			return err
		}
	}
	return printTables(os.Stdout, r)
}

func measure(ctx context.Context, r *figures.Report, s settings, site *lab.Site) error {
	for _, sc := range lab.Scenarios() {
		if !s.names.MatchString(sc.Name) {
			continue
		}
		fmt.Fprintln(os.Stderr, sc.Name)
		if err := measureOne(ctx, r, s, site, sc); err != nil {
			return err
		}
	}
	for _, sc := range lab.Concurrents() {
		for _, goroutines := range sc.Goroutines {
			name := fmt.Sprintf("%s/%d", sc.Name, goroutines)
			if !s.names.MatchString(name) {
				continue
			}
			fmt.Fprintln(os.Stderr, name)
			if err := measureMany(ctx, r, s, site, sc, goroutines); err != nil {
				return err
			}
		}
	}
	return nil
}

// measureOne measures a scenario of one operation after the other.
func measureOne(ctx context.Context, r *figures.Report, s settings, site *lab.Site, sc *lab.Scenario) error {
	clients, err := sc.Clients(ctx, site)
	if err != nil {
		return err
	}
	var series []*figures.Series
	var turns []takeTurn
	for _, c := range clients {
		series = append(series, &figures.Series{Scenario: sc.Name, Client: c.Name, Statements: sc.Statements})
		turn := func(ctx context.Context) (load.Turn, error) {
			return takeOne(ctx, c, load.Order{Goroutines: 1, Slice: s.slice, Heap: sc.Memory})
		}
		if sc.Statements > 0 {
			turn = func(ctx context.Context) (load.Turn, error) { return takeLoop(ctx, s, site, sc, c) }
		}
		turns = append(turns, turn)
	}
	r.Series = append(r.Series, series...)
	if err := alternate(ctx, s.rounds, series, turns); err != nil {
		return fmt.Errorf("%s: %w", sc.Name, err)
	}
	return nil
}

// takeOne takes a turn of a client whose operations must not fail.
func takeOne(ctx context.Context, c lab.Client, order load.Order) (load.Turn, error) {
	turn, err := load.Run(ctx, order, func(ctx context.Context, _ int) error { return c.Do(ctx) })
	if turn.FirstError != "" {
		err = errors.Join(err, fmt.Errorf("client %s: %s", c.Name, turn.FirstError))
	}
	return turn, err
}

// takeLoop takes a turn of a loop in a transaction: the loop once, within the time that it may take.
func takeLoop(ctx context.Context, s settings, site *lab.Site, sc *lab.Scenario, c lab.Client) (load.Turn, error) {
	if err := c.Before(ctx); err != nil {
		return load.Turn{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, s.most)
	defer cancel()
	site.Sent()
	turn, err := takeOne(bounded, c, load.Order{Goroutines: 1, Operations: 1, Heap: sc.Memory})
	sent := site.Sent()
	turn.Requests, turn.Logged, turn.Largest = sent.Requests, sent.Logged, sent.Largest
	switch {
	case ctx.Err() != nil:
		return turn, ctx.Err()
	case bounded.Err() != nil:
		return turn, outError{fmt.Sprintf("more than %v", s.most)}
	case err != nil:
		return turn, outError{err.Error()}
	}
	return turn, c.After(ctx)
}

// outError says why a client is out of a scenario. The others go on.
type outError struct{ why string }

// Error implements error.
func (e outError) Error() string { return e.why }

// measureMany measures a scenario of many goroutines.
func measureMany(ctx context.Context, r *figures.Report, s settings, site *lab.Site, sc *lab.Concurrent, goroutines int) (err error) {
	clients, err := sc.Clients(ctx, site, goroutines)
	if err != nil {
		return err
	}
	defer func() {
		for _, c := range clients {
			err = errors.Join(err, c.Close(context.WithoutCancel(ctx)))
		}
	}()
	var series []*figures.Series
	var turns []takeTurn
	for _, c := range clients {
		series = append(series, &figures.Series{Scenario: sc.Name, Goroutines: goroutines, Client: c.Name})
		turns = append(turns, func(ctx context.Context) (load.Turn, error) {
			return c.Turn(ctx, load.Order{Slice: s.crowd})
		})
	}
	if err := alternate(ctx, s.rounds, series, turns); err != nil {
		return err
	}
	for i, c := range clients {
		if series[i].Tally, err = c.Tally(ctx); err != nil {
			return err
		}
	}
	r.Series = append(r.Series, series...)
	return nil
}

// takeTurn takes a turn of a client.
type takeTurn func(context.Context) (load.Turn, error)

// alternate has the clients take their turns, in every round: in an order of its own, so
// that nobody always comes behind the one that leaves most work to the server. The turns
// before the first round open connections, and do not count. A client that is out loses its turns.
func alternate(ctx context.Context, rounds int, series []*figures.Series, turns []takeTurn) error {
	random := rand.New(rand.NewPCG(1, 2)) // the same orders in each run
	for round := range rounds + 1 {
		for _, i := range random.Perm(len(turns)) {
			if series[i].Out != "" {
				continue
			}
			turn, err := turns[i](ctx)
			var out outError
			switch {
			case errors.As(err, &out):
				series[i].Out, series[i].Turns = out.why, nil
				continue
			case err != nil:
				return err
			}
			if round > 0 {
				series[i].Turns = append(series[i].Turns, turn)
			}
		}
	}
	return nil
}
