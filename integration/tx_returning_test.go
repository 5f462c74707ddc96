package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// returningCase is an INSERT with RETURNING that a loop executes.
type returningCase struct {
	schema string
	insert string
	values func(i int) []any
	tried  bool // the rows cannot be foreseen
}

var returningCases = map[string]returningCase{
	"id":       {"CREATE TABLE $t(id INTEGER PRIMARY KEY, a)", "INSERT INTO $t(a) VALUES (?) RETURNING id", func(i int) []any { return []any{i * i} }, false},
	"two rows": {"CREATE TABLE $t(id INTEGER PRIMARY KEY, a)", "INSERT INTO $t(a) VALUES (?), (?) RETURNING id", func(i int) []any { return []any{i * i, "x"} }, false},
	"alias":    {"CREATE TABLE $t(id INTEGER PRIMARY KEY, a)", "INSERT INTO $t(a) VALUES (?) RETURNING id AS number, a", func(i int) []any { return []any{fmt.Sprint(i)} }, false},
	"all kinds": {
		"CREATE TABLE $t(id INTEGER PRIMARY KEY, n INT, f REAL, t TEXT, b BLOB, ok BOOLEAN, at TIMESTAMP, d DATE, none INT)",
		"INSERT INTO $t(n, f, t, b, ok, at, d, none) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
		func(i int) []any {
			at := time.Date(2026, 11, 29, 10, i, 1, 5000, time.FixedZone("", 3600))
			return []any{i - 5, float64(i) / 3, fmt.Sprint("text ", i), []byte{byte(i), 0}, i%2 == 0, at, at.Format("2006-01-02"), nil}
		}, false,
	},
	"a constant": {"CREATE TABLE $t(id INTEGER PRIMARY KEY, a, b TEXT DEFAULT 'x')", "INSERT INTO $t(a) VALUES (?) RETURNING id, b", func(i int) []any { return []any{i} }, false},
	"an affinity": {
		"CREATE TABLE $t(id INTEGER PRIMARY KEY, a INT)", "INSERT INTO $t(a) VALUES (?) RETURNING id, a",
		func(i int) []any { return []any{fmt.Sprint(i)} }, true,
	},
	"the kind changes": {
		"CREATE TABLE $t(id INTEGER PRIMARY KEY, a)", "INSERT INTO $t(a) VALUES (?) RETURNING id, a",
		func(i int) []any { return []any{[]any{i, fmt.Sprint(i), float64(i) + 0.5, nil}[i/3%4]} }, true,
	},
	"an expression": {"CREATE TABLE $t(id INTEGER PRIMARY KEY, a)", "INSERT INTO $t(a) VALUES (?) RETURNING id, a + 1", func(i int) []any { return []any{i} }, true},
	"ids of the program": {
		"CREATE TABLE $t(id INTEGER PRIMARY KEY, a)", "INSERT INTO $t(id, a) VALUES (?, ?) RETURNING id, a",
		func(i int) []any { return []any{[]any{1, 2, 3, 90, 80, nil, 95}[i%7], i}[:2] }, true,
	},
	"a trigger": {
		"CREATE TABLE $t(id INTEGER PRIMARY KEY, a); CREATE TRIGGER $t_more AFTER INSERT ON $t WHEN new.a = 7 BEGIN INSERT INTO $t(a) VALUES (0); END",
		"INSERT INTO $t(a) VALUES (?) RETURNING id", func(i int) []any { return []any{i} }, true,
	},
}

// TestTxReturning holds loops of INSERTs with RETURNING, in which rows are foreseen, to SQLite. What was
// foreseen wrongly makes RunTx run again, and is right then.
func TestTxReturning(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		for name, test := range returningCases {
			for _, mode := range []rqlite.TxMode{rqlite.TxAuto, rqlite.TxPipelined, rqlite.TxInteractive} {
				t.Run(fmt.Sprintf("%s/%v", name, mode), func(t *testing.T) { test.run(t, b, mode) })
			}
		}
	})
}

func (rc returningCase) run(t *testing.T, b *backend, mode rqlite.TxMode) {
	t.Helper()
	const executions = 14
	db, recorder := openRecorded(t, b.shared.dsn)
	table := newTable()
	oracle, err := sql.Open("sqlite3", "file:"+filepath.Join(t.TempDir(), "oracle.db"))
	require.NoError(t, err)
	t.Cleanup(func() { oracle.Close() })
	named := func(text string) string { return strings.ReplaceAll(text, "$t", table) }
	mustExec(t, db, named(rc.schema))
	mustExec(t, oracle, named(rc.schema))
	loop := func(ctx context.Context, tx *sql.Tx) (all []string, err error) {
		for i := range executions {
			values := rc.values(i)
			if strings.Contains(rc.insert, "(id,") && i >= 7 {
				values[0] = 100 + i*i
			}
			rows, err := rowsText(ctx, tx, named(rc.insert), values...)
			if err != nil {
				return nil, err
			}
			all = append(all, rows)
		}
		return all, nil
	}
	var wants, gots []string
	tx, err := oracle.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	wants, err = loop(t.Context(), tx)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	before := recorder.requests.Load()
	require.NoError(t, rqlite.RunTx(rqlite.WithTxMode(t.Context(), mode), db, nil, func(tx *sql.Tx) error {
		var err error
		gots, err = loop(t.Context(), tx)
		return err
	}))
	assert.Equal(t, wants, gots)
	assert.Equal(t, typedRows(t, oracle, table), typedRows(t, db, table))
	if mode != rqlite.TxInteractive && !rc.tried {
		assert.LessOrEqual(t, recorder.requests.Load()-before, int64(9), "requests of %d executions", executions)
	}
}
