package rqlite

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The log tells of what the driver cannot keep the same on all nodes.
func TestRandomDefaultIsLogged(t *testing.T) {
	t.Parallel()
	for create, warned := range map[string]bool{
		"CREATE TABLE t(a, b DEFAULT (hex(randomblob(4))))": true,
		"CREATE TABLE t(a, b DEFAULT CURRENT_TIMESTAMP)":    false,
		"CREATE VIEW v AS SELECT random()":                  false,
	} {
		var log bytes.Buffer
		f := newFake(t, writes("", results(`{}`)))
		conn := f.connect(func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		_, err := conn.ExecContext(t.Context(), create, nil)
		require.NoError(t, err, create)
		assert.Equal(t, warned, bytes.Contains(log.Bytes(), []byte("random DEFAULT")), "%s: %s", create, log.String())
	}
}
