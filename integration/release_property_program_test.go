package integration_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// program is a list of things that one client does with tables of its own, some of
// which fail. All of it comes from a seed and a number.
type program struct {
	seed     uint64
	number   int
	prefix   string // of the names of its tables
	register int    // in which of registerStates it begins
	acts     []act
}

// way is how an act runs its statements.
type way string

const (
	single      way = "single"
	scripted    way = "script"
	plainBatch  way = "batch"
	atomicBatch way = "atomic batch"
	joinedWay   way = "joined"
	interactive way = "transaction"
	pipelined   way = "pipelined transaction"
)

// ways are all there are, those that are atomic more often.
var ways = []way{single, scripted, scripted, plainBatch, atomicBatch, atomicBatch, joinedWay, interactive, interactive, pipelined, pipelined}

// act is one thing that a program does.
type act struct {
	way        way
	statements []propertyStatement
	goroutines [][]propertyStatement // of a joined act, instead
	rollback   bool                  // of a transaction
}

// propertyStatement is a statement of an act.
type propertyStatement struct {
	query     string
	args      []any
	returning bool
	reads     bool // it gives rows without writing
	counts    bool // it tells how many rows it has written
}

// gives reports whether the statement gives rows.
func (s propertyStatement) gives() bool { return s.returning || s.reads }

// template is what statements are made of: @ stands for the prefix of the names, and ?
// for a small number.
type template struct {
	text      string
	returning string // columns that it can return
}

const propertySchema = `CREATE TABLE @n (v INT);
	CREATE TABLE @a (k INTEGER PRIMARY KEY, u INT UNIQUE, v INT NOT NULL CHECK (v <> 7), s TEXT DEFAULT 'd');
	CREATE TABLE @w (k TEXT PRIMARY KEY, v INT NOT NULL) WITHOUT ROWID;
	CREATE TABLE @dad (k INTEGER PRIMARY KEY);
	CREATE TABLE @kid (k INTEGER PRIMARY KEY, p INT REFERENCES @dad);
	INSERT INTO @a (k, u, v) VALUES (1, 1, 1), (2, 2, 2);
	INSERT INTO @dad VALUES (1), (2);
	INSERT INTO @kid VALUES (1, 1)`

// propertyTables are the tables of propertySchema.
var propertyTables = []string{"@n", "@a", "@w", "@dad", "@kid"}

// calmTemplates is how many of propertyTemplates, the first ones, always succeed.
const calmTemplates = 6

