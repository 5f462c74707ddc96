package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// definitions are schemas that the server would change if it replaced what they call. {t} is the
// name of a table.
var definitions = []string{
	"CREATE TABLE {t} (id INTEGER PRIMARY KEY, at TEXT DEFAULT (datetime('now')))",
	"CREATE TABLE {t} (id INTEGER PRIMARY KEY, at TEXT DEFAULT (strftime('%s', 'now')), j REAL DEFAULT (julianday('now')))",
	"CREATE TABLE {t} (id BLOB PRIMARY KEY DEFAULT (randomblob(16)), n INTEGER DEFAULT (random())) STRICT, WITHOUT ROWID",
	"CREATE TABLE {t} (id INTEGER PRIMARY KEY, d TEXT CHECK (d < date('now')))",
	"CREATE TABLE {t} (id INTEGER PRIMARY KEY, d TEXT); CREATE VIEW {t}_v AS SELECT random() AS r, date('now') AS d FROM {t} ORDER BY id LIMIT 1, 3",
	"CREATE TABLE {t} (id INTEGER PRIMARY KEY, d TEXT); CREATE TRIGGER {t}_r AFTER INSERT ON {t} BEGIN UPDATE {t} SET d = datetime('now') WHERE id = new.id; END",
}

// A definition is stored as it is written, by whatever way it comes.
func TestStoredDefinitions(t *testing.T) {
	ctx := context.Background()
	ways := map[string]func(db *sql.DB, script string) error{
		"Exec": func(db *sql.DB, script string) error { _, err := db.Exec(script); return err },
		"queue": func(db *sql.DB, script string) error {
			_, err := db.ExecContext(rqlite.WithQueue(ctx, true), script)
			return err
		},
		"Batch":         func(db *sql.DB, script string) error { return batchExec(db, script, false) },
		"Batch, atomic": func(db *sql.DB, script string) error { return batchExec(db, script, true) },
		"transaction": func(db *sql.DB, script string) error {
			return rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error { _, err := tx.Exec(script); return err })
		},
	}
	forEach(t, func(t *testing.T, b *backend) {
		db, oracle := b.open(t), openOracle(t)
		for _, definition := range definitions {
			for way, exec := range ways {
				table := newTable()
				script := strings.ReplaceAll(definition, "{t}", table)
				_, err := oracle.Exec(script)
				require.NoError(t, err, script)
				require.NoError(t, exec(db, script), "%s: %s", way, script)
				const stored = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema WHERE tbl_name LIKE ?1 || '%' AND sql IS NOT NULL ORDER BY type, name)"
				var want, got string
				scan(t, oracle, stored, []any{table}, &want)
				scan(t, db, stored, []any{table}, &got)
				assert.Equal(t, want, got, way)
			}
		}
	})
}

func batchExec(db *sql.DB, script string, atomic bool) error {
	b := rqlite.Batch{Atomic: atomic}
	for statement := range strings.SplitSeq(script, "; CREATE ") {
		if !strings.HasPrefix(statement, "CREATE") {
			statement = "CREATE " + statement
		}
		b.Add(statement)
	}
	_, err := b.Exec(context.Background(), db)
	return err
}

// What the server would print anew is done as it is written.
func TestStoredWrites(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, oracle := b.open(t), openOracle(t)
		s, q := newTable(), newTable()
		named := strings.NewReplacer("{s}", s, "{q}", q)
		for _, both := range []*sql.DB{db, oracle} {
			mustExec(t, both, named.Replace("CREATE TABLE {s} (x INTEGER PRIMARY KEY); CREATE TABLE {q} (x INTEGER, d TEXT); INSERT INTO {s} VALUES (1), (2), (3), (4), (5)"))
		}
		for _, statement := range []string{
			"INSERT INTO {q} SELECT x, date('now') > '2000' FROM {s} ORDER BY x LIMIT 1, 3",
			"INSERT INTO {q} SELECT a.x, date('now') > '2000' FROM {s} a FULL JOIN {s} b ON a.x = b.x + 1",
			"INSERT INTO {q} SELECT a.x, date('now') > '2000' FROM {s} a RIGHT JOIN {s} b ON a.x = b.x + 1",
			"UPDATE {q} SET d = CURRENT_TIMESTAMP > '2000' || (date('now') > '2000')",
			"INSERT INTO {q} SELECT x, typeof(random()) FROM {s} WHERE x = 1",
			"DELETE FROM {q} WHERE x = 2 AND date('now') > '2000' RETURNING x",
		} {
			for _, both := range []*sql.DB{db, oracle} {
				mustExec(t, both, named.Replace(statement))
			}
			const contents = "SELECT count(*), coalesce(sum(x), 0), coalesce(max(d), '') FROM "
			var want, got [3]string
			scan(t, oracle, contents+q, nil, &want[0], &want[1], &want[2])
			scan(t, db, contents+q, nil, &got[0], &got[1], &got[2])
			assert.Equal(t, want, got, statement)
		}
	})
}

