package gormrqlite

import (
	"database/sql"
	"strconv"

	_ "github.com/go-rqlite/rqlite" // registers the driver
	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/migrator"
	"gorm.io/gorm/schema"
)

// dialector is the GORM dialect of rqlite.
type dialector struct {
	dsn  string
	pool gorm.ConnPool // nil: open dsn
	// callbacks is the number of GORM's own callbacks for each operation. Only Initialize writes
	// it.
	callbacks map[operation]int
}

var (
	_ gorm.Dialector                     = (*dialector)(nil)
	_ gorm.SavePointerDialectorInterface = (*dialector)(nil)
	_ gorm.ErrorTranslator               = (*dialector)(nil)
)

// Open returns the dialect for the database of a data source name; see package rqlite for its form.
// Pass it to gorm.Open, which reports an invalid name. DB.DB returns the *sql.DB, to close it at
// the end.
func Open(dsn string) gorm.Dialector { return &dialector{dsn: dsn} }

// New returns the dialect for an open database: a *sql.DB of the driver, a *sql.Tx of it, or a
// wrapper around them.
func New(pool gorm.ConnPool) gorm.Dialector { return &dialector{pool: pool} }

// Name implements gorm.Dialector. It returns "sqlite", the name that plugins know.
func (d *dialector) Name() string { return "sqlite" }

// Initialize implements gorm.Dialector.
func (d *dialector) Initialize(db *gorm.DB) error {
	db.ConnPool = d.pool
	if d.pool == nil {
		pool, err := sql.Open("rqlite", d.dsn)
		if err != nil {
			return err
		}
		db.ConnPool = pool
	}
	d.register(db, &callbacks.Config{
		CreateClauses:        []string{"INSERT", "VALUES", "ON CONFLICT", "RETURNING"},
		UpdateClauses:        []string{"UPDATE", "SET", "FROM", "WHERE", "RETURNING"},
		DeleteClauses:        []string{"DELETE", "FROM", "WHERE", "RETURNING"},
		LastInsertIDReversed: true, // LastInsertId of an INSERT of several rows is the id of the last
	})
	for name, build := range map[string]clause.ClauseBuilder{"LIMIT": buildLimit, "FOR": buildLocking} {
		if _, ok := db.ClauseBuilders[name]; !ok {
			db.ClauseBuilders[name] = build
		}
	}
	return nil
}

// buildLimit writes a LIMIT clause. SQLite knows no OFFSET without LIMIT.
func buildLimit(c clause.Clause, builder clause.Builder) {
	limit, ok := c.Expression.(clause.Limit)
	if !ok {
		c.Build(builder)
		return
	}
	rows := -1 // all rows
	if limit.Limit != nil && *limit.Limit >= 0 {
		rows = *limit.Limit
	}
	if rows < 0 && limit.Offset <= 0 {
		return
	}
	write(builder, "LIMIT ", strconv.Itoa(rows))
	if limit.Offset > 0 {
		write(builder, " OFFSET ", strconv.Itoa(limit.Offset))
	}
}

// buildLocking leaves out a locking clause, which SQLite does not have.
func buildLocking(c clause.Clause, builder clause.Builder) {
	if _, ok := c.Expression.(clause.Locking); !ok {
		c.Build(builder)
	}
}

// DefaultValueOf implements gorm.Dialector. It returns the value of a column in a row that does not
// set it, while other rows of the INSERT do. SQLite has no keyword for the default there.
func (d *dialector) DefaultValueOf(field *schema.Field) clause.Expression {
	if field.AutoIncrement || field.DefaultValue == "" || field.DefaultValue == "(-)" {
		return clause.Expr{SQL: "NULL"}
	}
	return clause.Expr{SQL: field.DefaultValue}
}

// Migrator implements gorm.Dialector.
func (d *dialector) Migrator(db *gorm.DB) gorm.Migrator {
	return &migration{migrator.Migrator{Config: migrator.Config{DB: db, Dialector: d, CreateIndexAfterCreateTable: true}}}
}

// BindVarTo implements gorm.Dialector.
func (d *dialector) BindVarTo(writer clause.Writer, _ *gorm.Statement, _ any) { write(writer, "?") }

// QuoteTo implements gorm.Dialector.
func (d *dialector) QuoteTo(writer clause.Writer, name string) { write(writer, quote(name)) }

// Explain implements gorm.Dialector. It returns the statement with values in place of its
// parameters.
func (d *dialector) Explain(query string, values ...any) string { return explain(query, values) }

// DataTypeOf implements gorm.Dialector.
func (d *dialector) DataTypeOf(field *schema.Field) string {
	switch field.DataType {
	case schema.Bool:
		return "boolean" // by this name the driver reads it as bool
	case schema.Int, schema.Uint:
		if field.AutoIncrement {
			return "integer PRIMARY KEY AUTOINCREMENT"
		}
		return "integer"
	case schema.Float:
		return "real"
	case schema.String:
		return "text"
	case schema.Time:
		if name, ok := field.TagSettings["TYPE"]; ok {
			return name
		}
		return "datetime"
	case schema.Bytes:
		return "blob"
	}
	return string(field.DataType)
}

// SavePoint implements gorm.SavePointerDialectorInterface.
func (d *dialector) SavePoint(tx *gorm.DB, name string) error {
	return tx.Exec("SAVEPOINT " + quoteName(name)).Error
}

// RollbackTo implements gorm.SavePointerDialectorInterface.
func (d *dialector) RollbackTo(tx *gorm.DB, name string) error {
	return tx.Exec("ROLLBACK TO SAVEPOINT " + quoteName(name)).Error
}

// write writes to GORM's buffer of the statement, which cannot fail.
func write(w clause.Writer, texts ...string) {
	for _, text := range texts {
		_, _ = w.WriteString(text)
	}
}
