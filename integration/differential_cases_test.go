package integration_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
)

// fill creates a table with one column of a declared type, and a row for each
// of the values, whose ids count from 1.
func fill(t *testing.T, p *pair, declared string, values []any) (table string) {
	t.Helper()
	table = newTable()
	p.setUp(t, fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY, v %s)", table, declared))
	args := make([]any, 0, len(values))
	args = append(args, values...)
	p.exec(t, fmt.Sprintf("INSERT INTO %s (v) VALUES %s", table, strings.TrimSuffix(strings.Repeat("(?),", len(values)), ",")), args...)
	return table
}

// wholeTable are queries for all rows of a table, where %s stands for it.
var wholeTable = []string{
	"SELECT * FROM %s ORDER BY id",
	"SELECT v FROM %s ORDER BY id",
	"SELECT v FROM %s ORDER BY id DESC",
	"SELECT V AS Other, id FROM %s ORDER BY id",
	"SELECT t.* FROM %s AS t ORDER BY id",
	"SELECT v FROM (SELECT id, v FROM %s) ORDER BY id",
	"SELECT typeof(v), length(v), hex(v) FROM %s ORDER BY id", // what is stored
	"SELECT v + 0 FROM %s ORDER BY id",
	"SELECT v || '' FROM %s ORDER BY id",
	"SELECT coalesce(v, 'none') FROM %s ORDER BY id",
	"SELECT CAST(v AS TEXT), CAST(v AS BLOB), CAST(v AS REAL), CAST(v AS INTEGER) FROM %s ORDER BY id",
	"SELECT max(v), min(v), count(v), count(*) FROM %s",
	"SELECT typeof(v), count(*) FROM %s GROUP BY typeof(v) ORDER BY 1",
	"SELECT v IS NULL, v = 1, v > 1 FROM %s ORDER BY id",
	"SELECT v, v FROM %s WHERE typeof(v) = 'blob' ORDER BY id",
	"SELECT v FROM %s WHERE typeof(v) = 'real' ORDER BY id",
	"SELECT v FROM %s WHERE typeof(v) = 'null' ORDER BY id",
	"SELECT * FROM %s WHERE 0",
	"SELECT v, v + 1, max(v) FROM %s WHERE 0",
	"WITH w(x) AS (SELECT v FROM %s ORDER BY id) SELECT x FROM w",
	"SELECT v FROM %[1]s WHERE id = 1 UNION ALL SELECT v FROM %[1]s WHERE id = 2",
	inOrder,
}

const (
	inOrder = "SELECT DISTINCT v FROM %s ORDER BY typeof(v), v"
	// The place of a REAL that was stored as text is another with SQLite before 3.53.
	inOldOrder = "SELECT DISTINCT v FROM %s WHERE typeof(v) <> 'text' OR v NOT GLOB '*[0-9].[0-9]*' ORDER BY typeof(v), v"
)

// readAll reads a table in all ways.
func readAll(t *testing.T, p *pair, table string, rows int) {
	t.Helper()
	for _, query := range wholeTable {
		if query == inOrder && p.backend.before("10.0.1") {
			query = inOldOrder
		}
		p.query(t, fmt.Sprintf(query, table))
	}
	for id := 1; id <= rows; id++ {
		p.query(t, fmt.Sprintf("SELECT v, (SELECT v FROM %[1]s WHERE id = ?1) AS s FROM %[1]s WHERE id = ?1", table), id)
	}
}

// typeName makes a name for a subtest of a declared type.
func typeName(declared string) string {
	if declared == "" {
		return "untyped"
	}
	return declared
}

func diffBound(t *testing.T, p *pair) {
	for _, declared := range declaredTypes {
		t.Run(typeName(declared), func(t *testing.T) {
			p := &pair{backend: p.backend, oracle: p.oracle, subject: p.subject}
			readAll(t, p, fill(t, p, declared, boundValues), len(boundValues))
		})
	}
	t.Run("expressions", func(t *testing.T) {
		for _, value := range boundValues {
			p.query(t, "SELECT ?", value)
			p.query(t, "SELECT ?1, typeof(?1), hex(?1), ?1 AS named", value)
		}
	})
}

