package sqltext_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// parseOne parses a text that holds exactly one statement.
func parseOne(t *testing.T, src string) sqltext.Statement {
	t.Helper()
	stmts, err := sqltext.Parse(src)
	require.NoError(t, err)
	require.Len(t, stmts, 1, "statements in %q", src)
	return stmts[0]
}

var splitTests = []struct {
	name string
	src  string
	want []string
}{
	{"nothing", "", nil},
	{"space", " \t\r\n\f\v", nil},
	{"semicolons", " ;; ; ", nil},
	{"line comment", "-- nothing here", nil},
	{"block comment", "/* nothing; here */", nil},
	{"block comment to the end", "/* nothing here", nil},
	{"byte order mark", "\ufeff", nil},
	{"one", "SELECT 1", []string{"SELECT 1"}},
	{"trailing semicolon", "SELECT 1 ; ", []string{"SELECT 1"}},
	{"two", "SELECT 1;SELECT 2", []string{"SELECT 1", "SELECT 2"}},
	{"empty between", "SELECT 1;; /* none */ ;\nSELECT 2", []string{"SELECT 1", "SELECT 2"}},
	{"comments around", "/* a; */ SELECT 1 -- b;\n; -- c", []string{"SELECT 1"}},
	{"comments inside stay", "SELECT /* a; */ 1, -- b;\n2", []string{"SELECT /* a; */ 1, -- b;\n2"}},
	{"comments do not nest", "SELECT 1 /* /* ; */ ; SELECT 2", []string{"SELECT 1", "SELECT 2"}},
	{"slash star slash is open", "SELECT 1 /*/ ; */", []string{"SELECT 1"}},
	{"empty comment", "SELECT/**/1;SELECT 2", []string{"SELECT/**/1", "SELECT 2"}},
	{"minus is no comment", "SELECT 1 - - 1; SELECT 2", []string{"SELECT 1 - - 1", "SELECT 2"}},
	{"arrows", "SELECT a->'$.x;y', a->>'z' FROM t; SELECT 2", []string{"SELECT a->'$.x;y', a->>'z' FROM t", "SELECT 2"}},
	{"string", "SELECT 'a;b'; SELECT 2", []string{"SELECT 'a;b'", "SELECT 2"}},
	{"quote in string", "SELECT 'it''s; one'; SELECT ''; SELECT ''''", []string{"SELECT 'it''s; one'", "SELECT ''", "SELECT ''''"}},
	{"backslash is nothing", `SELECT 'a\'; SELECT 'b'`, []string{`SELECT 'a\'`, "SELECT 'b'"}},
	{"dash in string", "SELECT '--'; SELECT '/*'", []string{"SELECT '--'", "SELECT '/*'"}},
	{"double quotes", `SELECT "a;""b"; SELECT 2`, []string{`SELECT "a;""b"`, "SELECT 2"}},
	{"backticks", "SELECT `a;``b`; SELECT 2", []string{"SELECT `a;``b`", "SELECT 2"}},
	{"brackets", "SELECT [a;'b]; SELECT [a[b]", []string{"SELECT [a;'b]", "SELECT [a[b]"}},
	{"blob", "SELECT x'3B', X'' ; SELECT 2", []string{"SELECT x'3B', X''", "SELECT 2"}},
	{"word ending in x is no blob", "SELECT ax''';'; SELECT 2", []string{"SELECT ax''';'", "SELECT 2"}},
	{"parameter suffix", "SELECT $a::b(c;d); SELECT 2", []string{"SELECT $a::b(c;d)", "SELECT 2"}},
	{"call is no suffix", "SELECT f(1;2)", []string{"SELECT f(1", "2)"}},
	{"byte order mark before", "\ufeffSELECT 1;\ufeff SELECT 2", []string{"SELECT 1", "SELECT 2"}},
	{"letters beyond ASCII", "SELECT größe FROM дом; SELECT 2", []string{"SELECT größe FROM дом", "SELECT 2"}},
	{"case is no trigger", "SELECT CASE WHEN 1 THEN 2 END; SELECT 2", []string{"SELECT CASE WHEN 1 THEN 2 END", "SELECT 2"}},
	{"begin is no block", "BEGIN; SELECT 1; END", []string{"BEGIN", "SELECT 1", "END"}},
	{"what SQLite rejects", "SELECT 1a, \\ !; SELECT 2", []string{"SELECT 1a, \\ !", "SELECT 2"}},
}

func TestParseSplit(t *testing.T) {
	t.Parallel()
	for _, tt := range splitTests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stmts, err := sqltext.Parse(tt.src)
			require.NoError(t, err)
			assert.Equal(t, tt.want, texts(stmts))
		})
	}
}

