package integration_test

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a transaction could change about a statement, were it not sent again without
// one: how far a failure reaches, when keys are checked. In the texts @ is a prefix of
// names, ?1 and ?2 are keys of the goroutine, and ?3 is a number below 20.
type contested struct {
	name   string
	schema string
	calm   []string // statements that succeed
	rough  []string // and those that can fail
	finals []string // queries of what is left
	atomic bool     // requests can be transactions
}

// The last one brings deferred keys into the database, which ends the transactions.
var contests = []contested{
	{
		name:   "conflicts",
		atomic: true,
		schema: `
			CREATE TABLE @fail (k INTEGER PRIMARY KEY ON CONFLICT FAIL, u INT UNIQUE ON CONFLICT FAIL, v INT NOT NULL ON CONFLICT FAIL);
			CREATE TABLE @roll (k INTEGER PRIMARY KEY, u INT UNIQUE ON CONFLICT ROLLBACK, v INT CHECK (v <> 7));
			CREATE TABLE @skip (k INTEGER PRIMARY KEY ON CONFLICT IGNORE, u INT UNIQUE ON CONFLICT IGNORE, v INT NOT NULL ON CONFLICT IGNORE);
			CREATE TABLE @swap (k INTEGER PRIMARY KEY ON CONFLICT REPLACE, u INT UNIQUE ON CONFLICT REPLACE, v INT NOT NULL ON CONFLICT REPLACE DEFAULT 5);
			CREATE TABLE @made (k INTEGER PRIMARY KEY, v INT, twice INT AS (v * 2) STORED, t TEXT AS ('v' || v) VIRTUAL, u INT AS (k / 2) UNIQUE);
			CREATE TABLE @auto (id INTEGER PRIMARY KEY AUTOINCREMENT, k INT UNIQUE, v INT);
			CREATE TABLE @bare (k TEXT PRIMARY KEY, v INT UNIQUE) WITHOUT ROWID;
			CREATE TABLE @dad (k INTEGER PRIMARY KEY, v INT);
			CREATE TABLE @kid (k INTEGER PRIMARY KEY, p INT REFERENCES @dad ON DELETE CASCADE ON UPDATE RESTRICT)`,
		calm: []string{
			"INSERT INTO @skip VALUES (?1, ?2, ?3)", "INSERT INTO @skip VALUES (?1, ?1, 0), (?1 + 1, ?2, NULL), (?1 + 2, ?1 + 1, ?3)",
			"UPDATE @skip SET u = ?2 WHERE k = ?1", "DELETE FROM @skip WHERE k = ?1",
			"INSERT INTO @swap VALUES (?1, ?2, ?3)", "REPLACE INTO @swap VALUES (?1, ?2, NULL), (?2, ?1, ?3)", "UPDATE @swap SET u = ?1 WHERE k IN (?1, ?2)",
			"INSERT OR REPLACE INTO @made (k, v) VALUES (?1, ?3)", "UPDATE @made SET v = v + ?3 WHERE k = ?1",
			"INSERT OR IGNORE INTO @auto (k, v) VALUES (?1, ?3)", "INSERT INTO @auto (k, v) VALUES (?1, ?3) ON CONFLICT DO UPDATE SET v = v + 1",
			"INSERT OR IGNORE INTO @bare VALUES (?1, ?2)", "DELETE FROM @bare WHERE k = ?1",
			"INSERT OR IGNORE INTO @dad VALUES (?1, ?3)", "DELETE FROM @dad WHERE k = ?1",
			"INSERT INTO @kid SELECT ?2, k FROM @dad WHERE k = ?1 ON CONFLICT DO NOTHING",
			"INSERT INTO @swap VALUES (?1, ?2, ?3) RETURNING k, u, v", "INSERT INTO @skip VALUES (?1, ?2, ?3) RETURNING k, u, v",
		},
		rough: []string{
			"INSERT INTO @fail VALUES (?1, ?2, ?3)", "INSERT INTO @fail VALUES (?1, ?1, 0), (?1 + 1, ?2, 1), (?1 + 2, ?1 + 1, 2)",
			"UPDATE @fail SET u = ?2 WHERE k IN (?1, ?1 + 1)", "INSERT INTO @fail VALUES (?1, NULL, 1), (?2, NULL, NULL)", "DELETE FROM @fail WHERE k = ?1",
			"INSERT OR FAIL INTO @roll VALUES (?1, ?1, 0), (?1 + 1, ?2, 1), (?1, ?1, 2)", "UPDATE OR FAIL @roll SET u = ?2 WHERE k IN (?1, ?1 + 1)",
			"INSERT OR ROLLBACK INTO @made (k, v) VALUES (?1, 1), (?1 + 1, ?3)",
			"INSERT INTO @roll VALUES (?1, ?2, ?3)", "INSERT INTO @roll VALUES (?1, ?1, 0), (?1 + 1, ?2, 1)", "UPDATE @roll SET u = ?2, v = ?3 WHERE k = ?1",
			"INSERT INTO @made (k, v) VALUES (?1, ?3)", "INSERT INTO @auto (k, v) VALUES (?1, ?3), (?1 + 1, ?3)", "INSERT INTO @bare VALUES (?1, ?2)",
			"INSERT INTO @kid VALUES (?1, ?2)", "INSERT INTO @dad VALUES (?1, ?3)", "UPDATE @dad SET k = ?2 WHERE k = ?1",
			"INSERT INTO @roll VALUES (?1, ?2, ?3) RETURNING k, u, v",
		},
		finals: []string{
			"SELECT * FROM @fail", "SELECT * FROM @roll", "SELECT * FROM @skip", "SELECT * FROM @swap", "SELECT * FROM @made",
			"SELECT * FROM @bare", "SELECT * FROM @dad", "SELECT * FROM @kid", "SELECT k, v FROM @auto",
		},
	},
	{
		name:   "triggers",
		atomic: true,
		schema: `
			CREATE TABLE @t (k INTEGER PRIMARY KEY, v INT);
			CREATE TABLE @log (k INT, what TEXT);
			CREATE TRIGGER @i BEFORE INSERT ON @t BEGIN
				SELECT RAISE(FAIL, 'failed') WHERE new.v = 1;
				SELECT RAISE(ABORT, 'aborted') WHERE new.v = 2;
				SELECT RAISE(ROLLBACK, 'rolled back') WHERE new.v = 3;
				SELECT RAISE(IGNORE) WHERE new.v = 4;
				INSERT INTO @log VALUES (new.k, 'insert');
			END;
			CREATE TRIGGER @u AFTER UPDATE ON @t BEGIN
				INSERT INTO @log VALUES (new.k, 'from ' || old.v || ' to ' || new.v);
				SELECT RAISE(FAIL, 'failed late') WHERE new.v = 1;
				SELECT RAISE(ABORT, 'aborted late') WHERE new.v = 2;
				SELECT RAISE(ROLLBACK, 'rolled back late') WHERE new.v = 3;
				SELECT RAISE(IGNORE) WHERE new.v = 4;
			END;
			CREATE TRIGGER @d AFTER DELETE ON @t BEGIN INSERT INTO @log VALUES (old.k, 'delete ' || old.v); END`,
		calm: []string{
			"INSERT OR IGNORE INTO @t VALUES (?1, ?3 + 4)", "UPDATE @t SET v = ?3 + 5 WHERE k IN (?1, ?2)", "DELETE FROM @t WHERE k = ?1",
			"REPLACE INTO @t VALUES (?1, 4), (?2, ?3 + 4)",
		},
		rough: []string{
			"INSERT INTO @t VALUES (?1, ?3)", "INSERT OR IGNORE INTO @t VALUES (?1, 5), (?1 + 1, ?3 % 5), (?1 + 2, 6)",
			"UPDATE @t SET v = ?3 % 6 WHERE k = ?1", "UPDATE @t SET v = ?3 % 6 WHERE k BETWEEN ?1 AND ?1 + 3",
		},
		finals: []string{"SELECT * FROM @t", "SELECT * FROM @log"},
	},
	{
		name: "deferred keys",
		schema: `
			CREATE TABLE @dad (k INTEGER PRIMARY KEY, v INT);
			CREATE TABLE @kid (k INTEGER PRIMARY KEY, p INT REFERENCES @dad DEFERRABLE INITIALLY DEFERRED)`,
		calm: []string{
			"INSERT OR IGNORE INTO @dad VALUES (?1, ?3)", "UPDATE @dad SET v = v + ?3 WHERE k = ?1", "DELETE FROM @kid WHERE k = ?1",
			"INSERT INTO @kid SELECT ?2, k FROM @dad WHERE k = ?1 ON CONFLICT DO NOTHING",
		},
		rough:  []string{"INSERT INTO @kid VALUES (?1, ?2)", "INSERT INTO @dad VALUES (?1, ?3)", "DELETE FROM @dad WHERE k = ?1", "UPDATE @kid SET p = ?2 WHERE k = ?1"},
		finals: []string{"SELECT * FROM @dad", "SELECT * FROM @kid"},
	},
}