func diffLiterals(t *testing.T, p *pair) {
	t.Run("expressions", func(t *testing.T) {
		for _, literal := range append(literals, oddLiterals...) {
			p.query(t, "SELECT "+literal)
			p.query(t, fmt.Sprintf("SELECT %[1]s AS a, typeof(%[1]s)", literal))
		}
	})
	for _, declared := range []string{"INTEGER", "TEXT", "BLOB", "", "REAL", "NUMERIC", "BOOLEAN", "DATETIME"} {
		t.Run(typeName(declared), func(t *testing.T) {
			p := &pair{backend: p.backend, oracle: p.oracle, subject: p.subject}
			table := newTable()
			p.setUp(t, fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY, v %s)", table, declared))
			p.exec(t, fmt.Sprintf("INSERT INTO %s (v) VALUES (%s)", table, strings.Join(literals, "), (")))
			readAll(t, p, table, len(literals))
		})
	}
}

func diffStrict(t *testing.T, p *pair) {
	for _, declared := range []string{"INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY"} {
		t.Run(declared, func(t *testing.T) {
			p := &pair{backend: p.backend, oracle: p.oracle, subject: p.subject}
			table := newTable()
			p.setUp(t, fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY, v %s) STRICT", table, declared))
			for _, value := range []any{
				nil, 1, -1, 1 << 53, 3.0, 1.5, 1e20, true, "", "abc", "12", "1.5", "x'41'",
				[]byte{},
				[]byte{0xff},
				[]byte("a"),
				boundValues[len(boundValues)-5],
			} {
				p.exec(t, fmt.Sprintf("INSERT INTO %s (v) VALUES (?)", table), value)
			}
			readAll(t, p, table, 0)
		})
	}
}

// diffOdd reads values that have no form in JSON.
func diffOdd(t *testing.T, p *pair) {
	for _, declared := range []string{"REAL", "BLOB", "TEXT", "NUMERIC", "DATETIME"} {
		table := newTable()
		p.setUp(t, fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY, v %s)", table, declared))
		for _, literal := range append(oddLiterals, "-1000000000000", "253402300800") {
			p.exec(t, fmt.Sprintf("INSERT INTO %s (v) VALUES (%s)", table, literal))
			p.query(t, fmt.Sprintf("SELECT v FROM %s ORDER BY id DESC LIMIT 1", table))
		}
		p.query(t, fmt.Sprintf("SELECT typeof(v), hex(v) FROM %s ORDER BY id", table))
	}
}

// diffLarge moves values of 1 MiB.
func diffLarge(t *testing.T, p *pair) {
	table := fill(t, p, "BLOB", []any{largeBlob, nil, largeBlob})
	p.query(t, "SELECT * FROM "+table)
	p.query(t, "SELECT length(v), hex(v) = hex(?) FROM "+table, largeBlob)
	text := strings.Repeat("a\u2028\x00\U0001F600\\\"", 1<<20/12)
	table = fill(t, p, "TEXT", []any{text, text})
	p.query(t, "SELECT * FROM "+table)
}

func diffReturning(t *testing.T, p *pair) {
	table := newTable()
	p.setUp(t, fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY, n INT, r REAL, s VARCHAR(20), b BLOB, at DATETIME, ok BOOLEAN)", table))
	all := []any{1, 3.0, "x'41'", []byte{0, 0xff}, "2024-01-02 03:04:05", true}
	for _, clause := range []string{"RETURNING *", "RETURNING id", "returning\nid, r, b", "RETURNING\t*", "RETURNING id AS a, ok, at", "RETURNING(id)", "RETURNING/**/id", "RETURNING id+1, s || 'x'"} {
		for _, m := range []mode{queryMode, preparedQuery, execMode, preparedExec} {
			p.run(t, m, fmt.Sprintf("INSERT INTO %s (n, r, s, b, at, ok) VALUES (?, ?, ?, ?, ?, ?) %s", table, clause), all...)
		}
	}
	for _, query := range []string{
		"INSERT INTO %s (n) VALUES (10), (11), (12) RETURNING id, n",
		"UPDATE %s SET n = n + 1 WHERE n >= 10 RETURNING n, r, ok",
		"UPDATE %s SET n = 0 WHERE 0 RETURNING *",
		"DELETE FROM %s WHERE n > 10 RETURNING id, s, at",
		"DELETE FROM %s WHERE 0 RETURNING id",
		"INSERT INTO %s (id, n) VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING id, n",
		"INSERT INTO %s (id, n) VALUES (1, 5) ON CONFLICT DO NOTHING RETURNING id",
		"REPLACE INTO %s (id, n) VALUES (1, 6) RETURNING *",
		"WITH w AS (SELECT 7 AS x) INSERT INTO %s (n) SELECT x FROM w RETURNING n",
		"INSERT INTO %s (id, n) VALUES (1, 5) RETURNING id", // fails
		"SELECT * FROM %s ORDER BY id",
	} {
		p.query(t, fmt.Sprintf(query, table))
	}
	p.exec(t, fmt.Sprintf("UPDATE %s SET n = 1 RETURNING id", table))
	p.exec(t, fmt.Sprintf("DELETE FROM %s RETURNING id", table))
	p.query(t, "SELECT * FROM "+table)
}

