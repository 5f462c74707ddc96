package rewrite

// createTable reads the rest of a CREATE TABLE. The server does not print WITHOUT ROWID and STRICT.
func (p *parser) createTable() (frag, error) {
	head, err := p.ifNotExists("CREATE TABLE")
	if err != nil {
		return frag{}, err
	}
	name, err := p.schemaName("table name", "table name")
	if err != nil {
		return name, err
	}
	f := cat(head, name)
	if p.accept("AS") {
		body, err := p.selectStmt(false)
		return cat(f, " AS ", body), err
	}
	if err := p.expect("(", "AS or left paren"); err != nil {
		return f, err
	}
	var items []frag
	for p.tok.isName() && !p.tok.is("NULL") {
		column, err := p.columnDefinition()
		if err != nil {
			return column, err
		}
		items = append(items, column)
		p.accept(",")
	}
	if !p.tok.is(")") && !p.atConstraint(tableConstraints) {
		return f, p.expected("column name, CONSTRAINT, or right paren")
	}
	for more := p.atConstraint(tableConstraints); more; more = p.accept(",") {
		x, err := p.constraint(true)
		if err != nil {
			return x, err
		}
		items = append(items, x)
	}
	if err := p.expect(")", "right paren"); err != nil {
		return f, err
	}
	return cat(f, " (", list(items), ")"), p.tableOptions()
}

func (p *parser) tableOptions() error {
	if !p.tok.is("STRICT") && !p.tok.is("WITHOUT") {
		return nil
	}
	for {
		switch {
		case p.accept("STRICT"):
		case p.accept("WITHOUT"):
			if err := p.expect("ROWID", "ROWID"); err != nil {
				return err
			}
		default:
			return p.expected("STRICT or WITHOUT ROWID")
		}
		if !p.accept(",") {
			return nil
		}
	}
}

