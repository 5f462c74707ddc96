package sqlerr

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// codes lists what SQLite and rqlite say, and the code that it stands for.
var codes = []struct {
	code    Code
	message string
}{
	{ConstraintUnique, "UNIQUE constraint failed: users.email"},
	{ConstraintUnique, "UNIQUE constraint failed: index 'users_lower_email'"},
	{ConstraintNotNull, "NOT NULL constraint failed: users.name"},
	{ConstraintForeignKey, "FOREIGN KEY constraint failed"},
	{ConstraintCheck, "CHECK constraint failed: age > 0"},
	{Constraint, "constraint failed"},
	{ConstraintDatatype, "cannot store TEXT value in INTEGER column t.a"},
	{Mismatch, "datatype mismatch"},
	{Busy, "database is locked"},
	{Locked, "database table is locked: users"},
	{Locked, "database schema is locked: main"},
	{ReadOnly, "attempt to write a readonly database"},
	{ReadOnly, "attempt to change database via query operation"},
	{Interrupted, "interrupted"},
	{OutOfMemory, "out of memory"},
	{IOError, "disk I/O error"},
	{Corrupt, "database disk image is malformed"},
	{Full, "database or disk is full"},
	{SchemaChanged, "database schema has changed"},
	{TooBig, "string or blob too big"},
	{ParameterRange, "column index out of range"},
	{NotAuthorized, "not authorized"},
	{NotAuthorized, "access to users.password is prohibited"},
	{GenericError, "no such table: nope"},
	{GenericError, `near "selec": syntax error`},
	{GenericError, "no such column: UNIQUE constraint failed"},
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	for _, test := range codes {
		assert.Equal(t, test.code, codeOf(test.message), "%q", test.message)
	}
	assert.Equal(t, GenericError, codeOf(""))
}

func TestCode(t *testing.T) {
	t.Parallel()
	for _, extended := range []Code{ConstraintCheck, ConstraintForeignKey, ConstraintNotNull, ConstraintUnique, ConstraintDatatype} {
		assert.Equal(t, Constraint, extended.Primary())
	}
	assert.Equal(t, Busy, Busy.Primary())
	for code, want := range map[Code]string{
		ConstraintUnique: "UNIQUE constraint failed",
		Constraint:       "constraint failed",
		Busy:             "database is locked",
		ReadOnly:         "attempt to write a readonly database",
		NotAuthorized:    "not authorized",
		GenericError:     "SQL logic error",
		Code(12345):      "SQL logic error",
	} {
		assert.EqualError(t, code, want)
	}
}

func FuzzCodeOf(f *testing.F) {
	for _, test := range codes {
		f.Add(test.message)
	}
	f.Fuzz(func(t *testing.T, message string) {
		err := New(message, 0, 1)
		require.Equal(t, err.ExtendedCode.Primary(), err.Code)
		require.Equal(t, err.Code, err.Code.Primary())
		require.Positive(t, int(err.Code))
		require.ErrorIs(t, err, err.Code)
		require.ErrorIs(t, err, err.ExtendedCode)
		require.Equal(t, "rqlite: "+message, err.Error())
		// What stands behind the beginning names things, and tells no code; only the
		// one message that is known by its end does.
		if !strings.HasSuffix(message, "prohibited") && err.Code != GenericError {
			require.Equal(t, err.ExtendedCode, codeOf(message+": UNIQUE constraint failed"))
		}
	})
}

func TestErrorIs(t *testing.T) {
	t.Parallel()
	err := error(New("UNIQUE constraint failed: t.id", 1, 3))
	assert.EqualError(t, err, "rqlite: statement 2 of 3: UNIQUE constraint failed: t.id")
	assert.ErrorIs(t, err, ConstraintUnique)
	assert.ErrorIs(t, err, Constraint)
	for _, other := range []error{ConstraintCheck, ConstraintNotNull, GenericError, Code(0), ErrIndeterminate, io.EOF, New("UNIQUE constraint failed: t.id", 1, 3)} {
		assert.NotErrorIs(t, err, other)
	}
	assert.EqualError(t, New("no such table: t", 0, 1), "rqlite: no such table: t")
	assert.EqualError(t, New("FOREIGN KEY constraint failed", -1, 3), "rqlite: FOREIGN KEY constraint failed")
}

