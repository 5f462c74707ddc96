package sqlerr

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// IsEarlier reports whether a request was not sent because the node's release is earlier than it
// needs.
func IsEarlier(err error) bool {
	var failure *cluster.Error
	return errors.As(err, &failure) && failure.Earlier()
}

// IsUnsendable reports whether a node could not send the rows of a read.
func IsUnsendable(err error) bool {
	var failed *Error
	return errors.As(err, &failed) && (&cluster.Error{Message: failed.Message}).Unsendable()
}

// From turns a failure of the cluster package into an error for callers.
func From(err error) error {
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
		return Of(ErrIndeterminate, runningOn(failure, public))
	case failure.Write && failure.Outcome == cluster.Applied:
		return Of(ErrRowsLost, public)
	case failure.Status == 0 && saysNoLeader(failure.Message): // when time ran out
		return Of(ErrNoLeader, public)
	}
	return public
}

// runningOn adds to the error of a write that was sent, and whose time ran out before an answer
// came, that the write may go on: every node carries out what is in the Raft log.
func runningOn(failure *cluster.Error, public error) error {
	if failure.Status == 0 && (errors.Is(failure.Err, context.Canceled) || errors.Is(failure.Err, context.DeadlineExceeded)) {
		return fmt.Errorf("%w; the server may still be running it", public)
	}
	return public
}

// bareEnd returns the end of the caller's context as it is, for programs that compare errors, if
// nothing was written and no earlier attempt failed. Otherwise it returns nil.
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
		return New(failure.Message, -1, 0)
	}
	return &HTTPError{StatusCode: failure.Status, Node: failure.Node, Message: failure.Message}
}

// transportHint returns what to do about a failure of TLS, or "".
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

// isAboutStatement recognises failures of statements that the server reports for the request as a
// whole.
func isAboutStatement(message string) bool {
	return strings.HasPrefix(message, "SQL rewrite:") ||
		strings.HasPrefix(message, "disallowed pragma") ||
		strings.HasSuffix(message, "constraint failed")
}

// queryTimeout is the server's message for a read that took longer than its db_timeout, which is
// the deadline of the caller's context.
const queryTimeout = "query timeout"

// FailedRead turns the "error" of a read's entry into an error.
func FailedRead(message string, statement, statements int) error {
	if message == queryTimeout {
		return context.DeadlineExceeded
	}
	return New(message, statement, statements)
}

// Failed turns the "error" of a statement's entry into an error.
func Failed(message string, statement, statements int, wrote bool) error {
	if wrote {
		return New(message, statement, statements)
	}
	return FailedRead(message, statement, statements)
}
