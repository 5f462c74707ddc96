package gormrqlite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-rqlite/rqlite"
	"gorm.io/gorm"
)

// definition reads the definition of a table.
func (m *migration) definition(name string) (*table, error) {
	var sql string
	err := m.DB.Raw("SELECT sql FROM sqlite_schema WHERE type = 'table' AND lower(name) = lower(?)", name).Row().Scan(&sql)
	if err != nil {
		return nil, fmt.Errorf("rqlite: the table %s has no definition: %w", name, err)
	}
	return parseTable(sql)
}

// atomically runs all of the statements or none, in one request.
func (m *migration) atomically(statements []string) error {
	ctx := rqlite.WithTxMode(m.DB.Statement.Context, rqlite.TxPipelined)
	return m.DB.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		for _, sql := range statements {
			if err := tx.Exec(sql).Error; err != nil {
				return err
			}
		}
		return nil
	})
}

// rebuild changes the definition of a table. It creates a new table, copies the rows, and gives it
// the old name (https://www.sqlite.org/lang_altertable.html#otheralter).
func (m *migration) rebuild(name string, change func(*table) error) error {
	t, err := m.definition(name)
	if err != nil {
		return err
	}
	if err := change(t); err != nil {
		return err
	}
	columns, err := m.columns(name)
	if err != nil {
		return err
	}
	fresh := name + "__new"
	t.rename(name, fresh)
	rows := storedColumns(columns, func(c columnInfo) bool { return t.column(c.Name) >= 0 })
	children, err := m.enforced(name)
	if err != nil {
		return err
	}
	aside, back, err := m.putAside(children)
	if err != nil {
		return err
	}
	drops, creates, err := m.dependents(name, children, func(o object) bool {
		return slices.ContainsFunc(columns, func(c columnInfo) bool { return t.column(c.Name) < 0 && mentions(o.SQL, c.Name) })
	})
	if err != nil {
		return err
	}
	statements := slices.Concat(drops, aside, []string{
		t.create(fresh),
		fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s", quoteName(fresh), rows, rows, quoteName(name)),
	})
	if t.has("AUTOINCREMENT") {
		statements = append(statements,
			"DELETE FROM sqlite_sequence WHERE name = "+literal(fresh),
			fmt.Sprintf("INSERT INTO sqlite_sequence (name, seq) SELECT %s, seq FROM sqlite_sequence WHERE lower(name) = lower(%s)", literal(fresh), literal(name)))
	}
	statements = append(statements,
		"DROP TABLE "+quoteName(name),
		fmt.Sprintf("ALTER TABLE %s RENAME TO %s", quoteName(fresh), quoteName(name)))
	return m.atomically(slices.Concat(statements, back, creates))
}

// storedColumns lists the columns that can be written, which excludes generated ones, as far as
// wanted accepts them.
func storedColumns(columns []columnInfo, wanted func(columnInfo) bool) string {
	var names []string
	for _, c := range columns {
		if c.Hidden == 0 && wanted(c) {
			names = append(names, quoteName(c.Name))
		}
	}
	return strings.Join(names, ",")
}

// object is an index, a trigger or a view.
type object struct{ Type, Name, TblName, SQL string }

// dependents returns statements that drop and create again the objects that depend on a table or
// prevent renaming it: its indexes and triggers, and triggers and views that name it. They include
// the triggers of tables whose rows are moved aside. An index for which gone returns true is not
// created again.
func (m *migration) dependents(name string, children []string, gone func(object) bool) (drops, creates []string, err error) {
	var objects []object
	err = m.DB.Raw("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL ORDER BY rowid").
		Scan(&objects).Error
	names := []string{name} // the table, the views on it, and the views on those
	about := func(o object) bool {
		return slices.ContainsFunc(names, func(name string) bool { return mentions(o.SQL, name) })
	}
	for grown := true; grown; {
		grown = false
		for _, o := range objects {
			if o.Type == "view" && about(o) && !slices.Contains(names, o.Name) {
				names, grown = append(names, o.Name), true
			}
		}
	}
	for _, o := range objects {
		own := strings.EqualFold(o.TblName, name)
		switch {
		case o.Type == "index" && !own:
			continue
		case o.Type == "index":
			if !gone(o) {
				creates = append(creates, o.SQL)
			}
			continue // it is dropped with its table
		case own, about(o), slices.Contains(children, o.TblName):
			drops = append(drops, fmt.Sprintf("DROP %s %s", o.Type, quoteName(o.Name)))
			creates = append(creates, o.SQL)
		}
	}
	return drops, creates, err
}

// reference says that a table has a foreign key to another table.
type reference struct{ Child, Parent string }

// enforced returns the tables that refer to a table, directly or not, if foreign keys are enforced.
// DROP TABLE deletes the rows of the table first. With foreign keys this would fail, or delete the
// rows that refer to them.
func (m *migration) enforced(name string) ([]string, error) {
	var on int
	if err := m.DB.Raw("PRAGMA foreign_keys").Row().Scan(&on); err != nil || on == 0 {
		return nil, err
	}
	all, err := m.references()
	if err != nil {
		return nil, err
	}
	order, circle := referrersFirst(all, name)
	if circle != "" {
		return nil, fmt.Errorf("rqlite: the table %s cannot be rebuilt while foreign keys are enforced: the references to it form a circle through %s: run rqlited without -fk for the migration", name, circle)
	}
	return order[:len(order)-1], nil // the last one is the table itself
}

// references returns all references between tables. It leaves out those of a table to itself.
func (m *migration) references() (all []reference, err error) {
	err = m.DB.Raw(`SELECT DISTINCT s.name AS child, f."table" AS parent FROM sqlite_schema AS s, pragma_foreign_key_list(s.name) AS f
		WHERE s.type = 'table' AND lower(s.name) <> lower(f."table")`).Scan(&all).Error
	return all, err
}

// referrersFirst returns the named tables and all that refer to them, directly or not. Each table
// comes after those that refer to it. In a circle there is no such order; circle then names one of
// its tables. Otherwise it is "".
func referrersFirst(all []reference, names ...string) (order []string, circle string) {
	const open, done = 1, 2
	state := map[string]int{}
	var visit func(name string)
	visit = func(name string) {
		key := strings.ToLower(name)
		if state[key] != 0 {
			if state[key] == open {
				circle = name
			}
			return
		}
		state[key] = open
		for _, r := range all {
			if strings.EqualFold(r.Parent, name) {
				visit(r.Child)
			}
		}
		state[key] = done
		order = append(order, name)
	}
	for _, name := range names {
		visit(name)
	}
	return order, circle
}

// putAside returns statements that move the rows of tables aside and back.
func (m *migration) putAside(tables []string) (aside, back []string, err error) {
	for _, name := range tables {
		columns, err := m.columns(name)
		if err != nil {
			return nil, nil, err
		}
		rows := storedColumns(columns, func(columnInfo) bool { return true })
		store := quoteName(name + "__aside")
		aside = append(aside,
			fmt.Sprintf("CREATE TABLE %s AS SELECT %s FROM %s", store, rows, quoteName(name)),
			"DELETE FROM "+quoteName(name))
		back = append([]string{
			fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s", quoteName(name), rows, rows, store),
			"DROP TABLE " + store,
		}, back...)
	}
	return aside, back, nil
}
