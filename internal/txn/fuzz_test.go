//go:build go1.25

package txn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/stretchr/testify/require"
)

// FuzzTx runs programs of bytes. A program is two clients, whose transactions it interleaves with each other
// and with writers of other programs, at any request, and the faults of a network. What comes of it has to
// be what some serial order gives.
func FuzzTx(f *testing.F) {
	for seed := range uint64(32) {
		f.Add(program(seed))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		synctest.Test(t, func(t *testing.T) { newMachine(t, code).run() })
	})
}

// seededPrograms is how many programs TestTxSeeded runs, unless RQLITE_TX_PROGRAMS says otherwise.
const seededPrograms = 2000

// TestTxSeeded runs programs of FuzzTx that are made at random, the same ones each time.
func TestTxSeeded(t *testing.T) {
	t.Parallel()
	var all tally
	programs := uint64(seededPrograms)
	if text := os.Getenv("RQLITE_TX_PROGRAMS"); text != "" {
		var err error
		programs, err = strconv.ParseUint(text, 10, 32)
		require.NoError(t, err, "RQLITE_TX_PROGRAMS")
	}
	for seed := range programs {
		synctest.Test(t, func(t *testing.T) {
			m := newMachine(t, program(seed))
			m.run()
			if t.Failed() {
				t.Logf("the program of seed %d:", seed)
			}
			all.add(&m.tally)
		})
		if t.Failed() {
			return
		}
	}
	t.Log(all)
	for what, n := range all {
		if tallied(what) == misforetold {
			continue // rare; testdata/auto.txt has it
		}
		require.NotZero(t, n, "no program comes to this: %s", tallied(what))
	}
}

// program returns the program of a seed.
func program(seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	code := make([]byte, 40+random.IntN(160))
	for i := range code {
		code[i] = byte(random.Uint32())
	}
	return code
}

// tallied is what a program may come to.
type tallied uint8

const (
	committed tallied = iota
	settled
	conflicted
	unknownApplied
	unknownNot
	failedCommit
	onlyRead
	lockedOut
	cameLate
	lateFailure
	foretold
	misforetold
	kinds
)

func (k tallied) String() string {
	return [...]string{
		"commits", "commits of which an answer was lost", "conflicts", "unknown outcomes, applied",
		"unknown outcomes, not applied", "commits with other errors", "commits of nothing", "locked out", "requests that came late",
		"statements that failed late", "results foreseen and committed", "results foreseen wrongly",
	}[k]
}

// tally counts what programs come to.
type tally [kinds]int

func (t *tally) add(more *tally) {
	for i, n := range more {
		t[i] += n
	}
}

// String returns the counts, one a line.
func (t tally) String() string {
	var b strings.Builder
	for i, n := range t {
		fmt.Fprintf(&b, "%6d %s\n", n, tallied(i))
	}
	return b.String()
}

// verdict is what a program was told at the end of a transaction.
type verdict struct {
	owner       int
	opts        Options
	steps       []*step
	from, until int // of the states that it can have seen
	isCommit    bool
	err         error
}

// machine runs a program.
type machine struct {
	t        *testing.T
	code     []byte
	model    *model
	clients  [2]*client
	since    [2]int // the state when its transaction began
	owners   int
	inside   bool // of a request, in which the other client runs
	busy     [2]bool
	replaced int64 // how many version tables were put in the place of others
	stale    bool
	forwards bool
	verdicts []verdict
	faulted  map[int]bool // the answer to a commit of the transaction was lost
	last     [2]lastAct
	lines    []func() string // what happened
	tally    tally
}

func newMachine(t *testing.T, code []byte) *machine {
	m := &machine{t: t, code: code, model: newModel(t), faulted: map[int]bool{}}
	setting := m.next()
	m.stale, m.forwards, m.model.old = setting&1 != 0, setting&2 != 0, setting&4 != 0
	n := &nodes{old: m.model.old, forwarding: m.forwards}
	for i := range m.clients {
		from := &sender{model: m.model}
		env := newEnv(from, n, m.stale)
		if i > 0 && setting&8 != 0 {
			env.Versions = m.clients[0].env.Versions // two transactions of one connector
		}
		m.clients[i] = newClient(t, env, from)
	}
	m.model.triggers = setting&32 != 0
	if setting&16 != 0 {
		m.model.now.versions = nil
	}
	for k := range int64(3) {
		m.model.now.data.kv[k] = k
	}
	m.model.past = nil
	m.model.publish()
	m.model.between, m.model.choose, m.model.node = m.between, m.choose, m.behind
	m.model.sent = func(owner int, req *cluster.Request, texts []string) {
		m.note("    %d sends %s %q", owner, req.Path, texts)
	}
	return m
}

