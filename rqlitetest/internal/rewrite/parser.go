package rewrite

import "errors"

// parser reads one statement. Its methods return the part that they read, as the server prints it.
type parser struct {
	scan    scanner
	tok     token  // next token
	pending *token // token after it, if already read
	opts    Options
	now     string // the present, the same in the whole statement

	depth     int  // nesting of operands
	inTrigger bool // inside the body of a trigger
	ordering  bool // inside a term of ORDER BY
	returning bool // a RETURNING clause was read
	explain   bool // the statement is an EXPLAIN
}

func newParser(sql string, opts Options) *parser {
	p := &parser{scan: scanner{src: sql, line: 1}, opts: opts, now: julianDay()}
	p.tok = p.scan.next()
	return p
}

// take returns the next token and goes on to the one after it.
func (p *parser) take() token {
	t := p.tok
	if p.pending != nil {
		p.tok, p.pending = *p.pending, nil
	} else {
		p.tok = p.scan.next()
	}
	return t
}

// untake puts back the token that was taken last.
func (p *parser) untake(t token) {
	next := p.tok
	p.tok, p.pending = t, &next
}

// accept takes a keyword or operator if it is next.
func (p *parser) accept(word string) bool {
	if !p.tok.is(word) {
		return false
	}
	p.take()
	return true
}

// acceptAny takes the next token if it is one of the words, and returns it.
func (p *parser) acceptAny(words ...string) (string, bool) {
	for _, w := range words {
		if p.accept(w) {
			return w, true
		}
	}
	return "", false
}

// expect takes a keyword or operator. It is an error if another token is next; want is the name of
// the expected token in that error.
func (p *parser) expect(word, want string) error {
	if !p.accept(word) {
		return p.expected(want)
	}
	return nil
}

func (p *parser) expected(want string) error { return p.expectedAt(p.tok, want) }

func (p *parser) expectedAt(t token, want string) error { return &syntaxError{at: t, want: want} }

// name reads a name, which may be a keyword that is not reserved.
func (p *parser) name(want string) (frag, error) {
	if !p.tok.isName() {
		return frag{}, p.expected(want)
	}
	return ident(p.take()), nil
}

// names reads (a, b, …).
func (p *parser) names() (frag, error) {
	items, err := p.nameList("column name")
	return cat("(", list(items), ")"), err
}

// nameList reads (a, b, …). want is the kind of the names, for errors.
func (p *parser) nameList(want string) ([]frag, error) {
	p.take()
	var items []frag
	for {
		x, err := p.name(want)
		if err != nil {
			return nil, err
		}
		items = append(items, x)
		if p.accept(")") {
			return items, nil
		}
		if !p.accept(",") {
			return nil, p.expected("comma or right paren")
		}
	}
}

// commaList reads items separated by commas.
func (p *parser) commaList(item func() (frag, error)) (frag, error) {
	var items []frag
	for {
		x, err := item()
		if err != nil {
			return x, err
		}
		items = append(items, x)
		if !p.accept(",") {
			return list(items), nil
		}
	}
}

var errEmpty = errors.New("EOF")

// statement reads the first statement of the source.
func (p *parser) statement() (frag, error) {
	if p.tok.kind == kindEOF {
		return frag{}, errEmpty
	}
	prefix := ""
	if p.accept("EXPLAIN") {
		p.explain, prefix = true, "EXPLAIN "
		if p.accept("QUERY") {
			if err := p.expect("PLAN", "PLAN"); err != nil {
				return frag{}, err
			}
			prefix = "EXPLAIN QUERY PLAN "
		}
	}
	f, err := p.unexplained()
	if err != nil {
		return f, err
	}
	if p.tok.kind != kindEOF && !p.tok.is(";") {
		return f, p.expected("semicolon or EOF")
	}
	return cat(prefix, f), nil
}

func (p *parser) unexplained() (frag, error) {
	if p.tok.kind != kindWord {
		return frag{}, p.expected("statement")
	}
	switch p.tok.word {
	case "SELECT", "VALUES":
		return p.selectStmt(false)
	case "INSERT", "REPLACE":
		return p.insert()
	case "UPDATE":
		return p.update()
	case "DELETE":
		return p.delete()
	case "WITH":
		return p.withStmt()
	case "CREATE":
		return p.create()
	case "DROP":
		return p.drop()
	case "ALTER":
		return p.alter()
	case "PRAGMA":
		return p.pragma()
	case "ANALYZE", "REINDEX", "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
		return p.command()
	default:
		return frag{}, p.expected("statement")
	}
}

func (p *parser) withStmt() (frag, error) {
	with, err := p.with()
	if err != nil {
		return with, err
	}
	var f frag
	switch {
	case p.tok.is("SELECT") || p.tok.is("VALUES"):
		f, err = p.selectStmt(false)
	case p.tok.is("INSERT") || p.tok.is("REPLACE"):
		f, err = p.insert()
	case p.tok.is("UPDATE"):
		f, err = p.update()
	case p.tok.is("DELETE"):
		f, err = p.delete()
	default:
		err = p.expected("SELECT, VALUES, INSERT, REPLACE, UPDATE, or DELETE")
	}
	return cat(with, " ", f), err
}

// with reads a WITH clause. Nothing in it is replaced.
func (p *parser) with() (frag, error) {
	p.take()
	head := "WITH "
	if p.accept("RECURSIVE") {
		head = "WITH RECURSIVE "
	}
	tables, err := p.commaList(p.commonTable)
	return cat(head, tables).kept(), err
}

func (p *parser) commonTable() (frag, error) {
	f, err := p.name("table name")
	if err != nil {
		return f, err
	}
	if p.tok.is("(") {
		columns, err := p.names()
		if err != nil {
			return f, err
		}
		f = cat(f, " ", columns)
	}
	if err := p.expect("AS", "AS"); err != nil {
		return f, err
	}
	f = cat(f, " AS ")
	if p.accept("NOT") {
		if !p.tok.is("MATERIALIZED") {
			return f, p.expected("MATERIALIZED")
		}
		f = cat(f, "NOT ")
	}
	if p.accept("MATERIALIZED") {
		f = cat(f, "MATERIALIZED ")
	}
	if err := p.expect("(", "left paren"); err != nil {
		return f, err
	}
	body, err := p.selectStmt(false)
	if err != nil {
		return f, err
	}
	return cat(f, "(", body, ")"), p.expect(")", "right paren")
}
