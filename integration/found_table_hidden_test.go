package integration_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listings are the questions by which tools find out what there is, as xorm, testfixtures,
// golang-migrate, GORM, Atlas and others put them.
var listings = []string{
	"SELECT name FROM sqlite_master WHERE type='table'",
	"SELECT name FROM sqlite_master WHERE type = 'table';",
	"SELECT name FROM sqlite_master where type='table' AND name NOT LIKE 'sqlite_%'",
	"SELECT count(*) FROM sqlite_schema",
	"SELECT `name`, `sql` FROM `sqlite_master` WHERE `type` = 'table' ORDER BY `name`",
	"SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY CASE type WHEN 'table' THEN 0 ELSE 1 END",
	"SELECT m.name, p.name FROM sqlite_master AS m, pragma_table_info(m.name) AS p WHERE m.type = 'table' ORDER BY 1, p.cid",
	`SELECT sqlite_master.name, sqlite_master.sql, wr, strict FROM sqlite_master JOIN pragma_table_list(sqlite_master.name)
		WHERE sqlite_master.type = 'table' AND sqlite_master.name NOT LIKE 'sqlite_%' AND sqlite_master.name NOT LIKE 'libsql_%'`,
	"SELECT m.name, p.name FROM sqlite_schema m JOIN pragma_table_info(m.name) p WHERE m.type = 'table' ORDER BY 1, p.cid",
}

// The lists of tables are those of SQLite: they do not have the driver's own.
func TestFoundTableHidden(t *testing.T) {
	const definition = "CREATE TABLE numbered (n INTEGER PRIMARY KEY, name TEXT); CREATE INDEX numbers ON numbered (name)"
	oracle := openOracle(t)
	mustExec(t, oracle, definition)
	forEach(t, func(t *testing.T, b *backend) {
		db := openDSN(t, b.launch(t, serverOptions{}).dsn)
		mustExec(t, db, definition)
		tx := begin(t, db, nil)
		_, err := tx.Exec("INSERT INTO numbered (n) VALUES (2)")
		require.NoError(t, err)
		for _, query := range listings {
			want := textsOf(t, oracle, query)
			assert.NotEmpty(t, want, query)
			assert.Equal(t, want, textsOf(t, db, query), query)
			assert.Equal(t, want, textsOf(t, tx, query), "in a transaction: %s", query)
		}
		assert.Equal(t, []string{"name", "_rqlite_tx"}, textsOf(t, db, "SELECT name FROM sqlite_schema WHERE name = '_rqlite_tx'"), "who asks for it is told")
		require.NoError(t, tx.Commit())
	})
}

// textsOf returns all values of a query, row by row, with the names of the columns before them.
func textsOf(t *testing.T, of interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, query string,
) (list []string) {
	t.Helper()
	rows, err := of.QueryContext(t.Context(), query)
	require.NoError(t, err, query)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	list = append(list, columns...)
	for rows.Next() {
		values, dest := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			dest[i] = &values[i]
		}
		require.NoError(t, rows.Scan(dest...))
		for _, v := range values {
			list = append(list, v.String)
		}
	}
	require.NoError(t, rows.Err())
	return list
}
