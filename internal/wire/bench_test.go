package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// response is the struct into which a client with encoding/json decodes.
type response struct {
	Results []struct {
		LastInsertID int64    `json:"last_insert_id"`
		RowsAffected int64    `json:"rows_affected"`
		Error        string   `json:"error"`
		Columns      []string `json:"columns"`
		Types        []string `json:"types"`
		Values       [][]any  `json:"values"`
	} `json:"results"`
	Error          string `json:"error"`
	SequenceNumber int64  `json:"sequence_number"`
}

// responseOf returns the answer to a query, in the server's own form.
func responseOf(columns, types string, rows int, row func(dst []byte, i int) []byte) []byte {
	body := []byte(`{"results":[{"columns":` + columns + `,"types":` + types + `,"values":[`)
	for i := range rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(row(append(body, '['), i), ']')
	}
	return append(body, "]}]}"...)
}

const (
	benchRows = 100_000
	benchBlob = 1 << 20
)

// decoding lists the responses that the decoders are measured on.
var decoding = []struct {
	name string
	body func() []byte
}{
	{"rows", func() []byte {
		return responseOf(`["id","name","score","n"]`, `["integer","text","real","integer"]`, benchRows, func(dst []byte, i int) []byte {
			return fmt.Appendf(dst, `%d,"user%010d@example.com",%v,%d`, i, i, float64(i)*1.1+0.05, i*7919)
		})
	}},
	{"texts", func() []byte {
		plain := strings.Repeat("a text of some length, as articles have. ", 12)
		escaped := strings.Repeat(`\"quoted\"\n\u003cb\u003e äöü 世界 `, 12)
		return responseOf(`["title","body"]`, `["text","text"]`, benchRows/20, func(dst []byte, i int) []byte {
			return fmt.Appendf(dst, `"title %d of %s","%s"`, i, plain, escaped)
		})
	}},
	{"blob", func() []byte {
		return responseOf(`["b"]`, `["blob"]`, 1, func(dst []byte, _ int) []byte {
			dst = append(dst, '[')
			for i := range benchBlob {
				dst = fmt.Appendf(dst, "%d,", byte(i*167))
			}
			dst[len(dst)-1] = ']'
			return dst
		})
	}},
	{"nulls", func() []byte {
		return responseOf(`["a","b","c","d"]`, `["integer","boolean","","boolean"]`, benchRows, func(dst []byte, _ int) []byte {
			return append(dst, "null,true,null,false"...)
		})
	}},
	{"point", func() []byte {
		return responseOf(`["id","name","score","n"]`, `["integer","text","real","integer"]`, 1, func(dst []byte, _ int) []byte {
			return append(dst, `7,"user0000000007@example.com",7.75,55433`...)
		})
	}},
	{"write", func() []byte { return []byte(`{"results":[{"last_insert_id":12345,"rows_affected":1}]}`) }},
}

// readAll reads a response to its end and returns the number of cells.
func readAll(r io.Reader) (cells int, err error) {
	d := wire.NewDecoder(r)
	defer d.Release()
	for {
		result, err := d.NextResult()
		if errors.Is(err, io.EOF) {
			return cells, nil
		}
		if err != nil {
			return 0, err
		}
		n, err := readRows(d, len(result.Columns))
		if err != nil {
			return 0, err
		}
		cells += n
	}
}

func readRows(d *wire.Decoder, columns int) (cells int, err error) {
	for {
		err := d.NextRow()
		if errors.Is(err, io.EOF) {
			return cells, nil
		}
		if err != nil {
			return 0, err
		}
		for range columns {
			if _, err := d.Cell(); err != nil {
				return 0, err
			}
		}
		cells += columns
	}
}

// collectRows reads a response to its end and returns the rows of its last result. It keeps all of
// them, as many clients do.
func collectRows(r io.Reader) (rows [][]any, err error) {
	d := wire.NewDecoder(r)
	defer d.Release()
	for {
		result, err := d.NextResult()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		if rows, err = collectResult(d, len(result.Columns)); err != nil {
			return nil, err
		}
	}
}

func collectResult(d *wire.Decoder, columns int) (rows [][]any, err error) {
	for {
		err := d.NextRow()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		row := make([]any, columns)
		for i := range row {
			cell, err := d.Cell()
			if err != nil {
				return nil, err
			}
			if row[i], err = valueOf(cell); err != nil {
				return nil, err
			}
		}
		rows = append(rows, row)
	}
}

