package gormrqlite

import (
	"database/sql"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"name":            "`name`",
		"two words":       "`two words`",
		"main.t":          "`main`.`t`",
		"`main`.`t`":      "`main`.`t`",
		"`a.b`.c":         "`a.b`.`c`",
		"`a`":             "`a`",
		"back`tick":       "`back``tick`",
		`"; DROP TABLE t`: "`\"; DROP TABLE t`",
		"x`; DROP":        "`x``; DROP`",
		"":                "",
	} {
		assert.Equal(t, want, quote(path), path)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	text := "it's"
	var none *string
	for want, args := range map[string][]any{
		`'it''s'`:                            {text},
		`NULL`:                               {nil},
		`-3`:                                 {int8(-3)},
		`18446744073709551615`:               {uint64(math.MaxUint64)},
		`3.0`:                                {3.0},
		`0.1`:                                {float32(0.1)},
		`1e+300`:                             {1e300},
		`true`:                               {true},
		`x'00ff'`:                            {[]byte{0, 255}},
		`'2024-01-02 03:04:05.006+02:00'`:    {time.Date(2024, 1, 2, 3, 4, 5, 6e6, time.FixedZone("", 7200))},
		`'a' /* pointer */`:                  {sql.NullString{String: "a", Valid: true}},
		`NULL /* null pointer */`:            {none},
		`NULL /* invalid */`:                 {sql.NullInt64{}},
		`'it''s' /* pointer to a string */`:  {&text},
		`'{}' /* what has no better name */`: {struct{}{}},
	} {
		comment := ""
		for i := range want {
			if want[i:min(i+3, len(want))] == " /*" {
				want, comment = want[:i], want[i:]
				break
			}
		}
		assert.Equal(t, "SELECT "+want+", '?' -- ?", explain("SELECT ?, '?' -- ?", args), comment)
	}
	assert.Equal(t, "SELECT 1, ?", explain("SELECT ?, ?", []any{1}), "too few values")
}

func TestParseTable(t *testing.T) {
	t.Parallel()
	const sql = "CREATE TABLE \"odd, (name\" (`id` integer PRIMARY KEY AUTOINCREMENT, [two words] decimal(10, 2) DEFAULT -1.5 NOT NULL,\n" +
		"\tname text DEFAULT 'a, (b' /* , ( */ CONSTRAINT inner CHECK (name <> ')'), -- a comment, with (\n" +
		"made datetime DEFAULT (datetime('now')) ,nothing, n DEFAULT NULL, c DEFAULT CURRENT_DATE," +
		"CONSTRAINT `uni` UNIQUE (\"name\"), CONSTRAINT fk FOREIGN KEY (id) REFERENCES \"odd, (name\"(id)) STRICT"
	parsed, err := parseTable(sql)
	require.NoError(t, err)
	require.Len(t, parsed.items, 9)
	assert.Equal(t, "STRICT", parsed.tail)
	for name, want := range map[string]struct{ declared, def string }{
		"id": {"integer", ""}, "TWO words": {"decimal(10, 2)", "-1.5"}, "name": {"text", "a, (b"},
		"made": {"datetime", "(datetime('now'))"}, "nothing": {"", ""}, "n": {"", ""}, "c": {"", "CURRENT_DATE"},
	} {
		i := parsed.column(name)
		require.GreaterOrEqual(t, i, 0, name)
		assert.Equal(t, want.declared, parsed.items[i].declared(), name)
		def, ok := parsed.items[i].defaultValue()
		assert.Equal(t, want.def != "", ok, name)
		if ok {
			assert.Equal(t, want.def, def, name)
		}
	}
	assert.Equal(t, -1, parsed.column("uni"))
	assert.Equal(t, 7, parsed.constraint("UNI"))
	assert.True(t, parsed.hasConstraint("inner"))
	assert.False(t, parsed.hasConstraint("name"))
	parsed.rename("odd, (name", "new")
	assert.Contains(t, parsed.create("new"), "REFERENCES `new`(id)")
	again, err := parseTable(parsed.create("new"))
	require.NoError(t, err)
	assert.Len(t, again.items, len(parsed.items))
	parsed.drop(parsed.column("name"))
	assert.Equal(t, -1, parsed.constraint("uni"), "it goes with its column")
	assert.GreaterOrEqual(t, parsed.constraint("fk"), 0)
	for _, bad := range []string{"", "CREATE VIEW v AS SELECT 1", "CREATE TABLE t (a, b"} {
		_, err := parseTable(bad)
		require.Error(t, err, bad)
	}
}

// FuzzLex checks that the tokens together are the whole text.
func FuzzLex(f *testing.F) {
	for _, seed := range []string{"a 'b''c' \"d\" [e] `f` -- g\n/* h */ 1.5 ?", "'", "/*", "[", "\x00é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		var got string
		for _, token := range lex(sql) {
			require.NotEmpty(t, token.text)
			got += token.text
			_ = token.name()
		}
		assert.Equal(t, sql, got)
		_, _ = parseTable(sql)
	})
}
