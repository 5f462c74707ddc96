package gormrqlite

import (
	"database/sql"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/migrator"
	"gorm.io/gorm/schema"
)

// HasColumn implements gorm.Migrator.
func (m *migration) HasColumn(value any, name string) (has bool) {
	_ = m.RunWithValue(value, func(stmt *gorm.Statement) error {
		has = m.count("SELECT count(*) FROM pragma_table_xinfo(?) WHERE lower(name) = lower(?)", stmt.Table, columnName(stmt, name)) > 0
		return nil
	})
	return has
}

func columnName(stmt *gorm.Statement, name string) string {
	if field := lookUp(stmt, name); field != nil {
		return field.DBName
	}
	return name
}

func lookUp(stmt *gorm.Statement, name string) *schema.Field {
	if stmt.Schema == nil {
		return nil
	}
	return stmt.Schema.LookUpField(name)
}

// AddColumn implements gorm.Migrator. It rebuilds the table for a column that ALTER TABLE cannot
// add.
func (m *migration) AddColumn(value any, name string) error {
	return m.RunWithValue(value, func(stmt *gorm.Statement) error {
		field := lookUp(stmt, name)
		if field == nil {
			return fmt.Errorf("rqlite: the model of %s has no field %s", stmt.Table, name)
		}
		if field.IgnoreMigration {
			return nil
		}
		column := m.columnOf(field)
		if !needsRebuild(field, column) {
			return m.DB.Exec("ALTER TABLE " + quoteName(stmt.Table) + " ADD COLUMN " + column).Error
		}
		return m.rebuild(stmt.Table, func(t *table) error {
			t.addColumn(column)
			m.setUnique(t, stmt.Schema, field)
			return nil
		})
	})
}

// columnOf returns the definition of a column for a field of the model.
func (m *migration) columnOf(field *schema.Field) string {
	return quoteName(field.DBName) + " " + m.FullDataTypeOf(field).SQL
}

// setUnique adds the model's UNIQUE constraint on a column to a table, if there is one.
func (m *migration) setUnique(t *table, model *schema.Schema, field *schema.Field) {
	for _, unique := range model.ParseUniqueConstraints() {
		if unique.Field == field {
			t.set(unique.Name, m.render(unique.Build()))
		}
	}
}

// addColumn adds a column after the others.
func (t *table) addColumn(sql string) {
	at := len(t.items)
	for at > 0 && !t.items[at-1].isColumn() {
		at--
	}
	t.items = append(t.items[:at:at], append([]item{{lex(sql)}}, t.items[at:]...)...)
}

// needsRebuild reports whether ALTER TABLE ADD COLUMN refuses a column, at least in a table with
// rows (https://www.sqlite.org/lang_altertable.html#alter_table_add_column).
func needsRebuild(field *schema.Field, column string) bool {
	if field.Unique || field.PrimaryKey {
		return true
	}
	for _, t := range lex(column) {
		if t.is("STORED", "UNIQUE", "PRIMARY", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP") {
			return true
		}
	}
	return strings.HasPrefix(field.DefaultValue, "(") && field.DefaultValue != "(-)"
}

// DropColumn implements gorm.Migrator. It rebuilds the table without the column, and without the
// constraints and indexes on it.
func (m *migration) DropColumn(value any, name string) error {
	return m.RunWithValue(value, func(stmt *gorm.Statement) error {
		column := columnName(stmt, name)
		return m.rebuild(stmt.Table, func(t *table) error {
			i := t.column(column)
			if i < 0 {
				return fmt.Errorf("rqlite: the table %s has no column %s", stmt.Table, column)
			}
			t.drop(i)
			return nil
		})
	})
}

// AlterColumn implements gorm.Migrator. It rebuilds the table with the column as in the model.
func (m *migration) AlterColumn(value any, name string) error {
	return m.RunWithValue(value, func(stmt *gorm.Statement) error {
		field := lookUp(stmt, name)
		if field == nil {
			return fmt.Errorf("rqlite: the model of %s has no field %s", stmt.Table, name)
		}
		return m.rebuild(stmt.Table, func(t *table) error {
			i := t.column(field.DBName)
			if i < 0 {
				return fmt.Errorf("rqlite: the table %s has no column %s", stmt.Table, field.DBName)
			}
			t.items[i] = item{lex(m.columnOf(field))}
			m.setUnique(t, stmt.Schema, field) // it may have been part of the column
			return nil
		})
	})
}

// RenameColumn implements gorm.Migrator.
func (m *migration) RenameColumn(value any, from, to string) error {
	return m.RunWithValue(value, func(stmt *gorm.Statement) error {
		return m.DB.Exec("ALTER TABLE ? RENAME COLUMN ? TO ?", clause.Table{Name: stmt.Table},
			clause.Column{Name: columnName(stmt, from)}, clause.Column{Name: columnName(stmt, to)}).Error
	})
}

