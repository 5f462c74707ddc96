package sqltext

import "strings"

// SavepointAction is what a statement does with a savepoint.
type SavepointAction uint8

// The actions, https://www.sqlite.org/lang_savepoint.html.
const (
	SavepointOpen       SavepointAction = iota + 1 // SAVEPOINT name
	SavepointRelease                               // RELEASE [SAVEPOINT] name
	SavepointRollbackTo                            // ROLLBACK [TRANSACTION] TO [SAVEPOINT] name
)

// String returns the action in SQL.
func (a SavepointAction) String() string {
	switch a {
	case SavepointOpen:
		return "SAVEPOINT"
	case SavepointRelease:
		return "RELEASE"
	case SavepointRollbackTo:
		return "ROLLBACK TO"
	}
	return "no action on a savepoint"
}

// Savepoint returns the action of the statement on a savepoint, and the name of the savepoint
// without quotes. Compare names with EqualNames. It is not ok for a statement that is incomplete or
// not about a savepoint.
func (s Statement) Savepoint() (action SavepointAction, name string, ok bool) {
	if s.Kind != Control {
		return 0, "", false
	}
	tokens := tokensOf(s.Text)
	take := func(kw keyword) bool {
		if len(tokens) == 0 || tokens[0].keyword != kw {
			return false
		}
		tokens = tokens[1:]
		return true
	}
	switch {
	case take(kwSavepoint):
		action = SavepointOpen
	case take(kwRelease):
		action = SavepointRelease
	case take(kwRollback):
		take(kwTransaction)
		if !take(kwTo) {
			return 0, "", false
		}
		action = SavepointRollbackTo
	}
	if action > SavepointOpen {
		take(kwSavepoint) // never the name: SQLite rejects RELEASE savepoint
	}
	if action == 0 || len(tokens) != 1 || tokens[0].kind != tokWord && tokens[0].kind != tokQuoted {
		return 0, "", false
	}
	return action, unquote(s.Text[tokens[0].pos:tokens[0].end]), true
}

// unquote returns the name or text that a word or a quoted token stands for.
func unquote(text string) string {
	switch quote := text[0]; quote {
	case '\'', '"', '`':
		return strings.ReplaceAll(text[1:len(text)-1], string([]byte{quote, quote}), string(quote))
	case '[':
		return text[1 : len(text)-1]
	}
	return text
}

// EqualNames reports whether two names are the same to SQLite, which ignores the case of ASCII
// letters.
func EqualNames(a, b string) bool { return FoldName(a) == FoldName(b) }

// FoldName returns a form of a name that is equal for all spellings that SQLite takes for the same
// name.
func FoldName(name string) string { return upperASCII(name) }

// Mentions reports whether a word or a quoted token of the statement is name, which is in lower
// case.
func (s Statement) Mentions(name string) bool {
	if !containsFold(s.Text, name) {
		return false
	}
	for _, tok := range tokensOf(s.Text) {
		if (tok.kind == tokWord || tok.kind == tokQuoted) && equalFold(unquote(s.Text[tok.pos:tok.end]), name) {
			return true
		}
	}
	return false
}

// Names reports whether name, which is in lower case, may be a table in the statement. It counts as
// a word or in quotes. In single quotes it counts only where a table can stand.
func (s Statement) Names(name string) bool {
	if !containsFold(s.Text, name) {
		return false
	}
	var before token
	for _, tok := range tokensOf(s.Text) {
		isName := tok.kind == tokWord || tok.kind == tokQuoted && (s.Text[tok.pos] != '\'' || before.kind == tokDot || tablesFollow[upperASCII(s.Text[before.pos:before.end])])
		if isName && equalFold(unquote(s.Text[tok.pos:tok.end]), name) {
			return true
		}
		before = tok
	}
	return false
}

// tablesFollow are words that may precede the name of a table in single quotes.
var tablesFollow = map[string]bool{
	"INTO": true, "FROM": true, "JOIN": true, "UPDATE": true, "ABORT": true, "FAIL": true, "IGNORE": true, "REPLACE": true,
	"ROLLBACK": true, "TABLE": true, "EXISTS": true, "TO": true, "ON": true, "REFERENCES": true,
}

// containsFold reports whether text contains lower, in any case of ASCII letters.
func containsFold(text, lower string) bool {
	for lower[0] == '_' { // an underscore has one case
		at := strings.IndexByte(text, '_')
		if at < 0 || at+len(lower) > len(text) {
			return false
		}
		if equalFold(text[at:at+len(lower)], lower) {
			return true
		}
		text = text[at+1:]
	}
	for i := 0; i+len(lower) <= len(text); i++ {
		if equalFold(text[i:i+len(lower)], lower) {
			return true
		}
	}
	return false
}

// ClearsPart reports whether the statement Clears only some rows of the table, or returns rows.
func (s Statement) ClearsPart(name string) bool {
	if s.Keyword != "DELETE" || !s.Clears(name) {
		return false
	}
	tokens := tokensOf(s.Text)
	last := tokens[len(tokens)-1]
	const whole = 5 // DELETE FROM schema . name
	return len(tokens) > whole || !equalFold(unquote(s.Text[last.pos:last.end]), name)
}

// Clears reports whether the statement is a DROP TABLE or a DELETE FROM of the table called name,
// in any schema. name is in lower case.
func (s Statement) Clears(name string) bool {
	if !containsFold(s.Text, name) {
		return false
	}
	src, at := sourceOf(s.Text), 2
	drops := src.areWords(0, "DROP", "TABLE")
	switch {
	case drops && src.areWords(at, "IF", "EXISTS"):
		at += 2
	case !drops && !src.areWords(0, "DELETE", "FROM"):
		return false
	}
	table, behind := src.table(at)
	return table == FoldName(name) && (!drops || behind == len(src.tokens))
}
