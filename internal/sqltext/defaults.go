package sqltext

import (
	"slices"
	"strings"
)

// Default is the DEFAULT of a column that gives another value at each run and on each node, because
// it reads the clock or takes a random number.
type Default struct {
	Column string // name as declared, without quotes
	Expr   string // expression without the parentheses around it
	Calls  Calls
}

// CreatedTable describes the table of a CREATE TABLE.
type CreatedTable struct {
	Name        string // name without the schema, as FoldName returns it
	IfNotExists bool
	Defaults    []Default // in the order of the columns
}

// Creates returns the table that a CREATE TABLE declares. It is not ok for other statements.
//
// SQLite never uses the default of an INTEGER PRIMARY KEY that is the rowid
// (https://www.sqlite.org/lang_createtable.html#rowid). The Defaults leave it out.
func (s Statement) Creates() (table CreatedTable, ok bool) {
	if s.Keyword != "CREATE" {
		return table, false
	}
	d := declaration{source: sourceOf(s.Text)}
	at := 1
	if d.isWord(at, "TEMP") || d.isWord(at, "TEMPORARY") {
		at++
	}
	if !d.isWord(at, "TABLE") {
		return table, false
	}
	at++
	if d.areWords(at, "IF", "NOT", "EXISTS") {
		table.IfNotExists = true
		at += 3
	}
	if table.Name, at = d.table(at); table.Name == "" {
		return table, false
	}
	if d.kind(at) == tokLeftParen {
		d.columns(at)
		table.Defaults = d.defaults()
	}
	return table, true
}

// declaration holds the state of a walk over the columns of a CREATE TABLE.
type declaration struct {
	source
	found        []Default
	rowid        string // name of the INTEGER PRIMARY KEY, as FoldName returns it
	withoutRowid bool
}

// defaults returns the defaults found, without that of the rowid.
func (d *declaration) defaults() (list []Default) {
	for _, one := range d.found {
		if d.withoutRowid || d.rowid == "" || FoldName(one.Column) != d.rowid {
			list = append(list, one)
		}
	}
	return list
}

// columns reads the list of columns, whose parenthesis opens at a token, and the table options
// after it.
func (d *declaration) columns(open int) {
	end := d.closing(open)
	integers := map[string]bool{}
	for i := open + 1; i < end; i++ {
		item := i
		for i < end && d.kind(i) != tokComma {
			if d.kind(i) == tokLeftParen {
				i = d.closing(i)
			}
			i++
		}
		if d.isAnyWord(item, tableConstraints) {
			d.constraint(item, min(i, end), integers)
		} else {
			d.column(item, min(i, end), integers)
		}
	}
	for i := end + 1; i < len(d.tokens); i++ {
		d.withoutRowid = d.withoutRowid || d.areWords(i, "WITHOUT", "ROWID")
	}
}

var tableConstraints = map[string]bool{"CONSTRAINT": true, "PRIMARY": true, "UNIQUE": true, "CHECK": true, "FOREIGN": true}

// columnConstraints are the words that end the type of a column.
var columnConstraints = map[string]bool{
	"CONSTRAINT": true, "PRIMARY": true, "NOT": true, "NULL": true, "UNIQUE": true, "CHECK": true, "DEFAULT": true,
	"COLLATE": true, "REFERENCES": true, "GENERATED": true, "AS": true, "ON": true, "DEFERRABLE": true,
}

// column reads the declaration of a column, from token i up to token end.
func (d *declaration) column(i, end int, integers map[string]bool) {
	name := unquote(d.text(i))
	i++
	if d.kind(i) != tokEnd && equalFold(unquote(d.text(i)), "integer") && (i+1 == end || d.isAnyWord(i+1, columnConstraints)) {
		integers[FoldName(name)] = true
	}
	for ; i < end; i++ {
		switch {
		case d.kind(i) == tokLeftParen:
			i = d.closing(i)
		case d.areWords(i, "PRIMARY", "KEY") && integers[FoldName(name)] && !d.isWord(i+2, "DESC"):
			d.rowid = FoldName(name)
		case d.isWord(i, "DEFAULT") && !d.isWord(i-1, "SET"):
			i = d.value(name, i+1)
		}
	}
}

