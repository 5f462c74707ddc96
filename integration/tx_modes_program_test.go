package integration_test

import (
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// modeProgram is what one client does in transactions, one after the other. All of it comes from
// choices: of a seed and a number, or of the bytes of a fuzz test.
type modeProgram struct {
	name   string // how to run it again
	tables []modeTable
	txs    []modeTx
	// fresh says that the connector knows nothing of programs before this one, and noRegister that
	// there is no version table.
	fresh, noRegister bool
}

// modeTx is a transaction.
type modeTx struct {
	steps    []modeStep
	rollback bool
	goesOn   bool // behind a statement that fails
	byRunTx  bool // or a first try by BeginTx
	options  *sql.TxOptions
	after    []modeStep // looks at results behind the end
}

// stepKind is what a step does.
type stepKind uint8

const (
	stepExec stepKind = iota
	stepQuery
	stepQueryRow
	stepLook  // at the result of an earlier stepExec
	stepRival // another client writes
)

// modeStep is one call.
type modeStep struct {
	kind     stepKind
	number   int // of the step in its transaction; of the other one for a look
	text     string
	args     []any
	prepared bool
	ids      bool // it has a LastInsertId to compare
	count    bool // the look is at RowsAffected, not at LastInsertId
}

// seenID stands for the id that the program has seen last.
type seenID struct{}

// String prints a step as a program would have it.
func (s modeStep) String() string {
	switch s.kind {
	case stepLook:
		if s.count {
			return fmt.Sprintf("result %d: RowsAffected()", s.number)
		}
		return fmt.Sprintf("result %d: LastInsertId()", s.number)
	case stepRival:
		return "another client: " + s.text
	}
	how := [...]string{stepExec: "Exec", stepQuery: "Query", stepQueryRow: "QueryRow"}[s.kind]
	if s.prepared {
		how = "prepared " + how
	}
	text := fmt.Sprintf("%d: %s %s", s.number, how, s.text)
	for _, arg := range s.args {
		if text += fmt.Sprintf(", %T(%.60q)", arg, fmt.Sprint(arg)); arg == (seenID{}) {
			text = strings.TrimSuffix(text, `integration_test.seenID("{}")`) + "the last id"
		}
	}
	return text
}

// String prints the program so that it can be run again by hand.
func (p *modeProgram) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, fresh connector: %v, no version table: %v\n", p.name, p.fresh, p.noRegister)
	for _, m := range p.tables {
		fmt.Fprintf(&b, "\t%s; %s\n", m.schema, m.fill)
	}
	for _, tx := range p.txs {
		fmt.Fprintf(&b, "transaction, rolled back: %v, goes on behind failures: %v, by RunTx: %v, options %v\n", tx.rollback, tx.goesOn, tx.byRunTx, tx.options)
		for _, s := range tx.steps {
			fmt.Fprintf(&b, "\t%v\n", s)
		}
		for _, s := range tx.after {
			fmt.Fprintf(&b, "\tafter the end, %v\n", s)
		}
	}
	return b.String()
}

// chooser makes the choices that a program consists of.
type chooser interface {
	IntN(n int) int
	// done reports whether there is nothing left to choose by.
	done() bool
}

// seeded chooses by a seed.
type seeded struct{ *rand.Rand }

func (seeded) done() bool { return false }

// byteChooser chooses by bytes, and what is first when they are used up.
type byteChooser []byte

func (c *byteChooser) done() bool { return len(*c) == 0 }