// A random number is one for each row, or the write is refused.
func TestStoredRandomNumbers(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, table := b.open(t), newTable()
		ctx := t.Context()
		distinct := func() (n, all int) {
			t.Helper()
			scan(t, db, "SELECT count(DISTINCT e), count(*) FROM "+table, nil, &n, &all)
			return n, all
		}
		mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, e TEXT)")
		mustExec(t, db, "INSERT INTO "+table+" (e) VALUES (hex(randomblob(8))), (hex(randomblob(8))), (random())")
		n, all := distinct()
		assert.Equal(t, [2]int{3, 3}, [2]int{n, all})

		several := "UPDATE " + table + " SET e = hex(randomblob(4))"
		atomic := rqlite.Batch{Atomic: true}
		atomic.Add("DELETE FROM " + table)
		atomic.Add("INSERT INTO " + table + " SELECT value, random() FROM json_each('[1,2]')")
		_, batchErr := atomic.Exec(ctx, db)
		_, execErr := db.Exec(several)
		_, queryErr := db.Query(several + " RETURNING e")
		txErr := rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error { _, err := tx.Exec(several); return err })
		_, whereErr := db.Exec("DELETE FROM " + table + " WHERE random() % 2")
		_, queueErr := db.ExecContext(rqlite.WithQueue(ctx, true), several)
		for what, err := range map[string]error{"Batch": batchErr, "Exec": execErr, "Query": queryErr, "Tx": txErr, "WHERE": whereErr, "queue": queueErr} {
			require.ErrorContains(t, err, "random", what)
			require.NotErrorIs(t, err, rqlite.ErrIndeterminate, what)
		}
		after, left := distinct()
		assert.Equal(t, [2]int{n, all}, [2]int{after, left}, "nothing was written")

		one := several + " WHERE id = 1"
		r := mustExec(t, db, one)
		rows, err := r.RowsAffected()
		require.NoError(t, err)
		assert.EqualValues(t, 1, rows)
		var first, second string
		scan(t, db, one+" RETURNING e", nil, &first)
		scan(t, db, one+" RETURNING e", nil, &second)
		assert.NotEqual(t, first, second)
		scan(t, db, "SELECT e FROM "+table+" WHERE id = 1", nil, &first)
		assert.Equal(t, second, first, "what was returned is stored")
	})
}

// What a connection did last is its own, as with SQLite, and not somebody else's.
func TestStoredConnState(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, parent, kid := b.open(t), newTable(), newTable()
		ctx := t.Context()
		mustExec(t, db, "CREATE TABLE "+parent+" (id INTEGER PRIMARY KEY, who INTEGER); CREATE TABLE "+kid+" (p INTEGER, who INTEGER)")
		const programs, each = 4, 25
		var all sync.WaitGroup
		for who := range programs {
			all.Go(func() {
				c, err := db.Conn(ctx)
				if !assert.NoError(t, err) {
					return
				}
				defer c.Close()
				for range each {
					_, err := c.ExecContext(ctx, "INSERT INTO "+parent+" (who) VALUES (?)", who)
					assert.NoError(t, err)
					_, err = c.ExecContext(ctx, "INSERT INTO "+kid+" VALUES (last_insert_rowid(), ?)", who)
					assert.NoError(t, err)
				}
			})
		}
		all.Wait()
		var right, wrong int
		scan(t, db, "SELECT count(*) FILTER (WHERE p.who = k.who), count(*) FILTER (WHERE p.who IS NOT k.who) FROM "+kid+" k LEFT JOIN "+parent+" p ON p.id = k.p",
			nil, &right, &wrong)
		assert.Equal(t, [2]int{programs * each, 0}, [2]int{right, wrong})
	})
}