// value reads the default of a column, which begins at token i, and returns its last token.
func (d *declaration) value(column string, i int) (last int) {
	first, last := i, i
	if d.kind(i) == tokLeftParen {
		last = d.closing(i)
		if last == len(d.tokens) || last == i+1 {
			return last
		}
		first, i = i+1, last-1
	}
	expr := d.src[d.tokens[first].pos:d.tokens[min(i, len(d.tokens)-1)].end]
	if calls := callsOf(expr) & (CallsRandom | CallsTime); calls != 0 {
		d.found = append(d.found, Default{Column: column, Expr: expr, Calls: calls})
	}
	return last
}

// constraint reads a constraint of the table. It only looks for a PRIMARY KEY of one integer
// column.
func (d *declaration) constraint(i, end int, integers map[string]bool) {
	if d.isWord(i, "CONSTRAINT") {
		i += 2
	}
	if !d.areWords(i, "PRIMARY", "KEY") || d.kind(i+2) != tokLeftParen || i+3 >= end {
		return
	}
	name := FoldName(unquote(d.text(i + 3)))
	for j := i + 4; j < d.closing(i+2); j++ {
		if d.kind(j) == tokComma {
			return
		}
	}
	if integers[name] {
		d.rowid = name
	}
}

// leavesOut returns the table of an INSERT that may leave out columns, for [Statement.LeavesOut].
// It also returns the offset of the parenthesis that opens the list of columns, or of the word
// DEFAULT.
func leavesOut(text string) (table string, pos int) {
	l := lexer{src: text}
	depth := 0
	tok := l.next()
	for ; tok.kind != tokEnd && (depth > 0 || tok.keyword != kwInto); tok = l.next() {
		switch tok.kind {
		case tokLeftParen:
			depth++
		case tokRightParen:
			depth--
		}
	}
	name := l.next()
	tok = l.next()
	if tok.kind == tokDot {
		name, tok = l.next(), l.next()
	}
	if tok.keyword == kwAs {
		l.next()
		tok = l.next()
	}
	defaultValues := tok.kind == tokWord && upperASCII(text[tok.pos:tok.end]) == "DEFAULT"
	if !isName(name) || tok.kind != tokLeftParen && !defaultValues {
		return "", 0
	}
	return FoldName(unquote(text[name.pos:name.end])), tok.pos
}

// WithDefaults returns an INSERT that sets the columns that it left out: each of its rows gets
// their defaults. Columns that it names keep their values. WithDefaults returns the statement
// unchanged if LeavesOut is "" or none of the columns is left out.
func (s Statement) WithDefaults(defaults []Default) Statement {
	if s.LeavesOut == "" || len(defaults) == 0 {
		return s
	}
	in := insertion{source: sourceOf(s.Text)}
	if !in.find() {
		return s
	}
	columns, values := in.leftOut(defaults)
	if columns == "" {
		return s
	}
	if in.open == 0 { // DEFAULT VALUES
		first, last := in.tokens[in.at], in.tokens[in.at+1]
		return s.edited([]edit{{first.pos, last.end, "(" + columns + ") VALUES (" + values + ")"}})
	}
	in.insert(in.at-1, ","+columns)
	in.rows("," + values)
	return s.edited(in.edits)
}

// insertion holds the positions of the parts of an INSERT.
type insertion struct {
	source
	open  int // the parenthesis that opens the list of columns, or 0
	at    int // the token after that list, or DEFAULT
	edits []edit
}

