package integration_test

import (
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

// TestReleaseFaults has a test for each thing that some release of rqlite, from the
// oldest that is supported on, does otherwise than the newest. What SQLite does is
// right, and what cannot be done on a release has to be refused before it has any
// effect.
func TestReleaseFaults(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		if b.external {
			t.Skip("it writes by bare HTTP, without the credentials of RQLITE_DSN")
		}
		for _, fault := range []struct {
			name string
			test func(*testing.T, *backend)
		}{
			{"scripts", faultScripts},
			{"atomic batches", faultBatches},
			{"joined writes", faultJoined},
			{"commits", faultCommits},
			{"reads with time", faultTimeReads},
			{"reads with random numbers", faultRandomReads},
			{"BLOBs of RETURNING", faultBlobs},
			{"RETURNING in other words", faultSpellings},
			{"expressions of RETURNING", faultExpressions},
			{"releases that are too old", faultTooOld},
			{"a lone node steps down", faultStepDown},
		} {
			t.Run(fault.name, func(t *testing.T) { fault.test(t, b) })
		}
	})
}

// rough is a statement that fails, in which $plain and $keyed are the tables of
// roughSchema, and the columns that it would return.
type rough struct{ name, text, returning string }

const roughSchema = `CREATE TABLE $plain (n INT);
	CREATE TABLE $keyed (k INTEGER PRIMARY KEY, u INT UNIQUE, v INT NOT NULL CHECK (v <> 7));
	INSERT INTO $keyed VALUES (1, 1, 1)`

var roughs = []rough{
	{"no such table", "UPDATE nowhere SET v = 1", "v"},
	{"unique", "INSERT INTO $keyed VALUES (2, 1, 0)", "k, v"},
	{"not null", "INSERT INTO $keyed VALUES (2, 2, NULL)", "k"},
	{"check", "UPDATE $keyed SET v = 7", "k"},
	{"overflow", "INSERT INTO $plain VALUES (abs(-9223372036854775808))", "n"},
}

// script is a few statements, of which one fails or none.
type script struct {
	name       string
	statements []string
	returning  bool // one of them has the clause
}

// roughScripts returns scripts of three statements, and one in which nothing fails.
func roughScripts() (list []script) {
	calm := []string{"INSERT INTO $plain VALUES (1)", "INSERT INTO $plain VALUES (2)", "INSERT INTO $plain VALUES (3)"}
	list = append(list,
		script{name: "nothing fails", statements: calm},
		script{"nothing fails, RETURNING", []string{calm[0] + " RETURNING n", calm[1], calm[2] + " RETURNING n"}, true})
	for _, r := range roughs {
		for at, place := range []string{"first", "middle", "last"} {
			for _, clauses := range []struct {
				name         string
				fails, other bool
			}{{"", false, false}, {", it has RETURNING", true, false}, {", the others have RETURNING", false, true}, {", all have RETURNING", true, true}} {
				s := script{name: r.name + " " + place + clauses.name, returning: clauses.fails || clauses.other}
				for i, text := range calm {
					switch {
					case i == at && clauses.fails:
						text = r.text + " RETURNING " + r.returning
					case i == at:
						text = r.text
					case clauses.other:
						text += " RETURNING n"
					}
					s.statements = append(s.statements, text)
				}
				list = append(list, s)
			}
		}
	}
	return list
}

// stage is a pair of tables in SQLite and in rqlite.
type stage struct {
	plain, keyed    string
	oracle, subject *sql.DB
}

// onStages runs scripts in each state of the version table, and with a node that does not
// tell its release, each with new tables and a connector that knows nothing. The function
// says whether a statement failed.
func onStages(t *testing.T, b *backend, test func(*testing.T, *stage, script, bool) bool) {
	t.Helper()
	c := b.launch(t, serverOptions{foreignKeys: true})
	oracle := openOracle(t)
	on := func(t *testing.T, version string, prepare func(*testing.T, *cluster, *sql.DB), open func(*testing.T) *sql.DB) {
		t.Helper()
		failed, scripts := 0, roughScripts()
		for _, s := range scripts {
			t.Run(s.name, func(t *testing.T) {
				st := &stage{newTable(), newTable(), oracle, open(t)}
				mustExec(t, oracle, st.named(roughSchema))
				c.rawExecute(t, st.named(roughSchema))
				prepare(t, c, st.subject)
				if test(t, st, s, undoesReturning.before(version)) {
					failed++
				}
				requireSameContents(t, oracle, st.subject, st.plain, st.keyed)
			})
		}
		assert.Equal(t, len(scripts)-2, failed, "scripts that failed")
	}
	for _, register := range registerStates {
		t.Run(register.name, func(t *testing.T) {
			on(t, c.version, register.prepare, func(t *testing.T) *sql.DB { t.Helper(); return openDSN(t, c.dsn) })
		})
	}
	t.Run("no release is told", func(t *testing.T) {
		on(t, "", registerStates[0].prepare, func(t *testing.T) *sql.DB { t.Helper(); return openDisguised(t, c.dsn, "") })
	})
}

