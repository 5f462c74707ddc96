package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// everyByte is a BLOB of all bytes there are.
func everyByte() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

// blobRows are values for a column declared BLOB and for one that is declared as nothing,
// in which rqlite sends BLOBs as text, and what is not UTF-8 in them is lost.
var blobRows = []struct {
	name      string
	blob, any any
}{
	{"every byte", everyByte(), []byte("plain")},
	{"one byte", []byte{0}, []byte("x")},
	{"bytes that look like base64", []byte("QUJD"), []byte("QUJD")},
	{"empty", []byte{}, []byte{}},
	{"NULL", nil, nil},
	{"text", "text", "text"},
	{"text that looks like base64", "QUJD", "QUJD"},
	{"a long one", bytes.Repeat([]byte{255, 0, 1}, 5000), []byte(strings.Repeat("long", 2000))},
	{"an integer", int64(7), int64(7)},
}

// faultBlobs has RETURNING give BLOBs, outside of transactions and in them. Before the
// release that sends them as arrays, what the driver cannot give has to be an error.
func faultBlobs(t *testing.T, b *backend) {
	t.Helper()
	subject, oracle, table := b.open(t), openOracle(t), newTable()
	lenient := sendsBlobArrays.before(b.shared.version)
	setUp := "CREATE TABLE " + table + " (id INTEGER PRIMARY KEY, b BLOB, u)"
	mustExec(t, oracle, setUp)
	b.shared.rawExecute(t, setUp)
	for i, r := range blobRows {
		insert := "INSERT INTO " + table + " VALUES (?, ?, ?) RETURNING "
		for j, columns := range []string{"id, b", "b, typeof(b), length(b), hex(b)", "*"} {
			t.Run(fmt.Sprintf("%s, RETURNING %s", r.name, columns), func(t *testing.T) {
				id := 10*i + 2*j
				want := observe(t.Context(), oracle, step{queryMode, insert + columns, []any{id, r.blob, r.any}})
				require.NoError(t, want.err)
				got := observe(t.Context(), subject, step{queryMode, insert + columns, []any{id, r.blob, r.any}})
				blobsAre(t, subject, table, id, want, got, lenient)

				tx, err := subject.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				defer tx.Rollback()
				got = outcome{}
				rows, err := tx.QueryContext(t.Context(), insert+columns, id+1, r.blob, r.any)
				if got.err = err; err == nil {
					got.read(rows)
				}
				require.NoError(t, tx.Commit(), "what the transaction saw")
				want = observe(t.Context(), oracle, step{queryMode, insert + columns, []any{id + 1, r.blob, r.any}})
				blobsAre(t, subject, table, id+1, want, got, lenient)
			})
		}
	}
}

// blobsAre compares what RETURNING gave with SQLite, or with a later read where rqlite sends less.
func blobsAre(t *testing.T, db *sql.DB, table string, id int, want, got outcome, lenient bool) {
	t.Helper()
	stored := observe(t.Context(), db, step{queryMode, "SELECT * FROM " + table + " WHERE id = ?", []any{id}})
	require.NoError(t, stored.err)
	if lenient && got.err != nil {
		assert.Equal(t, errors.Is(got.err, rqlite.ErrRowsLost), len(stored.rows) == 1, "it was refused, or it says that it is there: %v", got.err)
		return
	}
	require.NoError(t, got.err)
	require.Equal(t, want.columns, got.columns)
	require.Len(t, got.rows, 1)
	require.Len(t, stored.rows, 1)
	for i, name := range want.columns {
		expected := want.rows[0][i]
		if name == "u" {
			expected = stored.rows[0][2]
		}
		assert.True(t, same(expected, got.rows[0][i]), "%s: want %s, got %s", name, describe(expected), describe(got.rows[0][i]))
	}
}

const spellingSchema = "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, `name` TEXT UNIQUE, `order` INT, data TEXT);" +
	"CREATE TABLE `order` (id INTEGER PRIMARY KEY, `group` TEXT, `select` INT);" +
	"INSERT INTO users (name, `order`) VALUES ('first', 1), ('second', 2);" +
	"INSERT INTO `order` VALUES (1, 'g', 1)"

