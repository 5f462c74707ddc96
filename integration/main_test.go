package integration_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(guardVariable); kind != "" {
		os.Exit(beGuard(kind, os.Args[1:]))
	}
	os.Exit(runTests(m))
}

// runTests starts the backends, runs the tests, and stops what was started.
func runTests(m *testing.M) (code int) {
	if err := startBackends(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	before := goleak.IgnoreCurrent()
	if code == 0 {
		code = m.Run()
	}
	if err := goleak.Find(before, gormCache); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "The tests leave goroutines behind:", err)
		code = 1
	}
	summarize()
	for _, b := range backends {
		if b.shared == nil {
			continue
		}
		if err := b.shared.stop(); err != nil {
			fmt.Fprintf(os.Stderr, "Backend %s does not stop: %v\n", b.name, err)
			code = 1
		}
	}
	return code
}

// gormCache is a goroutine that GORM starts for a cache of prepared statements, and for
// which it has no end.
var gormCache = goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1")

// startBackends starts the chosen ones at the same time, each once for all tests.
func startBackends() error {
	list, named, err := chosen()
	if err != nil {
		return err
	}
	var started sync.WaitGroup
	for _, b := range list {
		started.Go(func() {
			b.shared, b.err = b.start(serverOptions{})
		})
	}
	started.Wait()
	live := 0
	var errs []error
	for _, b := range list {
		switch {
		case b.err == nil && b.live:
			live++
		// What exists has to work, and what was asked for by name has to exist.
		case b.err != nil && (!errors.Is(b.err, errMissing) || named && !b.optional && liveMode() == "1"):
			errs = append(errs, fmt.Errorf("backend %s: %w", b.name, b.err))
		}
	}
	if live == 0 && liveMode() == "1" {
		errs = append(errs, errors.New("RQLITE_LIVE=1, but there is neither a container, nor an rqlited, nor RQLITE_DSN"))
	}
	return errors.Join(errs...)
}

// summarize prints what ran where, and what did not and why.
func summarize() {
	list, _, err := chosen()
	if err != nil {
		return
	}
	fmt.Println("\nBackends:")
	for _, b := range backends {
		switch {
		case !slices.Contains(list, b):
			fmt.Printf("  %-16s  not chosen\n", b.name)
		case b.err != nil:
			what := "SKIPPED"
			if !errors.Is(b.err, errMissing) {
				what = "FAILED"
			}
			fmt.Printf("  %-16s  %s: %s\n", b.name, what, strings.ReplaceAll(b.err.Error(), "\n", "\n    "))
		case b.shared != nil:
			b.summarize()
		}
	}
	figures.Lock()
	defer figures.Unlock()
	if len(figures.lines) > 0 {
		fmt.Printf("\nFigures:\n  %s\n", strings.Join(figures.lines, "\n  "))
	}
}

// summarize prints what a backend ran. Why a test was skipped it says itself, to "go test -v".
func (b *backend) summarize() {
	b.skipped.Lock()
	defer b.skipped.Unlock()
	failed, skipped := b.failed.Load(), len(b.skipped.names)
	fmt.Printf("  %-16s  %s: %d tests passed, %d failed, %d skipped", b.name, b.shared.version, b.runs.Load()-failed-int64(skipped), failed, skipped)
	if skipped > 0 {
		slices.Sort(b.skipped.names)
		fmt.Printf(" (%s)", strings.Join(slices.Compact(b.skipped.names), ", "))
	}
	if n := b.fleets.Load(); n > 0 {
		fmt.Printf("; %d clusters of several nodes were started", n)
	}
	fmt.Println()
}

// figures are what tests have measured, for the summary.
var figures struct {
	sync.Mutex
	lines []string
}

// report logs what a test has measured, and prints it again in the summary.
func report(t *testing.T, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	t.Log(line)
	figures.Lock()
	defer figures.Unlock()
	figures.lines = append(figures.lines, t.Name()+": "+line)
}
