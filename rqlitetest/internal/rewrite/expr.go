package rewrite

import (
	"strconv"
	"strings"
)

// precedence is the binding strength of a binary operator, 0 for any other token. rqlite's parser
// gives none to operators of two words, such as NOT LIKE. So their right side extends as far as
// possible.
func precedence(t token) int {
	if t.kind != kindWord && t.kind != kindOp {
		return 0
	}
	switch t.word {
	case "OR":
		return 1
	case "AND":
		return 2
	case "NOT":
		return 3
	case "IS", "MATCH", "LIKE", "GLOB", "REGEXP", "BETWEEN", "IN", "ISNULL", "NOTNULL", "!=", "=":
		return 4
	case ">", "<=", "<", ">=":
		return 5
	case "ESCAPE":
		return 6
	case "&", "|", "<<", ">>":
		return 7
	case "+", "-":
		return 8
	case "*", "/", "%":
		return 9
	case "||", "->", "->>":
		return 10
	case "~":
		return 11
	default:
		return 0
	}
}

func (p *parser) expr() (frag, error) { return p.binary(1) }

// binary reads operators of at least the given precedence.
func (p *parser) binary(least int) (frag, error) {
	x, err := p.operand()
	if err != nil {
		return x, err
	}
	if p.accept("COLLATE") {
		name, err := p.name("collation name")
		if err != nil {
			return x, err
		}
		x = cat(x, " COLLATE ", name)
	}
	for precedence(p.tok) >= least {
		if x, err = p.afterOperator(x); err != nil {
			return x, err
		}
	}
	return x, nil
}

// afterOperator reads an operator and what follows it.
func (p *parser) afterOperator(x frag) (frag, error) {
	strength := precedence(p.tok)
	op, err := p.operator()
	if err != nil {
		return x, err
	}
	if strings.Contains(op, " ") {
		strength = 0
	}
	switch op {
	case "IS NULL", "NOT NULL":
		return cat(x.kept(), " ", op), nil // rqlite replaces nothing inside
	case "IN", "NOT IN":
		y, err := p.inSet()
		return binaryOf(x, op, y), err
	case "BETWEEN", "NOT BETWEEN":
		y, err := p.binary(1)
		if err == nil && y.op != "AND" {
			err = p.expected("range expression")
		}
		return binaryOf(x, op, y), err
	default:
		y, err := p.binary(strength + 1)
		return binaryOf(x, op, y), err
	}
}

func binaryOf(x frag, op string, y frag) frag {
	f := cat(x, " ", op, " ", y)
	f.op = op
	if op == "ESCAPE" || op == "~" {
		f.broken = "sql.BinaryExpr.String(): invalid op " + op
	}
	return f
}

// operator reads a binary operator of one or two words.
func (p *parser) operator() (string, error) {
	op := p.take()
	switch op.word {
	case "ISNULL":
		return "IS NULL", nil
	case "NOTNULL":
		return "NOT NULL", nil
	case "IS":
		if p.accept("NOT") {
			if p.accept("NULL") {
				return "NOT NULL", nil
			}
			return "IS NOT", nil
		}
		if p.accept("NULL") {
			return "IS NULL", nil
		}
	case "NOT":
		for _, second := range []string{"IN", "LIKE", "GLOB", "REGEXP", "MATCH", "BETWEEN", "NULL"} {
			if p.accept(second) {
				return "NOT " + second, nil
			}
		}
		return "", p.expected("IN, LIKE, GLOB, REGEXP, MATCH, BETWEEN, IS/NOT NULL")
	}
	return op.word, nil
}

// inSet reads what may follow IN: a list, a table or a table-valued function.
func (p *parser) inSet() (frag, error) {
	if p.tok.is("(") {
		p.take()
		var items []frag
		for !p.tok.is(")") {
			x, err := p.expr()
			if err != nil {
				return frag{}, err
			}
			items = append(items, x)
			if p.tok.is(")") {
				break
			}
			if !p.accept(",") {
				return frag{}, p.expected("comma or right paren")
			}
		}
		p.take()
		return cat("(", list(items), ")"), nil
	}
	if !p.tok.isPlainName() {
		return frag{}, p.expected("left paren or table name")
	}
	name := p.take()
	switch {
	case p.tok.is("("):
		return p.call(name)
	case p.accept("."):
		table, err := p.name("table name")
		if err == nil && p.tok.is("(") {
			err = errSchemaCall
		}
		return cat(ident(name), ".", table), err
	default:
		return ident(name), nil
	}
}

// maxDepth bounds the nesting. SQLite's own bound is 1000 by default, so SQLite refuses deeper
// statements anyway.
const maxDepth = 10_000

// operand reads an expression without binary operators.
func (p *parser) operand() (frag, error) {
	if p.depth++; p.depth > maxDepth {
		return frag{}, p.expected("fewer levels")
	}
	defer func() { p.depth-- }()
	t := p.take()
	switch t.kind {
	case kindString:
		return lit(quoteText(t.lit)), nil
	case kindBlob:
		return lit("x'" + t.lit + "'"), nil
	case kindNumber, kindBind:
		return lit(t.lit), nil
	case kindIdent, kindWord, kindOp:
	default:
		return frag{}, p.expectedAt(t, "expression")
	}
	if t.isOperandName() {
		switch {
		case p.tok.is("."):
			return p.qualified(t)
		case p.tok.is("("):
			return p.call(t)
		}
		return ident(t), nil
	}
	switch t.word {
	case "NULL", "TRUE", "FALSE":
		return lit(t.word), nil
	case "+", "-", "~":
		x, err := p.operand()
		return cat(t.word, x), err
	case "(":
		return p.parenthesized()
	case "CAST":
		return p.cast()
	case "CASE":
		return p.caseExpr()
	case "RAISE":
		return p.raise()
	case "NOT":
		if p.tok.is("EXISTS") {
			x, err := p.exists()
			return cat("NOT ", x), err
		}
		x, err := p.operand()
		return cat("NOT ", x), err
	case "EXISTS":
		p.untake(t)
		return p.exists()
	case "SELECT":
		p.untake(t)
		x, err := p.selectStmt(false)
		return x.kept(), err // rqlite replaces nothing inside
	}
	return frag{}, p.expectedAt(t, "expression")
}

