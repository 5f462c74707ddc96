package sqltext_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestHideTable writes # for the subquery in the wanted texts.
func TestHideTable(t *testing.T) {
	t.Parallel()
	const selection = "(SELECT type,name,tbl_name,rootpage,sql FROM main.sqlite_master WHERE tbl_name<>'_mine')"
	for src, want := range map[string]string{
		"SELECT name FROM sqlite_master":                                       "SELECT name FROM # AS sqlite_master",
		"SELECT name FROM sqlite_master WHERE type='table' AND name = ?":       "SELECT name FROM # AS sqlite_master WHERE type='table' AND name = ?",
		"select m.name from main.SQLITE_SCHEMA as m order by 1":                "select m.name from # as m order by 1",
		`SELECT * FROM "sqlite_schema" m`:                                      "SELECT * FROM # m",
		"SELECT count(*) FROM [sqlite_master] LIMIT ?":                         "SELECT count(*) FROM # AS [sqlite_master] LIMIT ?",
		"SELECT sqlite_master.name FROM sqlite_master":                         "SELECT sqlite_master.name FROM # AS sqlite_master",
		"SELECT a.name FROM sqlite_master AS a, pragma_table_info(a.name) p":   "SELECT a.name FROM # AS a, pragma_table_info(a.name) p",
		"SELECT 1 FROM t JOIN sqlite_master ON 1":                              "SELECT 1 FROM t JOIN # AS sqlite_master ON 1",
		"SELECT 1 FROM t, sqlite_master LEFT JOIN sqlite_schema s USING(name)": "SELECT 1 FROM t, # AS sqlite_master LEFT JOIN # s USING(name)",
		"SELECT (SELECT count(*) FROM sqlite_master)":                          "SELECT (SELECT count(*) FROM # AS sqlite_master)",
		"WITH x AS (SELECT name FROM sqlite_schema) SELECT * FROM x":           "WITH x AS (SELECT name FROM # AS sqlite_schema) SELECT * FROM x",
		"SELECT name FROM sqlite_master UNION SELECT 'x'":                      "SELECT name FROM # AS sqlite_master UNION SELECT 'x'",
	} {
		got := parseOne(t, src).HideTable("_mine")
		want = strings.ReplaceAll(want, "#", selection)
		assert.Equal(t, parseOne(t, want), got, src)
	}
	const listed = "(SELECT schema,name,type,ncol,wr,strict FROM pragma_table_list WHERE name<>'_mine')"
	for src, want := range map[string]string{
		"SELECT name FROM pragma_table_list WHERE schema = ?":                              "SELECT name FROM @ AS pragma_table_list WHERE schema = ?",
		"SELECT m.name FROM sqlite_master AS m, pragma_table_list l WHERE m.name = l.name": "SELECT m.name FROM # AS m, @ l WHERE m.name = l.name",
		"SELECT 1 FROM sqlite_master JOIN pragma_table_list(sqlite_master.name)":           "SELECT 1 FROM # AS sqlite_master JOIN pragma_table_list(sqlite_master.name)",
		"PRAGMA table_list":        "SELECT schema,name,type,ncol,wr,strict FROM pragma_table_list WHERE name<>'_mine'",
		"pragma main . Table_List": "SELECT schema,name,type,ncol,wr,strict FROM pragma_table_list WHERE name<>'_mine' AND schema='main'",
		"SELECT a, (SELECT count(*) FROM t, sqlite_master) FROM u ORDER BY a, b": "SELECT a, (SELECT count(*) FROM t, # AS sqlite_master) FROM u ORDER BY a, b",
	} {
		want = strings.NewReplacer("#", selection, "@", listed).Replace(want)
		assert.Equal(t, parseOne(t, want), parseOne(t, src).HideTable("_mine"), src)
	}
	for _, src := range []string{
		"SELECT name FROM pragma_table_list('t')",
		"SELECT name FROM pragma_table_list WHERE arg = 't'",
		"PRAGMA table_list(t)",
		"PRAGMA temp.table_list",
		"PRAGMA table_info(table_list)",
		"SELECT a, sqlite_master FROM t",
		"SELECT max(a, sqlite_master) FROM t",
		"SELECT a FROM t ORDER BY a, sqlite_master",
		"SELECT a IS DISTINCT FROM sqlite_master FROM t",
		"SELECT a IS NOT DISTINCT FROM b, sqlite_master FROM t",
		"SELECT name FROM t",
		"SELECT 'sqlite_master' FROM t",
		"SELECT x IN ('a', 'sqlite_master') FROM t",
		"SELECT name FROM sqlite_master WHERE name = '_mine'",
		"SELECT v FROM _MINE, sqlite_master",
		"SELECT name FROM sqlite_master ORDER BY rowid",
		"SELECT main.sqlite_master.name FROM sqlite_master",
		"SELECT name FROM temp.sqlite_master",
		"SELECT name FROM sqlite_master NOT INDEXED",
		"SELECT name FROM sqlite_master key",
		"SELECT name FROM sqlite_temp_master",
		"SELECT sqlite_master FROM t",
		"WITH sqlite_master AS (SELECT 1) SELECT * FROM t",
		"EXPLAIN SELECT name FROM sqlite_master",
		"INSERT INTO t SELECT name FROM sqlite_master",
		"UPDATE sqlite_master SET sql = ''",
		"PRAGMA table_info(sqlite_master)",
	} {
		assert.Equal(t, parseOne(t, src), parseOne(t, src).HideTable("_mine"), src)
	}
}
