package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/require"
)

// maxRefusals is how often the transaction of a program may be refused for each of its texts: once
// because the text failed when it had been sent ahead, and once because an id was foreseen wrongly.
const maxRefusals = 2

// modeTrial is a transaction on the server, in all of its runs.
type modeTrial struct {
	world    *modeWorld
	mode     rqlite.TxMode
	tx       modeTx
	wanted   *modeRun
	contents string
	before   []string // all that is there without the transaction
	rivals   map[int]bool

	last     *modeRun
	refusals []error
	wrong    []string
	parted   bool // SQLite may have committed the transaction, and the server has not
}

// check runs a program in a mode and returns what is wrong, "" for nothing.
func (w *modeWorld) check(p *modeProgram, mode rqlite.TxMode) string {
	w.tb.Helper()
	w.everywhere(p.emptied())
	if p.noRegister {
		w.raw("/db/execute", []string{"DROP TABLE IF EXISTS _rqlite_tx"})
	}
	if s := w.subject[mode]; p.fresh || s.db == nil {
		s.renew(w)
	}
	contents := p.contents()
	for i, tx := range p.txs {
		wanted, before := w.onOracle(tx, contents)
		t := &modeTrial{world: w, mode: mode, tx: tx, wanted: wanted, contents: contents, before: before, rivals: map[int]bool{}}
		t.run()
		w.count(t)
		if t.unanswerable() {
			return ""
		}
		if len(t.wrong) > 0 {
			return fmt.Sprintf("transaction %d in mode %v, %d refusals:\n\t%s", i, mode, len(t.refusals), strings.Join(t.wrong, "\n\t"))
		}
		if wanted.chance || t.parted {
			return "" // from here on the two databases differ
		}
	}
	return ""
}

// unanswerable reports whether the program asks for last_insert_rowid() or changes() where the driver
// cannot know it, and says so.
func (t *modeTrial) unanswerable() bool {
	return slices.ContainsFunc(t.last.lines, func(line string) bool { return strings.Contains(line, "() has nothing to tell") })
}

// count notes what became of a transaction, so that the test can tell what it has tested.
func (w *modeWorld) count(t *modeTrial) {
	end, _, _ := strings.Cut(t.last.end, ":")
	w.tally[fmt.Sprintf("%v: %s", t.mode, end)]++
	w.tally[fmt.Sprintf("%v: refused", t.mode)] += len(t.refusals)
	if t.wanted.chance {
		w.tally["ids by chance"]++
	}
}

// run runs the transaction until it is not refused.
func (t *modeTrial) run() {
	ctx, cancel := context.WithTimeout(rqlite.WithTxMode(t.world.tb.Context(), t.mode), 6*patienceOfTx) // a busy machine is no failure
	defer cancel()
	db := t.world.subject[t.mode].db
	err := rqlite.ErrTxConflict
	if !t.tx.byRunTx {
		err = once(ctx, db, t.tx.options, func(tx *sql.Tx) error { return t.play(ctx, tx) })
		t.refused(err)
	}
	if errors.Is(err, rqlite.ErrTxConflict) {
		tries := 0
		err = rqlite.RunTx(ctx, db, t.tx.options, func(tx *sql.Tx) error {
			if tries++; tries > 1 {
				t.refused(rqlite.ErrTxConflict)
			}
			if len(t.refusals) > t.mostRefusals() {
				return errModeEndless
			}
			return t.play(ctx, tx)
		})
	}
	t.last.ended(err)
	t.compare(err)
}

// play is one run.
func (t *modeTrial) play(ctx context.Context, tx *sql.Tx) error {
	t.last = newModeRun(t.tx, t.wanted)
	t.last.rival = t.writeRival
	return t.last.play(ctx, tx)
}

// writeRival has another client write, once in all runs.
func (t *modeTrial) writeRival(step int, text string) {
	if t.rivals[step] {
		return
	}
	t.rivals[step] = true
	_, err := t.world.rival.ExecContext(t.world.tb.Context(), text)
	require.NoError(t.world.tb, err)
}

// writeRivals has other clients write that the transaction did not come to.
func (t *modeTrial) writeRivals() {
	for i, s := range t.tx.steps {
		if s.kind == stepRival {
			t.writeRival(i, s.text)
		}
	}
}

// refused demands that a refused transaction leaves nothing behind, and says so.
func (t *modeTrial) refused(err error) {
	if !errors.Is(err, rqlite.ErrTxConflict) {
		return
	}
	t.refusals = append(t.refusals, err)
	t.writeRivals()
	if text := linesDiffer(t.before, t.world.ofServer(t.contents)); text != "" {
		t.note("a refused transaction leaves something behind: %s", text)
	}
	var failure *rqlite.Error
	if err != rqlite.ErrTxConflict && !errors.As(err, &failure) { //nolint:errorlint // RunTx keeps its errors to itself
		t.note("the refusal is no *rqlite.Error: %v", err)
	}
}

func (t *modeTrial) note(format string, args ...any) {
	t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
}

