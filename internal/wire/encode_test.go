package wire

import (
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// prefix precedes all appended bytes. The tests check that it is kept.
const prefix = "before:"

func TestAppendValue(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", -(9*3600 + 30*60))
	tests := []struct {
		name  string
		value any
		want  string
	}{
		{"nil", nil, `null`},
		{"zero", int64(0), `0`},
		{"minus one", int64(-1), `-1`},
		{"largest integer", int64(math.MaxInt64), `9223372036854775807`},
		{"smallest integer", int64(math.MinInt64), `-9223372036854775808`},
		{"beyond the exact floats", int64(1<<53 + 1), `9007199254740993`},
		{"true", true, `true`},
		{"false", false, `false`},
		{"whole float", 3.0, `3.0`},
		{"float zero", 0.0, `0.0`},
		{"negative zero", math.Copysign(0, -1), `-0.0`},
		{"fraction", -0.1, `-0.1`},
		{"largest without an exponent", 123456.0, `123456.0`},
		{"million", 1e6, `1e+06`},
		{"large float", 1e21, `1e+21`},
		{"two to the 63rd", 9223372036854775808.0, `9.223372036854776e+18`},
		{"smallest float", math.SmallestNonzeroFloat64, `5e-324`},
		{"largest float", math.MaxFloat64, `1.7976931348623157e+308`},
		{"not a number", math.NaN(), `null`},
		{"empty text", "", `""`},
		{"ASCII", "plain text", `"plain text"`},
		{"quotes", `a"b\c/d`, `"a\"b\\c/d"`},
		{"controls", "\b\f\n\r\t\x1b\x1f", `"\u0008\u000c\u000a\u000d\u0009\u001b\u001f"`},
		{"NUL", "a\x00b", `"a\u0000b"`},
		{"delete is no control in JSON", "\x7f", "\"\x7f\""},
		{"HTML is left alone", "<a&b>", `"<a&b>"`},
		{"line separator", "\u2028\u2029", "\"\u2028\u2029\""},
		{"multi-byte", "Zürich 東京 😀", `"Zürich 東京 😀"`},
		{"replacement character itself", "\ufffd", "\"\ufffd\""},
		{"escape behind multi-byte", "é\"é", `"é\"é"`},
		{"looks like a blob literal", "x'6869'", `"x'6869'"`},
		{"nil blob", []byte(nil), `null`},
		{"empty blob", []byte{}, `"x''"`},
		{"blob", []byte{0, 9, 10, 99, 100, 255}, `"x'00090a6364ff'"`},
		{"time", time.Date(2024, 2, 29, 23, 59, 58, 0, time.UTC), `"2024-02-29 23:59:58+00:00"`},
		{"nanoseconds", time.Date(2024, 2, 29, 23, 59, 58, 120000001, time.UTC), `"2024-02-29 23:59:58.120000001+00:00"`},
		{"trailing zeros of a fraction", time.Date(1, 1, 1, 0, 0, 0, 5e8, time.UTC), `"0001-01-01 00:00:00.5+00:00"`},
		{"zone", time.Date(2024, 12, 1, 1, 2, 3, 0, zone), `"2024-12-01 01:02:03-09:30"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := AppendValue([]byte(prefix), tt.value)
			require.NoError(t, err)
			assert.Equal(t, prefix+tt.want, string(got))
			assert.True(t, json.Valid(got[len(prefix):]), "not JSON: %s", got)
		})
	}
}

func TestAppendValueAllBytes(t *testing.T) {
	t.Parallel()
	blob := make([]byte, 256)
	for i := range blob {
		blob[i] = byte(i)
	}
	got, err := AppendValue(nil, blob)
	require.NoError(t, err)
	var text string
	require.NoError(t, json.Unmarshal(got, &text))
	digits, ok := strings.CutPrefix(strings.TrimSuffix(text, "'"), "x'")
	require.True(t, ok, text)
	back, err := hex.DecodeString(digits)
	require.NoError(t, err)
	assert.Equal(t, blob, back)
}

func TestAppendValueRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		value   any
		message string
	}{
		{"infinity", math.Inf(1), "infinite"},
		{"negative infinity", math.Inf(-1), "infinite"},
		{"invalid UTF-8", "a\xffb", "UTF-8"},
		{"cut rune", "caf\xc3", "UTF-8"},
		{"surrogate in UTF-8", "\xed\xa0\x80", "UTF-8"},
		{"overlong", "\xc0\x80", "UTF-8"},
		{"invalid behind an escape", "\n\xff", "UTF-8"},
		{"int", 1, "type int "},
		{"uint64", uint64(1), "type uint64 "},
		{"float32", float32(1), "type float32 "},
		{"pointer", new(int64), "type *int64 "},
		{"named type", json.Number("1"), "type json.Number "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// The extra room would show a slice that was changed in place.
			dst := append(make([]byte, 0, 256), prefix...)
			got, err := AppendValue(dst, tt.value)
			require.ErrorContains(t, err, tt.message)
			assert.Equal(t, prefix, string(got))
		})
	}
}

func TestAppendStatement(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		sql  string
		args []any
		want string
	}{
		{"bare", "SELECT 1", nil, `"SELECT 1"`},
		{"no parameters", "SELECT 1", []any{}, `"SELECT 1"`},
		{"quoted", `SELECT "a"`, nil, `"SELECT \"a\""`},
		{"one", "SELECT ?", []any{int64(1)}, `["SELECT ?",1]`},
		{"null", "SELECT ?", []any{nil}, `["SELECT ?",null]`},
		{
			"all types", "VALUES (?,?,?,?,?,?,?)",
			[]any{nil, int64(-7), 2.0, true, "t\n", []byte{1}, time.Unix(0, 0).UTC()},
			`["VALUES (?,?,?,?,?,?,?)",null,-7,2.0,true,"t\u000a","x'01'","1970-01-01 00:00:00+00:00"]`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := AppendStatement([]byte(prefix), tt.sql, tt.args)
			require.NoError(t, err)
			assert.Equal(t, prefix+tt.want, string(got))
		})
	}
}

func TestAppendStatementRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		sql       string
		args      []any
		parameter int // 0: the statement itself
		cause     error
	}{
		{"statement", "SELECT '\xff'", nil, 0, nil},
		{"statement with parameters", "SELECT ?, '\xff'", []any{int64(1)}, 0, nil},
		{"first", "SELECT ?", []any{"\xff"}, 1, errNotUTF8},
		{"third", "SELECT ?,?,?", []any{int64(1), "x", math.Inf(1)}, 3, errInfinite},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dst := append(make([]byte, 0, 256), prefix...)
			got, err := AppendStatement(dst, tt.sql, tt.args)
			require.Error(t, err)
			assert.Equal(t, prefix, string(got), "dst must come back unchanged")
			value, ok := asValueError(err)
			require.Equal(t, tt.parameter > 0, ok)
			if ok {
				assert.Equal(t, tt.parameter, value.Parameter)
				require.ErrorIs(t, err, tt.cause)
				assert.True(t, strings.HasPrefix(err.Error(), "parameter "+strconv.Itoa(tt.parameter)+": "), err)
			}
		})
	}
}

// TestAppendValueTakesDriverValues checks every type that database/sql passes to a driver.
func TestAppendValueTakesDriverValues(t *testing.T) {
	t.Parallel()
	for _, value := range []any{int64(1), 1.5, true, []byte("b"), "s", time.Now(), nil} {
		require.True(t, driver.IsValue(value))
		_, err := AppendValue(nil, value)
		require.NoError(t, err, "%T", value)
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a", `"\`, "\x00\x1f\x7f", "\u2028", "é😀", "\xff", "\xed\xa0\x80", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := AppendValue([]byte(prefix), s)
		if err != nil {
			require.False(t, utf8.ValidString(s), "refused although it is UTF-8")
			require.Equal(t, prefix, string(got))
			return
		}
		require.True(t, utf8.ValidString(s), "accepted although it is not UTF-8")
		var back string
		require.NoError(t, json.Unmarshal(got[len(prefix):], &back), "%q", got)
		require.Equal(t, s, back)

		cell := decodeCell(t, string(got[len(prefix):]))
		require.Equal(t, Text, cell.Kind)
		require.Equal(t, s, string(cell.Data), "the decoder must read what the encoder wrote")
	})
}

func FuzzAppendFloat(f *testing.F) {
	for _, v := range []float64{0, math.Copysign(0, -1), 3, -0.1, 1e21, 1e20, 5e-324, math.MaxFloat64, 1 << 53, math.NaN(), math.Inf(1)} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v float64) {
		got, err := AppendValue(nil, v)
		if math.IsInf(v, 0) {
			require.ErrorIs(t, err, errInfinite)
			return
		}
		require.NoError(t, err)
		if math.IsNaN(v) {
			require.Equal(t, "null", string(got))
			return
		}
		require.True(t, json.Valid(got), "not JSON: %s", got)
		back, err := strconv.ParseFloat(string(got), 64)
		require.NoError(t, err)
		require.Equal(t, math.Float64bits(v), math.Float64bits(back), "%s", got)
		_, err = strconv.ParseInt(string(got), 10, 64)
		require.Error(t, err, "%s would bind as an INTEGER", got)
	})
}

