package wire

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Short names for Cells.
var (
	null = value{Kind: Null}
	yes  = value{Kind: True}
	no   = value{Kind: False}
)

func number(s string) value { return value{Number, s} }
func text(s string) value   { return value{Text, s} }
func blob(s string) value   { return value{Blob, s} }

// shapes are responses that rqlite's API documents, or that rqlite is known to give.
var shapes = []struct {
	name string
	body string
	want response
}{
	{"no results", `{"results":[]}`, response{}},
	{"results null", `{"results":null}`, response{}},
	{"nothing at all", `{}`, response{}},
	{
		"write", `{"results":[{"last_insert_id":7,"rows_affected":1,"time":0.00019}],"time":0.002}`,
		response{Entries: []entry{{Result: Result{LastInsertID: 7, RowsAffected: 1, Seconds: 0.00019}}}},
	},
	{"write that reports nothing", `{"results":[{}]}`, response{Entries: []entry{{}}}},
	{
		"largest and smallest rowid", `{"results":[{"last_insert_id":9223372036854775807},{"last_insert_id":-9223372036854775808}]}`,
		response{Entries: []entry{{Result: Result{LastInsertID: math.MaxInt64}}, {Result: Result{LastInsertID: math.MinInt64}}}},
	},
	{
		"failed statement among others", `{"results":[{"rows_affected":1},{"error":"near \"FRM\": syntax error"},{"rows_affected":2}]}`,
		response{Entries: []entry{
			{Result: Result{RowsAffected: 1}},
			{Result: Result{Error: `near "FRM": syntax error`}},
			{Result: Result{RowsAffected: 2}},
		}},
	},
	{
		"rows", `{"results":[{"columns":["id","name"],"types":["integer","text"],"values":[[1,"fiona"],[2,null]]}]}`,
		response{Entries: []entry{{
			Result: Result{Columns: []string{"id", "name"}, Types: []string{"integer", "text"}},
			Rows:   [][]value{{number("1"), text("fiona")}, {number("2"), null}},
		}}},
	},
	{
		"every kind of cell", `{"results":[{"columns":["c"],"types":[""],"values":[[null],[true],[false],[-9223372036854775808],[3.5e-7],["t"],[[0,255,10]],[[]],[""]]}]}`,
		response{Entries: []entry{{
			Result: Result{Columns: []string{"c"}, Types: []string{""}},
			Rows: [][]value{
				{null}, {yes}, {no}, {number("-9223372036854775808")}, {number("3.5e-7")}, {text("t")}, {blob("\x00\xff\n")}, {blob("")}, {text("")},
			},
		}}},
	},
	{
		"empty result", `{"results":[{"columns":["id"],"types":["integer"]}]}`,
		response{Entries: []entry{{Result: Result{Columns: []string{"id"}, Types: []string{"integer"}}}}},
	},
	{
		"empty values", `{"results":[{"columns":["id"],"types":["integer"],"values":[]}]}`,
		response{Entries: []entry{{Result: Result{Columns: []string{"id"}, Types: []string{"integer"}}}}},
	},
	{
		"values null", `{"results":[{"columns":["id"],"types":["integer"],"values":null}]}`,
		response{Entries: []entry{{Result: Result{Columns: []string{"id"}, Types: []string{"integer"}}}}},
	},
	{
		"a time behind rows", `{"results":[{"columns":["c"],"types":["t"],"values":[[1]],"time":2.5e-05},{"time":1}]}`,
		response{Entries: []entry{
			{Result: Result{Columns: []string{"c"}, Types: []string{"t"}, Seconds: 2.5e-05}, Rows: [][]value{{number("1")}}},
			{Result: Result{Seconds: 1}},
		}},
	},
	{"a time that is none", `{"results":[{"time":"1"},{"time":null},{"time":1e999}]}`, response{Entries: []entry{{}, {}, {}}}},
	{"columns null", `{"results":[{"columns":null,"types":null,"values":null}]}`, response{Entries: []entry{{}}}},
	{
		"failed while stepping", `{"results":[{"columns":["a"],"types":["integer"],"values":[[1]],"error":"integer overflow"}]}`,
		response{Entries: []entry{{
			Result: Result{Columns: []string{"a"}, Types: []string{"integer"}, Error: "integer overflow"},
			Rows:   [][]value{{number("1")}},
		}}},
	},
	{"failed as a whole", `{"results":[],"error":"leadership lost while committing log"}`, response{Trailer: Trailer{Error: "leadership lost while committing log"}}},
	{"failed without results", `{"error":"not ready"}`, response{Trailer: Trailer{Error: "not ready"}}},
	{
		"failed after an entry", `{"results":[{"rows_affected":1}],"error":"FOREIGN KEY constraint failed","time":0.1}`,
		response{Entries: []entry{{Result: Result{RowsAffected: 1}}}, Trailer: Trailer{Error: "FOREIGN KEY constraint failed"}},
	},
	{"queued", `{"results":[],"sequence_number":1653314298877648934}`, response{Trailer: Trailer{SequenceNumber: 1653314298877648934}}},
	{
		"sequence number", `{"results":[{}],"sequence_number":9223372036854775807,"raft_index":18446744073709551615}`,
		response{Entries: []entry{{}}, Trailer: Trailer{SequenceNumber: math.MaxInt64}},
	},
	{
		"members before results", `{"error":"e","sequence_number":1,"raft_index":2,"time":3,"results":[{"rows_affected":4}]}`,
		response{Entries: []entry{{Result: Result{RowsAffected: 4}}}, Trailer: Trailer{Error: "e", SequenceNumber: 1}},
	},
	{
		"members of an entry in another order", `{"results":[{"time":1,"types":["t"],"error":"e","columns":["c"],"rows_affected":2,"values":[[1]],"last_insert_id":3}]}`,
		response{Entries: []entry{{
			Result: Result{Columns: []string{"c"}, Types: []string{"t"}, Error: "e", RowsAffected: 2, LastInsertID: 3, Seconds: 1},
			Rows:   [][]value{{number("1")}},
		}}},
	},
	{
		"unknown members", `{"x":{"results":[{"error":"no"}]},"results":[{"y":[[["}"]]],"rows_affected":1,"z":null}],"w":[true,false,null,-1.5e+3,"]\"",{},[]]}`,
		response{Entries: []entry{{Result: Result{RowsAffected: 1}}}},
	},
	{
		"indented", "{\n    \"results\": [\n\t{\r\n \"columns\" : [ \"c\" ] , \"types\" : [ \"\" ] , \"values\" : [ [ [ 1 , 2 ] ] , [ true ] ] } ] }\n\n",
		response{Entries: []entry{{
			Result: Result{Columns: []string{"c"}, Types: []string{""}},
			Rows:   [][]value{{blob("\x01\x02")}, {yes}},
		}}},
	},
	{
		"escaped names", `{"res\u0075lts":[{"err\u006fr":"\u003c\u2028\ud83d\ude00\/\b\f\n\r\t\"\\"}]}`,
		response{Entries: []entry{{Result: Result{Error: "<\u2028😀/\b\f\n\r\t\"\\"}}}},
	},
	{
		"columns named alike", `{"results":[{"columns":["a","a",""],"types":["integer","","text"],"values":[[1,2,"3"]]}]}`,
		response{Entries: []entry{{
			Result: Result{Columns: []string{"a", "a", ""}, Types: []string{"integer", "", "text"}},
			Rows:   [][]value{{number("1"), number("2"), text("3")}},
		}}},
	},
}

