package cdc

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// goldenPosts returns the posts in a file. A real rqlited has sent them: TestCDCGolden of
// rqlitetest has the statements and writes the files.
func goldenPosts(t testing.TB, name string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return bytes.Split(bytes.TrimSpace(text), []byte("\n"))
}

// goldenChanges returns the changes of the posts in a file.
func goldenChanges(t *testing.T, name string) []Change {
	t.Helper()
	var all []Change
	h := NewHandler(func(_ context.Context, changes []Change) error {
		all = append(all, changes...)
		return nil
	}, &Options{Logger: discard})
	for _, body := range goldenPosts(t, name) {
		p, err := decodePost(body)
		require.NoError(t, err)
		_, err = h.serve(t.Context(), p)
		require.NoError(t, err)
	}
	assert.Zero(t, h.Stats().Duplicates)
	return all
}

// of returns the changes of a table.
func of(all []Change, table string) (some []Change) {
	for _, c := range all {
		if c.Table == table {
			some = append(some, c)
		}
	}
	return some
}

// bare returns the change without the fields that differ from run to run.
func bare(c Change) Change {
	c.CommitTime, c.Index, c.Part, c.NodeID, c.ServiceID = time.Time{}, 0, 0, "", ""
	return c
}

type row = map[string]any

// TestGoldenStorageClasses has each storage class in a column without a type.
func TestGoldenStorageClasses(t *testing.T) {
	t.Parallel()
	var values []any
	for _, c := range of(goldenChanges(t, "posts.jsonl"), "plain") {
		if c.Op == Insert && c.NewRowID > 0 {
			assert.Equal(t, c.NewRowID, c.After["id"])
			assert.Nil(t, c.Before)
			assert.Len(t, c.After, 2)
			values = append(values, c.After["v"])
		}
	}
	require.Len(t, values, 15)
	assert.True(t, math.Signbit(values[8].(float64)))
	values[8] = nil
	assert.Equal(t, []any{
		nil, int64(math.MaxInt64), int64(math.MinInt64), int64(1<<53 + 1),
		int64(3), 0.1, 1e300, 1e20, nil,
		"text <é> \u2028\x00x", "", "\ufffdA", "AP8Q", "", int64(1),
	}, values)
	blob, err := Bytes(values[12])
	require.NoError(t, err)
	assert.Equal(t, []byte{0, 0xff, 0x10}, blob)
}