// Programs written for other drivers of SQLite, such as GORM's translator of
// errors, read the codes from the JSON of an error.
func TestErrorJSON(t *testing.T) {
	t.Parallel()
	encoded, err := json.Marshal(New("UNIQUE constraint failed: t.id", 0, 1))
	require.NoError(t, err)
	var decoded struct {
		Code         int
		ExtendedCode int
	}
	require.NoError(t, json.Unmarshal(encoded, &decoded))
	assert.Equal(t, 19, decoded.Code)
	assert.Equal(t, 2067, decoded.ExtendedCode)
}

func TestHTTPError(t *testing.T) {
	t.Parallel()
	sentinels := []error{ErrUnauthorized, ErrNoLeader, ErrStaleRead, ErrIndeterminate, ErrRowsLost}
	for _, test := range []struct {
		err  HTTPError
		is   error // nil is none of them
		text string
	}{
		{HTTPError{StatusCode: 401, Node: "n:1", Message: ""}, ErrUnauthorized, "rqlite: n:1: not authorized: check user and password, and the user's permissions (HTTP status 401)"},
		{HTTPError{StatusCode: 401, Node: "n:1", Message: "remote not authorized"}, ErrUnauthorized, "rqlite: n:1: not authorized: check user and password, and the user's permissions (HTTP status 401)"},
		{
			HTTPError{StatusCode: 401, Node: "n:1", Path: cluster.ExecutePath},
			ErrUnauthorized,
			`rqlite: n:1: not authorized: check user and password, and the user's permission "execute" (HTTP status 401)`,
		},
		{HTTPError{StatusCode: 503, Node: "n:1", Message: "leader not found"}, ErrNoLeader, "rqlite: n:1: leader not found (HTTP status 503)"},
		{HTTPError{StatusCode: 200, Node: "n:1", Message: "not leader"}, ErrNoLeader, "rqlite: n:1: not leader (HTTP status 200)"},
		{HTTPError{StatusCode: 200, Node: "n:1", Message: "stale read"}, ErrStaleRead, "rqlite: n:1: stale read (HTTP status 200)"},
		{HTTPError{StatusCode: 502, Node: "n:1", Message: ""}, nil, "rqlite: n:1: bad gateway (HTTP status 502)"},
		{HTTPError{StatusCode: 500, Node: "n:1", Message: "no stale read"}, nil, "rqlite: n:1: no stale read (HTTP status 500)"},
	} {
		assert.EqualError(t, &test.err, test.text)
		for _, sentinel := range sentinels {
			assert.Equal(t, errors.Is(test.is, sentinel), errors.Is(&test.err, sentinel), "%v: %v", &test.err, sentinel)
		}
	}
}

