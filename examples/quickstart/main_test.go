package main

import (
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/stretchr/testify/require"
)

const table = `read at weak:
ID  NAME      MASS/KG   FOUND
1   Io        8.93e+22  1610-01-08
2   Europa    4.8e+22   1610-01-08
3   Amalthea  2.08e+18  1892-09-09
read at linearizable:
ID  NAME      MASS/KG   FOUND
1   Io        8.93e+22  1610-01-08
2   Europa    4.8e+22   1610-01-08
3   Amalthea  2.08e+18  1892-09-09
`

func TestQuickstart(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, nil))
	require.True(t, strings.HasPrefix(out.String(), table), out.String())
	require.Contains(t, out.String(), "on a cluster")
}

func TestQuickstartWithDSN(t *testing.T) {
	t.Parallel()
	server := rqlitetest.New(t)
	for range 2 { // it can be repeated
		var out strings.Builder
		require.NoError(t, run(t.Context(), &out, []string{server.DSN()}))
		require.Equal(t, table, out.String())
	}
}

func TestQuickstartWithBadDSN(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.ErrorContains(t, run(t.Context(), &out, []string{"rqlite://localhost/?lvl=none"}), `did you mean "level"?`)
}