// valueOf returns the value of a cell, as a copy. Unlike encoding/json it keeps integers as int64.
func valueOf(c wire.Cell) (any, error) {
	switch c.Kind {
	case wire.False, wire.True:
		return c.Kind == wire.True, nil
	case wire.Number:
		if bytes.ContainsAny(c.Data, ".eE") {
			return strconv.ParseFloat(string(c.Data), 64)
		}
		return strconv.ParseInt(string(c.Data), 10, 64)
	case wire.Text:
		return string(c.Data), nil
	case wire.Blob:
		return bytes.Clone(c.Data), nil
	case wire.Null:
	}
	return nil, nil
}

// BenchmarkDecode reads whole responses in three ways: cell by cell (wire), into a [][]any
// (wire-any), and with encoding/json into a client's struct, which also has a [][]any.
func BenchmarkDecode(b *testing.B) {
	for _, bb := range decoding {
		body := bb.body()
		b.Run(bb.name+"/decoder=wire", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			r := bytes.NewReader(body)
			for b.Loop() {
				r.Reset(body)
				if _, err := readAll(r); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bb.name+"/decoder=wire-any", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			r := bytes.NewReader(body)
			for b.Loop() {
				r.Reset(body)
				if _, err := collectRows(r); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bb.name+"/decoder=json", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var v response
				if err := json.Unmarshal(body, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// count returns the number of cells.
func count(rows [][]any) (cells int) {
	for _, row := range rows {
		cells += len(row)
	}
	return cells
}

// TestDecodeBenchmarks checks that the bodies are whole: every decoder finds every cell.
func TestDecodeBenchmarks(t *testing.T) {
	t.Parallel()
	for _, bb := range decoding {
		body := bb.body()
		got, err := readAll(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", bb.name, err)
		}
		var v response
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatalf("%s: %v", bb.name, err)
		}
		rows, err := collectRows(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", bb.name, err)
		}
		want := count(v.Results[0].Values)
		if collected := count(rows); got != want || collected != want {
			t.Errorf("%s: %d cells, %d collected, and %d by encoding/json", bb.name, got, collected, want)
		}
	}
}

// encoding lists the statements that the encoders are measured on, each followed by its parameters.
var encoding = []struct {
	name       string
	statements func() [][]any
}{
	{"point", func() [][]any {
		return [][]any{{"SELECT id, name, score, n FROM t WHERE id = ?", int64(7)}}
	}},
	{"insert", func() [][]any { return inserts(1) }},
	{"bulk", func() [][]any { return inserts(512) }},
	{"text", func() [][]any {
		return [][]any{{"INSERT INTO t(body) VALUES (?)", strings.Repeat("plain, \"quoted\"\n<b> äöü 世界 ", 1000)}}
	}},
	{"blob", func() [][]any {
		blob := make([]byte, benchBlob)
		for i := range blob {
			blob[i] = byte(i * 167)
		}
		return [][]any{{"INSERT INTO t(b) VALUES (?)", blob}}
	}},
}

// inserts returns n rows to insert.
func inserts(n int) [][]any {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	statements := make([][]any, n)
	for i := range statements {
		statements[i] = []any{"INSERT INTO t(name, score, n, at) VALUES (?, ?, ?, ?)", "a name", float64(i) + 0.5, int64(i), at}
	}
	return statements
}

// appendRequest appends the body of a request.
func appendRequest(dst []byte, statements [][]any) ([]byte, error) {
	dst = append(dst, '[')
	for i, s := range statements {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = wire.AppendStatement(dst, s[0].(string), s[1:]); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

// BenchmarkEncode writes the bodies of requests. The output of encoding/json differs for BLOBs:
// rqlite stores them as texts.
func BenchmarkEncode(b *testing.B) {
	for _, bb := range encoding {
		statements := bb.statements()
		b.Run(bb.name+"/encoder=wire", func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = appendRequest(buf[:0], statements); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
		b.Run(bb.name+"/encoder=json", func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = json.Marshal(statements); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

// TestEncodeBenchmarks checks that both encoders write all statements.
func TestEncodeBenchmarks(t *testing.T) {
	t.Parallel()
	for _, bb := range encoding {
		statements := bb.statements()
		body, err := appendRequest(nil, statements)
		if err != nil {
			t.Fatalf("%s: %v", bb.name, err)
		}
		var written [][]any
		if err := json.Unmarshal(body, &written); err != nil {
			t.Fatalf("%s: %v", bb.name, err)
		}
		if len(written) != len(statements) || count(written) != count(statements) {
			t.Errorf("%s: %d statements with %d cells are written, of %d with %d", bb.name,
				len(written), count(written), len(statements), count(statements))
		}
	}
}
