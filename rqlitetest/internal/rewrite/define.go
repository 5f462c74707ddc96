package rewrite

import (
	"fmt"
	"strings"
)

// Like rqlite, this freezes a 'now' in a default, a check, a view or a trigger at the time of its
// definition.

// create reads a CREATE.
func (p *parser) create() (frag, error) {
	first := p.take()
	switch {
	case p.accept("TABLE"):
		return p.createTable()
	case p.accept("VIRTUAL"):
		return p.createVirtual()
	case p.accept("VIEW"):
		return p.createView()
	case p.tok.is("INDEX"), p.tok.is("UNIQUE"):
		return p.createIndex()
	case p.tok.is("TRIGGER"), p.tok.is("TEMP"):
		return p.createTrigger()
	default:
		return frag{}, unknownDefinition(first, "TABLE, VIEW, INDEX, TRIGGER")
	}
}

// unknownDefinition is the error for a CREATE or DROP of something unknown. It has the position of
// the verb and names no token.
func unknownDefinition(verb token, want string) error {
	return fmt.Errorf("%s: expected %s", verb.position(), want)
}

// drop reads a DROP.
func (p *parser) drop() (frag, error) {
	first := p.take()
	what, ok := p.acceptAny("TABLE", "VIEW", "INDEX", "TRIGGER")
	if !ok {
		return frag{}, unknownDefinition(first, "TABLE, VIEW, INDEX, or TRIGGER")
	}
	head := "DROP " + what + " "
	if p.accept("IF") {
		if err := p.expect("EXISTS", "EXISTS"); err != nil {
			return frag{}, err
		}
		head += "IF EXISTS "
	}
	want := strings.ToLower(what) + " name"
	if what == "TABLE" || what == "INDEX" {
		name, err := p.schemaName(want, want)
		return cat(head, name), err
	}
	name, err := p.name(want)
	return cat(head, name), err
}

// ifNotExists appends an optional IF NOT EXISTS, and a space.
func (p *parser) ifNotExists(head string) (string, error) {
	head += " "
	if !p.accept("IF") {
		return head, nil
	}
	if err := p.expect("NOT", "NOT"); err != nil {
		return head, err
	}
	return head + "IF NOT EXISTS ", p.expect("EXISTS", "EXISTS")
}

// schemaName reads name or schema.name.
func (p *parser) schemaName(wantFirst, want string) (frag, error) {
	f, err := p.name(wantFirst)
	if err != nil || !p.accept(".") {
		return f, err
	}
	name, err := p.name(want)
	return cat(f, ".", name), err
}

func (p *parser) createView() (frag, error) {
	head, err := p.ifNotExists("CREATE VIEW")
	if err != nil {
		return frag{}, err
	}
	name, err := p.name("view name")
	if err != nil {
		return name, err
	}
	f := cat(head, name)
	if p.tok.is("(") {
		columns, err := p.names()
		if err != nil {
			return columns, err
		}
		f = cat(f, " ", columns)
	}
	if err := p.expect("AS", "AS"); err != nil {
		return f, err
	}
	body, err := p.selectStmt(false)
	return cat(f, " AS ", body), err
}

func (p *parser) createIndex() (frag, error) {
	head := "CREATE "
	if p.accept("UNIQUE") {
		head = "CREATE UNIQUE "
	}
	if err := p.expect("INDEX", "INDEX"); err != nil {
		return frag{}, err
	}
	head, err := p.ifNotExists(head + "INDEX")
	if err != nil {
		return frag{}, err
	}
	name, err := p.schemaName("index name", "index name")
	if err != nil {
		return name, err
	}
	if err := p.expect("ON", "ON"); err != nil {
		return name, err
	}
	table, err := p.name("table name")
	if err != nil {
		return table, err
	}
	if !p.tok.is("(") {
		return table, p.expected("left paren")
	}
	columns, err := p.indexedColumns()
	if err != nil {
		return columns, err
	}
	return p.where(cat(head, name, " ON ", table, " ", columns))
}

func (p *parser) createTrigger() (frag, error) {
	head := "CREATE TRIGGER"
	if p.accept("TEMP") {
		head = "CREATE TEMP TRIGGER"
	}
	if err := p.expect("TRIGGER", "TRIGGER"); err != nil {
		return frag{}, err
	}
	head, err := p.ifNotExists(head)
	if err != nil {
		return frag{}, err
	}
	name, err := p.name("index name") // the server's words
	if err != nil {
		return name, err
	}
	f := cat(head, name)
	if word, ok := p.acceptAny("BEFORE", "AFTER", "INSTEAD"); ok {
		if word == "INSTEAD" {
			if err := p.expect("OF", "OF"); err != nil {
				return f, err
			}
			word = "INSTEAD OF"
		}
		f = cat(f, " ", word)
	}
	if f, err = p.triggerEvent(f); err != nil {
		return f, err
	}
	if p.accept("FOR") {
		if err := p.expect("EACH", "EACH"); err != nil {
			return f, err
		}
		if err := p.expect("ROW", "ROW"); err != nil {
			return f, err
		}
		f = cat(f, " FOR EACH ROW")
	}
	if p.accept("WHEN") {
		x, err := p.expr()
		if err != nil {
			return x, err
		}
		f = cat(f, " WHEN ", x)
	}
	if err := p.expect("BEGIN", "BEGIN"); err != nil {
		return f, err
	}
	return p.triggerBody(cat(f, " BEGIN"))
}

