package rqlite

import (
	"database/sql/driver"

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

// Columns implements driver.Rows.
func (r *rows) Columns() []string { return r.Names }

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

// publicRows returns result sets as rows, or the error made public.
func publicRows(sets *result.Sets, err error) (driver.Rows, error) {
	if err != nil {
		return nil, public(err)
	}
	return (*rows)(sets), nil
}