func TestDecoderShapes(t *testing.T) {
	t.Parallel()
	for _, tt := range shapes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := readString(tt.body)
			require.NoError(t, err)
			assert.Equal(t, tt.want, *got)
		})
	}
}

func TestDecoderRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("[", maxDepth+1)
	tests := []struct {
		name, body, message string
	}{
		{"HTML", `<html>`, `'<' instead of '{'`},
		{"array", `[]`, `instead of '{'`},
		{"byte order mark", "\ufeff{}", `instead of '{'`},
		{"text", `"results"`, `instead of '{'`},
		{"results twice", `{"results":[],"results":[]}`, `a second "results"`},
		{"results twice, null first", `{"results":null,"results":[]}`, `a second "results"`},
		{"results is an object", `{"results":{}}`, `'{' instead of '['`},
		{"results is a text", `{"results":"x"}`, `instead of '['`},
		{"results almost null", `{"results":nil}}`, `invalid literal`},
		{"entry null", `{"results":[null]}`, `instead of '{'`},
		{"entry is an array", `{"results":[[]]}`, `instead of '{'`},
		{"error is null", `{"error":null}`, `instead of a text`},
		{"error is a number", `{"results":[{"error":1}]}`, `instead of a text`},
		{"rowid with a fraction", `{"results":[{"last_insert_id":1.0}]}`, `no 64-bit integer`},
		{"rowid too large", `{"results":[{"last_insert_id":9223372036854775808}]}`, `no 64-bit integer`},
		{"rowid is a text", `{"results":[{"last_insert_id":"1"}]}`, `invalid number`},
		{"rows affected with an exponent", `{"results":[{"rows_affected":1e3}]}`, `no 64-bit integer`},
		{"sequence number too large", `{"sequence_number":18446744073709551615}`, `no 64-bit integer`},
		{"columns without types", `{"results":[{"columns":["a"],"values":[[1]]}]}`, `1 columns and 0 types`},
		{"columns without types or values", `{"results":[{"columns":["a"]}]}`, `1 columns and 0 types`},
		{"fewer types than columns", `{"results":[{"columns":["a","b"],"types":["x"]}]}`, `2 columns and 1 types`},
		{"values before columns", `{"results":[{"values":[[1]],"columns":["a"],"types":["x"]}]}`, `before its columns`},
		{"values twice", `{"results":[{"columns":["a"],"types":["x"],"values":[[1]],"values":[[2]]}]}`, `a second "values"`},
		{"columns is an object", `{"results":[{"columns":{}}]}`, `instead of '['`},
		{"column name is null", `{"results":[{"columns":[null]}]}`, `instead of a text`},
		{"values is an object", `{"results":[{"columns":["a"],"types":["x"],"values":{}}]}`, `instead of '['`},
		{"row is null", table(`null`), `instead of '['`},
		{"row is an object", table(`{}`), `instead of '['`},
		{"row too short", table(`[]`), `fewer values`},
		{"row too long", table(`[1,2]`), `',' instead of ']'`},
		{"cell is an object", table(`[{}]`), `an object instead of a value`},
		{"cell missing", table(`[,]`), `invalid number`},
		{"comma before the end of a row", table(`[1,]`), `instead of ']'`},
		{"comma before the end of values", table(`[1],`), `']' after a comma`},
		{"no comma between rows", table(`[1][2]`), `'[' instead of ',' or ']'`},
		{"comma before the end of results", `{"results":[{},]}`, `after a comma`},
		{"comma before the end of an entry", `{"results":[{"time":1,}]}`, `after a comma`},
		{"comma at first", `{,"results":[]}`, `instead of a text`},
		{"no colon", `{"results"[]}`, `instead of ':'`},
		{"name is a number", `{1:2}`, `instead of a text`},
		{"blob with a byte too large", table(`[[1,256,1,1,1,1]]`), `no byte`},
		{"blob with a negative byte", table(`[[-1]]`), `no byte`},
		{"blob with a fraction", table(`[[1.0]]`), `no byte`},
		{"blob with an exponent", table(`[[1e1,2,3,4,5]]`), `no byte`},
		{"blob with a leading zero", table(`[[01,2,3,4,5]]`), `invalid number`},
		{"blob with leading zeros", table(`[[0001,2,3,4,5]]`), `invalid number`},
		{"blob with a text", table(`[["1"]]`), `invalid number`},
		{"blob with null", table(`[[1,2,3,null]]`), `invalid number`},
		{"blob within a blob", table(`[[[1]]]`), `invalid number`},
		{"blob with a comma at the end", table(`[[1,2,3,]]`), `']' after a comma`},
		{"blob without commas", table(`[[1 2]]`), `instead of ',' or ']'`},
		{"not a literal", table(`[nule]`), `invalid literal`},
		{"literal in capitals", table(`[True]`), `invalid number`},
		{"literal too long", table(`[nullx]`), `instead of ']'`},
		{"NaN", table(`[NaN]`), `invalid number`},
		{"infinity", table(`[-Infinity]`), `invalid number`},
		{"plus sign", table(`[+1]`), `invalid number`},
		{"hexadecimal", table(`[0x10]`), `instead of ']'`},
		{"leading zero", table(`[01]`), `invalid number`},
		{"no digit before the point", table(`[.5]`), `invalid number`},
		{"no digit behind the point", table(`[5.]`), `invalid number`},
		{"no exponent", table(`[5e]`), `invalid number`},
		{"only a sign", table(`[-]`), `invalid number`},
		{"two points", table(`[1.2.3]`), `invalid number`},
		{"apostrophes", table(`['a']`), `invalid number`},
		{"newline in a text", table("[\"a\nb\"]"), `control character`},
		{"NUL in a text", table("[\"a\x00b\"]"), `control character`},
		{"unknown escape", table(`["\x41"]`), `invalid escape`},
		{"control character behind a backslash", table("[\"\\\x01\"]"), `invalid escape`},
		{"escape cut off", table(`["\u12"]`), `invalid \u escape`},
		{"escape that is no hexadecimal", table(`["\u12G4"]`), `invalid \u escape`},
		{"high surrogate alone", table(`["\ud83d"]`), `invalid \u escape`},
		{"low surrogate alone", table(`["\ude00"]`), `invalid \u escape`},
		{"surrogates swapped", table(`["\ude00\ud83d"]`), `invalid \u escape`},
		{"high surrogate and a letter", table(`["\ud83d\u0041"]`), `invalid \u escape`},
		{"invalid UTF-8", table("[\"\xff\"]"), `not valid UTF-8`},
		{"surrogate in UTF-8", table("[\"\xed\xa0\x80\"]"), `not valid UTF-8`},
		{"rune cut by an escape", table("[\"\xc3\\u00a9\"]"), `not valid UTF-8`},
		{"invalid UTF-8 in a name", "{\"\xff\":1}", `not valid UTF-8`},
		{"invalid text that is skipped", "{\"x\":[\"\xff\"]}", `not valid UTF-8`},
		{"invalid number that is skipped", `{"x":{"y":01}}`, `invalid number`},
		{"wrong bracket in what is skipped", `{"x":[1}}`, `'}' instead of ',' or ']'`},
		{"behind the end", `{}{}`, `after the end of the document`},
		{"bracket behind the end", "{\"results\":[]}\n]", `after the end of the document`},
		{"NUL behind the end", "{\"results\":[]}\x00", `after the end of the document`},
		{"nested too deep", `{"x":` + long + strings.Repeat("]", maxDepth+1) + `}`, `nested deeper than 64`},
		{"nested too deep by objects", `{"x":` + strings.Repeat(`{"a":`, maxDepth+1) + `1`, `nested deeper than 64`},
		{"nested without an end", `{"results":[{"x":` + strings.Repeat("[", 1<<20), `nested deeper than 64`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := readString(tt.body)
			requireSyntaxError(t, err, tt.message)
		})
	}
}

