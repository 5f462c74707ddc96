package integration_test

import (
	"fmt"
	"strings"
)

// modeTable is a kind of table, with what goes with it, that programs in transactions use.
type modeTable struct {
	schema    string
	stored    []storedTable
	fill      string // puts the first rows there
	templates []modeTemplate
	reads     []string
	rival     string // what another client does there, with a number that is new; "" for nothing
}

// storedTable is a table of which all rows are compared.
type storedTable struct {
	name    string
	columns []string
	noRowid bool
}

// modeTemplate is a statement. A question mark and a letter stand for a parameter, whose kind
// modeProgrammer.value knows. Where parameters have another form, their kinds are behind a #.
type modeTemplate struct {
	text string
	// ids says that the statement has a LastInsertId of its own if it has written a row.
	ids bool
	// returning is what the statement can return, "" for nothing.
	returning string
}

// in returns a statement that inserts rows with a rowid.
func in(text string) modeTemplate { return modeTemplate{text: text, ids: true} }

// giving returns a statement that inserts rows with a rowid, and can return one column or more.
func giving(text, returning string) modeTemplate {
	return modeTemplate{text: text, ids: true, returning: returning}
}

// other returns a statement that tells no rowid.
func other(text string) modeTemplate { return modeTemplate{text: text} }

// text returns a query that shows all of the table exactly, one text for each row.
func (s storedTable) text() string {
	id := "rowid"
	if s.noRowid {
		id = "'-'"
	}
	list := []string{fmt.Sprintf("'%s '", s.name), id}
	for _, c := range s.columns {
		list = append(list, fmt.Sprintf("' | ' || typeof(%[1]s) || ' ' || iif(typeof(%[1]s) = 'text', hex(%[1]s), quote(%[1]s))", c))
	}
	return fmt.Sprintf("SELECT %s AS line FROM %s", strings.Join(list, " || "), s.name)
}

// rowids is a table with a rowid of the same name as its integer primary key, id.
func rowids(name string, columns ...string) storedTable {
	return storedTable{name: name, columns: columns}
}

// emptied returns the statements that give the table its first rows, and no others.
func (m modeTable) emptied() []string {
	var list []string
	for _, s := range m.stored {
		list = append(list, "DELETE FROM "+s.name)
	}
	if m.fill != "" {
		list = append(list, strings.Split(m.fill, "; ")...)
	}
	return list
}

