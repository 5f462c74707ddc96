package rewrite

// selectStmt reads a whole SELECT or VALUES. A part of a compound has no ORDER BY and no LIMIT of
// its own.
func (p *parser) selectStmt(compounded bool) (frag, error) {
	var f frag
	var err error
	if !compounded && p.tok.is("WITH") {
		if f, err = p.with(); err != nil {
			return f, err
		}
		f = cat(f, " ")
	}
	var core frag
	switch {
	case p.accept("VALUES"):
		core, err = p.commaList(p.valueList)
		core = cat("VALUES ", core)
	case p.accept("SELECT"):
		core, err = p.selectCore()
	default:
		err = p.expected("SELECT or VALUES")
	}
	if err != nil {
		return core, err
	}
	f = cat(f, core)
	if op, ok := p.acceptAny("UNION", "INTERSECT", "EXCEPT"); ok {
		if op == "UNION" && p.accept("ALL") {
			op = "UNION ALL"
		}
		next, err := p.selectStmt(true)
		if err != nil {
			return next, err
		}
		f = cat(f, " ", op, " ", next)
	}
	if compounded {
		return f, nil
	}
	if f, err = p.orderBy(f); err != nil {
		return f, err
	}
	return p.limit(f)
}

// valueList reads (x, y, …). It must not be empty.
func (p *parser) valueList() (frag, error) {
	if err := p.expect("(", "left paren"); err != nil {
		return frag{}, err
	}
	var items []frag
	for {
		x, err := p.expr()
		if err != nil {
			return x, err
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

// selectCore reads the rest of a SELECT, up to the WINDOW clause.
func (p *parser) selectCore() (frag, error) {
	f := lit("SELECT ")
	if word, ok := p.acceptAny("DISTINCT", "ALL"); ok {
		f = cat(f, word, " ")
	}
	columns, err := p.commaList(p.resultColumn)
	if err != nil {
		return columns, err
	}
	f = cat(f, columns)
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
	if p.accept("GROUP") {
		if err := p.expect("BY", "BY"); err != nil {
			return f, err
		}
		terms, err := p.commaList(p.expr)
		if err != nil {
			return terms, err
		}
		f = cat(f, " GROUP BY ", terms)
		if p.accept("HAVING") {
			x, err := p.expr()
			if err != nil {
				return x, err
			}
			f = cat(f, " HAVING ", x)
		}
	}
	if p.accept("WINDOW") {
		windows, err := p.commaList(p.window)
		return cat(f, " WINDOW ", windows), err
	}
	return f, nil
}

// where appends an optional WHERE clause.
func (p *parser) where(f frag) (frag, error) {
	if !p.accept("WHERE") {
		return f, nil
	}
	x, err := p.expr()
	return cat(f, " WHERE ", x), err
}

// resultColumn reads *, or an expression with an alias. The alias must not be a keyword.
func (p *parser) resultColumn() (frag, error) {
	if p.accept("*") {
		return lit("*"), nil
	}
	x, err := p.expr()
	if err != nil || x.op == "*" && x.text[len(x.text)-1] == '*' {
		return x, err
	}
	if p.accept("AS") && !p.tok.isPlainName() {
		return x, p.expected("column alias")
	}
	if p.tok.isPlainName() {
		x = cat(x, " AS ", ident(p.take()))
	}
	return x, nil
}

// source reads the tables of a FROM.
func (p *parser) source() (frag, error) {
	f, err := p.oneSource()
	for err == nil {
		op, ok, joinErr := p.join()
		if joinErr != nil || !ok {
			return f, joinErr
		}
		var right, on frag
		if right, err = p.oneSource(); err == nil {
			on, err = p.joinCondition()
		}
		f = cat(f, op, right, on)
	}
	return f, err
}

// join reads a join operator, if there is one. rqlite's parser does not know RIGHT and FULL.
func (p *parser) join() (op string, ok bool, err error) {
	if p.accept(",") {
		return ", ", true, nil
	}
	op = " "
	for _, word := range []string{"NATURAL", "LEFT", "INNER", "CROSS", "JOIN"} {
		ok = ok || p.tok.is(word)
	}
	if !ok {
		return "", false, nil
	}
	if p.accept("NATURAL") {
		op += "NATURAL "
	}
	if word, found := p.acceptAny("LEFT", "INNER", "CROSS"); found {
		op += word + " "
		if word == "LEFT" && p.accept("OUTER") {
			op += "OUTER "
		}
	}
	return op + "JOIN ", true, p.expect("JOIN", "JOIN")
}

func (p *parser) joinCondition() (frag, error) {
	switch {
	case p.accept("ON"):
		x, err := p.expr()
		return cat(" ON ", x), err
	case p.accept("USING"):
		if !p.tok.is("(") {
			return frag{}, p.expected("left paren")
		}
		names, err := p.names()
		return cat(" USING ", names), err
	default:
		return frag{}, nil
	}
}

// oneSource reads a table, a table-valued function, VALUES, or parentheses around a SELECT or a
// join.
func (p *parser) oneSource() (frag, error) {
	switch {
	case p.accept("("):
		var inner frag
		var err error
		if p.tok.is("SELECT") {
			inner, err = p.selectStmt(false)
		} else {
			inner, err = p.source()
		}
		if err != nil {
			return inner, err
		}
		if err := p.expect(")", "right paren"); err != nil {
			return inner, err
		}
		return p.alias(cat("(", inner, ")"))
	case p.tok.isPlainName():
		name := p.take()
		if !p.tok.is("(") {
			return p.table(name)
		}
		args, err := p.valueList()
		if err != nil {
			return args, err
		}
		return p.alias(cat(ident(name), args))
	case p.tok.is("VALUES"):
		return p.selectStmt(false)
	default:
		return frag{}, p.expected("table name or left paren")
	}
}

// alias appends an optional alias.
func (p *parser) alias(f frag) (frag, error) {
	if p.accept("AS") || p.tok.isPlainName() {
		name, err := p.name("table alias")
		return cat(f, " AS ", name), err
	}
	return f, nil
}

// table reads the rest of schema.table AS alias INDEXED BY index.
func (p *parser) table(first token) (frag, error) {
	f := ident(first)
	if p.accept(".") {
		name, err := p.name("table name")
		if err != nil {
			return f, err
		}
		f = cat(f, ".", name)
	}
	f, err := p.alias(f)
	if err != nil {
		return f, err
	}
	switch {
	case p.accept("INDEXED"):
		if err := p.expect("BY", "BY"); err != nil {
			return f, err
		}
		name, err := p.name("index name")
		return cat(f, " INDEXED BY ", name), err
	case p.accept("NOT"):
		return cat(f, " NOT INDEXED"), p.expect("INDEXED", "INDEXED")
	default:
		return f, nil
	}
}

// orderBy appends an optional ORDER BY clause.
func (p *parser) orderBy(f frag) (frag, error) {
	if !p.accept("ORDER") {
		return f, nil
	}
	if err := p.expect("BY", "BY"); err != nil {
		return f, err
	}
	terms, err := p.commaList(p.orderingTerm)
	return cat(f, " ORDER BY ", terms), err
}

func (p *parser) orderingTerm() (frag, error) {
	p.ordering = true
	x, err := p.expr()
	p.ordering = false
	if err != nil {
		return x, err
	}
	if word, ok := p.acceptAny("ASC", "DESC"); ok {
		x = cat(x, " ", word)
	}
	if p.accept("NULLS") {
		word, ok := p.acceptAny("FIRST", "LAST")
		if !ok {
			return x, p.expected("FIRST or LAST")
		}
		x = cat(x, " NULLS ", word)
	}
	return x, nil
}

// limit appends an optional LIMIT clause. LIMIT a, b is printed as LIMIT a OFFSET b, which wrongly
// swaps the two.
func (p *parser) limit(f frag) (frag, error) {
	if !p.accept("LIMIT") {
		return f, nil
	}
	x, err := p.expr()
	if err != nil {
		return x, err
	}
	f = cat(f, " LIMIT ", x)
	if _, ok := p.acceptAny("OFFSET", ","); ok {
		x, err = p.expr()
		f = cat(f, " OFFSET ", x)
	}
	return f, err
}

// window reads name AS (definition).
func (p *parser) window() (frag, error) {
	name, err := p.name("window name")
	if err != nil {
		return name, err
	}
	if err := p.expect("AS", "AS"); err != nil {
		return name, err
	}
	def, err := p.windowDefinition()
	return cat(name, " AS ", def), err
}

func (p *parser) windowDefinition() (frag, error) {
	if err := p.expect("(", "left paren"); err != nil {
		return frag{}, err
	}
	var parts []any
	add := func(x ...any) {
		if parts != nil {
			parts = append(parts, " ")
		}
		parts = append(parts, x...)
	}
	if p.tok.isPlainName() {
		add(ident(p.take()))
	}
	if p.accept("PARTITION") {
		if err := p.expect("BY", "BY"); err != nil {
			return frag{}, err
		}
		terms, err := p.commaList(p.expr)
		if err != nil {
			return terms, err
		}
		add("PARTITION BY ", terms)
	}
	if p.accept("ORDER") {
		if err := p.expect("BY", "BY"); err != nil {
			return frag{}, err
		}
		terms, err := p.commaList(p.orderingTerm)
		if err != nil {
			return terms, err
		}
		add("ORDER BY ", terms)
	}
	if unit, ok := p.acceptAny("RANGE", "ROWS", "GROUPS"); ok {
		frame, err := p.frame()
		if err != nil {
			return frame, err
		}
		add(unit, frame)
	}
	return cat("(", cat(parts...), ")"), p.expect(")", "right paren")
}

// frame reads the rest of a window's frame, with a space before it.
func (p *parser) frame() (frag, error) {
	between := p.accept("BETWEEN")
	f, err := p.frameBound(between, false)
	if err != nil {
		return f, err
	}
	if between {
		if err := p.expect("AND", "AND"); err != nil {
			return f, err
		}
		end, err := p.frameBound(true, true)
		if err != nil {
			return end, err
		}
		f = cat(" BETWEEN", f, " AND", end)
	}
	if !p.accept("EXCLUDE") {
		return f, nil
	}
	switch word, _ := p.acceptAny("NO", "CURRENT", "GROUP", "TIES"); word {
	case "NO":
		return cat(f, " EXCLUDE NO OTHERS"), p.expect("OTHERS", "OTHERS")
	case "CURRENT":
		return cat(f, " EXCLUDE CURRENT ROW"), p.expect("ROW", "ROW")
	case "GROUP", "TIES":
		return cat(f, " EXCLUDE ", word), nil
	default:
		return f, p.expected("NO OTHERS, CURRENT ROW, GROUP, or TIES")
	}
}

// frameBound reads one end of a frame. FOLLOWING needs BETWEEN. UNBOUNDED has one direction at each
// end.
func (p *parser) frameBound(between, end bool) (frag, error) {
	if p.accept("UNBOUNDED") {
		way := "PRECEDING"
		if end {
			way = "FOLLOWING"
		}
		return lit(" UNBOUNDED " + way), p.expect(way, way)
	}
	if p.accept("CURRENT") {
		return lit(" CURRENT ROW"), p.expect("ROW", "ROW")
	}
	x, err := p.expr()
	switch {
	case err != nil:
		return x, err
	case p.accept("PRECEDING"):
		return cat(" ", x, " PRECEDING"), nil
	case between && p.accept("FOLLOWING"):
		return cat(" ", x, " FOLLOWING"), nil
	case between:
		return x, p.expected("PRECEDING or FOLLOWING")
	default:
		return x, p.expected("PRECEDING")
	}
}