func TestDecoderNestingAllowed(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	_, err := readString(`{"x":` + deep + `,"results":[{"x":` + deep + `}]}`)
	require.NoError(t, err)
}

func TestDecoderErrorStays(t *testing.T) {
	t.Parallel()
	d := NewDecoder(strings.NewReader(`{"results":[{"columns":["a"],"types":["t"],"values":[[1],[x]]},{}]}`))
	defer d.Release()
	_, err := d.NextResult()
	require.NoError(t, err)
	require.NoError(t, d.NextRow())
	_, err = d.Cell()
	require.NoError(t, err)
	require.NoError(t, d.NextRow())
	_, first := d.Cell()
	requireSyntaxError(t, first, "invalid number")

	_, err = d.Cell()
	assert.Equal(t, first, err)
	assert.Equal(t, first, d.NextRow())
	_, err = d.NextResult()
	assert.Equal(t, first, err)
}

func TestDecoderEndStays(t *testing.T) {
	t.Parallel()
	d := NewDecoder(strings.NewReader(table(`[1]`)))
	defer d.Release()
	_, err := readAll(d)
	require.NoError(t, err)
	for range 3 {
		_, err = d.NextResult()
		require.Equal(t, io.EOF, err)
		require.Equal(t, io.EOF, d.NextRow())
	}
}

