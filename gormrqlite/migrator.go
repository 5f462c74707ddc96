package gormrqlite

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/migrator"
	"gorm.io/gorm/schema"
)

// migration is the migrator. The embedded migrator creates tables and compares columns.
type migration struct {
	migrator.Migrator
}

var (
	_ gorm.Migrator                       = (*migration)(nil)
	_ migrator.BuildIndexOptionsInterface = (*migration)(nil)
)

// count returns the number that a query selects. It returns 0 if the query fails, which GORM's Has
// methods can only report in the log.
func (m *migration) count(query string, args ...any) (n int64) {
	if err := m.DB.Raw(query, args...).Row().Scan(&n); err != nil {
		m.DB.Logger.Error(m.DB.Statement.Context, "rqlite: %v", err)
		return 0
	}
	return n
}

// CurrentDatabase implements gorm.Migrator. It returns "main": rqlite has no other.
func (m *migration) CurrentDatabase() string { return "main" }

// GetTypeAliases implements gorm.Migrator: gorm.io/driver/sqlite calls booleans numeric.
func (m *migration) GetTypeAliases(name string) []string {
	if name == "numeric" {
		return []string{"boolean"}
	}
	return nil
}

// FullDataTypeOf implements gorm.Migrator. It writes a default as in the tag, so that later
// comparisons find it equal, and a text in single quotes.
func (m *migration) FullDataTypeOf(field *schema.Field) clause.Expr {
	sql := m.DataTypeOf(field)
	if field.NotNull {
		sql += " NOT NULL"
	}
	if text, ok := field.DefaultValueInterface.(string); ok {
		sql += " DEFAULT " + literal(text)
	} else if isBareDate(field) {
		sql += " DEFAULT " + literal(field.DefaultValue)
	} else if field.HasDefaultValue && field.DefaultValue != "" && field.DefaultValue != "(-)" {
		sql += " DEFAULT " + field.DefaultValue
	}
	return clause.Expr{SQL: sql}
}

// isBareDate reports whether the default of a field is an unquoted time, such as 2000-01-02.
func isBareDate(field *schema.Field) bool {
	return field.DataType == schema.Time && field.DefaultValue != "" && field.DefaultValue[0] >= '0' && field.DefaultValue[0] <= '9' &&
		strings.ContainsAny(field.DefaultValue, "-:")
}

// HasTable implements gorm.Migrator.
func (m *migration) HasTable(value any) (has bool) {
	_ = m.RunWithValue(value, func(stmt *gorm.Statement) error {
		has = m.count("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND lower(name) = lower(?)", stmt.Table) > 0
		return nil
	})
	return has
}

// GetTables implements gorm.Migrator. It leaves out the tables of SQLite and of the driver.
func (m *migration) GetTables() (names []string, err error) {
	err = m.DB.Raw("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> '_rqlite_tx' ORDER BY rowid").Scan(&names).Error
	return names, err
}

// DropTable implements gorm.Migrator. It drops all of the tables or none. Like GORM's other
// dialects it also drops a table to which remaining tables refer. Their foreign keys then refer to
// a missing table.
//
// Switching the deferral of foreign keys on and off again within the transaction makes SQLite
// forget the violations of the DROP. The setting ends with the transaction and affects nobody else.
// ON DELETE CASCADE and the like act as for a DELETE.
func (m *migration) DropTable(values ...any) error {
	var names []string
	for _, value := range slices.Backward(m.ReorderModels(values, false)) {
		if err := m.RunWithValue(value, func(stmt *gorm.Statement) error {
			names = append(names, stmt.Table)
			return nil
		}); err != nil {
			return err
		}
	}
	all, err := m.references()
	if err != nil {
		return err
	}
	statements := []string{"PRAGMA defer_foreign_keys = ON"}
	order, _ := referrersFirst(all, names...) // in a circle any order will do
	for _, name := range order {
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			statements = append(statements, "DROP TABLE IF EXISTS "+quoteName(name))
		}
	}
	return m.atomically(append(statements, "PRAGMA defer_foreign_keys = OFF"))
}

// HasIndex implements gorm.Migrator.
func (m *migration) HasIndex(value any, name string) (has bool) {
	_ = m.RunWithValue(value, func(stmt *gorm.Statement) error {
		has = m.count("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND lower(tbl_name) = lower(?) AND lower(name) = lower(?)",
			stmt.Table, indexName(stmt, name)) > 0
		return nil
	})
	return has
}

func indexName(stmt *gorm.Statement, name string) string {
	if stmt.Schema != nil {
		if index := stmt.Schema.LookIndex(name); index != nil {
			return index.Name
		}
	}
	return name
}

// BuildIndexOptions implements migrator.BuildIndexOptionsInterface.
func (m *migration) BuildIndexOptions(fields []schema.IndexOption, stmt *gorm.Statement) []any {
	var columns []any
	for _, field := range fields {
		sql := stmt.Quote(field.DBName)
		if field.Expression != "" {
			sql = field.Expression
		}
		if field.Collate != "" {
			sql += " COLLATE " + field.Collate
		}
		if field.Sort != "" {
			sql += " " + field.Sort
		}
		columns = append(columns, clause.Expr{SQL: sql})
	}
	return columns
}

