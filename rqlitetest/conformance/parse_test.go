package conformance

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCaseFiles checks that the files parse and have enough cases. A suite without cases would
// pass.
func TestCaseFiles(t *testing.T) {
	t.Parallel()
	for dir, least := range map[string]struct{ files, requests int }{
		"cases": {12, 340}, "cases/cluster": {3, 70}, "cases/noleader": {1, 30},
	} {
		files, err := parseFiles(caseFiles, dir)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(files), least.files, dir)
		requests := 0
		for _, f := range files {
			for _, c := range f.cases {
				assert.NotEmpty(t, c.exchanges, "%s/%s", f.name, c.name)
				requests += len(c.exchanges)
			}
		}
		assert.GreaterOrEqual(t, requests, least.requests, dir)
	}
}

func TestParseCases(t *testing.T) {
	t.Parallel()
	cases, err := parseCases("== one\n# remark\nPOST /a?b\nContent-Type: text/plain\nx\ny\n-- 200 exact\n@K: v\nz\n\nGET /c\n-- 404\n== two\n")
	require.NoError(t, err)
	require.Len(t, cases, 2)
	assert.Equal(t, "two", cases[1].name)
	assert.Equal(t, []exchange{
		{
			line: 3, method: "POST", path: "/a?b", header: map[string]string{"Content-Type": "text/plain"},
			body: "x\ny", answers: []wanted{{status: 200, exact: true, header: map[string]string{"K": "v"}, body: "z"}},
		},
		{line: 11, method: "GET", path: "/c", answers: []wanted{{status: 404, header: map[string]string{}}}},
	}, cases[0].exchanges)

	for name, text := range map[string]string{
		"no case":        "GET /a\n-- 200\n",
		"no answer":      "== x\nGET /a\n",
		"no path":        "== x\nGET\n-- 200\n",
		"no status":      "== x\nGET /a\n-- ?\n",
		"no header":      "== x\nGET /a\n-- 200\n@X\n",
		"the same twice": "== x\n== x\n",
		"no reason":      "== x\nsince 9.0.0\nGET /a\n-- 200\n",
		"no release":     "== x\nsince: y\nGET /a\n-- 200\n",
		"half a release": "== x\nsince 9.4: y\nGET /a\n-- 200\n",
		"a bound twice":  "== x\nsince 9.4.0 since 9.4.1: y\nGET /a\n-- 200\n",
		"another word":   "== x\nGET /a\n-- 200 until 9.0.0\n",
		"an odd word":    "== x\nGET /a\n-- 200 since\n",
		"a gap":          "== x\nGET /a\n-- 200 since 9.0.1\n-- 404 before 9.0.0\n",
		"a gap at first": "== x\nGET /a\n-- 200 since 9.0.0\n",
		"a gap at last":  "== x\nGET /a\n-- 200 before 9.0.0\n",
		"an overlap":     "== x\nGET /a\n-- 200 since 9.0.0\n-- 404 before 9.0.1\n",
	} {
		_, err := parseCases(text)
		assert.Error(t, err, name)
	}
}

// TestParseReleases checks which releases a case and an answer are for.
func TestParseReleases(t *testing.T) {
	t.Parallel()
	cases, err := parseCases("== one\nsince 9.0.0: there was none before\nGET /a\n-- 200 exact since 9.4.2\nnew\n-- 404 before 9.4.2\n@K: v\nold\n")
	require.NoError(t, err)
	require.Len(t, cases, 1)
	one := cases[0]
	assert.Equal(t, span{since: Release{9, 0, 0}}, one.span)
	assert.Equal(t, "there was none before", one.reason)
	require.Len(t, one.exchanges, 1)
	for release, body := range map[Release]string{
		{9, 0, 0}: "old", {9, 4, 1}: "old", {9, 4, 2}: "new", {10, 0, 0}: "new", ReleaseOf("10"): "new", ReleaseOf("master"): "new",
	} {
		assert.Equal(t, body, one.exchanges[0].on(release).body, release)
		assert.True(t, one.span.holds(release), release)
	}
	assert.False(t, one.span.holds(Release{8, 43, 4}))
	assert.Equal(t, "v", one.exchanges[0].on(Release{9, 0, 0}).header["K"])
	assert.True(t, one.exchanges[0].on(Release{9, 4, 2}).exact)
	assert.False(t, span{since: Release{9, 0, 0}, before: Release{9, 4, 2}}.holds(Release{9, 4, 2}))
}

