package sqlerr

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// HTTPError is an answer of the cluster that says nothing about the statements: it had no leader,
// refused the credentials, or was not rqlite at all.
type HTTPError struct {
	// StatusCode is the HTTP status. It can be 200: rqlite reports some failures that way.
	StatusCode int
	// Node is the host:port that answered, or "" if the driver does not know it.
	Node string
	// Message is the text of the answer.
	Message string

	Path string // of the request, or "" if it is not known
}

// Error returns the message, the status and the node.
func (e *HTTPError) Error() string {
	text := e.Message
	if text == "" {
		text = strings.ToLower(http.StatusText(e.StatusCode))
	}
	if e.StatusCode == http.StatusUnauthorized {
		text = "not authorized: check user and password, and " + permissionFor(e.Path)
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

// WithPath sets the path of the request in an HTTPError; other errors stay as they are.
func WithPath(err error, path string) error {
	var failure *HTTPError
	if errors.As(err, &failure) {
		failure.Path = path
	}
	return err
}

// Is reports whether target is the sentinel for this answer, such as [ErrNoLeader].
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
