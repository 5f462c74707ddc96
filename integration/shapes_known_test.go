package integration_test

import (
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// knownShape returns what tells whether a difference is among those that the
// driver's documentation tells of, or is the oracle's fault.
func knownShape(b *backend) func(difference) bool {
	p := &pair{backend: b}
	return func(d difference) bool {
		for _, k := range shapeDifferences {
			if k.applies(d) {
				k.seen.Store(b, true)
				return true
			}
		}
		return p.known(d)
	}
}

// shapeDifferences are those that only these tests meet. Each has to be seen.
var shapeDifferences = []*knownDifference{
	{
		reason: "mattn/go-sqlite3 does not run a prepared statement with RETURNING to its end in Exec, and gives the result of the one before",
		applies: func(d difference) bool {
			return d.isResult() && strings.Contains(d.step.query, "RETURNING") && (d.step.mode == execMode || d.step.mode == preparedExec)
		},
	},
	{
		reason:  "the violation of a foreign key by RESTRICT, or by DROP TABLE, is worded like any other",
		applies: func(d difference) bool { return d.codes(sqlite3.ErrConstraintTrigger, rqlite.ConstraintForeignKey) },
	},
	{
		reason: "the name of a column that shows the time is the literal that the statement was sent with",
		applies: func(d difference) bool {
			return d.what == "columns" && clocks.MatchString(d.step.query)
		},
	},
}

// clocks matches what a transaction replaces by a literal.
var clocks = regexp.MustCompile(`'now'|CURRENT_(DATE|TIME|TIMESTAMP)|\b(unixepoch|date|time|datetime)\(\)`)

// refusal is what a transaction refuses, and what the error says.
type refusal struct {
	query string
	args  []any
	why   string // a regular expression
}

const (
	whyControl     = `cannot be sent as a statement: use the methods Commit and Rollback of the transaction`
	whyMaintenance = `cannot run in a transaction: run it outside of one`
	whyAttach      = `cannot be sent: it would change the connection that all clients write through`
	whyPragma      = `a PRAGMA that sets or does something would reach beyond the transaction`
	whyTemp        = `a TEMP object would hide, from all clients, what has its name`
	whyConflict    = `OR FAIL and OR ROLLBACK leave a transaction half done`
	whyRegister    = `the table _rqlite_tx belongs to the driver`
)

var refusals = []refusal{
	{query: "COMMIT", why: whyControl},
	{query: "commit", why: whyControl},
	{query: "CoMmIt TRANSACTION", why: whyControl},
	{query: "COMMIT;", why: whyControl},
	{query: " \t\nCOMMIT", why: whyControl},
	{query: ";;COMMIT", why: whyControl},
	{query: "-- comment\nCOMMIT", why: whyControl},
	{query: "/* comment */COMMIT", why: whyControl},
	{query: "/**/ -- x\n /* ; */ COMMIT -- end", why: whyControl},
	{query: "END", why: whyControl},
	{query: "end transaction", why: whyControl},
	{query: "ROLLBACK", why: whyControl},
	{query: "rollback transaction", why: whyControl},
	{query: "/* x */ Rollback", why: whyControl},
	{query: "BEGIN", why: whyControl},
	{query: "BEGIN IMMEDIATE", why: whyControl},
	{query: "begin exclusive transaction", why: whyControl},
	{query: "SELECT 1; COMMIT", why: whyControl},
	{query: "INSERT INTO t (v) VALUES ('script'); COMMIT", why: whyControl},
	{query: "INSERT INTO t (v) VALUES ('; COMMIT'); /* ; */ ROLLBACK; DELETE FROM t", why: whyControl},
	{query: "INSERT INTO t (v) VALUES ('script');\n--\nEND;", why: whyControl},
	{query: "SAVEPOINT s; BEGIN", why: whyControl},
	{query: "VACUUM", why: whyMaintenance},
	{query: "vacuum main", why: whyMaintenance},
	{query: "VACUUM INTO '/tmp/never-made.db'", why: `VACUUM INTO would write a file on every node: use Backup`},
	{query: "/* x */ VACUUM", why: whyMaintenance},
	{query: "ATTACH ':memory:' AS other", why: whyAttach},
	{query: "attach database ? as other", args: []any{":memory:"}, why: whyAttach},
	{query: "DETACH main", why: whyAttach},
	{query: "Detach Database other", why: whyAttach},
	{query: "SELECT 1; ATTACH ':memory:' AS other", why: whyAttach},
	{query: "PRAGMA foreign_keys = OFF", why: whyPragma},
	{query: "PRAGMA foreign_keys(0)", why: whyPragma},
	{query: "pragma main.user_version=7", why: whyPragma},
	{query: "PRAGMA journal_mode = DELETE", why: whyPragma},
	{query: "PRAGMA writable_schema = 1", why: whyPragma},
	{query: "PRAGMA wal_checkpoint", why: whyPragma},
	{query: "PRAGMA optimize", why: whyPragma},
	{query: "PRAGMA incremental_vacuum(1)", why: whyPragma},
	{query: "PRAGMA case_sensitive_like = ON", why: whyPragma},
	{query: "CREATE TEMP TABLE x (y)", why: whyTemp},
	{query: "create temporary table x (y)", why: whyTemp},
	{query: "CREATE TABLE temp.x (y)", why: whyTemp},
	{query: "CREATE TEMP VIEW x AS SELECT 1", why: whyTemp},
	{query: "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", why: whyTemp},
	{query: "CREATE TEMP TABLE x AS SELECT * FROM t", why: whyTemp},
	{query: "INSERT OR ROLLBACK INTO t (v) VALUES ('a')", why: whyConflict},
	{query: "insert or rollback into t (v) values ('new')", why: whyConflict},
	{query: "INSERT OR FAIL INTO t (v) VALUES ('x'), ('a')", why: whyConflict},
	{query: "UPDATE OR FAIL t SET v = 'a'", why: whyConflict},
	{query: "UPDATE OR ROLLBACK t SET v = 'a'", why: whyConflict},
	{query: "WITH w AS (SELECT 'a' AS x) INSERT OR FAIL INTO t (v) SELECT x FROM w", why: whyConflict},
	{query: "INSERT/**/OR/**/FAIL INTO t (v) VALUES ('x')", why: whyConflict},
	{query: "INSERT INTO t (v) VALUES ('y'); INSERT OR FAIL INTO t (v) VALUES ('x')", why: whyConflict},
	{query: "UPDATE _rqlite_tx SET v = v + 1 WHERE k = 0", why: whyRegister},
	{query: "INSERT INTO _RQLITE_TX (k, token) VALUES (99, 'x')", why: whyRegister},
	{query: `REPLACE INTO "_rqlite_tx" (k, v) VALUES (0, 1)`, why: whyRegister},
	{query: "ALTER TABLE _rqlite_tx ADD COLUMN x", why: whyRegister},
	{query: "ALTER TABLE _rqlite_tx RENAME TO mine", why: whyRegister},
	{query: "CREATE INDEX x ON _rqlite_tx (v)", why: whyRegister},
	{query: "CREATE TABLE _rqlite_tx (x)", why: whyRegister},
	{query: "CREATE TRIGGER x AFTER UPDATE ON _rqlite_tx BEGIN SELECT 1; END", why: whyRegister},
	{query: "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM _rqlite_tx; END", why: whyRegister},
	{query: "SELECT 1; UPDATE _rqlite_tx SET token = NULL", why: whyRegister},
	{query: "UPDATE t SET v = 'z' WHERE id = (SELECT id FROM t ORDER BY random() LIMIT 1)", why: `ORDER BY random\(\) in a write cannot be replicated`},
	{query: "INSERT INTO t (v) VALUES (date(lower('NOW')))", why: `'now' within an expression`},
	{query: "INSERT INTO t (v) VALUES (datetime(?, '+1 day'))", args: []any{"now"}, why: `parameter 1 of a date function is "now"`},
	{query: "INSERT INTO t (v) VALUES (randomblob(?))", args: []any{8}, why: `randomblob in a write takes a plain number`},
	{query: "INSERT INTO t (v) VALUES (total_changes())", why: `total_changes\(\) counts what a node has done for all clients`},
}

// testRefused runs what is refused in the midst of transactions, which go on.
func testRefused(t *testing.T, db *sql.DB, shapes *shapeCount) {
	ctx := t.Context()
	for i, refused := range refusals {
		t.Run(fmt.Sprintf("%d %.40s", i, strings.Join(strings.Fields(refused.query), " ")), func(t *testing.T) {
			require.NoError(t, empty(ctx, db))
			mustExec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE)")
			mustExec(t, db, "INSERT INTO t (v) VALUES ('a')")
			tx, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			defer tx.Rollback()
			refuse := func() {
				for _, m := range []mode{execMode, queryMode, preparedExec, preparedQuery} {
					o := observeOn(ctx, tx, step{mode: m, query: refused.query, args: refused.args})
					if assert.Error(t, o.err, "%v", m) {
						assert.Regexp(t, regexp.MustCompile(refused.why), o.err.Error(), "%v", m)
						assert.Regexp(t, "^rqlite: ", o.err.Error(), "%v", m)
					}
				}
			}
			refuse() // before the first statement
			var n int
			require.NoError(t, tx.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&n))
			assert.Equal(t, 1, n)
			refuse() // after a read
			result, err := tx.ExecContext(ctx, "INSERT INTO t (v) VALUES ('b')")
			require.NoError(t, err)
			id, err := result.LastInsertId()
			require.NoError(t, err)
			assert.EqualValues(t, 2, id)
			refuse() // after a write
			_, err = tx.ExecContext(ctx, "UPDATE t SET v = v || 'x' WHERE id = 1")
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
			values, err := list(ctx, db, "SELECT v FROM t ORDER BY id")
			require.NoError(t, err)
			assert.Equal(t, []string{"ax", "b"}, values)
			if !t.Failed() {
				shapes.refused++
			}
		})
	}
}

