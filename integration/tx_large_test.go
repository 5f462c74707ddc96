package integration_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manyRows is how many rows a large result has.
const manyRows = 100_000

// newMany opens a database and makes a table with many rows.
func newMany(t *testing.T, b *backend) (db *sql.DB, table string) {
	t.Helper()
	db, table = newNumbers(t, b)
	mustExec(t, db, fmt.Sprintf("INSERT INTO %s (n, text) WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i LIMIT %d) "+
		"SELECT n, 'row ' || n FROM i", table, manyRows))
	return db, table
}

// readMany reads the rest of the rows of a large table, from a number on.
func readMany(t *testing.T, rows *sql.Rows, n int) {
	t.Helper()
	defer rows.Close()
	for ; rows.Next(); n++ {
		var number int
		var text string
		require.NoError(t, rows.Scan(&number, &text))
		require.Equal(t, n, number)
		require.Equal(t, fmt.Sprint("row ", n), text)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, manyRows+1, n)
}

// TestTxManyRows reads many rows before the first write of a transaction, and
// behind it, and has them looked at again because others write.
func TestTxManyRows(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newMany(t, b)
		other, elsewhere := newNumbers(t, b)
		all := fmt.Sprintf("SELECT n, text FROM %s WHERE n <= %d ORDER BY n", table, manyRows)
		tx := begin(t, db, nil)
		for n := range 2 {
			rows, err := tx.QueryContext(t.Context(), all)
			require.NoError(t, err)
			readMany(t, rows, 1)
			mustExec(t, other, "INSERT INTO "+elsewhere+" (n) VALUES (?)", n)
			insertIn(t, tx, table, manyRows+1+n)
		}
		mustExec(t, other, "INSERT INTO "+elsewhere+" (n) VALUES (10)")
		require.NoError(t, tx.Commit())
		var n int
		scan(t, db, "SELECT count(*) FROM "+table, nil, &n)
		assert.Equal(t, manyRows+2, n)
	})
}

// TestTxRowsOpen leaves rows open while other statements run in the same
// transaction.
func TestTxRowsOpen(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newMany(t, b)
		all := fmt.Sprintf("SELECT n, text FROM %s WHERE n <= %d ORDER BY n", table, manyRows)
		open := func(tx *sql.Tx) *sql.Rows {
			rows, err := tx.QueryContext(t.Context(), all)
			require.NoError(t, err)
			require.True(t, rows.Next())
			return rows
		}
		tx := begin(t, db, nil)
		first := open(tx)
		second := open(tx)
		n, err := one(t.Context(), tx, "SELECT count(*) FROM "+table)
		require.NoError(t, err)
		require.EqualValues(t, manyRows, n)
		insertIn(t, tx, table, manyRows+1)
		// What was written behind a query does not show in its rows.
		_, err = tx.ExecContext(t.Context(), "UPDATE "+table+" SET text = 'changed' WHERE n = ?", manyRows)
		require.NoError(t, err)
		readMany(t, second, 2)
		_, err = tx.ExecContext(t.Context(), "UPDATE "+table+" SET text = ? WHERE n = ?", fmt.Sprint("row ", manyRows), manyRows)
		require.NoError(t, err)
		third := open(tx)
		insertIn(t, tx, table, manyRows+2)
		readMany(t, first, 2)
		readMany(t, third, 2)
		fourth := open(tx)
		require.NoError(t, tx.Commit())
		for fourth.Next() { // what has been read of it may be there still
			continue
		}
		require.NoError(t, fourth.Close())
		var count int
		scan(t, db, "SELECT count(*) FROM "+table, nil, &count)
		assert.Equal(t, manyRows+2, count)
	})
}

// TestTxLargeStatements sends 20 MB in a transaction, as a parameter and in the
// text of a statement. Where a plain write can, a transaction can.
func TestTxLargeStatements(t *testing.T) {
	const size = 20 << 20
	forEach(t, func(t *testing.T, b *backend) {
		db, table := newNumbers(t, b)
		large := strings.Repeat("0123456789abcdef", size/16)
		insert := "INSERT INTO " + table + " (n, text) VALUES (?, "
		for i, c := range []struct {
			what, query string
			args        []any
		}{
			{"a parameter", insert + "?)", []any{0, large}},
			{"a literal", insert + "'" + large + "')", []any{0}},
		} {
			c.args[0] = 10 * i
			_, plain := db.ExecContext(t.Context(), c.query, c.args...)
			t.Logf("%s by a plain write: %.200v", c.what, plain)

			tx := begin(t, db, nil)
			insertIn(t, tx, table, 10*i+1)
			c.args[0] = 10*i + 2
			_, err := tx.ExecContext(t.Context(), c.query, c.args...)
			require.Equal(t, plain == nil, err == nil, "%s: %.300v", c.what, err)
			insertIn(t, tx, table, 10*i+3)
			n, err := one(t.Context(), tx, fmt.Sprintf("SELECT coalesce(sum(length(text)), 0) FROM %s WHERE n >= %d", table, 10*i))
			require.NoError(t, err)
			if plain == nil {
				require.EqualValues(t, 2*size, n)
			}
			require.NoError(t, tx.Commit(), c.what)
			want := []int{10*i + 1, 10*i + 3}
			if plain == nil {
				want = []int{10 * i, 10*i + 1, 10*i + 2, 10*i + 3}
			}
			require.Equal(t, want, numbersIn(t, db, "(SELECT n FROM "+table+fmt.Sprintf(" WHERE n >= %d)", 10*i)))
		}
	})
}