// find looks for the list of columns, or for DEFAULT VALUES.
func (in *insertion) find() bool {
	_, pos := leavesOut(in.src)
	i := slices.IndexFunc(in.tokens, func(tok token) bool { return tok.pos == pos })
	if in.kind(i) != tokLeftParen {
		in.at = i
		return in.areWords(i, "DEFAULT", "VALUES")
	}
	in.open, in.at = i, in.closing(i)+1
	return in.at < len(in.tokens)
}

// leftOut returns the columns with a default that the INSERT does not name, and their defaults.
// Both are SQL text, "" if there are none.
func (in *insertion) leftOut(defaults []Default) (columns, values string) {
	named := map[string]bool{}
	for i := in.open; in.open > 0 && i < in.at; i++ {
		if isName(in.tokens[i]) {
			named[FoldName(unquote(in.text(i)))] = true
		}
	}
	var names, exprs []string
	for _, d := range defaults {
		if !named[FoldName(d.Column)] {
			name := d.Column
			if !isBareName(name) {
				name = quoteName(name)
			}
			names = append(names, name)
			exprs = append(exprs, "("+d.Expr+")")
		}
	}
	return strings.Join(names, ","), strings.Join(exprs, ",")
}

// insert puts text in front of a token.
func (in *insertion) insert(i int, text string) {
	pos := in.tokens[i].pos
	in.edits = append(in.edits, edit{pos, pos, text})
}

// rows appends values to each row: to the rows of VALUES and to the result columns of a SELECT, or
// of each SELECT of a compound.
func (in *insertion) rows(values string) {
	for i := in.at; i < len(in.tokens); i++ {
		switch {
		case in.isWord(i, "RETURNING"), in.areWords(i, "ON", "CONFLICT"):
			return
		case in.isWord(i, "VALUES"):
			for in.kind(i+1) == tokLeftParen || in.kind(i+1) == tokComma {
				if i++; in.kind(i) == tokLeftParen {
					if i = in.closing(i); i < len(in.tokens) {
						in.insert(i, values)
					}
				}
			}
		case in.isWord(i, "SELECT"):
			i = in.selected(i)
			end := in.tokens[i].end
			in.edits = append(in.edits, edit{end, end, values})
		case in.kind(i) == tokLeftParen:
			i = in.closing(i)
		}
	}
}

// selected returns the last token of the result columns of a SELECT.
func (in *insertion) selected(i int) int {
	for ; i+1 < len(in.tokens) && !in.endsColumns(i+1); i++ {
		if in.kind(i+1) == tokLeftParen {
			i = min(in.closing(i+1), len(in.tokens)-1) - 1
		}
	}
	return i
}

// endsColumns reports whether a token ends the result columns of a SELECT.
func (in *insertion) endsColumns(i int) bool {
	switch {
	case in.isWord(i, "FROM"):
		// IS DISTINCT FROM is an operator.
		return !in.isWord(i-1, "DISTINCT")
	case in.isWord(i, "GROUP"):
		return !in.isWord(i-1, "WITHIN")
	}
	return in.isAnyWord(i, endsOfColumns)
}

var endsOfColumns = map[string]bool{
	"WHERE": true, "HAVING": true, "WINDOW": true, "ORDER": true, "LIMIT": true,
	"UNION": true, "INTERSECT": true, "EXCEPT": true, "RETURNING": true, "ON": true,
}

// KeepsOnFailure reports whether the text of a table or of a trigger has ON CONFLICT FAIL, OR FAIL or
// RAISE(FAIL …). A statement that fails by it keeps the rows that it has changed before
// (https://www.sqlite.org/lang_conflict.html).
func KeepsOnFailure(text string) bool {
	if !containsFold(text, "fail") {
		return false
	}
	src := sourceOf(text)
	for i := range src.tokens {
		if src.isWord(i, "FAIL") && (src.isWord(i-1, "CONFLICT") || src.isWord(i-1, "OR") || src.kind(i-1) == tokLeftParen && src.isWord(i-2, "RAISE")) {
			return true
		}
	}
	return false
}
