package sqltext

import "slices"

// GivenRows describes an INSERT that lists its rows: INSERT … VALUES (…), (…), or DEFAULT VALUES.
type GivenRows struct {
	Table string // without its schema, as FoldName returns it
	Rows  int    // number of rows, at least 1
	// RowOf is the row, from 0, in which each of the statement's Params stands. It is -1 for a
	// parameter behind the rows.
	RowOf []int
	// Head is the text before the word VALUES if the whole statement is INSERT INTO table [(columns)]
	// VALUES with rows of parameters alone: no conflict clause, no RETURNING, no other values. Else
	// it is "".
	Head string
	// Columns are the names of the columns as FoldName returns them. nil stands for all.
	Columns []string
	// Indexes are those of the parameters of each row, from 1, if the rows consist of parameters alone.
	// Else it is nil. All rows have the same number of them.
	Indexes [][]int
	// Slots are the places in a row whose values are parameters: its columns, if the rows consist of
	// parameters alone, else those parameters by themselves that stand in the last row. The elements of
	// a slot are, by rows, the positions of its parameters among the values, from 0, or -1.
	Slots [][]int
}

func (s *Statement) findGivenRows() *GivenRows {
	if !s.Insert || s.Keyword == "WITH" {
		return nil
	}
	g := givenRows{source: sourceOf(s.Text), statement: s}
	if !g.parse() {
		return nil
	}
	g.slots()
	return &g.given
}

// givenRows goes through the tokens of an INSERT.
type givenRows struct {
	source
	statement *Statement
	given     GivenRows
	bare      bool // so far there is nothing but what Head allows
	bareRows  bool // so far there are rows of parameters alone
	param     int  // of statement.Params, the next one
}

// parse reports whether the statement lists its rows.
func (g *givenRows) parse() bool {
	at := 1
	g.bare, g.bareRows = g.isWord(0, "INSERT"), true
	if g.isWord(at, "OR") {
		at, g.bare = at+2, false
	}
	if !g.isWord(at, "INTO") {
		return false
	}
	if g.given.Table, at = g.table(at + 1); g.given.Table == "" {
		return false
	}
	if g.isWord(at, "AS") {
		at, g.bare = at+2, false
	}
	if g.kind(at) == tokLeftParen {
		at = g.columns(at)
	}
	switch {
	case g.areWords(at, "DEFAULT", "VALUES"):
		g.given.Rows = 1
		g.rest()
		return true
	case !g.isWord(at, "VALUES"):
		return false
	}
	head := g.src[:g.tokens[at].pos]
	if at = g.rows(at + 1); at < len(g.tokens) {
		g.bare = false
	}
	g.rest()
	if g.bare && g.bareRows {
		g.given.Head = head
	}
	if !g.bareRows {
		g.given.Indexes = nil
	}
	return g.given.Rows > 0
}

// columns goes through the list of columns that opens at a token. It returns the token behind it.
func (g *givenRows) columns(open int) int {
	end := g.closing(open)
	for i := open + 1; i < end; i += 2 {
		g.given.Columns = append(g.given.Columns, FoldName(unquote(g.text(i))))
	}
	return end + 1
}

// rows goes through the rows that begin at a token. It returns the token behind them.
func (g *givenRows) rows(at int) int {
	for g.kind(at) == tokLeftParen {
		end := g.closing(at)
		g.row(at+1, end)
		g.given.Rows++
		at = end + 1
		if g.kind(at) != tokComma {
			break
		}
		at++
	}
	return at
}

// row goes through the values of a row, from one token up to another.
func (g *givenRows) row(at, end int) {
	var indexes []int
	for i := at; i < min(end, len(g.tokens)); i++ {
		if g.kind(i) == tokParam {
			g.given.RowOf = append(g.given.RowOf, g.given.Rows)
			indexes = append(indexes, g.statement.Params[g.param].Index)
			g.param++
		}
		expected := tokParam
		if (i-at)%2 == 1 {
			expected = tokComma
		}
		g.bareRows = g.bareRows && g.kind(i) == expected
	}
	g.bareRows = g.bareRows && len(indexes) > 0 && len(indexes)*2-1 == end-at &&
		(g.given.Rows == 0 || len(indexes) == len(g.given.Indexes[0]))
	g.given.Indexes = append(g.given.Indexes, indexes)
}

// rest marks the parameters behind the rows.
func (g *givenRows) rest() {
	for range g.statement.Params[g.param:] {
		g.given.RowOf = append(g.given.RowOf, -1)
	}
}

// slots finds the places in a row whose values are parameters.
func (g *givenRows) slots() {
	given := &g.given
	if given.Indexes != nil {
		for column := range given.Indexes[0] {
			one := make([]int, given.Rows)
			for row := range one {
				one[row] = given.Indexes[row][column] - 1
			}
			given.Slots = append(given.Slots, one)
		}
		return
	}
	for p, row := range given.RowOf {
		if row == given.Rows-1 {
			one := slices.Repeat([]int{-1}, given.Rows)
			one[row] = g.statement.Params[p].Index - 1
			given.Slots = append(given.Slots, one)
		}
	}
}

func (s *Statement) findTarget() string {
	src, at := sourceOf(s.Text), 1
	if src.isWord(at, "OR") {
		at += 2
	}
	switch s.Keyword {
	case "INSERT", "REPLACE", "DELETE":
		at++ // INTO or FROM
	case "UPDATE":
	default:
		return ""
	}
	name, _ := src.table(at)
	return name
}