// diffScripts runs several statements per call.
func diffScripts(t *testing.T, p *pair) {
	table := newTable()
	contents := fmt.Sprintf("SELECT * FROM %s ORDER BY id", table)
	p.setUp(t, fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY, v UNIQUE)", table))
	for _, script := range []string{
		"INSERT INTO %[1]s VALUES (1, 'a'); INSERT INTO %[1]s VALUES (2, 'b')",
		"INSERT INTO %[1]s VALUES (3, 'c');;; -- nothing\n; INSERT INTO %[1]s VALUES (4, 'd'); /* end */",
		"INSERT INTO %[1]s VALUES (5, 'e'); INSERT INTO %[1]s VALUES (1, 'no'); INSERT INTO %[1]s VALUES (6, 'f')",
		"INSERT INTO %[1]s VALUES (7, 'g'); INSERT INTO nowhere VALUES (1); INSERT INTO %[1]s VALUES (8, 'h')",
		"INSERT INTO %[1]s VALUES (9, 'i'); SELEC 1; INSERT INTO %[1]s VALUES (10, 'j')",
		"INSERT OR FAIL INTO %[1]s VALUES (11, 'k'), (1, 'no'), (12, 'l'); DELETE FROM %[1]s",
		"INSERT OR IGNORE INTO %[1]s VALUES (13, 'm'), (1, 'no'), (14, 'n'); UPDATE %[1]s SET v = v || 'x' WHERE id > 5",
		"UPDATE %[1]s SET v = 'same'; DELETE FROM %[1]s",
		"DELETE FROM %[1]s WHERE id = 1; SELECT 1; UPDATE %[1]s SET v = upper(v) WHERE id < 4",
		"CREATE TABLE %[1]s_a (x); INSERT INTO %[1]s_a VALUES (1); DROP TABLE %[1]s_a",
		"CREATE TRIGGER %[1]s_t AFTER INSERT ON %[1]s BEGIN UPDATE %[1]s SET v = v || ';' WHERE id = new.id; SELECT 1; END; INSERT INTO %[1]s VALUES (20, 'x')",
		"INSERT INTO %[1]s VALUES (30, 'a;b'); INSERT INTO %[1]s VALUES (31, \"c;d\")",
	} {
		p.exec(t, fmt.Sprintf(script, table))
		p.query(t, contents)
	}
	p.exec(t, fmt.Sprintf("INSERT INTO %[1]s VALUES (?, ?); INSERT INTO %[1]s VALUES (?, ?)", table), 40, "p", 41, "q")
	p.exec(t, fmt.Sprintf("INSERT INTO %[1]s VALUES (?, ?); INSERT INTO %[1]s VALUES (?, ?)", table), 42, "p", 43, "r")
	p.query(t, contents)
	p.exec(t, fmt.Sprintf("INSERT INTO %[1]s VALUES (:id, 's'); UPDATE %[1]s SET v = 'u' WHERE id = :id", table), sql.Named("id", 44))
	p.query(t, "SELECT 1 AS a UNION SELECT 2; SELECT 3 AS b")
	for _, empty := range []string{"", ";", " -- nothing", "/* nothing */ ;; "} {
		p.exec(t, empty)
	}
}

