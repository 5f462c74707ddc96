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

// atomically runs statements, all or none of them, as one request.
func (m *migration) atomically(statements []string) error {
	ctx := rqlite.WithTxMode(m.DB.Statement.Context, rqlite.TxDeferred)
	return m.DB.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		for _, sql := range statements {
			if err := tx.Exec(sql).Error; err != nil {
				return err
			}
		}
		return nil
	})
}

// rebuild gives a table another definition: a new table takes its rows and then its
// name, https://www.sqlite.org/lang_altertable.html#otheralter.
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

// storedColumns lists the columns whose values can be written: those that are not
// generated, and that the filter wants.
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

// dependents returns how to drop and to make again what belongs to a table or would not
// let it be renamed: its indexes and triggers, and triggers and views that name it; and
// the triggers of tables whose rows are put aside. An index on what is gone stays away.
func (m *migration) dependents(name string, children []string, gone func(object) bool) (drops, creates []string, err error) {
	var objects []object
	err = m.DB.Raw("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL ORDER BY rowid").
		Scan(&objects).Error
	names := []string{name} // of the table and the views on it, and on those
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

// reference is one table that refers to another by a foreign key.
type reference struct{ Child, Parent string }

// enforced returns the tables that refer to a table, directly or not, if foreign keys are
// enforced: DROP TABLE deletes the rows of the table first, which would then delete those that
// refer to them as well, or fail.
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
		return nil, fmt.Errorf("rqlite: the table %s cannot be made anew while foreign keys are enforced: its references form a circle by way of %s; run rqlited without -fk for the migration", name, circle)
	}
	return order[:len(order)-1], nil // the last one is the table itself
}

// references returns what refers to what, but for tables that refer to themselves.
func (m *migration) references() (all []reference, err error) {
	err = m.DB.Raw(`SELECT DISTINCT s.name AS child, f."table" AS parent FROM sqlite_schema AS s, pragma_foreign_key_list(s.name) AS f
		WHERE s.type = 'table' AND lower(s.name) <> lower(f."table")`).Scan(&all).Error
	return all, err
}

// referrersFirst returns tables and all that refer to them, directly or not, each behind
// those that refer to it. Where the references form a circle that cannot be, and circle
// names a table of it, else "".
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

// putAside returns how to put the rows of tables aside, and how to bring them back.
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
