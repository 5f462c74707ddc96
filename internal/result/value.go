package result

import (
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// Storage says how to read the values of a column. rqlite sends them depending on the declared
// type, by the rules of mattn/go-sqlite3, which it uses.
type Storage uint8

// Times says how to read times. The zero value reads them as mattn/go-sqlite3 does.
type Times struct {
	Loc     *time.Location // zone of times; nil keeps the zone that they are stored with
	Similar bool           // also in columns of types such as timestamptz or datetime(3)
}

// StorageOf returns how to read the values of a column of a type, in lower case.
func (t Times) StorageOf(typ string) Storage {
	if t.Similar && similar(typ) {
		return SimilarStorage
	}
	return StorageOf(typ)
}

// similar reports whether rqlite does not know a type, in lower case, as one of times, and its name
// says that it is.
func similar(typ string) bool {
	return StorageOf(typ) != TimeStorage && (strings.HasPrefix(typ, "timestamp") || strings.HasPrefix(typ, "datetime"))
}

// The storages. The zero value is AnyStorage.
const (
	AnyStorage     Storage = iota
	RealStorage            // numbers are REAL, by the affinity of the column
	BoolStorage            // integers come as true and false
	TimeStorage            // integers and texts come as RFC 3339
	SimilarStorage         // integers and texts come as they are stored, and are times
)

// StorageOf returns how to read the values of a column of a type, in lower case. The affinities are
// those of https://www.sqlite.org/datatype3.html#determination_of_column_affinity.
func StorageOf(typ string) Storage {
	switch typ {
	case "boolean":
		return BoolStorage
	case "date", "datetime", "timestamp":
		return TimeStorage
	case "integer", "text", "blob", "":
		return AnyStorage
	case "real":
		return RealStorage
	}
	switch {
	case containsAny(typ, "int", "char", "clob", "text", "blob"):
		return AnyStorage
	case containsAny(typ, "real", "floa", "doub"):
		return RealStorage
	}
	return AnyStorage
}

func containsAny(s string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

// Values turns cells into driver values.
type Values struct {
	Times
	pool slab
}

// Value returns the cell of a column as one of the six types of driver.Value.
func (v *Values) Value(cell wire.Cell, in Storage) (driver.Value, error) {
	switch cell.Kind {
	case wire.Null:
		return nil, nil
	case wire.True:
		return true, nil
	case wire.False:
		return false, nil
	case wire.Number:
		return v.number(cell.Data, in)
	case wire.Blob:
		return append(make([]byte, 0, len(cell.Data)), cell.Data...), nil
	case wire.Text:
		switch in {
		case TimeStorage:
			return v.time(cell.Data)
		case SimilarStorage:
			if t, ok := ParseTime(string(cell.Data)); ok {
				return v.located(t), nil
			}
		default:
		}
		return v.pool.text(cell.Data), nil
	}
	return nil, fmt.Errorf("a value of an unknown kind (%d)", cell.Kind)
}

// number reads a number. A number that is written as an integer is one, unless the column has no
// integers: REAL columns turn them into reals, and for columns of times and booleans rqlite sends
// them in another form. A real that no integer can hold, or -0, is a real in every column.
func (v *Values) number(text []byte, in Storage) (driver.Value, error) {
	if in == AnyStorage || in == SimilarStorage {
		if n, ok := ParseInt(text); ok {
			if in == SimilarStorage {
				return v.located(UnixTime(n)), nil
			}
			return v.pool.int64(n), nil
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return nil, fmt.Errorf("the number %.40q does not fit a float64", text)
	}
	if in == RealStorage && (f >= maxExact || f <= -maxExact) {
		if n, ok := ParseInt(text); ok && !printedFrom(f, text) {
			return v.pool.int64(n), nil
		}
	}
	return v.pool.float64(f), nil
}

// maxExact is the bound below which every integer has a float64 of its own. The integer one above
// it is read as the bound.
const maxExact = 1 << 53

// printedFrom reports whether the server can have printed text for the real f. It prints the
// shortest digits that tell one real from another. Other text is an integer: "real" may be only the
// type of the first row's value.
func printedFrom(f float64, text []byte) bool {
	var shortest [32]byte
	return string(strconv.AppendFloat(shortest[:0], f, 'f', -1, 64)) == string(text)
}

// ParseInt reads an integer of 64 bits. It refuses all that can only be a real: a fraction, an
// exponent, -0, and numbers out of range.
func ParseInt(text []byte) (int64, bool) {
	if len(text) > 18 { // it may not fit
		n, err := strconv.ParseInt(string(text), 10, 64)
		return n, err == nil
	}
	digits := text
	if text[0] == '-' {
		digits = text[1:]
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	if text[0] == '-' {
		return -n, n != 0
	}
	return n, true
}

func (v *Values) time(text []byte) (driver.Value, error) {
	view := unsafe.String(unsafe.SliceData(text), len(text)) // ParseInLocation keeps nothing of it
	t, err := time.ParseInLocation(time.RFC3339Nano, view, time.UTC)
	if err != nil {
		return nil, fmt.Errorf("%.40q is not a time as rqlite sends it", text)
	}
	return v.located(t), nil
}

// located returns a time in the zone of the values.
func (v *Values) located(t time.Time) driver.Value {
	if v.Loc != nil {
		t = t.In(v.Loc)
	}
	return v.pool.time(t)
}

// timeLayouts are the forms of https://www.sqlite.org/lang_datefunc.html#time_values that have a
// day. Parsing takes a fraction of a second where there is none in the form.
var timeLayouts = [...]string{
	"2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05",
	"2006-01-02 15:04Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
}

// ParseTime reads a time as SQLite's date functions write it. Without a zone it is in UTC.
func ParseTime(text string) (time.Time, bool) {
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// UnixTime returns the time of Unix seconds, or of milliseconds above 1e12, in UTC: the rule of
// mattn/go-sqlite3.
func UnixTime(n int64) time.Time {
	const milliseconds = 1_000_000_000_000
	if n > milliseconds || n < -milliseconds {
		return time.UnixMilli(n).UTC()
	}
	return time.Unix(n, 0).UTC()
}
