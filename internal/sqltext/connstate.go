package sqltext

import (
	"slices"
	"strconv"
)

// WithConnState returns the statement with literals in place of last_insert_rowid() and changes().
// These functions tell about the last write of a connection
// (https://www.sqlite.org/lang_corefunc.html). A result column of a SELECT that is only such a call
// keeps its name. Statements of other kinds than Read and Write are returned unchanged, since they
// hold definitions.
func (s Statement) WithConnState(lastInsertRowid, changes int64) Statement {
	if s.Calls&(CallsLastInsertRowid|CallsChanges) == 0 || s.Kind != Read && s.Kind != Write {
		return s
	}
	f := freezer{source: sourceOf(s.Text)}
	depth := 0
	var edits []edit
	for i, tok := range f.tokens {
		switch tok.kind {
		case tokLeftParen:
			depth++
		case tokRightParen:
			depth--
		}
		if !f.isCall(i) || len(f.tokens) <= i+2 || f.tokens[i+2].kind != tokRightParen {
			continue // SQLite reports the wrong arguments
		}
		var value int64
		switch calledBy[tok.keyword] {
		case CallsLastInsertRowid:
			value = lastInsertRowid
		case CallsChanges:
			value = changes
		default:
			continue
		}
		end := f.tokens[i+2].end
		text := "(0+" + strconv.FormatInt(value, 10) + ")" // a number alone in ORDER BY would be that of a column
		if depth == 0 && s.Kind == Read && f.isResultColumn(i, i+2) {
			text += ` AS "` + s.Text[tok.pos:end] + `"`
		}
		edits = append(edits, edit{tok.pos, end, text})
	}
	return s.edited(edits)
}

// Upserts reports whether the statement is an INSERT that may update a row instead.
func (s Statement) Upserts() bool {
	if !s.Insert || !containsFold(s.Text, "update") {
		return false
	}
	src := sourceOf(s.Text)
	for i := range src.tokens {
		if src.areWords(i, "DO", "UPDATE") {
			return true
		}
	}
	return false
}

// isResultColumn reports whether tokens first to last make up a result column without an alias.
func (f *freezer) isResultColumn(first, last int) bool {
	if first == 0 || f.tokens[first-1].keyword != kwSelect && f.tokens[first-1].kind != tokComma {
		return false
	}
	if last+1 == len(f.tokens) {
		return true
	}
	return f.kind(last+1) == tokComma || slices.Contains([]string{"FROM", "WHERE", "LIMIT", "UNION"}, f.word(last+1))
}

// HideRandom returns the statement with a space after the names random and randomblob where they
// are called. rqlite then does not see the calls, because it looks for the name with the
// parenthesis.
func (s Statement) HideRandom() Statement {
	f := freezer{source: sourceOf(s.Text)}
	var edits []edit
	for i, tok := range f.tokens {
		if f.isCall(i) && calledBy[tok.keyword] == CallsRandom {
			edits = append(edits, edit{tok.end, tok.end, " "})
		}
	}
	return s.edited(edits)
}
