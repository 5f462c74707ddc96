package wire

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endless reads as head, and then repeats one byte for ever. It counts the bytes read.
type endless struct {
	head  string
	b     byte
	given int64
}

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.head)
	e.head = e.head[n:]
	for i := n; i < len(p); i++ {
		p[i] = e.b
	}
	e.given += int64(len(p))
	return len(p), nil
}

// TestEndlessText reads texts without end in places other than values.
func TestEndlessText(t *testing.T) {
	for name, head := range map[string]string{
		"a name":           `{"`,
		"a skipped text":   `{"time":"`,
		"a skipped number": `{"time":1`,
		"a failure":        `{"error":"`,
		"a column":         `{"results":[{"columns":["`,
		"a type":           `{"results":[{"types":["`,
		"an error":         `{"results":[{"error":"`,
		"a number":         `{"results":[{"columns":["a"],"types":["integer"],"values":[[1`,
	} {
		t.Run(name, func(t *testing.T) {
			r := &endless{head: head, b: '1'}
			d := NewDecoder(r)
			_, err := d.NextResult()
			for err == nil {
				if err = d.NextRow(); err == nil {
					_, err = d.Cell()
				}
			}
			var syntax *SyntaxError
			require.ErrorAs(t, err, &syntax)
			assert.LessOrEqual(t, r.given, int64(maxWord+len(head)))
		})
	}
}

// TestLargeValue reads a value that is longer than the limit for all other texts.
func TestLargeValue(t *testing.T) {
	value := strings.Repeat("v", 2*maxWord)
	d := NewDecoder(io.MultiReader(strings.NewReader(`{"results":[{"columns":["a"],"types":["text"],"values":[["`),
		strings.NewReader(value), strings.NewReader(`"]]}]}`)))
	_, err := d.NextResult()
	require.NoError(t, err)
	require.NoError(t, d.NextRow())
	cell, err := d.Cell()
	require.NoError(t, err)
	assert.Len(t, cell.Data, len(value))
	require.ErrorIs(t, d.NextRow(), io.EOF)
	_, err = d.NextResult()
	require.ErrorIs(t, err, io.EOF)
}
