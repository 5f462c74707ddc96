package cluster

import (
	"errors"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		status  int
		message string
		want    Outcome
	}{
		{"success", 200, "", Answered},

		{"redirect", 301, "", Repeat},
		{"temporary redirect", 307, "Temporary Redirect", Repeat},
		{"no leader", 503, "leader not found", Repeat},
		{"no leader, newline", 503, "leader not found\n", Repeat},
		{"no leader to redirect to", 500, "leader not found", Repeat},
		{"no leader for a queued write, up to 10.2.7", 500, "leader address: leader not found", Repeat},
		{"a leader without followers steps down", 500, "stepdown: cannot find peer", Refused},
		{"a leader steps down in vain", 500, "stepdown: leadership transfer timeout", Unknown},
		{"no leader at the top level", 200, "leader not found", Repeat},
		{"not leader", 200, "not leader", Repeat},
		{"leader that hands over", 200, "leadership transfer in progress", Repeat},
		{"store not ready", 200, "store not ready", Repeat},
		{"store not open", 200, "store not open", Repeat},
		{"store not open, as others say", 200, "not open", Repeat},
		{"not ready", 200, "not ready", Repeat},
		{"leader unreachable", 200, "dial tcp 127.0.0.1:4103: connect: connection refused", Repeat},
		{"dial timed out", 200, "dial tcp 10.0.0.1:4002: i/o timeout", Repeat},

		{"bad request", 400, "invalid statement", Refused},
		{"unauthorized", 401, "", Refused},
		{"permission missing", 401, "remote 127.0.0.1 not authorized", Refused},
		{"forbidden", 403, "", Refused},
		{"not found", 404, "404 page not found", Refused},
		{"method not allowed", 405, "", Refused},
		{"body too large", 413, "", Refused},
		{"stale read", 200, "stale read", Refused},
		{"disallowed pragma", 200, "disallowed pragma", Refused},
		{"query timeout", 200, "query timeout", Refused},
		{"rewriter", 500, "SQL rewrite: near 1: syntax error", Refused},
		{"deferred constraint", 200, "FOREIGN KEY constraint failed", Refused},

		{"infinite REAL", 500, "json: unsupported value: +Inf", Applied},
		{"negative infinite REAL", 500, "json: unsupported value: -Inf", Applied},

		{"queue wait timeout", 408, "queue wait timeout", Unknown},
		{"leadership lost", 200, "leadership lost while committing log", Unknown},
		{"enqueuing timed out", 200, "timeout enqueuing operation", Unknown},
		{"timeout between nodes", 200, "read tcp 127.0.0.1:1->127.0.0.1:2: i/o timeout", Unknown},
		{"bare timeout", 200, "i/o timeout", Unknown},
		{"end of file", 200, "EOF", Unknown},
		{"reset", 200, "read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer", Unknown},
		{"dial is not first", 200, "write: dial tcp 127.0.0.1:1: connection refused", Unknown},
		{"leader not found is not all", 200, "leader not found after commit", Unknown},
		{"constraint is not last", 200, "constraint failed somewhere", Unknown},
		{"internal error", 500, "", Unknown},
		{"internal error with an unknown text", 500, "something", Unknown},
		{"timeout in a 500", 500, "leadership lost while committing log", Unknown},
		{"proxy", 502, "<html><body>Bad Gateway</body></html>", Unknown},
		{"proxy timeout", 504, "", Unknown},
		{"service unavailable", 503, "", Unknown},
		{"no content", 204, "", Unknown},
		{"accepted", 202, "", Unknown},
		{"switching protocols", 101, "", Unknown},
		{"no status", 0, "", Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want.String(), Classify(tt.status, tt.message).String())
		})
	}
}

// A node that forwards a write tries twice, and tells of the second try alone.
func TestOutcomeOfForwarded(t *testing.T) {
	t.Parallel()
	for _, message := range []string{"leader not found", "not leader", "store not open", "dial tcp 127.0.0.1:4103: connect: connection refused"} {
		g := &guard{req: write(), forwarded: true}
		assert.Equal(t, Unknown, g.outcome(200, message), message)
		assert.Equal(t, Repeat, g.outcome(503, "leader not found"), "it was not tried")
		assert.Equal(t, Repeat, (&guard{req: write()}).outcome(200, message), "it was to be redirected")
		assert.Equal(t, Repeat, (&guard{req: query(), forwarded: true}).outcome(200, message), "it is a read")
	}
}

// Of several statements some may have been rolled back before the rows of
// another could not be sent.
func TestOutcomeOfUnsentRows(t *testing.T) {
	t.Parallel()
	const message = "json: unsupported value: +Inf"
	several := write()
	several.Statements = 2
	assert.Equal(t, Applied, (&guard{req: write()}).outcome(500, message))
	assert.Equal(t, Unknown, (&guard{req: several}).outcome(500, message))
}

func FuzzClassify(f *testing.F) {
	f.Add(200, "")
	f.Add(200, "leader not found")
	f.Add(500, "json: unsupported value: +Inf")
	f.Add(503, "leader not found\n")
	f.Add(301, "\xff")
	f.Fuzz(func(t *testing.T, status int, message string) {
		outcome := Classify(status, message)
		require.LessOrEqual(t, outcome, Applied)
		require.Equal(t, status == 200 && message == "", outcome == Answered)
		if outcome == Repeat && (status < 300 || status >= 400) {
			// A write is sent again after this: only for messages that are known.
			known := len(message) > len("dial tcp ") && message[:9] == "dial tcp " || message == "dial tcp " || isLeaderless(message)
			require.True(t, known, "%d %q", status, message)
		}
		e := &Error{Outcome: outcome, Status: status, Message: message}
		if utf8.ValidString(message) {
			require.True(t, utf8.ValidString(e.Error()))
		}
	})
}

func TestOutcomeString(t *testing.T) {
	t.Parallel()
	names := []string{"answered", "refused", "repeat", "unknown", "applied", "invalid"}
	for i, name := range names {
		assert.Equal(t, name, Outcome(i).String())
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  Error
		want string
	}{
		{"message", Error{Status: 503, Node: "n:1", Message: "leader not found"}, "n:1: leader not found"},
		{"cause", Error{Node: "n:1", Err: io.EOF}, "n:1: EOF"},
		{"message before cause", Error{Node: "n:1", Message: "m", Err: io.EOF}, "n:1: m"},
		{"status", Error{Status: 401, Node: "n:1"}, "n:1: unauthorized"},
		{"no node", Error{Message: "m"}, "m"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, tt.err.Error())
			assert.Equal(t, tt.err.Err, errors.Unwrap(&tt.err))
		})
	}
}

func TestErrorRepeatable(t *testing.T) {
	t.Parallel()
	for outcome, want := range map[Outcome]struct{ write, read bool }{
		Refused: {false, false},
		Repeat:  {true, true},
		Unknown: {false, true},
		Applied: {false, false},
	} {
		e := &Error{Outcome: outcome}
		assert.Equal(t, want.write, e.repeatable(write()), "write, %v", outcome)
		assert.Equal(t, want.read, e.repeatable(query()), "read, %v", outcome)
	}
}