func texts(stmts []sqltext.Statement) []string {
	var all []string // nil if there are none
	for _, s := range stmts {
		all = append(all, s.Text)
	}
	return all
}

const triggerBody = `AFTER INSERT ON a WHEN new.n > 1 BEGIN
	UPDATE b SET n = CASE WHEN n > 1 THEN 2 ELSE 3 END;
	INSERT INTO c VALUES (new.id, 'END;'); -- END;
	SELECT "END" FROM c;
END`

var triggerTests = []struct {
	name string
	src  string
	want []string
}{
	{"alone", "CREATE TRIGGER t " + triggerBody, []string{"CREATE TRIGGER t " + triggerBody}},
	{
		"then another", "CREATE TRIGGER t " + triggerBody + " ; SELECT 1",
		[]string{"CREATE TRIGGER t " + triggerBody, "SELECT 1"},
	},
	{
		"two", "create temp trigger t " + triggerBody + ";CREATE TEMPORARY TRIGGER u " + triggerBody + ";",
		[]string{"create temp trigger t " + triggerBody, "CREATE TEMPORARY TRIGGER u " + triggerBody},
	},
	{
		"explained", "EXPLAIN CREATE TRIGGER t " + triggerBody + "; EXPLAIN QUERY PLAN CREATE TRIGGER t " + triggerBody + ";SELECT 1",
		[]string{"EXPLAIN CREATE TRIGGER t " + triggerBody, "EXPLAIN QUERY PLAN CREATE TRIGGER t " + triggerBody, "SELECT 1"},
	},
	{
		"comment before END", "CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT 1; /* done; */ END; SELECT 2",
		[]string{"CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT 1; /* done; */ END", "SELECT 2"},
	},
	{
		"END not after a semicolon", "CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; END; SELECT 2",
		[]string{"CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; END", "SELECT 2"},
	},
	{
		"quoted END", `CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT 1; "END"; END; SELECT 2`,
		[]string{`CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT 1; "END"; END`, "SELECT 2"},
	},
	{
		"never ends", "CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT 1; SELECT 2; ; ",
		[]string{"CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT 1; SELECT 2"},
	},
	{
		"a table of that name", "CREATE TABLE trigger(a); CREATE TABLE temp(b)",
		[]string{"CREATE TABLE trigger(a)", "CREATE TABLE temp(b)"},
	},
	{"dropped", "DROP TRIGGER t; SELECT 1", []string{"DROP TRIGGER t", "SELECT 1"}},
}

func TestParseTrigger(t *testing.T) {
	t.Parallel()
	for _, tt := range triggerTests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stmts, err := sqltext.Parse(tt.src)
			require.NoError(t, err)
			assert.Equal(t, tt.want, texts(stmts))
		})
	}
}

