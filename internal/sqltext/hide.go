package sqltext

import "strings"

// tableList is the table-valued function of PRAGMA table_list
// (https://www.sqlite.org/pragma.html#pragfunc).
const tableList = "pragma_table_list"

// listTables are the tables that list the schema (https://www.sqlite.org/schematab.html).
var listTables = []string{"sqlite_master", "sqlite_schema", tableList}

// followers are keywords that may follow a table in a FROM clause. None of them can be a name.
var followers = map[string]bool{
	"WHERE": true, "ORDER": true, "GROUP": true, "HAVING": true, "LIMIT": true, "ON": true, "USING": true,
	"JOIN": true, "LEFT": true, "RIGHT": true, "FULL": true, "INNER": true, "CROSS": true, "NATURAL": true,
	"UNION": true, "EXCEPT": true, "INTERSECT": true, "WINDOW": true,
}

// HideTable returns a Read that does not see a table and its indexes in lists of the schema. In its
// FROM clauses a subquery takes the place of the list. name is the table in lower case.
//
// It returns the statement unchanged if it reads no list of the schema, if it mentions the table,
// or if it has an unusual form. It also does so if the statement asks for rowids or hidden columns,
// because a subquery has none.
func (s Statement) HideTable(name string) Statement {
	if s.Kind != Read || s.Keyword == "EXPLAIN" || !containsFold(s.Text, "sqlite_") && !containsFold(s.Text, "table_list") || s.Mentions(name) {
		return s
	}
	h := hider{source: sourceOf(s.Text), name: name}
	if !h.pragma() && !h.hide() {
		return s
	}
	h.buf.WriteString(s.Text[h.done:])
	list, err := Parse(h.buf.String())
	if err != nil || len(list) != 1 {
		return s
	}
	return list[0]
}

// hider writes the new text of a statement.
type hider struct {
	source
	name string
	buf  strings.Builder
	done int // bytes of src already written
}

// isName reports whether a token is one of some names, given in lower case. A text in single quotes
// is no name here.
func (h *hider) isName(i int, names ...string) bool {
	if kind := h.kind(i); kind != tokWord && (kind != tokQuoted || h.text(i)[0] == '\'') {
		return false
	}
	for _, name := range names {
		if equalFold(unquote(h.text(i)), name) {
			return true
		}
	}
	return false
}

// pragma rewrites a PRAGMA table_list as a SELECT. It returns false for other statements.
func (h *hider) pragma() bool {
	last := len(h.tokens) - 1
	if !h.isWord(0, "PRAGMA") || !h.isName(last, "table_list") {
		return false
	}
	h.buf.WriteString("SELECT schema,name,type,ncol,wr,strict FROM " + tableList + " WHERE name<>'" + h.name + "'")
	switch {
	case last == 1:
	case last == 3 && h.kind(2) == tokDot && h.isName(1, "main"):
		h.buf.WriteString(" AND schema='main'")
	default:
		return false
	}
	h.done = len(h.src)
	return true
}

// isTable reports whether a table of a FROM clause begins at a token.
func (h *hider) isTable(first int) bool {
	if h.isWord(first-1, "JOIN") {
		return true
	}
	depth := 0
	for i := first - 1; i >= 0 && depth <= 0; i-- {
		switch h.kind(i) {
		case tokRightParen:
			depth--
		case tokLeftParen:
			depth++
		case tokWord:
			if word := upperASCII(h.text(i)); depth == 0 && word == "FROM" {
				return !h.isWord(i-1, "DISTINCT") && (i == first-1 || h.kind(first-1) == tokComma)
			} else if depth == 0 && beforeLists[word] {
				return false
			}
		}
	}
	return false
}

// beforeLists are keywords before lists that are not lists of tables.
var beforeLists = map[string]bool{"SELECT": true, "BY": true, "WHERE": true, "HAVING": true, "LIMIT": true, "WITH": true, "WINDOW": true, "VALUES": true}

// hide writes the text up to the last list of the schema. It returns true if there are such lists
// and all of them could be replaced.
func (h *hider) hide() bool {
	for i := range h.tokens {
		switch {
		case h.isName(i, "rowid", "oid", "_rowid_"), h.isName(i, "arg") && containsFold(h.src, tableList):
			return false
		case !h.isName(i, listTables...), h.isName(i, tableList) && h.kind(i+1) == tokLeftParen: // about one table
			continue
		}
		qualified := h.kind(i-1) == tokDot
		if h.kind(i+1) == tokDot { // prefix of a column
			if qualified {
				return false
			}
			continue
		}
		first := i
		if qualified {
			first = i - 2
			if !h.isName(first, "main") {
				return false
			}
		}
		if !h.isTable(first) {
			return false
		}
		named, ok := h.alias(i + 1)
		if !ok {
			return false
		}
		h.replace(first, i, named)
	}
	return h.done > 0
}

// alias reports whether an alias begins at a token, after a table. It is not ok if that is
// uncertain.
func (h *hider) alias(i int) (named, ok bool) {
	switch h.kind(i) {
	case tokEnd, tokComma, tokRightParen:
		return false, true
	case tokQuoted:
		return true, true
	case tokWord:
		word := upperASCII(h.text(i))
		switch {
		case word == "AS":
			return true, h.kind(i+1) == tokQuoted || h.kind(i+1) == tokWord
		case followers[word]:
			return false, true
		}
		return true, isBareName(word)
	}
	return false, false
}

// replace writes a subquery in place of the tokens from first to last.
func (h *hider) replace(first, last int, named bool) {
	h.buf.WriteString(h.src[h.done:h.tokens[first].pos])
	if h.isName(last, tableList) {
		h.buf.WriteString("(SELECT schema,name,type,ncol,wr,strict FROM " + tableList + " WHERE name<>'" + h.name + "')")
	} else {
		h.buf.WriteString("(SELECT type,name,tbl_name,rootpage,sql FROM main.sqlite_master WHERE tbl_name<>'" + h.name + "')")
	}
	if !named {
		h.buf.WriteString(" AS " + h.text(last))
	}
	h.done = h.tokens[last].end
}
