package cluster

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// An excerpt reads as the document of its entries, however it is read.
func TestExcerpt(t *testing.T) {
	t.Parallel()
	entries := [][]byte{
		[]byte(`{"columns":["a","b"],"types":["integer","text"],"values":[[1,"],"],[2,"\"}"]]}`),
		[]byte(`{"error":"no such table: t"}`),
		[]byte(`{}`),
	}
	for n := range len(entries) + 1 {
		want := `{"results":[` + string(bytes.Join(entries[:n], []byte(","))) + `]}`
		all, err := io.ReadAll(iotest.OneByteReader(&subAnswer{rest: entries[:n]}))
		require.NoError(t, err)
		assert.Equal(t, want, string(all))
		require.NoError(t, iotest.TestReader(&subAnswer{rest: entries[:n]}, []byte(want)))
	}
	dec := wire.NewDecoder(&subAnswer{rest: entries})
	defer dec.Release()
	for range entries {
		_, err := dec.NextResult()
		require.NoError(t, err)
	}
	_, err := dec.NextResult()
	require.ErrorIs(t, err, io.EOF)
}

// Close leaves what was not read, because no connection waits for it.
func TestExcerptClose(t *testing.T) {
	t.Parallel()
	a := subAnswerOf(&guard{node: new(node), req: new(Request), cancel: func(error) {}}, [][]byte{[]byte(`{}`)})
	body, _ := a.body.ReadCloser.(*subAnswer)
	a.Close()
	assert.Zero(t, body.pieces)
}
