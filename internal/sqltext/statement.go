package sqltext

import "fmt"

// MaxParams is the largest parameter number that SQLite accepts by default
// (SQLITE_MAX_VARIABLE_NUMBER).
const MaxParams = 32766

// Kind says what a statement does, as far as its tokens tell. The zero value is Unknown.
type Kind uint8

// The kinds of statement.
const (
	Unknown     Kind = iota // the tokens do not tell
	Read                    // SELECT, VALUES, WITH … SELECT, EXPLAIN of all but a Pragma, a PRAGMA that only reads
	Write                   // INSERT, REPLACE, UPDATE, DELETE, also after WITH
	Schema                  // CREATE, DROP, ALTER, REINDEX, ANALYZE
	Pragma                  // a PRAGMA that sets or acts, also after EXPLAIN
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

// Statement is one SQL statement of a parsed text. It holds substrings of that text. It is safe for
// concurrent use as long as nobody changes Params.
type Statement struct {
	// Text runs from the first token of the statement to its last. It has no final semicolon, and
	// no space or comments around it. Another statement may follow a semicolon after it.
	Text string

	// Kind says what the statement does.
	Kind Kind

	// Keyword is the first word in upper case ("SELECT", "WITH", "EXPLAIN"). It is "" if the
	// statement does not begin with an unquoted word.
	Keyword string

	// Insert is set for a Write whose verb is INSERT or REPLACE.
	Insert bool

	// LeavesOut is the table, as FoldName returns it, of an Insert that may leave out columns: it
	// has a list of columns, or DEFAULT VALUES. It is "" for other statements.
	LeavesOut string

	// Calls tells which functions of that type the statement calls anywhere.
	Calls Calls

	// Star is set if * or t.* is a result column of a SELECT anywhere in the statement: also in a
	// subquery, a common table expression, a compound, or the body of a view or trigger. It is not
	// set for count(*), for a multiplication or for RETURNING *.
	Star bool

	// Returning is the offset in Text just after the word RETURNING of a Write's RETURNING clause.
	// It is 0 if there is none. SQLite reserves the word, so outside of quotes and parentheses it
	// always begins the clause.
	Returning int

	// SaysReturning is set if the word RETURNING occurs anywhere in the statement. The server's own
	// parser sees a clause also after EXPLAIN and within CREATE TRIGGER. The server then treats the
	// statement like a Write with RETURNING.
	SaysReturning bool

	// Plain is set for a Write whose RETURNING clause every release of the server sees: it consists
	// of names, parameters and literals only. For other statements this is not known.
	Plain bool

	// ConflictFail is set for a Write with OR FAIL or OR ROLLBACK. Such a statement behaves
	// differently in a transaction with others.
	ConflictFail bool

	// Temp is set for a CREATE of a temporary object: CREATE TEMP …, or a CREATE in which the name
	// of the object or of a table that it selects from begins with temp.
	Temp bool

	// Params are the parameters in order of appearance, nil if there are none. A parameter that is
	// used twice is listed twice with the same Index.
	Params []Param

	// NumParams is the largest Index in Params. It is the number of values that the statement
	// takes, like sqlite3_bind_parameter_count. It is larger than the number of distinct parameters
	// if ?NNN leaves gaps.
	NumParams int

	facts *facts // nil outside of a Cache
}

// NoStatement returns the first word as written, and true, if no statement of SQLite begins with
// that word (https://www.sqlite.org/lang.html). SQLite reports a syntax error near it.
func (s Statement) NoStatement() (word string, no bool) {
	if s.Kind != Unknown || s.Keyword == "" || s.Keyword == "WITH" || isDigit(s.Keyword[0]) {
		return "", false
	}
	return s.Text[:len(s.Keyword)], true
}

// Calls is a set of functions whose results do not depend on their arguments and the data alone.
type Calls uint8

// The functions, https://www.sqlite.org/lang_corefunc.html and
// https://www.sqlite.org/lang_datefunc.html.
const (
	CallsRandom          Calls = 1 << iota // random, randomblob
	CallsTime                              // CURRENT_TIME and the like, and date functions, which may mean the present
	CallsChanges                           // changes
	CallsTotalChanges                      // total_changes
	CallsLastInsertRowid                   // last_insert_rowid
)

// Param is one parameter in a statement.
type Param struct {
	// Pos and End are byte offsets in Statement.Text: of the first byte, which is the prefix, and
	// after the last byte.
	Pos, End int

	// Index is the number by which SQLite binds the parameter, from 1. For ?NNN it is NNN. For ?
	// and for a new name it is one more than the largest so far. Names with different prefixes are
	// different.
	Index int

	// Name is the name without its prefix (:, @, $ or #) and with the suffix of $name::suffix(…).
	// It is "" for ? and ?NNN.
	Name string
}

// Error says why a text cannot be split into statements safely.
type Error struct {
	Message string // the fault and its byte offset, without a prefix
}

// Error returns the message. It quotes no part of the text, which may contain secrets.
func (e *Error) Error() string { return e.Message }

func newError(format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...)}
}
