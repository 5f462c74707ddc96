package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// shapeContents returns all that a database holds, as text: the schema in the order of
// its names, and the rows of each table and view in the order of their values.
func shapeContents(ctx context.Context, db *sql.DB, like likeness) ([]string, error) {
	lines, err := list(ctx, db, `SELECT type || ' ' || name || ' on ' || tbl_name || ': ' || coalesce(sql, 'automatic')
		FROM sqlite_schema WHERE name NOT LIKE '\_rqlite\_%' ESCAPE '\' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY type, name`)
	if err != nil {
		return nil, err
	}
	tables, err := list(ctx, db, `SELECT name FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE '\_rqlite\_%' ESCAPE '\'
		AND name NOT IN ('sqlite_schema', 'sqlite_master', 'sqlite_stat1', 'sqlite_stat4') ORDER BY name`)
	if err != nil {
		return nil, err
	}
	for _, table := range tables {
		rows, err := tableContents(ctx, db, table, like)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", table, err)
		}
		lines = append(lines, rows...)
	}
	return lines, nil
}

// tableContents returns the rows of a table or view.
func tableContents(ctx context.Context, db *sql.DB, table string, like likeness) ([]string, error) {
	columns, err := list(ctx, db, `SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid`, table)
	if err != nil {
		return nil, err
	}
	var kind string
	err = db.QueryRowContext(ctx, `SELECT type || wr FROM pragma_table_list WHERE schema = 'main' AND name = ?`, table).Scan(&kind)
	if err != nil {
		return nil, err
	}
	shown := make([]string, 0, len(columns)+1)
	for _, column := range columns {
		shown = append(shown, quoteName(column))
	}
	if kind == "table0" {
		shown = append(shown, "rowid")
	}
	show := "quote(%s)"
	if like == inKind {
		show = "typeof(%s)"
	}
	for i, column := range shown {
		shown[i] = fmt.Sprintf(show, column)
	}
	rows, err := list(ctx, db, fmt.Sprintf("SELECT concat_ws(', ', %s) FROM %s ORDER BY 1", strings.Join(shown, ", "), quoteName(table)))
	for i, row := range rows {
		if like == toTheDay {
			row = dayOf(row)
		}
		rows[i] = table + ": " + row
	}
	return rows, err
}

// list returns the one column of a query.
func list(ctx context.Context, db *sql.DB, query string, args ...any) ([]string, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, rows.Err()
}

// prepareForShapes makes the tables that stay: the driver's own, which lists of all tables leave
// out, and the one for AUTOINCREMENT.
func prepareForShapes(ctx context.Context, db *sql.DB, rqlite bool) error {
	if rqlite {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, "CREATE TABLE first (x)"); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE counting (id INTEGER PRIMARY KEY AUTOINCREMENT)"); err != nil {
		return err
	}
	return empty(ctx, db)
}

// empty drops all that a database holds, but for the driver's own.
func empty(ctx context.Context, db *sql.DB) error {
	const what = `SELECT 'DROP ' || type || ' "' || replace(name, '"', '""') || '"' FROM sqlite_schema
		WHERE type IN ('table', 'view') AND name NOT LIKE '\_rqlite\_%' ESCAPE '\' AND (name NOT LIKE 'sqlite\_%' ESCAPE '\' OR name LIKE 'sqlite\_stat%' ESCAPE '\')
		ORDER BY type = 'table', sql NOT LIKE 'CREATE VIRTUAL%', rowid DESC`
	var errs []error
	for range 10 { // tables go after those that refer to them
		drops, err := list(ctx, db, what)
		if err != nil {
			return err
		}
		if len(drops) == 0 {
			// what is left of AUTOINCREMENT
			_, err := db.ExecContext(ctx, "DELETE FROM sqlite_sequence")
			if err != nil && strings.Contains(err.Error(), "no such table") {
				err = nil
			}
			return err
		}
		errs = nil
		for _, drop := range drops {
			if _, err := db.ExecContext(ctx, drop); err != nil && !strings.Contains(err.Error(), "no such table") {
				errs = append(errs, fmt.Errorf("%s: %w", drop, err))
			}
		}
	}
	return errors.Join(errs...)
}

// quoteName quotes a name for SQL.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
