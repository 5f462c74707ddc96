package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzDecoder compares Decoder with encoding/json. Whatever Decoder reads, encoding/json reads the
// same way. Whatever encoding/json reads and has the documented shape, Decoder reads. It makes no
// difference how the bytes arrive, and whether columns are remembered.
func FuzzDecoder(f *testing.F) {
	for i, shape := range shapes {
		f.Add([]byte(shape.body), uint64(i))
	}
	for _, body := range []string{
		table(`[[0,1,22,255]],["\ud83d\ude00é"],[1e-7],[null]`),
		table(`["\ud83d"]`), table("[\"\xff\"]"), table(`[[256,0,0,0,0]]`), table(`[{}]`), table(`[01]`), table(`[1,2]`),
		`{"results":[{"values":[[1]],"columns":["a"],"types":["x"]}]}`,
		`{"results":[{"columns":["a"],"columns":["b"],"types":["x"]}],"error":"a","error":"b"}`,
		`{"x":[[[[{"y":[]}]]]],"results":[]}`,
		`{"Results":[{"ERROR":"x"}],"results":[]}`,
	} {
		f.Add([]byte(body), uint64(len(body)))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		got, err := read(bytes.NewReader(body))
		again, errAgain := read(newChunks(string(body), seed))
		require.Equal(t, errText(err), errText(errAgain), "the pieces made a difference")
		require.Equal(t, got, again, "the pieces made a difference")
		var known KnownColumns
		for range 2 { // the second time it may know them
			d := NewDecoder(bytes.NewReader(body))
			d.Remember(&known)
			again, errAgain := readAll(d)
			d.Release()
			require.Equal(t, errText(err), errText(errAgain), "the remembered columns made a difference")
			require.Equal(t, got, again, "the remembered columns made a difference")
		}

		want, jsonErr := oracle(body)
		if err == nil {
			require.NoError(t, jsonErr, "encoding/json refuses it")
			require.Equal(t, want, got)
			return
		}
		require.NotEqual(t, io.EOF, err, "an error that reads as success")
		var syntax *SyntaxError
		require.True(t, errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF), "%v", err)
		if jsonErr == nil {
			require.Error(t, documented(body), "Decoder refuses a documented response: %v", err)
		}
	})
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// oracle reads a response with encoding/json. It returns an error if encoding/json does, or if the
// document is no response at all.
func oracle(body []byte) (*response, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var document map[string]any // a struct would match names in any case
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	if document == nil {
		return nil, errors.New("no object")
	}
	var resp response
	var o oracleReader
	o.text(document["error"], &resp.Trailer.Error)
	o.integer(document["sequence_number"], &resp.Trailer.SequenceNumber)
	for _, e := range o.list(document["results"]) {
		resp.Entries = append(resp.Entries, o.entry(e))
	}
	return &resp, o.err
}

// oracleReader turns the output of encoding/json into the types of this package.
type oracleReader struct{ err error }

func (o *oracleReader) note(err error) {
	if o.err == nil {
		o.err = err
	}
}

func (o *oracleReader) wrong(v any) { o.note(fmt.Errorf("a %T where it does not belong", v)) }

func (o *oracleReader) text(v any, to *string) {
	switch v := v.(type) {
	case nil:
	case string:
		*to = v
	default:
		o.wrong(v)
	}
}

func (o *oracleReader) integer(v any, to *int64) {
	switch v := v.(type) {
	case nil:
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		o.note(err)
		*to = n
	default:
		o.wrong(v)
	}
}

func (o *oracleReader) list(v any) []any {
	list, ok := v.([]any)
	if v != nil && !ok {
		o.wrong(v)
	}
	return list
}

func (o *oracleReader) texts(v any) []string {
	if v == nil {
		return nil
	}
	texts := make([]string, 0)
	for _, item := range o.list(v) {
		text, ok := item.(string)
		if !ok {
			o.wrong(item)
		}
		texts = append(texts, text)
	}
	return texts
}

