package rewrite_test

import (
	"bufio"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/rqlitetest/internal/rewrite"
)

var everything = rewrite.Options{Random: true, Time: true}

// golden is a line of testdata/analyze.jsonl: the answer of rqlited's /db/sql to a statement. Words
// stand for random values and for the present.
type golden struct {
	SQL       string `json:"sql"`
	Rewritten string `json:"rewritten"`
	Problem   string `json:"problem"`
	Panic     string `json:"panic"`
}

func readGolden(tb testing.TB) []golden {
	tb.Helper()
	f, err := os.Open("testdata/analyze.jsonl")
	require.NoError(tb, err)
	defer f.Close()
	var out []golden
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var g golden
		require.NoError(tb, json.Unmarshal(lines.Bytes(), &g))
		out = append(out, g)
	}
	require.Greater(tb, len(out), 250)
	return out
}

var (
	randomInts  = regexp.MustCompile(`\d{15,19}`)
	julianDays  = regexp.MustCompile(`246\d{4}\.\d{6}`)
	randomBlobs = regexp.MustCompile(`x'[0-9A-F]{2,6}'`)
)

// normalized replaces the parts that differ at each run. A negative random number keeps its sign.
func normalized(s string) string {
	s = randomInts.ReplaceAllString(s, "RND")
	s = julianDays.ReplaceAllString(s, "NOW")
	return randomBlobs.ReplaceAllString(s, "x'BLOB'")
}

func TestAnalyzeGolden(t *testing.T) {
	t.Parallel()
	for _, g := range readGolden(t) {
		got, err := rewrite.Analyze(g.SQL, everything)
		if g.Panic != "" {
			assert.EqualError(t, err, g.Panic, g.SQL)
			continue
		}
		if assert.NoError(t, err, g.SQL) {
			assert.Equal(t, g.Rewritten, normalized(got.Rewritten), g.SQL)
			assert.Equal(t, g.Problem, got.Problem, g.SQL)
		}
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, sql, want  string // want "" means sql itself
		opts             rewrite.Options
		returns, explain bool
	}{
		{name: "nothing to do", sql: "insert into t values (1)", opts: everything},
		{name: "random", sql: "insert into t values (random())", want: `INSERT INTO "t" VALUES (RND)`, opts: everything},
		{name: "random kept", sql: "insert into t values (random())", opts: rewrite.Options{Time: true}},
		{name: "space hides a call", sql: "insert into t values (random ())", opts: everything},
		{name: "now", sql: "select date('now')", want: `SELECT date(NOW)`, opts: everything},
		{name: "now kept", sql: "select date('now')", opts: rewrite.Options{Random: true}},
		{name: "a date that is not now", sql: "select date(a) from t", want: `SELECT date("a") FROM "t"`, opts: everything},
		{name: "not understood", sql: "select [a], random()", opts: everything},
		{name: "rest dropped", sql: "select random(); select 2", want: "SELECT RND", opts: everything},
		{name: "rest kept", sql: "insert into t values (1) returning a; select 2", opts: everything, returns: true},
		{name: "returning", sql: "insert into t values (1) returning a", returns: true},
		{name: "returning in upper case", sql: "INSERT INTO t VALUES (1) RETURNING a", returns: true},
		{name: "returning and a newline", sql: "insert into t values (1) returning\na"},
		{name: "returning in a text", sql: "insert into t values ('returning ')"},
		{name: "returning lost", sql: "update t set a=random() returning a", want: `UPDATE "t" SET "a" = RND`, opts: everything, returns: true},
		{name: "explain", sql: "explain select 1", explain: true},
		{name: "explain and a newline", sql: "explain\nselect 1"},
		{name: "replacing where the server does not look", sql: "select random() is null", opts: everything},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := rewrite.Process(test.sql, test.opts)
			require.NoError(t, err)
			want := test.want
			if want == "" {
				want = test.sql
			}
			got.SQL = strings.ReplaceAll(normalized(got.SQL), "-RND", "RND")
			assert.Equal(t, rewrite.Statement{SQL: want, ReturnsRows: test.returns, Explain: test.explain}, got)
		})
	}
}

// TestProcessPanics checks that a statement that rqlite cannot print is an error only if rqlite has
// to print it.
func TestProcessPanics(t *testing.T) {
	t.Parallel()
	const text = "select random() where 'a' like 'b' escape 'c'"
	_, err := rewrite.Process(text, everything)
	require.EqualError(t, err, "panic during SQL processing: sql.BinaryExpr.String(): invalid op ESCAPE")
	_, err = rewrite.Process(text, rewrite.Options{})
	require.NoError(t, err)
	_, err = rewrite.Process("create table t(a default (date('now')) constraint b null)", everything)
	require.EqualError(t, err, "panic during SQL processing: assert failed")
}

// TestDepth checks that deep nesting does not exhaust the stack.
func TestDepth(t *testing.T) {
	t.Parallel()
	deep := "explain select " + strings.Repeat("(", 1<<20)
	got, err := rewrite.Process(deep, everything)
	require.NoError(t, err)
	assert.Equal(t, rewrite.Statement{SQL: deep}, got)

	fine := "select " + strings.Repeat("(", 900) + "random()" + strings.Repeat(")", 900)
	got, err = rewrite.Process(fine, everything)
	require.NoError(t, err)
	assert.NotContains(t, got.SQL, "random")
}

// FuzzAnalyze checks that the parser takes any text. If nothing was replaced, its output parses and
// prints unchanged, unless it is no statement any more.
func FuzzAnalyze(f *testing.F) {
	for _, g := range readGolden(f) {
		f.Add(g.SQL)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		first, err := rewrite.Analyze(sql, rewrite.Options{})
		if err != nil || first.Problem != "" {
			return
		}
		second, err := rewrite.Analyze(first.Rewritten, rewrite.Options{})
		if err != nil || second.Problem != "" {
			return
		}
		third, err := rewrite.Analyze(second.Rewritten, rewrite.Options{})
		if err == nil && third.Problem == "" && second.Rewritten != third.Rewritten {
			t.Errorf("%q\n%q\n%q", first.Rewritten, second.Rewritten, third.Rewritten)
		}
		if _, err := rewrite.Process(sql, everything); err != nil && !strings.HasPrefix(err.Error(), "panic during SQL") {
			t.Errorf("unknown error: %v", err)
		}
	})
}