// decodeCell returns the only cell of a response that holds the given JSON.
func decodeCell(t *testing.T, value string) Cell {
	t.Helper()
	d := NewDecoder(strings.NewReader(`{"results":[{"columns":["c"],"types":[""],"values":[[` + value + `]]}]}`))
	t.Cleanup(d.Release)
	_, err := d.NextResult()
	require.NoError(t, err)
	require.NoError(t, d.NextRow())
	cell, err := d.Cell()
	require.NoError(t, err)
	return cell
}

func asValueError(err error) (*ValueError, bool) {
	var value *ValueError
	ok := errors.As(err, &value)
	return value, ok
}

// TestAppendTime checks that every time in every zone is written in timeFormat.
func TestAppendTime(t *testing.T) {
	t.Parallel()
	zones := []*time.Location{time.UTC, time.Local}
	for _, offset := range []int{1, -1, 59, -59, 60, -60, 3600, -3600, 3208, -3208, 19800, 50400, -43200, 86399, -86399, 100 * 3600} {
		zones = append(zones, time.FixedZone("", offset))
	}
	times := []time.Time{{}, time.Date(-1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(10_000, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(-123456, 7, 8, 9, 10, 11, 0, time.UTC)}
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		times = append(times, time.Unix(r.Int64N(1<<38)-1<<37, r.Int64N(1_000_000_000)/[]int64{1, 1_000, 1_000_000, 1_000_000_000}[r.IntN(4)]))
	}
	for i, at := range times {
		at = at.In(zones[i%len(zones)])
		if want, got := at.Format(timeFormat), string(appendTime(nil, at)); want != got {
			t.Fatalf("%s is written as %s", want, got)
		}
	}
}