// spellings are statements with RETURNING. Those of no release have to give rows on
// each; those of others may be refused before it, and the last ones on all. Releases
// see the clause in some words only, and apply the others without giving rows.
var spellings = []struct {
	name  string
	query string
	args  []any
	since release
}{
	{"plain", "INSERT INTO users (name) VALUES (?) RETURNING id", []any{"p"}, release{}},
	{"as GORM inserts", "INSERT INTO `users` (`name`) VALUES (?) RETURNING `id`", []any{"g"}, release{}},
	{"GORM, more columns", "INSERT INTO `users` (`name`,`order`) VALUES (?,?),(?,?) RETURNING `id`,`order`", []any{"a", 1, "b", 2}, release{}},
	{"GORM, a table named order", "INSERT INTO `order` (`group`,`select`) VALUES (?,?) RETURNING `id`,`group`", []any{"x", 5}, release{}},
	{"GORM, upsert", "INSERT INTO `users` (`name`,`order`) VALUES (?,?) ON CONFLICT (`name`) DO UPDATE SET `order`=`excluded`.`order` RETURNING `id`", []any{"first", 9}, release{}},
	{"GORM, update", "UPDATE `users` SET `name`=? WHERE `id` = ? RETURNING `id`,`name`", []any{"n", 1}, release{}},
	{"GORM, delete", "DELETE FROM `users` WHERE `users`.`id` = ? RETURNING *", []any{1}, release{}},
	{"double quotes", `INSERT INTO "order" ("group") VALUES (?) RETURNING "id"`, []any{"q"}, release{}},
	{"AS in UPDATE", "UPDATE users AS x SET name = ? WHERE x.id = ? RETURNING id, name", []any{"u", 1}, seesMoreReturning},
	{"AS in INSERT", "INSERT INTO users AS x (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET `order` = x.`order` + 1 RETURNING id, `order`", []any{"first"}, seesMoreReturning},
	{"AS in DELETE", "DELETE FROM users AS x WHERE x.id = ? RETURNING name", []any{2}, seesMoreReturning},
	{"lower case", "insert into users (name) values (?) returning id", []any{"l"}, release{}},
	{"a new line", "INSERT INTO users (name) VALUES (?)\nRETURNING\nid", []any{"nl"}, release{}},
	{"a semicolon", "INSERT INTO users (name) VALUES (?) RETURNING id;", []any{"s"}, release{}},
	{"a comment in front", "-- note\nINSERT INTO users (name) VALUES (?) RETURNING id", []any{"c"}, nextRelease},
	{"a comment behind", "INSERT INTO users (name) VALUES (?) RETURNING/**/id", []any{"cb"}, nextRelease},
	{"brackets", "INSERT INTO [users] ([name]) VALUES (?) RETURNING [id]", []any{"br"}, nextRelease},
	{"digits with _", "INSERT INTO users (name, `order`) VALUES (?, 1_000) RETURNING `order`", []any{"d"}, nextRelease},
	{"IS NOT DISTINCT FROM", "UPDATE users SET data = 'x' WHERE name IS NOT DISTINCT FROM ? RETURNING id", []any{"first"}, nextRelease},
	{"WITH", "WITH x(n) AS (SELECT ?) INSERT INTO users (name) SELECT n FROM x RETURNING id, name", []any{"w"}, nextRelease},
	{"UPDATE FROM", "UPDATE users SET data = o.`group` FROM `order` AS o WHERE o.id = users.id AND users.name <> ? RETURNING data", []any{"uf"}, nextRelease},
	{"a subquery", "INSERT INTO users (name) VALUES (?) RETURNING (SELECT count(*) FROM `order`) AS n", []any{"sq"}, nextRelease},
	{"JSON", `UPDATE users SET data = json_set('{"a":1}', '$.b', ?) WHERE id = 1 RETURNING data ->> '$.b' AS b`, []any{"j"}, nextRelease},
	{"several columns at once", "UPDATE users SET (name, data) = (?, 'z') WHERE id = 1 RETURNING name, data", []any{"row"}, nextRelease},
	{"INDEXED BY", "UPDATE users NOT INDEXED SET data = ? WHERE id = 1 RETURNING data", []any{"ib"}, nextRelease},
	{"a schema", "INSERT INTO main.users (name) VALUES (?) RETURNING id", []any{"m"}, nextRelease},
	{"DEFAULT VALUES", "INSERT INTO users DEFAULT VALUES RETURNING id, name", nil, nextRelease},
}

// nextRelease stands for a release that sees any RETURNING: none does.
var nextRelease = release{999, 0, 0}

