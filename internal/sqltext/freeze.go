package sqltext

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// calledBy maps each keyword to the functions that it calls: when a parenthesis follows, or always
// for CURRENT_TIME and the like.
var calledBy = [len(keywords)]Calls{
	kwChanges:          CallsChanges,
	kwCurrentDate:      CallsTime,
	kwCurrentTime:      CallsTime,
	kwCurrentTimestamp: CallsTime,
	kwDate:             CallsTime,
	kwDatetime:         CallsTime,
	kwJulianday:        CallsTime,
	kwLastInsertRowid:  CallsLastInsertRowid,
	kwRandom:           CallsRandom,
	kwRandomblob:       CallsRandom,
	kwStrftime:         CallsTime,
	kwTime:             CallsTime,
	kwTimediff:         CallsTime,
	kwTotalChanges:     CallsTotalChanges,
	kwUnixepoch:        CallsTime,
}

// currentLayouts are the formats of CURRENT_TIME and the like.
var currentLayouts = map[keyword]string{
	kwCurrentDate:      time.DateOnly,
	kwCurrentTime:      time.TimeOnly,
	kwCurrentTimestamp: time.DateTime,
}

// mayCall reports whether a word of calledBy can be a call after the token before it. After INTO
// and WITH a name is that of a table, and a parenthesis opens its columns.
func mayCall(before token, word keyword) bool {
	switch before.keyword {
	case kwInto, kwWith:
		return false
	case kwAs:
		return !isCurrent(word)
	}
	return before.kind != tokDot
}

// callBefore returns the functions that a word calls, given the token after it. The word can be a
// call by mayCall.
func callBefore(word keyword, after token) Calls {
	if isCurrent(word) == (after.kind == tokLeftParen) || isCurrent(word) && after.kind == tokDot {
		return 0
	}
	return calledBy[word]
}

// quotedFunction returns the function of calledBy that a quoted name calls if a parenthesis
// follows, else noKeyword. CURRENT_TIME and the like are plain names when they are quoted.
func quotedFunction(src string, tok token) keyword {
	if src[tok.pos] == '\'' || tok.end-tok.pos < 3 {
		return noKeyword
	}
	function := lookupKeyword(src[tok.pos+1 : tok.end-1])
	if calledBy[function] == 0 || isCurrent(function) {
		return noKeyword
	}
	return function
}

func isCurrent(kw keyword) bool {
	return kw == kwCurrentDate || kw == kwCurrentTime || kw == kwCurrentTimestamp
}

// nowLayout is the format of a time for SQLite's date functions, which count milliseconds.
const nowLayout = "2006-01-02 15:04:05.000"

// maxRandomBlob is the largest randomblob that Freeze replaces by a literal.
const maxRandomBlob = 1_000_000

// Reasons why a statement cannot be frozen.
var (
	errDeepNow      = errors.New("'now' within an expression in a date function would be another time on each node: write 'now' as an argument of its own")
	errRandomOrder  = errors.New("ORDER BY random() in a write cannot be replicated: select the rows first")
	errRandomWhere  = errors.New("random() in the condition of a write would be the same for all rows: select the rows first")
	errRandomCreate = errors.New("random() or randomblob() in CREATE TABLE … AS would be the same in all rows: create the table, and pass the values as parameters of INSERT")
	errRandomMany   = errors.New("random() in a join, a subquery of rows, or an aggregate of a write would be the same for all rows: select the rows first")
	errRandomBlob   = errors.New("randomblob in a write takes a plain number of at most 1000000: compute the value in the program")
)

// Freeze returns the statement with literals in place of calls that differ from run to run and from
// node to node. All runs then do the same. Replaced calls are no longer in Calls. A statement
// without such calls is returned unchanged.
//
// The present is replaced in a Read, a Write and CREATE TABLE … AS. That is CURRENT_TIME,
// CURRENT_DATE and CURRENT_TIMESTAMP, and in date functions 'now', 'subsec' and a missing time.
// random() and randomblob(n) are replaced in a Write and in CREATE TABLE … AS without a FROM. Each
// call in the text becomes one value. A Read keeps them, because they give each row a value of its
// own. Other statements keep all calls, which belong to a definition or to the output of EXPLAIN.
//
// A zero now keeps the calls for the present, and a nil random keeps random numbers. Freeze returns
// an error if a write has a call that cannot be replaced.
func (s Statement) Freeze(now time.Time, random func() int64) (Statement, error) {
	if s.Calls&(CallsTime|CallsRandom) == 0 || s.Kind != Read && s.Kind != Write && s.Kind != Schema || s.Keyword == "EXPLAIN" || s.Keyword == "PRAGMA" {
		return s, nil
	}
	f := freezer{source: sourceOf(s.Text), now: now, random: random, writes: s.Kind != Read}
	if s.Kind == Schema {
		if !f.isCreateAs() {
			return s, nil
		}
		f.selects = f.has("FROM")
	}
	if err := f.run(); err != nil {
		return s, err
	}
	return s.edited(f.edits), nil
}