// diffResults looks at LastInsertId and RowsAffected.
func diffResults(t *testing.T, p *pair) {
	table := newTable()
	for _, m := range []mode{execMode, preparedExec} {
		for _, query := range []string{
			"CREATE TABLE %s (id INTEGER PRIMARY KEY, v UNIQUE)",
			"INSERT INTO %s (v) VALUES ('a')",
			"INSERT INTO %s (v) VALUES ('b'), ('c'), ('d')",
			"INSERT INTO %s (id, v) VALUES (100, 'e')",
			"INSERT INTO %s (id, v) VALUES (-5, 'f')",
			"INSERT INTO %s (id, v) VALUES (9223372036854775806, 'g')",
			"WITH w AS (SELECT 'with' AS x) INSERT INTO %s (v) SELECT x FROM w",
			"DELETE FROM %s WHERE id > 1000",
			"UPDATE %s SET v = v || 'x'",
			"UPDATE %s SET v = v WHERE 0",
			"INSERT OR IGNORE INTO %s (id, v) VALUES (100, 'z')",
			"INSERT OR REPLACE INTO %s (id, v) VALUES (100, 'y')",
			"INSERT INTO %s (id, v) VALUES (100, 'w') ON CONFLICT (id) DO UPDATE SET v = excluded.v",
			"INSERT INTO %s (id, v) VALUES (1, 'no')",
			"DELETE FROM %s WHERE id = 100",
			"DELETE FROM %s WHERE 0",
			"INSERT INTO %[1]s (v) SELECT v || 'more' FROM %[1]s WHERE id < 0",
			"CREATE INDEX %[1]s_i ON %[1]s (v)",
			"DROP INDEX %[1]s_i",
			"SELECT * FROM %s",
			"DELETE FROM %s",
			"DROP TABLE %s",
		} {
			p.run(t, m, strings.NewReplacer("%[1]s", table, "%s", table).Replace(query))
		}
	}
}

// diffErrors looks at the kinds of errors.
func diffErrors(t *testing.T, p *pair) {
	table := newTable()
	p.setUp(t, fmt.Sprintf(`CREATE TABLE %s (id INTEGER PRIMARY KEY, u TEXT UNIQUE, n INT NOT NULL DEFAULT 0, c INT CHECK (c < 10), g AS (n + 1))`, table))
	p.setUp(t, fmt.Sprintf("CREATE TABLE %[1]s_w (k TEXT, l INT, PRIMARY KEY (k, l)) WITHOUT ROWID", table))
	p.setUp(t, fmt.Sprintf("CREATE UNIQUE INDEX %[1]s_e ON %[1]s_w (k || 'x')", table))
	p.setUp(t, fmt.Sprintf("CREATE VIEW %[1]s_v AS SELECT * FROM %[1]s", table))
	p.setUp(t, fmt.Sprintf("CREATE TRIGGER %[1]s_t BEFORE DELETE ON %[1]s WHEN old.id = 1 BEGIN SELECT RAISE(ABORT, 'not this one'); END", table))
	p.setUp(t, fmt.Sprintf("INSERT INTO %[1]s (id, u) VALUES (1, 'a')", table))
	p.setUp(t, fmt.Sprintf("INSERT INTO %[1]s_w VALUES ('a', 1)", table))
	for _, query := range []string{
		"INSERT INTO %s (id) VALUES (1)",
		"INSERT INTO %s (u) VALUES ('a')",
		"INSERT INTO %s (n) VALUES (NULL)",
		"INSERT INTO %s (c) VALUES (10)",
		"INSERT INTO %s (id) VALUES ('text')",
		"INSERT INTO %s (g) VALUES (1)",
		"INSERT INTO %s_w VALUES ('a', 1)",
		"INSERT INTO %s_w VALUES ('a', 2)",
		"INSERT INTO %s_w VALUES (NULL, 2)",
		"INSERT INTO %s_v (id) VALUES (2)",
		"DELETE FROM %s",
		"UPDATE %s SET id = 'text'",
		"INSERT INTO %s VALUES (1)",
		"INSERT INTO %s_none VALUES (1)",
		"SELECT nowhere FROM %s",
		"SELECT * FROM %s_none",
		"SELECT nofunction(1)",
		"SELECT abs(-9223372036854775808)",
		"SELECT json_extract('{}', 'bad path')",
		"SELECT json('not json')",
		"SELEC 1",
		"SELECT",
		"SELECT 'open",
		"SELECT 1 FROM",
		"CREATE TABLE %s (x)",
		"CREATE TABLE sqlite_mine (x)",
		"DROP TABLE %s_none",
		"ALTER TABLE %s DROP COLUMN id",
		"ALTER TABLE %s ADD COLUMN u",
		"SELECT zeroblob(2000000000)",
		"SELECT 1 UNION SELECT 1, 2",
		"SELECT max(id), max(u) FROM %s WHERE max(id) > 1",
	} {
		for _, m := range []mode{execMode, queryMode, preparedExec, preparedQuery} {
			p.run(t, m, strings.ReplaceAll(query, "%s", table))
		}
	}
	p.query(t, "SELECT * FROM "+table)
}
