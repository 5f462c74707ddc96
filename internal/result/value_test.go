package result

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// cellOf returns the cell that a driver would read for a small piece of JSON.
func cellOf(kind wire.Kind, data string) wire.Cell { return wire.Cell{Kind: kind, Data: []byte(data)} }

func TestValue(t *testing.T) {
	t.Parallel()
	number := func(text string) wire.Cell { return cellOf(wire.Number, text) }
	text := func(text string) wire.Cell { return cellOf(wire.Text, text) }
	zoned := time.Date(2024, 2, 29, 1, 2, 3, 400, time.FixedZone("", 2*60*60))
	for _, test := range []struct {
		typ  string
		cell wire.Cell
		want driver.Value
	}{
		{"integer", number("0"), int64(0)},
		{"integer", number("255"), int64(255)},
		{"integer", number("256"), int64(256)},
		{"integer", number("-1"), int64(-1)},
		{"integer", number("9223372036854775807"), int64(math.MaxInt64)},
		{"integer", number("-9223372036854775808"), int64(math.MinInt64)},
		{"integer", number("9223372036854775808"), float64(1 << 63)}, // no integer: SQLite would have stored it as REAL
		{"integer", number("1.5"), 1.5},
		{"integer", number("1e2"), 100.0},
		{"integer", number("-0"), math.Copysign(0, -1)},
		{"integer", text("no number"), "no number"},
		{"bigint unsigned", number("3"), int64(3)},
		{"point", number("3"), int64(3)}, // it contains "int", as SQLite has it
		{"real", number("3"), 3.0},
		{"double precision", number("3"), 3.0},
		{"float", number("-0"), math.Copysign(0, -1)},
		{"real", number("5e-324"), 5e-324},
		{"real", text("a"), "a"},
		{"real", number("9007199254740992"), float64(1 << 53)},
		{"real", number("9007199254740993"), int64(1<<53 + 1)}, // what no REAL is printed as: its column only began with a REAL
		{"real", number("-9007199254740993"), int64(-1<<53 - 1)},
		{"real", number("9223372036854775807"), int64(math.MaxInt64)},
		{"real", number("9223372036854775000"), 9223372036854775000.0},
		{"real", number("100000000000000000000"), 1e20},
		{"numeric", number("3"), int64(3)},
		{"decimal(10,2)", number("3.25"), 3.25},
		{"text", number("3"), int64(3)},
		{"text", text(""), ""},
		{"varchar(20)", text("a\x00b"), "a\x00b"},
		{"", number("3"), int64(3)},
		{"blob", number("3"), int64(3)},
		{"blob", cellOf(wire.Blob, "\x00\xff"), []byte{0, 255}},
		{"blob", cellOf(wire.Blob, ""), []byte{}},
		{"datetime", cellOf(wire.Blob, "a"), []byte("a")},
		{"boolean", cellOf(wire.True, ""), true},
		{"boolean", cellOf(wire.False, ""), false},
		{"boolean", number("3"), 3.0}, // an integer would come as true
		{"boolean", text("yes"), "yes"},
		{"datetime", text("2024-02-29T01:02:03Z"), time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC)},
		{"timestamp", text("2024-02-29T01:02:03.0000004+02:00"), zoned},
		{"date", text("0001-01-01T00:00:00Z"), time.Time{}},
		{"datetime", number("1.5"), 1.5},
		{"datetime(3)", text("2024-02-29 01:02:03"), "2024-02-29 01:02:03"}, // rqlite converts the bare names only
		{"integer", cellOf(wire.Null, ""), nil},
		{"boolean", cellOf(wire.Null, ""), nil},
		{"datetime", cellOf(wire.Null, ""), nil},
	} {
		t.Run(fmt.Sprintf("%s %s", test.typ, test.cell.Data), func(t *testing.T) {
			t.Parallel()
			var v Values
			got, err := v.Value(test.cell, StorageOf(test.typ))
			require.NoError(t, err)
			if want, ok := test.want.(time.Time); ok {
				require.IsType(t, want, got)
				_, offset := want.Zone()
				_, gotOffset := got.(time.Time).Zone()
				assert.Equal(t, offset, gotOffset, "the zone is that of the text")
				assert.True(t, want.Equal(got.(time.Time)))
				return
			}
			assert.Equal(t, test.want, got)
			if f, ok := test.want.(float64); ok {
				assert.Equal(t, math.Signbit(f), math.Signbit(got.(float64)))
			}
			if _, ok := test.want.([]byte); ok {
				assert.NotNil(t, got.([]byte), "an empty BLOB is not NULL")
			}
			assert.True(t, driver.IsValue(got))
		})
	}
}

func TestValueLocation(t *testing.T) {
	t.Parallel()
	v := Values{Times: Times{Loc: time.FixedZone("there", -3600)}}
	got, err := v.Value(cellOf(wire.Text, "2024-02-29T01:02:03+02:00"), TimeStorage)
	require.NoError(t, err)
	assert.Equal(t, time.Date(2024, 2, 28, 22, 2, 3, 0, v.Loc), got)
}

func TestValueErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		cell wire.Cell
		in   Storage
		err  string
	}{
		{cellOf(wire.Number, "1e999"), AnyStorage, `the number "1e999" does not fit a float64`},
		{cellOf(wire.Number, "-1e999"), RealStorage, `the number "-1e999" does not fit a float64`},
		{cellOf(wire.Text, "yesterday"), TimeStorage, `"yesterday" is not a time as rqlite sends it`},
		{cellOf(wire.Text, ""), TimeStorage, `"" is not a time as rqlite sends it`},
		{cellOf(wire.Kind(99), ""), AnyStorage, "a value of an unknown kind (99)"},
	} {
		var v Values
		got, err := v.Value(test.cell, test.in)
		assert.EqualError(t, err, test.err)
		assert.Nil(t, got)
	}
}

func FuzzParseInt(f *testing.F) {
	for _, s := range []string{
		"0", "-0", "1", "-1", "00", "999999999999999999", "-99999999999999999", "1000000000000000000", "9223372036854775807",
		"9223372036854775808", "-9223372036854775808", "-9223372036854775809", "1.0", "1e5", "0.0", "100000000000000000000",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !isJSONNumber(s) {
			t.Skip("the decoder gives it numbers only")
		}
		got, ok := ParseInt([]byte(s))
		want, err := strconv.ParseInt(s, 10, 64)
		if s == "-0" {
			require.False(t, ok, "only a REAL is -0")
			return
		}
		require.Equal(t, err == nil, ok, "%q", s)
		if ok {
			require.Equal(t, want, got, "%q", s)
		}
	})
}

// isJSONNumber reports whether the decoder takes s for a number.
func isJSONNumber(s string) bool {
	d := wire.NewDecoder(strings.NewReader(`{"results":[{"columns":["a"],"types":[""],"values":[[` + s + `]]}]}`))
	defer d.Release()
	if _, err := d.NextResult(); err != nil {
		return false
	}
	if err := d.NextRow(); err != nil {
		return false
	}
	cell, err := d.Cell()
	return err == nil && cell.Kind == wire.Number && string(cell.Data) == s
}

// FuzzReal checks that every REAL arrives as it is, in whatever column that
// can hold one, and that no integer that comes among REALs loses a digit.
func FuzzReal(f *testing.F) {
	for _, bits := range []float64{0, math.Copysign(0, -1), 1, 1 << 53, 1<<53 + 2, 1 << 62, -1 << 63, 1e20, 1e21, 5e-324, math.MaxFloat64, 0.1} {
		f.Add(math.Float64bits(bits))
	}
	f.Add(uint64(1<<53 + 1))
	f.Fuzz(func(t *testing.T, bits uint64) {
		var v Values
		integer := strconv.FormatInt(int64(bits), 10)
		got, err := v.Value(cellOf(wire.Number, integer), RealStorage)
		require.NoError(t, err)
		if n, ok := got.(int64); ok {
			require.Equal(t, int64(bits), n)
		} else {
			// The server prints the REAL in the same way, so that nobody can tell.
			printed, err := json.Marshal(got)
			require.NoError(t, err)
			require.Equal(t, integer, string(printed))
		}
		real := math.Float64frombits(bits)
		printed, err := json.Marshal(real) // as the server does it
		if err != nil {
			return // NaN and infinities do not come
		}
		got, err = v.Value(cellOf(wire.Number, string(printed)), RealStorage)
		require.NoError(t, err)
		require.IsType(t, real, got)
		require.Equal(t, bits, math.Float64bits(got.(float64)), "%s", printed)
	})
}

func TestSimilarTimes(t *testing.T) {
	t.Parallel()
	v := Values{Times: Times{Similar: true, Loc: time.UTC}}
	at := time.Date(2024, 2, 28, 23, 2, 3, 0, time.UTC)
	for _, typ := range []string{"timestamptz", "timestamp with time zone", "timestamp(3)", "datetime(3)"} {
		assert.Equal(t, SimilarStorage, v.StorageOf(typ), typ)
		assert.Equal(t, AnyStorage, Times{}.StorageOf(typ), typ)
	}
	for _, typ := range []string{"datetime", "timestamp", "date", "text", "", "time", "dates"} {
		assert.Equal(t, StorageOf(typ), v.StorageOf(typ), typ)
	}
	for _, test := range []struct {
		cell wire.Cell
		want any
	}{
		{cellOf(wire.Text, "2024-02-29 01:02:03+02:00"), at},
		{cellOf(wire.Number, "1709161323"), at},
		{cellOf(wire.Number, "1709161323000"), at},
		{cellOf(wire.Number, "1.5"), 1.5},
		{cellOf(wire.Text, "soon"), "soon"},
		{wire.Cell{Kind: wire.Null}, nil},
	} {
		got, err := v.Value(test.cell, SimilarStorage)
		require.NoError(t, err)
		assert.Equal(t, test.want, got)
	}
}
