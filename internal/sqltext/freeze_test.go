package sqltext_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// frozenAt is the time of these tests, and now is its literal.
var frozenAt = time.Date(2026, 3, 4, 5, 6, 7, 89_900_000, time.FixedZone("", 3600))

const now = "'2026-03-04 04:06:07.089'"

// four returns a random number, always the same.
func four() int64 { return 4 }

var freezeTests = []struct {
	src, want string
}{
	{"INSERT INTO t VALUES(CURRENT_TIMESTAMP, current_date, Current_Time)", "INSERT INTO t VALUES('2026-03-04 04:06:07', '2026-03-04', '04:06:07')"},
	{"SELECT CURRENT_TIMESTAMP", "SELECT '2026-03-04 04:06:07'"},
	{"SELECT t.current_timestamp, current_timestamp.a, 1 AS current_date FROM t", ""},
	{`SELECT "current_timestamp", 'CURRENT_DATE' /* current_time */, 1`, ""},
	{"SELECT a=CURRENT_DATE||b", "SELECT a='2026-03-04' ||b"},

	{"UPDATE t SET a = datetime('now'), b = date('NOW', '+1 day')", "UPDATE t SET a = datetime(" + now + "), b = date(" + now + ", '+1 day')"},
	{"SELECT date(), time ( ), julianday(/**/), unixepoch()", "SELECT date(" + now + "), time ( " + now + "), julianday(/**/ " + now + "), unixepoch(" + now + ")"},
	{`SELECT date("now")`, "SELECT date(" + now + ")"},
	{"SELECT unixepoch('subsec'), time('subsecond', 'utc')", "SELECT unixepoch(" + now + ",'subsec'), time(" + now + ",'subsec', 'utc')"},
	{"SELECT strftime('%s', 'now'), strftime('now'), strftime('now', a)", "SELECT strftime('%s', " + now + "), strftime('now'," + now + "), strftime('now', a)"},
	{"SELECT timediff('now', a), timediff(a, /* */ 'now')", "SELECT timediff(" + now + ", a), timediff(a, /* */ " + now + ")"},
	{"SELECT date(datetime('now'), 'now')", "SELECT date(datetime(" + now + "), 'now')"},
	{"SELECT timediff(date('now'), 'now')", "SELECT timediff(date(" + now + "), " + now + ")"},
	{"SELECT strftime(lower(date('now')))", "SELECT strftime(lower(date(" + now + "))," + now + ")"},
	{"SELECT strftime('%s' -- ')\n)", "SELECT strftime('%s'," + now + " -- ')\n)"},
	{"SELECT strftime(current_date)", "SELECT strftime('2026-03-04'," + now + ")"},
	{"SELECT timediff('subsec', a)", "SELECT timediff(" + now + ", a)"},
	{"SELECT date(-- none\n), a", "SELECT date(-- none\n" + now + "), a"},
	{"INSERT INTO t VALUES(unixepoch(datetime('now', 'subsec')))", "INSERT INTO t VALUES(unixepoch(datetime(" + now + ", 'subsec')))"},
	{"INSERT INTO t VALUES(date(datetime(a, 'subsec')))", ""},
	{"INSERT INTO t VALUES(date(strftime('now', a)))", ""},
	{"SELECT date(?1,'now'), ?2, date('now', :c), strftime(?2), :c", "SELECT date(?1,'now'), ?2, date(" + now + ", :c), strftime(?2," + now + "), :c"},
	{"SELECT date(", ""},
	{"SELECT date('now'", ""},
	{"SELECT 'now', lower('now'), date(a), date('2026-01-01')", ""},
	{"SELECT date FROM time WHERE datetime = 'now'", ""},
	{`SELECT "date"('now'), t.date('now')`, "SELECT \"date\"(" + now + "), t.date('now')"},
	{"INSERT INTO t VALUES(\"random\"(), [randomblob](1), `strftime`('%f','now'))", "INSERT INTO t VALUES((0+4), x'04', `strftime`('%f'," + now + "))"},
	{`INSERT INTO "date"(a) SELECT "current_date" FROM [time]`, ""},
	{"UPDATE t SET a = date(x'6E6f77'), b = date(x'6e6f'), c = x'6e6f77'", "UPDATE t SET a = date(" + now + "), b = date(x'6e6f'), c = x'6e6f77'"},
	{"SELECT date(coalesce(a, 'now'))", ""},

	{"INSERT INTO t VALUES(random(), RANDOM ( ), randomblob(3), randomblob(0))", "INSERT INTO t VALUES((0+4), (0+4), x'040000', x'04')"},
	{"SELECT random(), randomblob(9) FROM t ORDER BY random()", ""},
	{"INSERT INTO random(random) SELECT random FROM t", ""},
	{"INSERT INTO randomblob(a) VALUES(1)", ""},
	{"INSERT INTO current_date VALUES(1)", ""},
	{"INSERT INTO t VALUES(random(1), randomblob(), randomblob(1, 2))", ""},
	{"INSERT INTO t SELECT a FROM u ORDER BY a RETURNING random()", "INSERT INTO t SELECT a FROM u ORDER BY a RETURNING (0+4)"},
	{"UPDATE t SET a=-random()", "UPDATE t SET a=- (0+4)"},
	{"UPDATE t SET a = random() WHERE b = 1", "UPDATE t SET a = (0+4) WHERE b = 1"},
	{"DELETE FROM t WHERE a = (SELECT random() % 5)", "DELETE FROM t WHERE a = (SELECT (0+4) % 5)"},
	{"INSERT INTO t SELECT a FROM u WHERE true ON CONFLICT DO UPDATE SET a = random()", "INSERT INTO t SELECT a FROM u WHERE true ON CONFLICT DO UPDATE SET a = (0+4)"},
	{"DELETE FROM t WHERE a = 1 RETURNING random()", "DELETE FROM t WHERE a = 1 RETURNING (0+4)"},
	{"DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY id LIMIT abs(random()) % 3)", "DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY id LIMIT abs((0+4)) % 3)"},
	{"INSERT INTO t SELECT id FROM (SELECT id FROM t ORDER BY id), (SELECT random())", "INSERT INTO t SELECT id FROM (SELECT id FROM t ORDER BY id), (SELECT (0+4))"},

	{"CREATE TABLE t AS SELECT random() AS r, date('now') AS d", "CREATE TABLE t AS SELECT (0+4) AS r, date(" + now + ") AS d"},
	{"CREATE TABLE t(a DEFAULT (random()), b DEFAULT CURRENT_TIMESTAMP, c AS (date('now')))", ""},
	{"CREATE TEMP TABLE t AS SELECT CURRENT_DATE", "CREATE TEMP TABLE t AS SELECT '2026-03-04'"},
	{"CREATE VIEW v AS SELECT date('now')", ""},
	{"CREATE INDEX i ON t(date('now'))", ""},
	{"ALTER TABLE t ADD COLUMN a DEFAULT CURRENT_DATE", ""},
	{"PRAGMA table_info(random())", ""},
	{"CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = random(); END", ""},
	{"EXPLAIN SELECT date('now')", ""},
	{"DELETE FROM t", ""},

	{"INSERT INTO t VALUES(?, date('now'), :b, random(), ?) RETURNING a, :b", "INSERT INTO t VALUES(?, date(" + now + "), :b, (0+4), ?) RETURNING a, :b"},
	{"INSERT INTO t VALUES(CURRENT_TIMESTAMP) RETURNING\n?", "INSERT INTO t VALUES('2026-03-04 04:06:07') RETURNING\n?"},
	{"UPDATE t SET a=random()RETURNING ?", "UPDATE t SET a=(0+4) RETURNING ?"},
	{"INSERT INTO t VALUES(?1) RETURNING date('now'), ?1", "INSERT INTO t VALUES(?1) RETURNING date(" + now + "), ?1"},
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	for _, tt := range freezeTests {
		t.Run(tt.src, func(t *testing.T) {
			t.Parallel()
			s := parseOne(t, tt.src)
			got, err := s.Freeze(frozenAt, four)
			require.NoError(t, err)
			assert.Equal(t, parseOne(t, tt.src), s, "the original has changed")
			if tt.want == "" {
				tt.want = tt.src
			}
			assert.Equal(t, tt.want, got.Text)
			assert.Equal(t, parseOne(t, got.Text), got, "described as parsing it would")
		})
	}
}

