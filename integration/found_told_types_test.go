package integration_test

import (
	"database/sql"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// mixed are queries whose later rows are of another type than the first.
var mixed = []string{
	"SELECT g, sum(v) AS s FROM {t} GROUP BY g ORDER BY g",
	"SELECT g, coalesce(v, 'none') AS s FROM {t} ORDER BY id",
	"SELECT g, CASE id WHEN 1 THEN 1 WHEN 2 THEN 'two' ELSE 3.5 END AS s FROM {t} ORDER BY id",
	"SELECT 1 AS s UNION ALL SELECT 'x' UNION ALL SELECT 2.5 UNION ALL SELECT NULL UNION ALL SELECT x'41ff'",
	`SELECT value AS s FROM json_each('[1, "two", 3.5, null]')`,
	"SELECT s FROM (SELECT g, sum(v) AS s FROM {t} GROUP BY g ORDER BY g)",
	"SELECT w AS s FROM {t} ORDER BY id",
	"SELECT * FROM {t} ORDER BY id",
	"SELECT NULL AS s UNION ALL SELECT 7",
}

const mixedTable = "CREATE TABLE {t} (id INTEGER PRIMARY KEY, g INT, v, w, note TEXT, r REAL); " +
	"INSERT INTO {t} VALUES (1, 1, 1, 5, 'x', 1), (2, 2, 1.5, 'y', NULL, 2.5), (3, 3, NULL, NULL, 'z', NULL)"

// gormMaps are the rows of a query as GORM gives them.
func gormMaps(t *testing.T, dialector gorm.Dialector, query string) (list []map[string]any, err error) {
	t.Helper()
	db, err := gorm.Open(dialector, &gorm.Config{})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	defer pool.Close()
	err = db.Raw(query).Scan(&list).Error
	return list, err
}

// GORM gives the same maps as on SQLite, by both dialects, whatever the later rows hold.
func TestToldGORMMaps(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		table := newTable()
		file := "file:" + filepath.Join(t.TempDir(), "oracle.db")
		oracle, err := sql.Open("sqlite3", file)
		require.NoError(t, err)
		defer oracle.Close()
		mustExec(t, oracle, strings.ReplaceAll(mixedTable, "{t}", table))
		mustExec(t, b.open(t), strings.ReplaceAll(mixedTable, "{t}", table))
		for _, query := range mixed {
			query = strings.ReplaceAll(query, "{t}", table)
			want, err := gormMaps(t, sqlite.Open(file), query)
			require.NoError(t, err)
			for _, row := range want {
				for name, value := range row {
					if p, ok := value.(*any); ok { // mattn's ScanType is a pointer
						row[name] = *p
					}
				}
			}
			for _, dialect := range gormDialects {
				got, err := gormMaps(t, dialect.open(b.shared.dsn), query)
				require.NoError(t, err, "%s: %s", dialect.name, query)
				assert.Equal(t, want, got, "%s: %s", dialect.name, query)
			}
		}
	})
}

// ScanType is what mattn says, or any.
func TestToldScanTypes(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, oracle := b.open(t), openOracle(t)
		table := newTable()
		for _, each := range []*sql.DB{db, oracle} {
			mustExec(t, each, strings.ReplaceAll(mixedTable, "{t}", table))
		}
		for _, query := range append(mixed, "SELECT * FROM {t} WHERE 0", "SELECT sum(v), note FROM {t} WHERE 0 GROUP BY 2") {
			query = strings.ReplaceAll(query, "{t}", table)
			want, got := scanTypesOf(t, oracle, query), scanTypesOf(t, db, query)
			for i, typ := range got {
				if typ != reflect.TypeFor[any]() { // mattn says *any
					assert.Equal(t, want[i], typ, "%s: column %d", query, i)
				}
			}
		}
		assert.Contains(t, scanTypesOf(t, db, "SELECT * FROM "+table+" WHERE 0"), reflect.TypeFor[sql.NullInt64](), "without rows it is known")
	})
}

func scanTypesOf(t *testing.T, db *sql.DB, query string) (list []reflect.Type) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	types, err := rows.ColumnTypes()
	require.NoError(t, err)
	for _, typ := range types {
		list = append(list, typ.ScanType())
	}
	return list
}
