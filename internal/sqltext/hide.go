package sqltext

import "strings"

// tableList is the table that PRAGMA table_list is (https://www.sqlite.org/pragma.html#pragfunc).
const tableList = "pragma_table_list"

// listTables are the names of the tables that list the schema
// (https://www.sqlite.org/schematab.html).
var listTables = []string{"sqlite_master", "sqlite_schema", tableList}

// followers are the keywords that may follow a table in a FROM clause, of which none can be a
// name.
var followers = map[string]bool{
	"WHERE": true, "ORDER": true, "GROUP": true, "HAVING": true, "LIMIT": true, "ON": true, "USING": true,
	"JOIN": true, "LEFT": true, "RIGHT": true, "FULL": true, "INNER": true, "CROSS": true, "NATURAL": true,
	"UNION": true, "EXCEPT": true, "INTERSECT": true, "WINDOW": true,
}

// HideTable returns a Read in which the list of the schema leaves out the table of a name, which is
// in lower case, and what belongs to it: in FROM a selection takes the place of the list. It returns the
// statement itself if that is not about the list, mentions the table, asks for rowids or hidden columns,
// which a selection has not, or has another form than programs give to such a question.
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

// hider writes a statement anew.
type hider struct {
	source
	name string
	buf  strings.Builder
	done int // so much of src has been written
}

// isName reports whether a token is a name, and one of some in lower case. A text in single quotes is
// none.
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

// pragma writes PRAGMA table_list as a selection, and reports whether it was that.
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

// beforeLists are the keywords before lists of something else than tables.
var beforeLists = map[string]bool{"SELECT": true, "BY": true, "WHERE": true, "HAVING": true, "LIMIT": true, "WITH": true, "WINDOW": true, "VALUES": true}

// hide writes up to the last list of the schema, and reports whether all of them could be
// replaced, and there are any.
func (h *hider) hide() bool {
	for i := range h.tokens {
		switch {
		case h.isName(i, "rowid", "oid", "_rowid_"), h.isName(i, "arg") && containsFold(h.src, tableList):
			return false
		case !h.isName(i, listTables...), h.isName(i, tableList) && h.kind(i+1) == tokLeftParen: // it is asked about one
			continue
		}
		qualified := h.kind(i-1) == tokDot
		if h.kind(i+1) == tokDot { // it is that of a column
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

// alias reports whether a table has an alias, which begins at a token. It is not ok if that is not
// certain.
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

// replace writes a selection in place of the tokens from first to last.
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
