package sqltext

import (
	"strings"
	"unicode/utf8"
)

// Parse splits src into its statements. It leaves out empty ones, which have only space and
// comments. A text without any statement yields nil and no error.
//
// A semicolon ends a statement, except in the body of a trigger. As in sqlite3_complete, CREATE
// TRIGGER ends at a semicolon after an END that directly follows a semicolon, or at the end of the
// text.
//
// The error is an [*Error]. It reports a string, quoted identifier, blob or parameter without an
// end, /* as the last two bytes (any other comment may run to the end of the text), a NUL byte,
// text that is not UTF-8, and a parameter number outside 1 to MaxParams.
func Parse(src string) ([]Statement, error) {
	if err := checkBytes(src); err != nil {
		return nil, err
	}
	var stmts []Statement
	p := parser{lexer: lexer{src: src}}
	for p.statement() {
		stmts = append(stmts, p.stmt)
	}
	if p.err != nil {
		return nil, p.err
	}
	return stmts, nil
}

// checkBytes refuses text that cannot be sent unchanged: SQLite stops at a NUL, and JSON encoders
// silently replace invalid UTF-8.
func checkBytes(src string) error {
	if i := strings.IndexByte(src, 0); i >= 0 {
		return newError("NUL byte in SQL text at byte %d", i)
	}
	if utf8.ValidString(src) {
		return nil
	}
	valid := 0
	for {
		r, size := utf8.DecodeRuneInString(src[valid:])
		if r == utf8.RuneError && size <= 1 {
			return newError("SQL text is not UTF-8 at byte %d", valid)
		}
		valid += size
	}
}

// step is the part of a statement that the parser is in.
type step uint8

const (
	stepFirst    step = iota // the first token
	stepExplain              // after EXPLAIN
	stepWith                 // common table expressions
	stepConflict             // after the verb of a DML statement
	stepAction               // after INSERT OR, UPDATE OR
	stepCreate               // after CREATE
	stepPragma               // after PRAGMA
	stepBody                 // the rest
)

// trigger is the part of a CREATE TRIGGER that the parser is in.
type trigger uint8

const (
	noTrigger trigger = iota
	inTrigger
	afterSemicolon // inside, just after a semicolon
	afterEnd       // just after an END that followed a semicolon
)

// parser builds statements from their tokens, one after the other.
type parser struct {
	lexer
	progress
}

// progress is the state of the statement that is being read.
type progress struct {
	stmt  Statement
	start int     // offset of the first token in the source
	end   int     // offset just past the last token
	prev  token   // the token before the current one
	depth int     // of parentheses
	call  keyword // prev, if it is a function; the token after it decides
	step
	trigger
	explain   bool
	pragma    string         // name of the PRAGMA
	pragmaArg bool           // it has an argument, after = or in parentheses
	names     map[string]int // named parameters; nil while there are few
}

// statement reads the next statement into stmt. It returns false at the end of the text and after
// an error.
func (p *parser) statement() bool {
	tok := p.next()
	for tok.kind == tokSemicolon {
		tok = p.next()
	}
	if tok.kind == tokEnd {
		return false
	}
	p.progress = progress{start: tok.pos}
	for tok.kind != tokEnd {
		if tok.kind == tokSemicolon && (p.trigger == noTrigger || p.trigger == afterEnd) {
			break
		}
		p.token(tok)
		tok = p.next()
	}
	p.finish()
	return p.err == nil
}