var kindTests = []struct {
	src     string
	kind    sqltext.Kind
	keyword string
}{
	{"SELECT 1", sqltext.Read, "SELECT"},
	{"sElEcT 1", sqltext.Read, "SELECT"},
	{"VALUES (1), (2)", sqltext.Read, "VALUES"},
	{"INSERT INTO t VALUES (1)", sqltext.Write, "INSERT"},
	{"insert into t select * from u", sqltext.Write, "INSERT"},
	{"REPLACE INTO t VALUES (1)", sqltext.Write, "REPLACE"},
	{"UPDATE t SET a = 1", sqltext.Write, "UPDATE"},
	{"DELETE FROM t", sqltext.Write, "DELETE"},
	{"CREATE TABLE t(a)", sqltext.Schema, "CREATE"},
	{"CREATE TEMP TABLE t(a)", sqltext.Schema, "CREATE"},
	{"CREATE TRIGGER t " + triggerBody, sqltext.Schema, "CREATE"},
	{"DROP TABLE t", sqltext.Schema, "DROP"},
	{"ALTER TABLE t RENAME TO u", sqltext.Schema, "ALTER"},
	{"REINDEX", sqltext.Schema, "REINDEX"},
	{"ANALYZE", sqltext.Schema, "ANALYZE"},
	{"BEGIN IMMEDIATE", sqltext.Control, "BEGIN"},
	{"COMMIT", sqltext.Control, "COMMIT"},
	{"END TRANSACTION", sqltext.Control, "END"},
	{"ROLLBACK TO s", sqltext.Control, "ROLLBACK"},
	{"SAVEPOINT s", sqltext.Control, "SAVEPOINT"},
	{"RELEASE s", sqltext.Control, "RELEASE"},
	{"VACUUM INTO 'file'", sqltext.Maintenance, "VACUUM"},
	{"ATTACH 'file' AS f", sqltext.Maintenance, "ATTACH"},
	{"DETACH f", sqltext.Maintenance, "DETACH"},

	{"EXPLAIN SELECT 1", sqltext.Read, "EXPLAIN"},
	{"EXPLAIN QUERY PLAN DELETE FROM t", sqltext.Read, "EXPLAIN"},
	{"explain begin", sqltext.Read, "EXPLAIN"},
	{"EXPLAIN INSERT OR FAIL INTO t VALUES (1) RETURNING a, *", sqltext.Read, "EXPLAIN"},
	{"EXPLAIN PRAGMA user_version = 1", sqltext.Pragma, "EXPLAIN"},
	{"EXPLAIN", sqltext.Read, "EXPLAIN"},

	{"WITH a AS (SELECT 1) SELECT * FROM a", sqltext.Read, "WITH"},
	{"WITH a AS (SELECT 1) VALUES (1)", sqltext.Read, "WITH"},
	{"WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM a) INSERT INTO t SELECT n FROM a", sqltext.Write, "WITH"},
	{"with a as (select ')'), b(x, y) as materialized (select (1)) update t set a = 1", sqltext.Write, "WITH"},
	{"WITH a AS NOT MATERIALIZED (SELECT 1) DELETE FROM t", sqltext.Write, "WITH"},
	{"WITH replace AS (SELECT 1) SELECT * FROM replace", sqltext.Read, "WITH"},
	{"WITH replace(a) AS (SELECT 1), b AS (DELETE) REPLACE INTO t SELECT 1", sqltext.Write, "WITH"},
	{"WITH a AS (SELECT 1)", sqltext.Unknown, "WITH"},
	{"WITH a AS (SELECT 1) CREATE TABLE t(a)", sqltext.Unknown, "WITH"},
	{"WITH a AS (SELECT 1) (SELECT 2) DELETE", sqltext.Unknown, "WITH"},
	{"WITH a AS (SELECT 1) \"SELECT\" DELETE", sqltext.Unknown, "WITH"},

	{"(SELECT 1)", sqltext.Unknown, ""},
	{"'SELECT'", sqltext.Unknown, ""},
	{`"SELECT" 1`, sqltext.Unknown, ""},
	{"[SELECT] 1", sqltext.Unknown, ""},
	{"?", sqltext.Unknown, ""},
	{"1", sqltext.Unknown, ""},
	{"frobnicate t", sqltext.Unknown, "FROBNICATE"},
	{"ſelect 1", sqltext.Unknown, "ſELECT"},
	{"SELECTED 1", sqltext.Unknown, "SELECTED"},
	{"SELECT$ 1", sqltext.Unknown, "SELECT$"},
	{"SELECT\ufeff1", sqltext.Unknown, "SELECT\ufeff1"},
}

func TestParseKind(t *testing.T) {
	t.Parallel()
	for _, tt := range kindTests {
		t.Run(tt.src, func(t *testing.T) {
			t.Parallel()
			s := parseOne(t, "/**/ "+tt.src+" ;")
			assert.Equal(t, tt.kind.String(), s.Kind.String())
			assert.Equal(t, tt.keyword, s.Keyword)
		})
	}
}

func TestKindString(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "unknown", sqltext.Kind(0).String())
	assert.Equal(t, "maintenance", sqltext.Maintenance.String())
	assert.Equal(t, "Kind(200)", sqltext.Kind(200).String())
}

var pragmaTests = []struct {
	src  string
	kind sqltext.Kind
}{
	{"PRAGMA user_version", sqltext.Read},
	{"PRAGMA main.user_version", sqltext.Read},
	{"pragma foreign_keys;", sqltext.Read},
	{"PRAGMA journal_mode", sqltext.Read},
	{"PRAGMA no_such_pragma", sqltext.Read},
	{"PRAGMA", sqltext.Read},
	{"PRAGMA 1 optimize", sqltext.Read},
	{"PRAGMA user_version = 1", sqltext.Pragma},
	{"PRAGMA user_version=-1", sqltext.Pragma},
	{"PRAGMA main.user_version(1)", sqltext.Pragma},
	{"PRAGMA foreign_keys = ON", sqltext.Pragma},
	{"PRAGMA journal_mode(wal)", sqltext.Pragma},
	{"PRAGMA no_such_pragma(1)", sqltext.Pragma},
	{"PRAGMA table_info(t)", sqltext.Read},
	{"PRAGMA TABLE_INFO('t')", sqltext.Read},
	{"PRAGMA table_info = t", sqltext.Read},
	{"PRAGMA main.table_xinfo(t)", sqltext.Read},
	{`PRAGMA "main"."index_list"(t)`, sqltext.Read},
	{"PRAGMA main /* . */ . [index_xinfo] /* = */ (i)", sqltext.Read},
	{"PRAGMA table_info.user_version = 1", sqltext.Pragma},
	{"PRAGMA integrity_check(5)", sqltext.Read},
	{"PRAGMA foreign_key_check", sqltext.Read},
	{"PRAGMA optimize", sqltext.Pragma},
	{"PRAGMA Optimize(0x10002)", sqltext.Pragma},
	{"PRAGMA main.wal_checkpoint", sqltext.Pragma},
	{"PRAGMA wal_checkpoint(TRUNCATE)", sqltext.Pragma},
	{"PRAGMA incremental_vacuum", sqltext.Pragma},
	{"PRAGMA shrink_memory", sqltext.Pragma},
}