// steps returns what a goroutine does, for which only its own rows matter.
func (c *contested) steps(seed uint64, g, n int, calm bool) []step {
	rng := rand.New(rand.NewPCG(seed, uint64(g)))
	texts := c.calm
	if !calm {
		texts = append(append([]string{}, c.calm...), c.rough...)
	}
	list := make([]step, n)
	for i := range list {
		s := &list[i]
		s.query = texts[rng.IntN(len(texts))]
		if strings.Contains(s.query, "RETURNING") {
			s.mode = queryMode
		}
		key := func() int { return 100*g + 2*rng.IntN(5) }
		for p, arg := range []any{key(), key(), rng.IntN(20)} {
			if strings.Contains(s.query, fmt.Sprint("?", p+1)) {
				s.args = append(s.args[:len(s.args):len(s.args)], arg)
			}
		}
		s.query = renumber(s.query)
	}
	return list
}

// renumber gives the parameters that a statement has the first numbers.
func renumber(query string) string {
	n := 0
	for _, old := range []string{"?1", "?2", "?3"} {
		if strings.Contains(query, old) {
			n++
			query = strings.ReplaceAll(query, old, fmt.Sprint("?", n))
		}
	}
	return query
}

// seenOf returns all that a program can compare of an outcome, wherever its database is.
func (s step) seenOf(o outcome, prefix string) string {
	if o.err != nil {
		message := o.err.Error()
		var failed *rqlite.Error
		if errors.As(o.err, &failed) {
			message = failed.Message
		}
		return "error: " + strings.ReplaceAll(message, prefix, "@")
	}
	text := fmt.Sprintf("%d rows affected; %v", o.rowsAffected, o.rows)
	hasID := !strings.Contains(s.query, "@auto") && !strings.Contains(s.query, "@bare") && !strings.Contains(s.query, "DO UPDATE")
	if strings.HasPrefix(s.query, "INSERT") && o.rowsAffected > 0 && hasID {
		text += fmt.Sprintf("; id %d", o.lastInsertID)
	}
	return text
}

