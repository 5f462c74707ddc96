package main

import (
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	t.Parallel()
	server := rqlitetest.New(t)
	for _, args := range [][]string{nil, {server.DSN()}, {server.DSN()}} { // it can be repeated
		var out strings.Builder
		require.NoError(t, run(t.Context(), &out, args))
		require.Equal(t, "Bruges 50\nGhent 9\n", out.String())
	}
}
