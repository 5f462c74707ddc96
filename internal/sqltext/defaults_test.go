package sqltext_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

func one(t *testing.T, text string) sqltext.Statement {
	t.Helper()
	list, err := sqltext.Parse(text)
	require.NoError(t, err)
	require.Len(t, list, 1)
	return list[0]
}

func TestCreates(t *testing.T) {
	for _, test := range []struct {
		create string
		name   string
		want   []string // columns and expressions, by turns
	}{
		{"CREATE TABLE t(a, b DEFAULT 1)", "T", nil},
		{"CREATE TABLE main.Tab(at TEXT DEFAULT CURRENT_TIMESTAMP, b)", "TAB", []string{"at", "CURRENT_TIMESTAMP"}},
		{`CREATE TABLE IF NOT EXISTS "My Tab"("an at" DATETIME NOT NULL DEFAULT (datetime('now')) UNIQUE, b)`, "MY TAB", []string{"an at", "datetime('now')"}},
		{
			"CREATE TABLE t(id TEXT PRIMARY KEY DEFAULT ('m_' || lower(hex(randomblob(16)))), n DEFAULT (random()), CHECK (n > random()))", "T",
			[]string{"id", "'m_' || lower(hex(randomblob(16)))", "n", "random()"},
		},
		{"CREATE TABLE t(a DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')) NOT NULL, b DEFAULT ('now'), c DEFAULT 'random()')", "T", []string{"a", "strftime('%Y-%m-%dT%H:%M:%fZ')"}},
		{"CREATE TABLE t(id INTEGER PRIMARY KEY DEFAULT (random()), a)", "T", nil},
		{"CREATE TABLE t(id INTEGER DEFAULT (random()) PRIMARY KEY AUTOINCREMENT)", "T", nil},
		{"CREATE TABLE t(id INTEGER PRIMARY KEY DESC DEFAULT (random()))", "T", []string{"id", "random()"}},
		{"CREATE TABLE t(id INTEGER DEFAULT (random()), a, PRIMARY KEY (id DESC))", "T", nil},
		{"CREATE TABLE t(id INTEGER DEFAULT (random()), a, CONSTRAINT pk PRIMARY KEY (id, a))", "T", []string{"id", "random()"}},
		{"CREATE TABLE t(id INTEGER PRIMARY KEY DEFAULT (random())) STRICT, WITHOUT ROWID", "T", []string{"id", "random()"}},
		{"CREATE TABLE t(id INT PRIMARY KEY DEFAULT (random()))", "T", []string{"id", "random()"}},
		{"CREATE TABLE t(p REFERENCES q ON DELETE SET DEFAULT, a DEFAULT (unixepoch()))", "T", []string{"a", "unixepoch()"}},
		{"CREATE TABLE t(g AS (random()), a TEXT DEFAULT/* x */(date(/* y */)))", "T", []string{"a", "date(/* y */)"}},
		{"CREATE TABLE t AS SELECT random() AS a", "T", nil},
	} {
		created, ok := one(t, test.create).Creates()
		require.True(t, ok, test.create)
		assert.Equal(t, test.name, created.Name, test.create)
		var got []string
		for _, d := range created.Defaults {
			got = append(got, d.Column, d.Expr)
		}
		assert.Equal(t, test.want, got, test.create)
	}
	for _, other := range []string{"CREATE INDEX i ON t(a)", "CREATE VIEW v AS SELECT 1", "INSERT INTO t VALUES(1)", "CREATE", "CREATE TABLE", "CREATE TABLE IF NOT EXISTS"} {
		_, ok := one(t, other).Creates()
		assert.False(t, ok, other)
	}
}

func TestWithDefaults(t *testing.T) {
	defaults := []sqltext.Default{{Column: "at", Expr: "datetime('now')"}, {Column: "my id", Expr: "random()"}}
	const both, values = `,at,"my id"`, ",(datetime('now')),(random())"
	for _, test := range []struct{ from, want string }{
		{"INSERT INTO t(a) VALUES (?)", "INSERT INTO t(a" + both + ") VALUES (?" + values + ")"},
		{
			"INSERT OR IGNORE INTO main.t AS x (a, b) VALUES (:a, ?2), (f(1), (2)) ON CONFLICT (a) DO UPDATE SET b = (VALUES (1)) RETURNING (a)",
			"INSERT OR IGNORE INTO main.t AS x (a, b" + both + ") VALUES (:a, ?2" + values + "), (f(1), (2)" + values + ") ON CONFLICT (a) DO UPDATE SET b = (VALUES (1)) RETURNING (a)",
		},
		{"REPLACE INTO [t]([AT]) VALUES (1)", `REPLACE INTO [t]([AT],"my id") VALUES (1,(random()))`},
		{"INSERT INTO t DEFAULT VALUES", `INSERT INTO t (at,"my id") VALUES ((datetime('now')),(random()))`},
		{"INSERT INTO main.t AS at DEFAULT VALUES", `INSERT INTO main.t AS at (at,"my id") VALUES ((datetime('now')),(random()))`},
		{"INSERT INTO t DEFAULT VALUES RETURNING at", `INSERT INTO t (at,"my id") VALUES ((datetime('now')),(random())) RETURNING at`},
		{"INSERT INTO t(a) SELECT b FROM s WHERE c", "INSERT INTO t(a" + both + ") SELECT b" + values + " FROM s WHERE c"},
		{"INSERT INTO t(a) SELECT b IS NOT DISTINCT FROM (SELECT 1 FROM q) FROM s", "INSERT INTO t(a" + both + ") SELECT b IS NOT DISTINCT FROM (SELECT 1 FROM q)" + values + " FROM s"},
		{
			"INSERT INTO t(a) SELECT 1 UNION ALL SELECT DISTINCT max(b) FROM s GROUP BY c UNION VALUES (2), (3)",
			"INSERT INTO t(a" + both + ") SELECT 1" + values + " UNION ALL SELECT DISTINCT max(b)" + values + " FROM s GROUP BY c UNION VALUES (2" + values + "), (3" + values + ")",
		},
		{
			"WITH w(x) AS (SELECT 1 FROM u) INSERT INTO t(a) WITH v AS (SELECT 2) SELECT (x) FROM w JOIN v ON x RETURNING *",
			"WITH w(x) AS (SELECT 1 FROM u) INSERT INTO t(a" + both + ") WITH v AS (SELECT 2) SELECT (x)" + values + " FROM w JOIN v ON x RETURNING *",
		},
		{"INSERT INTO t(a, At, \"my id\") VALUES (1, 2, 3)", ""},
		{"INSERT INTO t VALUES (1, 2, 3)", ""},
		{"INSERT INTO t SELECT 1, 2, 3", ""},
		{"UPDATE t SET a = 1", ""},
	} {
		s := one(t, test.from)
		got := s.WithDefaults(defaults)
		if test.want == "" {
			test.want = test.from
		} else {
			assert.Equal(t, "T", s.LeavesOut, test.from)
			again := one(t, got.Text)
			assert.Equal(t, again, got, test.from) // the other fields match the new text
		}
		assert.Equal(t, test.want, got.Text, test.from)
	}
}
