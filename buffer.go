package rqlite

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// readRows reads the rows of the entry that answer has begun, up to their end.
// What it reads is seen, unless that is nil.
func readRows(answer *cluster.Answer, entry *wire.Result, values *valuer, seen *observation) (*resultSet, error) {
	set := &resultSet{columns: entry.Columns, types: entry.Types}
	in := make([]storage, len(set.types))
	for column, typ := range set.types {
		in[column] = storageOf(typ)
	}
	for {
		err := answer.NextRow()
		if errors.Is(err, io.EOF) {
			if seen != nil {
				seen.ended = true
			}
			return set, nil
		}
		if err != nil {
			return nil, publicError(err)
		}
		if seen != nil {
			seen.rows++
		}
		row := make([]any, len(in))
		for column := range row {
			cell, err := answer.Cell()
			if err != nil {
				return nil, publicError(err)
			}
			if seen != nil {
				seen.cell(cell)
			}
			if row[column], err = values.value(cell, in[column]); err != nil {
				return nil, &unreadableValue{fmt.Errorf("column %d (%s): %w", column+1, set.columns[column], err)}
			}
		}
		set.rows = append(set.rows, row)
	}
}

// unreadableValue is the error of a value that is none of its column's.
type unreadableValue struct{ error }

// buffer reads what is left of the answers into memory, so that the transaction
// can go on to other statements: what they see must not mix with rows of earlier
// versions that nobody has looked at yet.
func (r *rows) buffer() {
	var ahead []*source
	for _, s := range r.sources {
		ahead = append(ahead, s.readAhead(&r.values)...)
		s.close()
	}
	r.sources = ahead
}

// readAhead returns a source in memory for the current entry and for each of
// those behind it.
func (s *source) readAhead(values *valuer) (ahead []*source) {
	if s.set != nil {
		return []*source{s}
	}
	for {
		part := &source{}
		ahead = append(ahead, part)
		if part.set, part.failure = s.rest(values); part.failure != nil {
			part.set = &resultSet{columns: s.answer.Result().Columns, types: s.answer.Result().Types}
			return ahead
		}
		if !s.more() {
			return ahead
		}
		if err := s.advance(); err != nil {
			return append(ahead, &source{set: &resultSet{}, failure: err})
		}
	}
}

// rest reads the rows of the current entry that are left.
func (s *source) rest(values *valuer) (*resultSet, error) {
	var seen *observation
	if o := s.operation(); o != nil {
		seen = &o.seen
	}
	set, err := readRows(s.answer, s.answer.Result(), values, seen)
	var unreadable *unreadableValue
	switch {
	case errors.As(err, &unreadable):
		return nil, fmt.Errorf("rqlite: %w", err)
	case err != nil:
		return nil, err
	}
	if err := s.endOfEntry(); err != nil {
		return nil, err
	}
	return set, nil
}
