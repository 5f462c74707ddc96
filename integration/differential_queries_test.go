package integration_test

import (
	"database/sql"
	"fmt"
	"math"
	"strings"
	"testing"
)

// diffParameters looks at the ways of naming parameters, and at their number.
func diffParameters(t *testing.T, p *pair) {
	for _, m := range []mode{queryMode, preparedQuery} {
		for _, c := range []struct {
			query string
			args  []any
		}{
			{"SELECT ?, ?", []any{1, "a"}},
			{"SELECT ?2, ?1", []any{1, "a"}},
			{"SELECT ?1, ?1, ?2", []any{1, "a"}},
			{"SELECT ?2, ?", []any{1, "a", 2.5}},
			{"SELECT :a, @b, $c", []any{sql.Named("a", 1), sql.Named("b", "x"), sql.Named("c", nil)}},
			{"SELECT :a, @b, $c", []any{sql.Named("c", 1), sql.Named("b", "x"), sql.Named("a", nil)}},
			{"SELECT :a, :a, @a, $a", []any{sql.Named("a", "all")}},
			{"SELECT :a, :b", []any{1, 2}},
			{"SELECT :a, ?", []any{sql.Named("a", 1), 2}},
			{"SELECT 1", nil},
			{"SELECT ? AS \"?\", '?', \"?\" FROM (SELECT 1 AS \"?\")", []any{1}},
			{"SELECT ?", []any{math.NaN()}},
			{"SELECT '2024' || ?1 || x'41' /* ? */ -- ?\n, ?1", []any{"z"}},
			{"SELECT x FROM (SELECT ? AS x) LIMIT ? OFFSET ?", []any{1.5, 1, 0}},
			{"VALUES (?, ?), (?, ?)", []any{1, 2.0, "x'00'", nil}},
			{"SELECT ? IN (?, ?), ? BETWEEN ? AND ?, ? LIKE ?", []any{1, 2, 1, 5, 1, 9, "abc", "a%"}},
			// Wrong numbers and values.
			{"SELECT ?, ?", []any{1}},
			{"SELECT ?", nil},
			{"SELECT ?", []any{1, 2}},
			{"SELECT 1", []any{1}},
			{"SELECT ?3", []any{1, 2}},
			{"SELECT :a", []any{sql.Named("b", 1)}},
			{"SELECT :a", []any{sql.Named("a", 1), sql.Named("b", 2)}},
			{"SELECT ?", []any{uint64(math.MaxUint64)}},
			{"SELECT ?", []any{struct{}{}}},
			{"SELECT ?", []any{math.Inf(1)}},
			{"SELECT ?", []any{"\xff"}},
		} {
			p.run(t, m, c.query, c.args...)
		}
	}
}

// diffQueries runs queries of many shapes over a few rows.
func diffQueries(t *testing.T, p *pair) {
	table := newTable()
	p.setUp(t, fmt.Sprintf(`CREATE TABLE %s (id INTEGER PRIMARY KEY, "name of it" TEXT, price REAL, made DATE, ok BOOLEAN, data BLOB, doc JSON)`, table))
	p.setUp(t, fmt.Sprintf(`INSERT INTO %s VALUES (1, 'a', 1.0, '2024-01-02', 1, x'00', '{"a":[1,2.0,null,"x"]}'), (2, NULL, 2.5, NULL, 0, x'', NULL), (3, 'c', NULL, 1704164645, NULL, NULL, '[]')`, table))
	p.setUp(t, fmt.Sprintf("CREATE VIEW %[1]s_v AS SELECT id, price, made, ok, data, price * 2 AS twice FROM %[1]s", table))
	for _, query := range []string{
		"SELECT * FROM %s",
		"SELECT * FROM %s_v",
		"SELECT id, * FROM %s",
		"SELECT a.*, b.made FROM %[1]s a JOIN %[1]s b ON a.id = b.id + 1",
		"SELECT a.id, b.id FROM %[1]s a LEFT JOIN %[1]s b ON a.id = b.id + 1 ORDER BY 1",
		"SELECT a.made, b.ok, b.data FROM %[1]s a LEFT JOIN %[1]s b ON b.id = 99 ORDER BY a.id",
		"SELECT \"name of it\", [price], `made` FROM %s",
		"SELECT made FROM %s UNION SELECT ok FROM %[1]s ORDER BY 1",
		"SELECT sum(price), total(price), avg(price), group_concat(\"name of it\") FROM %s",
		"SELECT sum(id), total(id), avg(id), max(made), min(ok), max(data) FROM %s",
		"SELECT count(*), count(price) FROM %s WHERE 0",
		"SELECT sum(price) FROM %s WHERE 0",
		"SELECT ok, count(*) FROM %s GROUP BY ok ORDER BY ok",
		"SELECT row_number() OVER (ORDER BY id DESC), lag(price) OVER (ORDER BY id) FROM %s ORDER BY id",
		"SELECT json_extract(doc, '$.a'), json_extract(doc, '$.a[1]'), doc ->> '$.a[3]', doc -> '$.a[3]' FROM %s",
		"SELECT e.key, e.value, e.type FROM %s, json_each(doc, '$.a') AS e",
		"SELECT CASE WHEN ok THEN price ELSE 'no' END, iif(ok, 1, 2.5) FROM %s",
		"SELECT EXISTS (SELECT 1 FROM %s), NOT EXISTS (SELECT 1), (SELECT price FROM %[1]s WHERE id = 1)",
		"SELECT date(made), datetime(made), julianday(made), strftime('%%s', made), unixepoch(made) FROM %s WHERE id = 1",
		"SELECT rowid, oid, _rowid_ FROM %s",
		"SELECT 1 AS a, 2 AS a, 3 AS \"\", 4 AS \"ä\"",
		"SELECT DISTINCT typeof(price) FROM %s ORDER BY 1",
		"SELECT * FROM (VALUES (1, 'a'), (2.0, x'00'))",
		"VALUES (1), (2.0), ('x')",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i, i * 1.0, i / 2.0 FROM n",
		"PRAGMA table_info(%s)",
		"PRAGMA table_xinfo(%s)",
		"PRAGMA index_list(%s)",
		"PRAGMA encoding",
		"SELECT name, type, pk FROM pragma_table_info('%s')",
		"EXPLAIN QUERY PLAN SELECT * FROM %s WHERE id = 1",
		"SELECT type, name, sql FROM sqlite_schema WHERE name LIKE '%s%%' ORDER BY name",
		"SELECT NULL, NULL FROM %s",
		"SELECT NULL UNION ALL SELECT 1 UNION ALL SELECT 'a'",
		"SELECT ok AND 1, NOT ok, ok = 1, made > '2000' FROM %s",
		"SELECT price AS made, made AS price FROM %s",
		"SELECT -price, +price, price * 1, round(price), price / 3 FROM %s",
		"SELECT -9223372036854775808, 9223372036854775807, 9223372036854775807 + 1, 1e308 * 10 > 1",
		"SELECT printf('%%.20g', 0.1), 0.1 + 0.2, 1e15, 1e16, 123456789012345680.0, 1.0e-5",
	} {
		query = strings.NewReplacer("%[1]s", table, "%s", table, "%%", "%").Replace(query)
		p.query(t, query)
		p.run(t, preparedQuery, query)
	}
}