// TestFreezeNothing checks that Freeze does not allocate for a statement that it leaves unchanged.
func TestFreezeNothing(t *testing.T) {
	for _, src := range []string{"INSERT INTO t VALUES(?, changes()) RETURNING id", "EXPLAIN SELECT date('now')", "PRAGMA table_info(t)"} {
		s := parseOne(t, src)
		assert.Zero(t, testing.AllocsPerRun(10, func() {
			if _, err := s.Freeze(frozenAt, four); err != nil {
				t.Error(err)
			}
		}), src)
	}
}

// TestFreezeExtreme takes the least int64, which has no positive counterpart.
func TestFreezeExtreme(t *testing.T) {
	t.Parallel()
	got, err := parseOne(t, "UPDATE t SET a=random(), b=randomblob(9)").Freeze(frozenAt, func() int64 { return -1 << 63 })
	require.NoError(t, err)
	assert.Equal(t, "UPDATE t SET a=(0+-9223372036854775808), b=x'000000000000008000'", got.Text)
}

var refusedTests = []struct{ src, want string }{
	{"INSERT INTO t VALUES(date(coalesce(?, 'now')))", "write 'now' as an argument of its own"},
	{"UPDATE t SET a = timediff(a, iif(b, 'subsec', c))", "write 'now' as an argument of its own"},
	{"DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT 1)", "select the rows first"},
	{"INSERT INTO t SELECT * FROM u ORDER BY a, abs(random())", "select the rows first"},
	{"CREATE TABLE t AS SELECT a, random() AS r FROM u", "in all rows"},
	{"CREATE TABLE t AS SELECT * FROM u ORDER BY random()", "select the rows first"},
	{"INSERT INTO t VALUES(randomblob(?))", "takes a plain number"},
	{"INSERT INTO t VALUES(randomblob(2*8))", "takes a plain number"},
	{"INSERT INTO t VALUES(randomblob(1000001))", "takes a plain number"},
	{"INSERT INTO t SELECT (SELECT 1 ORDER BY 1 LIMIT 1) FROM u ORDER BY random() LIMIT 1", "select the rows first"},
	{"INSERT INTO t VALUES(date(('now')))", "write 'now' as an argument of its own"},
	{"CREATE TABLE t AS SELECT date(lower('NOW')) AS d", "write 'now' as an argument of its own"},
	{"INSERT INTO t VALUES(strftime('%s', 'now' || ''))", "write 'now' as an argument of its own"},
	{"INSERT INTO t VALUES(randomblob(-1))", "takes a plain number"},
	{"INSERT INTO t VALUES(randomblob(1e3))", "takes a plain number"},
	{"INSERT INTO t VALUES(randomblob(99999999999999999999))", "takes a plain number"},
	{"INSERT INTO t SELECT a FROM u ORDER BY (SELECT random() LIMIT 1)", "select the rows first"},
	{"INSERT INTO t SELECT row_number() OVER (ORDER BY random()) FROM u", "select the rows first"},
	{"INSERT INTO t SELECT a FROM u ORDER BY randomblob(8)", "select the rows first"},
	{"INSERT INTO t SELECT count(DISTINCT r) FROM (SELECT random() r FROM u)", "select the rows first"},
	{"INSERT INTO t VALUES(4, (SELECT count(DISTINCT random()) FROM u))", "select the rows first"},
	{"INSERT INTO t SELECT max(abs(random())) FROM u", "select the rows first"},
	{"INSERT INTO t SELECT a FROM u JOIN v ON random() > 0", "select the rows first"},
	{"UPDATE t SET a = (SELECT random() FROM u LIMIT 1)", "select the rows first"},
}

