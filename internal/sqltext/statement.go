package sqltext

import "fmt"

// MaxParams is the largest parameter number SQLite accepts unless it was
// compiled otherwise (SQLITE_MAX_VARIABLE_NUMBER).
const MaxParams = 32766

// Kind says what a statement does, as far as its tokens tell. The zero value
// is Unknown.
type Kind uint8

// The kinds of statement.
const (
	Unknown     Kind = iota // the tokens do not tell
	Read                    // SELECT, VALUES, WITH … SELECT, EXPLAIN of anything but a Pragma, a PRAGMA that only asks
	Write                   // INSERT, REPLACE, UPDATE, DELETE, also after WITH
	Schema                  // CREATE, DROP, ALTER, REINDEX, ANALYZE
	Pragma                  // a PRAGMA that assigns or acts, also behind EXPLAIN
	Control                 // BEGIN, COMMIT, END, ROLLBACK, SAVEPOINT, RELEASE
	Maintenance             // VACUUM, ATTACH, DETACH
)

var kindNames = [...]string{
	Unknown:     "unknown",
	Read:        "read",
	Write:       "write",
	Schema:      "schema",
	Pragma:      "pragma",
	Control:     "control",
	Maintenance: "maintenance",
}

// String returns the kind in lower case, such as "read".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Statement is one SQL statement of a parsed string. It holds substrings of
// that string and is safe for concurrent use as long as nobody writes to
// Params.
type Statement struct {
	// Text runs from the first token of the statement to its last, without
	// the final semicolon and the space and comments around it. Text may be
	// followed by a semicolon and another statement.
	Text string

	// Kind says what the statement does.
	Kind Kind

	// Keyword is the first word in upper case ("SELECT", "WITH", "EXPLAIN"),
	// or "" when the statement does not begin with an unquoted word.
	Keyword string

	// Insert is set for a Write whose verb is INSERT or REPLACE.
	Insert bool

	// LeavesOut is the name of the table, as FoldName returns it, for an Insert that may leave out
	// some of its columns: one with a list of columns, or with DEFAULT VALUES.
	LeavesOut string

	// Calls says which of the functions that matter the statement calls, wherever
	// in it.
	Calls Calls

	// Star is set when a * or t.* is a result column of a SELECT anywhere in
	// the statement: in a subquery, a common table expression, a compound, a
	// view or trigger being created. It is not set for count(*),
	// multiplication, or RETURNING *.
	Star bool

	// Returning is the offset in Text just past the word RETURNING of a
	// Write's RETURNING clause, and 0 when there is none. RETURNING is a
	// reserved word in SQLite: unquoted and outside parentheses it can be
	// nothing but the clause.
	Returning int

	// SaysReturning is set when the word RETURNING is anywhere in the statement. The server
	// treats one like a Write with RETURNING when its own parser sees a clause, also behind
	// EXPLAIN and within CREATE TRIGGER.
	SaysReturning bool

	// Plain is set for a Write with a RETURNING clause that every release of the server sees:
	// of names, parameters and literals only. Of others it is not known.
	Plain bool

	// ConflictFail is set when OR FAIL or OR ROLLBACK follows the INSERT or
	// UPDATE of a Write. Such a statement cannot share a transaction with
	// others unnoticed.
	ConflictFail bool

	// Temp is set for a CREATE of a temporary object: CREATE TEMP …, or one
	// whose name, or that of what it selects from, begins with temp.
	Temp bool

	// Params are the parameters in order of appearance, nil when there are
	// none. One that is used twice is listed twice, with the same Index.
	Params []Param

	// NumParams is the largest Index in Params: the number of values the
	// statement takes, as sqlite3_bind_parameter_count reports it. It exceeds
	// the number of distinct parameters when ?NNN leaves gaps.
	NumParams int
}

// NoStatement returns the first word as it is written, and true, when it is one that no statement of
// SQLite begins with, https://www.sqlite.org/lang.html. SQLite says of it that there is a syntax error near.
func (s Statement) NoStatement() (word string, no bool) {
	if s.Kind != Unknown || s.Keyword == "" || s.Keyword == "WITH" || isDigit(s.Keyword[0]) {
		return "", false
	}
	return s.Text[:len(s.Keyword)], true
}

// Calls is a set of functions whose value is not a matter of their arguments and
// the data alone.
type Calls uint8

// The functions, https://www.sqlite.org/lang_corefunc.html and
// https://www.sqlite.org/lang_datefunc.html.
const (
	CallsRandom          Calls = 1 << iota // random, randomblob
	CallsTime                              // CURRENT_…, and date functions, which may mean the present
	CallsChanges                           // changes
	CallsTotalChanges                      // total_changes
	CallsLastInsertRowid                   // last_insert_rowid
)

// Param is one parameter as it is written in a statement.
type Param struct {
	// Pos and End are the byte offsets in Statement.Text of the first byte,
	// which is the prefix, and of the byte after the last.
	Pos, End int

	// Index is the number SQLite binds the parameter by, from 1: NNN for
	// ?NNN, one more than the largest so far for ? and for a name at its
	// first appearance. Names with different prefixes are different.
	Index int

	// Name is the name without its prefix (:, @, $ or #), including the
	// suffix of $name::suffix(…). It is "" for ? and ?NNN.
	Name string
}

// Error says why a text cannot be split into statements safely.
type Error struct {
	Message string // what is wrong and at which byte, without a prefix
}

// Error returns the message. It quotes no part of the text, which may hold
// secrets.
func (e *Error) Error() string { return e.Message }

func newError(format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...)}
}
