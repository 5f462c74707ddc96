package conformance

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The files must parse, and there must be enough in them: a suite that lost its
// cases would pass.
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
			body: "x\ny", status: 200, exact: true, wantHeader: map[string]string{"K": "v"}, want: "z",
		},
		{line: 11, method: "GET", path: "/c", status: 404, wantHeader: map[string]string{}},
	}, cases[0].exchanges)

	for name, text := range map[string]string{
		"no case":        "GET /a\n-- 200\n",
		"no answer":      "== x\nGET /a\n",
		"no path":        "== x\nGET\n-- 200\n",
		"no status":      "== x\nGET /a\n-- ?\n",
		"no header":      "== x\nGET /a\n-- 200\n@X\n",
		"the same twice": "== x\n== x\n",
	} {
		_, err := parseCases(text)
		assert.Error(t, err, name)
	}
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
			x := exchange{status: 200, want: test.want}
			problem := x.compare(answer{status: 200, body: test.got}, tab)
			assert.Equal(t, test.same, problem == "", problem)
		})
	}
	x := exchange{status: 200, want: `[1]`, exact: true}
	assert.NotEmpty(t, x.compare(answer{status: 200, body: `[ 1 ]`}, tab), "exact")
	assert.NotEmpty(t, exchange{status: 200}.compare(answer{status: 400}, tab), "status")
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
		x := exchange{status: 200, wantHeader: map[string]string{"K": test.want}}
		problem := x.compare(answer{status: 200, header: test.have}, tab)
		assert.Equal(t, test.same, problem == "", "%s %v: %s", test.want, test.have, problem)
	}
}
