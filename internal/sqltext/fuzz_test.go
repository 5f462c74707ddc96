package sqltext_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// FuzzParse checks rules that hold for any text. The statements are parts of it, in order. Each one
// parses alone as it does among others. The fields of a rewritten statement match its text.
func FuzzParse(f *testing.F) {
	for _, src := range corpus() {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		stmts, err := sqltext.Parse(src)
		if err != nil {
			var e *sqltext.Error
			require.ErrorAs(t, err, &e)
			require.Empty(t, stmts)
			return
		}
		rest := src
		for _, s := range stmts {
			_, after, found := strings.Cut(rest, s.Text)
			require.True(t, found, "%q is not in what follows the statement before", s.Text)
			rest = after
			checkStatement(t, s)
		}
		again, err := sqltext.Parse(strings.Join(texts(stmts), ";\n"))
		require.NoError(t, err)
		require.Equal(t, stmts, again)
	})
}

func checkStatement(t *testing.T, s sqltext.Statement) {
	t.Helper()
	require.NotEmpty(t, s.Text)
	require.Equal(t, s, parseOne(t, s.Text))
	require.Equal(t, s, parseOne(t, "/* ; */"+s.Text+" -- ;"))

	largest, pos := 0, 0
	for _, p := range s.Params {
		require.LessOrEqual(t, pos, p.Pos)
		require.Less(t, p.Pos, p.End)
		require.Contains(t, "?:@$#", s.Text[p.Pos:p.Pos+1])
		require.True(t, strings.HasSuffix(s.Text[p.Pos:p.End], p.Name))
		pos, largest = p.End, max(largest, p.Index)
	}
	require.LessOrEqual(t, pos, len(s.Text))
	require.Equal(t, largest, s.NumParams)
	require.True(t, s.Returning == 0 || strings.EqualFold("returning", s.Text[s.Returning-len("returning"):s.Returning]))

	spaced := s.SpaceReturning()
	require.Equal(t, spaced, parseOne(t, spaced.Text))
	require.Equal(t, s, s.Inline(func(int) (string, bool) { return "", false }))
	for _, inline := range []func(int) (string, bool){
		func(int) (string, bool) { return "-5", true },
		func(index int) (string, bool) { return "7", index%2 == 0 },
	} {
		got := spaced.Inline(inline)
		require.Equal(t, got, parseOne(t, got.Text))
		require.Equal(t, got, s.Inline(inline).SpaceReturning())
		require.Equal(t, s.Kind, got.Kind)
		require.Equal(t, s.Star, got.Star)
	}
}

// corpus returns the texts of all tables in this package.
func corpus() []string {
	var all []string
	for _, tt := range splitTests {
		all = append(all, tt.src)
	}
	for _, tt := range triggerTests {
		all = append(all, tt.src)
	}
	for _, tt := range kindTests {
		all = append(all, tt.src)
	}
	for _, tt := range pragmaTests {
		all = append(all, tt.src)
	}
	for _, tt := range paramTests {
		all = append(all, tt.src)
	}
	for _, tt := range starTests {
		all = append(all, tt.src)
	}
	for _, tt := range returningTests {
		all = append(all, tt.src)
	}
	for _, tt := range conflictTests {
		all = append(all, tt.src)
	}
	for _, tt := range freezeTests {
		all = append(all, tt.src)
	}
	for _, tt := range refusedTests {
		all = append(all, tt.src)
	}
	for _, tt := range savepointTests {
		all = append(all, tt.src)
	}
	for _, tt := range errorTests {
		all = append(all, tt.src)
	}
	return all
}