// next returns the next byte of the program, 0 behind its end.
func (m *machine) next() byte {
	if len(m.code) == 0 {
		return 0
	}
	b := m.code[0]
	m.code = m.code[1:]
	return b
}

func (m *machine) note(format string, args ...any) {
	m.lines = append(m.lines, func() string { return fmt.Sprintf(format, args...) + "\n" })
}

// story tells what happened.
func (m *machine) story() string {
	var b strings.Builder
	for _, line := range m.lines {
		b.WriteString(line())
	}
	return b.String()
}

// run runs the program and judges it.
func (m *machine) run() {
	defer func() {
		if m.t.Failed() {
			m.t.Logf("what happened:\n%s", m.story())
		}
	}()
	for len(m.code) > 0 {
		m.step(int(m.next()) & 1)
	}
	for i, c := range m.clients {
		if c.tx != nil {
			m.commit(i)
		}
	}
	for len(m.model.late) > 0 {
		m.model.arrive()
	}
	for _, v := range m.verdicts {
		m.judge(v)
	}
}

// A byte below one of these limits makes it happen.
const (
	foreignBelow = 40
	otherBelow   = 70
	arriveBelow  = 90
	halfBelow    = 100
)

// between does what other programs do between two requests.
func (m *machine) between(owner int) {
	b := m.next()
	switch {
	case len(m.code) == 0:
	case b < foreignBelow:
		m.foreign()
	case b < otherBelow:
		other := 0
		if m.clients[0].from.owner == owner {
			other = 1
		}
		if !m.inside && !m.busy[other] {
			m.inside = true
			m.step(other)
			m.inside = false
		}
	case b < arriveBelow:
		m.arrive()
	case b < halfBelow:
		m.model.finishHalf()
	}
}

func (m *machine) arrive() {
	if len(m.model.late) > 0 {
		m.note("  a request arrives late")
		m.tally[cameLate]++
		m.model.arrive()
	}
}

// choose tells the fate of a request.
func (m *machine) choose(owner int, req *cluster.Request) (fault, int) {
	b := m.next()
	if len(m.code) == 0 || b >= 64 || b >= 24 && !req.Write {
		return fine, 0
	}
	what := fault(b % 6)
	if what == late && !req.Write || what == twice && !m.forwards {
		what = applied
	}
	m.note("  fault %d", what)
	m.faulted[owner] = m.faulted[owner] || req.Write && what != fine && what != twice
	if what == cut {
		return cut, int(m.next()) * 3
	}
	return what, 0
}

// behind returns how far the node is behind that answers a read.
func (m *machine) behind() int { return int(m.next()) % 4 }

// foreign is a write of another program.
func (m *machine) foreign() {
	b := m.next()
	k, v := b>>4&3, m.next()
	switch text := fmt.Sprintf("UPDATE kv SET v = %d WHERE k = %d", v&3, k); b & 15 {
	case 0:
		m.note("  other: DROP the version table")
		m.model.finishHalf()
		m.model.now.versions = nil
		m.model.publish()
	case 1:
		m.replace(v)
	case 2, 3:
		m.note("  other: half %s", text)
		m.model.writeHalf(text, fmt.Sprintf("INSERT INTO item(n) VALUES(%d)", v))
	case 4, 5:
		m.other(fmt.Sprintf("INSERT INTO item(n) VALUES(%d)", v))
	case 6:
		m.other(fmt.Sprintf("DELETE FROM item WHERE id = %d", k))
	case 7:
		m.other(fmt.Sprintf("DELETE FROM kv WHERE k = %d", k))
	case 8:
		m.other(fmt.Sprintf("INSERT OR IGNORE INTO kv(k, v) VALUES(%d, %d)", k, v&3))
	case 9:
		m.other("CREATE TABLE extra(x)")
	case 10: // it writes elsewhere
		m.other()
	default:
		m.other(text)
	}
}

// replace empties the version table, or puts one in its place whose version there never was.
func (m *machine) replace(v byte) {
	if v&1 == 0 {
		m.note("  other: empty the version table")
		m.model.finishHalf()
		clear(m.model.now.versions)
		m.model.publish()
		return
	}
	const farOff = 10_000_000
	m.replaced++
	version := firstVersion + farOff*m.replaced
	if v&2 == 0 {
		version = firstVersion - farOff*m.replaced
	}
	m.note("  other: a version table with %d", version)
	m.model.replaceVersions(version)
}

func (m *machine) other(texts ...string) {
	m.note("  other: %s", strings.Join(texts, "; "))
	m.model.write(texts...)
}

