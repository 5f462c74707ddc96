package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPrograms runs each of them with few rows on the embedded server, so that none breaks
// unnoticed.
func TestPrograms(t *testing.T) {
	server := rqlitetest.New(t, func(c *rqlitetest.Config) { c.ForeignKeys = true })
	var out strings.Builder
	s := settings{rows: 5, rounds: 2, most: time.Minute, names: regexp.MustCompile("")}
	require.NoError(t, measureAt(t.Context(), &out, s, server.DSN()))
	assert.Equal(t, len(programs)+1, strings.Count(out.String(), "\n"), out.String())
}

func TestLine(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "a\t60ms\t10ms\t6.0\t100ms\twithin\t", line("a", [2]time.Duration{60 * time.Millisecond, 10 * time.Millisecond}, time.Second))
	assert.Equal(t, "a\t120ms\t10ms\t12.0\t100ms\tABOVE\t", line("a", [2]time.Duration{120 * time.Millisecond, 10 * time.Millisecond}, time.Second))
	assert.Equal(t, "a\t> 1s\t10ms\t100.0\t100ms\tABOVE\t", line("a", [2]time.Duration{0, 10 * time.Millisecond}, time.Second))
}
