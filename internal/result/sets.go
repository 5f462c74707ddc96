package result

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// Sets are the result sets of a script. Next reads them from the bodies of the responses as the
// program asks for them. They can only be used by one goroutine at a time.
type Sets struct {
	Names   []string // of the current result set
	Types   []string // as rqlite sends them, in lower case
	HasRows bool     // the current result set began with a row

	sources []Source  // sources that were not read to their end; the current one first
	storage []Storage // of the current result set, by column
	values  Values

	// room is what a result set of one source and a few columns needs, so that these cost no
	// allocation more.
	room struct {
		source  [1]Source
		storage [8]Storage
	}
}

// NewSets returns result sets without a source.
func NewSets(times Times) *Sets {
	r := &Sets{values: Values{Times: times}}
	r.sources, r.storage = r.room.source[:0], r.room.storage[:0]
	return r
}

// Class returns what the values of a column of the current result set are to be expected to be.
func (r *Sets) Class(column int) Class {
	if r.values.StorageOf(r.Types[column]) == SimilarStorage {
		return TimeClass
	}
	return ColumnType(r.Types[column]).Class(r.HasRows)
}

// Add appends a source. Open has to be called after the last one.
func (r *Sets) Add(s Source) { r.sources = append(r.sources, s) }

// Open makes the current entry of the first source the current result set.
func (r *Sets) Open() {
	r.Names, r.Types, r.HasRows = nil, nil, false
	if len(r.sources) == 0 {
		return // the script has no statement
	}
	if set := r.sources[0].set; set != nil {
		r.Names, r.Types, r.HasRows = set.Columns, set.Types, len(set.Rows) > 0
	} else {
		answer := r.sources[0].answer
		r.Names, r.Types, r.HasRows = answer.Result().Columns, answer.Result().Types, answer.HasRows()
	}
	r.storage = r.storage[:0]
	for _, typ := range r.Types {
		r.storage = append(r.storage, r.values.StorageOf(typ))
	}
}

// Next reads the next row of the current result set into dest. It returns io.EOF after the last.
func (r *Sets) Next(dest []driver.Value) error {
	if len(r.sources) == 0 {
		return io.EOF
	}
	s := &r.sources[0]
	if s.set != nil {
		return s.nextInMemory(dest)
	}
	w := s.witness()
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
	if w != nil {
		w.Seen().Row()
	}
	for i := range dest {
		cell, err := s.answer.Cell()
		if err != nil {
			return s.lost(err)
		}
		if w != nil {
			w.Seen().Cell(cell)
		}
		if dest[i], err = r.values.Value(cell, r.storage[i]); err != nil {
			return Unreadable(fmt.Errorf("column %d (%s): %w", i+1, r.Names[i], err), s.wrote)
		}
	}
	return nil
}

// More reports whether result sets follow the current one.
func (r *Sets) More() bool {
	return len(r.sources) > 1 || len(r.sources) == 1 && r.sources[0].more()
}

// NextSet skips the rest of the current result set and goes to the next one. It returns io.EOF if
// there is none.
func (r *Sets) NextSet() error {
	if !r.More() {
		return io.EOF
	}
	if s := &r.sources[0]; s.more() {
		if err := s.advance(); err != nil {
			return err
		}
	} else {
		s.Close()
		r.sources = r.sources[1:]
		if next := &r.sources[0]; next.set != nil && next.set.Columns == nil && next.failure != nil {
			return next.failure
		}
	}
	r.Open()
	return nil
}

// Close ends the reading, without waiting for unread rows.
func (r *Sets) Close() {
	for i := range r.sources {
		r.sources[i].Close()
	}
	r.sources = nil
}

// Buffer reads the rest of the answers into memory, so that the transaction can run other
// statements. Those must not move the version while rows of the earlier one are unread.
func (r *Sets) Buffer() {
	var ahead []Source
	for i := range r.sources {
		ahead = append(ahead, r.sources[i].readAhead(&r.values)...)
		r.sources[i].Close()
	}
	r.sources = ahead
}
