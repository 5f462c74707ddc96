package integration_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const timeSchema = `CREATE TABLE $t (id INTEGER PRIMARY KEY, made TEXT, s TEXT);
	INSERT INTO $t VALUES (1, '2001-02-03 04:05:06', 'a'), (2, '2002-03-04', '50%'), (3, '2003-04-05', '501'), (4, '2999-01-01', NULL), (5, NULL, 'e');
	CREATE TABLE $u (id INTEGER PRIMARY KEY, x TEXT);
	INSERT INTO $u VALUES (3, 'three'), (4, 'four'), (6, 'six')`

// timeReads are reads with time functions, whose results are the same at any time.
// Some releases print such a read anew before they run it, and not quite as it was.
var timeReads = []struct{ name, query string }{
	{"LIMIT with a comma", "SELECT id FROM $t WHERE date('now') > '2000' ORDER BY id LIMIT 1, 3"},
	{"CURRENT_TIMESTAMP beside it", "SELECT id FROM $t WHERE '2999-01-01' > CURRENT_TIMESTAMP AND date('now') > '2000' ORDER BY id"},
	{"CURRENT_DATE and CURRENT_TIME", "SELECT id FROM $t WHERE CURRENT_DATE < '2999' AND CURRENT_TIME < 'x' AND time('now') < 'x' ORDER BY id"},
	{"RIGHT JOIN", "SELECT a.id, a.s, b.id, b.x FROM $t a RIGHT JOIN $u b ON a.id = b.id AND date('now') > '2000' ORDER BY b.id"},
	{"FULL JOIN", "SELECT a.id, b.id FROM $t a FULL JOIN $u b ON a.id = b.id WHERE date('now') > '2000' ORDER BY coalesce(a.id, b.id)"},
	{"FULL OUTER JOIN with USING", "SELECT id, s, x FROM $t FULL OUTER JOIN $u USING (id) WHERE datetime('now') > '2000' ORDER BY id"},
	{"the name of a column", `SELECT date("made") FROM $t ORDER BY id`},
	{"names of columns", "SELECT date(made), time('12:00'),strftime('%Y',made), julianday(made)>0, id+1 FROM $t ORDER BY id"},
	{"ESCAPE", "SELECT id FROM $t WHERE s LIKE '50!%' ESCAPE '!' AND date('now') > '2000' ORDER BY id"},
	{"IS NOT DISTINCT FROM", "SELECT id FROM $t WHERE s IS NOT DISTINCT FROM NULL AND date('now') > '2000' ORDER BY id"},
	{"made before now", "SELECT id, made < datetime('now') AS old FROM $t ORDER BY id"},
	{"later than now", "SELECT datetime('now', '+1 day') > CURRENT_TIMESTAMP AS later, unixepoch('now') > 1700000000 AS unix, julianday('now') > 2451545 AS julian"},
	{"a window", "SELECT id, row_number() OVER (PARTITION BY date('now') ORDER BY id DESC) AS n FROM $t ORDER BY id"},
	{"FILTER", "SELECT count(*) FILTER (WHERE made < datetime('now')) AS n FROM $t"},
	{"NULLS LAST", "SELECT id FROM $t WHERE date('now') > '2000' ORDER BY s DESC NULLS FIRST, id"},
	{"a recursive WITH", "WITH RECURSIVE d(n, day) AS (SELECT 1, date('2001-01-31') UNION ALL SELECT n + 1, date(day, '+1 month') FROM d WHERE n < 4) SELECT n, day FROM d"},
	{"UNION ALL", "SELECT id FROM $t WHERE date('now') > '2000' UNION ALL SELECT -id FROM $u ORDER BY 1 LIMIT 2, 4"},
	{"a quoted text", "SELECT 'it''s' || date('2001-01-01') AS a, \"s\" AS \"b c\" FROM $t WHERE id = 1"},
	{"a condition of JSON", `SELECT '{"a":[1,2]}' ->> '$.a[1]' AS j FROM $t WHERE date('now') > '2000' AND id = 1`},
	{"CASE and CAST", "SELECT CASE WHEN date('now') > '2000' THEN CAST(id AS TEXT) ELSE 0 END AS c, s COLLATE NOCASE = 'A' AS n FROM $t ORDER BY id"},
}

// nameReads have results without an alias. In a transaction their names are those of
// the literals that the driver puts there, which the manual says.
var nameReads = []struct{ name, query string }{
	{"now", "SELECT date('now') > '2000'"},
	{"now and a space", "SELECT  date( 'now' )  > '2000', count(*) FROM $t"},
	{"CURRENT_TIMESTAMP", "SELECT CURRENT_TIMESTAMP > '2000'"},
}