func TestStoredConnStateTold(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, oracle, table := b.open(t), openOracle(t), newTable()
		ctx := t.Context()
		for _, both := range []*sql.DB{db, oracle} {
			mustExec(t, both, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, a)")
		}
		got, want := connOf(t, db), connOf(t, oracle)
		for _, step := range []string{
			"", "INSERT INTO {t} (a) VALUES (1), (2), (3)", "UPDATE {t} SET a = 4 WHERE a > 1", "INSERT OR IGNORE INTO {t} VALUES (1, 1)",
			"DELETE FROM {t} WHERE id = 2", "INSERT INTO {t} VALUES (77, last_insert_rowid())", "UPDATE {t} SET a = changes() WHERE id = last_insert_rowid()",
			"INSERT INTO {t} (a) VALUES (5); INSERT INTO {t} (a) VALUES (last_insert_rowid() * 10)",
		} {
			var told [2][4]string
			for i, c := range []*sql.Conn{got, want} {
				if step != "" {
					_, err := c.ExecContext(ctx, strings.ReplaceAll(step, "{t}", table))
					require.NoError(t, err, step)
				}
				rows, err := c.QueryContext(ctx, "SELECT last_insert_rowid(), changes()")
				require.NoError(t, err)
				columns, err := rows.Columns()
				require.NoError(t, err)
				require.True(t, rows.Next())
				require.NoError(t, rows.Scan(&told[i][0], &told[i][1]))
				require.NoError(t, rows.Close())
				copy(told[i][2:], columns)
			}
			assert.Equal(t, told[1], told[0], step)
		}
		_, err := got.QueryContext(ctx, "SELECT total_changes()")
		require.ErrorContains(t, err, "RowsAffected")
		rows, err := got.QueryContext(ctx, "INSERT INTO "+table+" (a) VALUES (9) RETURNING id")
		require.NoError(t, err)
		require.NoError(t, rows.Close())
		_, err = got.QueryContext(ctx, "SELECT last_insert_rowid()")
		require.ErrorContains(t, err, "are not known behind")
		plain := rqlite.Batch{}
		plain.Add("INSERT INTO " + table + " VALUES (last_insert_rowid(), 1)")
		_, err = plain.Exec(ctx, db)
		require.ErrorContains(t, err, "atomic Batch")
	})
}

// Behind a write that failed or was taken back SQLite tells of what is not there any more. The driver
// tells the same, or says that it does not know.
func TestStoredConnStateBehindFailure(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, oracle := b.open(t), openOracle(t)
		ctx := t.Context()
		for _, steps := range [][]string{
			{"INSERT INTO {t} (a) VALUES (5), (1)"},
			{"INSERT INTO {t} (a) VALUES (5), (1)", "UPDATE {t} SET a = a + 10"},
			{"INSERT INTO {t} (a) VALUES (1)"},
			{"UPDATE {t} SET a = 7"},
			{"UPDATE {t} SET a = 7", "DELETE FROM {t} WHERE a = 1"},
			{"INSERT INTO {t} (a) VALUES (5), (1)", "INSERT INTO {t} (a) VALUES (8)"},
			{"INSERT INTO {t} (a) VALUES (5), (1)", "INSERT INTO {t} (a) VALUES (1) ON CONFLICT DO UPDATE SET a = 9"},
			{"CREATE TABLE {t}_more (a)"},
			{"UPDATE {t} SET a = 7", "CREATE TABLE {t}_more (a)"},
			{"SAVEPOINT s", "INSERT INTO {t} (a) VALUES (5)", "ROLLBACK TO s"},
			{"SAVEPOINT s", "UPDATE {t} SET a = 9 WHERE a = 2", "ROLLBACK TO s", "RELEASE s"},
			{"SAVEPOINT s", "INSERT INTO {t} (a) VALUES (5)", "ROLLBACK TO s", "INSERT INTO {t} (a) VALUES (6), (7)"},
		} {
			for _, end := range []string{"", "read", "commit", "rollback", "only, read", "only, commit", "only, rollback"} {
				if end == "" && strings.HasPrefix(steps[0], "SAVEPOINT") {
					continue
				}
				table := newTable()
				var told [2][2]string
				for i, pool := range []*sql.DB{db, oracle} {
					c, err := pool.Conn(ctx)
					require.NoError(t, err)
					var run interface {
						ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
						QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
					} = c
					_, err = c.ExecContext(ctx, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, a UNIQUE); INSERT INTO "+table+" (a) VALUES (1), (2)")
					require.NoError(t, err)
					steps, first := steps, "INSERT INTO "+table+" (a) VALUES (3), (4)"
					if strings.HasPrefix(end, "only") { // the transaction has no other write
						_, err = c.ExecContext(ctx, first)
						require.NoError(t, err)
					} else {
						steps = append([]string{first}, steps...)
					}
					var tx *sql.Tx
					if end != "" {
						tx, err = c.BeginTx(ctx, nil)
						require.NoError(t, err)
						run = tx
					}
					for _, step := range steps {
						_, _ = run.ExecContext(ctx, strings.ReplaceAll(step, "{t}", table))
					}
					switch end {
					case "commit", "only, commit":
						require.NoError(t, tx.Commit())
					case "rollback", "only, rollback":
						require.NoError(t, tx.Rollback())
					}
					if !strings.HasSuffix(end, "read") {
						run = c
					}
					for k, ask := range []string{"last_insert_rowid()", "changes()"} {
						if err := run.QueryRowContext(ctx, "SELECT "+ask).Scan(&told[i][k]); err != nil {
							require.ErrorContains(t, err, ask)
							require.Zero(t, i, "SQLite knows: %v", err)
							told[i][k] = ""
						}
					}
					if strings.HasSuffix(end, "read") {
						require.NoError(t, tx.Rollback())
					}
					require.NoError(t, c.Close())
				}
				for k, got := range told[0] {
					if got != "" {
						assert.Equal(t, told[1][k], got, "%q, %s: value %d", steps, end, k)
					}
				}
			}
		}
	})
}

