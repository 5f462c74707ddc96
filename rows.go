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

// rows are what database/sql takes for the result sets of a script.
type rows result.Sets

// sets returns the rows as what they are.
func (r *rows) sets() *result.Sets { return (*result.Sets)(r) }

// Columns implements driver.Rows.
func (r *rows) Columns() []string { return r.Names }

// Next reads the next row of the current result set.
func (r *rows) Next(dest []driver.Value) error { return public(r.sets().Next(dest)) }

// HasNextResultSet implements driver.RowsNextResultSet.
func (r *rows) HasNextResultSet() bool { return r.sets().More() }

// NextResultSet passes over what is left of the current result set and goes to
// the next one.
func (r *rows) NextResultSet() error { return public(r.sets().NextSet()) }

// Close ends the reading. Rows that have not been read are not waited for.
func (r *rows) Close() error {
	r.sets().Close()
	return nil
}

// publicRows returns result sets as rows, and an error made public.
func publicRows(sets *result.Sets, err error) (driver.Rows, error) {
	if err != nil {
		return nil, public(err)
	}
	return (*rows)(sets), nil
}
