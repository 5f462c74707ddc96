package rewrite

// conflictActions may follow INSERT OR and UPDATE OR.
var conflictActions = []string{"ROLLBACK", "REPLACE", "ABORT", "FAIL", "IGNORE"}

// orAction reads an optional OR with an action. It returns it with a space before it.
func (p *parser) orAction() (string, error) {
	if !p.accept("OR") {
		return "", nil
	}
	action, ok := p.acceptAny(conflictActions...)
	if !ok {
		return "", p.expected("ROLLBACK, REPLACE, ABORT, FAIL, or IGNORE")
	}
	return " OR " + action, nil
}

func (p *parser) insert() (frag, error) {
	verb := p.take().word
	if verb == "INSERT" {
		action, err := p.orAction()
		if err != nil {
			return frag{}, err
		}
		verb += action
	}
	if err := p.expect("INTO", "INTO"); err != nil {
		return frag{}, err
	}
	table, err := p.name("table name")
	if err != nil {
		return table, err
	}
	f := cat(verb, " INTO ", table)
	if p.accept(".") {
		if table, err = p.name("table name"); err != nil {
			return table, err
		}
		f = cat(f, ".", table)
	}
	if p.accept("AS") {
		alias, err := p.name("alias")
		if err != nil {
			return alias, err
		}
		f = cat(f, " AS ", alias)
	}
	if p.tok.is("(") {
		columns, err := p.names()
		if err != nil {
			return columns, err
		}
		f = cat(f, " ", columns)
	}
	rows, err := p.insertedRows()
	if err != nil {
		return rows, err
	}
	f = cat(f, " ", rows)
	if p.accept("ON") {
		upsert, err := p.upsert()
		if err != nil {
			return upsert, err
		}
		f = cat(f, upsert)
	}
	returning, err := p.returningClause()
	return cat(f, returning), err
}

func (p *parser) insertedRows() (frag, error) {
	switch {
	case p.accept("VALUES"):
		rows, err := p.commaList(p.valueList)
		return cat("VALUES ", rows), err
	case p.tok.is("SELECT"):
		return p.selectStmt(false)
	case p.accept("DEFAULT"):
		if p.inTrigger && p.tok.is("VALUES") {
			return frag{}, p.expected("non-DEFAULT VALUES")
		}
		return lit("DEFAULT VALUES"), p.expect("VALUES", "VALUES")
	default:
		return frag{}, p.expected("VALUES, SELECT, or DEFAULT VALUES")
	}
}

// upsert reads the rest of an ON CONFLICT clause. There can be only one.
func (p *parser) upsert() (frag, error) {
	if err := p.expect("CONFLICT", "CONFLICT"); err != nil {
		return frag{}, err
	}
	f := lit(" ON CONFLICT")
	if p.tok.is("(") {
		columns, err := p.indexedColumns()
		if err != nil {
			return columns, err
		}
		if f, err = p.where(cat(f, " ", columns)); err != nil {
			return f, err
		}
	}
	if err := p.expect("DO", "DO"); err != nil {
		return f, err
	}
	if p.accept("NOTHING") {
		return cat(f, " DO NOTHING"), nil
	}
	if err := p.expect("UPDATE", "NOTHING or UPDATE SET"); err != nil {
		return f, err
	}
	if err := p.expect("SET", "SET"); err != nil {
		return f, err
	}
	assignments, err := p.commaList(p.assignment)
	if err != nil {
		return assignments, err
	}
	return p.where(cat(f, " DO UPDATE SET ", assignments))
}

func (p *parser) indexedColumns() (frag, error) {
	p.take()
	var items []frag
	for {
		x, err := p.expr()
		if err != nil {
			return x, err
		}
		if word, ok := p.acceptAny("ASC", "DESC"); ok {
			x = cat(x, " ", word)
		}
		items = append(items, x)
		if p.accept(")") {
			return cat("(", list(items), ")"), nil
		}
		if !p.accept(",") {
			return x, p.expected("comma or right paren")
		}
	}
}

// assignment reads column = x or (columns) = x.
func (p *parser) assignment() (frag, error) {
	var left frag
	var err error
	switch {
	case p.tok.is("("):
		var columns []frag
		columns, err = p.nameList("column name")
		if left = list(columns); len(columns) > 1 {
			left = cat("(", left, ")")
		}
	case p.tok.isName() && !p.tok.is("NULL"):
		left, err = p.name("column name")
	default:
		err = p.expected("column name or column list")
	}
	if err != nil {
		return left, err
	}
	if err := p.expect("=", "="); err != nil {
		return left, err
	}
	x, err := p.expr()
	return cat(left, " = ", x), err
}

// returningClause reads an optional RETURNING clause.
func (p *parser) returningClause() (frag, error) {
	if !p.accept("RETURNING") {
		return frag{}, nil
	}
	p.returning = true
	columns, err := p.commaList(p.resultColumn)
	return cat(" RETURNING ", columns), err
}

// targetTable reads the table of a write. In a trigger it can only be a plain name.
func (p *parser) targetTable() (frag, error) {
	t := p.take()
	if p.inTrigger && (p.tok.is(".") || p.tok.is("AS") || p.tok.isPlainName() || p.tok.is("INDEXED")) {
		return frag{}, p.expected("unqualified table name")
	}
	return p.table(t)
}

// update reads an UPDATE. The server forgets to print its RETURNING clause.
func (p *parser) update() (frag, error) {
	p.take()
	action, err := p.orAction()
	if err != nil {
		return frag{}, err
	}
	if !p.tok.isPlainName() {
		return frag{}, p.expected("table name")
	}
	table, err := p.targetTable()
	if err != nil {
		return table, err
	}
	if err := p.expect("SET", "SET"); err != nil {
		return table, err
	}
	assignments, err := p.commaList(p.assignment)
	if err != nil {
		return assignments, err
	}
	f := cat("UPDATE"+action+" ", table, " SET ", assignments)
	if p.accept("FROM") {
		source, err := p.source()
		if err != nil {
			return source, err
		}
		f = cat(f, " FROM ", source)
	}
	if f, err = p.where(f); err != nil {
		return f, err
	}
	_, err = p.returningClause()
	return f, err
}

// delete reads a DELETE. The server forgets to print its RETURNING clause.
func (p *parser) delete() (frag, error) {
	p.take()
	if err := p.expect("FROM", "FROM"); err != nil {
		return frag{}, err
	}
	if !p.tok.isPlainName() {
		return frag{}, p.expected("table name")
	}
	table, err := p.targetTable()
	if err != nil {
		return table, err
	}
	f, err := p.where(cat("DELETE FROM ", table))
	if err != nil {
		return f, err
	}
	if p.inTrigger && (p.tok.is("ORDER") || p.tok.is("LIMIT")) {
		return f, p.expected("unqualified table name")
	}
	if p.tok.is("ORDER") {
		if f, err = p.orderBy(f); err != nil {
			return f, err
		}
		if !p.tok.is("LIMIT") {
			return f, p.expected("LIMIT")
		}
	}
	if f, err = p.limit(f); err != nil {
		return f, err
	}
	_, err = p.returningClause()
	return f, err
}
