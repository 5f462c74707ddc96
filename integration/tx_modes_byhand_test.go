package integration_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// byHand builds a program by hand.
type byHand struct{ steps []modeStep }

// exec appends an Exec and returns its number.
func (h *byHand) exec(text string, args ...any) int {
	h.steps = append(h.steps, modeStep{number: len(h.steps), text: text, args: args, prepared: true, ids: true})
	return len(h.steps) - 1
}

// look appends a look at the id or the count of a result.
func (h *byHand) look(number int, count bool) {
	h.steps = append(h.steps, modeStep{kind: stepLook, number: number, count: count})
}

// ids appends executions of an INSERT, each with a look at its id.
func (h *byHand) ids(times int, text string, args ...any) {
	for range times {
		h.look(h.exec(text, args...), false)
	}
}

// times appends executions whose results nobody looks at. A nil argument is the number of the turn.
func (h *byHand) times(times int, text string, args ...any) {
	for i := range times {
		h.exec(text, turned(i, args)...)
	}
}

// turned puts the number of the turn where there is nil.
func turned(turn int, args []any) (list []any) {
	for _, arg := range args {
		if arg == nil {
			arg = turn
		}
		list = append(list, arg)
	}
	return list
}

// query appends a read, or a write that returns rows.
func (h *byHand) query(text string, args ...any) {
	h.steps = append(h.steps, modeStep{kind: stepQuery, number: len(h.steps), text: text, args: args, ids: true})
}

const plainTable = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v)"

