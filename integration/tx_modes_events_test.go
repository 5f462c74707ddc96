package integration_test

// eventTables are the tables in which something happens besides what a statement says: triggers,
// conflict clauses, foreign keys, generated and default values.
var eventTables = []modeTable{
	{
		schema: `CREATE TABLE ts (id INTEGER PRIMARY KEY, v, depth INT NOT NULL DEFAULT 0);
			CREATE TRIGGER ts_more AFTER INSERT ON ts WHEN NEW.depth > 0 BEGIN INSERT INTO ts (v, depth) VALUES (NEW.v, NEW.depth - 1); END`,
		stored: []storedTable{rowids("ts", "v", "depth")},
		templates: []modeTemplate{
			giving("INSERT INTO ts (v, depth) VALUES (?v, ?d)", "id"),
			giving("INSERT INTO ts (v) VALUES (?v)", "id"),
			giving("INSERT INTO ts (v, depth) VALUES (?v, 0), (?v, ?d)", "id"),
			other("UPDATE ts SET depth = ?n WHERE id = ?l"),
			other("DELETE FROM ts WHERE id = (SELECT max(id) FROM ts)"),
		},
		reads: []string{"SELECT count(*), max(id), sum(depth) FROM ts"},
	},
	{
		schema: `CREATE TABLE tb (id INTEGER PRIMARY KEY, v, depth INT);
			CREATE TRIGGER tb_first BEFORE INSERT ON tb WHEN NEW.depth > 0 BEGIN INSERT INTO tb (v) VALUES ('before'); END`,
		stored: []storedTable{rowids("tb", "v", "depth")},
		templates: []modeTemplate{
			giving("INSERT INTO tb (v, depth) VALUES (?v, ?d)", "id"),
			giving("INSERT INTO tb (v) VALUES (?v)", "id"),
			in("INSERT INTO tb (id, v, depth) VALUES (?i, ?v, ?d)"),
		},
		reads: []string{"SELECT count(*), max(id) FROM tb"},
	},
	{
		schema: `CREATE TABLE tl (id INTEGER PRIMARY KEY, v);
			CREATE TABLE tlog (id INTEGER PRIMARY KEY, what, v);
			CREATE TRIGGER tl_bad BEFORE INSERT ON tl WHEN NEW.v = 13 BEGIN SELECT RAISE(ABORT, 'no luck'); END;
			CREATE TRIGGER tl_not BEFORE INSERT ON tl WHEN NEW.v = 11 BEGIN SELECT RAISE(IGNORE); END;
			CREATE TRIGGER tl_in AFTER INSERT ON tl BEGIN INSERT INTO tlog (what, v) VALUES ('in', NEW.id); END;
			CREATE TRIGGER tl_up AFTER UPDATE ON tl BEGIN INSERT INTO tlog (what, v) VALUES ('up', OLD.v); INSERT INTO tlog (what, v) VALUES ('to', NEW.v); END;
			CREATE TRIGGER tl_out AFTER DELETE ON tl BEGIN INSERT INTO tlog (what, v) VALUES ('out', OLD.id); END`,
		stored: []storedTable{rowids("tl", "v"), rowids("tlog", "what", "v")},
		fill:   "INSERT INTO tl VALUES (2, 2)",
		templates: []modeTemplate{
			giving("INSERT INTO tl (v) VALUES (?n)", "id"),
			giving("INSERT INTO tl (v) VALUES (?v)", "id"),
			giving("INSERT INTO tl (v) VALUES (?n), (?n)", "id"),
			giving("REPLACE INTO tl (id, v) VALUES (?i, ?n)", "id"),
			giving("INSERT INTO tlog (what, v) VALUES ('by hand', ?v)", "id"),
			{"UPDATE tl SET v = ?n WHERE id = ?i", false, "id"},
			other("DELETE FROM tl WHERE id = ?i"),
			other("DELETE FROM tlog WHERE id = (SELECT max(id) FROM tlog)"),
		},
		reads: []string{"SELECT count(*), max(id) FROM tlog", "SELECT id, quote(v) FROM tl ORDER BY id"},
	},
	{
		schema: `CREATE TABLE cr (id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT REPLACE, n NOT NULL ON CONFLICT REPLACE DEFAULT 'd');
			CREATE TABLE ci (id INTEGER PRIMARY KEY ON CONFLICT IGNORE, u UNIQUE ON CONFLICT IGNORE, v CHECK (v IS NOT 7))`,
		stored: []storedTable{rowids("cr", "u", "n"), rowids("ci", "u", "v")},
		fill:   "INSERT INTO cr VALUES (1, 1, 1), (9, 2, 2); INSERT INTO ci VALUES (1, 1, 1)",
		templates: []modeTemplate{
			giving("INSERT INTO cr (u, n) VALUES (?f, ?v)", "id"),
			giving("INSERT INTO cr (u, n) VALUES (?i, ?n)", "id"),
			giving("INSERT INTO cr (u, n) VALUES (?i, ?n), (?f, ?v)", "id"),
			other("UPDATE cr SET u = ?i WHERE id = ?i"),
			giving("INSERT INTO ci (u, v) VALUES (?f, ?n)", "id"),
			giving("INSERT INTO ci (u, v) VALUES (?i, ?n)", "id"),
			giving("INSERT INTO ci (id, u, v) VALUES (?i, ?f, ?v)", "id"),
			giving("INSERT INTO ci (u, v) VALUES (?i, ?n), (?f, ?n)", ""),
			other("DELETE FROM cr WHERE id = (SELECT max(id) FROM cr)"),
		},
		reads: []string{"SELECT count(*), max(id) FROM cr", "SELECT id, quote(u), quote(v) FROM ci ORDER BY id"},
	},
	{
		schema: `CREATE TABLE gc (id INTEGER PRIMARY KEY, a, g GENERATED ALWAYS AS (a || 'x') VIRTUAL, s INT GENERATED ALWAYS AS (length(a)) STORED CHECK (s < 40));
			CREATE UNIQUE INDEX gc_g ON gc (g);
			CREATE TABLE df (id INTEGER PRIMARY KEY, a DEFAULT 5, b TEXT DEFAULT 'x''41''', c REAL DEFAULT (1 + 1), d)`,
		stored: []storedTable{rowids("gc", "a", "g", "s"), rowids("df", "a", "b", "c", "d")},
		templates: []modeTemplate{
			giving("INSERT INTO gc (a) VALUES (?f)", "id"),
			giving("INSERT INTO gc (a) VALUES (?s)", "id, hex(g)"),
			in("INSERT INTO gc (a) VALUES (?v), (?f)"),
			other("UPDATE gc SET a = ?v WHERE id = ?i"),
			giving("INSERT INTO df DEFAULT VALUES", "id"),
			giving("INSERT INTO df (d) VALUES (?v)", "id, a"),
			in("INSERT INTO df (a, d) VALUES (?v, ?l)"),
			in("INSERT INTO df (id, b) VALUES (?i, ?s)"),
		},
		reads: []string{"SELECT id, hex(g), s FROM gc ORDER BY id", "SELECT count(*), max(id) FROM df"},
	},
	{
		schema: `CREATE TABLE sf (id INTEGER PRIMARY KEY, p INTEGER REFERENCES sf (id), v);
			CREATE TABLE sd (id INTEGER PRIMARY KEY, p INTEGER REFERENCES sd (id) DEFERRABLE INITIALLY DEFERRED)`,
		stored: []storedTable{rowids("sf", "p", "v"), rowids("sd", "p")},
		fill:   "INSERT INTO sf VALUES (1, NULL, 0), (2, 1, 0); INSERT INTO sd VALUES (1, 1)",
		templates: []modeTemplate{
			in("INSERT INTO sf (id, p) VALUES (?i, ?i)"),
			giving("INSERT INTO sf (p, v) VALUES (?l, ?v)", "id"),
			giving("INSERT INTO sf (p, v) VALUES (?i, ?n)", "id"),
			giving("INSERT INTO sf (v) VALUES (?v)", "id"),
			in("INSERT INTO sf (p, v) VALUES (NULL, ?v), (?l, ?v)"),
			giving("INSERT INTO sd (p) VALUES (?l)", "id"),
			in("INSERT INTO sd (id, p) VALUES (?i, ?i)"),
			in("INSERT INTO sd (id, p) VALUES (?f, ?f)"),
			other("UPDATE sf SET p = ?i WHERE id = ?i"),
			other("DELETE FROM sf WHERE id = ?i"),
			other("DELETE FROM sd WHERE id = ?i"),
		},
		reads: []string{"SELECT id, p FROM sf ORDER BY id", "SELECT count(*), max(id) FROM sd"},
	},
	{
		schema: `CREATE TABLE pa (id INTEGER PRIMARY KEY, v);
			CREATE TABLE fi (id INTEGER PRIMARY KEY, p REFERENCES pa (id) ON DELETE CASCADE, v);
			CREATE TABLE fd (id INTEGER PRIMARY KEY, p REFERENCES pa (id) DEFERRABLE INITIALLY DEFERRED)`,
		stored: []storedTable{rowids("fi", "p", "v"), rowids("fd", "p"), rowids("pa", "v")},
		fill:   "INSERT INTO pa VALUES (1, 'a'), (2, 'b'); INSERT INTO fi VALUES (1, 1, 0); INSERT INTO fd VALUES (1, 2)",
		templates: []modeTemplate{
			giving("INSERT INTO pa (v) VALUES (?v)", "id"),
			in("INSERT INTO pa (id, v) VALUES (?i, ?n)"),
			giving("INSERT INTO fi (p, v) VALUES (?l, ?v)", "id"),
			giving("INSERT INTO fi (p, v) VALUES (?i, ?n)", "id"),
			giving("INSERT INTO fd (p) VALUES (?l)", "id"),
			giving("INSERT INTO fd (p) VALUES (?i)", "id"),
			in("INSERT INTO fi (p) VALUES (?l), (?l)"),
			other("DELETE FROM pa WHERE id = ?i"),
			other("DELETE FROM fd WHERE id = ?i"),
			other("UPDATE fd SET p = ?i WHERE id = ?i"),
			other("PRAGMA defer_foreign_keys = ON"),
		},
		reads: []string{"SELECT id FROM pa ORDER BY id", "SELECT count(*), max(id) FROM fi"},
	},
	{
		schema: `CREATE TABLE ux (a, b, v, UNIQUE (a, b));
			CREATE UNIQUE INDEX ux_v ON ux (v) WHERE v > 10;
			CREATE TABLE ik (k INT PRIMARY KEY, v TEXT COLLATE NOCASE);
			CREATE UNIQUE INDEX ik_v ON ik (lower(v))`,
		stored: []storedTable{rowids("ux", "a", "b", "v"), rowids("ik", "k", "v")},
		templates: []modeTemplate{
			giving("INSERT INTO ux (a, b) VALUES (?n, ?v)", "rowid"),
			in("INSERT INTO ux (a, b, v) VALUES (?f, 1, ?n)"),
			in("INSERT INTO ux (a, b, v) VALUES (?n, ?n, ?n)"),
			in("INSERT OR IGNORE INTO ux (a, b, v) VALUES (?n, 1, ?n)"),
			in("INSERT INTO ik (k, v) VALUES (?f, ?s)"),
			giving("INSERT INTO ik (k) VALUES (?f)", "k"),
			in("INSERT INTO ik (k, v) VALUES (?w, NULL)"),
			in("REPLACE INTO ik (k, v) VALUES (?i, ?s)"),
		},
		reads: []string{"SELECT rowid, quote(a), quote(b) FROM ux ORDER BY rowid", "SELECT count(*), max(rowid) FROM ik"},
	},
	{
		schema: `CREATE TABLE vt (id INTEGER PRIMARY KEY, v);
			CREATE VIEW vw AS SELECT id, v FROM vt;
			CREATE TRIGGER vw_in INSTEAD OF INSERT ON vw BEGIN INSERT INTO vt (v) VALUES (NEW.v); END;
			CREATE TABLE "odd name" ("a b", [select] UNIQUE, v)`,
		stored: []storedTable{rowids("vt", "v"), {`"odd name"`, []string{`"a b"`, "[select]", "v"}, false}},
		templates: []modeTemplate{
			other("INSERT INTO vw (v) VALUES (?v)"),
			giving("INSERT INTO vt (v) VALUES (?v)", "id"),
			in(`INSERT INTO "odd name" ("a b", [select]) VALUES (?v, ?f)`),
			in("INSERT INTO [odd name] VALUES (?v, ?f, ?n)"),
			in("INSERT INTO main.vt (v) VALUES (?n)"),
			in("INSERT INTO vt AS x (v) VALUES (?v)"),
		},
		reads: []string{"SELECT count(*), max(id) FROM vw", `SELECT rowid, quote("a b") FROM "odd name" ORDER BY 1`},
	},
	{
		schema: "CREATE TABLE bg (id INTEGER PRIMARY KEY, v)",
		stored: []storedTable{rowids("bg", "v")},
		fill:   "INSERT INTO bg VALUES (1, 1), (9223372036854775801, 'large')",
		templates: []modeTemplate{
			giving("INSERT INTO bg (v) VALUES (?v)", "id"),
			giving("INSERT INTO bg (v) VALUES (?v), (?n)", "id"),
			in("INSERT INTO bg (id, v) VALUES (?b, ?v)"),
			giving("REPLACE INTO bg (id, v) VALUES (?b, ?v)", "id"),
			other("DELETE FROM bg WHERE id > 9223372036854775000"),
			other("DELETE FROM bg WHERE id = (SELECT max(id) FROM bg)"),
			other("DELETE FROM bg WHERE id = ?b"),
		},
		reads: []string{"SELECT count(*), max(id) FROM bg"},
	},
}