// step lets a client do one thing.
func (m *machine) step(i int) {
	c := m.clients[i]
	m.busy[i] = true
	defer func() { m.busy[i] = false }()
	b := m.next()
	if c.tx == nil {
		m.begin(i, b)
		return
	}
	before := len(m.lines)
	err := m.act(i, c, b)
	if len(m.lines) > before && err != nil {
		m.note("  %d: error %v", c.from.owner, err)
	}
	var locked *sqlerr.Error
	if errors.As(err, &locked) && strings.HasPrefix(locked.Message, "database is locked") {
		m.tally[lockedOut]++
	}
}

// begin begins a transaction.
func (m *machine) begin(i int, b byte) {
	c := m.clients[i]
	m.owners++
	c.from.owner = m.owners
	m.since[i] = len(m.model.past) - 1
	if m.stale {
		m.since[i] = 0
	}
	opts := Options{Mode: Auto}
	switch b % 16 {
	case 0:
		opts.ReadOnly = true
	case 1, 2:
		opts.ReadCommitted = true
	case 3, 4:
		opts.Mode = Pipelined
	case 5:
		opts.LockFirst = true
	case 7, 8, 9:
		opts.Mode = Interactive
	case 6:
		opts.Run = &Run{Again: true}
	}
	err := c.begin(opts)
	m.note("%d: BEGIN %+v: %v", m.owners, opts, err)
	if err != nil {
		c.tx = nil
	}
}

// lastAct is a write that a client may repeat.
type lastAct struct {
	text    string
	values  []any
	queries bool
}

