package sqltext_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// param is a parameter as written and its number.
type param struct {
	text  string
	index int
	name  string
}

var paramTests = []struct {
	src    string
	params []param
	num    int
}{
	{"SELECT 1", nil, 0},
	{"SELECT ?, ?", []param{{"?", 1, ""}, {"?", 2, ""}}, 2},
	{"SELECT ?2, ?", []param{{"?2", 2, ""}, {"?", 3, ""}}, 3},
	{"SELECT ?5, ?, :x, ?2", []param{{"?5", 5, ""}, {"?", 6, ""}, {":x", 7, "x"}, {"?2", 2, ""}}, 7},
	{"SELECT ?007", []param{{"?007", 7, ""}}, 7},
	{"SELECT ?32766", []param{{"?32766", 32766, ""}}, 32766},
	{"SELECT ?1a, ?_", []param{{"?1", 1, ""}, {"?", 2, ""}}, 2},
	{"SELECT :a, :b, :a, ?", []param{{":a", 1, "a"}, {":b", 2, "b"}, {":a", 1, "a"}, {"?", 3, ""}}, 3},
	{"SELECT :a, @a, $a, #a", []param{{":a", 1, "a"}, {"@a", 2, "a"}, {"$a", 3, "a"}, {"#a", 4, "a"}}, 4},
	{"SELECT :a, :A", []param{{":a", 1, "a"}, {":A", 2, "A"}}, 2},
	{"SELECT ?1, :a, ?1", []param{{"?1", 1, ""}, {":a", 2, "a"}, {"?1", 1, ""}}, 2},
	{"SELECT :1, @2x, $_", []param{{":1", 1, "1"}, {"@2x", 2, "2x"}, {"$_", 3, "_"}}, 3},
	{"SELECT :größe", []param{{":größe", 1, "größe"}}, 1},
	{"SELECT $a::b, $::c, $a::b(c;d), @a$b", []param{{"$a::b", 1, "a::b"}, {"$::c", 2, "::c"}, {"$a::b(c;d)", 3, "a::b(c;d)"}, {"@a$b", 4, "a$b"}}, 4},
	{"SELECT :a:b", []param{{":a", 1, "a"}, {":b", 2, "b"}}, 2},
	{"SELECT a::b", []param{{":b", 1, "b"}}, 1},
	{"SELECT ':a', \":b\", [:c], `?`, x'3f', /* ? */ 1 -- ?\n", nil, 0},
	{"SELECT a$b, #1, 1?", []param{{"?", 1, ""}}, 1},
	{"SELECT : a, @, $, ::, #", nil, 0},
	{"/* :x */ SELECT a->:b, -@c", []param{{":b", 1, "b"}, {"@c", 2, "c"}}, 2},
	{"EXPLAIN SELECT ?", []param{{"?", 1, ""}}, 1},
	{"INSERT INTO t VALUES (?,?) ON CONFLICT DO UPDATE SET a=? RETURNING ?", []param{{"?", 1, ""}, {"?", 2, ""}, {"?", 3, ""}, {"?", 4, ""}}, 4},
	{"SELECT 1.?, 1e5?, 1e?, 0x1F?, .5?, 1_000?", []param{{"?", 1, ""}, {"?", 2, ""}, {"?", 3, ""}, {"?", 4, ""}, {"?", 5, ""}, {"?", 6, ""}}, 6},
	{"SELECT 1e+:a, 1.5e-3:b", []param{{":a", 1, "a"}, {":b", 2, "b"}}, 2},
}

func TestParseParams(t *testing.T) {
	t.Parallel()
	for _, tt := range paramTests {
		t.Run(tt.src, func(t *testing.T) {
			t.Parallel()
			s := parseOne(t, "  "+tt.src)
			var got []param
			for _, p := range s.Params {
				got = append(got, param{s.Text[p.Pos:p.End], p.Index, p.Name})
			}
			assert.Equal(t, tt.params, got)
			assert.Equal(t, tt.num, s.NumParams)
		})
	}
}

func TestParseParamsPerStatement(t *testing.T) {
	t.Parallel()
	stmts, err := sqltext.Parse("SELECT :a, :b; SELECT :b; SELECT ?, ?3; SELECT 1")
	require.NoError(t, err)
	require.Len(t, stmts, 4)
	assert.Equal(t, []sqltext.Param{{Pos: 7, End: 9, Index: 1, Name: "a"}, {Pos: 11, End: 13, Index: 2, Name: "b"}}, stmts[0].Params)
	assert.Equal(t, []sqltext.Param{{Pos: 7, End: 9, Index: 1, Name: "b"}}, stmts[1].Params)
	assert.Equal(t, 3, stmts[2].NumParams)
	assert.Nil(t, stmts[3].Params)
}

// TestParseManyNames has so many parameters that names are looked up in a map.
func TestParseManyNames(t *testing.T) {
	t.Parallel()
	const n = 100
	s := parseOne(t, "SELECT "+manyNames(n)+", @name0, "+manyNames(n)+", ?")
	require.Len(t, s.Params, 2*n+2)
	for i := range n {
		assert.Equal(t, i+1, s.Params[i].Index)
		assert.Equal(t, i+1, s.Params[n+1+i].Index, "second appearance of %s", s.Params[i].Name)
	}
	assert.Equal(t, n+1, s.Params[n].Index)
	assert.Equal(t, n+2, s.Params[2*n+1].Index)
	assert.Equal(t, n+2, s.NumParams)
}

func TestParseParamLimit(t *testing.T) {
	t.Parallel()
	full := "SELECT ?" + strings.Repeat(",?", sqltext.MaxParams-1)
	assert.Equal(t, sqltext.MaxParams, parseOne(t, full).NumParams)
	assert.Equal(t, 1, parseOne(t, "SELECT ?1"+strings.Repeat(",?1", sqltext.MaxParams)).NumParams)
	_, err := sqltext.Parse(full + ",?")
	assert.ErrorContains(t, err, "one too many")
}
