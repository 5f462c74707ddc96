package rqlite

import (
	"context"
	"database/sql"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStorageAndScanTypes(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]struct {
		storage result.Storage
		scan    reflect.Type
	}{
		"integer":          {result.AnyStorage, reflect.TypeFor[sql.NullInt64]()},
		"int":              {result.AnyStorage, reflect.TypeFor[sql.NullInt64]()},
		"bigint":           {result.AnyStorage, reflect.TypeFor[sql.NullInt64]()},
		"unsigned big int": {result.AnyStorage, reflect.TypeFor[sql.NullInt64]()},
		"floating point":   {result.AnyStorage, reflect.TypeFor[sql.NullInt64]()}, // sqlite.org/datatype3.html has this very example
		"text":             {result.AnyStorage, reflect.TypeFor[sql.NullString]()},
		"varchar(20)":      {result.AnyStorage, reflect.TypeFor[sql.NullString]()},
		"clob":             {result.AnyStorage, reflect.TypeFor[sql.NullString]()},
		"character(20)":    {result.AnyStorage, reflect.TypeFor[sql.NullString]()},
		"blob":             {result.AnyStorage, reflect.TypeFor[sql.RawBytes]()},
		"real":             {result.RealStorage, reflect.TypeFor[sql.NullFloat64]()},
		"double":           {result.RealStorage, reflect.TypeFor[sql.NullFloat64]()},
		"float(8)":         {result.RealStorage, reflect.TypeFor[sql.NullFloat64]()},
		"numeric":          {result.AnyStorage, reflect.TypeFor[sql.NullFloat64]()},
		"decimal(10,2)":    {result.AnyStorage, reflect.TypeFor[sql.NullFloat64]()},
		"boolean":          {result.BoolStorage, reflect.TypeFor[sql.NullBool]()},
		"bool":             {result.AnyStorage, reflect.TypeFor[any]()}, // rqlite knows the long name only
		"date":             {result.TimeStorage, reflect.TypeFor[sql.NullTime]()},
		"datetime":         {result.TimeStorage, reflect.TypeFor[sql.NullTime]()},
		"timestamp":        {result.TimeStorage, reflect.TypeFor[sql.NullTime]()},
		"timestamptz":      {result.AnyStorage, reflect.TypeFor[any]()},
		"any":              {result.AnyStorage, reflect.TypeFor[any]()},
		"":                 {result.AnyStorage, reflect.TypeFor[any]()},
	} {
		assert.Equal(t, want.storage, result.StorageOf(typ), "%q", typ)
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