// qualified reads the rest of a.b, a.b.c, a.* or a.b.*.
func (p *parser) qualified(first token) (frag, error) {
	out := ident(first)
	for range 2 {
		if !p.accept(".") {
			break
		}
		if p.accept("*") {
			f := cat(out, ".*")
			f.op = "*"
			return f, nil
		}
		if !p.tok.isPlainName() {
			return out, p.expected("column name")
		}
		out = cat(out, ".", ident(p.take()))
	}
	return out, nil
}

// parenthesized reads the rest of (x) or (x, y). After a single expression it takes any token for
// the closing parenthesis.
func (p *parser) parenthesized() (frag, error) {
	x, err := p.expr()
	if err != nil {
		return x, err
	}
	items := []frag{x}
	if !p.tok.is(",") {
		p.take()
		return cat("(", x, ")"), nil
	}
	for p.accept(",") {
		if x, err = p.expr(); err != nil {
			return x, err
		}
		items = append(items, x)
	}
	return cat("(", list(items), ")"), p.expect(")", "right paren")
}

func (p *parser) cast() (frag, error) {
	if err := p.expect("(", "left paren"); err != nil {
		return frag{}, err
	}
	x, err := p.expr()
	if err != nil {
		return x, err
	}
	if err := p.expect("AS", "AS"); err != nil {
		return x, err
	}
	typ, err := p.typeName()
	if err != nil {
		return x, err
	}
	return cat("CAST(", x, " AS ", typ, ")"), p.expect(")", "right paren")
}

// typeName reads a type: names, and one or two numbers in parentheses.
func (p *parser) typeName() (string, error) {
	var words []string
	for p.tok.isPlainName() && !p.tok.quoted || p.tok.is("NULL") {
		words = append(words, p.take().lit)
	}
	if words == nil {
		return "", p.expected("type name")
	}
	typ := strings.Join(words, " ")
	if !p.accept("(") {
		return typ, nil
	}
	first, err := p.signedNumber("precision")
	if err != nil {
		return typ, err
	}
	typ += "(" + first
	if p.accept(",") {
		second, err := p.signedNumber("scale")
		if err != nil {
			return typ, err
		}
		typ += "," + second
	}
	return typ + ")", p.expect(")", "right paren")
}

func (p *parser) signedNumber(what string) (string, error) {
	sign := ""
	if p.tok.is("+") || p.tok.is("-") {
		sign = p.take().word
	}
	if p.tok.kind != kindNumber {
		return "", p.expected(what)
	}
	return sign + p.take().lit, nil
}

func (p *parser) caseExpr() (frag, error) {
	parts := []any{"CASE"}
	add := func(before string) error {
		x, err := p.expr()
		parts = append(parts, before, x)
		return err
	}
	if !p.tok.is("WHEN") {
		if err := add(" "); err != nil {
			return frag{}, err
		}
	}
	for {
		if err := p.expect("WHEN", "WHEN"); err != nil {
			return frag{}, err
		}
		if err := add(" WHEN "); err != nil {
			return frag{}, err
		}
		if err := p.expect("THEN", "THEN"); err != nil {
			return frag{}, err
		}
		if err := add(" THEN "); err != nil {
			return frag{}, err
		}
		if p.tok.is("ELSE") || p.tok.is("END") {
			break
		}
		if !p.tok.is("WHEN") {
			return frag{}, p.expected("WHEN, ELSE or END")
		}
	}
	if p.accept("ELSE") {
		if err := add(" ELSE "); err != nil {
			return frag{}, err
		}
	}
	return cat(append(parts, " END")...), p.expect("END", "END")
}

// exists reads EXISTS (select).
func (p *parser) exists() (frag, error) {
	p.take()
	if err := p.expect("(", "left paren"); err != nil {
		return frag{}, err
	}
	x, err := p.selectStmt(false)
	if err != nil {
		return x, err
	}
	return cat("EXISTS (", x, ")"), p.expect(")", "right paren")
}

func (p *parser) raise() (frag, error) {
	if err := p.expect("(", "left paren"); err != nil {
		return frag{}, err
	}
	if p.accept("IGNORE") {
		return lit("RAISE(IGNORE)"), p.expect(")", "right paren")
	}
	for _, word := range []string{"ROLLBACK", "ABORT", "FAIL"} {
		if !p.accept(word) {
			continue
		}
		if err := p.expect(",", "comma"); err != nil {
			return frag{}, err
		}
		if p.tok.kind != kindString {
			return frag{}, p.expected("error message")
		}
		text := quoteText(p.take().lit)
		return lit("RAISE(" + word + ", " + text + ")"), p.expect(")", "right paren")
	}
	return frag{}, p.expected("IGNORE, ROLLBACK, ABORT, or FAIL")
}

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// ident prints a name. It always adds quotes, which turns CURRENT_TIMESTAMP into a column.
func ident(t token) frag {
	return lit(`"` + strings.ReplaceAll(t.lit, `"`, `""`) + `"`)
}

// isCount reports whether an argument is a plain decimal number, and returns it.
func isCount(f frag) (int, bool) {
	if f.plain == "" || !isDigit(rune(f.plain[0])) {
		return 0, false
	}
	n, err := strconv.Atoi(f.plain)
	return n, err == nil
}
