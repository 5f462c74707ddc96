package cluster

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newPrefixed is a node below the path /a/b, which a proxy removes.
func newPrefixed(t *testing.T, script ...reply) *fake {
	t.Helper()
	f := newUnstarted(script...)
	f.Config.Handler = http.StripPrefix("/a/b", f)
	f.Start()
	t.Cleanup(f.Close)
	return f
}

func prefixed(c *Config) { c.Prefix, c.Redirect = "/a/b", false }

// All requests have the prefix: those of the program, and the client's own.
func TestPrefix(t *testing.T) {
	t.Parallel()
	node := newPrefixed(t, ok(written), ok(rows), ok("SQLite format 3"))
	c, _ := newStranger(t, []string{node.host()}, prefixed)
	require.NoError(t, do(t.Context(), c, write()))
	assert.EqualValues(t, 1, node.probes.Load(), "it was asked which release it is")
	require.NoError(t, do(t.Context(), c, query()))
	body, err := c.Do(t.Context(), &Call{Method: http.MethodGet, Path: "/db/backup"})
	require.NoError(t, err)
	backup, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	assert.Equal(t, "SQLite format 3", string(backup))
	assert.True(t, c.alive(c.routes.hosts[0]))

	var paths []string
	for _, got := range node.got() {
		paths = append(paths, got.Path+"?"+got.Query)
	}
	assert.Equal(t, []string{"/db/execute?blob_array", "/db/query?blob_array", "/db/backup?"}, paths)
}

// Nobody removes the prefix, or the proxy has nothing there.
func TestPrefixIsWrong(t *testing.T) {
	t.Parallel()
	for _, req := range []*Request{write(), query()} {
		node := newFake(t, text(http.StatusNotFound, ""))
		c, _ := newStranger(t, []string{node.host()}, prefixed)
		failure := requireError(t, do(t.Context(), c, req), Refused)
		assert.Equal(t, "rqlite does not know the path of the DSN, which the proxy before it has to remove", failure.Message)

		proxy := newPrefixed(t, ok(written))
		c, _ = newStranger(t, []string{proxy.host()}, prefixed, func(c *Config) { c.Prefix = "/a/c" })
		failure = requireError(t, do(t.Context(), c, req), Refused)
		require.ErrorContains(t, failure, "this is not rqlite's HTTP address")
		assert.Empty(t, proxy.got())
	}
}
