package rqlite

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// Errors to be asked for with [errors.Is].
var (
	// ErrIndeterminate says that a write was sent and no answer came, or none
	// that tells: it may have been applied, or be applied yet. The driver
	// never sends such a write again. Look at the data before you do. A write whose
	// context ended may still be running in the server, where others wait behind it.
	ErrIndeterminate = errors.New("the outcome of the write is unknown")
	// ErrNoLeader says that the cluster had no leader for as long as the call
	// was willing to wait. Nothing of the call was applied.
	ErrNoLeader = errors.New("the cluster has no leader")
	// ErrStaleRead says that the node's copy was older than the freshness of
	// the call allows.
	ErrStaleRead = errors.New("stale read")
	// ErrUnauthorized says that the user is unknown, the password wrong, or the
	// permission for the call missing.
	ErrUnauthorized = errors.New("not authorized")
	// ErrTxConflict says that a transaction cannot be committed, because something
	// that it has seen was changed by another writer. Nothing of it was applied. Roll
	// it back and run it again from the start, as [RunTx] does. Such an error is SQLite's
	// [BusySnapshot] as well.
	ErrTxConflict = errors.New("the transaction conflicts with another")
	// ErrResultsChanged says that a transaction was committed, but that a
	// statement of it had another result then than the program was told before.
	// Values that each node makes up by itself do that, such as those of a column
	// with DEFAULT CURRENT_TIMESTAMP, and writers that do not use this driver.
	ErrResultsChanged = errors.New("the transaction was committed with other results")
	// ErrRowsLost says that a statement with a RETURNING clause was applied,
	// but that the server did not send its rows. See "What differs" in the
	// package documentation for when that happens.
	ErrRowsLost = errors.New("the write was applied, but the rows of RETURNING were lost")
)

// Error is a failure that the server, or the driver before it sends anything,
// found in a statement. The statement had no effect.
type Error struct {
	// Message is the server's text, SQLite's own as a rule.
	Message string
	// Code is SQLite's primary result code, such as [Constraint], and
	// ExtendedCode its extended one, such as [ConstraintUnique]. rqlite does not
	// send them: they are read from Message, and are [GenericError] where it does not
	// tell. SQLite words the violation of a PRIMARY KEY as that of a UNIQUE
	// constraint, so that it is [ConstraintUnique] too.
	Code         Code
	ExtendedCode Code
	// Statement is the position, from 0, of the statement among those of the
	// call, or -1 where the server does not say which it was.
	Statement int
	// Statements is how many statements the call had.
	Statements int
}

func newError(message string, statement, statements int) *Error {
	extended := codeOf(message)
	return &Error{
		Message:      withCure(message),
		Code:         extended.Primary(),
		ExtendedCode: extended,
		Statement:    statement,
		Statements:   statements,
	}
}

// refused returns the error of a statement that is not sent. What SQLite would
// call a syntax error is an *Error.
func refused(err error) error {
	var syntax *sqltext.Error
	if errors.As(err, &syntax) {
		return newError(err.Error(), -1, 0)
	}
	return fmt.Errorf("rqlite: %w", err)
}

// Error returns the message, and which statement it is about where the call
// had several.
func (e *Error) Error() string {
	if e.Statements > 1 && e.Statement >= 0 {
		return fmt.Sprintf("rqlite: statement %d of %d: %s", e.Statement+1, e.Statements, e.Message)
	}
	return "rqlite: " + e.Message
}

// Is reports whether target is the error's Code or ExtendedCode, so that
// errors.Is(err, rqlite.ConstraintUnique) works.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && (code == e.Code || code == e.ExtendedCode)
}

// HTTPError is an answer of the cluster that says nothing of the statements: it
// had no leader, did not accept the credentials, was not rqlite at all.
type HTTPError struct {
	// StatusCode is the HTTP status. It can be 200: rqlite reports some
	// failures that way.
	StatusCode int
	// Node is the host:port that answered, or "" where the driver does not know.
	Node string
	// Message is the text that came with it.
	Message string

	path string // of the request, where it is known
}

// Error returns the message, the status and the node.
func (e *HTTPError) Error() string {
	text := e.Message
	if text == "" {
		text = strings.ToLower(http.StatusText(e.StatusCode))
	}
	if e.StatusCode == http.StatusUnauthorized {
		text = "not authorized: check user and password, and " + permissionFor(e.path)
	}
	if e.StatusCode == http.StatusBadRequest && strings.Contains(text, "HTTP request to an HTTPS server") {
		text = strings.TrimSpace(text) + " (use tls=true, or https://)"
	}
	if e.Node != "" {
		text = e.Node + ": " + text
	}
	return fmt.Sprintf("rqlite: %s (HTTP status %d)", text, e.StatusCode)
}

// permissionFor names the permission that a request to a path needs.
func permissionFor(path string) string {
	switch path {
	case cluster.ExecutePath:
		return `the user's permission "execute"`
	case cluster.QueryPath:
		return `the user's permission "query"`
	case cluster.RequestPath:
		return `the user's permissions "query" and "execute"`
	}
	return "the user's permissions"
}

// withPath notes in an error what the request was for.
func withPath(err error, path string) error {
	var failure *HTTPError
	if errors.As(err, &failure) {
		failure.path = path
	}
	return err
}