// modeTables are all kinds of tables.
var modeTables = append([]modeTable{
	{
		schema: "CREATE TABLE rk (id INTEGER PRIMARY KEY, u UNIQUE, v)",
		stored: []storedTable{rowids("rk", "u", "v")},
		fill:   "INSERT INTO rk VALUES (1, 1, 'one'), (2, 2, 'two'), (5, 'five', NULL)",
		templates: []modeTemplate{
			giving("INSERT INTO rk (u, v) VALUES (?f, ?v)", "id"),
			giving("INSERT INTO rk (u, v) VALUES (?f, ?v)", "id, u"),
			giving("INSERT INTO rk (v) VALUES (?v)", "id"),
			in("INSERT INTO rk VALUES (?i, ?f, ?v)"),
			giving("INSERT INTO rk (id, u) VALUES (?i, ?f)", "id"),
			giving("INSERT INTO rk (u, v) VALUES (?f, ?v), (?f, ?v)", "id"),
			giving("INSERT INTO rk (u, v) VALUES (?f, ?v), (?f, ?v), (?f, ?l)", ""),
			giving("INSERT OR IGNORE INTO rk (u, v) VALUES (?f, ?v)", "id"),
			giving("INSERT OR REPLACE INTO rk (u, v) VALUES (?f, ?n)", "id"),
			giving("REPLACE INTO rk (id, u, v) VALUES (?i, ?f, ?v)", "id"),
			{"INSERT INTO rk (u, v) VALUES (?f, ?v) ON CONFLICT (u) DO UPDATE SET v = excluded.v", false, "id, u"},
			{"INSERT INTO rk (id, v) VALUES (?i, ?v) ON CONFLICT DO NOTHING", true, "id"},
			in("insert into \"rk\" ( [u] , `v` ) /* here */ values ( ?f,?v ) -- the end"),
			in("INSERT INTO rk (u, v) VALUES (?f + 0, 'x' || ?n)"),
			in("INSERT INTO rk (v, u) SELECT ?v, ?f"),
			in("INSERT INTO rk (u, v) SELECT v, ?n FROM rk WHERE id < ?n"),
			{"UPDATE rk SET v = ?v WHERE id = ?i", false, "id, quote(v)"},
			{"UPDATE rk SET u = ?f WHERE id = ?i", false, "id"},
			other("UPDATE OR IGNORE rk SET u = ?n WHERE id < ?i"),
			other("UPDATE rk SET id = id + ?n WHERE id = ?i"),
			{"DELETE FROM rk WHERE id = ?i", false, "id, u"},
			other("DELETE FROM rk WHERE id = (SELECT max(id) FROM rk)"),
			other("DELETE FROM rk WHERE id = ?l"),
			other("DELETE FROM rk"),
		},
		reads: []string{"SELECT count(*), max(id) FROM rk", "SELECT id, quote(v) FROM rk WHERE id >= ?i ORDER BY id", "SELECT id FROM rk WHERE u = ?f"},
		rival: "INSERT INTO rk (u) VALUES (%d)",
	},
	{
		schema: "CREATE TABLE au (id INTEGER PRIMARY KEY AUTOINCREMENT, u TEXT UNIQUE COLLATE NOCASE, v NOT NULL CHECK (v IS NOT 7))",
		stored: []storedTable{rowids("au", "u", "v")},
		fill:   "INSERT INTO au VALUES (3, 'A', 1)",
		templates: []modeTemplate{
			giving("INSERT INTO au (u, v) VALUES (?f, ?n)", "id"),
			giving("INSERT INTO au (u, v) VALUES (?s, ?n)", "id"),
			giving("INSERT INTO au (v) VALUES (?v)", "id"),
			giving("INSERT INTO au (u, v) VALUES (?f, 1), (?f, ?n)", "id"),
			giving("INSERT INTO au (id, u, v) VALUES (?i, ?f, ?n)", "id"),
			giving("INSERT OR IGNORE INTO au (u, v) VALUES (?s, ?n)", "id"),
			giving("REPLACE INTO au (u, v) VALUES (?s, ?n)", "id"),
			{"INSERT INTO au (u, v) VALUES (?s, ?n) ON CONFLICT (u) DO UPDATE SET v = v + 1", false, "id, v"},
			{"UPDATE au SET v = ?n WHERE id >= ?i", false, "id"},
			other("DELETE FROM au WHERE id = (SELECT max(id) FROM au)"),
			{"DELETE FROM au WHERE u = ?s", false, "id"},
			other("UPDATE sqlite_sequence SET seq = seq + ?n WHERE name = 'au'"),
		},
		reads: []string{"SELECT count(*), max(id) FROM au", "SELECT seq FROM sqlite_sequence WHERE name = 'au'", "SELECT id, u, quote(v) FROM au ORDER BY id"},
		rival: "DELETE FROM au WHERE id < %d",
	},
	{
		schema: "CREATE TABLE wr (k PRIMARY KEY, v) WITHOUT ROWID",
		stored: []storedTable{{"wr", []string{"k", "v"}, true}},
		fill:   "INSERT INTO wr VALUES (1, 1), ('k', 2)",
		templates: []modeTemplate{
			{"INSERT INTO wr (k, v) VALUES (?f, ?v)", false, "k"},
			{"INSERT INTO wr VALUES (?i, ?v)", false, "k, quote(v)"},
			{"INSERT INTO wr (v, k) VALUES (?v, ?f), (?n, ?f)", false, "k"},
			other("REPLACE INTO wr (k, v) VALUES (?i, ?v)"),
			other("INSERT OR IGNORE INTO wr (k, v) VALUES (?i, ?n)"),
			other("UPDATE wr SET v = ?v WHERE k = ?i"),
			other("DELETE FROM wr WHERE k = ?i"),
		},
		reads: []string{"SELECT count(*) FROM wr", "SELECT quote(k), quote(v) FROM wr ORDER BY 1"},
	},
	{
		schema: "CREATE TABLE nk (v, w)",
		stored: []storedTable{rowids("nk", "v", "w")},
		fill:   "INSERT INTO nk (rowid, v) VALUES (4, 'four')",
		templates: []modeTemplate{
			giving("INSERT INTO nk (v, w) VALUES (?v, ?v)", "rowid"),
			giving("INSERT INTO nk VALUES (?v, ?l)", "rowid"),
			giving("INSERT INTO nk (v) VALUES (?v)", "rowid"),
			in("INSERT INTO nk (w, v) VALUES (?v, ?v), (?v, 'mixed'), (NULL, ?v)"),
			in("INSERT INTO nk (rowid, v) VALUES (?i, ?v)"),
			in("INSERT INTO nk (v, oid) VALUES (?v, ?i)"),
			in("INSERT INTO nk (v, w) VALUES (?1, ?1)#v"),
			in("INSERT INTO nk (v, w) VALUES (:a, @b)#vn"),
			in("INSERT INTO nk (v, w) VALUES (?2, ?1)#vv"),
			in("INSERT INTO nk (v, w) VALUES (last_insert_rowid(), ?v)"),
			in("INSERT INTO nk (v, w) VALUES (changes(), ?v)"),
			in("INSERT INTO nk (v, w) VALUES (?v, (SELECT count(*) FROM nk))"),
			in("INSERT INTO nk (v, w) SELECT w, v FROM nk LIMIT 2"),
			other("INSERT INTO nk (v) VALUES (?v); UPDATE nk SET w = ?n WHERE rowid = 4"),
			other("UPDATE nk SET w = ?v WHERE rowid % 2 = ?n"),
			other("DELETE FROM nk WHERE rowid = (SELECT max(rowid) FROM nk)"),
			other("DELETE FROM nk WHERE rowid > ?i"),
		},
		reads: []string{"SELECT count(*), max(rowid) FROM nk", "SELECT rowid, quote(v), typeof(w) FROM nk ORDER BY rowid"},
		rival: "UPDATE nk SET w = %d",
	},
	{
		schema: "CREATE TABLE ty (id INTEGER PRIMARY KEY, i INTEGER, t TEXT, r REAL, b BLOB, n NUMERIC, x, c VARCHAR(10), d DATETIME, o BOOLEAN)",
		stored: []storedTable{rowids("ty", "i", "t", "r", "b", "n", "x", "c", "d", "o")},
		templates: []modeTemplate{
			giving("INSERT INTO ty (i, t, r, b, n, x, c, d, o) VALUES (?v, ?v, ?v, ?v, ?v, ?v, ?v, ?v, ?v)", "id"),
			giving("INSERT INTO ty (i, t, b, x) VALUES (?v, ?v, ?v, ?v)", "id"),
			in("INSERT INTO ty (r, n, d, o) VALUES (?w, ?w, ?w, ?w)"),
			in("INSERT INTO ty (t, x) VALUES (?w, ?w)"),
			in("INSERT INTO ty (b, c) VALUES (?w, ?w)"),
			in("INSERT INTO ty (i, n, r) VALUES (?w, ?w, ?w)"),
			in("INSERT INTO ty (r, n) VALUES (?n, ?n)"),
			in("INSERT INTO ty (o, d) VALUES (?n, ?s)"),
			other("UPDATE ty SET x = ?v, t = ?v WHERE id = ?i"),
			other("UPDATE ty SET b = ?v, n = ?v WHERE id = ?l"),
		},
		reads: []string{"SELECT id, quote(i), quote(t), quote(r), quote(b), quote(n), quote(x) FROM ty ORDER BY id", "SELECT count(*) FROM ty WHERE x = ?v", "SELECT typeof(t), typeof(n), count(*) FROM ty GROUP BY 1, 2 ORDER BY 1, 2"},
	},
	{
		schema: `CREATE TABLE st (id INTEGER PRIMARY KEY, i INT, t TEXT, r REAL, b BLOB, y ANY) STRICT`,
		stored: []storedTable{rowids("st", "i", "t", "r", "b", "y")},
		templates: []modeTemplate{
			in("INSERT INTO st (i, t, y) VALUES (?n, ?s, ?v)"),
			giving("INSERT INTO st (i, y) VALUES (?n, ?w)", "id"),
			in("INSERT INTO st (r, t) VALUES (?n, ?s)"),
			in("INSERT INTO st (b) VALUES (?w)"),
			in("INSERT INTO st (i, t, r, b, y) VALUES (?v, ?v, ?v, ?v, ?v)"),
			other("UPDATE st SET y = ?v WHERE id = ?i"),
		},
		reads: []string{"SELECT count(*) FROM st", "SELECT id, quote(y) FROM st ORDER BY id"},
	},
}, eventTables...)
