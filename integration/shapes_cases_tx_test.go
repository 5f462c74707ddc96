package integration_test

import "slices"

// functionCases call functions.
func functionCases() []scenario {
	day := func(texts ...string) (list []shapeStep) {
		for _, s := range steps(texts...) {
			list = append(list, like(toTheDay, s))
		}
		return list
	}
	kind := func(texts ...string) (list []shapeStep) {
		for _, s := range steps(texts...) {
			list = append(list, like(inKind, s))
		}
		return list
	}
	return []scenario{
		{name: "json", setup: steps(
			"CREATE TABLE j (id INTEGER PRIMARY KEY, d JSON)",
			`INSERT INTO j (d) VALUES ('{"a": 1, "b": [1, 2.5, "x"], "c": {"d": null, "e": true}}'), ('[]'), (NULL)`), steps: slices.Concat(
			jsonReads, steps(
				`UPDATE j SET d = json_set(d, '$.a', 2, '$.f', json('[1]')) WHERE id = 1`,
				`UPDATE j SET d = json_insert(d, '$[#]', 'new') WHERE id = 2`,
				`UPDATE j SET d = json_remove(d, '$.b[0]') WHERE id = 1`,
				`UPDATE j SET d = json_patch(d, '{"c": null}') WHERE id = 1`,
				`UPDATE j SET d = json_replace(d, '$.a', 'r') WHERE id = 1 RETURNING d ->> 'a'`,
				`INSERT INTO j (d) SELECT json_group_array(id) FROM j`,
				`INSERT INTO j (d) VALUES (jsonb('{"x": 1}')) RETURNING json(d), typeof(d)`,
				`!SELECT json('not json')`,
				`!INSERT INTO j (d) VALUES (json('{'))`,
				`SELECT id, json_quote(id), d FROM j WHERE typeof(d) <> 'blob' ORDER BY id`), jsonReads)},
		{name: "dates", setup: peopleTables, steps: around(steps(
			"SELECT date('2024-02-28', '+1 day'), time('12:00', '-30 minutes'), datetime('2024-01-31', '+1 month', 'start of month')",
			"SELECT strftime('%Y/%m/%d %H-%M-%S %j %w %s', '2024-01-02 03:04:05')",
			"SELECT julianday('2024-01-02'), unixepoch('2024-01-02'), datetime(1704164645, 'unixepoch')",
			"SELECT date(born), born FROM p WHERE typeof(born) = 'text' ORDER BY id",
			"SELECT timediff('2024-03-01', '2024-02-01'), date('2024-01-01', 'weekday 1')",
			"SELECT name FROM p WHERE born < datetime('2000-01-01') AND typeof(born) = 'text'",
			"SELECT date('nonsense'), date(NULL), datetime('2024-01-02T03:04:05Z', 'subsec')")...)},
		{name: "now", like: toTheDay, setup: steps(
			"CREATE TABLE n (id INTEGER PRIMARY KEY, at DATETIME, t TEXT)"), steps: slices.Concat(
			day(
				"SELECT date('now'), datetime('now'), strftime('%Y-%m-%d', 'now')",
				"SELECT CURRENT_DATE, CURRENT_TIMESTAMP",
				"SELECT date('now', '-1 day')"),
			steps(
				"INSERT INTO n (at, t) VALUES (CURRENT_TIMESTAMP, date('now'))",
				"INSERT INTO n (at, t) VALUES (datetime('now'), date())",
				"INSERT INTO n (at, t) VALUES (datetime(), strftime('%Y-%m-%d %H:%M:%S', 'now', 'localtime'))",
				"UPDATE n SET t = date('now', '+1 day') WHERE id = 1",
				"INSERT INTO n (t) SELECT CURRENT_DATE"),
			day(
				"SELECT * FROM n ORDER BY id",
				"SELECT julianday('now'), unixepoch('now'), unixepoch()",
				"SELECT datetime('now', 'start of day'), CURRENT_DATE",
				"INSERT INTO n (at) VALUES (datetime('now')) RETURNING at",
				"UPDATE n SET at = CURRENT_TIMESTAMP WHERE id = 2 RETURNING at",
				"SELECT count(*) FROM n WHERE at > datetime('now', '-1 hour') AND at <= datetime('now', '+1 hour')"),
		)},
		{name: "random", like: inKind, setup: steps(
			"CREATE TABLE r (id INTEGER PRIMARY KEY, a, b BLOB)",
			"CREATE TABLE rows (n INT)",
			"INSERT INTO rows VALUES (1), (2), (3)"), steps: slices.Concat(
			kind(
				"SELECT random()",
				"SELECT length(randomblob(8)), typeof(randomblob(3)), abs(random()) % 5"), steps(
				"SELECT n FROM rows ORDER BY random() LIMIT 0"),
			steps(
				"INSERT INTO r (a, b) VALUES (random(), randomblob(16))",
				// more rows than one are refused: TestStoredRandomNumbers
				"INSERT INTO r (a) SELECT random() % 10 FROM rows WHERE n = 2",
				"UPDATE r SET b = randomblob(4) WHERE id = 2"),
			kind(
				"SELECT a, b FROM r ORDER BY id",
				"INSERT INTO r (a, b) VALUES (hex(randomblob(4)), randomblob(2)) RETURNING a, b"), steps(
				"SELECT id, length(b) FROM r ORDER BY id",
				"SELECT count(*) FROM rows WHERE random() IS NOT NULL"),
		)},
		{name: "changes", setup: peopleTables, steps: steps(
			"UPDATE p SET age = 1 WHERE id < 4",
			"SELECT changes()",
			"INSERT INTO p (name) VALUES ('fay')",
			"SELECT last_insert_rowid(), changes()",
			"INSERT INTO q (p, kind) VALUES (last_insert_rowid(), 'new')",
			"SELECT * FROM q ORDER BY 1, 2",
			"DELETE FROM q WHERE n > 1",
			"SELECT changes()",
			"UPDATE p SET age = changes() WHERE id = 1",
			"INSERT INTO p (id, name) VALUES (500, 'gus')",
			"INSERT INTO q (p, kind, n) SELECT last_insert_rowid(), 'k', changes()",
			"SELECT last_insert_rowid() > 0",
			"SELECT * FROM p ORDER BY id",
			"!INSERT INTO p (name) VALUES ('gus')",
			"INSERT OR IGNORE INTO p (name) VALUES ('gus')",
			"SELECT changes()")},
	}
}

