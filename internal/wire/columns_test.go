package wire

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The columns and types of equal entries are parsed once. Others are not mistaken for them.
func TestKnownColumns(t *testing.T) {
	t.Parallel()
	const first = `"columns":["a","b"],"types":["integer","text"],"values":[[1,"x"]]`
	var shared KnownColumns
	entryOf := func(t *testing.T, entry string) Result {
		t.Helper()
		d := NewEntryDecoder([]byte(entry))
		defer d.Release()
		d.Remember(&shared)
		remembered, err := readAll(d)
		require.NoError(t, err)
		plain, err := readString(`{"results":[` + entry + `]}`)
		require.NoError(t, err)
		assert.Equal(t, plain, remembered)
		return remembered.Entries[0].Result
	}
	same := func(a, b Result) bool {
		return unsafe.SliceData(a.Columns) == unsafe.SliceData(b.Columns) && unsafe.SliceData(a.Types) == unsafe.SliceData(b.Types)
	}
	for entry, shares := range map[string]bool{
		"{" + first + "}":             true,
		"{" + first + `,"time":0.25}`: true,
		`{"columns":["a","b"],"types":["integer","text"],"values":[]}`:               true,
		`{"columns":["a","b"],"types":["integer","text"],"error":"interrupted"}`:     true,
		`{"columns":["a","c"],"types":["integer","text"],"values":[[1,"x"]]}`:        false,
		`{"columns":["a","b"],"types":["integer","real"],"values":[[1,2.5]]}`:        false,
		`{"columns":["a","b","c"],"types":["integer","text",""],"values":[[1,2,3]]}`: false,
		`{"types":["integer","text"],"columns":["a","b"],"values":[[1,"x"]]}`:        false,
		`{"time":0.5,` + first + `}`:                                                 false,
		`{"error":"no such table: t"}`:                                               false,
	} {
		shared.last.Store(nil)
		remembered := entryOf(t, "{"+first+"}")
		assert.Equal(t, shares, same(remembered, entryOf(t, entry)), entry)
	}
}

// What stands beside the columns and types of one entry does not become that of another.
func TestKnownColumnsLearn(t *testing.T) {
	t.Parallel()
	for entry, learns := range map[string]bool{
		`{"columns":["a"],"types":["text"],"values":[]}`:     true,
		`{"columns":["a"],"types":["text"]}`:                 true,
		`{"columns":["a"],"error":"x","types":["text"]}`:     false,
		`{"error":"x","columns":["a"],"types":["text"]}`:     false,
		`{"types":["text"],"columns":["a"]}`:                 false,
		`{"columns":["a"],"columns":["b"],"types":["text"]}`: false,
		`{"error":"x"}`: false,
		`{"columns":["` + strings.Repeat("a", 8<<10) + `"],"types":["text"]}`: false,
	} {
		var known KnownColumns
		d := NewEntryDecoder([]byte(entry))
		d.Remember(&known)
		_, err := readAll(d)
		d.Release()
		require.NoError(t, err, entry)
		assert.Equal(t, learns, known.last.Load() != nil, entry)
	}
}

// The entries of a part of a response are read as those of a whole one.
func TestEntryDecoder(t *testing.T) {
	t.Parallel()
	const entries = `{"columns":["a","b"],"types":["integer","text"],"values":[[1,"],"],[2,"\"}"]]},{"error":"no such table: t"},{}`
	want, err := readString(`{"results":[` + entries + `]}`)
	require.NoError(t, err)
	require.Len(t, want.Entries, 3)
	d := NewEntryDecoder([]byte(entries))
	got, err := readAll(d)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	d.Release()
	d = NewEntryDecoder(nil)
	got, err = readAll(d)
	require.NoError(t, err)
	assert.Equal(t, &response{}, got)
	d.Release()
	for end := 1; end < len(entries); end++ {
		piece := []byte(entries[:end])
		d := NewEntryDecoder(piece)
		if got, err := readAll(d); err == nil { // it ends behind an entry
			assert.Equal(t, want.Entries[:len(got.Entries)], got.Entries)
		}
		d.Release()
		assert.Equal(t, entries[:end], string(piece), "nobody but the caller writes there")
	}
}