func (o *oracleReader) entry(v any) entry {
	var e entry
	object, ok := v.(map[string]any)
	if !ok {
		o.wrong(v)
		return e
	}
	o.integer(object["last_insert_id"], &e.Result.LastInsertID)
	o.integer(object["rows_affected"], &e.Result.RowsAffected)
	o.text(object["error"], &e.Result.Error)
	if seconds, ok := object["time"].(json.Number); ok {
		if n, err := seconds.Float64(); err == nil {
			e.Result.Seconds = n
		}
	}
	e.Result.Columns = o.texts(object["columns"])
	e.Result.Types = o.texts(object["types"])
	for _, row := range o.list(object["values"]) {
		var cells []value
		for _, cell := range o.list(row) {
			cells = append(cells, o.cell(cell))
		}
		e.Rows = append(e.Rows, cells)
	}
	return e
}

func (o *oracleReader) cell(v any) value {
	switch v := v.(type) {
	case nil:
		return null
	case bool:
		if v {
			return yes
		}
		return no
	case json.Number:
		return number(v.String())
	case string:
		return text(v)
	case []any:
		bytes := make([]byte, 0, len(v))
		for _, item := range v {
			n, ok := item.(json.Number)
			if !ok {
				o.wrong(item)
			}
			b, err := strconv.ParseUint(n.String(), 10, 8)
			o.note(err)
			bytes = append(bytes, byte(b))
		}
		return blob(string(bytes))
	}
	o.wrong(v)
	return null
}

// documented returns nil if a document that encoding/json can read has the shape that rqlite's API
// documents. Decoder must read such a document. Otherwise the error names the difference.
// documented walks over the tokens, because the order of members matters and encoding/json is too
// lenient.
func documented(body []byte) error {
	if !utf8.Valid(body) || loneSurrogate(body) {
		return errors.New("text that is no Unicode")
	}
	w := walker{decoder: json.NewDecoder(bytes.NewReader(body))}
	w.decoder.UseNumber()
	return w.object(func(name string) error {
		switch name {
		case "results":
			return w.array(true, w.entry)
		case "error":
			return w.want(reflect.TypeFor[string]())
		case "sequence_number":
			return w.integer()
		}
		return w.anything()
	})
}

// escape is an escape sequence. In a JSON document backslashes occur nowhere else.
var escape = regexp.MustCompile(`(?s)\\(?:u[0-9a-fA-F]{4}|.)`)

// pair matches the escapes of both halves of a surrogate pair.
var pair = regexp.MustCompile(`^(?i)\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}`)

// loneSurrogate reports whether a document has the \u escape of half a surrogate pair.
// encoding/json replaces it by U+FFFD.
func loneSurrogate(body []byte) bool {
	for len(body) > 0 {
		at := escape.FindIndex(body)
		if at == nil {
			return false
		}
		body = body[at[0]:]
		switch size := at[1] - at[0]; {
		case pair.Match(body):
			body = body[12:]
		case size == 6 && (body[2]|0x20 == 'd') && body[3] >= '8':
			return true
		default:
			body = body[size:]
		}
	}
	return false
}

// walker walks over the tokens of a document.
type walker struct {
	decoder *json.Decoder
	depth   int
}

func (w *walker) token() (json.Token, error) { return w.decoder.Token() }

func (w *walker) want(kind reflect.Type) error {
	token, err := w.token()
	if err == nil && reflect.TypeOf(token) != kind {
		err = fmt.Errorf("%T instead of %v", token, kind)
	}
	return err
}

// integer expects an integer that fits both int64 and uint64.
func (w *walker) integer() error {
	token, err := w.token()
	if err != nil {
		return err
	}
	n, ok := token.(json.Number)
	if !ok {
		return fmt.Errorf("%T instead of an integer", token)
	}
	_, err = strconv.ParseUint(n.String(), 10, 63)
	return err
}

