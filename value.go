package rqlite

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// storage says how the values of a column are read: what rqlite sends depends
// on the declared type, by the rules of mattn/go-sqlite3 that it is built on.
type storage uint8

const (
	anyStorage  storage = iota
	realStorage         // numbers are REAL: the column's affinity makes them so
	boolStorage         // integers come as true and false
	timeStorage         // integers and texts come as RFC 3339
)

// storageOf returns how the values of a column of a type, in lower case, are
// read. The affinities are those of https://www.sqlite.org/datatype3.html#determination_of_column_affinity.
func storageOf(typ string) storage {
	switch typ {
	case "boolean":
		return boolStorage
	case "date", "datetime", "timestamp":
		return timeStorage
	case "integer", "text", "blob", "":
		return anyStorage
	case "real":
		return realStorage
	}
	switch {
	case containsAny(typ, "int", "char", "clob", "text", "blob"):
		return anyStorage
	case containsAny(typ, "real", "floa", "doub"):
		return realStorage
	}
	return anyStorage
}

func containsAny(s string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

// valuer turns cells into driver values.
type valuer struct {
	loc  *time.Location // nil leaves times in the zone they are stored with
	pool slab
}

// value returns the cell of a column as one of the six types of driver.Value.
func (v *valuer) value(cell wire.Cell, in storage) (driver.Value, error) {
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
		if in == timeStorage {
			return v.time(cell.Data)
		}
		return v.pool.text(cell.Data), nil
	}
	return nil, fmt.Errorf("a value of an unknown kind (%d)", cell.Kind)
}

// number reads a number. One that is written as an integer is one, unless the
// column holds none: REAL columns turn integers into reals, and in columns of
// times and booleans rqlite sends integers in another form. Reals that no
// integer can hold, and -0, are reals wherever they stand.
func (v *valuer) number(text []byte, in storage) (driver.Value, error) {
	if in == anyStorage {
		if n, ok := parseInt(text); ok {
			return v.pool.int64(n), nil
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return nil, fmt.Errorf("the number %.40q does not fit a float64", text)
	}
	if in == realStorage && (f >= maxExact || f <= -maxExact) {
		if n, ok := parseInt(text); ok && !printedFrom(f, text) {
			return v.pool.int64(n), nil
		}
	}
	return v.pool.float64(f), nil
}

// maxExact is the bound up to which every integer is a float64 of its own: what is
// one above it is read as the bound.
const maxExact = 1 << 53

// printedFrom reports whether the server, which prints the shortest digits that
// tell one real from another, can have printed text for the real f. If not it is
// an integer: "real" may be no more than the type of the first row's value.
func printedFrom(f float64, text []byte) bool {
	var shortest [32]byte
	return string(strconv.AppendFloat(shortest[:0], f, 'f', -1, 64)) == string(text)
}

// parseInt reads an integer of 64 bits. It refuses everything that can only be
// a real: a fraction, an exponent, -0, and what is out of range.
func parseInt(text []byte) (int64, bool) {
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

func (v *valuer) time(text []byte) (driver.Value, error) {
	view := unsafe.String(unsafe.SliceData(text), len(text)) // ParseInLocation keeps nothing of it
	t, err := time.ParseInLocation(time.RFC3339Nano, view, time.UTC)
	if err != nil {
		return nil, fmt.Errorf("%.40q is not a time as rqlite sends it", text)
	}
	if v.loc != nil {
		t = t.In(v.loc)
	}
	return v.pool.time(t), nil
}

// scanTypes are those that mattn/go-sqlite3 reports: they take NULL.
var scanTypes = struct{ integer, real, text, blob, boolean, time, any reflect.Type }{
	reflect.TypeFor[sql.NullInt64](),
	reflect.TypeFor[sql.NullFloat64](),
	reflect.TypeFor[sql.NullString](),
	reflect.TypeFor[sql.RawBytes](),
	reflect.TypeFor[sql.NullBool](),
	reflect.TypeFor[sql.NullTime](),
	reflect.TypeFor[any](),
}

// scanType returns a Go type that can take every value that a column of a
// type, in lower case, can be expected to hold.
func scanType(typ string) reflect.Type {
	switch storageOf(typ) {
	case boolStorage:
		return scanTypes.boolean
	case timeStorage:
		return scanTypes.time
	case realStorage:
		return scanTypes.real
	case anyStorage:
	}
	switch {
	case strings.Contains(typ, "int"):
		return scanTypes.integer
	case containsAny(typ, "char", "clob", "text"):
		return scanTypes.text
	case strings.HasPrefix(typ, "blob"):
		return scanTypes.blob
	case containsAny(typ, "numeric", "decimal"):
		return scanTypes.real
	}
	return scanTypes.any
}

// slab hands out values in interfaces without an allocation for each: the
// values of many cells share one. What database/sql is handed must stay as it is
// for as long as the program keeps it, so a slab is filled once and never used
// again; a program that keeps one value keeps its slab: 6 KiB at most, and for a
// text the bytes of the other short ones in it.
type slab struct {
	ints   []int64
	floats []float64
	texts  []string
	times  []time.Time
	bytes  []byte
	size   int // how many values the slabs made last have room for
}

const maxSlab = 256 // values; 4 KiB of string headers, 6 KiB of times

// grow returns the size of the next slab: small for a point query, and soon as
// large as it gets for the many rows of another.
func (s *slab) grow() int {
	s.size = min(max(4, 2*s.size), maxSlab)
	return s.size
}

func (s *slab) int64(n int64) driver.Value {
	if n >= 0 && n < 256 {
		return n // the runtime has these in interfaces already
	}
	return boxed(put(s, &s.ints, n))
}

func (s *slab) float64(f float64) driver.Value { return boxed(put(s, &s.floats, f)) }

func (s *slab) time(t time.Time) driver.Value { return boxedTime(put(s, &s.times, t)) }

// put copies a value to the next place of a slab, and returns the place.
func put[T any](s *slab, places *[]T, value T) *T {
	if len(*places) == 0 {
		*places = make([]T, s.grow())
	}
	p := &(*places)[0]
	*places = (*places)[1:]
	*p = value
	return p
}

// text returns a copy of b in an interface. Short texts share an allocation; a
// long one has its own, so that it goes when nobody keeps it.
func (s *slab) text(b []byte) driver.Value {
	if len(b) > maxSlab {
		return string(b)
	}
	if len(b) > cap(s.bytes)-len(s.bytes) {
		s.bytes = make([]byte, 0, max(len(b), 16*max(s.size, 4)))
	}
	start := len(s.bytes)
	s.bytes = append(s.bytes, b...)
	return boxed(put(s, &s.texts, unsafe.String(unsafe.SliceData(s.bytes[start:]), len(b)))) // these bytes are never written again
}

// boxed returns an interface that holds *p without a copy. *p must not change
// any more.
func boxed[T int64 | float64 | string](p *T) driver.Value {
	var zero T // in an interface it costs nothing
	return boxedLike(zero, unsafe.Pointer(p))
}

// boxedTime is boxed for times, whose zero would cost an allocation.
func boxedTime(p *time.Time) driver.Value { return boxedLike(anyTime, unsafe.Pointer(p)) }

var anyTime driver.Value = time.Time{}

// boxedLike returns an interface of the type that another has.
//
// An interface is a pointer to its type and one to its value. Converting the value
// would allocate a copy for each; here the pointer to the value is replaced by p, and
// the garbage collector sees it as it sees any other.
func boxedLike(value driver.Value, p unsafe.Pointer) driver.Value {
	(*[2]unsafe.Pointer)(unsafe.Pointer(&value))[1] = p
	return value
}