// oncePerRow are statements that take a random number for each row that they write.
var oncePerRow = []string{
	"INSERT INTO t VALUES((SELECT random()), max(1, 2))",
	"INSERT INTO t SELECT random() FROM u JOIN v ON u.a = v.a",
	"INSERT INTO t SELECT a FROM u JOIN v ON u.a = v.a UNION ALL SELECT random()",
	"INSERT INTO t VALUES(1) ON CONFLICT DO UPDATE SET a = random()",
	"DELETE FROM t WHERE a IN (SELECT a FROM u LIMIT random() % 2)",
}

func TestFreezesRandomRows(t *testing.T) {
	t.Parallel()
	for _, src := range oncePerRow {
		got, err := parseOne(t, src).Freeze(frozenAt, four)
		assert.NoError(t, err, src)
		assert.Zero(t, got.Calls&sqltext.CallsRandom, src)
	}
}

func TestFreezeRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range refusedTests {
		s := parseOne(t, tt.src)
		got, err := s.Freeze(frozenAt, four)
		assert.ErrorContains(t, err, tt.want, tt.src)
		assert.Equal(t, s, got, tt.src)
	}
}

func TestTimeParams(t *testing.T) {
	t.Parallel()
	for src, want := range map[string][]int{
		"SELECT date(?), ?":                          {1},
		"SELECT ?, strftime(?, ?), date(:a, ?)":      {3, 4},
		"SELECT timediff(?2, ?1)":                    {2, 1},
		"SELECT date('now', ?)":                      nil,
		"SELECT date(? || ?), date((?))":             {1, 2, 3},
		"INSERT INTO t VALUES(?)":                    nil,
		"INSERT INTO t VALUES(CURRENT_TIMESTAMP, ?)": nil,
		"SELECT ?, CURRENT_DATE":                     nil,
		"SELECT date(), time(, ?), date(?":           nil,
		"INSERT INTO t VALUES(?) RETURNING date(?)":  {2},
	} {
		assert.Equal(t, want, parseOne(t, src).TimeParams(), src)
	}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]sqltext.Calls{
		"SELECT random ()":                                     sqltext.CallsRandom,
		"SELECT Changes(), total_changes()":                    sqltext.CallsChanges | sqltext.CallsTotalChanges,
		"INSERT INTO t SELECT last_insert_rowid()":             sqltext.CallsLastInsertRowid,
		"SELECT current_date":                                  sqltext.CallsTime,
		"INSERT INTO changes(a) VALUES(1)":                     0,
		"REPLACE INTO changes (a) VALUES(1)":                   0,
		"INSERT INTO main.changes(a) VALUES(1)":                0,
		"WITH changes(a) AS (SELECT 1) SELECT a FROM changes":  0,
		"SELECT 1 AS current_time, a.current_date":             0,
		"SELECT 1 -- random()\n, 'date()'":                     0,
		"SELECT random() + date(a) + last_insert_rowid()":      sqltext.CallsRandom | sqltext.CallsTime | sqltext.CallsLastInsertRowid,
		"EXPLAIN SELECT randomblob(1)":                         sqltext.CallsRandom,
		"SELECT changes, t.changes(), 'changes()', \"random\"": 0,
	} {
		assert.Equal(t, want, parseOne(t, src).Calls, src)
	}
}

