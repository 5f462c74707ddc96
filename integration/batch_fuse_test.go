package integration_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fusedCase is a table, and the values of a batch of one INSERT into it.
type fusedCase struct {
	schema  string // $t is the table
	insert  string
	values  func(i int) []any
	fails   bool
	between string // a statement between two halves of the batch
}

func oneValue(value any) func(int) []any { return func(int) []any { return []any{value} } }

func counted(i int) []any { return []any{i, fmt.Sprint("row ", i)} }

var fusedCases = map[string]fusedCase{
	"ids of SQLite":  {schema: "CREATE TABLE $t(id INTEGER PRIMARY KEY, a, b)", insert: "INSERT INTO $t(a, b) VALUES (?, ?)", values: counted},
	"no column list": {schema: "CREATE TABLE $t(a INT, b TEXT)", insert: "INSERT INTO $t VALUES (?, ?)", values: counted},
	"AUTOINCREMENT":  {schema: "CREATE TABLE $t(id INTEGER PRIMARY KEY AUTOINCREMENT, a, b)", insert: "INSERT INTO $t(a, b) VALUES (?, ?)", values: counted},
	"ids of the program": {
		schema: "CREATE TABLE $t(id INTEGER PRIMARY KEY, b)", insert: "INSERT INTO $t(id, b) VALUES (?, ?)",
		values: func(i int) []any { return []any{100 - 3*i, "x"} },
	},
	"rowids of the program": {
		schema: "CREATE TABLE $t(a INT, b)", insert: "INSERT INTO $t(rowid, b) VALUES (?, ?)",
		values: func(i int) []any { return []any{100 - 3*i, "x"} },
	},
	"some ids of the program": {
		schema: "CREATE TABLE $t(id INTEGER PRIMARY KEY, b)", insert: "INSERT INTO $t(id, b) VALUES (?, ?)",
		values: func(i int) []any { return []any{[]any{nil, 50 - i}[i%2], "x"} },
	},
	"WITHOUT ROWID": {schema: "CREATE TABLE $t(a INT PRIMARY KEY, b) WITHOUT ROWID", insert: "INSERT INTO $t(a, b) VALUES (?, ?)", values: counted},
	"two rows each": {
		schema: "CREATE TABLE $t(id INTEGER PRIMARY KEY, a, b)", insert: "INSERT INTO $t(a, b) VALUES (?, ?), (?, ?)",
		values: func(i int) []any { return []any{i, "x", -i, "y"} },
	},
	"a violation": {
		schema: "CREATE TABLE $t(id INTEGER PRIMARY KEY, a UNIQUE, b)", insert: "INSERT INTO $t(a, b) VALUES (?, ?)", fails: true,
		values: func(i int) []any { return []any{i % 15, "x"} },
	},
	"ON CONFLICT in the schema": {
		schema: "CREATE TABLE $t(id INTEGER PRIMARY KEY, a UNIQUE ON CONFLICT IGNORE, b)", insert: "INSERT INTO $t(a, b) VALUES (?, ?)",
		values: func(i int) []any { return []any{i % 15, "x"} },
	},
	"a trigger": {
		schema: "CREATE TABLE $t(id INTEGER PRIMARY KEY, a, b); CREATE TRIGGER $t_more AFTER INSERT ON $t WHEN new.a > 0 BEGIN INSERT INTO $t(a, b) VALUES (-new.a, changes()); END",
		insert: "INSERT INTO $t(a, b) VALUES (?, ?)", values: counted,
	},
	"a key to itself": {
		schema: "CREATE TABLE $t(id INTEGER PRIMARY KEY, a REFERENCES $t, b)", insert: "INSERT INTO $t(a, b) VALUES (?, ?)",
		values: func(i int) []any { return []any{i + 2, "x"} },
	},
	"changes() behind": {
		schema: "CREATE TABLE $t(id INTEGER PRIMARY KEY, a, b); CREATE TABLE $t_log(n); CREATE TRIGGER $t_count AFTER INSERT ON $t_log BEGIN UPDATE $t_log SET n = changes(); END",
		insert: "INSERT INTO $t(a, b) VALUES (?, ?)", values: counted, between: "INSERT INTO $t_log VALUES (0)",
	},
	"NULL": {schema: "CREATE TABLE $t(a INT)", insert: "INSERT INTO $t(a) VALUES (?)", values: func(i int) []any { return []any{[]any{nil, i}[i%2]} }},
	"integers": {
		schema: "CREATE TABLE $t(a INT)", insert: "INSERT INTO $t(a) VALUES (?)",
		values: func(i int) []any { return []any{[]any{int64(-1 << 63), int64(1<<63 - 1), int64(1<<53 + 1), 0}[i%4]} },
	},
	"reals":       {schema: "CREATE TABLE $t(a REAL)", insert: "INSERT INTO $t(a) VALUES (?)", values: func(i int) []any { return []any{1 / (float64(i) + 1.7)} }},
	"booleans":    {schema: "CREATE TABLE $t(a)", insert: "INSERT INTO $t(a) VALUES (?)", values: func(i int) []any { return []any{i%2 == 0} }},
	"times":       {schema: "CREATE TABLE $t(a TEXT)", insert: "INSERT INTO $t(a) VALUES (?)", values: oneValue(time.Date(2026, 11, 29, 1, 2, 3, 456000, time.UTC))},
	"BLOBs":       {schema: "CREATE TABLE $t(a)", insert: "INSERT INTO $t(a) VALUES (?)", values: func(i int) []any { return []any{[]byte{0, byte(i), 255}[:i%4]} }},
	"mixed kinds": {schema: "CREATE TABLE $t(a)", insert: "INSERT INTO $t(a) VALUES (?)", values: func(i int) []any { return []any{[]any{"x", []byte("x"), 1.5, 1, nil}[i%5]} }},
	"texts": {
		schema: "CREATE TABLE $t(a)", insert: "INSERT INTO $t(a) VALUES (?)",
		values: func(i int) []any {
			return []any{[]string{`"quoted" \ back`, "x'41'", "line\nend\t\x01\x1f\x7f", "ünï\u2028\U0001f600", "", "12", "NUL \x00 within", "[1]", "null"}[i%9]}
		},
	},
	"affinities": {
		schema: "CREATE TABLE $t(i INT, t TEXT, n NUMERIC, r REAL, b BLOB)", insert: "INSERT INTO $t VALUES (?, ?, ?, ?, ?)",
		values: func(i int) []any { v := []any{"12", i, " 7 ", "1e2", true}[i%5]; return []any{v, v, v, v, v} },
	},
}