// handPrograms are transactions in which something is easily overlooked.
var handPrograms = []struct {
	name    string
	schema  string
	columns []string // of t
	build   func(*byHand)
}{
	{"explicit ids that rise", plainTable, []string{"u", "v"}, func(h *byHand) {
		for i := range 12 {
			h.look(h.exec("INSERT INTO t (id, u) VALUES (?, ?)", 10+i+i/6*100, i), false)
		}
	}},
	{"explicit ids between", plainTable, []string{"u", "v"}, func(h *byHand) {
		h.ids(6, "INSERT INTO t (v) VALUES (?)", 1)
		h.exec("INSERT INTO t (id) VALUES (?)", 50)
		h.ids(4, "INSERT INTO t (v) VALUES (?)", 1)
		h.times(4, "INSERT INTO t (id) VALUES (100 + ?)", nil)
		h.ids(4, "INSERT INTO t (v) VALUES (?)", 1)
		h.exec("INSERT INTO t (id) VALUES (?)", -5)
		h.ids(2, "INSERT INTO t (v) VALUES (?)", 1)
	}},
	{"the largest is deleted", plainTable, []string{"u", "v"}, func(h *byHand) {
		for range 3 {
			h.ids(5, "INSERT INTO t (v) VALUES (?)", 1)
			h.exec("DELETE FROM t WHERE id > (SELECT max(id) FROM t) - 2")
		}
		h.ids(3, "INSERT INTO t (v) VALUES (?)", 1)
	}},
	{"the largest is moved", plainTable, []string{"u", "v"}, func(h *byHand) {
		for range 4 {
			h.ids(4, "INSERT INTO t (v) VALUES (?)", 1)
			h.exec("UPDATE t SET id = id + 7 WHERE id = (SELECT max(id) FROM t)")
		}
	}},
	{"REPLACE deletes the largest", plainTable, []string{"u", "v"}, func(h *byHand) {
		for i := range 12 {
			h.look(h.exec("REPLACE INTO t (u, v) VALUES (?, ?)", i/5, i), false)
		}
		h.query("SELECT id, u, v FROM t")
	}},
	{"RETURNING that jumps", plainTable, []string{"u", "v"}, func(h *byHand) {
		for range 5 {
			h.query("INSERT INTO t (v) VALUES (?) RETURNING id", 1)
		}
		h.exec("INSERT INTO t (id) VALUES (?)", 50)
		for range 5 {
			h.query("INSERT INTO t (v) VALUES (?) RETURNING id", 1)
		}
	}},
	{"RETURNING what only looks like an id", plainTable, []string{"u", "v"}, func(h *byHand) {
		for i := range 8 {
			h.query("INSERT INTO t (u) VALUES (? * ?) RETURNING u", i+1, 1+i/4)
			h.query("INSERT INTO t (v) VALUES (?) RETURNING (SELECT count(*) FROM t WHERE u)", 0)
		}
	}},
	{"RETURNING a text", "CREATE TABLE t (id TEXT PRIMARY KEY, u, v)", []string{"id", "u", "v"}, func(h *byHand) {
		for i := range 6 {
			h.query("INSERT INTO t (id) VALUES (?) RETURNING id", i+1)
		}
	}},
	{"AUTOINCREMENT", "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, u, v)", []string{"u", "v"}, func(h *byHand) {
		h.ids(5, "INSERT INTO t (v) VALUES (?)", 1)
		h.exec("DELETE FROM t")
		h.ids(5, "INSERT INTO t (v) VALUES (?)", 1)
		h.exec("UPDATE sqlite_sequence SET seq = 70 WHERE name = 't'")
		h.ids(5, "INSERT INTO t (v) VALUES (?)", 1)
	}},
	{"a trigger comes and goes", plainTable, []string{"u", "v"}, func(h *byHand) {
		h.ids(5, "INSERT INTO t (v) VALUES (?)", 1)
		h.exec("CREATE TRIGGER tt AFTER INSERT ON t WHEN NEW.v = 1 BEGIN INSERT INTO t (v) VALUES (2); END")
		h.ids(5, "INSERT INTO t (v) VALUES (?)", 1)
		h.times(5, "INSERT INTO t (v) VALUES (?)", 1)
		h.exec("DROP TRIGGER tt")
		h.ids(5, "INSERT INTO t (v) VALUES (?)", 1)
	}},
	{"another table of the name", plainTable, []string{"u", "v"}, func(h *byHand) {
		h.ids(5, "INSERT INTO t (v) VALUES (?)", 1)
		h.times(5, "INSERT INTO t (v) VALUES (?)", 1)
		h.exec("DROP TABLE t")
		h.exec("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, u DEFAULT 7, v TEXT)")
		h.exec("INSERT INTO t (id) VALUES (?)", 30)
		h.ids(5, "INSERT INTO t (v) VALUES (?)", 1)
		h.times(5, "INSERT INTO t (v) VALUES (?)", 1)
	}},
	{"a further column", plainTable, []string{"u", "v"}, func(h *byHand) {
		h.times(5, "INSERT INTO t VALUES (?, ?, 3)", nil, nil)
		h.exec("ALTER TABLE t ADD COLUMN w DEFAULT 'w'")
		h.times(3, "INSERT INTO t (v) VALUES (?)", 1)
		h.times(2, "INSERT INTO t VALUES (?, ?, 3)", 100, 100)
	}},
	{"an index in the middle", "CREATE TABLE t (id INTEGER PRIMARY KEY, u, v)", []string{"u", "v"}, func(h *byHand) {
		h.times(5, "INSERT INTO t (u) VALUES (?)", nil)
		h.exec("CREATE UNIQUE INDEX t_u ON t (u)")
		h.times(7, "INSERT INTO t (u) VALUES (?)", nil)
	}},
	{"children before parents", "CREATE TABLE t (id INTEGER PRIMARY KEY, u REFERENCES t (id), v)", []string{"u", "v"}, func(h *byHand) {
		h.times(4, "INSERT INTO t (id, u) VALUES (?, ?)", nil, nil) // each is its own parent
		for i := 20; i < 26; i++ {
			h.exec("INSERT INTO t (id, u) VALUES (?, ?)", i, i+1)
		}
		h.times(3, "INSERT INTO t (id, u) VALUES (? + 30, ?)", nil, nil)
	}},
	{"deferred children before parents", "CREATE TABLE t (id INTEGER PRIMARY KEY, u REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED, v)", []string{"u", "v"}, func(h *byHand) {
		for i := range 9 {
			h.exec("INSERT INTO t (id, u) VALUES (?, ?)", i, (i+1)%9)
		}
	}},
	{"a deferred child without a parent", "CREATE TABLE t (id INTEGER PRIMARY KEY, u REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED, v)", []string{"u", "v"}, func(h *byHand) {
		for i := range 9 {
			h.exec("INSERT INTO t (id, u) VALUES (?, ?)", i, i+1)
		}
	}},
	{"PRAGMA defer_foreign_keys", "CREATE TABLE t (id INTEGER PRIMARY KEY, u REFERENCES t (id), v)", []string{"u", "v"}, func(h *byHand) {
		h.exec("PRAGMA defer_foreign_keys = ON")
		for i := range 9 {
			h.exec("INSERT INTO t (id, u) VALUES (?, ?)", i, (i+1)%9)
		}
	}},
	{"PRAGMA defer_foreign_keys in the middle", "CREATE TABLE t (id INTEGER PRIMARY KEY, u REFERENCES t (id), v)", []string{"u", "v"}, func(h *byHand) {
		h.times(5, "INSERT INTO t (id, u) VALUES (?, ?)", nil, nil)
		h.exec("PRAGMA defer_foreign_keys = ON")
		for i := 10; i < 16; i++ {
			h.exec("INSERT INTO t (id, u) VALUES (?, ?)", i, i+1)
		}
		h.exec("PRAGMA defer_foreign_keys = OFF")
		h.exec("INSERT INTO t (id, u) VALUES (?, ?)", 40, 41)
		h.exec("INSERT INTO t (id, u) VALUES (?, ?)", 16, 10)
	}},
	{"PRAGMA defer_foreign_keys without parents", "CREATE TABLE t (id INTEGER PRIMARY KEY, u REFERENCES t (id), v)", []string{"u", "v"}, func(h *byHand) {
		h.exec("PRAGMA defer_foreign_keys = ON")
		for i := range 9 {
			h.exec("INSERT INTO t (id, u) VALUES (?, ?)", i, i+1)
		}
	}},
	{"the last rowid of the connection", plainTable, []string{"u", "v"}, func(h *byHand) {
		for range 5 {
			h.exec("INSERT INTO t (v) VALUES (?)", "parent")
			h.exec("INSERT INTO t (v) VALUES (last_insert_rowid())")
			h.exec("INSERT INTO t (v) VALUES (last_insert_rowid() * 10)")
		}
		h.query("SELECT last_insert_rowid()")
	}},
	{"parents and children", plainTable, []string{"u", "v"}, func(h *byHand) {
		for i := range 5 {
			h.look(h.exec("INSERT INTO t (u) VALUES (?)", i), false)
			h.times(3, "INSERT INTO t (v) VALUES (?)", seenID{})
		}
	}},
	{"counts of updates", plainTable, []string{"u", "v"}, func(h *byHand) {
		h.times(6, "INSERT INTO t (u, v) VALUES (?, ?)", nil, 0)
		for i := range 8 {
			h.look(h.exec("UPDATE t SET v = v + 1 WHERE u < ?", i), true)
			h.exec("UPDATE t SET v = v + 1 WHERE u > ?", i)
			h.look(h.exec("DELETE FROM t WHERE u = ?", i*2), true)
		}
	}},
	{"counts of INSERT OR IGNORE", plainTable, []string{"u", "v"}, func(h *byHand) {
		for i := range 12 {
			h.look(h.exec("INSERT OR IGNORE INTO t (u) VALUES (?)", i%7), true)
		}
		for i := range 12 {
			n := h.exec("INSERT OR IGNORE INTO t (u, v) VALUES (?, 1), (?, 2)", 3+i, 4+i)
			h.look(n, true)
			h.look(n, false)
		}
	}},
	{"savepoints", plainTable, []string{"u", "v"}, func(h *byHand) {
		h.times(4, "INSERT INTO t (u) VALUES (?)", nil)
		for i := range 3 {
			h.exec("SAVEPOINT a")
			h.times(4, "INSERT INTO t (v) VALUES (?)", nil)
			h.exec("SAVEPOINT b")
			h.ids(3, "INSERT INTO t (v) VALUES (?)", 1)
			h.exec("ROLLBACK TO " + string("ab"[i%2]))
			h.ids(3, "INSERT INTO t (v) VALUES (?)", 2)
			h.exec("RELEASE a")
		}
		h.query("SELECT id, v FROM t ORDER BY id")
	}},
	{"a failure taken back", plainTable, []string{"u", "v"}, func(h *byHand) {
		h.times(4, "INSERT INTO t (u) VALUES (?)", nil)
		h.exec("SAVEPOINT a")
		h.times(6, "INSERT INTO t (u) VALUES (? + 2)", nil)
		h.exec("ROLLBACK TO a")
		h.times(3, "INSERT INTO t (u) VALUES (? + 10)", nil)
	}},
	{"a failure behind Release", plainTable, []string{"u", "v"}, func(h *byHand) {
		h.exec("SAVEPOINT a")
		h.times(6, "INSERT INTO t (u) VALUES (?)", nil)
		h.exec("INSERT INTO t (u) VALUES (?)", 3)
		h.exec("RELEASE a")
		h.times(3, "INSERT INTO t (u) VALUES (? + 10)", nil)
	}},
}

