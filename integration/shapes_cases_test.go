package integration_test

import (
	"database/sql"
	"slices"
	"strings"
	"time"
)

// do and ask make steps.
func do(text string, args ...any) shapeStep {
	return shapeStep{step: step{mode: execMode, query: text, args: args}}
}

func ask(text string, args ...any) shapeStep {
	return shapeStep{step: step{mode: queryMode, query: text, args: args}}
}

// failing marks a step that has to fail.
func failing(s shapeStep) shapeStep { s.fails = true; return s }

// like marks a step whose values need not be equal.
func like(l likeness, s shapeStep) shapeStep { s.like = l; return s }

// differs marks a step that rqlite refuses or answers otherwise.
func differs(reason string, s shapeStep) shapeStep { s.reason = reason; return s }

// withoutID marks an INSERT that has no rowid of its own to tell.
func withoutID(s shapeStep) shapeStep { s.anyID = true; return s }

// steps makes steps of texts: queries of what begins with SELECT, WITH, VALUES,
// EXPLAIN or PRAGMA or has RETURNING, and Exec of all else. A text that begins with
// "!" has to fail.
func steps(texts ...string) (list []shapeStep) {
	for _, text := range texts {
		text, fails := strings.CutPrefix(text, "!")
		s := do(text)
		word, _, _ := strings.Cut(strings.TrimLeft(text, "( \t\n"), " ")
		if slices.Contains([]string{"SELECT", "VALUES", "EXPLAIN", "PRAGMA"}, word) || strings.Contains(text, "RETURNING") ||
			word == "WITH" && !inserts.MatchString(text) && !strings.Contains(text, "UPDATE ") && !strings.Contains(text, "DELETE ") {
			s = ask(text)
		}
		s.fails = fails
		list = append(list, s)
	}
	return list
}

// around runs the same queries before the first write of a transaction and after
// it: they go different ways.
func around(queries ...shapeStep) []shapeStep {
	return slices.Concat(queries, steps(
		"UPDATE p SET score = coalesce(score, 0) + 1.5, age = age + 1 WHERE id % 2 = 1"), queries)
}

// people are tables that many cases use.
var peopleTables = steps(
	`CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, age INT CHECK (age >= 0), team VARCHAR(10), score REAL, born DATETIME, ok BOOLEAN, data BLOB)`,
	`INSERT INTO p VALUES (1, 'ann', 30, 'red', 1.5, '1990-01-02 03:04:05', 1, x'00ff'), (2, 'bob', 40, 'red', NULL, NULL, 0, NULL),
		(3, 'cid', 20, 'blue', -2.25, '2001-05-06', 1, x''), (4, 'dan', 25, NULL, 0.5, 1704164645, 0, x'616263'), (5, 'Eve''s', NULL, 'blue', 1e10, NULL, NULL, NULL)`,
	`CREATE TABLE q (p INTEGER NOT NULL REFERENCES p (id), kind TEXT, n INT DEFAULT 7, PRIMARY KEY (p, kind))`,
	`INSERT INTO q VALUES (1, 'x', 10), (1, 'y', 20), (2, 'x', 30), (4, 'z', NULL)`,
)

// reading makes a scenario of queries on people.
func reading(name string, queries ...string) scenario {
	return scenario{name: name, setup: peopleTables, steps: around(steps(queries...)...)}
}

// writing makes a scenario of writes on people.
func writing(name string, texts ...string) scenario {
	return scenario{name: name, setup: peopleTables, steps: steps(texts...)}
}

// shapeCases are the scenarios written by hand.
func shapeCases() []scenario {
	list := slices.Concat(readingCases(), argumentCases(), writingCases(), schemaCases(), keyCases(), functionCases(), transactionCases())
	for i := range list {
		list[i].library = "by hand"
	}
	return list
}