// faultTimeReads reads by the time at each level, and in transactions.
func faultTimeReads(t *testing.T, b *backend) {
	t.Helper()
	oracle, tables := openOracle(t), strings.NewReplacer("$t", newTable(), "$u", newTable(), "$w", newTable())
	mustExec(t, oracle, tables.Replace(timeSchema))
	b.shared.rawExecute(t, tables.Replace(timeSchema), tables.Replace("CREATE TABLE $w (n INT)"))
	for _, level := range []string{"weak", "linearizable", "strong", "none", "auto"} {
		db := b.open(t, "level="+level)
		t.Run(level, func(t *testing.T) {
			batch, wants := rqlite.Batch{}, []string{}
			for _, r := range slices.Concat(timeReads, nameReads) {
				t.Run(r.name, func(t *testing.T) {
					query := tables.Replace(r.query)
					want, err := rowsText(t.Context(), oracle, query)
					require.NoError(t, err)
					got, err := rowsText(t.Context(), db, query)
					require.NoError(t, err, query)
					assert.Equal(t, want, got, query)
					batch.Add(query)
					wants = append(wants, want)
				})
			}
			t.Run("a batch", func(t *testing.T) {
				require.NotZero(t, batch.Len())
				for _, batch.Atomic = range []bool{false, true} {
					results, err := batch.Query(t.Context(), db)
					require.NoError(t, err)
					for i, r := range results {
						assert.Equal(t, wants[i], textOf(r), "the read at %d", i)
					}
				}
			})
			for _, r := range timeReads {
				t.Run("in a transaction, "+r.name, func(t *testing.T) {
					query := tables.Replace(r.query)
					want, err := rowsText(t.Context(), oracle, query)
					require.NoError(t, err)
					readAroundWrite(t, db, query, tables.Replace("INSERT INTO $w VALUES (1)"), want)
				})
			}
		})
	}
}

// textOf returns the rows of a batch as [rowsText] does.
func textOf(r rqlite.BatchResult) string {
	lines := []string{strings.Join(r.Columns, "|")}
	for _, row := range r.Rows {
		lines = append(lines, fmt.Sprintf("%#v", row))
	}
	return strings.Join(lines, "\n")
}

// readAroundWrite reads in a transaction, before its first write and after it.
func readAroundWrite(t *testing.T, db *sql.DB, query, write, want string) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	got, err := rowsText(t.Context(), tx, query)
	require.NoError(t, err)
	assert.Equal(t, want, got, "before the first write")
	_, err = tx.ExecContext(t.Context(), write)
	require.NoError(t, err)
	got, err = rowsText(t.Context(), tx, query)
	require.NoError(t, err)
	assert.Equal(t, want, got, "after the first write")
}

// faultRandomReads reads random numbers, which have to be random for each row, and other ones
// each time.
func faultRandomReads(t *testing.T, b *backend) {
	t.Helper()
	const rows = 40
	table, written := newTable(), newTable()
	b.shared.rawExecute(t, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY)", "CREATE TABLE "+written+" (x INT)",
		fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) INSERT INTO %s SELECT i FROM n", rows, table))
	for _, level := range []string{"weak", "linearizable", "strong", "none"} {
		t.Run(level, func(t *testing.T) {
			db := b.open(t, "level="+level)
			randomReads(t, db, table, rows)
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			defer tx.Rollback()
			randomReads(t, tx, table, rows)
			_, err = tx.ExecContext(t.Context(), "INSERT INTO "+written+" VALUES (0)")
			require.NoError(t, err)
			randomReads(t, tx, table, rows)
			told, err := rowsText(t.Context(), tx, "INSERT INTO "+written+" VALUES (random()), (abs(random()) % 100 + 1) RETURNING x")
			if undoesReturning.before(b.shared.version) && declined(err) {
				return
			}
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
			stored, err := rowsText(t.Context(), db, "SELECT x FROM "+written+" WHERE x <> 0 ORDER BY rowid")
			require.NoError(t, err)
			assert.Equal(t, told, stored, "the numbers that are stored")
			mustExec(t, db, "DELETE FROM "+written)
		})
	}
}

// randomReads reads in the three ways in which programs use random().
func randomReads(t *testing.T, h handle, table string, rows int) {
	t.Helper()
	numbers, orders := map[string]bool{}, map[string]bool{}
	for range 3 {
		list := columnOf(t, h, "SELECT random()")
		require.Len(t, list, 1)
		numbers[list[0]] = true
		list = columnOf(t, h, "SELECT id FROM "+table+" ORDER BY random()")
		orders[strings.Join(list, " ")] = true
		slices.Sort(list)
		assert.Len(t, slices.Compact(list), rows)
		list = columnOf(t, h, "SELECT hex(randomblob(8)) FROM "+table)
		slices.Sort(list)
		assert.Len(t, slices.Compact(list), rows, "one for each row")
	}
	assert.Len(t, numbers, 3)
	assert.Len(t, orders, 3)
	assert.Len(t, columnOf(t, h, "SELECT id FROM "+table+" WHERE random() IS NOT NULL ORDER BY random() LIMIT 2, 5"), 5)
}

// columnOf reads a result of one column.
func columnOf(t *testing.T, h handle, query string) []string {
	t.Helper()
	text, err := rowsText(t.Context(), h, query)
	require.NoError(t, err, query)
	return strings.Split(text, "\n")[1:]
}