// IntN implements chooser.
func (c *byteChooser) IntN(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

// modeProgrammer makes the parts of a program.
type modeProgrammer struct {
	chooser

	tables []modeTable
	fresh  int // the last number of ?f
	steps  []modeStep
	open   int // savepoints
	// readsLoosely says that what the transaction has read need not hold.
	readsLoosely bool
}

// newModeProgram makes a program.
func newModeProgram(name string, c chooser) *modeProgram {
	g := &modeProgrammer{chooser: c, fresh: 100}
	first := g.IntN(len(modeTables))
	g.tables = []modeTable{modeTables[first]}
	if g.IntN(2) == 0 {
		if second := g.IntN(len(modeTables)); second != first {
			g.tables = append(g.tables, modeTables[second])
		}
	}
	p := &modeProgram{name: name, tables: g.tables, fresh: g.IntN(4) > 0, noRegister: g.IntN(20) == 19}
	for range 1 + g.IntN(2) {
		p.txs = append(p.txs, g.tx())
	}
	return p
}

// tx makes a transaction.
func (g *modeProgrammer) tx() modeTx {
	g.steps, g.open = nil, 0
	tx := modeTx{rollback: g.IntN(8) == 7, goesOn: g.IntN(2) == 0, byRunTx: g.IntN(2) == 0}
	if g.readsLoosely = g.IntN(6) == 5; g.readsLoosely {
		tx.options = readCommitted
	}
	for range 1 + g.IntN(5) {
		if g.done() {
			break
		}
		g.block()
	}
	for range g.IntN(4) {
		if look, ok := g.look(); ok {
			tx.after = append(tx.after, look)
		}
	}
	tx.steps = g.steps
	return tx
}

// add appends a step.
func (g *modeProgrammer) add(s modeStep) {
	s.number = len(g.steps)
	g.steps = append(g.steps, s)
}

// block appends something that programs do.
func (g *modeProgrammer) block() {
	switch g.IntN(12) {
	case 0:
		g.read()
	case 1:
		g.savepoint()
	case 2:
		g.single(g.template())
	case 3:
		if g.IntN(3) == 0 {
			g.add(modeStep{kind: stepRival, text: g.rival()})
		}
		g.loop()
	default:
		g.loop()
	}
}

// rival returns a write of another client, which may or may not be in the way.
func (g *modeProgrammer) rival() string {
	if text := g.tables[0].rival; text != "" && !g.readsLoosely && g.IntN(2) == 0 {
		g.fresh++
		return fmt.Sprintf(text, g.fresh)
	}
	return "INSERT INTO rivals (n) VALUES (1)"
}

func (g *modeProgrammer) template() modeTemplate {
	list := g.tables[g.IntN(len(g.tables))].templates
	if g.IntN(2) == 0 { // the first ones are what programs do most
		return list[g.IntN(min(4, len(list)))]
	}
	return list[g.IntN(len(list))]
}

// loop appends some executions of one text or of several in turn.
func (g *modeProgrammer) loop() {
	body := []modeTemplate{g.template()}
	for g.IntN(4) == 3 {
		body = append(body, g.template())
	}
	times := 1 + g.IntN(8)
	if g.IntN(30) == 29 {
		times = 60
	}
	returning, looks := g.IntN(4) == 3, g.IntN(8)
	prepared := g.IntN(4) > 0
	for range times {
		for _, t := range body {
			s := g.statement(t, returning)
			s.prepared = prepared && !strings.Contains(t.text, "; ") // mattn/go-sqlite3 prepares no scripts
			g.add(s)
			g.looks(looks, s)
		}
		switch g.IntN(40) {
		case 38:
			g.read()
		case 39:
			g.savepoint()
		}
	}
}

// looks appends looks at the result of the last step, as a loop has them.
func (g *modeProgrammer) looks(how int, s modeStep) {
	if s.kind != stepExec {
		return
	}
	last := modeStep{kind: stepLook, number: len(g.steps) - 1}
	id, count := last, last
	count.count = true
	switch {
	case how < 2, how == 2 && g.IntN(10) == 9:
		g.append(id)
	case how == 3:
		g.append(id)
		g.append(count)
	case how == 4:
		if g.IntN(4) == 3 {
			g.append(count)
		}
	}
	if g.IntN(30) == 29 {
		if look, ok := g.look(); ok {
			g.append(look)
		}
	}
}

// append appends a look, which keeps the number of the other step.
func (g *modeProgrammer) append(look modeStep) { g.steps = append(g.steps, look) }

// look returns a look at any result so far.
func (g *modeProgrammer) look() (modeStep, bool) {
	if len(g.steps) == 0 {
		return modeStep{}, false
	}
	n := g.IntN(len(g.steps))
	if g.steps[n].kind != stepExec {
		return modeStep{}, false
	}
	return modeStep{kind: stepLook, number: n, count: g.IntN(2) == 0}, true
}

func (g *modeProgrammer) single(t modeTemplate) { g.add(g.statement(t, g.IntN(3) == 2)) }

// read appends a query.
func (g *modeProgrammer) read() {
	list := g.tables[g.IntN(len(g.tables))].reads
	s := g.statement(modeTemplate{text: list[g.IntN(len(list))]}, false)
	s.kind, s.prepared = stepQuery, g.IntN(2) == 0
	g.add(s)
}

// savepoint appends a SAVEPOINT, or what ends one.
func (g *modeProgrammer) savepoint() {
	if g.open == 0 || g.IntN(3) == 0 {
		g.open++
		g.add(modeStep{text: fmt.Sprint("SAVEPOINT s", g.open)})
		return
	}
	n := 1 + g.IntN(g.open)
	if g.IntN(3) > 0 {
		g.add(modeStep{text: fmt.Sprint("ROLLBACK TO s", n)})
		return
	}
	g.open = n - 1
	g.add(modeStep{text: fmt.Sprint("RELEASE s", n)})
}

// statement makes a step of a template.
func (g *modeProgrammer) statement(t modeTemplate, returning bool) modeStep {
	s := modeStep{ids: t.ids}
	if text, kinds, given := strings.Cut(t.text, "#"); given {
		s.text = text
		for i, kind := range []byte(kinds) {
			value := g.value(kind)
			if strings.Contains(text, ":a") {
				value = sql.Named(string(rune('a'+i)), value)
			}
			s.args = append(s.args, value)
		}
		return s
	}
	for text := t.text; ; {
		before, after, found := strings.Cut(text, "?")
		s.text += before
		if !found {
			break
		}
		s.text += "?"
		s.args = append(s.args, g.value(after[0]))
		text = after[1:]
	}
	if returning && t.returning != "" {
		s.text += " RETURNING " + t.returning
		s.kind = stepQuery
		if g.IntN(2) == 0 {
			s.kind = stepQueryRow
		}
	}
	return s
}

// value returns a value of a kind.
func (g *modeProgrammer) value(kind byte) any {
	switch kind {
	case 'i': // an id that may be there
		return int64(1 + g.IntN(14))
	case 'f': // a value that is mostly new
		if g.IntN(16) == 15 {
			return int64(100 + g.IntN(max(g.fresh-99, 1)))
		}
		g.fresh++
		if g.IntN(8) == 7 {
			return fmt.Sprint("new ", g.fresh)
		}
		return int64(g.fresh)
	case 'n': // a small number; 7, 11 and 13 are bad luck in some tables
		return g.IntN(16)
	case 'd':
		return max(g.IntN(12)-9, 0)
	case 'l':
		return seenID{}
	case 's':
		return []string{"a", "A", "b", "Bb", "bB", "it's", "x'41'", "", "ä", "\U0001F600"}[g.IntN(10)]
	case 'b':
		return int64([]int{2, 9, 9223372036854775802, 9223372036854775805, 9223372036854775806}[g.IntN(5)])
	case 'w':
		return modeValues[g.IntN(len(modeValues))]
	}
	if g.IntN(3) > 0 { // 'v'
		return int64(g.IntN(1000))
	}
	return modeValues[g.IntN(len(modeValues))]
}

// modeValues are of every type that programs bind, and of every form that is a case of its own
// somewhere on their way.
var modeValues = []any{
	nil, int64(1), int64(0), int64(-1), 42, int32(-8), uint8(9), int64(math.MaxInt64), int64(math.MinInt64), int64(1<<53 + 1),
	0.0, math.Copysign(0, -1), 3.0, 0.1, -2.5, 1e308, 1e-300, 5e-324, 1e15, 1e21, 123456789.123, float64(1 << 53), float32(1.1),
	true, false,
	"", "text", "it's", `"quoted" \back`, "a\x00b", "\x00", "\U0001F600 ä 中 \u2028", "\t\r\n\x01\x7f", "x'41'", "X''", " x'00' ", "x'4'",
	"1", "1.50", "-0", "1e3", " 12 ", "0x10", "9223372036854775808", "null", "true", "[1]", `{"a": 1}`, "2024-01-02", "2024-01-02 03:04:05", "a longer text, that is longer than the others are",
	[]byte{},
	[]byte(nil), []byte("abc"),
	[]byte{0},
	[]byte{0xff, 0xfe, 0},
	[]byte("12"), []byte("x'41'"),
	time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2024, 7, 2, 3, 4, 5, 123456789, time.FixedZone("", 5*3600+1800)),
	time.Time{},
	sql.NullString{},
	sql.NullInt64{Int64: 5, Valid: true},
}