// TestTxModesByHand runs the programs in all modes, as TestTxModes does.
func TestTxModesByHand(t *testing.T) {
	for _, c := range handPrograms {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var h byHand
			c.build(&h)
			table := modeTable{schema: c.schema, stored: []storedTable{rowids("t", c.columns...)}}
			for _, goesOn := range []bool{false, true} {
				for _, mode := range txModes {
					w := newModeWorld(t, table)
					p := &modeProgram{name: c.name, tables: []modeTable{table}, fresh: true, txs: []modeTx{{steps: h.steps, goesOn: goesOn}}}
					assert.Empty(t, w.check(p, mode), "in mode %v, goes on: %v", mode, goesOn)
				}
			}
		})
	}
}

// TestTxModesCanFail shows that a difference is noticed, whatever it is in.
func TestTxModesCanFail(t *testing.T) {
	var h byHand
	h.ids(4, "INSERT INTO t (v) VALUES (?)", 1)
	h.times(4, "INSERT INTO t (u) VALUES (?)", nil)
	h.query("SELECT count(*) FROM t")
	table := modeTable{schema: plainTable, stored: []storedTable{rowids("t", "u", "v")}}
	p := &modeProgram{name: "spoiled", tables: []modeTable{table}, fresh: true, txs: []modeTx{{steps: h.steps, after: []modeStep{{kind: stepLook, number: 10, count: true}}}}}
	for _, mode := range txModes {
		w := newModeWorld(t, table)
		assert.Empty(t, w.check(p, mode), "nothing is wrong here")
		for name, spoil := range map[string]func(*modeRun){
			"a row less":    func(*modeRun) { w.inOracle([]string{"DELETE FROM t WHERE id = 3"}) },
			"another value": func(*modeRun) { w.inOracle([]string{"UPDATE t SET v = '1' WHERE id = 3"}) },
			"another rowid": func(*modeRun) { w.inOracle([]string{"UPDATE t SET id = 30 WHERE id = 3"}) },
			"another id":    func(r *modeRun) { r.lines[1] = "id 9" },
			"an error":      func(r *modeRun) { r.lines[9] = "error: SQLite error 19, extended 2067" },
			"other rows":    func(r *modeRun) { r.lines[len(r.lines)-1] = "count(*)\n[9]" },
			"one step more": func(r *modeRun) { r.lines = r.lines[:len(r.lines)-1] },
			"a late result": func(r *modeRun) { r.behind[0] = "count 2" },
			"another end":   func(r *modeRun) { r.end = "Commit fails" },
		} {
			w.spoil = spoil
			assert.NotEmpty(t, w.check(p, mode), "%s in mode %v", name, mode)
		}
	}
}
