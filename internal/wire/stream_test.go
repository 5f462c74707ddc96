package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// chunks is a reader that returns its data in pieces of random size, some of them empty. The same
// seed gives the same pieces.
type chunks struct {
	data   string
	random *rand.Rand
}

func newChunks(data string, seed uint64) *chunks {
	return &chunks{data: data, random: rand.New(rand.NewPCG(seed, 1))}
}

// Read implements io.Reader.
func (c *chunks) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.random.IntN(9))], c.data)
	c.data = c.data[n:]
	return n, nil
}

// TestDecoderReaders checks that the result does not depend on how the bytes arrive.
func TestDecoderReaders(t *testing.T) {
	t.Parallel()
	for _, tt := range shapes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			readers := map[string]io.Reader{
				"one byte":             iotest.OneByteReader(strings.NewReader(tt.body)),
				"half":                 iotest.HalfReader(strings.NewReader(tt.body)),
				"end with data":        iotest.DataErrReader(strings.NewReader(tt.body)),
				"one byte, end at it":  iotest.DataErrReader(iotest.OneByteReader(strings.NewReader(tt.body))),
				"random, empty pieces": newChunks(tt.body, uint64(len(tt.body))),
			}
			for name, r := range readers {
				got, err := read(r)
				require.NoError(t, err, name)
				require.Equal(t, tt.want, *got, name)
			}
		})
	}
}

// TestDecoderTruncated cuts a response at every byte. None of the pieces must pass for a whole
// response.
func TestDecoderTruncated(t *testing.T) {
	t.Parallel()
	for _, tt := range shapes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			whole := strings.TrimRight(tt.body, "\n")
			for n := range len(whole) {
				for name, r := range map[string]io.Reader{
					"at once":  strings.NewReader(whole[:n]),
					"by bytes": iotest.OneByteReader(strings.NewReader(whole[:n])),
					"with end": iotest.DataErrReader(strings.NewReader(whole[:n])),
				} {
					_, err := read(r)
					require.Equal(t, io.ErrUnexpectedEOF, err, "%s: %s", name, whole[:n])
				}
			}
		})
	}
}

// TestDecoderTruncatedWhileSkipping does the same with rows left unread, which takes other paths.
func TestDecoderTruncatedWhileSkipping(t *testing.T) {
	t.Parallel()
	const body = `{"x":{"a":[1,"\u00e9",true]},"results":[{"columns":["a"],"types":["t"],"values":[["\n"],[[1,2,3,4,5,6,7]],[null]],"time":1}],"time":0.1}`
	for n := range len(body) {
		d := NewDecoder(strings.NewReader(body[:n]))
		var err error
		for err == nil {
			_, err = d.NextResult()
		}
		require.Equal(t, io.ErrUnexpectedEOF, err, body[:n])
		d.Release()
	}
}

func TestDecoderReaderFails(t *testing.T) {
	t.Parallel()
	failure := errors.New("connection reset")
	for _, tt := range shapes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for n := range len(tt.body) + 1 {
				_, err := read(io.MultiReader(strings.NewReader(tt.body[:n]), iotest.ErrReader(failure)))
				require.Equal(t, failure, err, "after %d bytes: an error stays an error, even after the end", n)
			}
		})
	}
}

// TestDecoderBrokenBehindTheEnd checks that a complete document is accepted even if the transport
// misses the end of the body, such as the last chunk.
func TestDecoderBrokenBehindTheEnd(t *testing.T) {
	t.Parallel()
	got, err := read(io.MultiReader(strings.NewReader(`{"results":[{"rows_affected":1}]}`), iotest.ErrReader(io.ErrUnexpectedEOF)))
	require.NoError(t, err)
	require.Equal(t, response{Entries: []entry{{Result: Result{RowsAffected: 1}}}}, *got)
}

// stuck is a reader that returns neither bytes nor an error.
type stuck struct{}

// Read implements io.Reader.
func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestDecoderNoProgress(t *testing.T) {
	t.Parallel()
	_, err := read(io.MultiReader(strings.NewReader(`{"results":`), stuck{}))
	require.Equal(t, io.ErrNoProgress, err)
}

// TestDecoderBufferBorder moves tokens of every kind across the border of the buffer, byte by byte.
func TestDecoderBufferBorder(t *testing.T) {
	t.Parallel()
	tokens := []struct {
		name, json string
		want       value
	}{
		{"text", `"plain"`, text("plain")},
		{"escapes", `"\n\"\\\u0041"`, text("\n\"\\A")},
		{"surrogates", `"\ud83d\ude00"`, text("😀")},
		{"runes", `"é東😀"`, text("é東😀")},
		{"number", `-12345.678e+90`, number("-12345.678e+90")},
		{"literal", `false`, no},
		{"blob", `[0,25,255,1,2,3]`, blob("\x00\x19\xff\x01\x02\x03")},
		{"blob with spaces", `[ 1 , 255 , 7 ]`, blob("\x01\xff\x07")},
	}
	head := strings.TrimSuffix(table(""), `]}]}`) + `["`
	for _, tt := range tokens {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for shift := -3; shift < len(tt.json)+3; shift++ {
				filler := strings.Repeat("f", bufferSize-len(head)-len(`"],[`)-shift)
				got, err := readString(head + filler + `"],[` + tt.json + `],[1]]}]}`)
				require.NoError(t, err, "shift %d", shift)
				require.Equal(t, [][]value{{text(filler)}, {tt.want}, {number("1")}}, got.Entries[0].Rows, "shift %d", shift)
			}
		})
	}
}