func TestGoldenChanges(t *testing.T) {
	t.Parallel()
	all := goldenChanges(t, "posts.jsonl")
	for table, want := range map[string][]Change{
		"typed": {
			{Op: Insert, NewRowID: 1, After: row{
				"id": int64(1), "i": int64(5), "r": int64(3), "t": "abc", "b": "aGk=", "n": 1.5, "bo": int64(1),
				"dt": "2024-01-02 03:04:05.678+02:00", "da": "2024-01-02", "vc": "vc",
			}},
			{Op: Insert, NewRowID: 2, After: row{
				"id": int64(2), "i": "x", "r": "y", "t": "/w==", "b": "text", "n": int64(12), "bo": "yes",
				"dt": int64(1700000000), "da": "AQ==", "vc": "/g==",
			}},
			{Op: Insert, NewRowID: 3, After: row{
				"id": int64(3), "i": 2.5, "r": 2.5, "t": "5", "b": int64(7), "n": int64(1<<53 + 1), "bo": int64(0),
				"dt": nil, "da": nil, "vc": nil,
			}},
			{Op: Update, OldRowID: 3, NewRowID: 3, Before: row{
				"id": int64(3), "i": 2.5, "r": 2.5, "t": "5", "b": int64(7), "n": int64(1<<53 + 1), "bo": int64(0),
				"dt": nil, "da": nil, "vc": nil,
			}, After: row{
				"id": int64(3), "i": 2.5, "r": 3.5, "t": nil, "b": int64(7), "n": int64(1<<53 + 1), "bo": int64(0),
				"dt": nil, "da": nil, "vc": nil,
			}},
			{Op: Delete, OldRowID: 1, Before: row{
				"id": int64(1), "i": int64(5), "r": int64(3), "t": "abc", "b": "aGk=", "n": 1.5, "bo": int64(1),
				"dt": "2024-01-02 03:04:05.678+02:00", "da": "2024-01-02", "vc": "vc",
			}},
			{Op: Delete, OldRowID: 2, Before: row{
				"id": int64(2), "i": "x", "r": "y", "t": "/w==", "b": "text", "n": int64(12), "bo": "yes",
				"dt": int64(1700000000), "da": "AQ==", "vc": "/g==",
			}},
		},
		"keyed": { // WITHOUT ROWID
			{Op: Insert, After: row{"k": "k1", "v": int64(1)}},
			{Op: Update, Before: row{"k": "k1", "v": int64(1)}, After: row{"k": "k1", "v": int64(2)}},
			{Op: Update, Before: row{"k": "k1", "v": int64(2)}, After: row{"k": "k2", "v": int64(2)}},
			{Op: Delete, Before: row{"k": "k2", "v": int64(2)}},
		},
		"counted": {
			{Op: Insert, After: row{"k": int64(77), "v": int64(1)}},
			{Op: Update, Before: row{"k": int64(77), "v": int64(1)}, After: row{"k": int64(78), "v": int64(1)}},
		},
		"uniq": {
			{Op: Insert, NewRowID: 1, After: row{"id": int64(1), "x": "a"}},
			{Op: Insert, NewRowID: 2, After: row{"id": int64(2), "x": "b"}},
			{Op: Delete, OldRowID: 1, Before: row{"id": int64(1), "x": "a"}},
			{Op: Insert, NewRowID: 3, After: row{"id": int64(3), "x": "a"}},
			{Op: Update, OldRowID: 2, NewRowID: 2, Before: row{"id": int64(2), "x": "b"}, After: row{"id": int64(2), "x": "bb"}},
			{Op: Delete, OldRowID: 2, Before: row{"id": int64(2), "x": "bb"}},
			{Op: Delete, OldRowID: 3, Before: row{"id": int64(3), "x": "a"}},
			{Op: Insert, NewRowID: 5, After: row{"id": int64(5), "x": int64(5)}},
			{Op: Delete, OldRowID: 5, Before: row{"id": int64(5), "x": int64(5)}},
		},
		`odd " name`: {{Op: Insert, NewRowID: 1, After: row{"a b": int64(1), "é": int64(2)}}},
		"journal": {
			{Op: Insert, NewRowID: 1, After: row{"what": "u", "old": "a", "new": "b"}},
			{Op: Insert, NewRowID: 2, After: row{"what": "u", "old": int64(2), "new": int64(3)}},
		},
		"generated": {{Op: Insert, NewRowID: 1, Err: "failed to get new row data: column index out of range"}},
		"made":      {{Op: Insert, NewRowID: 1, Err: "failed to get column names for table made: no such table: made"}},
	} {
		var got []Change
		for _, c := range of(all, table) {
			c.Table = ""
			got = append(got, bare(c))
		}
		assert.Equal(t, want, got, table)
	}
}

// TestGoldenRowIDs has a rowid that changes, and the rowid 0, which rqlite does not send.
func TestGoldenRowIDs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"posts.jsonl", "rowids.jsonl"} {
		var got [][3]int64
		for _, c := range of(goldenChanges(t, name), "plain")[15:] {
			got = append(got, [3]int64{int64(c.Op), c.OldRowID, c.NewRowID})
		}
		assert.Equal(t, [][3]int64{
			{int64(Insert), 0, 0},
			{int64(Insert), 0, -5},
			{int64(Update), 1, 100},
			{int64(Update), 100, 100},
			{int64(Delete), 100, 0},
		}, got, name)
	}
	for _, c := range goldenChanges(t, "rowids.jsonl") {
		assert.Nil(t, c.Before)
		assert.Nil(t, c.After)
	}
}