// play runs the steps of all goroutines, and returns what each saw.
func play(t *testing.T, db *sql.DB, prefix string, all [][]step, run func(n int, f func(g int))) [][]string {
	t.Helper()
	seen := make([][]string, len(all))
	run(len(all), func(g int) {
		for _, s := range all[g] {
			there := s
			there.query = strings.ReplaceAll(s.query, "@", prefix)
			seen[g] = append(seen[g], s.seenOf(observe(t.Context(), db, there), prefix))
		}
	})
	return seen
}

// inTurn runs the goroutines one after the other.
func inTurn(n int, f func(g int)) {
	for g := range n {
		f(g)
	}
}

// TestJoinedDifferential runs the same writes on SQLite, one goroutine after the
// other, and by this driver at the same time, joined and not. What a goroutine does
// concerns its own rows alone, so that each has to see the same in all three, and the
// tables have to be the same in the end.
func TestJoinedDifferential(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		dsn := b.launch(t, serverOptions{foreignKeys: true}).dsn
		run := 0
		for _, c := range contests {
			t.Run(c.name, func(t *testing.T) {
				for seed := range either[uint64](2, 40) {
					for _, calm := range []bool{true, false} {
						run++
						c.differential(t, dsn, fmt.Sprintf("x%d", run), seed, calm)
					}
				}
			})
		}
	})
}

// differential makes the tables with names that begin with prefix.
func (c *contested) differential(t *testing.T, dsn, prefix string, seed uint64, calm bool) {
	t.Helper()
	const goroutines, each = 48, 12
	oracle, err := sql.Open("sqlite3", "file:"+filepath.Join(t.TempDir(), "oracle.db")+"?_journal_mode=MEMORY&_synchronous=OFF&_foreign_keys=on")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, oracle.Close()) })
	oracle.SetMaxOpenConns(1)
	j, alone := openJoined(t, dsn), openDSN(t, withSettings(dsn, "coalesce=false"))
	all := make([][]step, goroutines)
	for g := range all {
		all[g] = c.steps(seed, g, each, calm)
	}
	var want [][]string
	for _, subject := range []struct {
		name  string
		db    *sql.DB
		maker *sql.DB // of the tables
		run   func(int, func(int))
	}{{"SQLite", oracle, oracle, inTurn}, {"joined", j.DB, alone, together}, {"alone", alone, alone, together}} {
		prefix := fmt.Sprintf("%s_%c_", prefix, subject.name[0])
		mustExec(t, subject.maker, strings.ReplaceAll(c.schema, "@", prefix))
		seen := play(t, subject.db, prefix, all, subject.run)
		for _, query := range c.finals {
			o := observe(t.Context(), subject.db, step{mode: queryMode, query: strings.ReplaceAll(query, "@", prefix) + " ORDER BY 1, 2"})
			require.NoError(t, o.err)
			seen = append(seen, []string{fmt.Sprint(o.rows)})
		}
		if want == nil {
			want = seen
			continue
		}
		c.compare(t, fmt.Sprintf("%s, seed %d, calm %v", subject.name, seed, calm), all, want, seen)
	}
	j.requireJoined(t, goroutines*each)
	switch {
	case !c.atomic:
		assert.Zero(t, j.worked.Load(), "a transaction that could mend a violation of deferred keys")
	case calm:
		assert.Positive(t, j.worked.Load(), "no transaction worked")
	default:
		assert.Greater(t, j.atomic.Load(), j.worked.Load(), "no transaction failed")
	}
}