func readingCases() []scenario {
	return []scenario{
		reading("limit",
			"SELECT * FROM p ORDER BY id LIMIT 2",
			"SELECT * FROM p ORDER BY id LIMIT 2 OFFSET 1",
			"SELECT name FROM p ORDER BY id LIMIT 1, 3",
			"SELECT name FROM p ORDER BY id LIMIT -1 OFFSET 3",
			"SELECT name FROM p ORDER BY id LIMIT 1 + 1",
			"SELECT name FROM p ORDER BY id LIMIT 0",
			"SELECT name FROM p ORDER BY id LIMIT (SELECT count(*) FROM q) - 2",
			"SELECT * FROM (SELECT name FROM p ORDER BY id DESC LIMIT 2) ORDER BY 1"),
		reading("order",
			"SELECT name FROM p ORDER BY team NULLS LAST, age DESC",
			"SELECT name FROM p ORDER BY team DESC NULLS FIRST, name COLLATE NOCASE",
			"SELECT name FROM p ORDER BY length(name), 1",
			"SELECT DISTINCT team FROM p ORDER BY team",
			"SELECT name AS n FROM p ORDER BY n LIMIT 3",
			"SELECT name FROM p ORDER BY CASE team WHEN 'red' THEN 0 ELSE 1 END, id",
			"SELECT id FROM p ORDER BY score IS NULL, score"),
		reading("subqueries",
			"SELECT name, (SELECT sum(n) FROM q WHERE q.p = p.id) AS total FROM p ORDER BY id",
			"SELECT name FROM p WHERE id IN (SELECT p FROM q WHERE n > 15) ORDER BY id",
			"SELECT name FROM p WHERE EXISTS (SELECT 1 FROM q WHERE q.p = p.id AND kind = 'x') ORDER BY id",
			"SELECT name FROM p WHERE NOT EXISTS (SELECT * FROM q WHERE q.p = p.id) ORDER BY id",
			"SELECT name FROM p WHERE age > (SELECT avg(age) FROM p) ORDER BY id",
			"SELECT name FROM p WHERE (id, age) IN (SELECT p, n FROM q UNION SELECT 2, 40) ORDER BY id",
			"SELECT * FROM (SELECT team, count(*) AS c FROM p GROUP BY team) AS t WHERE c > 1 ORDER BY team",
			"SELECT name FROM p WHERE id NOT IN (SELECT p FROM q) ORDER BY id",
			"SELECT (SELECT max(id) FROM p), (SELECT name FROM p WHERE 0)",
			"SELECT name FROM p WHERE (SELECT count(*) FROM q WHERE q.p = p.id AND n > (SELECT min(n) FROM q)) > 0 ORDER BY id"),
		reading("common table expressions",
			"WITH old AS (SELECT * FROM p WHERE age > 24) SELECT name FROM old ORDER BY age",
			"WITH a (x) AS (SELECT id FROM p), b AS (SELECT x + 1 AS y FROM a) SELECT sum(y) FROM b",
			"WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 5) SELECT x FROM n",
			"WITH RECURSIVE f (a, b) AS (VALUES (0, 1) UNION ALL SELECT b, a + b FROM f LIMIT 10) SELECT a FROM f",
			"WITH m AS MATERIALIZED (SELECT id FROM p) SELECT count(*) FROM m",
			"WITH m AS NOT MATERIALIZED (SELECT id FROM p) SELECT count(*) FROM m a, m b",
			"WITH v (k, t) AS (VALUES (1, 'one'), (2, 'two')) SELECT name, t FROM p JOIN v ON v.k = p.id ORDER BY id",
			"SELECT * FROM (WITH i AS (SELECT 1 AS one) SELECT one FROM i)"),
		reading("windows",
			"SELECT name, row_number() OVER (ORDER BY age, id) FROM p ORDER BY id",
			"SELECT name, rank() OVER w, dense_rank() OVER w, percent_rank() OVER w FROM p WINDOW w AS (PARTITION BY team ORDER BY age) ORDER BY id",
			"SELECT name, lag(age) OVER (ORDER BY id), lead(age, 2, -1) OVER (ORDER BY id) FROM p ORDER BY id",
			"SELECT name, sum(age) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM p ORDER BY id",
			"SELECT name, first_value(name) OVER w, last_value(name) OVER w, nth_value(name, 2) OVER w FROM p WINDOW w AS (ORDER BY id RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY id",
			"SELECT name, count(*) OVER (ORDER BY team GROUPS 1 PRECEDING EXCLUDE CURRENT ROW) FROM p ORDER BY id",
			"SELECT name, ntile(2) OVER (ORDER BY id), cume_dist() OVER (ORDER BY id) FROM p ORDER BY id",
			"SELECT name, count(*) FILTER (WHERE ok) OVER (PARTITION BY team) FROM p ORDER BY id",
			"SELECT team, sum(sum(age)) OVER (ORDER BY team) FROM p GROUP BY team ORDER BY team"),
		reading("aggregates",
			"SELECT team, count(*), count(age), sum(age), avg(age), min(name), max(score) FROM p GROUP BY team HAVING count(*) > 0 ORDER BY team",
			"SELECT group_concat(name, ';' ORDER BY name DESC) FROM p",
			"SELECT count(DISTINCT team), sum(age) FILTER (WHERE ok) FROM p",
			"SELECT total(age), sum(NULL) FROM p",
			"SELECT string_agg(name, '-' ORDER BY id) FROM p",
			"SELECT age / 10 * 10 AS decade, count(*) FROM p GROUP BY decade ORDER BY decade",
			"SELECT max(age), name FROM p",
			"SELECT count(*) FROM p WHERE 0",
			"SELECT team FROM p GROUP BY 1 ORDER BY 1"),
		reading("joins",
			"SELECT p.name, q.kind FROM p JOIN q ON q.p = p.id ORDER BY 1, 2",
			"SELECT p.name, q.n FROM p LEFT JOIN q ON q.p = p.id ORDER BY p.id, q.n",
			"SELECT p.name, r.x FROM p RIGHT JOIN (SELECT 1 AS x UNION SELECT 99) r ON r.x = p.id ORDER BY r.x",
			"SELECT p.name, r.x FROM p FULL JOIN (SELECT 1 AS x UNION SELECT 99) r ON r.x = p.id ORDER BY p.id, r.x",
			"SELECT a.name, b.name FROM p a CROSS JOIN p b WHERE a.id < b.id ORDER BY a.id, b.id",
			"SELECT count(*) FROM p NATURAL JOIN (SELECT id, name FROM p)",
			"SELECT id, b.name FROM p a JOIN p b USING (id) ORDER BY id",
			"SELECT p.*, q.* FROM p, q WHERE p.id = q.p ORDER BY q.rowid",
			"SELECT a.name FROM p a JOIN p b ON a.team = b.team AND a.id <> b.id ORDER BY a.id"),
		reading("compounds",
			"SELECT name FROM p WHERE id < 3 UNION SELECT kind FROM q ORDER BY 1",
			"SELECT id FROM p UNION ALL SELECT p FROM q ORDER BY 1",
			"SELECT id FROM p INTERSECT SELECT p FROM q ORDER BY 1",
			"SELECT id FROM p EXCEPT SELECT p FROM q ORDER BY 1",
			"VALUES (1, 'a'), (2, 'b')",
			"SELECT 1 AS x, 'a' UNION ALL SELECT 2, 'b' ORDER BY x DESC"),
		reading("expressions",
			"SELECT CASE WHEN age > 25 THEN 'old' WHEN age IS NULL THEN 'unknown' ELSE 'young' END FROM p ORDER BY id",
			"SELECT CAST(age AS TEXT), CAST('12abc' AS INTEGER), CAST(age AS REAL) + 0.5 FROM p ORDER BY id",
			"SELECT name FROM p WHERE name LIKE '%\\''%' ESCAPE '\\' OR name GLOB '[a-b]*' ORDER BY id",
			"SELECT name FROM p WHERE age BETWEEN 20 AND 30 AND team IN ('red', 'blue') ORDER BY id",
			"SELECT iif(ok, 'y', 'n'), coalesce(team, 'none'), nullif(team, 'red'), ifnull(score, 0.5) FROM p ORDER BY id",
			"SELECT name || '/' || team, upper(name), substr(name, 2), replace(name, 'n', 'm'), trim('  x '), instr(name, 'n') FROM p ORDER BY id",
			"SELECT printf('%05d|%.2f|%s|%q', id, score, name, name) FROM p ORDER BY id",
			"SELECT hex(data), quote(data), typeof(data), length(data) FROM p ORDER BY id",
			"SELECT 7 / 2, 7 % 2, -7 / 2, 7.0 / 2, 1 << 4, 6 & 3, 6 | 3, ~6, NOT 1",
			"SELECT age = 30, age <> 30, age IS 30, age IS NOT NULL, team ISNULL, team NOTNULL FROM p ORDER BY id",
			"SELECT name COLLATE NOCASE = 'ANN' FROM p ORDER BY id",
			"SELECT abs(-5), round(2.567, 1), max(1, 2), min(1, 2), unicode('a'), char(97, 8364), sign(-3)",
			"SELECT 'it''s', \"name\", `name`, [name], p.\"name\", main.p.name FROM p WHERE id = 1",
			"SELECT x'00ff', 0x1F, 1e3, .5, TRUE, FALSE, NULL"),
		reading("schema",
			"SELECT name, type FROM sqlite_schema WHERE name NOT LIKE '\\_rqlite%' ESCAPE '\\' ORDER BY name",
			"SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'p'",
			"PRAGMA table_info(p)",
			"PRAGMA table_info('q')",
			"PRAGMA table_xinfo(p)",
			"PRAGMA index_list(q)",
			"PRAGMA index_info(sqlite_autoindex_q_1)",
			"PRAGMA foreign_key_list(q)",
			"PRAGMA foreign_keys",
			"PRAGMA foreign_key_check",
			"PRAGMA user_version",
			"PRAGMA main.table_info(p)",
			"SELECT name, type, \"notnull\", pk FROM pragma_table_info('p')",
			"SELECT m.name, i.name FROM sqlite_schema m JOIN pragma_index_list(m.name) i WHERE m.name IN ('p', 'q') ORDER BY 1, 2",
			"PRAGMA encoding",
			"PRAGMA integrity_check"),
		plans(),
		reading("writing style",
			"SELECT/**/name/**/FROM/**/p/**/WHERE/**/id=1",
			"-- one\nSELECT name FROM p -- two\nWHERE id = 2 -- three",
			"  \n\tselect NAME from P where ID = 3 ;",
			"SELECT name FROM p WHERE id = 1;",
			"SELECT name /* ; COMMIT */ FROM p WHERE name <> '; ROLLBACK' ORDER BY id",
			"EXPLAIN QUERY PLAN SELECT * FROM p WHERE id = 1",
			"VALUES (1)"),
	}
}