func TestParsePragma(t *testing.T) {
	t.Parallel()
	for _, tt := range pragmaTests {
		t.Run(tt.src, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.kind.String(), parseOne(t, tt.src).Kind.String())
		})
	}
}

var starTests = []struct {
	src  string
	want bool
}{
	{"SELECT * FROM t", true},
	{"SELECT*FROM t", true},
	{"SELECT /* all */ * FROM t", true},
	{"SELECT t.* FROM t", true},
	{"SELECT a, t . * FROM t", true},
	{"SELECT a, * FROM t", true},
	{"SELECT DISTINCT * FROM t", true},
	{"SELECT ALL * FROM t", true},
	{`SELECT "t".* FROM t`, true},
	{"SELECT a FROM (SELECT * FROM t)", true},
	{"SELECT a UNION ALL SELECT * FROM t", true},
	{"WITH c AS (SELECT * FROM t) SELECT a FROM c", true},
	{"INSERT INTO t SELECT * FROM u", true},
	{"CREATE VIEW v AS SELECT * FROM t", true},
	{"EXPLAIN SELECT * FROM t", true},
	{"DELETE FROM t RETURNING (SELECT max(a) FROM (SELECT * FROM u))", true},
	{"SELECT count(*) FROM t", false},
	{"SELECT count ( * ), a*b FROM t", false},
	{"SELECT 2*3, a * b, t.a*t.b, (1)*2, 1.*2, 'a'*2, ?*2, :a*2, [a]*2", false},
	{`SELECT "select"*2, "distinct" * 2`, false},
	{"SELECT '*', a /* , * */ FROM t", false},
	{"INSERT INTO t VALUES (1) RETURNING *", false},
	{"INSERT INTO t VALUES (1) RETURNING a, *", false},
	{"UPDATE t SET a = 1 RETURNING t.*", false},
	{"EXPLAIN DELETE FROM t RETURNING a, *", false},
	{"WITH c AS (SELECT 1) DELETE FROM t RETURNING a, *", false},
}

func TestParseStar(t *testing.T) {
	t.Parallel()
	for _, tt := range starTests {
		t.Run(tt.src, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, parseOne(t, tt.src).Star)
		})
	}
}

// returningTests has the text up to and including the word RETURNING of the clause, if there is
// one.
var returningTests = []struct {
	src    string
	before string
}{
	{"INSERT INTO t VALUES (1) RETURNING id", "INSERT INTO t VALUES (1) RETURNING"},
	{"replace into t values (1) returning\nid", "replace into t values (1) returning"},
	{"UPDATE t SET a = 1 WHERE b RETURNING*", "UPDATE t SET a = 1 WHERE b RETURNING"},
	{"DELETE FROM t Returning\"id\"", "DELETE FROM t Returning"},
	{"WITH c AS (SELECT 1) DELETE FROM t RETURNING id", "WITH c AS (SELECT 1) DELETE FROM t RETURNING"},
	{"INSERT INTO t SELECT CASE WHEN 1 THEN 2 END RETURNING id", "INSERT INTO t SELECT CASE WHEN 1 THEN 2 END RETURNING"},
	{"INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING RETURNING id AS returning", "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING RETURNING"},
	{"DELETE FROM t RETURNING", "DELETE FROM t RETURNING"},
	{"INSERT INTO t(\"returning\") VALUES ('RETURNING id')", ""},
	{"INSERT INTO t(returning) VALUES (1)", ""},
	{"INSERT INTO t SELECT [returning] FROM u -- RETURNING id", ""},
	{"UPDATE t SET a = (SELECT returning FROM u)", ""},
	{"SELECT a RETURNING id", ""},
	{"EXPLAIN DELETE FROM t RETURNING id", ""},
	{"CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM u RETURNING id; END", ""},
}

