package sqltext_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

func TestSpaceReturning(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ src, want string }{
		{"SELECT 1", "SELECT 1"},
		{"DELETE FROM t RETURNING id", "DELETE FROM t RETURNING id"},
		{"DELETE FROM t RETURNING\nid", "DELETE FROM t RETURNING \nid"},
		{"DELETE FROM t RETURNING\tid", "DELETE FROM t RETURNING \tid"},
		{"DELETE FROM t returning*", "DELETE FROM t returning *"},
		{`DELETE FROM t RETURNING"id"`, `DELETE FROM t RETURNING "id"`},
		{"DELETE FROM t RETURNING/**/id", "DELETE FROM t RETURNING /**/id"},
		{"DELETE FROM t RETURNING--\nid", "DELETE FROM t RETURNING --\nid"},
		{"DELETE FROM t WHERE a = ? RETURNING(:b), ?", "DELETE FROM t WHERE a = ? RETURNING (:b), ?"},
		{"DELETE FROM t RETURNING", "DELETE FROM t RETURNING"},
	} {
		t.Run(tt.src, func(t *testing.T) {
			t.Parallel()
			s := parseOne(t, tt.src)
			params := append([]sqltext.Param(nil), s.Params...)
			got := s.SpaceReturning()
			assert.Equal(t, parseOne(t, tt.want), got)
			assert.Equal(t, params, s.Params, "the original has changed")
		})
	}
}

func TestInline(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		src      string
		literals map[int]string
		want     string
	}{
		{"nothing to replace", "SELECT ?, :a, $b(c)", nil, "SELECT ?, :a, $b(c)"},
		{"no such parameter", "SELECT ?", map[int]string{2: "1"}, "SELECT ?"},
		{"all", "SELECT ?, ?", map[int]string{1: "'a'", 2: "'b'"}, "SELECT 'a', 'b'"},
		{"first", "SELECT ?, ?", map[int]string{1: "'a'"}, "SELECT 'a', ?2"},
		{"last", "SELECT ?, ?", map[int]string{2: "'b'"}, "SELECT ?1, 'b'"},
		{"names", "SELECT :a, @a, :a, ?", map[int]string{2: "'b'"}, "SELECT ?1, 'b', ?1, ?3"},
		{"each occurrence", "SELECT ?2, ?1, ?2", map[int]string{2: "'b'"}, "SELECT 'b', ?1, 'b'"},
		{"numbers", "SELECT ?3, ?, ?007", map[int]string{3: "'c'"}, "SELECT 'c', ?4, ?7"},
		{"not in strings or comments", "SELECT '?', ?, /* ? */ \"?\"", map[int]string{1: "'?'"}, "SELECT '?', '?', /* ? */ \"?\""},
		{"beside a word", "SELECT?AND?", map[int]string{1: "1"}, "SELECT 1 AND ?2"},
		{"beside a minus", "SELECT 1-?", map[int]string{1: "-5"}, "SELECT 1- -5"},
		{"beside an x", "SELECT x?", map[int]string{1: "'00'"}, "SELECT x '00'"},
		{"beside a string", "SELECT 'a'?'b'", map[int]string{1: "'?'"}, "SELECT 'a' '?' 'b'"},
		{"beside a digit", "SELECT $a(b)5, ?", map[int]string{2: "0"}, "SELECT ?1 5, 0"},
		{"beside a dot", "SELECT ?.5", map[int]string{1: "1"}, "SELECT 1 .5"},
		{"before the clause", "DELETE FROM t WHERE a=? AND b=? RETURNING\nid", map[int]string{1: "'long text'"}, "DELETE FROM t WHERE a='long text' AND b=?2 RETURNING\nid"},
		{"after the clause", "DELETE FROM t WHERE a=?RETURNING?,?", map[int]string{2: "'x'"}, "DELETE FROM t WHERE a=?1 RETURNING 'x',?3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := parseOne(t, tt.src)
			got := s.Inline(func(index int) (string, bool) {
				text, ok := tt.literals[index]
				return text, ok
			})
			assert.Equal(t, parseOne(t, tt.want), got)
			assert.Equal(t, parseOne(t, tt.src), s, "the original has changed")
		})
	}
}

// TestRewritesCompose applies one rewrite to the result of the other.
func TestRewritesCompose(t *testing.T) {
	t.Parallel()
	s := parseOne(t, "INSERT INTO t VALUES (:a, :b) RETURNING\n:b, :a")
	inline := func(index int) (string, bool) { return "'x''00'''", index == 1 }
	want := parseOne(t, "INSERT INTO t VALUES ('x''00''', ?2) RETURNING \n?2, 'x''00'''")
	assert.Equal(t, want, s.Inline(inline).SpaceReturning())
	assert.Equal(t, want, s.SpaceReturning().Inline(inline))
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ s, want string }{
		{"", "''"},
		{"text", "'text'"},
		{"it's", "'it''s'"},
		{"x'6869'", "'x''6869'''"},
		{`"\`, `'"\'`},
		{"größe\n", "'größe\n'"},
		{"a\x00'b", "(x'61002762'||'')"},
	} {
		assert.Equal(t, tt.want, sqltext.Quote(tt.s))
		s := parseOne(t, "SELECT "+sqltext.Quote(tt.s)+", ?; ")
		assert.Equal(t, "SELECT "+tt.want+", ?", s.Text)
		assert.Equal(t, 1, s.NumParams)
	}
}