// plans explains statements. The numbers in plans are those of a version of SQLite.
func plans() scenario {
	s := scenario{name: "plans", setup: peopleTables, steps: []shapeStep{like(inKind, ask("EXPLAIN QUERY PLAN SELECT * FROM p WHERE id = 1"))}}
	for _, text := range []string{
		"EXPLAIN QUERY PLAN DELETE FROM q WHERE p = 1",
		"EXPLAIN QUERY PLAN UPDATE p SET age = 1 WHERE name = 'ann'",
		"EXPLAIN QUERY PLAN INSERT INTO p (name) SELECT kind FROM q",
	} {
		s.steps = append(s.steps, like(inKind, ask(text)))
	}
	for _, step := range around(s.steps...)[len(s.steps):] {
		if !strings.HasPrefix(step.query, "UPDATE") && !strings.Contains(step.query, "SELECT *") {
			step.reason = "rqlite gives no rows for EXPLAIN of a write after the first write, and the driver refuses it"
		}
		s.steps = append(s.steps, step)
	}
	return s
}

// argumentCases bind values in all ways.
func argumentCases() []scenario {
	at := time.Date(2024, 2, 3, 4, 5, 6, 700, time.FixedZone("", 3600))
	return []scenario{
		{name: "parameters", setup: peopleTables, steps: around(
			ask("SELECT name FROM p WHERE id = ? OR name = ? ORDER BY id", 1, "bob"), ask("SELECT name FROM p WHERE id > ?2 AND id < ?1 ORDER BY id", 5, 1), ask("SELECT ?1, ?1, ?2", "a", 2),
			ask("SELECT name FROM p WHERE id = :id OR team = @team OR age = $age ORDER BY id", sql.Named("id", 1), sql.Named("team", "blue"), sql.Named("age", 25)),
			ask("SELECT name FROM p ORDER BY id LIMIT ? OFFSET ?", 2, 1), ask("SELECT name FROM p WHERE data = ?", []byte{0, 0xff}), ask("SELECT name FROM p WHERE team IS ?", nil),
			ask("SELECT ?, ?, ?, ?, ?", int64(1)<<60, 1.5, "x'41'", true, nil), ask("SELECT name FROM p WHERE id IN (?, ?, ?) ORDER BY id", 1, 2, 1000),
			ask("WITH a AS (SELECT ? AS x) SELECT x, name FROM a, p WHERE p.id = ?", "first", 2), ask("SELECT name FROM p WHERE born < ? ORDER BY id", at), ask("SELECT name FROM p WHERE ok = ? ORDER BY id", false),
		)},
		{name: "values", setup: steps(
			"CREATE TABLE v (i INTEGER, r REAL, t TEXT, b BLOB, d DATETIME, o BOOLEAN, n)"), steps: slices.Concat(
			[]shapeStep{
				do("INSERT INTO v VALUES (?, ?, ?, ?, ?, ?, ?)", 1, 2.5, "text", []byte{1, 0, 0xff}, at, true, nil),
				do("INSERT INTO v VALUES (?, ?, ?, ?, ?, ?, ?)", int64(-1)<<63, -1e300, "", []byte{}, at.UTC(), false, "untyped"),
				do("INSERT INTO v VALUES (?, ?, ?, ?, ?, ?, ?)", nil, nil, "x'41' \" \\ \u2028 \x00 \U0001F600", []byte(nil), nil, nil, int64(1)<<53+1),
				do("INSERT INTO v (i, t) VALUES (:i, :t), (:i + 1, :t || 'x')", sql.Named("i", 5), sql.Named("t", "named")),
				do("INSERT INTO v (t, b) VALUES (?, zeroblob(?))", strings.Repeat("long ", 10000), 1000),
				do("UPDATE v SET t = ?, d = ? WHERE i = ?", "changed", at.Add(time.Hour), 1),
			},
			steps(
				"SELECT * FROM v ORDER BY rowid",
				"SELECT quote(i), quote(r), quote(t), hex(b), quote(d), quote(o), quote(n) FROM v ORDER BY rowid"),
			[]shapeStep{ask("DELETE FROM v WHERE i = ? OR t = ? RETURNING i, t, d, b", 1, "named")},
		)},
	}
}