// MigrateColumn implements gorm.Migrator. GORM compares the texts of both defaults, that of the
// column and that of the model. Only one of them may be quoted.
func (m *migration) MigrateColumn(value any, field *schema.Field, column gorm.ColumnType) error {
	return m.Migrator.MigrateColumn(value, field, comparedColumn{column, field, item{lex(m.columnOf(field))}})
}

// storedColumn is gorm.ColumnType under another name. Its method is called ColumnType as well, so
// it could not be embedded otherwise.
type storedColumn = gorm.ColumnType

// comparedColumn is a column whose default has the text of the model if both are the same.
type comparedColumn struct {
	storedColumn
	field *schema.Field
	made  item // the column as the model defines it
}

// DefaultValue implements gorm.ColumnType.
func (c comparedColumn) DefaultValue() (string, bool) {
	stored, ok := c.storedColumn.DefaultValue()
	if made, has := c.made.defaultValue(); ok && has && made == stored {
		return c.field.DefaultValue, true
	}
	return stored, ok
}

// columnInfo is a row of pragma_table_xinfo.
type columnInfo struct {
	Name    string
	Type    string
	Notnull bool
	Pk      int
	Hidden  int  // above 1 for generated columns
	Uni     bool // a UNIQUE constraint is on this column alone
}

func (m *migration) columns(name string) (columns []columnInfo, err error) {
	err = m.DB.Raw(`SELECT c.name, c.type, c."notnull", c.pk, c.hidden, EXISTS (
			SELECT 1 FROM pragma_index_list(?) AS l WHERE l.origin = 'u'
			AND (SELECT group_concat(i.name, char(0)) FROM pragma_index_info(l.name) AS i) = c.name) AS uni
		FROM pragma_table_xinfo(?) AS c WHERE c.hidden <> 1 ORDER BY c.cid`, name, name).Scan(&columns).Error
	return columns, err
}

// sizes matches a type with sizes, such as decimal(10,2).
var sizes = regexp.MustCompile(`^([^(]*?)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)`)

// ColumnTypes implements gorm.Migrator.
func (m *migration) ColumnTypes(value any) ([]gorm.ColumnType, error) {
	var types []gorm.ColumnType
	err := m.RunWithValue(value, func(stmt *gorm.Statement) error {
		t, err := m.definition(stmt.Table)
		if err != nil {
			return err
		}
		columns, err := m.columns(stmt.Table)
		if err != nil {
			return err
		}
		scanTypes, err := m.scanTypes(stmt.Table)
		if err != nil {
			return err
		}
		for n, c := range columns {
			types = append(types, columnType(c, t, scanTypes[n]))
		}
		return nil
	})
	return types, err
}

// scanTypes asks the driver for the Go types of the columns.
func (m *migration) scanTypes(name string) ([]reflect.Type, error) {
	rows, err := m.DB.Raw("SELECT * FROM " + quoteName(name) + " LIMIT 0").Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	var types []reflect.Type
	for _, c := range columns {
		types = append(types, c.ScanType())
	}
	return types, rows.Err()
}

func columnType(c columnInfo, t *table, scan reflect.Type) gorm.ColumnType {
	i := t.column(c.Name)
	if i >= 0 {
		c.Type = t.items[i].declared() // SQLite changes some types to upper case
	}
	out := migrator.ColumnType{
		NameValue:       sql.NullString{String: c.Name, Valid: true},
		DataTypeValue:   sql.NullString{String: c.Type, Valid: true},
		ColumnTypeValue: sql.NullString{String: c.Type, Valid: true},
		PrimaryKeyValue: known(c.Pk > 0),
		UniqueValue:     known(c.Uni),
		NullableValue:   known(!c.Notnull),
		ScanTypeValue:   scan,
	}
	if parts := sizes.FindStringSubmatch(c.Type); parts != nil {
		out.DataTypeValue.String = parts[1]
		if parts[3] == "" {
			out.LengthValue = number(parts[2])
		} else {
			out.DecimalSizeValue, out.ScaleValue = number(parts[2]), number(parts[3])
		}
	}
	if i >= 0 {
		out.DefaultValueValue.String, out.DefaultValueValue.Valid = t.items[i].defaultValue()
		out.AutoIncrementValue = known((&table{items: t.items[i : i+1]}).has("AUTOINCREMENT"))
	}
	return out
}

func known(b bool) sql.NullBool { return sql.NullBool{Bool: b, Valid: true} }

func number(digits string) sql.NullInt64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	return sql.NullInt64{Int64: n, Valid: err == nil}
}