// token handles the next token of the statement.
func (p *parser) token(tok token) {
	if p.step != stepBody {
		p.begin(tok)
	}
	if p.trigger != noTrigger {
		p.body(tok)
	}
	if p.call != noKeyword {
		p.stmt.Calls |= callBefore(p.call, tok)
		p.call = noKeyword
	}
	switch tok.kind {
	case tokLeftParen:
		p.depth++
	case tokRightParen:
		p.depth--
	case tokParam:
		p.param(tok)
	case tokDot:
		if p.prev.keyword == kwTemp && p.depth == 0 && p.stmt.Keyword == "CREATE" {
			p.stmt.Temp = true
		}
	case tokStar:
		p.stmt.Star = p.stmt.Star || p.isStar()
	case tokWord:
		if tok.keyword == kwReturning {
			p.stmt.SaysReturning = true
			if p.isReturning() {
				p.stmt.Returning = tok.end - p.start
			}
		}
		if calledBy[tok.keyword] != 0 && mayCall(p.prev, tok.keyword) {
			p.call = tok.keyword
		}
	case tokQuoted:
		if function := quotedFunction(p.src, tok); function != noKeyword && mayCall(p.prev, function) {
			p.call = function
		}
	}
	if tok.kind != tokSemicolon { // an unfinished trigger may end in semicolons
		p.end = tok.end
	}
	p.prev = tok
}

// begin handles the tokens at the start of the statement, until its Kind is known.
func (p *parser) begin(tok token) {
	switch p.step {
	case stepFirst:
		p.first(tok)
	case stepExplain:
		if tok.keyword != kwQuery && tok.keyword != kwPlan {
			p.verb(tok.keyword)
		}
	case stepWith:
		// Both a definition and a column list end in a parenthesis. After a definition comes a
		// comma or the verb, after a column list AS.
		if p.depth == 0 && p.prev.kind == tokRightParen && tok.kind != tokComma && tok.keyword != kwAs {
			p.step = stepBody
			switch tok.keyword {
			case kwSelect, kwValues, kwInsert, kwReplace, kwUpdate, kwDelete:
				p.verb(tok.keyword)
			}
		}
	case stepConflict:
		p.step = stepBody
		if tok.keyword == kwOr {
			p.step = stepAction
		}
	case stepAction:
		p.step = stepBody
		p.stmt.ConflictFail = tok.keyword == kwFail || tok.keyword == kwRollback
	case stepCreate:
		if tok.keyword == kwTemp || tok.keyword == kwTemporary {
			p.stmt.Temp = true
			break
		}
		p.step = stepBody
		if tok.keyword == kwTrigger {
			p.trigger = inTrigger
		}
	case stepPragma:
		p.pragmaToken(tok)
	}
}

// first handles the first token of the statement.
func (p *parser) first(tok token) {
	if tok.kind == tokWord {
		p.stmt.Keyword = keywords[tok.keyword].name
		if tok.keyword == noKeyword {
			p.stmt.Keyword = upperASCII(p.src[tok.pos:tok.end])
		}
	}
	if tok.keyword == kwExplain {
		p.explain = true
		p.step = stepExplain
		return
	}
	p.verb(tok.keyword)
}

// verb handles the word that says what the statement does.
func (p *parser) verb(kw keyword) {
	p.stmt.Kind = keywords[kw].kind
	p.stmt.Insert = kw == kwInsert || kw == kwReplace
	switch kw {
	case kwWith:
		p.step = stepWith
	case kwInsert, kwUpdate:
		p.step = stepConflict
	case kwCreate:
		p.step = stepCreate
	case kwPragma:
		p.step = stepPragma
	default:
		p.step = stepBody
	}
}

// pragmaToken handles the tokens of PRAGMA schema.name up to the argument.
func (p *parser) pragmaToken(tok token) {
	switch tok.kind {
	case tokWord, tokQuoted:
		p.pragma = p.src[tok.pos:tok.end]
	case tokDot:
	case tokEqual, tokLeftParen:
		p.pragmaArg = true
		p.step = stepBody
	default:
		p.step = stepBody
	}
}

// body looks for the end of a trigger.
func (p *parser) body(tok token) {
	switch {
	case tok.kind == tokSemicolon:
		p.trigger = afterSemicolon
	case tok.keyword == kwEnd && p.trigger == afterSemicolon:
		p.trigger = afterEnd
	default:
		p.trigger = inTrigger
	}
}

