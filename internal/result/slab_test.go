package result

import (
	"database/sql/driver"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// keep is the value of the i-th row in column: an integer, a REAL, a short text,
// a time, or a text that is longer than a slab shares.
func keep(column, i int) driver.Value {
	switch column {
	case 0:
		return int64(i) * 7919
	case 1:
		return float64(i) / 8
	case 2:
		return "row " + strconv.Itoa(i)
	case 3:
		return time.Unix(int64(i), int64(i)).UTC()
	}
	return strings.Repeat(strconv.Itoa(i%10), 250+i%20)
}

// cellFor returns the cell that keep's value arrives as, in a buffer that is
// overwritten for the next.
func cellFor(value driver.Value, buffer []byte) wire.Cell {
	switch v := value.(type) {
	case int64:
		return wire.Cell{Kind: wire.Number, Data: strconv.AppendInt(buffer[:0], v, 10)}
	case float64:
		return wire.Cell{Kind: wire.Number, Data: strconv.AppendFloat(buffer[:0], v, 'g', -1, 64)}
	case time.Time:
		return wire.Cell{Kind: wire.Text, Data: v.AppendFormat(buffer[:0], time.RFC3339Nano)}
	}
	return wire.Cell{Kind: wire.Text, Data: append(buffer[:0], value.(string)...)}
}

// What has been handed out never changes, whatever is read after it, and the
// garbage collector sees it. It changes a setting of the whole process, so it
// does not run in parallel.
func TestSlabKeepsValues(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	storages := [5]Storage{AnyStorage, RealStorage, AnyStorage, TimeStorage, AnyStorage}
	const sets, rowsPerSet = 4, 640 // 12,800 values
	kept := make([]driver.Value, 0, sets*rowsPerSet*len(storages))
	buffer := make([]byte, 0, 512)
	for set := range sets {
		var v Values
		for i := range rowsPerSet {
			for column := range storages {
				value, err := v.Value(cellFor(keep(column, set*rowsPerSet+i), buffer), storages[column])
				require.NoError(t, err)
				kept = append(kept, value)
			}
			if i%100 == 0 {
				runtime.GC()
			}
		}
	}
	clear(buffer[:cap(buffer)])
	runtime.GC()
	require.GreaterOrEqual(t, len(kept), 10_000)
	for n, value := range kept {
		if want := keep(n%len(storages), n/len(storages)); want != value {
			require.Equal(t, want, value, "value %d", n)
		}
	}
}

// An interface made by boxed is like any other.
func TestBoxed(t *testing.T) {
	t.Parallel()
	n, f, s, at := int64(math.MaxInt64), 1.5, strings.Repeat("a", 3), time.Unix(7, 8).UTC()
	for _, test := range []struct{ boxed, ordinary driver.Value }{
		{boxed(&n), n},
		{boxed(&f), f},
		{boxed(&s), s},
		{boxedTime(&at), at},
	} {
		assert.True(t, test.boxed == test.ordinary)
		assert.Equal(t, map[any]int{test.ordinary: 1}, map[any]int{test.boxed: 1})
		assert.Equal(t, 1, map[any]int{test.ordinary: 1}[test.boxed])
		assert.Equal(t, reflect.TypeOf(test.ordinary), reflect.TypeOf(test.boxed))
		assert.True(t, reflect.ValueOf(test.ordinary).Equal(reflect.ValueOf(test.boxed)))
		assert.Equal(t, fmt.Sprintf("%T %v", test.ordinary, test.ordinary), fmt.Sprintf("%T %v", test.boxed, test.boxed))
		assert.True(t, driver.IsValue(test.boxed))
		switch v := test.boxed.(type) {
		case int64:
			assert.Equal(t, n, v)
		case float64:
			assert.InDelta(t, f, v, 0)
		case string:
			assert.Equal(t, s, v)
		case time.Time:
			assert.Equal(t, at, v)
		default:
			t.Errorf("a type switch sees %T", v)
		}
	}
	_, ok := boxed(&n).(string)
	assert.False(t, ok)
}

// A zero that is stored in a slab is not mistaken for none.
func TestSlabZeroValues(t *testing.T) {
	t.Parallel()
	var s slab
	assert.Equal(t, driver.Value(int64(0)), s.int64(0))
	assert.Equal(t, driver.Value(0.0), s.float64(0))
	assert.Equal(t, driver.Value(time.Time{}), s.time(time.Time{}))
	assert.Equal(t, driver.Value(""), s.text(nil))
	assert.Equal(t, driver.Value("a"), s.text([]byte("a")))
	assert.Equal(t, driver.Value(""), s.text([]byte{}))
}

// A program that keeps one value does not keep the long texts that were read
// beside it.
func TestSlabFreesLongTexts(t *testing.T) {
	t.Parallel()
	var v Values
	long := make([]byte, 1<<20)
	short, err := v.Value(cellOf(wire.Text, "short"), AnyStorage)
	require.NoError(t, err)
	freed := func() weak.Pointer[byte] {
		value, err := v.Value(wire.Cell{Kind: wire.Text, Data: long}, AnyStorage)
		require.NoError(t, err)
		return weak.Make(unsafe.StringData(value.(string)))
	}()
	last, err := v.Value(cellOf(wire.Text, "last"), AnyStorage)
	require.NoError(t, err)
	for range 3 {
		runtime.GC()
	}
	assert.Nil(t, freed.Value(), "the text of 1 MiB is still in memory")
	assert.Equal(t, "short last", fmt.Sprint(short, " ", last))
}

// Many rows of integers, texts, reals and times share an allocation.
func TestValuerAllocations(t *testing.T) {
	cells := []wire.Cell{
		cellOf(wire.Number, "1234567"), cellOf(wire.Text, "a text of some length"), cellOf(wire.Number, "2.5"),
		cellOf(wire.Number, "-1"), cellOf(wire.Text, "2026-11-24T12:34:56.789Z"),
	}
	storages := []Storage{AnyStorage, AnyStorage, RealStorage, AnyStorage, TimeStorage}
	var v Values
	row := make([]driver.Value, len(cells))
	perRow := testing.AllocsPerRun(5000, func() {
		for i, cell := range cells {
			value, err := v.Value(cell, storages[i])
			if err != nil {
				panic(err)
			}
			row[i] = value
		}
	})
	assert.LessOrEqual(t, perRow, 0.1)
}

// Most scripts have one source.
func TestOneSourceAllocatesNothing(t *testing.T) {
	s := InMemory(&Set{})
	var kept *Sets
	assert.LessOrEqual(t, testing.AllocsPerRun(10, func() {
		kept = NewSets(Times{})
		kept.Add(s)
	}), 1.0, "the sets themselves")
	assert.Equal(t, []Source{s}, kept.sources)
}