// tableConstraints and columnConstraints are the words that can begin a constraint.
var (
	tableConstraints  = []string{"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}
	columnConstraints = []string{
		"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "NOT", "DEFAULT", "REFERENCES", "GENERATED", "AS", "COLLATE",
	}
)

func (p *parser) atConstraint(words []string) bool {
	for _, w := range words {
		if p.tok.is(w) {
			return true
		}
	}
	return false
}

func (p *parser) columnDefinition() (frag, error) {
	f, err := p.name("column name")
	if err != nil {
		return f, err
	}
	if p.tok.isPlainName() && !p.tok.quoted || p.tok.is("NULL") {
		typ, err := p.typeName()
		if err != nil {
			return f, err
		}
		f = cat(f, " ", typ)
	}
	for p.atConstraint(columnConstraints) {
		x, err := p.constraint(false)
		if err != nil {
			return x, err
		}
		f = cat(f, " ", x)
	}
	return f, nil
}

// constraint reads a constraint of a table or of a column. rqlite's parser does not know some forms
// of SQLite, such as ON CONFLICT or a direction in PRIMARY KEY.
func (p *parser) constraint(table bool) (frag, error) {
	var f frag
	if p.accept("CONSTRAINT") {
		name, err := p.name("constraint name")
		if err != nil {
			return name, err
		}
		f = cat("CONSTRAINT ", name, " ")
	}
	var body frag
	var err error
	switch {
	case p.accept("PRIMARY"):
		body, err = p.primaryKey(table)
	case p.accept("UNIQUE"):
		body = lit("UNIQUE")
		if table {
			if !p.tok.is("(") {
				return f, p.expected("left paren")
			}
			var columns frag
			columns, err = p.indexedColumns()
			body = cat("UNIQUE ", columns)
		}
	case p.accept("CHECK"):
		body, err = p.inParentheses("CHECK (")
	case table && p.tok.is("FOREIGN"):
		body, err = p.foreignKey()
	case table:
		err = errAssertion
	case p.accept("NOT"):
		body, err = lit("NOT NULL"), p.expect("NULL", "NULL")
	case p.accept("DEFAULT"):
		body, err = p.defaultValue()
	case p.tok.is("GENERATED"), p.tok.is("AS"):
		body, err = p.generated()
	case p.accept("COLLATE"):
		body, err = p.name("collation name")
		body = cat("COLLATE ", body)
	case p.tok.is("REFERENCES"):
		body, err = p.references()
	default:
		err = errAssertion
	}
	return cat(f, body), err
}

// inParentheses reads (x), and prints it after a head that ends in "(".
func (p *parser) inParentheses(head string) (frag, error) {
	if err := p.expect("(", "left paren"); err != nil {
		return frag{}, err
	}
	x, err := p.expr()
	if err != nil {
		return x, err
	}
	return cat(head, x, ")"), p.expect(")", "right paren")
}

func (p *parser) primaryKey(table bool) (frag, error) {
	if err := p.expect("KEY", "KEY"); err != nil {
		return frag{}, err
	}
	if table {
		if !p.tok.is("(") {
			return frag{}, p.expected("left paren")
		}
		columns, err := p.names()
		return cat("PRIMARY KEY ", columns), err
	}
	if p.accept("AUTOINCREMENT") {
		return lit("PRIMARY KEY AUTOINCREMENT"), nil
	}
	return lit("PRIMARY KEY"), nil
}

// defaultValue reads the rest of a DEFAULT.
func (p *parser) defaultValue() (frag, error) {
	t := p.tok
	switch {
	case t.kind == kindIdent && t.quoted:
		return lit("DEFAULT " + quoteText(p.take().lit)), nil
	case t.is("CURRENT_TIME"), t.is("CURRENT_DATE"), t.is("CURRENT_TIMESTAMP"):
		return lit("DEFAULT " + p.take().lit), nil
	case t.kind == kindString, t.kind == kindBlob, t.kind == kindNumber,
		t.is("NULL"), t.is("TRUE"), t.is("FALSE"):
		x, err := p.operand()
		return cat("DEFAULT ", x), err
	case t.is("+"), t.is("-"):
		number, err := p.signedNumber("signed number")
		return lit("DEFAULT " + number), err
	case t.is("("):
		return p.inParentheses("DEFAULT (")
	default:
		return frag{}, p.expected("literal value or left paren")
	}
}

func (p *parser) generated() (frag, error) {
	head := "AS ("
	if p.accept("GENERATED") {
		if err := p.expect("ALWAYS", "ALWAYS"); err != nil {
			return frag{}, err
		}
		head = "GENERATED ALWAYS AS ("
	}
	if err := p.expect("AS", "AS"); err != nil {
		return frag{}, err
	}
	f, err := p.inParentheses(head)
	if err != nil {
		return f, err
	}
	if word, ok := p.acceptAny("STORED", "VIRTUAL"); ok {
		f = cat(f, " ", word)
	}
	return f, nil
}

func (p *parser) foreignKey() (frag, error) {
	p.take()
	if err := p.expect("KEY", "KEY"); err != nil {
		return frag{}, err
	}
	if !p.tok.is("(") {
		return frag{}, p.expected("left paren")
	}
	columns, err := p.names()
	if err != nil {
		return columns, err
	}
	target, err := p.references()
	return cat("FOREIGN KEY ", columns, " ", target), err
}

// references reads REFERENCES table (columns) and its actions. The columns are required.
func (p *parser) references() (frag, error) {
	if err := p.expect("REFERENCES", "REFERENCES"); err != nil {
		return frag{}, err
	}
	table, err := p.name("foreign table name")
	if err != nil {
		return table, err
	}
	if !p.tok.is("(") {
		return table, p.expected("left paren")
	}
	columns, err := p.nameList("foreign column name")
	if err != nil {
		return table, err
	}
	f := cat("REFERENCES ", table, " (", list(columns), ")")
	for p.accept("ON") {
		event, ok := p.acceptAny("UPDATE", "DELETE")
		if !ok {
			return f, p.expected("UPDATE or DELETE")
		}
		action, err := p.foreignKeyAction()
		if err != nil {
			return f, err
		}
		f = cat(f, " ON ", event, " ", action)
	}
	return p.deferrable(f)
}

func (p *parser) foreignKeyAction() (string, error) {
	action, ok := p.acceptAny("SET", "CASCADE", "RESTRICT", "NO")
	switch {
	case !ok:
		return "", p.expected("SET NULL, SET DEFAULT, CASCADE, RESTRICT, or NO ACTION")
	case action == "SET":
		what, ok := p.acceptAny("NULL", "DEFAULT")
		if !ok {
			return "", p.expected("NULL or DEFAULT")
		}
		return "SET " + what, nil
	case action == "NO":
		return "NO ACTION", p.expect("ACTION", "ACTION")
	default:
		return action, nil
	}
}

// deferrable appends the optional end of a foreign key. It wrongly takes a NOT that begins the next
// constraint.
func (p *parser) deferrable(f frag) (frag, error) {
	switch {
	case p.accept("NOT"):
		if err := p.expect("DEFERRABLE", "DEFERRABLE"); err != nil {
			return f, err
		}
		f = cat(f, " NOT DEFERRABLE")
	case p.accept("DEFERRABLE"):
		f = cat(f, " DEFERRABLE")
	default:
		return f, nil
	}
	if p.accept("INITIALLY") {
		if word, ok := p.acceptAny("DEFERRED", "IMMEDIATE"); ok {
			f = cat(f, " INITIALLY ", word)
		}
	}
	return f, nil
}

// alter reads ALTER TABLE.
func (p *parser) alter() (frag, error) {
	p.take()
	if err := p.expect("TABLE", "TABLE"); err != nil {
		return frag{}, err
	}
	name, err := p.schemaName("table name", "table name")
	if err != nil {
		return name, err
	}
	f := cat("ALTER TABLE ", name)
	verb, ok := p.acceptAny("RENAME", "ADD", "DROP")
	if !ok {
		return f, p.expected("ADD, RENAME or DROP")
	}
	if verb == "RENAME" && p.accept("TO") {
		name, err := p.name("new table name")
		return cat(f, " RENAME TO ", name), err
	}
	if !p.accept("COLUMN") && !p.tok.isPlainName() {
		return f, p.expected("COLUMN keyword or column name")
	}
	f = cat(f, " ", verb, " COLUMN ")
	if verb == "ADD" {
		def, err := p.columnDefinition()
		return cat(f, def), err
	}
	column, err := p.name("column name")
	if err != nil || verb == "DROP" {
		return cat(f, column), err
	}
	if err := p.expect("TO", "TO"); err != nil {
		return f, err
	}
	next, err := p.name("new column name")
	return cat(f, column, " TO ", next), err
}