func TestInsert(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]bool{
		"INSERT INTO t VALUES(1)": true, "REPLACE INTO t VALUES(1)": true, "WITH c AS (SELECT 1) INSERT INTO t SELECT * FROM c": true,
		"UPDATE t SET a = 1": false, "EXPLAIN INSERT INTO t VALUES(1)": false, "WITH c AS (SELECT 1) DELETE FROM t": false, "SELECT replace(a, 1, 2)": false,
	} {
		assert.Equal(t, want, parseOne(t, src).Insert, src)
	}
}

// FuzzFreeze checks a frozen statement: its fields match its text, it is one statement of the same
// Kind, and a write has nothing left to freeze.
func FuzzFreeze(f *testing.F) {
	for _, src := range corpus() {
		f.Add(src, int64(-1<<63))
	}
	f.Fuzz(func(t *testing.T, src string, number int64) {
		stmts, err := sqltext.Parse(src)
		if err != nil {
			return
		}
		for _, s := range stmts {
			got, err := s.Freeze(frozenAt, func() int64 { return number })
			if err != nil {
				require.Equal(t, s, got)
				continue
			}
			require.Equal(t, parseOne(t, got.Text), got)
			require.Equal(t, s.Kind, got.Kind)
			require.Equal(t, s.Star, got.Star)
			require.Equal(t, s.Insert, got.Insert)
			require.Equal(t, s.Returning == 0, got.Returning == 0)
			require.Equal(t, s.NumParams, got.NumParams)
			require.Len(t, got.Params, len(s.Params))
			for i, p := range s.Params {
				q := got.Params[i]
				require.Equal(t, p.Index, q.Index)
				require.Equal(t, s.Text[p.Pos:p.End], got.Text[q.Pos:q.End])
			}
			require.Subset(t, indexes(s.Params), s.TimeParams())
			if s.Kind == sqltext.Write {
				again, err := got.Freeze(frozenAt.Add(time.Hour), func() int64 { return ^number })
				require.NoError(t, err)
				require.Equal(t, got, again, "nothing is left to freeze")
			}
		}
	})
}

func indexes(params []sqltext.Param) []int {
	all := []int{}
	for _, p := range params {
		all = append(all, p.Index)
	}
	return all
}