// TestBatchFused holds atomic batches of one INSERT, which go as one statement where nobody can tell, to
// SQLite: results, failures and contents.
func TestBatchFused(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		for name, test := range fusedCases {
			t.Run(name, func(t *testing.T) { test.run(t, b) })
		}
	})
}

func (fc fusedCase) run(t *testing.T, b *backend) {
	t.Helper()
	const statements = 40
	subject, table := openDSN(t, b.shared.dsn), newTable()
	var keys int
	require.NoError(t, subject.QueryRowContext(t.Context(), "PRAGMA foreign_keys").Scan(&keys))
	oracle, err := sql.Open("sqlite3", fmt.Sprintf("file:%s?_foreign_keys=%d", filepath.Join(t.TempDir(), "oracle.db"), keys))
	require.NoError(t, err)
	t.Cleanup(func() { oracle.Close() })
	named := func(text string) string { return strings.ReplaceAll(text, "$t", table) }
	mustExec(t, subject, named(fc.schema))
	mustExec(t, oracle, named(fc.schema))

	batch := &rqlite.Batch{Atomic: true}
	tx, err := oracle.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	var wants []rqlite.BatchResult
	var failure error
	add := func(text string, values ...any) {
		batch.Add(named(text), values...)
		if failure != nil {
			return
		}
		result, err := tx.ExecContext(t.Context(), named(text), values...)
		if failure = err; err != nil {
			return
		}
		id, _ := result.LastInsertId()
		rows, _ := result.RowsAffected()
		wants = append(wants, rqlite.BatchResult{LastInsertID: id, RowsAffected: rows})
	}
	for i := range statements {
		add(fc.insert, fc.values(i)...)
		if i == statements/2 && fc.between != "" {
			add(fc.between)
		}
	}
	require.False(t, failure == nil && fc.fails)
	results, err := batch.Exec(t.Context(), subject)
	if failure != nil {
		var told *rqlite.Error
		require.ErrorAs(t, err, &told)
		assert.Equal(t, len(wants), told.Statement)
		assert.Equal(t, failure.Error(), told.Message)
		require.NoError(t, tx.Rollback())
	} else {
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		require.Len(t, results, len(wants))
		for i, want := range wants {
			if strings.Contains(fc.schema, "WITHOUT ROWID") {
				want.LastInsertID = results[i].LastInsertID // SQLite tells an older one
			}
			require.Equal(t, [2]int64{want.LastInsertID, want.RowsAffected}, [2]int64{results[i].LastInsertID, results[i].RowsAffected}, "statement %d", i)
		}
	}
	assert.Equal(t, typedRows(t, oracle, table), typedRows(t, subject, table))
}

// typedCell is a value in a table: a real as a number, because how SQLite writes one depends on its
// version, and everything else as a literal.
type typedCell struct {
	kind    string
	real    sql.NullFloat64
	literal sql.NullString
}

// typedRows returns the rows of a table as text that tells the types of values, in an order of their own.
func typedRows(t *testing.T, db *sql.DB, table string) (lines []string) {
	t.Helper()
	columns, err := list(t.Context(), db, `SELECT replace('typeof($c), iif(typeof($c) = ''real'', $c, NULL), iif(typeof($c) = ''real'', NULL, quote($c))', '$c', '"' || name || '"')
		FROM pragma_table_xinfo(?)`, table)
	require.NoError(t, err)
	rows, err := db.QueryContext(t.Context(), "SELECT "+strings.Join(columns, ", ")+" FROM "+table)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		cells := make([]typedCell, len(columns))
		var into []any
		for i := range cells {
			into = append(into, &cells[i].kind, &cells[i].real, &cells[i].literal)
		}
		require.NoError(t, rows.Scan(into...))
		lines = append(lines, fmt.Sprint(cells))
	}
	require.NoError(t, rows.Err())
	slices.Sort(lines)
	return lines
}
