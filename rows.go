package rqlite

import (
	"database/sql"
	"database/sql/driver"
	"reflect"
	"slices"

	"github.com/go-rqlite/rqlite/internal/result"
)

var (
	_ driver.Rows                           = (*rows)(nil)
	_ driver.RowsNextResultSet              = (*rows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*rows)(nil)
	_ driver.RowsColumnTypeLength           = (*rows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*rows)(nil)
)

// rows are the result sets of a script for database/sql.
type rows result.Sets

// sets returns the rows as their internal type.
func (r *rows) sets() *result.Sets { return (*result.Sets)(r) }

// Columns implements driver.Rows. The program may change what it gets, and the names are shared.
func (r *rows) Columns() []string { return slices.Clone(r.Names) }

// Next reads the next row of the current result set.
func (r *rows) Next(dest []driver.Value) error { return public(r.sets().Next(dest)) }

// HasNextResultSet implements driver.RowsNextResultSet.
func (r *rows) HasNextResultSet() bool { return r.sets().More() }

// NextResultSet skips the rest of the current result set and goes to the next one.
func (r *rows) NextResultSet() error { return public(r.sets().NextSet()) }

// Close ends the reading, without waiting for unread rows.
func (r *rows) Close() error {
	r.sets().Close()
	return nil
}

// columnType returns the type of a column.
func (r *rows) columnType(i int) result.ColumnType { return result.ColumnType(r.Types[i]) }

// ColumnTypeDatabaseTypeName returns the declared type in upper case, without length or precision.
// For an expression it is the type of the first row's value, or "" if that is NULL or there is no
// row.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string { return r.columnType(i).Name() }

// scanTypes are the types that mattn/go-sqlite3 reports, by class. They take NULL.
var scanTypes = [...]reflect.Type{
	result.AnyClass:     reflect.TypeFor[any](),
	result.IntegerClass: reflect.TypeFor[sql.NullInt64](),
	result.RealClass:    reflect.TypeFor[sql.NullFloat64](),
	result.TextClass:    reflect.TypeFor[sql.NullString](),
	result.BlobClass:    reflect.TypeFor[sql.RawBytes](),
	result.BoolClass:    reflect.TypeFor[sql.NullBool](),
	result.TimeClass:    reflect.TypeFor[sql.NullTime](),
}

// ColumnTypeScanType returns a type that takes every value, including NULL, to be expected in a
// column of the declared type. rqlite gives an expression the type of the first row's value, and
// later rows may hold others. If the type may come from there, the result is any.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	return scanTypes[r.sets().Class(i)]
}

// ColumnTypeLength returns the length of a declared type such as varchar(20). SQLite does not
// enforce it.
func (r *rows) ColumnTypeLength(i int) (int64, bool) { return r.columnType(i).Length() }

// ColumnTypePrecisionScale returns the numbers of a declared type such as decimal(10,2). SQLite
// does not enforce them.
func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	return r.columnType(i).PrecisionScale()
}

// publicRows returns result sets as rows, or the error made public.
func publicRows(sets *result.Sets, err error) (driver.Rows, error) {
	if err != nil {
		return nil, public(err)
	}
	return (*rows)(sets), nil
}