// RandomPerRow reports whether SQLite takes a new random number for each row that the statement
// writes, while Freeze puts one for all rows. That is true of every call except those in the VALUES
// of an INSERT.
func (s Statement) RandomPerRow() bool {
	if s.Kind != Write || s.Calls&CallsRandom == 0 {
		return false
	}
	f := freezer{source: sourceOf(s.Text)}
	given := s.Insert && s.Keyword != "WITH"
	for i, tok := range f.tokens {
		switch tok.keyword {
		case kwSelect, kwUpdate, kwReturning:
			given = false
		}
		if !given && f.isCall(i) && calledBy[tok.keyword] == CallsRandom {
			return true
		}
	}
	return false
}

// TimeParams returns the Index of each parameter within the time argument of a date function. Its
// value could be 'now'. The result is nil if there is none.
func (s Statement) TimeParams() []int {
	if s.Calls&CallsTime == 0 || s.NumParams == 0 {
		return nil
	}
	f := freezer{source: sourceOf(s.Text)}
	var indexes []int
	for i, tok := range f.tokens {
		if !f.isCall(i) || calledBy[tok.keyword] != CallsTime || isCurrent(tok.keyword) {
			continue
		}
		for _, arg := range timeArgs(tok.keyword, f.args(i+1)) {
			for _, part := range f.tokens[arg.first : arg.last+1] {
				if part.kind == tokParam {
					indexes = append(indexes, s.paramAt(part.pos))
				}
			}
		}
	}
	return indexes
}

// paramAt returns the Index of the parameter at an offset.
func (s Statement) paramAt(pos int) int {
	i, ok := slices.BinarySearchFunc(s.Params, pos, func(p Param, pos int) int { return p.Pos - pos })
	if !ok {
		return 0
	}
	return s.Params[i].Index
}

// tokensOf returns the tokens of one statement. A quoted name that calls a function has the keyword
// of that function.
func tokensOf(text string) []token {
	l := lexer{src: text}
	list := make([]token, 0, len(text)/4+1)
	for tok := l.next(); tok.kind != tokEnd; tok = l.next() {
		if n := len(list); tok.kind == tokLeftParen && n > 0 && list[n-1].kind == tokQuoted {
			list[n-1].keyword = quotedFunction(text, list[n-1])
		}
		list = append(list, tok)
	}
	return list
}

// freezer finds the calls to replace in a statement.
type freezer struct {
	source
	now    time.Time
	random func() int64
	writes bool
	// selects is set for a CREATE TABLE … AS whose SELECT has a FROM. It may make several rows from
	// one call.
	selects bool
	edits   []edit       // edits do not overlap
	deep    []int        // tokens 'now' and the like inside a longer time argument
	whole   map[int]bool // tokens 'now' and the like that are a whole argument of a call
}

// isCreateAs reports whether the statement is a CREATE TABLE … AS SELECT.
func (f *freezer) isCreateAs() bool {
	depth, table := 0, false
	for i, tok := range f.tokens {
		switch {
		case tok.kind == tokLeftParen:
			depth++
		case tok.kind == tokRightParen:
			depth--
		case tok.keyword == kwTable && i <= 2:
			table = true
		case tok.keyword == kwAs && depth == 0 && table:
			return true
		}
	}
	return false
}

// has reports whether the statement contains an unquoted word, given in upper case.
func (f *freezer) has(upper string) bool {
	return slices.ContainsFunc(f.tokens, func(tok token) bool { return tok.kind == tokWord && upperASCII(f.src[tok.pos:tok.end]) == upper })
}

