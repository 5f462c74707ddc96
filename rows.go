package rqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

var (
	_ driver.Rows                           = (*rows)(nil)
	_ driver.RowsNextResultSet              = (*rows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*rows)(nil)
	_ driver.RowsColumnTypeLength           = (*rows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*rows)(nil)
)

// rows are the result sets of a script, read from the bodies of the responses
// as Next asks for them.
type rows struct {
	sources []*source // those not read to their end; the current one first
	columns []string
	types   []string // as rqlite sends them, in lower case
	hasRows bool     // the current result set began with one
	storage []result.Storage
	values  result.Values
}

// span says where the statements of a request stand in a script.
type span struct {
	first int // position of the first of them
	total int // statements in the script
}

// source is the answer to one request: one entry for each of its statements.
type source struct {
	answer *cluster.Answer
	stmts  []bind.Stmt
	at     span
	next   int  // the call whose entry is read next
	wrote  bool // the request was a write

	operations operations  // of a transaction, one for each call; nil outside of one
	set        *result.Set // of what was read ahead: then there is no answer
	failure    error       // what follows the rows of set, or takes their place
}

// operation returns the operation of the current entry, or nil.
func (s *source) operation() *operation {
	if s.operations == nil || s.set != nil {
		return nil
	}
	return s.operations[s.next-1]
}

// begin reads the entry of the first call, so that its failure is known. It
// closes the source when it returns an error.
func (s *source) begin() (*source, error) {
	if err := s.advance(); err != nil {
		s.answer.Close()
		return nil, err
	}
	return s, nil
}

// advance reads the entry of the next call up to its rows.
func (s *source) advance() error {
	entry, err := s.answer.Next()
	if err != nil {
		return sqlerr.From(err)
	}
	position, current := s.at.first+s.next, &s.stmts[s.next]
	s.next++
	o := s.operation()
	if entry.Error != "" {
		if o != nil {
			o.failure = entry.Error
		}
		return sqlerr.Failed(entry.Error, position, s.at.total, s.wrote)
	}
	if o != nil {
		o.seen.Begin(entry)
	}
	if current.Returning > 0 && len(entry.Columns) == 0 {
		return errNotReturned(position, s.at.total)
	}
	return nil
}

// errNotReturned is the error of a RETURNING clause that the server's own
// parser did not see.
func errNotReturned(statement, statements int) error {
	return fmt.Errorf("rqlite: %w", sqlerr.At(fmt.Errorf("%w: rqlite does not understand a part of the statement", sqlerr.ErrRowsLost), statement, statements))
}

// more reports whether result sets follow the current one.
func (s *source) more() bool { return s.set == nil && s.next < len(s.stmts) }

// nextInMemory gives out the next row of a set in memory.
func (s *source) nextInMemory(dest []driver.Value) error {
	if len(s.set.Rows) == 0 {
		if s.failure != nil {
			return s.failure
		}
		return io.EOF
	}
	for i, value := range s.set.Rows[0] {
		dest[i] = value
	}
	s.set.Rows[0] = nil // the program may keep it for as long as it likes, and no longer
	s.set.Rows = s.set.Rows[1:]
	return nil
}

// close ends the reading of the answer, if there is one.
func (s *source) close() {
	if s.answer != nil {
		s.answer.Close()
	}
}

// open makes the current entry of the first source the current result set.
func (r *rows) open() {
	r.columns, r.types, r.hasRows = nil, nil, false
	if len(r.sources) == 0 {
		return // the script has no statement
	}
	if set := r.sources[0].set; set != nil {
		r.columns, r.types, r.hasRows = set.Columns, set.Types, len(set.Rows) > 0
	} else {
		answer := r.sources[0].answer
		r.columns, r.types, r.hasRows = answer.Result().Columns, answer.Result().Types, answer.HasRows()
	}
	r.storage = r.storage[:0]
	for _, typ := range r.types {
		r.storage = append(r.storage, result.StorageOf(typ))
	}
}

// Columns implements driver.Rows.
func (r *rows) Columns() []string { return r.columns }

// Next reads the next row of the current result set.
func (r *rows) Next(dest []driver.Value) error { return public(r.next(dest)) }

// next reads the next row of the current result set.
func (r *rows) next(dest []driver.Value) error {
	if len(r.sources) == 0 {
		return io.EOF
	}
	s := r.sources[0]
	if s.set != nil {
		return s.nextInMemory(dest)
	}
	o := s.operation()
	err := s.answer.NextRow()
	switch {
	case errors.Is(err, io.EOF):
		if err := s.endOfEntry(); err != nil {
			return err
		}
		return io.EOF
	case err != nil:
		return s.lost(err)
	}
	if o != nil {
		o.seen.Row()
	}
	for i := range dest {
		cell, err := s.answer.Cell()
		if err != nil {
			return s.lost(err)
		}
		if o != nil {
			o.seen.Cell(cell)
		}
		if dest[i], err = r.values.Value(cell, r.storage[i]); err != nil {
			return unreadable(fmt.Errorf("column %d (%s): %w", i+1, r.columns[i], err), s.wrote)
		}
	}
	return nil
}

// endOfEntry looks at what stands behind the rows of an entry: a failure of the
// statement, and behind the last one of the request.
func (s *source) endOfEntry() error {
	o := s.operation()
	if message := s.answer.Result().Error; message != "" {
		if o != nil {
			o.failure = message
		}
		return sqlerr.Failed(message, s.at.first+s.next-1, s.at.total, s.wrote)
	}
	if o != nil {
		o.seen.End()
	}
	if s.more() {
		return nil
	}
	if err := s.answer.End(); err != nil {
		return s.lost(err)
	}
	return nil
}

// lost is the error of an answer that broke off behind the first entry. A
// write has been applied by then.
func (s *source) lost(err error) error {
	var failure *cluster.Error
	if s.wrote && errors.As(err, &failure) {
		return sqlerr.Of(sqlerr.ErrRowsLost, failure)
	}
	return sqlerr.From(err)
}

// unreadable is the error of a value that is none of a column's. A write has
// been applied all the same.
func unreadable(err error, wrote bool) error {
	if wrote {
		return sqlerr.Of(sqlerr.ErrRowsLost, err)
	}
	return fmt.Errorf("rqlite: %w", err)
}

// HasNextResultSet implements driver.RowsNextResultSet.
func (r *rows) HasNextResultSet() bool {
	return len(r.sources) > 1 || len(r.sources) == 1 && r.sources[0].more()
}

// NextResultSet passes over what is left of the current result set and goes to
// the next one.
func (r *rows) NextResultSet() error { return public(r.nextSet()) }

// nextSet goes to the next result set.
func (r *rows) nextSet() error {
	if !r.HasNextResultSet() {
		return io.EOF
	}
	if s := r.sources[0]; s.more() {
		if err := s.advance(); err != nil {
			return err
		}
	} else {
		s.close()
		r.sources = r.sources[1:]
		if next := r.sources[0]; next.set != nil && next.set.Columns == nil && next.failure != nil {
			return next.failure
		}
	}
	r.open()
	return nil
}

// Close ends the reading. Rows that have not been read are not waited for.
func (r *rows) Close() error {
	r.closeAll()
	return nil
}

func (r *rows) closeAll() {
	for _, s := range r.sources {
		s.close()
	}
	r.sources = nil
}