var jsonReads = steps(
	`SELECT json_extract(d, '$.a'), json_extract(d, '$.b[1]'), json_extract(d, '$.c') FROM j WHERE id < 3 ORDER BY id`,
	`SELECT d -> '$.c', d ->> '$.c.e', d ->> 'a' FROM j WHERE id = 1`,
	`SELECT key, value, type, fullkey FROM j, json_each(j.d) WHERE j.id = 1`,
	`SELECT fullkey, atom FROM json_tree('{"a": [1, {"b": 2}]}')`,
	`SELECT json_group_array(id), json_group_object(id, json_type(d)) FROM j WHERE id < 3`,
	`SELECT json_array(1, 'x', NULL, 2.5), json_object('k', 1, 'l', json_array())`,
	`SELECT json_valid(d), json_array_length(d), json_type(d) FROM j WHERE id < 3 ORDER BY id`,
	`SELECT id FROM j WHERE EXISTS (SELECT 1 FROM json_each(d, '$.b') WHERE value = 'x')`,
	`SELECT json(d) FROM j WHERE id = 2`)

// transactionCases are about what happens within a transaction.
func transactionCases() []scenario {
	return []scenario{
		writing("savepoints",
			"SAVEPOINT a",
			"INSERT INTO p (name) VALUES ('kept')",
			"SAVEPOINT b",
			"INSERT INTO p (name) VALUES ('gone')",
			"SELECT count(*) FROM p",
			"ROLLBACK TO b",
			"SELECT count(*) FROM p",
			"INSERT INTO p (name) VALUES ('in b again')",
			"RELEASE b",
			"ROLLBACK TRANSACTION TO SAVEPOINT a",
			"INSERT INTO p (name) VALUES ('second try')",
			"RELEASE SAVEPOINT a",
			"savepoint \"A b\"",
			"DELETE FROM q",
			"/* x */ ROLLBACK TO \"a B\"",
			"SELECT count(*) FROM q",
			"release \"A b\"",
			"SAVEPOINT s",
			"SAVEPOINT s",
			"UPDATE p SET age = 1",
			"ROLLBACK TO s",
			"RELEASE s",
			"UPDATE p SET age = 2 WHERE id = 1",
			"ROLLBACK TO s",
			"RELEASE s",
			"SELECT * FROM p ORDER BY id"),
		writing("savepoints that fail",
			"INSERT INTO p (name) VALUES ('one')",
			"!ROLLBACK TO nowhere",
			"!RELEASE nowhere",
			"SAVEPOINT a",
			"SAVEPOINT b",
			"RELEASE a",
			"!ROLLBACK TO b",
			"!RELEASE a",
			"INSERT INTO p (name) VALUES ('two')",
			"SELECT count(*) FROM p"),
		writing("savepoints around the schema",
			"SAVEPOINT a",
			"CREATE TABLE s (x)",
			"INSERT INTO s VALUES (1)",
			"ALTER TABLE p ADD COLUMN extra DEFAULT 5",
			"SELECT extra FROM p WHERE id = 1",
			"ROLLBACK TO a",
			"!SELECT * FROM s",
			"!SELECT extra FROM p",
			"CREATE TABLE s (y, z)",
			"INSERT INTO s VALUES (1, 2)",
			"RELEASE a",
			"SELECT * FROM s"),
		writing("savepoints before the first write",
			"SELECT count(*) FROM p",
			"SAVEPOINT a",
			"SELECT name FROM p WHERE id = 1",
			"ROLLBACK TO a",
			"RELEASE a",
			"SAVEPOINT b",
			"UPDATE p SET age = 77",
			"SELECT min(age) FROM p",
			"ROLLBACK TO b",
			"SELECT min(age) FROM p",
			"RELEASE b"),
		writing("savepoints in scripts",
			"SAVEPOINT a; INSERT INTO p (name) VALUES ('x'); ROLLBACK TO a; INSERT INTO p (name) VALUES ('y'); RELEASE a",
			"SELECT name FROM p ORDER BY id"),
		writing("failures",
			"INSERT INTO p (name) VALUES ('before')",
			"!INSERT INTO p (name) VALUES ('ann')",
			"!INSERT INTO p (id, name) VALUES (1, 'x')",
			"!INSERT INTO p (name) VALUES (NULL)",
			"!INSERT INTO p (name, age) VALUES ('x', -1)",
			"!INSERT INTO q VALUES (1, 'x', 1)",
			"!INSERT INTO q VALUES (99, 'x', 1)",
			"!INSERT INTO p (id, name) VALUES ('text', 'x')",
			"!UPDATE p SET name = 'same'",
			"!UPDATE p SET age = age - 25",
			"!DELETE FROM p",
			"!INSERT INTO p (name) VALUES ('m1'), ('m2'), ('ann')",
			"!SELEC 1",
			"!SELECT 'open",
			"!SELECT * FROM nowhere",
			"!SELECT nothing FROM p",
			"!SELECT nofunction(1)",
			"!INSERT INTO p (nothing) VALUES (1)",
			"!INSERT INTO p VALUES (1)",
			"!UPDATE nowhere SET x = 1",
			"!DELETE FROM nowhere",
			"!CREATE TABLE p (x)",
			"!DROP TABLE nowhere",
			"!SELECT abs(-9223372036854775808)",
			"INSERT INTO p (name) VALUES ('after')",
			"!INSERT INTO p (name) VALUES ('after') RETURNING id",
			"!UPDATE p SET name = 'ann' WHERE id = 2 RETURNING *",
			"SELECT * FROM p ORDER BY id",
			"UPDATE p SET age = 1 WHERE name = 'after'"),
		writing("failures before the first write",
			"!SELECT * FROM nowhere",
			"!INSERT INTO p (name) VALUES ('ann')",
			"!SELEC 1",
			"SELECT count(*) FROM p",
			"!UPDATE p SET age = -1",
			"INSERT INTO p (name) VALUES ('x')",
			"SELECT count(*) FROM p"),
		writing("only failures",
			"!INSERT INTO p (name) VALUES ('ann')",
			"!UPDATE p SET age = -1"),
		writing("only reads",
			"SELECT * FROM p ORDER BY id",
			"SELECT count(*) FROM q",
			"SELECT * FROM p WHERE 0"),
		writing("no net change",
			"INSERT INTO p (name) VALUES ('x')",
			"DELETE FROM p WHERE name = 'x'",
			"UPDATE p SET age = age",
			"UPDATE p SET age = 1 WHERE 0",
			"CREATE TABLE t (x)",
			"DROP TABLE t"),
		{name: "nothing"},
		{name: "no new row at first", setup: peopleTables, steps: []shapeStep{
			withoutID(do("INSERT INTO p (id, name) VALUES (1, 'annie') ON CONFLICT (id) DO UPDATE SET name = excluded.name")),
			ask("SELECT name FROM p WHERE id = 1"), withoutID(do("INSERT INTO p (id, name) VALUES (1, 'x') ON CONFLICT (id) DO NOTHING")), do("INSERT OR IGNORE INTO p (name) VALUES ('bob')"),
		}},
		{name: "no rowid at first", setup: steps(
			"CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID"), steps: []shapeStep{
			withoutID(do("INSERT INTO w VALUES ('k', 1), ('l', 2)")), withoutID(do("REPLACE INTO w VALUES ('k', 3)")), ask("SELECT * FROM w ORDER BY k"),
		}},
		{name: "no table at first", setup: slices.Concat(peopleTables, steps(
			"CREATE VIEW v AS SELECT name FROM p",
			"CREATE TRIGGER v_i INSTEAD OF INSERT ON v BEGIN INSERT INTO p (name) VALUES (new.name); END")), steps: []shapeStep{
			withoutID(do("INSERT INTO v VALUES ('fay'), ('gus')")), ask("SELECT id, name FROM p ORDER BY id"), do("INSERT INTO p (name) VALUES ('hal')"),
		}},
		{name: "writes by Query", setup: peopleTables, steps: []shapeStep{
			ask("INSERT INTO p (name) VALUES ('fay')"), ask("UPDATE p SET age = 1 WHERE id < ?", 3), ask("DELETE FROM q WHERE n > 15"), ask("CREATE TABLE made (x)"), ask("SELECT count(*) FROM p"), ask("DROP TABLE made"),
			failing(ask("INSERT INTO p (name) VALUES ('ann')")), ask("DELETE FROM q WHERE 0"),
		}},
		{name: "before the own write", setup: peopleTables, steps: []shapeStep{
			differs("a connection that only reads has nothing to tell", ask("SELECT changes(), last_insert_rowid()")),
			differs("changes() before the first write is refused", do("UPDATE p SET age = changes() WHERE 0")),
			differs("last_insert_rowid() before the first INSERT is refused", do("UPDATE p SET age = last_insert_rowid() WHERE 0")),
			differs("total_changes() counts what a node has done for all clients", ask("SELECT total_changes()")),
			ask("SELECT * FROM p ORDER BY id"),
		}},
	}
}
