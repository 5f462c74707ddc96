package integration_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTxModes runs random programs in each mode of transactions, and on SQLite. What is committed is
// what SQLite commits, and programs see what they see there; or the transaction is refused, nothing
// of it is applied, and RunTx commits it. RQLITE_PROGRAMS says how many there are, RQLITE_MODES in
// which modes they run. RQLITE_SEED and RQLITE_PROGRAM run one program again.
func TestTxModes(t *testing.T) {
	t.Parallel()
	seed := uint64(envInt(t, "RQLITE_SEED", time.Now().UnixNano()))
	modes := chosenModes(t)
	programs := envInt(t, "RQLITE_PROGRAMS", int64(either(300, 5000)))
	if only := envInt(t, "RQLITE_PROGRAM", -1); only >= 0 {
		w := newModeWorld(t, modeTables...)
		w.checkAll(t, newModeProgram(modeName(seed, only), seededModes(seed, only)), modes)
		return
	}
	begun := time.Now()
	var next, failed atomic.Int64
	var busy sync.WaitGroup
	worlds := make([]*modeWorld, 4*runtime.GOMAXPROCS(0)) // RunTx pauses between its runs
	for i := range worlds {
		worlds[i] = newModeWorld(t, modeTables...)
		busy.Go(func() {
			for failed.Load() < 3 {
				number := next.Add(1) - 1
				if number >= programs {
					return
				}
				p := newModeProgram(modeName(seed, number), seededModes(seed, number))
				if !worlds[i].checkAll(t, p, modesOf(modes, number, programs)) {
					failed.Add(1)
				}
			}
		})
	}
	busy.Wait()
	tally := map[string]int{}
	for _, w := range worlds {
		for what, n := range w.tally {
			tally[what] += n
		}
		for mode, s := range w.subject {
			tally[fmt.Sprintf("%v: requests", mode)] += int(s.requests.Load())
		}
	}
	report(t, "RQLITE_SEED=%d: %d programs in %v, %d failed", seed, min(next.Load(), programs), time.Since(begun).Round(time.Second/10), failed.Load())
	for _, what := range slices.Sorted(maps.Keys(tally)) {
		report(t, "%s %d", what, tally[what])
	}
	if failed.Load() == 0 && programs >= 300 {
		requireModesVaried(t, modes, tally)
	}
}

// requireModesVaried demands that all was tried that the test is about.
func requireModesVaried(t *testing.T, modes []rqlite.TxMode, tally map[string]int) {
	t.Helper()
	assert.LessOrEqual(t, tally[idsNotKnown], 2+tally[fmt.Sprintf("%v: committed", rqlite.TxPipelined)]/200, "ids are known but for a coincidence")
	for _, mode := range modes {
		for _, end := range []string{"committed", "Commit fails", errModeRollback.Error(), errModeStop.Error()} {
			assert.Positive(t, tally[fmt.Sprintf("%v: %s", mode, end)], "%v: %s", mode, end)
		}
		if mode != rqlite.TxInteractive {
			assert.Positive(t, tally[fmt.Sprintf("%v: refused", mode)], "nothing was refused in mode %v", mode)
		}
	}
}

// chosenModes returns the modes that RQLITE_MODES names, or all.
func chosenModes(t *testing.T) (list []rqlite.TxMode) {
	t.Helper()
	names := os.Getenv("RQLITE_MODES")
	for _, mode := range txModes {
		if names == "" || slices.Contains(strings.Split(names, ","), mode.String()) {
			list = append(list, mode)
		}
	}
	require.NotEmpty(t, list, "RQLITE_MODES")
	return list
}

// modesOf returns the modes in which a program of many runs. Interactive is slow, and has its turn in
// every eighth of them.
func modesOf(modes []rqlite.TxMode, number, programs int64) []rqlite.TxMode {
	if programs > 1000 && number%8 > 0 && len(modes) > 1 && modes[0] == rqlite.TxInteractive {
		return modes[1:]
	}
	return modes
}

func modeName(seed uint64, number int64) string {
	return fmt.Sprintf("RQLITE_SEED=%d RQLITE_PROGRAM=%d", seed, number)
}

func seededModes(seed uint64, number int64) chooser {
	return seeded{rand.New(rand.NewPCG(seed, uint64(number)))}
}

// checkAll runs a program in several modes, and reports whether all is well.
func (w *modeWorld) checkAll(t *testing.T, p *modeProgram, modes []rqlite.TxMode) bool {
	t.Helper()
	for _, mode := range modes {
		wrong := w.check(p, mode)
		if wrong == "" {
			continue
		}
		t.Logf("%v\n%v\nIt is made smaller now.", p, wrong)
		small := w.shrink(p, mode)
		if again := w.check(small, mode); again != "" {
			wrong = again
		}
		t.Errorf("%v\n%v", small, wrong)
		return false
	}
	return true
}

// FuzzTxModes runs programs whose choices are the bytes of the input. Goroutines make its coverage
// vary, so that Go takes many inputs for interesting: -fuzzminimizetime=1x keeps it from spending its
// time on making them smaller.
func FuzzTxModes(f *testing.F) {
	for number := range 20 {
		random := rand.New(rand.NewPCG(1, uint64(number)))
		data := make([]byte, 200)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		f.Add(data)
	}
	w := newModeWorld(f, modeTables...)
	var turn sync.Mutex
	f.Fuzz(func(t *testing.T, data []byte) {
		turn.Lock()
		defer turn.Unlock()
		choices := byteChooser(data)
		p := newModeProgram(fmt.Sprintf("%q", data), &choices)
		p.fresh = true // what fails, fails again
		w.tb = t
		defer func() { w.tb = f }()
		w.checkAll(t, p, txModes)
	})
}