func writingCases() []scenario {
	return []scenario{
		writing("insert",
			"INSERT INTO p (name) VALUES ('fay')",
			"INSERT INTO p (name, age) VALUES ('gus', 1), ('hal', 2)",
			"INSERT INTO p (id, name) VALUES (100, 'ida')",
			"!INSERT INTO q DEFAULT VALUES RETURNING p",
			"INSERT INTO p (name, age) SELECT name || '2', age FROM p WHERE id < 3",
			"INSERT INTO p (name) VALUES ((SELECT max(name) || '3' FROM p))",
			"WITH w (n) AS (VALUES ('w1'), ('w2')) INSERT INTO p (name) SELECT n FROM w",
			"INSERT OR IGNORE INTO p (name) VALUES ('ann'), ('new')",
			"INSERT OR REPLACE INTO p (id, name) VALUES (5, 'replaced')",
			"INSERT OR ABORT INTO p (name) VALUES ('jo')",
			"REPLACE INTO p (id, name) VALUES (5, 'again')",
			"INSERT INTO p (rowid, name) VALUES (200, 'row')",
			"INSERT INTO main.p (name) VALUES ('main')",
			"INSERT INTO p AS x (name) VALUES ('alias')",
			"INSERT INTO p (name) SELECT 'nobody' WHERE 0",
			"INSERT INTO p (name, data) VALUES ('z', x'0102')",
			"SELECT * FROM p ORDER BY id"),
		writing("upsert",
			"INSERT INTO p (name) VALUES ('first')",
			"INSERT INTO p (id, name) VALUES (1, 'x') ON CONFLICT DO NOTHING",
			"INSERT INTO p (id, name) VALUES (1, 'x') ON CONFLICT (id) DO NOTHING",
			"INSERT INTO p (id, name, age) VALUES (1, 'annie', 31) ON CONFLICT (id) DO UPDATE SET name = excluded.name, age = excluded.age",
			"INSERT INTO p (name, age) VALUES ('bob', 5) ON CONFLICT (name) DO UPDATE SET age = p.age + excluded.age",
			"INSERT INTO p (name, age) VALUES ('bob', 5) ON CONFLICT (name) DO UPDATE SET age = 0 WHERE excluded.age > 10",
			"INSERT INTO p (id, name) VALUES (3, 'dan') ON CONFLICT (id) DO UPDATE SET team = 'by id' ON CONFLICT (name) DO UPDATE SET team = 'by name'",
			"INSERT INTO p (id, name) VALUES (77, 'dan') ON CONFLICT (id) DO NOTHING ON CONFLICT DO UPDATE SET team = 'else'",
			"INSERT INTO p (name) VALUES ('bob'), ('kim') ON CONFLICT (name) DO UPDATE SET score = coalesce(score, 0) + 1",
			"INSERT INTO p AS t (name) VALUES ('bob') ON CONFLICT (name) DO UPDATE SET age = t.age * 2",
			"INSERT INTO q VALUES (1, 'x', 1) ON CONFLICT (p, kind) DO UPDATE SET n = q.n + excluded.n",
			"INSERT INTO q SELECT p, kind, 5 FROM q WHERE true ON CONFLICT DO UPDATE SET n = excluded.n",
			"INSERT INTO p (name) VALUES ('bob') ON CONFLICT (name) DO UPDATE SET (age, team) = (1, 'green')",
			"!INSERT INTO p (id, name) VALUES (1, 'bob') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
			"!INSERT INTO p (name) VALUES ('bob') ON CONFLICT (age) DO NOTHING",
			"SELECT * FROM p ORDER BY id",
			"SELECT * FROM q ORDER BY 1, 2"),
		writing("returning",
			"INSERT INTO p (name, age) VALUES ('fay', 1) RETURNING *",
			"INSERT INTO p (name) VALUES ('gus'), ('hal') RETURNING id, name",
			"INSERT INTO p (name) VALUES ('ida') RETURNING id AS new, upper(name) AS \"up name\", age IS NULL",
			"INSERT INTO p (name) VALUES ('jo') RETURNING rowid, (SELECT count(*) FROM q)",
			"INSERT INTO p (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id, name",
			"INSERT INTO p (id, name) VALUES (1, 'x') ON CONFLICT DO NOTHING RETURNING id",
			"REPLACE INTO p (id, name) VALUES (5, 'rep') RETURNING *",
			"INSERT OR IGNORE INTO p (name) VALUES ('bob'), ('kim') RETURNING name",
			"UPDATE p SET age = age + 1 WHERE team = 'red' RETURNING id, age, ok, born",
			"UPDATE p SET age = 0 WHERE 0 RETURNING *",
			"UPDATE p SET data = x'fe' WHERE id = 4 RETURNING data, hex(data)",
			"WITH w AS (SELECT 3 AS i) UPDATE p SET age = 1 WHERE id = (SELECT i FROM w) RETURNING name",
			"UPDATE p AS t SET age = q.n FROM q WHERE q.p = t.id AND q.kind = 'z' RETURNING id, age",
			"DELETE FROM q WHERE n > 15 RETURNING p, kind, n",
			"DELETE FROM q WHERE 0 RETURNING *",
			"WITH w AS (SELECT 5 AS i) DELETE FROM p WHERE id IN (SELECT i FROM w) RETURNING *",
			"DELETE FROM q RETURNING *"),
		{name: "returning by Exec", setup: peopleTables, steps: []shapeStep{
			do("INSERT INTO p (name) VALUES ('fay') RETURNING id"), do("INSERT INTO p (name) VALUES (?), (?) RETURNING *", "gus", "hal"), do("UPDATE p SET age = 3 WHERE id = 1 RETURNING age"),
			do("UPDATE p SET age = 4 RETURNING id"), do("DELETE FROM q WHERE p = 2 RETURNING kind"), failing(do("INSERT INTO p (name) VALUES ('fay') RETURNING id")), ask("SELECT * FROM p ORDER BY id"),
		}},
		writing("update",
			"UPDATE p SET age = 50",
			"UPDATE p SET age = age + 1, team = 'x' || id WHERE id > 2",
			"UPDATE p SET (age, team) = (SELECT n, kind FROM q WHERE q.p = p.id) WHERE id IN (SELECT p FROM q)",
			"UPDATE p SET age = q.n FROM q WHERE q.p = p.id AND q.kind = 'x'",
			"UPDATE OR IGNORE p SET name = 'ann'",
			"UPDATE OR REPLACE p SET name = 'cid' WHERE id = 5",
			"UPDATE OR ABORT p SET age = 3 WHERE id = 1",
			"UPDATE p SET data = zeroblob(3), born = '2020-02-02' WHERE rowid = 1",
			"UPDATE p AS x SET age = x.age * 2 WHERE x.id = 1",
			"WITH w AS (SELECT min(id) AS i FROM p) UPDATE p SET team = 'first' WHERE id = (SELECT i FROM w)",
			"UPDATE p SET id = id + 1000 WHERE id = 3",
			"UPDATE p SET age = CASE WHEN ok THEN 1 ELSE 2 END",
			"UPDATE p INDEXED BY sqlite_autoindex_p_1 SET age = 9 WHERE name = 'dan'",
			"UPDATE p SET age = 1 WHERE 0",
			"UPDATE main.p SET score = NULL WHERE name LIKE 'a%'",
			"SELECT * FROM p ORDER BY id"),
		writing("delete",
			"DELETE FROM q WHERE n IS NULL",
			"DELETE FROM q WHERE (p, kind) IN (VALUES (1, 'x'), (2, 'x'))",
			"DELETE FROM p WHERE id NOT IN (SELECT p FROM q) AND age < 30",
			"DELETE FROM p AS x WHERE x.id = 5",
			"WITH w AS (SELECT 2 AS i) DELETE FROM p WHERE id = (SELECT i FROM w)",
			"DELETE FROM q",
			"DELETE FROM p WHERE 0",
			"DELETE FROM p",
			"SELECT count(*) FROM p"),
		writing("scripts",
			"INSERT INTO p (name) VALUES ('s1'); INSERT INTO p (name) VALUES ('s2')",
			"UPDATE p SET age = 1 WHERE id = 1; UPDATE p SET age = 2; DELETE FROM q WHERE p = 1;",
			"INSERT INTO p (name) VALUES ('s;3'); -- ; comment\n/* ; */;; INSERT INTO p (name) VALUES (\"s4\")",
			"CREATE TABLE s (x); INSERT INTO s VALUES (1), (2); DROP TABLE q",
			"!INSERT INTO p (name) VALUES ('s5'); INSERT INTO p (name) VALUES ('s5'); INSERT INTO p (name) VALUES ('s6')",
			"!DELETE FROM s; SELEC 1",
			"",
			";",
			" -- nothing\n",
			"SELECT name FROM p ORDER BY id",
			"SELECT * FROM s"),
		writing("names",
			`CREATE TABLE "select" ("from" INT, "a b" TEXT, [x.y] REAL, `+"`tick``ed`"+` INT, "quo""ted" INT, 'single' INT)`,
			`INSERT INTO "select" VALUES (1, 'x', 2.5, 3, 4, 5)`,
			`SELECT "from", "a b", [x.y], "quo""ted", `+"`tick``ed`"+`, single FROM "select"`,
			`UPDATE "select" SET "from" = 2 WHERE "a b" = 'x'`,
			`CREATE TABLE übergröße ("ключ" INTEGER PRIMARY KEY, größe)`,
			`INSERT INTO übergröße (größe) VALUES ('ß')`,
			`SELECT * FROM übergröße`,
			`CREATE TABLE rqlite_tx (random, now, date)`,
			`INSERT INTO rqlite_tx VALUES (1, 2, 3)`,
			`SELECT random, now, date FROM rqlite_tx`,
			`DROP TABLE "select"`),
	}
}