func TestDecoderSyntaxErrorOffset(t *testing.T) {
	t.Parallel()
	// The rows before the fault fill several buffers, so that the offset counts bytes already
	// dropped.
	body := table(strings.Repeat(`["0123456789"],`, 4*bufferSize/15) + `[?]`)
	_, err := readString(body)
	syntax := requireSyntaxError(t, err, "invalid number")
	assert.Equal(t, int64(strings.Index(body, "?")), syntax.Offset)
}

// TestDecoderLeavesRowsUnread checks that rows left unread, at any place, do not change what
// follows.
func TestDecoderLeavesRowsUnread(t *testing.T) {
	t.Parallel()
	const rows, columns = 3, 3
	body := `{"results":[{"columns":["a","b","c"],"types":["x","y","z"],"values":[[1,"]",[1,2]],[2,"\"}",null],[3,"",true]],"error":"broke"},` +
		`{"rows_affected":5},{"columns":["a"],"types":["x"],"values":[["last"]]}],"raft_index":9}`
	for row := range rows + 1 {
		for cell := range columns + 1 {
			t.Run(fmt.Sprintf("row %d cell %d", row, cell), func(t *testing.T) {
				t.Parallel()
				d := NewDecoder(strings.NewReader(body))
				defer d.Release()
				_, err := d.NextResult()
				require.NoError(t, err)
				for i := range row {
					require.NoError(t, d.NextRow())
					cells := columns
					if i == row-1 {
						cells = cell
					}
					for range cells {
						_, err := d.Cell()
						require.NoError(t, err)
					}
				}
				rest, err := readAll(d)
				require.NoError(t, err)
				assert.Equal(t, &response{
					Entries: []entry{
						{Result: Result{RowsAffected: 5}},
						{Result: Result{Columns: []string{"a"}, Types: []string{"x"}}, Rows: [][]value{{text("last")}}},
					},
				}, rest)
			})
		}
	}
}