// faultSpellings runs statements with RETURNING that some server or other does not
// understand. They give their rows, or they are refused and nothing is applied.
func faultSpellings(t *testing.T, b *backend) {
	t.Helper()
	c := b.launch(t, serverOptions{})
	db, oracle := openDSN(t, c.dsn), openOracle(t)
	mustExec(t, oracle, spellingSchema)
	c.rawExecute(t, spellingSchema)
	for _, s := range spellings {
		t.Run(s.name, func(t *testing.T) {
			for name, opts := range map[string]*sql.TxOptions{"by itself": nil, "in a transaction": {}} {
				t.Run(name, func(t *testing.T) {
					lenient := s.since.before(c.version) && s.since != release{} || opts != nil && undoesReturning.before(c.version)
					run := func(h *sql.DB) (text string, err error) {
						if opts == nil {
							return rowsText(t.Context(), h, s.query, s.args...)
						}
						err = once(t.Context(), h, opts, func(tx *sql.Tx) error {
							text, err = rowsText(t.Context(), tx, s.query, s.args...)
							return err
						})
						return text, err
					}
					again := "DROP TABLE users; DROP TABLE `order`;" + spellingSchema
					mustExec(t, oracle, again)
					c.rawExecute(t, again)
					before := rowsIn(t, db, "users", "`order`")
					got, err := run(db)
					if lenient && err != nil {
						assert.Equal(t, before, rowsIn(t, db, "users", "`order`"), "it was applied: %v", err)
						assert.NotErrorIs(t, err, rqlite.ErrRowsLost)
						return
					}
					require.NoError(t, err)
					want, err := run(oracle)
					require.NoError(t, err)
					assert.Equal(t, want, got)
				})
			}
		})
	}
}

// faultExpressions compares the names, types and values of what RETURNING gives.
func faultExpressions(t *testing.T, b *backend) {
	t.Helper()
	db, oracle, table := b.open(t), openOracle(t), newTable()
	setUp := "CREATE TABLE " + table + " (id INTEGER PRIMARY KEY, v INT, s TEXT, r REAL, d DATETIME, ok BOOLEAN)"
	mustExec(t, oracle, setUp)
	b.shared.rawExecute(t, setUp)
	inTx := func(ctx context.Context, h *sql.DB, query string, args []any) (text string, err error) {
		err = once(ctx, h, nil, func(tx *sql.Tx) error {
			text, err = rowsText(ctx, tx, query, args...)
			return err
		})
		return text, err
	}
	outside := func(ctx context.Context, h *sql.DB, query string, args []any) (string, error) {
		return rowsText(ctx, h, query, args...)
	}
	for _, query := range []string{
		"INSERT INTO $t (v, s) VALUES (?, 'ab') RETURNING id, v * 2, upper(s) AS big, length(s)+1 \"odd name\"",
		"INSERT INTO $t (v, s, r, ok) VALUES (?, 'it''s', 1.5, 1) RETURNING *",
		"INSERT INTO $t (v, s, r) VALUES (?, NULL, -0.5), (2, 'zwei', 1e10) RETURNING s, r, typeof(r), v IS NULL, s || '!' AS x",
		"INSERT INTO $t (v, d) VALUES (?, '2001-02-03 04:05:06') RETURNING d, v",
		"INSERT INTO $t (id, v) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET v = excluded.v + 100 RETURNING v, CASE WHEN v > 100 THEN 'late' ELSE 'early' END AS w",
		"UPDATE $t SET v = v + ? WHERE id < 4 RETURNING id, v, v % 3, -v, (v > 2)",
		"UPDATE $t SET s = 'x' WHERE v < ? - 1000 RETURNING id, s",
		"REPLACE INTO $t (id, v) VALUES (2, ?) RETURNING id, rowid, v, coalesce(s, 'none')",
		"DELETE FROM $t WHERE id <= ? RETURNING id AS gone, substr(s, 1, 2), CAST(v AS TEXT)",
	} {
		t.Run(query, func(t *testing.T) {
			query := strings.ReplaceAll(query, "$t", table)
			for name, run := range map[string]func(context.Context, *sql.DB, string, []any) (string, error){"by itself": outside, "in a transaction": inTx} {
				t.Run(name, func(t *testing.T) {
					got, err := run(t.Context(), db, query, []any{3})
					if name != "by itself" && undoesReturning.before(b.shared.version) && declined(err) {
						return
					}
					require.NoError(t, err)
					want, err := run(t.Context(), oracle, query, []any{3})
					require.NoError(t, err)
					assert.Equal(t, want, got)
				})
			}
			requireSameContents(t, oracle, db, table)
		})
	}
}