// So it is if the answer to the commit was lost, and the driver has found out that it was applied.
func TestStoredConnStateBehindLostCommit(t *testing.T) {
	t.Parallel()
	var lose atomic.Bool
	srv, err := startIntercepted(serverOptions{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/db/execute" && lose.CompareAndSwap(true, false) {
				next.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, srv.stop()) })
	c := connOf(t, openDSN(t, srv.dsn))
	ctx := t.Context()
	_, err = c.ExecContext(ctx, "CREATE TABLE x (id INTEGER PRIMARY KEY, a UNIQUE)")
	require.NoError(t, err)
	tx, err := c.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.Exec("INSERT INTO x (a) VALUES (1), (2)")
	require.NoError(t, err)
	_, err = tx.Exec("INSERT INTO x (a) VALUES (3), (1)")
	require.ErrorIs(t, err, rqlite.ConstraintUnique)
	lose.Store(true)
	require.NoError(t, tx.Commit())
	require.False(t, lose.Load())
	var n int
	for _, ask := range []string{"last_insert_rowid()", "changes()"} {
		require.ErrorContains(t, c.QueryRowContext(ctx, "SELECT "+ask).Scan(&n), "are not known", "SQLite says 3 and 0")
	}
}

// connOf returns a connection that ends with the test.
func connOf(t *testing.T, db *sql.DB) *sql.Conn {
	t.Helper()
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// A program for SQLite may ask for foreign keys when it starts; what is so already is no error.
func TestPragmaForeignKeys(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		for _, enforced := range []bool{false, true} {
			s := b.launch(t, serverOptions{foreignKeys: enforced})
			db, sends := openDSN(t, s.dsn), openDSN(t, withSettings(s.dsn, "send_foreign_keys=true"))
			for statement, on := range map[string]bool{
				"PRAGMA foreign_keys = ON": true, "PRAGMA main.foreign_keys(1)": true, "PRAGMA foreign_keys=off": false, "PRAGMA foreign_keys = 0": false,
			} {
				_, err := db.Exec(statement)
				if on == enforced {
					require.NoError(t, err, statement)
				} else {
					require.ErrorContains(t, err, "rqlited with -fk", statement)
				}
			}
			batch := rqlite.Batch{}
			batch.Add("PRAGMA foreign_keys = ON")
			_, err := batch.Exec(t.Context(), db)
			require.ErrorContains(t, err, "send_foreign_keys")
			mustExec(t, db, "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE k (p REFERENCES p)")
			_, err = db.Exec("INSERT INTO k VALUES (1)")
			assert.Equal(t, enforced, errors.Is(err, rqlite.ConstraintForeignKey), "%v", err)
			mustExec(t, sends, "PRAGMA foreign_keys = OFF")
			mustExec(t, sends, "INSERT INTO k VALUES (2)")
		}
	})
}