func TestParseReturning(t *testing.T) {
	t.Parallel()
	for _, tt := range returningTests {
		t.Run(tt.src, func(t *testing.T) {
			t.Parallel()
			s := parseOne(t, "\n "+tt.src)
			assert.Equal(t, tt.before, s.Text[:s.Returning])
		})
	}
}

var conflictTests = []struct {
	src  string
	want bool
}{
	{"INSERT OR FAIL INTO t VALUES (1)", true},
	{"insert /**/ or rollback into t values (1)", true},
	{"UPDATE OR FAIL t SET a = 1", true},
	{"UPDATE OR ROLLBACK t SET a = 1", true},
	{"WITH c AS (SELECT 1) INSERT OR FAIL INTO t SELECT * FROM c", true},
	{"INSERT OR IGNORE INTO t VALUES (1)", false},
	{"INSERT OR REPLACE INTO t VALUES (1)", false},
	{"INSERT OR ABORT INTO t VALUES (1)", false},
	{"INSERT INTO t SELECT 1 OR fail", false},
	{"UPDATE t SET a = b OR rollback", false},
	{"INSERT OR \"FAIL\" INTO t VALUES (1)", false},
	{"EXPLAIN INSERT OR FAIL INTO t VALUES (1)", false},
	{"SELECT 1 OR fail", false},
}

func TestParseConflictFail(t *testing.T) {
	t.Parallel()
	for _, tt := range conflictTests {
		t.Run(tt.src, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, parseOne(t, tt.src).ConflictFail)
		})
	}
}

var errorTests = []struct {
	name   string
	src    string
	offset int
	want   string
}{
	{"string", "SELECT 'abc", 7, "unterminated string starting at byte 7"},
	{"string ending in a doubled quote", "SELECT 'abc''", 7, "unterminated string starting at byte 7"},
	{"second statement", "SELECT 'a'; SELECT '", 19, "unterminated string starting at byte 19"},
	{"double quotes", `SELECT "abc`, 7, "unterminated identifier starting at byte 7"},
	{"backticks", "SELECT `abc", 7, "unterminated identifier starting at byte 7"},
	{"brackets", "SELECT [abc", 7, "unterminated identifier starting at byte 7"},
	{"blob", "SELECT x'ab", 7, "unterminated blob starting at byte 7"},
	{"parameter", "SELECT $a(b c)", 7, "unterminated parameter starting at byte 7"},
	{"parameter to the end", "SELECT $a(b", 7, "unterminated parameter starting at byte 7"},
	{"comment sign at the end", "SELECT 1 /*", 9, "unterminated comment starting at byte 9"},
	{"NUL", "SELECT 1\x00", 8, "NUL byte in SQL text at byte 8"},
	{"NUL in a string", "SELECT '\x00'", 8, "NUL byte in SQL text at byte 8"},
	{"invalid UTF-8", "SELECT 'ä\xff'", 10, "SQL text is not UTF-8 at byte 10"},
	{"cut UTF-8", "SELECT ä\xe2\x82", 9, "SQL text is not UTF-8 at byte 9"},
	{"number zero", "SELECT ?0", 7, "parameter number at byte 7 is not between 1 and 32766"},
	{"number too large", "SELECT 1, ?32767", 10, "parameter number at byte 10 is not between 1 and 32766"},
	{"number far too large", "SELECT ?99999999999999999999999999", 7, "parameter number at byte 7 is not between 1 and 32766"},
	{"one too many", "SELECT ?32766, ?", 15, "parameter at byte 15 is one too many: a statement takes up to 32766"},
	{"one name too many", "SELECT ?32766, :a", 15, "parameter at byte 15 is one too many: a statement takes up to 32766"},
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range errorTests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stmts, err := sqltext.Parse(tt.src)
			var got *sqltext.Error
			require.ErrorAs(t, err, &got)
			assert.Nil(t, stmts)
			assert.Contains(t, tt.want, fmt.Sprintf(" byte %d", tt.offset))
			assert.EqualError(t, err, tt.want)
		})
	}
}

// TestParseAllocations checks the number of allocations of Parse.
func TestParseAllocations(t *testing.T) {
	for _, tt := range []struct {
		src string
		max float64
	}{
		{"SELECT id, name, email FROM users WHERE id = ? LIMIT 1 OFFSET 0", 3},
		{"select id from users", 2},
		{"", 0},
	} {
		got := testing.AllocsPerRun(100, func() {
			if _, err := sqltext.Parse(tt.src); err != nil {
				t.Error(err)
			}
		})
		assert.LessOrEqual(t, got, tt.max, "allocations for %q", tt.src)
	}
}
