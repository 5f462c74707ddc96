package rqlite

import (
	"errors"
	"io"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// Errors to test for with [errors.Is].
var (
	// ErrIndeterminate says that a write was sent, and that no answer came that tells its outcome:
	// it may have been applied, or may still be. The driver never sends such a write again. Look at
	// the data before you do. A write whose context ended may still be running in the server, where
	// others wait behind it.
	ErrIndeterminate = sqlerr.ErrIndeterminate
	// ErrNoLeader says that the cluster had no leader for as long as the call would wait. Nothing
	// of the call was applied.
	ErrNoLeader = sqlerr.ErrNoLeader
	// ErrStaleRead says that the node's copy was older than the freshness of the call allows.
	ErrStaleRead = sqlerr.ErrStaleRead
	// ErrUnauthorized says that the user is unknown, the password is wrong, or the permission for
	// the call is missing.
	ErrUnauthorized = sqlerr.ErrUnauthorized
	// ErrTxConflict says that a transaction cannot be committed, because another writer changed
	// something that it has seen. Nothing of it was applied. Roll it back and run it again from the
	// start, as [RunTx] does. The error is also SQLite's [BusySnapshot].
	ErrTxConflict = sqlerr.ErrTxConflict
	// ErrResultsChanged says that a transaction was committed, but that one of its statements then
	// had another result than the program had been told. The causes are values that each node makes
	// up by itself, such as those of a column with DEFAULT CURRENT_TIMESTAMP, and writers that do
	// not use this driver.
	ErrResultsChanged = sqlerr.ErrResultsChanged
	// ErrRowsLost says that a write was applied, but that the rows of its RETURNING clause, or its
	// counts and ids, are not known: the server could not send the rows, or the answer was lost. See
	// "Exactly once" and "What differs" in the package documentation.
	ErrRowsLost = sqlerr.ErrRowsLost
)

// Code is a result code of SQLite, https://www.sqlite.org/rescode.html. It is an error so that it
// can be the target of [errors.Is].
type Code int

// The result codes that the driver reads from rqlite's messages.
const (
	GenericError   = Code(sqlerr.GenericError)   // SQLITE_ERROR: a mistake in the SQL, or anything not listed here
	Busy           = Code(sqlerr.Busy)           // SQLITE_BUSY
	Locked         = Code(sqlerr.Locked)         // SQLITE_LOCKED
	OutOfMemory    = Code(sqlerr.OutOfMemory)    // SQLITE_NOMEM
	ReadOnly       = Code(sqlerr.ReadOnly)       // SQLITE_READONLY
	Interrupted    = Code(sqlerr.Interrupted)    // SQLITE_INTERRUPT
	IOError        = Code(sqlerr.IOError)        // SQLITE_IOERR
	Corrupt        = Code(sqlerr.Corrupt)        // SQLITE_CORRUPT
	Full           = Code(sqlerr.Full)           // SQLITE_FULL
	SchemaChanged  = Code(sqlerr.SchemaChanged)  // SQLITE_SCHEMA
	TooBig         = Code(sqlerr.TooBig)         // SQLITE_TOOBIG
	Constraint     = Code(sqlerr.Constraint)     // SQLITE_CONSTRAINT
	Mismatch       = Code(sqlerr.Mismatch)       // SQLITE_MISMATCH
	NotAuthorized  = Code(sqlerr.NotAuthorized)  // SQLITE_AUTH
	ParameterRange = Code(sqlerr.ParameterRange) // SQLITE_RANGE

	BusySnapshot = Code(sqlerr.BusySnapshot) // SQLITE_BUSY_SNAPSHOT: another writer changed what a transaction read

	ConstraintCheck      = Code(sqlerr.ConstraintCheck)      // SQLITE_CONSTRAINT_CHECK
	ConstraintForeignKey = Code(sqlerr.ConstraintForeignKey) // SQLITE_CONSTRAINT_FOREIGNKEY
	ConstraintNotNull    = Code(sqlerr.ConstraintNotNull)    // SQLITE_CONSTRAINT_NOTNULL
	ConstraintUnique     = Code(sqlerr.ConstraintUnique)     // SQLITE_CONSTRAINT_UNIQUE, and PRIMARY KEY
	ConstraintDatatype   = Code(sqlerr.ConstraintDatatype)   // SQLITE_CONSTRAINT_DATATYPE, of a STRICT table
)

// Primary returns the primary result code that an extended one belongs to.
func (c Code) Primary() Code { return Code(sqlerr.Code(c).Primary()) }

// Error implements error. It returns SQLite's description of the code.
func (c Code) Error() string { return sqlerr.Code(c).Error() }

// Error is a failure that the server found in a statement, or the driver before it sent anything.
// The statement had no effect.
type Error struct {
	// Message is the server's text, usually SQLite's own.
	Message string
	// Code is SQLite's primary result code, such as [Constraint], and ExtendedCode its extended
	// one, such as [ConstraintUnique]. rqlite does not send them: the driver reads them from
	// Message. They are [GenericError] if it does not tell. SQLite words the violation of a PRIMARY
	// KEY like that of a UNIQUE constraint, so that it is [ConstraintUnique] too.
	Code         Code
	ExtendedCode Code
	// Statement is the position, from 0, of the failed statement in the call, or -1 if the server
	// does not say which it was.
	Statement int
	// Statements is the number of statements of the call.
	Statements int
}

// Error returns the message. If the call had several statements, it names the failed one.
func (e *Error) Error() string { return e.internal().Error() }

// Is reports whether target is the error's Code or ExtendedCode, so that errors.Is(err,
// rqlite.ConstraintUnique) works.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && (code == e.Code || code == e.ExtendedCode)
}