// isCall reports whether token i is the name of a called function, or CURRENT_TIME and the like.
func (f *freezer) isCall(i int) bool {
	if calledBy[f.tokens[i].keyword] == 0 {
		return false
	}
	var before, after token
	if i > 0 {
		before = f.tokens[i-1]
	}
	if i+1 < len(f.tokens) {
		after = f.tokens[i+1]
	}
	return mayCall(before, f.tokens[i].keyword) && callBefore(f.tokens[i].keyword, after) != 0
}

// run walks over the tokens.
func (f *freezer) run() error {
	depth := 0
	var around clauses
	for i, tok := range f.tokens {
		switch tok.kind {
		case tokLeftParen:
			depth++
		case tokRightParen:
			depth--
		}
		around.follow(tok, depth)
		if !f.isCall(i) {
			continue
		}
		var err error
		switch calledBy[tok.keyword] {
		case CallsTime:
			if !f.now.IsZero() {
				f.freezeTime(i)
			}
		case CallsRandom:
			if f.random == nil {
				continue
			}
			if f.writes {
				err = around.forEachRow()
				if err == nil && f.isOfMany(i) {
					err = errRandomMany
				}
			}
			if err == nil && f.selects {
				err = errRandomCreate
			}
			if err == nil {
				err = f.freezeRandom(i)
			}
		}
		if err != nil {
			return err
		}
	}
	// The edit of an outer call comes before those of calls among its arguments.
	slices.SortFunc(f.edits, func(a, b edit) int { return a.pos - b.pos })
	return f.checkDeep()
}

// clauses are the clauses around a token, the innermost last.
type clauses []clause

// clause is a part of a statement. It ends where the depth of parentheses falls below its own, or
// where another clause begins at the same depth.
type clause struct {
	depth int
	word  keyword // first word of the clause
}

// follow updates the clauses with the next token, which is at the given depth.
func (c *clauses) follow(tok token, depth int) {
	for n := len(*c); n > 0; n = len(*c) {
		last := (*c)[n-1]
		if depth > last.depth || depth == last.depth && (last.word == kwSelect || !beginsClause(tok.keyword)) {
			break
		}
		*c = (*c)[:n-1]
	}
	if beginsClause(tok.keyword) {
		*c = append(*c, clause{depth, tok.keyword})
	}
}

// beginsClause reports whether a word begins a clause in which a random number can have another
// meaning than before.
func beginsClause(word keyword) bool {
	switch word {
	case kwSelect, kwWhere, kwHaving, kwOrder, kwLimit, kwReturning, kwValues, kwUpdate:
		return true
	}
	return false
}

// forEachRow returns an error if one random number for all rows would be wrong here: in the WHERE
// or HAVING of a write, or in an ORDER BY around the call.
func (c clauses) forEachRow() error {
	for i, around := range c {
		switch innermost := i == len(c)-1; {
		case around.word == kwOrder:
			return errRandomOrder
		case innermost && (around.word == kwWhere || around.word == kwHaving):
			return errRandomWhere
		}
	}
	return nil
}

// isOfMany reports whether SQLite calls the function of token i for many rows that are not the rows
// of the statement itself: those of a join, a subquery or an aggregate.
func (f *freezer) isOfMany(i int) bool {
	// joins: no word between here and the call ends a join. once: the call stands in a LIMIT.
	joins, once := true, false
	for ; i >= 0; i-- {
		switch {
		case f.tokens[i].kind == tokRightParen:
			i = f.opening(i)
		case f.tokens[i].kind == tokLeftParen:
			if f.isAnyWord(i-1, aggregates) || !once && f.isWord(i+1, "SELECT") && f.selectsFrom(i+1) {
				return true
			}
			joins, once = true, false
		case f.isWord(i, "LIMIT"):
			once = true
		case f.isAnyWord(i, selected):
			joins = false
		case joins && f.isWord(i, "ON") && !f.isWord(i+1, "CONFLICT"):
			return true
		}
	}
	return false
}

// selected are the words that end the join before them.
var selected = map[string]bool{"SELECT": true, "VALUES": true, "SET": true}