func TestDecoderResultOutlivesNext(t *testing.T) {
	t.Parallel()
	d := NewDecoder(strings.NewReader(`{"results":[{"columns":["first"],"types":["one"]},{"columns":["second"],"types":["two"]}]}`))
	defer d.Release()
	result, err := d.NextResult()
	require.NoError(t, err)
	columns, types := result.Columns, result.Types
	_, err = d.NextResult()
	require.NoError(t, err)
	assert.Equal(t, []string{"first"}, columns)
	assert.Equal(t, []string{"one"}, types)
}

func TestDecoderErrorOfEntryIsCompleteBehindRows(t *testing.T) {
	t.Parallel()
	d := NewDecoder(strings.NewReader(`{"results":[{"columns":["a"],"types":["t"],"values":[[1]],"error":"late"}]}`))
	defer d.Release()
	result, err := d.NextResult()
	require.NoError(t, err)
	require.Empty(t, result.Error)
	_, err = readRows(d, 1)
	require.NoError(t, err)
	assert.Equal(t, "late", d.Result().Error)
}

func TestDecoderColumns(t *testing.T) {
	t.Parallel()
	body := func(n int) string {
		list := strings.TrimSuffix(strings.Repeat(`"c",`, n), ",")
		row := strings.TrimSuffix(strings.Repeat(`7,`, n), ",")
		return `{"results":[{"columns":[` + list + `],"types":[` + list + `],"values":[[` + row + `]]}]}`
	}
	got, err := readString(body(maxColumns))
	require.NoError(t, err)
	assert.Len(t, got.Entries[0].Result.Columns, maxColumns)
	assert.Len(t, got.Entries[0].Rows[0], maxColumns)

	_, err = readString(body(maxColumns + 1))
	requireSyntaxError(t, err, "more than 32767 columns")
}

