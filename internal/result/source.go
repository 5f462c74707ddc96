package result

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// Span is the position of a request's statements in a script.
type Span struct {
	First int // position of the first of them, from 0
	Total int // number of statements in the script
}

// Source is the answer to one request: one entry for each of its statements.
type Source struct {
	answer *cluster.Answer
	stmts  []bind.Stmt
	at     Span
	next   int  // index of the statement whose entry comes next; only advance changes it
	wrote  bool // the request was a write

	witnesses []Witness // one for each statement of a transaction; nil outside of one
	meter     Meter     // learns what the answer cost; nil for nobody
	set       *Set      // rows read ahead; then there is no answer
	failure   error     // error behind the rows of set, or in their place
}

// Witness observes what a program sees of a statement within a transaction.
type Witness interface {
	Fail(message string) // with the message of the server
	Seen() *Observation
}

// Meter learns what the answer to a read costs: how long the node worked on it, 0 if that is not
// known, and how many bytes it has.
type Meter interface {
	Measure(took time.Duration, size int)
}

// witness returns the witness of the current entry, or nil.
func (s *Source) witness() Witness {
	if s.witnesses == nil || s.set != nil {
		return nil
	}
	return s.witnesses[s.next-1]
}

// NewSource returns the answer to a request. It reads up to the rows of the first entry, so that
// the failure of the first statement is known. It closes the answer when it returns an error.
// Witnesses are nil outside of transactions.
func NewSource(answer *cluster.Answer, stmts []bind.Stmt, at Span, wrote bool, witnesses []Witness) (Source, error) {
	s := Source{answer: answer, stmts: stmts, at: at, wrote: wrote, witnesses: witnesses}
	err := s.begin()
	return s, err
}

// NewMetered is NewSource for a read of one statement outside of transactions. When it is closed,
// the meter learns what the answer cost.
func NewMetered(answer *cluster.Answer, stmts []bind.Stmt, at Span, meter Meter) (Source, error) {
	s := Source{answer: answer, stmts: stmts, at: at, meter: meter}
	err := s.begin()
	return s, err
}

// InMemory returns a source of one result set.
func InMemory(set *Set) Source { return Source{set: set} }

// Answer returns the answer of the source, for callers that read its first entry by themselves.
func (s *Source) Answer() *cluster.Answer { return s.answer }

// begin reads the entry of the first statement up to its rows. It closes the answer when it returns
// an error.
func (s *Source) begin() error {
	err := s.advance()
	if err != nil {
		s.answer.Close()
	}
	return err
}

// advance reads the entry of the next statement up to its rows.
func (s *Source) advance() error {
	entry, err := s.answer.Next()
	if err != nil {
		return sqlerr.From(err)
	}
	position, current := s.at.First+s.next, &s.stmts[s.next]
	s.next++
	w := s.witness()
	if entry.Error != "" {
		if w != nil {
			w.Fail(entry.Error)
		}
		return sqlerr.Failed(entry.Error, position, s.at.Total, s.wrote)
	}
	if w != nil {
		w.Seen().Begin(entry)
	}
	if current.Returning > 0 && len(entry.Columns) == 0 {
		return ErrNotReturned(position, s.at.Total)
	}
	return nil
}

// ErrNotReturned returns the error of a RETURNING clause that the server's own parser did not see.
func ErrNotReturned(statement, statements int) error {
	return fmt.Errorf("rqlite: %w", sqlerr.At(fmt.Errorf("%w: rqlite does not understand a part of the statement", sqlerr.ErrRowsLost), statement, statements))
}

// more reports whether result sets follow the current one.
func (s *Source) more() bool { return s.set == nil && s.next < len(s.stmts) }

// nextInMemory returns the next row of a set in memory.
func (s *Source) nextInMemory(dest []driver.Value) error {
	if len(s.set.Rows) == 0 {
		if s.failure != nil {
			return s.failure
		}
		return io.EOF
	}
	for i, value := range s.set.Rows[0] {
		dest[i] = value
	}
	s.set.Rows[0] = nil // only the program may keep the row from now on
	s.set.Rows = s.set.Rows[1:]
	return nil
}

// Close closes the answer, if there is one.
func (s *Source) Close() {
	if s.answer == nil {
		return
	}
	if s.meter != nil {
		s.meter.Measure(s.answer.Cost())
		s.meter = nil
	}
	s.answer.Close()
}

// endOfEntry reads what follows the rows of an entry: a failure of the statement and, after the
// last entry, that of the request.
func (s *Source) endOfEntry() error {
	w := s.witness()
	if message := s.answer.Result().Error; message != "" {
		if w != nil {
			w.Fail(message)
		}
		return sqlerr.Failed(message, s.at.First+s.next-1, s.at.Total, s.wrote)
	}
	if w != nil {
		w.Seen().End()
	}
	if s.more() {
		return nil
	}
	if err := s.answer.End(); err != nil {
		return s.lost(sqlerr.From(err))
	}
	return nil
}

// lost returns the error of an answer that broke off after its first entry began. A write has been
// applied by then.
func (s *Source) lost(err error) error {
	var failure *cluster.Error
	if s.wrote && errors.As(err, &failure) {
		return sqlerr.Of(sqlerr.ErrRowsLost, failure)
	}
	return sqlerr.From(err)
}

// Unreadable returns the error of a value that its column cannot have. A write has been applied all
// the same.
func Unreadable(err error, wrote bool) error {
	if wrote {
		return sqlerr.Of(sqlerr.ErrRowsLost, err)
	}
	return fmt.Errorf("rqlite: %w", err)
}

// readAhead returns sources in memory: one for the current entry, and one for each entry behind it.
func (s *Source) readAhead(values *Values) (ahead []Source) {
	if s.set != nil {
		return []Source{*s}
	}
	for {
		set, failure := s.rest(values)
		if failure != nil {
			set = &Set{Columns: s.answer.Result().Columns, Types: s.answer.Result().Types}
		}
		ahead = append(ahead, Source{set: set, failure: failure})
		if failure != nil || !s.more() {
			return ahead
		}
		if err := s.advance(); err != nil {
			return append(ahead, Source{set: &Set{}, failure: err})
		}
	}
}

// rest reads the unread rows of the current entry.
func (s *Source) rest(values *Values) (*Set, error) {
	var seen *Observation
	if w := s.witness(); w != nil {
		seen = w.Seen()
	}
	set, err := Read(s.answer, s.answer.Result(), values, seen)
	var unreadable *UnreadableValue
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
