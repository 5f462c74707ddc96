// Command speed measures programs on GORM, sqlx, sqlc, ent and bun, each of which writes rows in one
// transaction: on rqlite by this driver, next to the same on a local file by mattn/go-sqlite3.
//
//	go -C integration/capture run ./speed
//
// It starts an rqlited from the PATH (or RQLITED_BIN), with an empty directory, unless -dsn names a
// server. That one has to be empty, and keeps the tables. Every program is checked by counting
// the rows.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"text/tabwriter"
	"time"

	_ "github.com/mattn/go-sqlite3" // SQLite

	"github.com/go-rqlite/rqlite"
)

// settings are the flags.
type settings struct {
	rows, rounds int
	most         time.Duration
	names        *regexp.Regexp
}

func main() {
	var s settings
	flag.IntVar(&s.rows, "rows", 1_000, "how many rows a program writes")
	flag.IntVar(&s.rounds, "rounds", 5, "how often each program runs")
	flag.DurationVar(&s.most, "most", time.Minute, "how long a program may take; one that takes longer is left out")
	names := flag.String("run", "", "run the programs whose names match this regular expression")
	dsn := flag.String("dsn", "", "the server")
	flag.Parse()
	only, err := regexp.Compile(*names)
	if err == nil {
		ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
		defer cancel()
		s.names, s.rounds = only, max(s.rounds, 1)
		err = measureAt(ctx, os.Stdout, s, *dsn)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1)
	}
}

// measureAt measures on the server of a DSN, or on one that it starts.
func measureAt(ctx context.Context, out io.Writer, s settings, dsn string) (err error) {
	directory, err := os.MkdirTemp("", "rqlite-speed-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	if dsn == "" {
		url, stop, err := startServer(ctx, directory)
		if err != nil {
			return err
		}
		defer stop()
		dsn = url
	}
	local, err := sql.Open("sqlite3", filepath.Join(directory, "db")+"?_foreign_keys=1")
	if err != nil {
		return err
	}
	defer local.Close()
	cfg, err := rqlite.ParseDSN(dsn)
	if err != nil {
		return err
	}
	cfg.SendForeignKeys = true // ent switches them while it migrates
	connector, err := rqlite.NewConnector(cfg)
	if err != nil {
		return err
	}
	remote := sql.OpenDB(connector)
	defer remote.Close()
	return measure(ctx, out, s, place{remote, true}, place{local, false})
}

// measure prints a table with a line for each program. The limit is a time that nobody would
// complain about who comes from SQLite.
func measure(ctx context.Context, out io.Writer, s settings, remote, local place) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.Debug)
	fmt.Fprintf(w, "%d rows in a transaction\trqlite\tSQLite\tratio\t5 x SQLite + 50 ms\t\t\n", s.rows)
	for _, p := range programs {
		if !s.names.MatchString(p.name) {
			continue
		}
		times, err := p.times(ctx, s, remote, local)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintln(w, line(p.name, times, s.most))
	}
	return w.Flush()
}

// line returns that of a program, by its times on rqlite and on SQLite. The first is 0 if it takes
// longer than the most.
func line(name string, times [2]time.Duration, most time.Duration) string {
	limit := 5*times[1] + 50*time.Millisecond
	verdict, ratio, first := "within", float64(times[0])/float64(times[1]), times[0].Round(100*time.Microsecond).String()
	if times[0] == 0 {
		ratio, first = float64(most)/float64(times[1]), "> "+most.String()
	}
	if times[0] == 0 || times[0] > limit {
		verdict = "ABOVE"
	}
	return fmt.Sprintf("%s\t%s\t%v\t%.1f\t%v\t%s\t", name, first, times[1].Round(100*time.Microsecond), ratio, limit.Round(100*time.Microsecond), verdict)
}

// times returns the medians on both places, which take turns. The turns before the first round
// do not count.
func (p program) times(ctx context.Context, s settings, places ...place) (medians [2]time.Duration, err error) {
	var writes [2]func(context.Context, int) error
	var times [2][]time.Duration
	for i, at := range places {
		if writes[i], err = p.open(ctx, at); err != nil {
			return medians, err
		}
	}
	for round := range s.rounds + 1 {
		for i, at := range places {
			if i == 0 && round > 0 && len(times[i]) == 0 {
				continue // it took too long
			}
			took, err := p.turn(ctx, s, at, writes[i])
			switch {
			case i == 0 && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
				times[i] = nil
			case err != nil:
				return medians, err
			default:
				times[i] = append(times[i], took)
			}
		}
	}
	for i := range medians {
		if len(times[i]) > 1 {
			counted := slices.Sorted(slices.Values(times[i][1:]))
			medians[i] = counted[len(counted)/2]
		}
	}
	return medians, nil
}

// turn runs the program once, on an empty table, and counts the rows.
func (p program) turn(ctx context.Context, s settings, at place, write func(context.Context, int) error) (time.Duration, error) {
	if _, err := at.db.ExecContext(ctx, "DELETE FROM "+p.table); err != nil {
		return 0, err
	}
	bounded, cancel := context.WithTimeout(ctx, s.most)
	defer cancel()
	start := time.Now()
	if err := write(bounded, s.rows); err != nil {
		return 0, errors.Join(err, bounded.Err())
	}
	took := time.Since(start)
	var n int
	if err := at.db.QueryRowContext(ctx, "SELECT count(*) FROM "+p.table).Scan(&n); err != nil {
		return 0, err
	}
	if n != s.rows {
		return 0, fmt.Errorf("%d rows of %d are there", n, s.rows)
	}
	return took, nil
}