// TestGoldenPlaces checks positions: a transaction on several tables is one commit, and the commits
// of one entry are numbered.
func TestGoldenPlaces(t *testing.T) {
	t.Parallel()
	all := goldenChanges(t, "posts.jsonl")
	first := all[0].Index
	var last Change
	places := map[string][]int{}
	for _, c := range all {
		assert.Equal(t, "1", c.NodeID)
		assert.Equal(t, "svc", c.ServiceID)
		assert.False(t, c.Uncertain)
		assert.WithinRange(t, c.CommitTime, time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
		assert.LessOrEqual(t, last.Index, c.Index)
		last = c
		if c.Table == "watched" {
			key := strconv.Itoa(int(c.Index - first))
			places[key] = append(places[key], c.Part)
		}
	}
	assert.Equal(t, map[string][]int{"36": {0}, "37": {0}, "39": {0, 0}, "42": {0, 1, 2}}, places)
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	const event = `{"node_id":"1","payload":[{"index":1,"events":[%]}]}`
	for name, c := range map[string]struct{ body, want string }{
		"empty":           {``, "unexpected end"},
		"truncated":       {`{"node_id":"1","payload":[{"index":1,"events":[`, "unexpected end"},
		"more behind":     {`{"payload":[]} x`, "invalid character"},
		"not UTF-8":       {"{\"node_id\":\"\xff\",\"payload\":[]}", "not UTF-8"},
		"an array":        {`[]`, "cannot unmarshal"},
		"no payload":      {`{"node_id":"1"}`, "no \"payload\""},
		"null payload":    {`{"payload":null}`, "no \"payload\""},
		"null":            {`null`, "no \"payload\""},
		"negative index":  {`{"payload":[{"index":-1}]}`, "cannot unmarshal"},
		"fraction":        {`{"payload":[{"index":1.5}]}`, "cannot unmarshal"},
		"null event":      {strings.ReplaceAll(event, "%", `null`), "is no operation"},
		"no op":           {strings.ReplaceAll(event, "%", `{"table":"t"}`), "is no operation"},
		"another op":      {strings.ReplaceAll(event, "%", `{"op":"TRUNCATE","table":"t"}`), "TRUNCATE"},
		"unknown op":      {strings.ReplaceAll(event, "%", `{"op":"UNKNOWN","table":"t"}`), "its operation is unknown"},
		"no table":        {strings.ReplaceAll(event, "%", `{"op":"INSERT"}`), "no table"},
		"rowid too large": {strings.ReplaceAll(event, "%", `{"op":"INSERT","table":"t","new_row_id":9223372036854775808}`), "cannot unmarshal"},
		"a list as value": {strings.ReplaceAll(event, "%", `{"op":"INSERT","table":"t","after":{"a":[1]}}`), `"a": its value is neither`},
		"no float64":      {strings.ReplaceAll(event, "%", `{"op":"INSERT","table":"t","after":{"a":1e999}}`), "does not fit"},
		"row is a list":   {strings.ReplaceAll(event, "%", `{"op":"INSERT","table":"t","after":[]}`), "cannot unmarshal"},
	} {
		_, err := decodePost([]byte(c.body))
		assert.ErrorContains(t, err, c.want, name)
	}
}

func TestDecodeTolerates(t *testing.T) {
	t.Parallel()
	p, err := decodePost([]byte(`{"new":{"a":[1]},"payload":[{"index":7,"more":1,"events":[
		{"op":"DELETE","table":"t","extra":null,"before":{"a":true,"b":null,"c":18446744073709551615},"after":null},
		{"op":"UNKNOWN","table":"t","error":"unknown preupdate hook operation 7"}
	]},{"index":8,"events":null}]}`))
	require.NoError(t, err)
	assert.Equal(t, []event{
		{Op: "DELETE", op: Delete, Table: "t", Before: row{"a": true, "b": nil, "c": float64(1 << 64)}},
		{Op: "UNKNOWN", op: Unknown, Table: "t", Error: "unknown preupdate hook operation 7"},
	}, p.Payload[0].Events)
	assert.Equal(t, group{Index: 8}, p.Payload[1])
	assert.True(t, p.Payload[1].commitTime().IsZero())
}

func TestOp(t *testing.T) {
	t.Parallel()
	for op, name := range map[Op]string{Unknown: "UNKNOWN", Insert: "INSERT", Update: "UPDATE", Delete: "DELETE"} {
		assert.Equal(t, name, op.String())
		parsed, err := ParseOp(name)
		assert.NoError(t, err)
		assert.Equal(t, op, parsed)
	}
	assert.Equal(t, "Op(9)", Op(9).String())
	_, err := ParseOp("insert")
	assert.ErrorContains(t, err, "rqlite: ")
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value any
		want  []byte
		fails bool
	}{
		{nil, nil, false},
		{"", []byte{}, false},
		{"AP8Q", []byte{0, 0xff, 0x10}, false},
		{"text!", nil, true},
		{"AP8R==", nil, true},
		{int64(1), nil, true},
	} {
		got, err := Bytes(c.value)
		assert.Equal(t, c.want, got)
		assert.Equal(t, c.fails, err != nil, "%v", c.value)
	}
}