func (e *Error) internal() *sqlerr.Error {
	return &sqlerr.Error{
		Message: e.Message, Code: sqlerr.Code(e.Code), ExtendedCode: sqlerr.Code(e.ExtendedCode),
		Statement: e.Statement, Statements: e.Statements,
	}
}

// HTTPError is an answer of the cluster that says nothing about the statements: it had no leader,
// refused the credentials, or was not rqlite at all.
type HTTPError struct {
	// StatusCode is the HTTP status. It can be 200: rqlite reports some failures that way.
	StatusCode int
	// Node is the host:port that answered, or "" if the driver does not know it.
	Node string
	// Message is the text of the answer.
	Message string

	path string // of the request, or "" if it is not known
}

// Error returns the message, the status and the node.
func (e *HTTPError) Error() string { return e.internal().Error() }

// Is reports whether target is the sentinel for this answer, such as [ErrNoLeader].
func (e *HTTPError) Is(target error) bool { return e.internal().Is(target) }

func (e *HTTPError) internal() *sqlerr.HTTPError {
	return &sqlerr.HTTPError{StatusCode: e.StatusCode, Node: e.Node, Message: e.Message, Path: e.path}
}

// public turns an error of the driver's inner packages into its public form. It is the only place
// that does so. All errors that leave this package pass through it, some more than once.
func public(err error) error {
	if err == io.EOF { //nolint:errorlint // it ends every result set, and nothing wraps it
		return err
	}
	switch e := err.(type) { //nolint:errorlint // what wraps them is a failure
	case nil, *Error, *HTTPError, *failure:
		return err
	case *sqlerr.Error:
		return publicError(e)
	case *sqlerr.HTTPError:
		return publicHTTPError(e)
	}
	if sqlerr.Is(err) {
		return &failure{err}
	}
	return err
}

// failure is an error of the driver's inner packages that has parts. errors.Is finds its sentinels
// and codes, and errors.As an [*Error] or [*HTTPError] in it.
type failure struct{ inner error }

// Error implements error.
func (f *failure) Error() string { return f.inner.Error() }

// Unwrap returns the inner error.
func (f *failure) Unwrap() error { return f.inner }

// Is reports whether the inner error has a code.
func (f *failure) Is(target error) bool {
	code, ok := target.(Code)
	return ok && errors.Is(f.inner, sqlerr.Code(code))
}

// As finds public errors.
func (f *failure) As(target any) bool {
	switch target := target.(type) {
	case **Error:
		var e *sqlerr.Error
		if errors.As(f.inner, &e) {
			*target = publicError(e)
			return true
		}
	case **HTTPError:
		var e *sqlerr.HTTPError
		if errors.As(f.inner, &e) {
			*target = publicHTTPError(e)
			return true
		}
	}
	return false
}

func publicError(e *sqlerr.Error) *Error {
	return &Error{
		Message: e.Message, Code: Code(e.Code), ExtendedCode: Code(e.ExtendedCode),
		Statement: e.Statement, Statements: e.Statements,
	}
}

func publicHTTPError(e *sqlerr.HTTPError) *HTTPError {
	return &HTTPError{StatusCode: e.StatusCode, Node: e.Node, Message: e.Message, path: e.Path}
}