// again repeats the last write of a client some times.
func (m *machine) again(i int, c *client) error {
	last := m.last[i]
	if last.text == "" {
		return nil
	}
	for range 2 + m.next()&15 {
		values := slices.Clone(last.values)
		if len(values) > 0 {
			values[m.next()%byte(len(values))] = int64(m.next() & 7)
		}
		m.note("%d: again %s %v", c.from.owner, last.text, values)
		var err error
		if last.queries {
			err = c.query(-1, false, last.text, values...)
		} else {
			err = c.exec(looks(m.next()%5), last.text, values...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// act does one thing in a transaction.
func (m *machine) act(i int, c *client, b byte) error {
	k, v := int64(b>>5&3), int64(m.next()&7)
	name := string(rune('p' + v&1))
	var text string
	values := []any{v, k}
	run := func() error { return c.exec(looks(m.next()%5), text, values...) }
	say := func(what string) {
		if !strings.Contains(text, "_rqlite_tx") && text != "" {
			m.last[i] = lastAct{text, values, what != "exec"}
		}
		m.note("%d: %s %s %v", c.from.owner, what, text, values)
	}
	switch op := b & 31; op {
	case 0, 1:
		text, values = "SELECT v FROM kv WHERE k = ?", []any{k}
		say("query")
		return c.query(-1, false, text, values...)
	case 2, 3:
		text, values = "SELECT k, v FROM kv ORDER BY k", nil
		say("some of")
		return c.query(int(v&3), v&4 != 0, text)
	case 4:
		text, values = "SELECT count(*) AS n FROM item", nil
		say("query")
		return c.query(-1, false, text)
	case 5:
		text, values = "SELECT v FROM gone", nil
		say("query")
		return c.query(-1, false, text)
	case 6, 7:
		text = "UPDATE kv SET v = ? WHERE k = ?"
	case 8, 9:
		text = "UPDATE kv SET v = v + ? WHERE k = ?"
	case 10:
		text, values = "INSERT INTO kv(k, v) VALUES(?, ?)", []any{k, v}
	case 11:
		text, values = "INSERT OR IGNORE INTO kv(k, v) VALUES(?, ?)", []any{k, v}
	case 12, 13:
		text, values = "INSERT INTO item(n) VALUES(?)", []any{v}
	case 14:
		text, values = "INSERT INTO item(n) VALUES(?) RETURNING id", []any{v}
	case 15, 16:
		text, values = "INSERT INTO item(n) VALUES(?) RETURNING id", []any{v}
		say("query")
		return c.query(-1, false, text, values...)
	case 17:
		text = "UPDATE kv SET v = v + ? WHERE k = ? RETURNING v"
		say("query")
		return c.query(-1, false, text, values...)
	case 18:
		text = "INSERT OR IGNORE INTO kv(k, v) VALUES(?, ?) RETURNING k"
		values = []any{k, v}
		say("query")
		return c.query(-1, false, text, values...)
	case 19:
		text, values = "DELETE FROM kv WHERE k = ?", []any{k}
	case 20:
		text, values = "DELETE FROM item WHERE id = ?", []any{k}
	case 21:
		text, values = "CREATE TABLE extra(x)", nil
	case 22:
		text, values = "SAVEPOINT "+name, nil
	case 23:
		text, values = "ROLLBACK TO "+name, nil
	case 24:
		text, values = "RELEASE "+name, nil
	case 25:
		return m.batch(i, c, k, v)
	case 26:
		text, values = "DELETE FROM _rqlite_tx", nil
		if v&1 != 0 {
			text = "DROP TABLE _rqlite_tx"
		}
	case 29, 30:
		return m.again(i, c)
	case 27:
		m.note("%d: read on", c.from.owner)
		return c.readOn()
	case 28:
		m.rollback(i)
		return nil
	default:
		return m.commit(i)
	}
	say("exec")
	return run()
}

func (m *machine) batch(i int, c *client, k, v int64) error {
	texts := []string{
		fmt.Sprintf("UPDATE kv SET v = v + %d WHERE k = %d", v, k),
		fmt.Sprintf("INSERT INTO kv(k, v) VALUES(%d, %d)", k+2, v),
		fmt.Sprintf("INSERT INTO item(n) VALUES(%d)", v),
		fmt.Sprintf("SELECT v FROM kv WHERE k = %d", k),
	}[:3+v&1]
	atomic := v&2 != 0
	m.note("%d: batch, atomic %t: %s", c.from.owner, atomic, strings.Join(texts, "; "))
	err := c.batch(atomic, texts...)
	if err != nil && failureOf(err) == "" { // it is not known how much was done
		m.rollback(i)
	}
	return err
}

func (m *machine) rollback(i int) {
	c := m.clients[i]
	m.note("%d: ROLLBACK", c.from.owner)
	c.rollback()
	m.ends(i, false, nil)
}

func (m *machine) commit(i int) error {
	c := m.clients[i]
	m.note("%d: COMMIT", c.from.owner)
	err := c.commit()
	m.note("%d: COMMIT: %v", c.from.owner, err)
	m.ends(i, true, err)
	return err
}

// ends notes what a client was told at the end of a transaction.
func (m *machine) ends(i int, isCommit bool, err error) {
	c := m.clients[i]
	m.verdicts = append(m.verdicts, verdict{c.from.owner, c.opts, c.steps, m.since[i], len(m.model.past), isCommit, err})
}

// judge holds a transaction to its end.
func (m *machine) judge(v verdict) {
	var times []appliedWrite
	for _, a := range m.model.done {
		if a.owner == v.owner {
			times = append(times, a)
		}
	}
	require.LessOrEqual(m.t, len(times), 1, "transaction %d was applied more than once", v.owner)
	_, writes, _ := replay(v.steps, v.opts, m.model.past[0].data)
	switch {
	case !v.isCommit:
		require.Empty(m.t, times, "transaction %d was rolled back", v.owner)
	case v.err == nil && writes > 0:
		require.Len(m.t, times, 1, "transaction %d was committed", v.owner)
		m.tally[committed]++
		if slices.ContainsFunc(v.steps, func(s *step) bool { return s.op != nil && s.op.foreseen }) {
			m.tally[foretold]++
		}
		if m.faulted[v.owner] {
			m.tally[settled]++
		}
	case v.err == nil:
		require.Empty(m.t, times, "transaction %d has nothing to commit", v.owner)
		m.tally[onlyRead]++
	case errors.Is(v.err, sqlerr.ErrIndeterminate):
		m.tally[unknownNot-tallied(len(times))]++
	default:
		require.NotErrorIs(m.t, v.err, sqlerr.ErrResultsChanged)
		require.Empty(m.t, times, "transaction %d failed: %v", v.owner, v.err)
		m.tally[failedCommit]++
		if errors.Is(v.err, sqlerr.ErrTxConflict) {
			m.tally[conflicted]++
		}
		switch {
		case strings.Contains(v.err.Error(), "(execution "):
			m.tally[lateFailure]++
		case strings.Contains(v.err.Error(), "an id that the program was told"):
			m.tally[misforetold]++
		}
	}
	for _, a := range times {
		difference, _, after := replay(v.steps, v.opts, a.before)
		require.Empty(m.t, difference, "transaction %d saw what does not hold at its commit", v.owner)
		require.Equal(m.t, after.String(), a.after.String(), "transaction %d did something else", v.owner)
	}
	if !v.opts.ReadCommitted && len(times) == 0 {
		m.sawOneState(v)
	}
}

// sawOneState demands that all that a transaction saw held at one moment.
func (m *machine) sawOneState(v verdict) {
	var last string
	steps := slices.DeleteFunc(slices.Clone(v.steps), func(s *step) bool { return s.waited })
	for _, s := range m.model.past[v.from:v.until] {
		difference, _, _ := replay(steps, v.opts, s.data)
		if difference == "" {
			return
		}
		last = difference
	}
	require.Fail(m.t, "it saw a state that never was", "transaction %d: %s", v.owner, last)
}

var _ occ.Sender = (*sender)(nil)
