package result

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"
)

// Sets are the result sets of a script, read from the bodies of the responses as Next asks for them.
// They are not safe for concurrent use.
type Sets struct {
	Names   []string // of the current result set
	Types   []string // as rqlite sends them, in lower case
	HasRows bool     // the current result set began with one

	sources []*Source // those not read to their end; the current one first
	storage []Storage
	values  Values
}

// NewSets returns result sets without a source. Times are moved to loc, nil leaves them as they are.
func NewSets(loc *time.Location) *Sets { return &Sets{values: Values{Loc: loc}} }

// Add appends a source. Open has to be called when the last one was added.
func (r *Sets) Add(s *Source) { r.sources = append(r.sources, s) }

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
		r.storage = append(r.storage, StorageOf(typ))
	}
}

// Next reads the next row of the current result set into dest. It returns io.EOF behind the last.
func (r *Sets) Next(dest []driver.Value) error {
	if len(r.sources) == 0 {
		return io.EOF
	}
	s := r.sources[0]
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

// NextSet passes over what is left of the current result set and goes to the next one. It returns
// io.EOF if there is none.
func (r *Sets) NextSet() error {
	if !r.More() {
		return io.EOF
	}
	if s := r.sources[0]; s.more() {
		if err := s.advance(); err != nil {
			return err
		}
	} else {
		s.Close()
		r.sources = r.sources[1:]
		if next := r.sources[0]; next.set != nil && next.set.Columns == nil && next.failure != nil {
			return next.failure
		}
	}
	r.Open()
	return nil
}

// Close ends the reading. Rows that have not been read are not waited for.
func (r *Sets) Close() {
	for _, s := range r.sources {
		s.Close()
	}
	r.sources = nil
}

// Buffer reads what is left of the answers into memory, so that the transaction
// can go on to other statements: what they see must not mix with rows of earlier
// versions that nobody has looked at yet.
func (r *Sets) Buffer() {
	var ahead []*Source
	for _, s := range r.sources {
		ahead = append(ahead, s.readAhead(&r.values)...)
		s.Close()
	}
	r.sources = ahead
}