// selectsFrom reports whether the SELECT at a token has a FROM.
func (s *source) selectsFrom(i int) bool {
	for ; i < len(s.tokens) && s.kind(i) != tokRightParen; i++ {
		switch {
		case s.kind(i) == tokLeftParen:
			i = s.closing(i)
		case s.isWord(i, "FROM") && !s.isWord(i-1, "DISTINCT"):
			return true
		}
	}
	return false
}

// aggregates are functions of many rows (https://www.sqlite.org/lang_aggfunc.html).
var aggregates = map[string]bool{
	"AVG": true, "COUNT": true, "GROUP_CONCAT": true, "STRING_AGG": true, "SUM": true, "TOTAL": true, "MIN": true, "MAX": true,
	"JSON_GROUP_ARRAY": true, "JSON_GROUP_OBJECT": true, "JSONB_GROUP_ARRAY": true, "JSONB_GROUP_OBJECT": true,
	"MEDIAN": true, "PERCENTILE": true, "PERCENTILE_CONT": true, "PERCENTILE_DISC": true,
}

// checkDeep returns an error for a 'now' inside a longer time argument. A 'now' that is a whole
// argument of an inner call is fine: it was replaced, or it is no time there.
func (f *freezer) checkDeep() error {
	for _, i := range f.deep {
		if f.writes && !f.whole[i] {
			return errDeepNow
		}
	}
	return nil
}

// argument holds the tokens of an argument, from first to last. It is empty if last is before
// first.
type argument struct{ first, last int }

// args returns the arguments of the call whose parenthesis is token open.
func (f *freezer) args(open int) (args []argument) {
	depth, first := 0, open+1
	for i := open; i < len(f.tokens); i++ {
		switch f.tokens[i].kind {
		case tokLeftParen:
			depth++
		case tokRightParen:
			depth--
		}
		if depth == 0 || depth == 1 && f.tokens[i].kind == tokComma {
			args = append(args, argument{first, i - 1})
			first = i + 1
		}
		if depth == 0 {
			return args
		}
	}
	return nil // unclosed: SQLite reports it
}

// timeArgs returns the arguments of a date function that are times.
func timeArgs(function keyword, args []argument) []argument {
	switch {
	case function == kwStrftime && len(args) > 1:
		return args[1:2]
	case function == kwStrftime, len(args) == 0:
		return nil
	case function == kwTimediff:
		return args
	}
	return args[:1]
}

// freezeTime replaces the present in the word or call at token i.
func (f *freezer) freezeTime(i int) {
	tok := f.tokens[i]
	if isCurrent(tok.keyword) {
		f.edits = append(f.edits, edit{tok.pos, tok.end, Quote(f.now.UTC().Format(currentLayouts[tok.keyword]))})
		return
	}
	now := Quote(f.now.UTC().Format(nowLayout))
	args := f.args(i + 1)
	if tok.keyword == kwStrftime && len(args) == 1 && args[0].last >= args[0].first {
		end := f.tokens[args[0].last].end
		f.edits = append(f.edits, edit{end, end, "," + now})
	}
	for _, arg := range args {
		if arg.first == arg.last && (f.saysNow(arg.first) || f.saysSubsec(arg.first)) {
			if f.whole == nil {
				f.whole = make(map[int]bool)
			}
			f.whole[arg.first] = true
		}
	}
	for _, arg := range timeArgs(tok.keyword, args) {
		switch {
		case arg.last < arg.first:
			if len(args) == 1 && tok.keyword != kwTimediff { // no time is given
				pos := f.tokens[arg.first].pos
				f.edits = append(f.edits, edit{pos, pos, now})
			}
		case arg.last > arg.first:
			for j := arg.first; j <= arg.last; j++ {
				if f.saysNow(j) || f.saysSubsec(j) {
					f.deep = append(f.deep, j)
				}
			}
		case f.saysNow(arg.first), f.saysSubsec(arg.first) && tok.keyword == kwTimediff: // it takes no modifier
			f.edits = append(f.edits, edit{f.tokens[arg.first].pos, f.tokens[arg.first].end, now})
		case f.saysSubsec(arg.first):
			f.edits = append(f.edits, edit{f.tokens[arg.first].pos, f.tokens[arg.first].end, now + ",'subsec'"})
		}
	}
}

// saysNow reports whether token i is the text 'now'.
func (f *freezer) saysNow(i int) bool { return f.says(i, "now") }

