package txn

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// data is what the tables of the program hold: kv(k INTEGER PRIMARY KEY, v) and
// item(id INTEGER PRIMARY KEY, n). There is no table gone.
type data struct {
	kv, item map[int64]int64
	extra    bool // the table extra was created
}

func newData() *data { return &data{kv: map[int64]int64{}, item: map[int64]int64{}} }

func (d *data) clone() *data {
	return &data{kv: maps.Clone(d.kv), item: maps.Clone(d.item), extra: d.extra}
}

// String returns the rows as "kv 1=2 3=4 item 1=9".
func (d *data) String() string {
	text := "kv" + pairs(d.kv) + " item" + pairs(d.item)
	if d.extra {
		text += " extra"
	}
	return text
}

func pairs(of map[int64]int64) (text string) {
	for _, key := range slices.Sorted(maps.Keys(of)) {
		text += fmt.Sprintf(" %d=%d", key, of[key])
	}
	return text
}

// effect is what a statement of the toy database does.
type effect struct {
	failure  string
	unfit    bool // the failure is one of preparing the statement
	reads    bool
	schema   bool
	columns  []string // nil if it gives no rows
	rows     [][]int64
	changes  int64
	inserted int64 // rowid, 0 if no row was inserted
}

// toyStatement is a statement that the toy database knows.
type toyStatement struct {
	text *regexp.Regexp
	run  func(d *data, part []string) effect
}

// pattern returns the expression of a text in which # stands for a number, and [x] for x or nothing.
func pattern(text string) *regexp.Regexp {
	text = regexp.QuoteMeta(text)
	text = strings.ReplaceAll(text, "#", `(-?\d+)`)
	text = strings.NewReplacer(`\[`, "(", `\]`, ")?").Replace(text)
	return regexp.MustCompile("^" + text + "$")
}

var toyStatements = []toyStatement{
	{pattern("SELECT v FROM kv WHERE k = #"), func(d *data, part []string) effect {
		return rowsOf("v", func(yield func(...int64)) {
			if v, ok := d.kv[number(part[1])]; ok {
				yield(v)
			}
		})
	}},
	{pattern("SELECT k, v FROM kv ORDER BY k"), func(d *data, _ []string) effect {
		return rowsOf("k v", func(yield func(...int64)) {
			for _, k := range slices.Sorted(maps.Keys(d.kv)) {
				yield(k, d.kv[k])
			}
		})
	}},
	{pattern("SELECT count(*) AS n FROM item"), func(d *data, _ []string) effect {
		return rowsOf("n", func(yield func(...int64)) { yield(int64(len(d.item))) })
	}},
	{pattern("SELECT v FROM gone"), func(*data, []string) effect {
		return effect{failure: "no such table: gone", unfit: true, reads: true}
	}},
	{pattern("UPDATE kv SET v = # WHERE k = #[ RETURNING v]"), func(d *data, part []string) effect {
		return d.update(number(part[2]), part[3], func(int64) int64 { return number(part[1]) })
	}},
	{pattern("UPDATE kv SET v = v + # WHERE k = #[ RETURNING v]"), func(d *data, part []string) effect {
		return d.update(number(part[2]), part[3], func(v int64) int64 { return v + number(part[1]) })
	}},
	{pattern("INSERT [OR IGNORE ]INTO kv(k, v) VALUES(#, #)[ RETURNING k]"), func(d *data, part []string) effect {
		return d.insert(part[1] != "", number(part[2]), number(part[3]), part[4])
	}},
	{pattern("INSERT INTO item(n) VALUES(#)[ RETURNING id]"), func(d *data, part []string) effect {
		return d.insertItem(number(part[1]), part[2])
	}},
	{regexp.MustCompile(`^INSERT INTO (kv|item)\(.*\) SELECT .* FROM json_each\(\[\[(.*)\]\]\)$`), func(d *data, part []string) effect {
		return d.insertFused(part[1], part[2])
	}},
	{pattern("DELETE FROM kv WHERE k = #"), func(d *data, part []string) effect { return remove(d.kv, number(part[1])) }},
	{pattern("DELETE FROM item WHERE id = #"), func(d *data, part []string) effect { return remove(d.item, number(part[1])) }},
	{pattern("CREATE TABLE extra(x)"), func(d *data, _ []string) effect {
		if d.extra {
			return effect{failure: "table extra already exists", unfit: true, schema: true}
		}
		d.extra = true
		return effect{schema: true}
	}},
}

