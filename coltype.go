package rqlite

import (
	"database/sql"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-rqlite/rqlite/internal/result"
)

// scanTypes are the types that mattn/go-sqlite3 reports. They take NULL.
var scanTypes = struct{ integer, real, text, blob, boolean, time, any reflect.Type }{
	reflect.TypeFor[sql.NullInt64](),
	reflect.TypeFor[sql.NullFloat64](),
	reflect.TypeFor[sql.NullString](),
	reflect.TypeFor[sql.RawBytes](),
	reflect.TypeFor[sql.NullBool](),
	reflect.TypeFor[sql.NullTime](),
	reflect.TypeFor[any](),
}

// scanType returns a Go type that takes every value to be expected in a column of a type, in lower
// case.
func scanType(typ string) reflect.Type {
	switch result.StorageOf(typ) {
	case result.BoolStorage:
		return scanTypes.boolean
	case result.TimeStorage:
		return scanTypes.time
	case result.RealStorage:
		return scanTypes.real
	case result.AnyStorage:
	}
	switch {
	case strings.Contains(typ, "int"):
		return scanTypes.integer
	case mentionsAny(typ, "char", "clob", "text"):
		return scanTypes.text
	case strings.HasPrefix(typ, "blob"):
		return scanTypes.blob
	case mentionsAny(typ, "numeric", "decimal"):
		return scanTypes.real
	}
	return scanTypes.any
}

// ColumnTypeDatabaseTypeName returns the declared type in upper case, without length or precision.
// For an expression it is the type of the first row's value, or "" if that is NULL or there is no
// row.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	name, _, _ := strings.Cut(r.Types[i], "(")
	return strings.ToUpper(strings.TrimSpace(name))
}

// ColumnTypeScanType returns a type that takes every value, including NULL, to be expected in a
// column of the declared type. rqlite gives an expression the type of the first row's value, and
// later rows may hold others. If the type may come from there, the result is any.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	if r.HasRows && mayBeOfValue(r.Types[i]) {
		return scanTypes.any
	}
	return scanType(r.Types[i])
}

// mayBeOfValue reports whether rqlite may have taken a type from a value, for a column that
// declares none.
func mayBeOfValue(typ string) bool {
	return typ == "integer" || typ == "real" || typ == "text" || typ == "blob"
}

// ColumnTypeLength returns the length of a declared type such as varchar(20). SQLite does not
// enforce it.
func (r *rows) ColumnTypeLength(i int) (int64, bool) {
	numbers := typeArguments(r.Types[i])
	if len(numbers) != 1 || !mentionsAny(r.Types[i], "char", "text", "clob", "blob", "binary") {
		return 0, false
	}
	return numbers[0], true
}

// ColumnTypePrecisionScale returns the numbers of a declared type such as decimal(10,2). SQLite
// does not enforce them.
func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	numbers := typeArguments(r.Types[i])
	if !mentionsAny(r.Types[i], "decimal", "numeric") {
		return 0, 0, false
	}
	switch len(numbers) {
	case 1:
		return numbers[0], 0, true
	case 2:
		return numbers[0], numbers[1], true
	}
	return 0, 0, false
}

// typeArguments returns the numbers in parentheses behind a declared type, nil if there is anything
// else.
func typeArguments(typ string) []int64 {
	_, inside, found := strings.Cut(typ, "(")
	inside, _, closed := strings.Cut(inside, ")")
	if !found || !closed {
		return nil
	}
	var numbers []int64
	for part := range strings.SplitSeq(inside, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
		if err != nil {
			return nil
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// mentionsAny reports whether a type contains one of the words.
func mentionsAny(typ string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(typ, word) })
}