// isReturning reports whether the word RETURNING begins a clause here.
func (p *parser) isReturning() bool {
	return p.stmt.Kind == Write && p.depth == 0 && p.stmt.Returning == 0
}

// isStar reports whether a * is a result column of a SELECT here. The token before it tells: a
// multiplication follows an operand, and the * of count(*) follows a parenthesis. The list of a
// RETURNING clause looks the same, but comes last and outside of parentheses.
func (p *parser) isStar() bool {
	if p.stmt.Returning > 0 && p.depth == 0 {
		return false
	}
	switch p.prev.keyword {
	case kwSelect, kwDistinct, kwAll:
		return true
	}
	return p.prev.kind == tokComma || p.prev.kind == tokDot
}

// finish completes the statement after its last token.
func (p *parser) finish() {
	p.stmt.Calls |= callBefore(p.call, token{})
	p.stmt.Text = p.src[p.start:p.end]
	if p.stmt.Kind == Pragma && pragmaReads(p.pragma, p.pragmaArg) {
		p.stmt.Kind = Read
	}
	if p.explain {
		if p.stmt.Kind != Pragma { // SQLite runs a PRAGMA when it prepares it, even after EXPLAIN
			p.stmt.Kind = Read
		}
		p.stmt.Insert = false
		p.stmt.Returning = 0
		p.stmt.ConflictFail = false
		p.stmt.Temp = false
	}
	p.stmt.Plain = p.stmt.Returning > 0 && isPlain(p.stmt.Text)
	if p.stmt.Insert {
		p.stmt.LeavesOut, _ = leavesOut(p.stmt.Text)
	}
}

// param numbers a parameter as SQLite does.
func (p *parser) param(tok token) {
	text := p.src[tok.pos:tok.end]
	param := Param{Pos: tok.pos - p.start, End: tok.end - p.start}
	switch {
	case text == "?":
		param.Index = p.stmt.NumParams + 1
	case text[0] == '?':
		param.Index = paramNumber(text[1:])
		if param.Index < 1 || param.Index > MaxParams {
			p.fail("parameter number at byte %d is not between 1 and %d", tok.pos, MaxParams)
			return
		}
	default:
		param.Name = text[1:]
		param.Index = p.nameIndex(text)
	}
	if param.Index > MaxParams {
		p.fail("parameter at byte %d is one too many: a statement takes up to %d", tok.pos, MaxParams)
		return
	}
	if p.stmt.Params == nil {
		p.stmt.Params = make([]Param, 0, 4)
	}
	p.stmt.Params = append(p.stmt.Params, param)
	p.stmt.NumParams = max(p.stmt.NumParams, param.Index)
}

// manyParams is the number of parameters from which a map is faster than comparing names.
const manyParams = 32

// nameIndex returns the number of a named parameter, given with its prefix. A new name gets the
// next free number.
func (p *parser) nameIndex(text string) int {
	if len(p.stmt.Params) < manyParams {
		for _, seen := range p.stmt.Params {
			if p.written(seen) == text {
				return seen.Index
			}
		}
		return p.stmt.NumParams + 1
	}
	if p.names == nil {
		p.names = make(map[string]int, 2*manyParams)
		for _, seen := range p.stmt.Params {
			p.names[p.written(seen)] = seen.Index
		}
	}
	index, ok := p.names[text]
	if !ok {
		index = p.stmt.NumParams + 1
		p.names[text] = index
	}
	return index
}

// written returns a parameter as written in the source.
func (p *parser) written(param Param) string {
	return p.src[p.start+param.Pos : p.start+param.End]
}

// paramNumber returns the value of digits. If it is above MaxParams the result is some number above
// MaxParams.
func paramNumber(digits string) int {
	n := 0
	for i := 0; i < len(digits) && n <= MaxParams; i++ {
		n = n*10 + int(digits[i]-'0')
	}
	return n
}