func TestRow(t *testing.T) {
	t.Parallel()
	before, after := row{"a": 1}, row{"a": 2}
	assert.Equal(t, after, (&Change{Before: before, After: after}).Row())
	assert.Equal(t, before, (&Change{Before: before}).Row())
	assert.Nil(t, (&Change{}).Row())
}

// FuzzDecode checks bodies that the decoder accepts: they are valid JSON, no known member is lost,
// and encoding and decoding them again gives the same. The decoder refuses all bodies that
// encoding/json refuses.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"posts.jsonl", "rowids.jsonl", "filter.jsonl"} {
		for _, body := range goldenPosts(f, name) {
			f.Add(body)
		}
	}
	f.Add([]byte(`{"payload":[{"index":0,"events":[{"op":"UPDATE","table":"t","before":{"a":-0,"b":1e3},"after":{}}]},{"index":18446744073709551615}]}`))
	f.Add([]byte(`{"payload":[null,{"events":[null]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := decodePost(body)
		if !json.Valid(body) && err == nil {
			t.Fatal("accepted what is not JSON")
		}
		if err != nil {
			return
		}
		if !utf8.Valid(body) {
			t.Fatal("accepted what is not UTF-8")
		}
		for _, g := range p.Payload {
			for _, e := range g.Events {
				if e.Table == "" || e.op == Unknown && e.Error == "" {
					t.Fatalf("accepted an event that says nothing: %+v", e)
				}
				checkValues(t, e.Before)
				checkValues(t, e.After)
			}
		}
		again, err := decodePost(encodePost(t, p))
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Fatalf("%+v\nbecomes, by %v,\n%+v", p, err, again)
		}
		all, _ := place(p.Payload, position{}, nil)
		news, duplicates := fresh(all, position{})
		if len(news)+duplicates != len(p.Payload) {
			t.Fatalf("%d groups, of which %d are new and %d are not", len(p.Payload), len(news), duplicates)
		}
	})
}

// checkValues fails for a value whose type the documentation does not name.
func checkValues(t *testing.T, values row) {
	t.Helper()
	for name, v := range values {
		switch v := v.(type) {
		case nil, bool, string, int64:
		case float64:
			if math.IsInf(v, 0) || math.IsNaN(v) {
				t.Fatalf("%s is %v", name, v)
			}
		default:
			t.Fatalf("%s is of type %T", name, v)
		}
	}
}

// encodePost writes a post as rqlite does, except for a float64 that looks like an integer. It gets
// an exponent, because rqlite's form would be decoded as an int64.
func encodePost(t *testing.T, p *post) []byte {
	t.Helper()
	for _, g := range p.Payload {
		for _, e := range g.Events {
			for _, values := range []row{e.Before, e.After} {
				for name, v := range values {
					if f, ok := v.(float64); ok {
						defer func() { values[name] = f }()
						values[name] = json.RawMessage(strconv.FormatFloat(f, 'e', -1, 64))
					}
				}
			}
		}
	}
	body, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
