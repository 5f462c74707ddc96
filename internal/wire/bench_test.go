package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// response is what a client that uses encoding/json decodes into.
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
	RaftIndex      uint64 `json:"raft_index"`
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

// decoding is what the decoders are measured on.
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

// BenchmarkDecode reads whole responses: a cell at a time, and with
// encoding/json into what a client would make of it.
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

// TestDecodeBenchmarks proves that the bodies are whole: every cell is found by
// both decoders.
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
		want := 0
		for _, row := range v.Results[0].Values {
			want += len(row)
		}
		if got != want {
			t.Errorf("%s: %d cells, and %d by encoding/json", bb.name, got, want)
		}
	}
}

// BenchmarkEncode writes one statement of a request. What encoding/json writes is
// another one where there are BLOBs: rqlite stores those as texts.
func BenchmarkEncode(b *testing.B) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	blob := make([]byte, benchBlob)
	for i := range blob {
		blob[i] = byte(i * 167)
	}
	for _, bb := range []struct {
		name string
		sql  string
		args []any
	}{
		{"point", "SELECT id, name, score, n FROM t WHERE id = ?", []any{int64(7)}},
		{"insert", "INSERT INTO t(name, score, n, at) VALUES (?, ?, ?, ?)", []any{"a name", 1.5, int64(42), now}},
		{"text", "INSERT INTO t(body) VALUES (?)", []any{strings.Repeat("plain, \"quoted\"\n<b> äöü 世界 ", 1000)}},
		{"blob", "INSERT INTO t(b) VALUES (?)", []any{blob}},
	} {
		b.Run(bb.name+"/encoder=wire", func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = wire.AppendStatement(buf[:0], bb.sql, bb.args); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
		b.Run(bb.name+"/encoder=json", func(b *testing.B) {
			b.ReportAllocs()
			list := append([]any{bb.sql}, bb.args...)
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = json.Marshal(list); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}