func TestReleaseOf(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]Release{
		"v9.4.5": {9, 4, 5}, "9.4.5": {9, 4, 5}, "v10.2.7-23-gabc": {10, 2, 7}, "v10.3.0+rqlitetest": {10, 3, 0},
		"10": {10, math.MaxInt, math.MaxInt}, "v9.4": {9, 4, math.MaxInt},
		"master": {math.MaxInt, math.MaxInt, math.MaxInt}, "": {math.MaxInt, math.MaxInt, math.MaxInt},
	} {
		assert.Equal(t, want, ReleaseOf(version), version)
	}
	for _, text := range []string{"", "10", "9.4", "v9.4.5", "9.4.5-rc1", "x"} {
		_, err := ParseRelease(text)
		assert.Error(t, err, text)
	}
	r, err := ParseRelease("10.0.6")
	require.NoError(t, err)
	assert.Equal(t, Release{10, 0, 6}, r)
	assert.Negative(t, Release{9, 4, 5}.Compare(r))
	assert.Negative(t, Release{10, 0, 5}.Compare(r))
	assert.Positive(t, ReleaseOf("10").Compare(r))
	assert.Zero(t, r.Compare(r))
}

var tab = strings.NewReplacer("{t}", "tab")

func TestCompare(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, want, got string
		same            bool
	}{
		{"equal", `{"a":[1,"x",null,true]}`, ` {"a": [1, "x", null, true]} `, true},
		{"escaped", `["<"]`, `["\u003c"]`, true},
		{"digits", `[1]`, `[1.0]`, false},
		{"digits of exponents", `[1e3]`, `[1000]`, false},
		{"missing key", `{"a":1}`, `{}`, false},
		{"surplus key", `{}`, `{"a":1}`, false},
		{"null is not absent", `{"a":null}`, `{}`, false},
		{"length", `[1]`, `[1,2]`, false},
		{"kinds", `{"a":[]}`, `{"a":{}}`, false},
		{"text for number", `["1"]`, `[1]`, false},
		{"any", `["<any>"]`, `[{"a":[]}]`, true},
		{"any is not absent", `{"a":"<any>"}`, `{}`, false},
		{"int", `["<int>"]`, `[12]`, true},
		{"no int", `["<int>"]`, `[1.5]`, false},
		{"number", `["<number>"]`, `[1.5]`, true},
		{"no number", `["<number>"]`, `["x"]`, false},
		{"text", `["<text>"]`, `["x"]`, true},
		{"no text", `["<text>"]`, `[1]`, false},
		{"plain text", `no statements`, "no statements\n", true},
		{"other text", `no statements`, "no", false},
		{"not JSON", `[1]`, `[1`, false},
		{"more JSON", `[1]`, `[1] [2]`, false},
		{"placeholder", `["{t}.a"]`, `["tab.a"]`, true},
		{"ok", `<ok>`, `{"results":[{"rows_affected":1},{}]}`, true},
		{"not ok", `<ok>`, `{"results":[{"error":"x"}]}`, false},
		{"not ok above", `<ok>`, `{"results":[],"error":"x"}`, false},
		{"no results", `<ok>`, `no`, false},
		{"any body", `<any>`, `no`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			x := wanted{status: 200, body: test.want}
			problem := x.compare(answer{status: 200, body: test.got}, tab)
			assert.Equal(t, test.same, problem == "", problem)
		})
	}
	x := wanted{status: 200, body: `[1]`, exact: true}
	assert.NotEmpty(t, x.compare(answer{status: 200, body: `[ 1 ]`}, tab), "exact")
	assert.NotEmpty(t, wanted{status: 200}.compare(answer{status: 400}, tab), "status")
}

func TestCompareHeaders(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		want string
		have map[string][]string
		same bool
	}{
		{"<none>", nil, true},
		{"<none>", map[string][]string{"K": {"v"}}, false},
		{"<any>", map[string][]string{"K": {"v"}}, true},
		{"<any>", nil, false},
		{"v", map[string][]string{"K": {"v"}}, true},
		{"v", map[string][]string{"K": {"w"}}, false},
		{"x{t}", map[string][]string{"K": {"xtab"}}, true},
	} {
		x := wanted{status: 200, header: map[string]string{"K": test.want}}
		problem := x.compare(answer{status: 200, header: test.have}, tab)
		assert.Equal(t, test.same, problem == "", "%s %v: %s", test.want, test.have, problem)
	}
}