// object calls member after each name. A name must not occur twice.
func (w *walker) object(member func(name string) error) error {
	if token, err := w.token(); err != nil || token != json.Delim('{') {
		return fmt.Errorf("no object: %w", err)
	}
	seen := make(map[string]bool)
	for w.decoder.More() {
		token, err := w.token()
		if err != nil {
			return err
		}
		name := token.(string)
		if seen[name] {
			return fmt.Errorf("%q twice", name)
		}
		seen[name] = true
		if err := member(name); err != nil {
			return err
		}
	}
	return w.want(reflect.TypeFor[json.Delim]())
}

// array calls element before each element.
func (w *walker) array(orNull bool, element func() error) error {
	token, err := w.token()
	if err != nil || orNull && token == nil {
		return err
	}
	if token != json.Delim('[') {
		return fmt.Errorf("%v instead of an array", token)
	}
	for w.decoder.More() {
		if err := element(); err != nil {
			return err
		}
	}
	return w.want(reflect.TypeFor[json.Delim]())
}

func (w *walker) anything() error {
	token, err := w.token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'), json.Delim('['):
		if w.depth++; w.depth > maxDepth {
			return errors.New("nested too deep")
		}
		for w.decoder.More() {
			if err := w.anything(); err != nil {
				return err
			}
		}
		w.depth--
		_, err = w.token()
	}
	return err
}

func (w *walker) entry() error {
	columns, types := 0, 0
	err := w.object(func(name string) error {
		switch name {
		case "columns":
			return w.texts(&columns)
		case "types":
			return w.texts(&types)
		case "values":
			if columns != types {
				return errors.New("values before columns and types")
			}
			if columns == 0 {
				return w.want(nil) // null
			}
			return w.array(true, func() error { return w.row(columns) })
		case "last_insert_id", "rows_affected":
			return w.integer()
		case "error":
			return w.want(reflect.TypeFor[string]())
		}
		return w.anything()
	})
	if err == nil && columns != types {
		return errors.New("columns and types differ in number")
	}
	return err
}

func (w *walker) texts(n *int) error {
	return w.array(true, func() error { *n++; return w.want(reflect.TypeFor[string]()) })
}

func (w *walker) row(columns int) error {
	n := 0
	err := w.array(false, func() error {
		n++
		token, err := w.token()
		switch token {
		case json.Delim('{'):
			return errors.New("an object among the cells")
		case json.Delim('['):
			for err == nil && w.decoder.More() {
				err = w.byte()
			}
			if err == nil {
				_, err = w.token()
			}
		}
		return err
	})
	if err == nil && n != columns {
		return fmt.Errorf("%d cells for %d columns", n, columns)
	}
	return err
}

func (w *walker) byte() error {
	token, err := w.token()
	if err != nil {
		return err
	}
	n, ok := token.(json.Number)
	if !ok {
		return errors.New("a BLOB of something else than numbers")
	}
	_, err = strconv.ParseUint(n.String(), 10, 8)
	return err
}

// TestDocumented checks the checker itself. If documented refused a known shape, the fuzz test
// would prove nothing. It must also refuse the documents that it is there to exclude.
func TestDocumented(t *testing.T) {
	t.Parallel()
	negative := map[string]bool{"largest and smallest rowid": true, "raft index": true} // larger than integer allows
	for _, shape := range shapes {
		if !negative[shape.name] {
			require.NoError(t, documented([]byte(shape.body)), shape.name)
		}
		want, err := oracle([]byte(shape.body))
		require.NoError(t, err, shape.name)
		require.Equal(t, shape.want, *want, shape.name)
	}
	require.NoError(t, documented([]byte(table(`["\\\\ud83d\uD83D\uDE00\\n\ufffd\ud7ff"]`))))
	for _, body := range []string{
		table(`["\ud83d"]`), table(`["\ufffd\ude00"]`), table("[\"\xff\"]"), table(`[[256]]`), table(`[{}]`), table(`[1,2]`), table(`[]`),
		`{"results":[],"results":[]}`, `{"results":[{"values":[[1]]}]}`, `{"error":1}`,
		table(`["\\\\ufffd\uDBFF\uDBFF"]`), table(`["\\\\\uDC00"]`),
	} {
		require.Error(t, documented([]byte(body)), body)
	}
}