func (s *stage) named(text string) string {
	return strings.NewReplacer("$plain", s.plain, "$keyed", s.keyed).Replace(text)
}

// faultScripts runs several statements by one Exec: the first that fails ends them, and
// those before it stay, once.
func faultScripts(t *testing.T, b *backend) {
	t.Helper()
	onStages(t, b, func(t *testing.T, st *stage, s script, _ bool) bool {
		text := st.named(strings.Join(s.statements, "; "))
		_, want := st.oracle.ExecContext(t.Context(), text)
		_, got := st.subject.ExecContext(t.Context(), text)
		assert.Equal(t, kindOf(want), kindOf(got), text)
		return want != nil
	})
}

// faultBatches runs atomic batches, of which all is applied or nothing. A release that
// does not undo what stands beside a failed RETURNING may be refused one.
func faultBatches(t *testing.T, b *backend) {
	t.Helper()
	onStages(t, b, func(t *testing.T, st *stage, s script, lenient bool) bool {
		batch := rqlite.Batch{Atomic: true}
		for _, text := range s.statements {
			batch.Add(st.named(text))
		}
		_, got := batch.Exec(t.Context(), st.subject)
		failed := false
		want := once(t.Context(), st.oracle, nil, func(tx *sql.Tx) error {
			for _, text := range s.statements {
				if _, err := tx.ExecContext(t.Context(), st.named(text)); err != nil {
					failed = true
					return err
				}
			}
			if lenient && s.returning && declined(got) {
				return got // nothing may be there
			}
			return nil
		})
		if !lenient || !s.returning || !declined(got) {
			assert.Equal(t, kindOf(want), kindOf(got), s.statements)
		}
		return failed
	})
}

// joinedWrite is what a goroutine writes, with a number, and how it ends.
type joinedWrite struct {
	text, kind string
	query      bool
}

const (
	violatesUnique = "SQLite error 19, extended 2067"
	hasNoTable     = "SQLite error 1, extended 1"
)

// joinedWrites are what goroutines write in turn. Where a release takes a failed
// RETURNING for no reason to undo a transaction, one that fails otherwise hides it.
var joinedWrites = map[string][]joinedWrite{
	"RETURNING fails": {
		{"INSERT INTO plain VALUES (?)", "success", false},
		{"INSERT INTO plain VALUES (?)", "success", false},
		{"INSERT INTO plain VALUES (?) RETURNING n", "success", true},
		{"INSERT INTO keyed VALUES (?1, ?1) RETURNING u", "success", true},
		{"INSERT INTO keyed VALUES (?, -1) RETURNING n", violatesUnique, true},
	},
	"no table for RETURNING": {
		{"INSERT INTO plain VALUES (?)", "success", false},
		{"INSERT INTO plain VALUES (?)", "success", false},
		{"INSERT INTO keyed VALUES (?1, ?1)", "success", false},
		{"INSERT INTO nowhere VALUES (?) RETURNING n", hasNoTable, true},
	},
	"all kinds fail": {
		{"INSERT INTO plain VALUES (?)", "success", false},
		{"INSERT INTO plain VALUES (?) RETURNING n", "success", true},
		{"INSERT INTO keyed VALUES (?, -1) RETURNING n", violatesUnique, true},
		{"INSERT INTO keyed VALUES (?, -1)", violatesUnique, false},
		{"INSERT INTO nowhere VALUES (?)", hasNoTable, false},
	},
}