// TestDecoderTextsAroundBufferSize reads texts about as long as the buffer and its multiples. At
// either end they have characters and escapes that are hard to cut in two.
func TestDecoderTextsAroundBufferSize(t *testing.T) {
	t.Parallel()
	edges := []struct{ json, want string }{
		{"x", "x"},
		{`\n`, "\n"},
		{`\\`, `\`},
		{`\u00e9`, "é"},
		{`\ud83d\ude00`, "😀"},
		{"é", "é"},
		{"😀", "😀"},
	}
	for _, size := range []int{bufferSize, 2 * bufferSize, 64 << 10} {
		for _, edge := range edges {
			t.Run(fmt.Sprintf("%d %s", size, edge.json), func(t *testing.T) {
				t.Parallel()
				for delta := -3; delta <= 3; delta++ {
					filler := strings.Repeat("f", size+delta-2*len(edge.json))
					for name, body := range map[string]string{
						"value": table(`["` + edge.json + filler + edge.json + `"]`),
						"last":  table(`["` + filler + edge.json + edge.json + `"]`),
					} {
						want := edge.want + filler + edge.want
						if name == "last" {
							want = filler + edge.want + edge.want
						}
						got, err := readString(body)
						require.NoError(t, err, "%s, delta %d", name, delta)
						require.Len(t, got.Entries[0].Rows, 1)
						require.True(t, got.Entries[0].Rows[0][0] == text(want), "%s, delta %d", name, delta)
					}
				}
			})
		}
	}
}

func TestDecoderLongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", bufferSize)
	got, err := readString(`{"` + long + `":1,"results":[{"columns":["` + long + `"],"types":["t"],"` + long + `":[]}],"error":"` + long + `"}`)
	require.NoError(t, err)
	assert.Equal(t, []string{long}, got.Entries[0].Result.Columns)
	assert.Equal(t, long, got.Trailer.Error)
}

func TestDecoderBigBlobs(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	for _, size := range []int{1, 2, 255, 256, bufferSize - 1, bufferSize, 1 << 20} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(random.Uint32())
		}
		numbers := make([]int, size)
		for i, b := range want {
			numbers[i] = int(b)
		}
		body, err := json.Marshal(numbers)
		require.NoError(t, err)
		for name, r := range map[string]io.Reader{
			"at once": strings.NewReader(table("[" + string(body) + "]")),
			"pieces":  newChunks(table("["+string(body)+"]"), uint64(size)),
		} {
			got, err := read(r)
			require.NoError(t, err, name)
			require.True(t, got.Entries[0].Rows[0][0] == blob(string(want)), "%s: %d bytes", name, size)
		}
	}
}

// TestDecoderBufferStaysSmall checks that memory does not grow with the number of rows, however
// they arrive.
func TestDecoderBufferStaysSmall(t *testing.T) {
	t.Parallel()
	const rows = 20000
	var body strings.Builder
	for i := range rows {
		body.WriteString(",[" + strconv.Itoa(i) + `,"` + strings.Repeat("x", i%100) + `"]`)
	}
	d := NewDecoder(strings.NewReader(`{"results":[{"columns":["a","b"],"types":["",""],"values":[` + body.String()[1:] + `]}]}`))
	defer d.Release()
	before := len(d.scan.buf) // the pool may return a buffer that grew for another response
	_, err := d.NextResult()
	require.NoError(t, err)
	for i := range rows {
		require.NoError(t, d.NextRow())
		cell, err := d.Cell()
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i), string(cell.Data))
		cell, err = d.Cell()
		require.NoError(t, err)
		require.Len(t, cell.Data, i%100)
	}
	require.Equal(t, io.EOF, d.NextRow())
	assert.Equal(t, max(before, largeBuffer), len(d.scan.buf))
}

// TestDecoderDoesNotReadAhead checks that NextResult returns before the rows have arrived.
func TestDecoderDoesNotReadAhead(t *testing.T) {
	t.Parallel()
	head := strings.TrimSuffix(table(""), `]}]}`)
	pipe, writer := io.Pipe()
	defer pipe.Close()
	go io.WriteString(writer, head+"[1]")
	d := NewDecoder(pipe)
	defer d.Release()
	_, err := d.NextResult()
	require.NoError(t, err)
	require.NoError(t, d.NextRow())
	cell, err := d.Cell()
	require.NoError(t, err)
	require.Equal(t, "1", string(cell.Data))
}