// CreateIndex implements gorm.Migrator. Of the options of an index, SQLite knows the class UNIQUE
// and a condition.
func (m *migration) CreateIndex(value any, name string) error {
	return m.RunWithValue(value, func(stmt *gorm.Statement) error {
		var index *schema.Index
		if stmt.Schema != nil {
			index = stmt.Schema.LookIndex(name)
		}
		if index == nil {
			return fmt.Errorf("rqlite: the model of %s has no index %s", stmt.Table, name)
		}
		sql := "CREATE "
		if index.Class != "" {
			sql += index.Class + " "
		}
		sql += "INDEX ? ON ??"
		if index.Where != "" {
			sql += " WHERE " + index.Where
		}
		return m.DB.Exec(sql, clause.Column{Name: index.Name}, clause.Table{Name: stmt.Table}, m.BuildIndexOptions(index.Fields, stmt)).Error
	})
}

// DropIndex implements gorm.Migrator.
func (m *migration) DropIndex(value any, name string) error {
	return m.RunWithValue(value, func(stmt *gorm.Statement) error {
		return m.DB.Exec("DROP INDEX " + quoteName(indexName(stmt, name))).Error
	})
}

// RenameIndex implements gorm.Migrator. It creates the index again under its new name.
func (m *migration) RenameIndex(value any, from, to string) error {
	return m.RunWithValue(value, func(stmt *gorm.Statement) error {
		var sql string
		err := m.DB.Raw("SELECT sql FROM sqlite_schema WHERE type = 'index' AND lower(tbl_name) = lower(?) AND lower(name) = lower(?) AND sql IS NOT NULL",
			stmt.Table, from).Row().Scan(&sql)
		if err != nil {
			return fmt.Errorf("rqlite: the table %s has no index %s to rename: %w", stmt.Table, from, err)
		}
		tokens := lex(sql)
		at := slices.IndexFunc(tokens, func(t token) bool { return t.isName(from) })
		tokens[at] = token{quoted, quoteName(to)}
		return m.atomically([]string{"DROP INDEX " + quoteName(from), join(tokens)})
	})
}

// GetIndexes implements gorm.Migrator. It leaves out the indexes that SQLite creates for UNIQUE
// constraints.
func (m *migration) GetIndexes(value any) ([]gorm.Index, error) {
	var indexes []gorm.Index
	err := m.RunWithValue(value, func(stmt *gorm.Statement) error {
		var columns []struct {
			Name, Origin string
			Unique       bool
			Column       string
		}
		err := m.DB.Raw("SELECT l.name, l.origin, l.\"unique\", coalesce(i.name, '') AS \"column\" FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i "+
			"WHERE l.origin <> 'u' ORDER BY l.seq, i.seqno", stmt.Table).Scan(&columns).Error
		for n, c := range columns {
			if n == 0 || columns[n-1].Name != c.Name {
				indexes = append(indexes, &migrator.Index{
					TableName: stmt.Table, NameValue: c.Name,
					PrimaryKeyValue: known(c.Origin == "pk"), UniqueValue: known(c.Unique),
				})
			}
			if c.Column != "" { // an expression has no name
				index := indexes[len(indexes)-1].(*migrator.Index)
				index.ColumnList = append(index.ColumnList, c.Column)
			}
		}
		return err
	})
	return indexes, err
}

// HasConstraint implements gorm.Migrator.
func (m *migration) HasConstraint(value any, name string) (has bool) {
	_ = m.RunWithValue(value, func(stmt *gorm.Statement) error {
		constraint, owner := m.GuessConstraintInterfaceAndTable(stmt, name)
		if constraint != nil {
			name = constraint.GetName()
		}
		t, err := m.definition(owner)
		has = err == nil && t.hasConstraint(name)
		return nil
	})
	return has
}

// CreateConstraint implements gorm.Migrator. It rebuilds the table.
func (m *migration) CreateConstraint(value any, name string) error {
	return m.RunWithValue(value, func(stmt *gorm.Statement) error {
		constraint, owner := m.GuessConstraintInterfaceAndTable(stmt, name)
		if constraint == nil {
			return fmt.Errorf("rqlite: the model of %s has no constraint %s", stmt.Table, name)
		}
		return m.rebuild(owner, func(t *table) error {
			t.set(constraint.GetName(), m.render(constraint.Build()))
			return nil
		})
	})
}

// DropConstraint implements gorm.Migrator. It rebuilds the table.
func (m *migration) DropConstraint(value any, name string) error {
	return m.RunWithValue(value, func(stmt *gorm.Statement) error {
		constraint, owner := m.GuessConstraintInterfaceAndTable(stmt, name)
		if constraint != nil {
			name = constraint.GetName()
		}
		return m.rebuild(owner, func(t *table) error {
			i := t.constraint(name)
			if i < 0 {
				return fmt.Errorf("rqlite: the table %s has no constraint %s that can be dropped", owner, name)
			}
			t.items = slices.Delete(t.items, i, i+1)
			return nil
		})
	})
}

// CreateView implements gorm.Migrator.
func (m *migration) CreateView(name string, option gorm.ViewOption) error {
	if option.Query == nil {
		return gorm.ErrSubQueryRequired
	}
	stmt := &gorm.Statement{DB: m.DB}
	stmt.AddVar(&stmt.SQL, option.Query)
	create := "CREATE VIEW " + quoteName(name) + " AS " + strings.TrimSuffix(strings.TrimPrefix(explain(stmt.SQL.String(), stmt.Vars), "("), ")")
	if !option.Replace {
		return m.DB.Exec(create).Error
	}
	return m.atomically([]string{"DROP VIEW IF EXISTS " + quoteName(name), create})
}

// render returns SQL with names in place of its parameters.
func (m *migration) render(sql string, names []any) string {
	stmt := &gorm.Statement{DB: m.DB}
	clause.Expr{SQL: sql, Vars: names}.Build(stmt)
	return stmt.SQL.String()
}
