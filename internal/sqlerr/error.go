package sqlerr

import (
	"errors"
	"fmt"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// The kinds of failure that a program can test for. Package rqlite exports the same variables, and
// documents them.
var (
	ErrIndeterminate  = errors.New("the outcome of the write is unknown")
	ErrNoLeader       = errors.New("the cluster has no leader")
	ErrStaleRead      = errors.New("stale read")
	ErrUnauthorized   = errors.New("not authorized")
	ErrTxConflict     = errors.New("the transaction conflicts with another")
	ErrResultsChanged = errors.New("the transaction was committed with other results")
	ErrRowsLost       = errors.New("the write was applied, but the rows of RETURNING were lost")
)

// Error is a failure that the server found in a statement, or the driver before it sent anything.
// The statement had no effect. The fields are those of the Error of package rqlite.
type Error struct {
	Message               string
	Code, ExtendedCode    Code // read from Message
	Statement, Statements int
}

// New returns the error of a statement. Its position among the statements of a call counts from 0;
// -1 is none.
func New(message string, statement, statements int) *Error {
	extended := codeOf(message)
	return &Error{
		Message:      WithCure(message),
		Code:         extended.Primary(),
		ExtendedCode: extended,
		Statement:    statement,
		Statements:   statements,
	}
}

// Refused returns the error of a statement that is not sent. It is an *Error if SQLite would call
// it a syntax error.
func Refused(err error) error {
	var syntax *sqltext.Error
	if errors.As(err, &syntax) {
		return New(err.Error(), -1, 0)
	}
	return fmt.Errorf("rqlite: %w", err)
}

// Error returns the message. If the call had several statements, it names the failed one.
func (e *Error) Error() string {
	if e.Statements > 1 && e.Statement >= 0 {
		return fmt.Sprintf("rqlite: statement %d of %d: %s", e.Statement+1, e.Statements, e.Message)
	}
	return "rqlite: " + e.Message
}

// Is reports whether target is the error's Code or ExtendedCode, so that errors.Is(err,
// rqlite.ConstraintUnique) works.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && (code == e.Code || code == e.ExtendedCode)
}

// Is reports whether an error is of this package, or wraps one that is.
func Is(err error) bool {
	var (
		statement *Error
		answer    *HTTPError
		parts     *wrapped
		code      Code
	)
	return errors.As(err, &statement) || errors.As(err, &answer) || errors.As(err, &parts) || errors.As(err, &code)
}
