package result

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestStorageAndClass(t *testing.T) {
	t.Parallel()
	for typ, want := range map[ColumnType]struct {
		storage Storage
		class   Class
	}{
		"integer":          {AnyStorage, IntegerClass},
		"int":              {AnyStorage, IntegerClass},
		"bigint":           {AnyStorage, IntegerClass},
		"unsigned big int": {AnyStorage, IntegerClass},
		"floating point":   {AnyStorage, IntegerClass}, // sqlite.org/datatype3.html has this very example
		"text":             {AnyStorage, TextClass},
		"varchar(20)":      {AnyStorage, TextClass},
		"clob":             {AnyStorage, TextClass},
		"character(20)":    {AnyStorage, TextClass},
		"blob":             {AnyStorage, BlobClass},
		"real":             {RealStorage, RealClass},
		"double":           {RealStorage, RealClass},
		"float(8)":         {RealStorage, RealClass},
		"numeric":          {AnyStorage, RealClass},
		"decimal(10,2)":    {AnyStorage, RealClass},
		"boolean":          {BoolStorage, BoolClass},
		"bool":             {AnyStorage, AnyClass}, // rqlite knows the long name only
		"date":             {TimeStorage, TimeClass},
		"datetime":         {TimeStorage, TimeClass},
		"timestamp":        {TimeStorage, TimeClass},
		"timestamptz":      {AnyStorage, AnyClass},
		"any":              {AnyStorage, AnyClass},
		"":                 {AnyStorage, AnyClass},
	} {
		assert.Equal(t, want.storage, StorageOf(string(typ)), "%q", typ)
		assert.Equal(t, want.class, typ.Class(false), "%q", typ)
	}
}

// A type that the first row's value may have given says nothing of the other rows.
func TestClassBehindARow(t *testing.T) {
	t.Parallel()
	for typ, want := range map[ColumnType]Class{
		"integer": AnyClass, "real": AnyClass, "text": AnyClass, "blob": AnyClass, "": AnyClass,
		"int": IntegerClass, "double": RealClass, "varchar(20)": TextClass, "datetime": TimeClass,
	} {
		assert.Equal(t, want, typ.Class(true), "%q", typ)
	}
}