// propertyTemplates are the statements of programs. Most of the others can succeed and fail,
// by what is there, and the last ones always fail: as they are prepared or as they run.
var propertyTemplates = []template{
	{"INSERT INTO @n VALUES (?)", "v"},
	{"INSERT INTO @n VALUES (?), (?)", "v + 1 AS w"},
	{"DELETE FROM @n WHERE v = ?", "v"},
	{"DELETE FROM @a WHERE k = ?", "k, s"},
	{"UPDATE @n SET v = v + 1 WHERE v = ?", "v"},
	{"INSERT INTO @n SELECT v FROM @a WHERE k > ?", "v"},
	{"INSERT INTO @a (k, u, v) VALUES (?, ?, ?)", "k, u, v"},
	{"INSERT INTO @a (u, v) VALUES (?, ?)", "k"},
	{"INSERT INTO @a (k, u, v) VALUES (?, ?, ?), (?, ?, ?)", "k, s"},
	{"INSERT INTO @a (k, v) VALUES (?, NULL)", "k"},
	{"INSERT OR IGNORE INTO @a (k, u, v) VALUES (?, ?, ?)", "*"},
	{"REPLACE INTO @a (k, u, v) VALUES (?, ?, ?)", "k, u"},
	{"INSERT INTO @a (k, u, v) VALUES (?, ?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v + 1", "k, v"},
	{"INSERT INTO @a (u, v) VALUES (?, ?) ON CONFLICT DO NOTHING", "u"},
	{"INSERT INTO @a (k, v) SELECT k + ?, v FROM @a WHERE k < 10", "k, v * 2"},
	{"INSERT INTO @w VALUES ('k' || ?, ?)", "k, v"},
	{"UPDATE @a SET u = ? WHERE k < ?", "k, u"},
	{"UPDATE @a SET v = v + ? WHERE k = ?", "v"},
	{"UPDATE @w SET v = CASE v WHEN ? THEN NULL ELSE v + 1 END", "k"},
	{"INSERT INTO @dad VALUES (?)", "k"},
	{"INSERT INTO @kid VALUES (?, ?)", "k, p"},
	{"DELETE FROM @dad WHERE k = ?", "k"},
	{"UPDATE @kid SET p = ? WHERE k = ?", "p"},
	{"CREATE TABLE @x (n INTEGER PRIMARY KEY)", ""},
	{"INSERT INTO @x VALUES (?)", "n"},
	{"DROP TABLE @x", ""},
	{"CREATE INDEX @i ON @a (v)", ""},
	{"DROP INDEX @i", ""},
	{"INSERT INTO @n VALUES (CASE ? WHEN 3 THEN json('{') ELSE 5 END)", "v"},
	{"INSERT INTO @n VALUES (? + abs(-9223372036854775808))", "v"},
	{"INSERT INTO @nowhere VALUES (?)", "v"},
	{"UPDATE @a SET missing = ?", "k"},
	{"INSERT INTO @a (k, v) VALUES (?)", "k"},
	{"INSERT INTO @n VALUES (?) RETURNING missing", ""},
	{"UPDATE @a SET WHERE k = ?", "k"},
	{"DELETE @n WHERE v = ?", ""},
}

// joinedTemplates are for goroutines that write at the same time: ? is a number of its
// own for each, so that they do not mind each other.
var joinedTemplates = []template{
	{"INSERT INTO @n VALUES (?)", "v"},
	{"INSERT INTO @n VALUES (?), (?)", "v"},
	{"INSERT INTO @a (k, u, v) VALUES (?, ?, 1)", "k, u"},
	{"INSERT INTO @a (k, v) VALUES (?, 7)", "k"},
	{"INSERT INTO @a (k, v) VALUES (?, NULL)", "k"},
	{"INSERT OR IGNORE INTO @a (k, u, v) VALUES (?, ?, 2)", "k, v"},
	{"REPLACE INTO @a (k, u, v) VALUES (?, ?, 3)", "k"},
	{"UPDATE @a SET v = v + 2 WHERE k = ?", "v"},
	{"DELETE FROM @n WHERE v = ?", ""},
	{"INSERT INTO @dad VALUES (?)", "k"},
	{"INSERT INTO @kid VALUES (?, ?)", "k"},
	{"INSERT INTO @nowhere VALUES (?)", "v"},
	{"INSERT INTO @n VALUES (? + abs(-9223372036854775808))", "v"},
}

var propertyReads = []template{
	{"SELECT count(*), sum(v) FROM @n", ""},
	{"SELECT k, u, v FROM @a ORDER BY k", ""},
	{"SELECT k FROM @nowhere", ""},
}

// newProgram makes the program of a number.
func newProgram(seed uint64, number int) *program {
	p := &program{seed: seed, number: number, prefix: fmt.Sprintf("p%d_", number)}
	g := &programmer{Rand: rand.New(rand.NewPCG(seed, uint64(number))), prefix: p.prefix}
	p.register = g.IntN(len(registerStates))
	for range 1 + g.IntN(5) {
		p.acts = append(p.acts, g.act(ways[g.IntN(len(ways))]))
	}
	return p
}

// programmer makes the parts of a program.
type programmer struct {
	*rand.Rand
	prefix string
}

func (g *programmer) act(w way) act {
	a := act{way: w, rollback: g.IntN(5) == 0}
	switch w {
	case single:
		a.statements = g.several(1, 1, propertyTemplates)
	case joinedWay:
		for i := range 6 {
			a.goroutines = append(a.goroutines, g.joined(i))
		}
	case interactive, pipelined:
		a.statements = g.inTx(w)
	case scripted, plainBatch, atomicBatch:
		a.statements = g.several(2, 5, propertyTemplates)
	}
	return a
}