// compare reports what was seen otherwise than on SQLite.
func (c *contested) compare(t *testing.T, where string, all [][]step, want, got [][]string) {
	t.Helper()
	reported := 0
	for g := range want {
		for i := range want[g] {
			if got[g][i] == want[g][i] {
				continue
			}
			if reported++; reported > 5 {
				return
			}
			what := "the rows of the end"
			if g < len(all) {
				what = all[g][i].String()
			}
			t.Errorf("%s: goroutine %d, step %d: %s\n\twant %.500s\n\tgot  %.500s", where, g, i, what, want[g][i], got[g][i])
		}
	}
}

// Where keys are deferred, a child without its parent fails, although another
// goroutine writes the parent at the same time, and a parent with a child stays,
// although another deletes the child: whatever the state of the driver's table.
func TestJoinedDeferredKeys(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		dsn := b.launch(t, serverOptions{foreignKeys: true}).dsn
		outside := openDSN(t, withSettings(dsn, "txversion=false"))
		mustExec(t, outside, `
			CREATE TABLE dad (k INTEGER PRIMARY KEY);
			CREATE TABLE kid (k INTEGER PRIMARY KEY, p INT REFERENCES dad DEFERRABLE INITIALLY DEFERRED, fatherless INT);
			CREATE TABLE orphaned (k INT);
			CREATE TRIGGER o AFTER DELETE ON dad WHEN EXISTS (SELECT 1 FROM kid WHERE p = old.k) BEGIN INSERT INTO orphaned VALUES (old.k); END`)
		for _, c := range []struct{ name, settings, register string }{
			{"never made", "", ""},
			{"not used", "txversion=false", ""},
			{"made", "", makes},
			{"emptied", "", "DELETE FROM _rqlite_tx"},
			{"dropped", "", "DROP TABLE IF EXISTS _rqlite_tx"},
		} {
			t.Run(c.name, func(t *testing.T) {
				j := openJoined(t, withSettings(dsn, c.settings))
				deferredKeys(t, outside, j, c.register)
			})
		}
	})
}

// makes stands for the making of the version table, which a transaction does.
const makes = "transaction"

// deferredKeys writes families at the same time. In each round the version table is
// changed from outside, after the connector has written.
func deferredKeys(t *testing.T, outside *sql.DB, j *joined, register string) {
	t.Helper()
	const families, rounds = 64, 5
	var refused, strange violations
	for range either(rounds, 20*rounds) {
		mustExec(t, outside, "DELETE FROM kid; DELETE FROM dad; DELETE FROM orphaned")
		mustExec(t, outside, "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n LIMIT ?) INSERT INTO dad SELECT -k FROM n", families)
		mustExec(t, outside, "INSERT INTO kid SELECT k, k, 0 FROM dad")
		switch register {
		case "":
		case makes:
			require.NoError(t, once(t.Context(), outside, nil, func(tx *sql.Tx) error {
				_, err := tx.Exec("DELETE FROM orphaned")
				return err
			}))
		default:
			mustExec(t, outside, register)
		}
		together(4*families, func(g int) {
			query := []string{
				"INSERT INTO kid SELECT ?1, ?1, NOT EXISTS (SELECT 1 FROM dad WHERE k = ?1)", "INSERT INTO dad VALUES (?1)",
				"DELETE FROM dad WHERE k = -1 - ?1", "DELETE FROM kid WHERE k = -1 - ?1",
			}[g%4]
			_, err := j.ExecContext(t.Context(), query, g/4)
			switch {
			case errors.Is(err, rqlite.ConstraintForeignKey) && g%2 == 0:
				refused.add("%v", err)
			case err != nil:
				strange.add("%s: %v", query, err)
			}
			strange.looks.Add(1)
		})
		var fatherless, orphans int
		scan(t, outside, "SELECT (SELECT count(*) FROM kid WHERE fatherless), (SELECT count(*) FROM orphaned)", nil, &fatherless, &orphans)
		assert.Zero(t, fatherless, "children written before their parents")
		assert.Zero(t, orphans, "parents deleted before their children")
	}
	strange.none(t)
	t.Logf("%d were refused", refused.count())
	assert.Positive(t, refused.count(), "none was early: the test tests nothing")
	j.requireJoined(t, 4*families*rounds)
	assert.Positive(t, j.atomic.Load())
	assert.Zero(t, j.worked.Load(), "a transaction that could mend a violation")
}