// faultJoined has goroutines write at the same time, of which some fail. Each row that
// was acknowledged has to be there once, and nothing of what failed.
func faultJoined(t *testing.T, b *backend) {
	t.Helper()
	c := b.launch(t, serverOptions{})
	for _, register := range registerStates {
		for name, writes := range joinedWrites {
			t.Run(register.name+", "+name, func(t *testing.T) {
				j := openJoined(t, c.dsn)
				c.rawExecute(t, "DROP TABLE IF EXISTS plain", "DROP TABLE IF EXISTS keyed",
					"CREATE TABLE plain (n INT)", "CREATE TABLE keyed (n INT, u INT UNIQUE)", "INSERT INTO keyed VALUES (-1, -1)")
				register.prepare(t, c, j.DB)
				writeJoined(t, j, writes)
			})
		}
	}
}

// writeJoined runs writes in many goroutines, and looks at what is there then.
func writeJoined(t *testing.T, j *joined, writes []joinedWrite) {
	t.Helper()
	const goroutines = 48
	each := either(6, 60)
	var wrong violations
	together(goroutines, func(g int) {
		w := writes[g%len(writes)]
		for i := range each {
			wrong.looks.Add(1)
			var err error
			if w.query {
				_, err = rowsText(t.Context(), j, w.text, g*each+i)
			} else {
				_, err = j.ExecContext(t.Context(), w.text, g*each+i)
			}
			if kindOf(err) != w.kind {
				wrong.add("%s: want %s, got %s", w.text, w.kind, kindOf(err))
			}
		}
	})
	wrong.none(t)
	// Those with RETURNING go by themselves before 9.4.0.
	assert.Positive(t, j.connector.Stats().Coalesced)
	want := map[string]map[int]int{"plain": {}, "keyed": {-1: 1}}
	for g := range goroutines {
		w := writes[g%len(writes)]
		for i := range each {
			for table, rows := range want {
				if w.kind == "success" && strings.Contains(w.text, table) {
					rows[g*each+i]++
				}
			}
		}
	}
	for table, rows := range want {
		stored := timesStored(t, j.DB, table)
		for n, times := range stored {
			if times != rows[n] {
				wrong.add("%s: row %d is there %d times, and not %d times", table, n, times, rows[n])
			}
		}
		assert.Len(t, stored, len(rows), "rows of %s", table)
	}
	wrong.none(t)
}

// timesStored counts the rows of a table by their number.
func timesStored(t *testing.T, db *sql.DB, table string) map[int]int {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT n FROM "+table)
	require.NoError(t, err)
	defer rows.Close()
	counts := map[int]int{}
	for rows.Next() {
		var n int
		require.NoError(t, rows.Scan(&n))
		counts[n]++
	}
	require.NoError(t, rows.Err())
	return counts
}

// commitCase is a transaction whose commit fails.
type commitCase struct {
	mode      rqlite.TxMode
	at        int
	returning bool
	spoil     string // what a writer outside the driver does before the commit
	fails     string // the statement that fails, because of that or by itself
}

func (cc commitCase) String() string {
	how := map[bool]string{true: " of RETURNING", false: ""}[cc.returning]
	why := cc.spoil
	if why == "" {
		why = "by itself"
	}
	return fmt.Sprintf("%v: failure%s at %d, %s", cc.mode, how, cc.at, why)
}

// faultCommits has commits fail, in most cases because another program, which does not
// move the version, got in between: nothing may be applied.
func faultCommits(t *testing.T, b *backend) {
	t.Helper()
	c := b.launch(t, serverOptions{})
	lenient := undoesReturning.before(c.version)
	tried := 0
	for _, mode := range []rqlite.TxMode{rqlite.TxInteractive, rqlite.TxPipelined} {
		for at := range 3 {
			for _, returning := range []bool{true, false} {
				for _, spoil := range []string{"", "INSERT INTO $keyed VALUES (2, 2, 2)", "DROP TABLE $keyed"} {
					cc := commitCase{mode, at, returning, spoil, "INSERT INTO $keyed VALUES (3, 2, 3)"}
					if spoil == "" {
						if mode == rqlite.TxInteractive || returning {
							continue // it fails at once, and is no part of the transaction
						}
						cc.fails = "INSERT INTO $keyed VALUES (3, 1, 3)"
					}
					if returning {
						cc.fails += " RETURNING k"
					}
					tried++
					t.Run(cc.String(), func(t *testing.T) { cc.test(t, c, lenient) })
				}
			}
		}
	}
	assert.Equal(t, 27, tried)
}