// saysSubsec reports whether token i is the text 'subsec', which means the present with fractions
// of a second.
func (f *freezer) saysSubsec(i int) bool { return f.says(i, "subsec") || f.says(i, "subsecond") }

// says reports whether token i is the given text. SQLite reads a name in double quotes as a text if
// there is no such column. Its date functions read a BLOB as a text.
func (f *freezer) says(i int, text string) bool {
	tok := f.tokens[i]
	if written := f.text(i); tok.kind == tokOther && len(written) > 2 && written[1] == '\'' {
		blob, err := hex.DecodeString(written[2 : len(written)-1])
		return err == nil && equalFold(string(blob), text)
	}
	if tok.kind != tokQuoted || f.src[tok.pos] != '\'' && f.src[tok.pos] != '"' {
		return false
	}
	return equalFold(f.src[tok.pos+1:tok.end-1], text)
}

// freezeRandom replaces the call at token i.
func (f *freezer) freezeRandom(i int) error {
	args := f.args(i + 1)
	if !f.writes || len(args) != 1 {
		return nil // SQLite reports wrong arguments
	}
	arg := args[0]
	empty := arg.last < arg.first
	closing := f.tokens[arg.last+1]
	whole := edit{pos: f.tokens[i].pos, end: closing.end}
	switch {
	case f.tokens[i].keyword == kwRandom && empty:
		// A number alone in ORDER BY or GROUP BY would be that of a column, so write an expression.
		whole.text = "(0+" + strconv.FormatInt(f.random(), 10) + ")"
	case f.tokens[i].keyword == kwRandom || empty:
		return nil
	default:
		n, err := strconv.ParseUint(f.src[f.tokens[arg.first].pos:f.tokens[arg.last].end], 10, 32)
		if err != nil || n > maxRandomBlob {
			return errRandomBlob
		}
		whole.text = f.randomBlob(max(int(n), 1))
	}
	f.edits = append(f.edits, whole)
	return nil
}

func (f *freezer) randomBlob(n int) string {
	blob := make([]byte, 0, n+8)
	for len(blob) < n {
		r := uint64(f.random())
		blob = append(blob, byte(r), byte(r>>8), byte(r>>16), byte(r>>24), byte(r>>32), byte(r>>40), byte(r>>48), byte(r>>56))
	}
	return "x'" + hex.EncodeToString(blob[:n]) + "'"
}

// edit replaces the text from pos to end.
type edit struct {
	pos, end int
	text     string
}

// edited returns the statement with edits applied. They must be in order and must not overlap.
// Parameters keep their numbers.
func (s Statement) edited(edits []edit) Statement {
	if len(edits) == 0 {
		return s
	}
	w := operandWriter{buf: make([]byte, 0, len(s.Text)+32*len(edits))}
	out, done := s, 0
	shift := func(pos int) int { return pos - done + len(w.buf) }
	params := make([]Param, 0, len(s.Params))
	keep := func(upTo int) {
		for _, p := range s.Params[len(params):] {
			if p.Pos >= upTo {
				break
			}
			p.Pos, p.End = shift(p.Pos), shift(p.End)
			params = append(params, p)
		}
		if s.Returning > done && s.Returning <= upTo {
			out.Returning = shift(s.Returning)
		}
		w.buf = append(w.buf, s.Text[done:upTo]...)
		done = upTo
	}
	for _, e := range edits {
		keep(e.pos)
		if strings.HasPrefix(e.text, ",") {
			w.buf = append(w.buf, e.text...)
		} else {
			w.operand(e.text, s.Text[e.end:])
		}
		done = e.end
	}
	keep(len(s.Text))
	out.Text = string(w.buf)
	if len(params) > 0 {
		out.Params = params
	}
	out.Calls = callsOf(out.Text)
	out.Plain = out.Returning > 0 && isPlain(out.Text)
	return out
}

// callsOf returns the functions that a statement calls.
func callsOf(text string) (calls Calls) {
	f := freezer{source: sourceOf(text)}
	for i, tok := range f.tokens {
		if f.isCall(i) {
			calls |= calledBy[tok.keyword]
		}
	}
	return calls
}

// equalFold reports whether a in lower case is lower. Like SQLite it folds ASCII letters only.
func equalFold(a, lower string) bool {
	if len(a) != len(lower) {
		return false
	}
	for i := range len(a) {
		c := a[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