// testFixed looks at what has another value each time it is asked: what the
// transaction has shown is what it stores.
func testFixed(t *testing.T, db *sql.DB) {
	ctx := t.Context()
	require.NoError(t, empty(ctx, db))
	mustExec(t, db, "CREATE TABLE f (id INTEGER PRIMARY KEY, a, b, c, d)")
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer tx.Rollback()
	const read = `SELECT id || quote(a) || quote(b) || quote(c) || quote(d) FROM f ORDER BY id`
	for _, write := range []string{
		"INSERT INTO f (a, b, c, d) VALUES (random(), hex(randomblob(8)), strftime('%Y-%m-%d %H:%M:%f', 'now'), CURRENT_TIMESTAMP)",
		"INSERT INTO f (a, b, c, d) SELECT random(), abs(random()) % 1000, julianday('now'), unixepoch('subsec') FROM f",
		"UPDATE f SET a = random(), c = time() WHERE id = 1",
		"INSERT INTO f (a, b, c, d) VALUES (random(), random(), CURRENT_TIME, date())",
	} {
		_, err := tx.ExecContext(ctx, write)
		require.NoError(t, err, write)
	}
	var returned string
	require.NoError(t, tx.QueryRowContext(ctx, "UPDATE f SET b = random() WHERE id = 2 RETURNING quote(b)").Scan(&returned))
	seen := rowsOf(t, tx, read)
	assert.Contains(t, seen[1], returned)
	assert.Equal(t, seen, rowsOf(t, tx, read), "a second look")
	require.NoError(t, tx.Commit())
	stored, err := list(ctx, db, read)
	require.NoError(t, err)
	assert.Equal(t, seen, stored)
}

// rowsOf returns the one column of a query in a transaction.
func rowsOf(t *testing.T, tx *sql.Tx, query string) []string {
	t.Helper()
	o := observeOn(t.Context(), tx, step{mode: queryMode, query: query})
	require.NoError(t, o.err)
	var lines []string
	for _, row := range o.rows {
		lines = append(lines, fmt.Sprint(row[0]))
	}
	return lines
}