// compare compares the last run with that on SQLite.
func (t *modeTrial) compare(err error) {
	t.writeRivals()
	if errors.Is(err, errModeEndless) {
		t.note("refused too often, at last when it had seen %q", t.last.lines)
		return
	}
	if t.wanted.chance {
		if err != nil && !t.rolledBack() && !errors.Is(err, rqlite.ErrResultsChanged) && !errors.Is(err, rqlite.ErrTxConflict) && strings.HasPrefix(t.last.end, "fails: ") {
			t.note("it %s", t.last.end)
		}
		return
	}
	if t.rolledBack() && len(t.rivals) > 0 { // what it has seen need not fit together
		if text := linesDiffer(t.before, t.world.ofServer(t.contents)); text != "" {
			t.note("a transaction that was rolled back leaves something behind: %s", text)
		}
		t.parted = true
		return
	}
	if text := linesDiffer(t.world.ofOracle(t.contents), t.world.ofServer(t.contents)); text != "" {
		t.note("the tables differ: %s", text)
	}
	if t.tx.rollback && t.mode != rqlite.TxInteractive {
		t.compareRolledBack()
		return
	}
	if t.wanted.end != t.last.end {
		t.note("the end: want %q\n\t         got %q", t.wanted.end, t.last.end)
	}
	t.compareLines(t.tx.steps, t.wanted.lines, t.last.lines)
	t.compareLines(t.tx.after, t.wanted.behind, t.last.behind)
}

// idsNotKnown counts the ids of which the driver does not know whether SQLite has chosen them.
const idsNotKnown = "ids not known"

// compareLines compares what was seen of steps.
func (t *modeTrial) compareLines(steps []modeStep, want, got []string) {
	for i, line := range want {
		switch {
		case i >= len(got):
			t.note("%v: want %q, but the program did not come to it", steps[i], line)
		case t.mode == rqlite.TxPipelined && strings.HasPrefix(line, "id ") && strings.Contains(got[i], "its own result is not known"):
			t.world.tally[idsNotKnown]++ // a value that was given equals the id at both ends of a run
		case got[i] != line && got[i] != notKnown:
			t.note("%v: want %q, got %q", steps[i], line, got[i])
		}
	}
	if len(got) > len(want) {
		t.note("%v: the program is not to come to it, got %q", steps[len(want)], got[len(want)])
	}
}

// rolledBack reports whether the program itself has given up the transaction.
func (t *modeTrial) rolledBack() bool {
	return t.last.end == errModeRollback.Error() || t.last.end == errModeStop.Error()
}

// compareRolledBack looks at a transaction that the program has rolled back. What was sent ahead may
// have been seen to succeed, and what was foreseen may be wrong: nobody will know. But behind the
// end nothing is told that is not so.
func (t *modeTrial) compareRolledBack() {
	if !t.rolledBack() {
		t.note("the end: want %q, got %q", t.wanted.end, t.last.end)
	}
	if t.wanted.end == t.last.end && slices.Equal(t.wanted.lines, t.last.lines) {
		t.compareLines(t.tx.after, t.wanted.behind, t.last.behind)
	}
}

// mostRefusals returns how often the transaction may be refused.
func (t *modeTrial) mostRefusals() int {
	if t.mode == rqlite.TxInteractive {
		return len(t.rivals)
	}
	texts := map[string]bool{}
	for _, s := range t.tx.steps {
		texts[s.text] = true
	}
	most := maxRefusals*len(texts) + len(t.rivals)
	if t.world.shrinking {
		return min(most, 5)
	}
	return most
}

// shrink returns the smallest program that it finds in which something is still wrong in a mode.
func (w *modeWorld) shrink(p *modeProgram, mode rqlite.TxMode) *modeProgram {
	end := time.Now().Add(60 * time.Second)
	w.shrinking = true
	defer func() { w.shrinking = false }()
	smallest := *p
	smallest.fresh = true
	if w.check(&smallest, mode) == "" {
		return p
	}
	for again := true; again && time.Now().Before(end); {
		again = false
		for _, less := range smallest.smaller() {
			if time.Now().After(end) {
				break
			}
			if w.check(less, mode) != "" {
				smallest, again = *less, true
				break
			}
		}
	}
	return &smallest
}

// smaller returns programs that lack one thing each.
func (p *modeProgram) smaller() (list []*modeProgram) {
	without := func(txs []modeTx) {
		less := *p
		less.txs = txs
		list = append(list, &less)
	}
	for i, tx := range p.txs {
		if len(p.txs) > 1 {
			without(slices.Delete(slices.Clone(p.txs), i, i+1))
		}
		for k := range tx.steps {
			less := tx
			less.steps = slices.Delete(slices.Clone(tx.steps), k, k+1)
			txs := slices.Clone(p.txs)
			txs[i] = less
			without(txs)
		}
		if len(tx.after) > 0 {
			less := tx
			less.after = nil
			txs := slices.Clone(p.txs)
			txs[i] = less
			without(txs)
		}
	}
	return list
}