// toyFailures are the failures of the toy database.
var toyFailures = []string{"no such table: gone", "UNIQUE constraint failed: kv.k", "table extra already exists"}

// toyCall is a text that a statement was found for.
type toyCall struct {
	statement *toyStatement // nil if there is none
	part      []string
}

// toyCalls are those of texts that were looked at, for there are few.
var toyCalls sync.Map

func toyCallOf(text string) toyCall {
	if found, ok := toyCalls.Load(text); ok {
		return found.(toyCall)
	}
	var call toyCall
	for i := range toyStatements {
		if part := toyStatements[i].text.FindStringSubmatch(text); part != nil {
			call = toyCall{&toyStatements[i], part}
			break
		}
	}
	toyCalls.Store(text, call)
	return call
}

// run runs a statement, the values within its text, and reports whether the toy database knows it.
func (d *data) run(text string) (effect, bool) {
	call := toyCallOf(text)
	if call.statement == nil {
		return effect{}, false
	}
	return call.statement.run(d, call.part), true
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// rowsOf returns the rows of a SELECT.
func rowsOf(columns string, each func(yield func(...int64))) effect {
	e := effect{reads: true, columns: strings.Fields(columns)}
	each(func(row ...int64) { e.rows = append(e.rows, row) })
	return e
}

// returning adds the rows of a RETURNING clause, if there is one.
func returning(e effect, clause, column string, values ...int64) effect {
	if clause != "" {
		e.columns = []string{column}
		for _, v := range values {
			e.rows = append(e.rows, []int64{v})
		}
	}
	return e
}

func (d *data) update(key int64, clause string, change func(int64) int64) effect {
	v, ok := d.kv[key]
	if !ok {
		return returning(effect{}, clause, "v")
	}
	d.kv[key] = change(v)
	return returning(effect{changes: 1}, clause, "v", d.kv[key])
}

func (d *data) insert(ignore bool, key, value int64, clause string) effect {
	switch _, exists := d.kv[key]; {
	case exists && ignore:
		return returning(effect{}, clause, "k")
	case exists:
		return effect{failure: "UNIQUE constraint failed: kv.k"}
	}
	d.kv[key] = value
	return returning(effect{changes: 1, inserted: key}, clause, "k", key)
}

func (d *data) insertItem(n int64, clause string) effect {
	id := int64(1)
	for used := range d.item {
		id = max(id, used+1)
	}
	d.item[id] = n
	return returning(effect{changes: 1, inserted: id}, clause, "id", id)
}

// insertFused inserts rows, which are given as "1,2],[3,4".
func (d *data) insertFused(table, rows string) (e effect) {
	for row := range strings.SplitSeq(rows, "],[") {
		first, second, _ := strings.Cut(row, ",")
		var one effect
		if table == "kv" {
			one = d.insert(false, number(first), number(second), "")
		} else {
			one = d.insertItem(number(first), "")
		}
		if one.failure != "" {
			return one
		}
		e.changes++
		e.inserted = one.inserted
	}
	return e
}

func remove(rows map[int64]int64, key int64) effect {
	if _, ok := rows[key]; !ok {
		return effect{}
	}
	delete(rows, key)
	return effect{changes: 1}
}

// inline returns a statement with its values in the places of its parameters.
func inline(text string, values []any) string {
	for _, v := range values {
		text = strings.Replace(text, "?", fmt.Sprint(v), 1)
	}
	return text
}
