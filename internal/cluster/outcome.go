package cluster

import (
	"net/http"
	"strings"
)

// Outcome says what became of a request.
type Outcome uint8

// The outcomes. The rules are those of the server's source and documentation,
// https://rqlite.io/docs/api/api/#handling-errors.
const (
	// Answered: the server answered the statements.
	Answered Outcome = iota
	// Refused: it had no effect, and repeating it would not help.
	Refused
	// Repeat: it had no effect, and may succeed later or elsewhere.
	Repeat
	// Unknown: it may have had its effect, or may still have it.
	Unknown
	// Applied: it had its effect, but the server's answer is lost.
	Applied
)

// String returns the outcome's name.
func (o Outcome) String() string {
	switch o {
	case Answered:
		return "answered"
	case Refused:
		return "refused"
	case Repeat:
		return "repeat"
	case Unknown:
		return "unknown"
	case Applied:
		return "applied"
	}
	return "invalid"
}

// Classify returns the outcome of a request from the HTTP status and the message of the answer. The
// message is the body of an answer other than 200, and the top-level "error" of a 200, "" if the
// statements were answered.
//
// It returns Unknown for messages that it does not know: only that is never wrong.
func Classify(status int, message string) Outcome {
	switch {
	case status == http.StatusOK && message == "":
		return Answered
	case status == http.StatusOK:
		return classifyMessage(message)
	case status >= 300 && status < 400:
		return Repeat // a redirect: the node proposed nothing
	case status == http.StatusRequestTimeout:
		return Unknown // "queue wait timeout": the write is in the queue
	case status >= 400 && status < 500:
		return Refused
	case isLeaderless(message):
		return Repeat
	case strings.HasPrefix(message, "SQL rewrite:"),
		strings.HasPrefix(message, "stepdown: cannot "): // as a leader without followers
		return Refused
	case isUnsendable(message):
		return Applied
	}
	return Unknown
}

func classifyMessage(message string) Outcome {
	switch {
	case isLeaderless(message),
		message == "leadership transfer in progress", // a leader that hands over appends nothing more
		strings.HasPrefix(message, "dial tcp "):      // the node could not reach the leader
		return Repeat
	case isStale(message),
		strings.HasPrefix(message, "disallowed pragma"),
		strings.HasPrefix(message, "query timeout"),
		strings.HasSuffix(message, "constraint failed"): // at the commit of a transaction
		return Refused
	}
	return Unknown
}

// isLeaderless recognises the answers of a node before it proposes anything, because it is not the
// leader, knows none, or has just started.
func isLeaderless(message string) bool {
	message = strings.TrimPrefix(message, "leader address: ") // of queued writes, up to rqlite 10.2.7
	switch strings.TrimSpace(message) {
	case "leader not found", "not leader", "store not ready", "store not open", "not open", "not ready":
		return true
	}
	return false
}

// isStale recognises the answer of a node that refuses a read because its data may be too old.
func isStale(message string) bool { return strings.HasPrefix(message, "stale read") }

// isUnsendable recognises the answer of a node that has an infinite REAL among its rows, which JSON
// cannot carry.
func isUnsendable(message string) bool { return strings.Contains(message, "json: unsupported value") }

// outcome returns the outcome of an answer to the guard's request.
//
// A node that forwards a write tries twice, and reports only the second attempt. That it could not
// reach a leader says nothing of the first. And if the rows of one of several statements could not
// be sent, others may have been rolled back before.
//
// No freshness is asked of the leader. It calls a linearizable read stale if its term has ended meanwhile.
func (g *guard) outcome(status int, message string) Outcome {
	outcome := Classify(status, message)
	switch {
	case g.req.Leader && !g.req.Write && outcome == Refused && isStale(message):
		return Repeat
	case !g.req.Write:
	case outcome == Repeat && status == http.StatusOK && g.forwarded,
		outcome == Applied && g.req.Statements != 1:
		return Unknown
	}
	return outcome
}

// Error is the failure of a request.
type Error struct {
	Outcome Outcome
	Write   bool   // of the request
	Status  int    // the HTTP status of the answer; 0 if there was none
	Node    string // host:port of the node that was asked
	Message string // the server's message; "" if there was no answer
	Err     error  // the error of the transport or the decoder; may be nil

	// Forwarded says that the failure stands in an answer of status 200, of a node that hands
	// requests on if it does not lead. Such a node tries twice, and reports only the second
	// attempt.
	Forwarded bool

	// Entry is the position of the entry that failed in the answer to a joint request, if [Answer.Split]
	// has found that a statement failed.
	Entry int

	redirect *redirect
	sent     bool // the node can have received the request
	foreign  bool // the answer is not rqlite's
	lasting  bool // and would stay the same
}

// Error implements error.
func (e *Error) Error() string {
	if e.Node == "" {
		return e.text()
	}
	return e.Node + ": " + e.text()
}

func (e *Error) text() string {
	switch {
	case e.Message != "":
		return e.Message
	case e.Err != nil:
		return e.Err.Error()
	}
	return strings.ToLower(http.StatusText(e.Status))
}

// Unsendable reports whether the node could not send rows. They may belong to any of the
// statements.
func (e *Error) Unsendable() bool { return isUnsendable(e.Message) }

// Stale reports whether the node refused a read because its data may be too old.
func (e *Error) Stale() bool { return isStale(e.Message) }

// Foreign reports whether the answer is not rqlite's, but for instance a proxy's.
func (e *Error) Foreign() bool { return e.foreign }

// Redirected reports whether a node answered by naming another one as the leader.
func (e *Error) Redirected() bool { return e.redirect != nil }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// repeatable reports whether the request may be sent again. A joint one is not if a node gave an
// answer of unknown meaning: that may be due to one of the statements, which the others must not
// wait for.
func (e *Error) repeatable(req *Request) bool {
	return e.Outcome == Repeat || e.Outcome == Unknown && !req.Write && (req.joint == nil || e.Status == 0)
}