// several returns from least to most statements.
func (g *programmer) several(least, most int, from []template) (list []propertyStatement) {
	for range least + g.IntN(most-least+1) {
		list = append(list, g.statement(from, func() int { return g.IntN(9) }))
	}
	return list
}

// joined returns the statements of one of several goroutines.
func (g *programmer) joined(goroutine int) (list []propertyStatement) {
	for range 2 {
		list = append(list, g.statement(joinedTemplates, func() int { return 1000 + 100*goroutine + g.IntN(3) }))
	}
	return list
}

func (g *programmer) statement(from []template, number func() int) propertyStatement {
	t := from[g.IntN(len(from))]
	if len(from) == len(propertyTemplates) && g.IntN(2) == 0 {
		t = from[g.IntN(calmTemplates)]
	}
	word, _, _ := strings.Cut(t.text, " ")
	s := propertyStatement{
		query: strings.ReplaceAll(t.text, "@", g.prefix), reads: word == "SELECT",
		counts: word == "INSERT" || word == "UPDATE" || word == "DELETE" || word == "REPLACE",
	}
	if t.returning != "" && g.IntN(2) == 0 {
		s.query += " RETURNING " + t.returning
	}
	s.returning = strings.Contains(s.query, "RETURNING")
	for range strings.Count(s.query, "?") {
		s.args = append(s.args, number())
	}
	return s
}

// inTx returns the statements of a transaction, with savepoints, and with reads where
// it has rows to give.
func (g *programmer) inTx(w way) (list []propertyStatement) {
	open := 0
	for _, s := range g.several(2, 7, propertyTemplates) {
		switch g.IntN(6) {
		case 0:
			open++
			list = append(list, propertyStatement{query: fmt.Sprint("SAVEPOINT s", open)})
		case 1:
			if open > 0 {
				list = append(list, propertyStatement{query: fmt.Sprint([]string{"ROLLBACK TO s", "RELEASE s"}[g.IntN(2)], open)})
			}
			if open > 0 && strings.HasPrefix(list[len(list)-1].query, "RELEASE") {
				open--
			}
		case 2:
			if w == interactive {
				list = append(list, g.several(1, 1, propertyReads)...)
			}
		}
		list = append(list, s)
	}
	return list
}

// String prints the program so that it can be run again by hand.
func (p *program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "RQLITE_SEED=%d RQLITE_PROGRAM=%d, %s\n%s;", p.seed, p.number, registerStates[p.register].name, strings.ReplaceAll(propertySchema, "@", p.prefix))
	for i, a := range p.acts {
		fmt.Fprintf(&b, "\nact %d: %v", i, a)
	}
	return b.String()
}

func (a act) String() string {
	var b strings.Builder
	b.WriteString(string(a.way))
	if a.rollback && (a.way == interactive || a.way == pipelined) {
		b.WriteString(", rolled back")
	}
	for _, s := range a.statements {
		fmt.Fprintf(&b, "\n\t%v", s)
	}
	for i, list := range a.goroutines {
		fmt.Fprintf(&b, "\n\tgoroutine %d: %v", i, list)
	}
	return b.String()
}

// String prints a statement with its numbers in it.
func (s propertyStatement) String() string {
	text := s.query
	for _, arg := range s.args {
		text = strings.Replace(text, "?", fmt.Sprint(arg), 1)
	}
	return text + ";"
}

// withoutSavepoints returns what is left of statements when the savepoints among them
// have had their effect.
func withoutSavepoints(list []propertyStatement) (left []propertyStatement) {
	marks := map[string]int{}
	for _, s := range list {
		word, name, _ := strings.Cut(s.query, " ")
		switch word {
		case "SAVEPOINT":
			marks[name] = len(left)
		case "ROLLBACK":
			left = left[:marks[strings.TrimPrefix(name, "TO ")]]
		case "RELEASE":
		default:
			left = append(left, s)
		}
	}
	return left
}