// Every failure of the cluster package becomes one that callers can ask for.
func TestPublicError(t *testing.T) {
	t.Parallel()
	var (
		statement *Error
		answer    *HTTPError
		brokenOff = cluster.Error{Outcome: cluster.Unknown, Node: "n:1", Status: 200, Err: io.ErrUnexpectedEOF}
		cancelled = cluster.Error{Outcome: cluster.Refused, Node: "n:1", Err: context.Canceled}
		refused   = func(message string) cluster.Error {
			return cluster.Error{Outcome: cluster.Refused, Status: 200, Node: "n:1", Message: message}
		}
		asWrite    = func(e cluster.Error) cluster.Error { e.Write = true; return e }
		infinite   = cluster.Error{Outcome: cluster.Applied, Status: 500, Node: "n:1", Message: "json: error calling MarshalJSON for type *http.DBResults: json: unsupported value: +Inf"}
		leaderless = cluster.Error{Outcome: cluster.Repeat, Status: 503, Node: "n:1", Message: "leader not found"}
	)
	for _, test := range []struct {
		name string
		err  cluster.Error
		is   []error
		not  []error
		as   any
		text string
	}{
		{"read broken off", brokenOff, []error{io.ErrUnexpectedEOF}, []error{ErrIndeterminate}, nil, "rqlite: n:1: unexpected EOF"},
		{"write broken off", asWrite(brokenOff), []error{ErrIndeterminate, io.ErrUnexpectedEOF}, nil, nil, "rqlite: the outcome of the write is unknown: n:1: unexpected EOF"},
		{"cancelled after it was sent", asWrite(cluster.Error{Outcome: cluster.Unknown, Node: "n:1", Err: context.Canceled}), []error{ErrIndeterminate, context.Canceled}, nil, nil, "rqlite: the outcome of the write is unknown: n:1: context canceled; the server may still be running it"},
		{"out of time after it was sent", asWrite(cluster.Error{Outcome: cluster.Unknown, Err: context.DeadlineExceeded}), []error{ErrIndeterminate, context.DeadlineExceeded}, nil, nil, "rqlite: the outcome of the write is unknown: context deadline exceeded; the server may still be running it"},
		{"answered, then cancelled", asWrite(cluster.Error{Outcome: cluster.Unknown, Node: "n:1", Status: 500, Err: context.Canceled}), []error{ErrIndeterminate, context.Canceled}, nil, nil, "rqlite: the outcome of the write is unknown: n:1: context canceled"},
		{"cancelled before it was sent", asWrite(cancelled), []error{context.Canceled}, []error{ErrIndeterminate}, nil, "context canceled"},
		{"leader lost", asWrite(cluster.Error{Outcome: cluster.Unknown, Status: 200, Node: "n:1", Message: "leadership lost while committing log"}), []error{ErrIndeterminate}, []error{ErrNoLeader}, &answer, ""},
		{"no leader", asWrite(leaderless), []error{ErrNoLeader}, []error{ErrIndeterminate}, &answer, "rqlite: n:1: leader not found (HTTP status 503)"},
		{"no permission", cluster.Error{Outcome: cluster.Refused, Status: 401, Node: "n:1"}, []error{ErrUnauthorized}, nil, &answer, ""},
		{"stale read", refused("stale read"), []error{ErrStaleRead}, nil, &answer, ""},
		{"query timeout", refused("query timeout"), []error{context.DeadlineExceeded}, nil, nil, "context deadline exceeded"},
		{"rewriter", asWrite(cluster.Error{Outcome: cluster.Refused, Status: 500, Node: "n:1", Message: "SQL rewrite: near"}), []error{GenericError}, []error{ErrIndeterminate}, &statement, "rqlite: SQL rewrite: near"},
		{"pragma", asWrite(refused("disallowed pragma")), []error{GenericError}, nil, &statement, "rqlite: disallowed pragma"},
		{"deferred constraint", asWrite(refused("FOREIGN KEY constraint failed")), []error{ConstraintForeignKey}, nil, &statement, "rqlite: FOREIGN KEY constraint failed"},
		{"bad request", refused("invalid freshness"), nil, []error{GenericError}, &answer, "rqlite: n:1: invalid freshness (HTTP status 200)"},
		{"infinite value, read", infinite, []error{GenericError}, []error{ErrRowsLost}, &statement, ""},
		{"infinite value, write", asWrite(infinite), []error{ErrRowsLost}, []error{ErrIndeterminate, GenericError}, &answer, "rqlite: the write was applied, but the rows of RETURNING were lost: n:1: json: error calling MarshalJSON for type *http.DBResults: json: unsupported value: +Inf (HTTP status 500)"},
		{"time ran out without a leader", asWrite(cluster.Error{Outcome: cluster.Refused, Node: "n:1", Message: "context deadline exceeded; the attempt before: leader not found", Err: context.DeadlineExceeded}), []error{ErrNoLeader, context.DeadlineExceeded}, []error{ErrIndeterminate}, nil, "rqlite: the cluster has no leader: n:1: context deadline exceeded; the attempt before: leader not found"},
		{"an answer that could not be read", cluster.Error{Outcome: cluster.Unknown, Status: 502, Node: "n:1", Err: io.ErrUnexpectedEOF}, []error{io.ErrUnexpectedEOF}, nil, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := From(&test.err)
			assert.True(t, strings.HasPrefix(err.Error(), "rqlite: ") || strings.HasPrefix(err.Error(), "context "), err.Error())
			if test.text != "" {
				assert.EqualError(t, err, test.text)
			}
			for _, is := range test.is {
				assert.ErrorIs(t, err, is)
			}
			for _, not := range test.not {
				assert.NotErrorIs(t, err, not)
			}
			switch test.as.(type) {
			case **Error:
				var e *Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, -1, e.Statement, "the server does not say which it was")
			case **HTTPError:
				var e *HTTPError
				require.ErrorAs(t, err, &e)
				assert.Equal(t, "n:1", e.Node)
			}
		})
	}
	require.NoError(t, From(nil))
	assert.Equal(t, io.EOF, From(io.EOF), "what is no failure of the cluster stays as it is")
}

func TestFailedStatement(t *testing.T) {
	t.Parallel()
	err := Failed("query timeout", 0, 2, false)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	var failure *Error
	require.ErrorAs(t, Failed("interrupted", 1, 2, true), &failure)
	assert.Equal(t, &Error{Message: "interrupted", Code: Interrupted, ExtendedCode: Interrupted, Statement: 1, Statements: 2}, failure)
}