// TestDecoderReuse checks that a decoder from the pool keeps nothing of an earlier response.
func TestDecoderReuse(t *testing.T) {
	t.Parallel()
	bodies := []string{
		`{"results":[{"columns":["secret"],"types":["text"],"values":[["hidden"]],"error":"e"}],"error":"old","sequence_number":1,"raft_index":2}`,
		`{"results":[{"columns":["secret"],"types":["text"],"values":[["hid`, // released in the middle
		table(`[]`), // released after an error
	}
	for _, body := range bodies {
		for range 10 {
			_, _ = readString(body)
			got, err := readString(`{"results":[{}]}`)
			require.NoError(t, err)
			require.Equal(t, response{Entries: []entry{{}}}, *got)
			_, err = readString(``)
			require.Equal(t, io.ErrUnexpectedEOF, err, "nothing may be left of the bytes before")
		}
	}
}

// TestDecoderReleaseDropsLargeBuffers is not parallel, because it looks at a decoder in the pool.
func TestDecoderReleaseDropsLargeBuffers(t *testing.T) { //nolint:paralleltest // see above
	huge := strings.Repeat("x", 1<<20) + `\n`
	d := NewDecoder(strings.NewReader(table(`["` + huge + `"]`)))
	_, err := readAll(d)
	require.NoError(t, err)
	require.Greater(t, len(d.scan.buf), 1<<20)
	require.Greater(t, cap(d.scan.scratch), 1<<20)
	d.Release()
	assert.Less(t, len(d.scan.buf), 1<<20)
	assert.Less(t, cap(d.scan.scratch), 1<<20)
}

func TestDecoderConcurrently(t *testing.T) {
	t.Parallel()
	var group sync.WaitGroup
	for worker := range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range 50 {
				id := strconv.Itoa(worker*1000 + i)
				long := strings.Repeat(id, 3000)
				got, err := readString(`{"results":[{"columns":["` + id + `"],"types":["t"],"values":[["` + long + `\n"],[[1,2,3]]]}],"error":"` + id + `"}`)
				if !assert.NoError(t, err) {
					return
				}
				assert.Equal(t, response{
					Entries: []entry{{
						Result: Result{Columns: []string{id}, Types: []string{"t"}},
						Rows:   [][]value{{text(long + "\n")}, {blob("\x01\x02\x03")}},
					}},
					Trailer: Trailer{Error: id},
				}, *got)
			}
		}()
	}
	group.Wait()
}

// A decoder that skims finds the entries, and leaves it to others to look at their columns.
func TestSkim(t *testing.T) {
	t.Parallel()
	const entry = `{"columns":["a"],"types":[],"values":[[1]],"time":0.5}`
	document := `{"results":[` + entry + `,` + entry + `]}`
	d := NewDecoder(strings.NewReader(document))
	defer d.Release()
	d.Skim()
	for range 2 {
		result, err := d.NextResult()
		require.NoError(t, err)
		begin, end, err := d.Rest()
		require.NoError(t, err)
		assert.Equal(t, entry, document[begin:end])
		assert.Equal(t, &Result{Seconds: 0.5}, result)
	}
	_, err := d.NextResult()
	require.ErrorIs(t, err, io.EOF)
}