// Is reports whether target is the sentinel, such as [ErrNoLeader], that
// stands for this answer.
func (e *HTTPError) Is(target error) bool {
	switch target {
	case ErrUnauthorized:
		return e.StatusCode == http.StatusUnauthorized
	case ErrNoLeader:
		return saysNoLeader(e.Message)
	case ErrStaleRead:
		return strings.HasPrefix(e.Message, "stale read")
	}
	return false
}

func saysNoLeader(message string) bool {
	return strings.Contains(message, "leader not found") || strings.Contains(message, "not leader")
}

// wrapped is a failure that is also one of the sentinels, which its own type
// does not tell.
type wrapped struct{ sentinel, cause error }

// Error says what the sentinel says, and why.
func (m *wrapped) Error() string {
	return "rqlite: " + m.sentinel.Error() + ": " + strings.TrimPrefix(m.cause.Error(), "rqlite: ")
}

// Unwrap returns both.
func (m *wrapped) Unwrap() []error { return []error{m.sentinel, m.cause} }

// kind is an error that says all there is to say, and is of a kind besides.
type kind struct{ told, of error }

// Error implements error.
func (k *kind) Error() string { return "rqlite: " + k.told.Error() }

// Is reports whether target is the kind.
func (k *kind) Is(target error) bool { return errors.Is(k.of, target) }

// reason is a kind whose text stands within that of another error.
type reason struct {
	error
	of error
}

// Is reports whether target is the kind.
func (r *reason) Is(target error) bool { return errors.Is(r.of, target) }

// isEarlier reports whether a request was not sent, because the node is of an earlier release
// than it needs.
func isEarlier(err error) bool {
	var failure *cluster.Error
	return errors.As(err, &failure) && failure.Earlier()
}

// publicError turns a failure of the cluster package into what callers see.
func publicError(err error) error {
	var failure *cluster.Error
	if !errors.As(err, &failure) {
		return err
	}
	if end := bareEnd(failure); end != nil {
		return end
	}
	public := describe(failure)
	switch {
	case failure.Write && failure.Outcome == cluster.Unknown:
		return &wrapped{ErrIndeterminate, runningOn(failure, public)}
	case failure.Write && failure.Outcome == cluster.Applied:
		return &wrapped{ErrRowsLost, public}
	case failure.Status == 0 && saysNoLeader(failure.Message): // when time ran out
		return &wrapped{ErrNoLeader, public}
	}
	return public
}

// runningOn adds to the error of a write whose time ran out after it was sent, and before an answer
// came, that this does not end it: every node carries out what is in the Raft log.
func runningOn(failure *cluster.Error, public error) error {
	if failure.Status == 0 && (errors.Is(failure.Err, context.Canceled) || errors.Is(failure.Err, context.DeadlineExceeded)) {
		return fmt.Errorf("%w; the server may still be running it", public)
	}
	return public
}

// bareEnd returns the end of the caller's context as it is, for programs that compare errors, when
// there is nothing else to say: nothing was written, and no attempt before has failed. Else it returns nil.
func bareEnd(failure *cluster.Error) error {
	if failure.Status != 0 || failure.Message != "" || failure.Write && failure.Outcome == cluster.Unknown {
		return nil
	}
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		if failure.Err == end { //nolint:errorlint // what wraps it, such as the time-out's, says more
			return end
		}
	}
	return nil
}

func describe(failure *cluster.Error) error {
	switch {
	case failure.Status == 0, failure.Message == "" && failure.Err != nil:
		return fmt.Errorf("rqlite: %w%s", failure, transportHint(failure))
	case !failure.Write && failure.Message == queryTimeout:
		return context.DeadlineExceeded
	case failure.Outcome == cluster.Refused && isAboutStatement(failure.Message),
		failure.Outcome == cluster.Applied && !failure.Write: // a value that JSON cannot carry
		return newError(failure.Message, -1, 0)
	}
	return &HTTPError{StatusCode: failure.Status, Node: failure.Node, Message: failure.Message}
}

// transportHint says what to do about failures of TLS, or "".
func transportHint(failure *cluster.Error) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	text := failure.Error()
	switch {
	case errors.As(failure.Err, &unknown):
		return " (name a file of the authority in the DSN: tls_ca=ca.pem)"
	case errors.As(failure.Err, &host):
		return " (name the host that the certificate is for in the DSN: tls_server_name=name)"
	case strings.Contains(text, "server gave HTTP response to HTTPS client"), strings.Contains(text, "does not look like a TLS handshake"):
		return " (plain http? use rqlite:// without tls=true, or http://)"
	}
	return ""
}

// isAboutStatement recognises the failures of statements that the server
// reports for the request as a whole.
func isAboutStatement(message string) bool {
	return strings.HasPrefix(message, "SQL rewrite:") ||
		strings.HasPrefix(message, "disallowed pragma") ||
		strings.HasSuffix(message, "constraint failed")
}

// queryTimeout is what the server says of a read that took longer than the
// db_timeout that went with it, which is the deadline of the caller's context.
const queryTimeout = "query timeout"

// failedRead turns the "error" of the entry of a statement that reads into an error.
func failedRead(message string, statement, statements int) error {
	if message == queryTimeout {
		return context.DeadlineExceeded
	}
	return newError(message, statement, statements)
}

// failed turns the "error" of a statement's entry into an error.
func failed(message string, statement, statements int, wrote bool) error {
	if wrote {
		return newError(message, statement, statements)
	}
	return failedRead(message, statement, statements)
}