// triggerEvent appends the event and the table.
func (p *parser) triggerEvent(f frag) (frag, error) {
	event, ok := p.acceptAny("DELETE", "INSERT", "UPDATE")
	if !ok {
		return f, p.expected("DELETE, INSERT, or UPDATE")
	}
	f = cat(f, " ", event)
	if event == "UPDATE" && p.accept("OF") {
		columns, err := p.commaList(func() (frag, error) { return p.name("column name") })
		if err != nil {
			return columns, err
		}
		f = cat(f, " OF ", columns)
	}
	if err := p.expect("ON", "ON"); err != nil {
		return f, err
	}
	table, err := p.name("table name")
	return cat(f, " ON ", table), err
}

// triggerBody appends the statements of a trigger and its END.
func (p *parser) triggerBody(f frag) (frag, error) {
	p.inTrigger = true
	defer func() { p.inTrigger = false }()
	for {
		var body frag
		var err error
		switch {
		case p.tok.is("SELECT"), p.tok.is("VALUES"):
			body, err = p.selectStmt(false)
		case p.tok.is("INSERT"), p.tok.is("REPLACE"):
			body, err = p.insert()
		case p.tok.is("UPDATE"):
			body, err = p.update()
		case p.tok.is("DELETE"):
			body, err = p.delete()
		case p.tok.is("WITH"):
			body, err = p.withStmt()
		default:
			err = p.expected("statement")
		}
		if err != nil {
			return body, err
		}
		if err := p.expect(";", "semicolon"); err != nil {
			return body, err
		}
		f = cat(f, " ", body, ";")
		if p.accept("END") {
			return cat(f, " END"), nil
		}
	}
}

// createVirtual reads the rest of a CREATE VIRTUAL. Nothing in it is replaced.
func (p *parser) createVirtual() (frag, error) {
	p.take() // unchecked, as in the server
	head, err := p.ifNotExists("CREATE VIRTUAL TABLE")
	if err != nil {
		return frag{}, err
	}
	name, err := p.schemaName("schema or table name", "table name")
	if err != nil {
		return name, err
	}
	if err := p.expect("USING", "USING"); err != nil {
		return name, err
	}
	module, err := p.name("module name")
	f := cat(head, name, " USING ", module)
	if err != nil || !p.accept("(") {
		return f, err
	}
	var args []any
	for !p.tok.is(")") {
		arg, err := p.moduleArgument()
		if err != nil {
			return arg, err
		}
		if args != nil {
			args = append(args, ",")
		}
		args = append(args, arg)
		if !p.accept(",") && !p.tok.is(")") {
			return arg, p.expected("comma or right paren")
		}
	}
	if args == nil {
		return f, p.expected("module arguments")
	}
	p.take()
	return cat(f, " (", cat(args...), ")"), nil
}

func (p *parser) moduleArgument() (frag, error) {
	name, err := p.name("module argument name")
	if err != nil {
		return name, err
	}
	if p.accept("=") {
		x, err := p.operand()
		return cat(name, "=", x.kept()), err
	}
	if columnTypes[p.tok.lit] {
		typ, err := p.typeName()
		return cat(name, " ", typ), err
	}
	return name, nil
}

// columnTypes are the types that the arguments of a module may have.
var columnTypes = wordSet(`BIGINT BLOB BOOLEAN CHARACTER CLOB DATE DATETIME DECIMAL DOUBLE FLOAT INT INTEGER
	MEDIUMINT NCHAR NUMERIC NVARCHAR REAL SMALLINT TEXT TINYINT VARCHAR`)

// pragma reads a PRAGMA. Nothing in it is replaced.
func (p *parser) pragma() (frag, error) {
	p.take()
	if !p.tok.isName() {
		return frag{}, p.expected("schema name")
	}
	name := p.take()
	prefix := "PRAGMA "
	if p.accept(".") {
		prefix += ident(name).text + "."
		if !p.tok.isName() {
			return frag{}, p.expected("pragma name")
		}
		name = p.take()
	}
	switch {
	case p.accept("="):
		x, err := p.expr()
		return cat(prefix, ident(name), " = ", x).kept(), err
	case p.tok.is("("):
		x, err := p.call(name)
		return cat(prefix, x).kept(), err
	default:
		return cat(prefix, ident(name)), nil
	}
}

// command reads ANALYZE, REINDEX, or a statement that controls a transaction.
func (p *parser) command() (frag, error) {
	verb := p.take().word
	f := lit(verb)
	switch verb {
	case "ANALYZE", "REINDEX":
		if !p.tok.isPlainName() {
			return f, nil
		}
		name := p.take()
		if verb == "REINDEX" && p.tok.is(".") {
			x, err := p.qualified(name)
			return cat("REINDEX ", x), err
		}
		return cat(verb, " ", ident(name)), nil
	case "BEGIN":
		if word, ok := p.acceptAny("DEFERRED", "IMMEDIATE", "EXCLUSIVE"); ok {
			f = cat(f, " ", word)
		}
	case "RELEASE":
		if p.accept("SAVEPOINT") {
			f = cat(f, " SAVEPOINT")
		}
	}
	if verb != "RELEASE" && verb != "SAVEPOINT" && p.accept("TRANSACTION") {
		f = cat(f, " TRANSACTION")
	}
	if verb == "ROLLBACK" {
		if !p.accept("TO") {
			return f, nil
		}
		f = cat(f, " TO")
		if p.accept("SAVEPOINT") {
			f = cat(f, " SAVEPOINT")
		}
	}
	if verb == "ROLLBACK" || verb == "RELEASE" || verb == "SAVEPOINT" {
		name, err := p.name("savepoint name")
		return cat(f, " ", name), err
	}
	return f, nil
}