func (cc commitCase) test(t *testing.T, c *cluster, lenient bool) {
	t.Helper()
	st := &stage{plain: newTable(), keyed: newTable(), subject: openDSN(t, c.dsn)}
	c.rawExecute(t, st.named(roughSchema))
	tx, err := st.subject.BeginTx(rqlite.WithTxMode(t.Context(), cc.mode), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	for i := range 3 {
		text := fmt.Sprintf("INSERT INTO $plain VALUES (%d)", i)
		if i == cc.at {
			text = cc.fails
		}
		err := cc.run(t.Context(), tx, st.named(text))
		if lenient && cc.returning && i == cc.at && declined(err) {
			require.NoError(t, tx.Rollback())
			assert.Empty(t, timesStored(t, st.subject, st.plain))
			return
		}
		require.NoError(t, err, text)
	}
	before := ""
	if cc.spoil != "" {
		c.rawExecute(t, st.named(cc.spoil))
	}
	if !strings.HasPrefix(cc.spoil, "DROP") {
		before = rowsIn(t, st.subject, st.keyed)
	}
	err = tx.Commit()
	require.Error(t, err)
	assert.NotErrorIs(t, err, rqlite.ErrIndeterminate)
	assert.NotErrorIs(t, err, rqlite.ErrResultsChanged, "it says that it was committed")
	var failed *rqlite.Error
	if !lenient || !cc.returning {
		assert.True(t, errors.As(err, &failed) || errors.Is(err, rqlite.ErrTxConflict), err)
	}
	assert.Empty(t, timesStored(t, st.subject, st.plain), "a part of the transaction")
	if before != "" {
		assert.Equal(t, before, rowsIn(t, st.subject, st.keyed))
	}
}

// run runs a statement as programs do in the mode: in a pipelined one by Exec, so that it may wait.
func (cc commitCase) run(ctx context.Context, tx *sql.Tx, text string) error {
	if cc.mode == rqlite.TxInteractive && strings.Contains(text, "RETURNING") {
		_, err := rowsText(ctx, tx, text)
		return err
	}
	_, err := tx.ExecContext(ctx, text)
	return err
}

// faultTooOld has nodes that tell an old release, on which even what is refused today
// would be wrong: whatever is asked is an error that names the release, and has no effect.
func faultTooOld(t *testing.T, b *backend) {
	t.Helper()
	table := newTable()
	b.shared.rawExecute(t, "CREATE TABLE "+table+" (n INT)")
	const old = "v8.15.0"
	for name, do := range map[string]func(*sql.DB) error{
		"Exec": func(db *sql.DB) error {
			_, err := db.ExecContext(t.Context(), "INSERT INTO "+table+" VALUES (1)")
			return err
		},
		"Query": func(db *sql.DB) error { _, err := rowsText(t.Context(), db, "SELECT n FROM "+table); return err },
		"RETURNING": func(db *sql.DB) error {
			_, err := rowsText(t.Context(), db, "INSERT INTO "+table+" VALUES (2) RETURNING n")
			return err
		},
		"a transaction": func(db *sql.DB) error { _, err := insertNumber(t.Context(), db, table, 3); return err },
		"a batch": func(db *sql.DB) error {
			var batch rqlite.Batch
			batch.Add("INSERT INTO " + table + " VALUES (4)")
			_, err := batch.Exec(t.Context(), db)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := do(openDisguised(t, b.shared.dsn, old))
			assert.ErrorContains(t, err, strings.TrimPrefix(old, "v"))
			assert.NotErrorIs(t, err, rqlite.ErrIndeterminate)
		})
	}
	assert.Empty(t, timesStored(t, b.open(t), table))
}

// insertNumber inserts a number by a transaction of its own.
func insertNumber(ctx context.Context, db *sql.DB, table string, n int) (fortune, error) {
	err := once(ctx, db, nil, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (?)", n)
		return err
	})
	return fortuneOf(err), err
}

// faultStepDown asks a node that has nobody to hand over to: that is an error which
// says that nothing was done, and the node goes on.
func faultStepDown(t *testing.T, b *backend) {
	t.Helper()
	db := openDSN(t, b.launch(t, serverOptions{}).dsn)
	err := raw(t, db, func(ctx context.Context, c rqlite.Conn) error { return c.StepDown(ctx, "") })
	require.Error(t, err)
	assert.NotErrorIs(t, err, rqlite.ErrIndeterminate)
	mustExec(t, db, "CREATE TABLE after (n INT)")
}
