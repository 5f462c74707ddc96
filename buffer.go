package rqlite

import (
	"errors"
	"fmt"

	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

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
func (s *source) readAhead(values *result.Values) (ahead []*source) {
	if s.set != nil {
		return []*source{s}
	}
	for {
		part := &source{}
		ahead = append(ahead, part)
		if part.set, part.failure = s.rest(values); part.failure != nil {
			part.set = &result.Set{Columns: s.answer.Result().Columns, Types: s.answer.Result().Types}
			return ahead
		}
		if !s.more() {
			return ahead
		}
		if err := s.advance(); err != nil {
			return append(ahead, &source{set: &result.Set{}, failure: err})
		}
	}
}

// rest reads the rows of the current entry that are left.
func (s *source) rest(values *result.Values) (*result.Set, error) {
	var seen *result.Observation
	if o := s.operation(); o != nil {
		seen = &o.seen
	}
	set, err := result.Read(s.answer, s.answer.Result(), values, seen)
	var unreadable *result.UnreadableValue
	switch {
	case errors.As(err, &unreadable):
		return nil, fmt.Errorf("rqlite: %w", err)
	case err != nil:
		return nil, sqlerr.From(err)
	}
	if err := s.endOfEntry(); err != nil {
		return nil, err
	}
	return set, nil
}
