package rqlite

import (
	"context"
	"database/sql"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStorageAndScanTypes(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]struct {
		storage storage
		scan    reflect.Type
	}{
		"integer":          {anyStorage, reflect.TypeFor[sql.NullInt64]()},
		"int":              {anyStorage, reflect.TypeFor[sql.NullInt64]()},
		"bigint":           {anyStorage, reflect.TypeFor[sql.NullInt64]()},
		"unsigned big int": {anyStorage, reflect.TypeFor[sql.NullInt64]()},
		"floating point":   {anyStorage, reflect.TypeFor[sql.NullInt64]()}, // sqlite.org/datatype3.html has this very example
		"text":             {anyStorage, reflect.TypeFor[sql.NullString]()},
		"varchar(20)":      {anyStorage, reflect.TypeFor[sql.NullString]()},
		"clob":             {anyStorage, reflect.TypeFor[sql.NullString]()},
		"character(20)":    {anyStorage, reflect.TypeFor[sql.NullString]()},
		"blob":             {anyStorage, reflect.TypeFor[sql.RawBytes]()},
		"real":             {realStorage, reflect.TypeFor[sql.NullFloat64]()},
		"double":           {realStorage, reflect.TypeFor[sql.NullFloat64]()},
		"float(8)":         {realStorage, reflect.TypeFor[sql.NullFloat64]()},
		"numeric":          {anyStorage, reflect.TypeFor[sql.NullFloat64]()},
		"decimal(10,2)":    {anyStorage, reflect.TypeFor[sql.NullFloat64]()},
		"boolean":          {boolStorage, reflect.TypeFor[sql.NullBool]()},
		"bool":             {anyStorage, reflect.TypeFor[any]()}, // rqlite knows the long name only
		"date":             {timeStorage, reflect.TypeFor[sql.NullTime]()},
		"datetime":         {timeStorage, reflect.TypeFor[sql.NullTime]()},
		"timestamp":        {timeStorage, reflect.TypeFor[sql.NullTime]()},
		"timestamptz":      {anyStorage, reflect.TypeFor[any]()},
		"any":              {anyStorage, reflect.TypeFor[any]()},
		"":                 {anyStorage, reflect.TypeFor[any]()},
	} {
		assert.Equal(t, want.storage, storageOf(typ), "%q", typ)
		assert.Equal(t, want.scan, scanType(typ), "%q", typ)
	}
}

// The same through database/sql, into typed variables: what is measured is
// the reading of a large result, less what a request costs anyway.
func TestScanAllocations(t *testing.T) {
	const many = 20_000
	row := `[1234567,"a text of some length",2.5,-1]`
	columns := "a integer, b text, c real, d integer"
	f := newFake(t)
	db := f.open("timeout=1m")
	read := func(rowCount int) (allocations uint64) {
		list := strings.TrimSuffix(strings.Repeat(row+",", rowCount), ",")
		f.then(reads(`["SELECT a,b,c,d FROM t"]`, results(table(columns, list))))
		var (
			a, d          int64
			b             string
			c             float64
			before, after runtime.MemStats
			dest          = []any{&a, &b, &c, &d}
		)
		runtime.ReadMemStats(&before)
		rows, err := db.QueryContext(context.Background(), "SELECT a,b,c,d FROM t")
		require.NoError(t, err)
		n := 0
		for rows.Next() {
			if err := rows.Scan(dest...); err != nil {
				require.NoError(t, err)
			}
			n++
		}
		runtime.ReadMemStats(&after)
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		require.Equal(t, rowCount, n)
		require.Equal(t, [2]int64{1234567, -1}, [2]int64{a, d})
		require.InDelta(t, 2.5, c, 0)
		return after.Mallocs - before.Mallocs
	}
	read(1) // opens the connection
	small, large := read(1), read(many)
	perRow := float64(large-small) / (many - 1)
	t.Logf("%.3f allocations per row; %d for one row", perRow, small)
	assert.LessOrEqual(t, perRow, 1.0)
}
