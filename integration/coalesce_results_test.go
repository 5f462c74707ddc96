package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ownTables are what owners write to, each rows of its own.
const ownTables = `
	CREATE TABLE parents (id INTEGER PRIMARY KEY);
	CREATE TABLE own (id INTEGER PRIMARY KEY, owner INT NOT NULL, n INT NOT NULL CHECK (n < 1000), v BLOB,
		hits INT NOT NULL DEFAULT 1, parent INT REFERENCES parents, UNIQUE (owner, n));
	CREATE TABLE several (owner INT, n INT, i INT, v INT)`

// ownRow is a row as its owner expects it.
type ownRow struct {
	id    int64
	value string // its type and its bytes
	hits  int64
}

// owner is one of several goroutines, which compares all it is told with what it did.
type owner struct {
	g    int
	db   *sql.DB
	done int // writes

	mu      *sync.Mutex
	rows    map[[2]int]ownRow // by owner and n
	several map[int]int64     // rows in several, by owner
}

// ownValue returns a value that only one owner has, and what is stored of it.
func ownValue(g, n int) (value any, stored string) {
	texts := []string{
		"it's \"quoted\" `so` %d %d", "x'%02x%02x'", "nul \x00 in %d %d", "☃ 🦄 e\u0301 %d %d", `{"a":[%d,%d],"b":"\u2028\\"}</script>`,
		"];[\"DELETE FROM own\"] -- %d %d", "?1 :a $b @c %d %d", " X'%02x%02x' ",
	}
	switch kind := (g + n) % (len(texts) + 4); kind {
	case len(texts):
		blob := append([]byte{byte(g), byte(n)}, allBytes...)
		return blob, fmt.Sprintf("blob %X", blob)
	case len(texts) + 1:
		i := int64(math.MaxInt64) - int64(g*1000+n)
		return i, fmt.Sprintf("integer %X", fmt.Sprint(i))
	case len(texts) + 2:
		i := int64(math.MinInt64) + int64(g*1000+n)
		return i, fmt.Sprintf("integer %X", fmt.Sprint(i))
	case len(texts) + 3:
		return nil, "null "
	default:
		text := fmt.Sprintf(texts[kind], g, n)
		return text, fmt.Sprintf("text %X", text)
	}
}

// exec runs a write that has to affect so many rows.
func (o *owner) exec(ctx context.Context, affected int64, query string, args ...any) (id int64, err error) {
	o.done++
	result, err := o.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", query, err)
	}
	if got, err := result.RowsAffected(); err != nil || got != affected {
		return 0, fmt.Errorf("%s: %d rows affected instead of %d: %w", query, got, affected, err)
	}
	return result.LastInsertId()
}

// keep notes what a row has to be in the end.
func (o *owner) keep(n int, row ownRow) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rows[[2]int{o.g, n}] = row
}

const insertOwn = "INSERT INTO own (owner, n, v) VALUES (?, ?, ?)"

// insert writes a row and asks for its id.
func (o *owner) insert(ctx context.Context, n int) error {
	value, stored := ownValue(o.g, n)
	id, err := o.exec(ctx, 1, insertOwn, o.g, n, value)
	o.keep(n, ownRow{id, stored, 1})
	return err
}

// returning writes a row and reads it from the same statement.
func (o *owner) returning(ctx context.Context, n int) error {
	o.done++
	value, stored := ownValue(o.g, n)
	rows, err := o.db.QueryContext(ctx, insertOwn+" RETURNING id, owner, n, hex(v)", o.g, n, value)
	if err != nil {
		return err
	}
	defer rows.Close()
	var id int64
	var told [2]int
	var text string
	seen := 0
	for rows.Next() {
		seen++
		if err := rows.Scan(&id, &told[0], &told[1], &text); err != nil {
			return err
		}
	}
	if _, bytes, _ := strings.Cut(stored, " "); seen != 1 || told != [2]int{o.g, n} || text != bytes {
		return fmt.Errorf("owner %d gets %d rows, of %v with %s instead of %s", o.g, seen, told, text, stored)
	}
	o.keep(n, ownRow{id, stored, 1})
	return rows.Err()
}

// upsert writes a row, and writes it again.
func (o *owner) upsert(ctx context.Context, n int) error {
	value, stored := ownValue(o.g, n)
	const upsert = insertOwn + " ON CONFLICT (owner, n) DO UPDATE SET v = excluded.v, hits = hits + 1"
	id, err := o.exec(ctx, 1, upsert, o.g, n, "at first")
	if err == nil {
		_, err = o.exec(ctx, 1, upsert, o.g, n, value)
	}
	o.keep(n, ownRow{id, stored, 2})
	return err
}

// ignore writes a row, and another one in its place, which is ignored.
func (o *owner) ignore(ctx context.Context, n int) error {
	err := o.insert(ctx, n)
	if err == nil {
		_, err = o.exec(ctx, 0, strings.Replace(insertOwn, "INSERT", "INSERT OR IGNORE", 1), o.g, n, "ignored")
	}
	return err
}

// severalRows writes as many rows as only this owner has, and changes and deletes some.
func (o *owner) severalRows(ctx context.Context, n int) error {
	const rows = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < ?3) "
	many := int64(2 + o.g%50)
	_, err := o.exec(ctx, many, rows+"INSERT INTO several SELECT ?1, ?2, i, 0 FROM r", o.g, n, many)
	if err == nil {
		_, err = o.exec(ctx, many-1, "UPDATE several SET v = v + i WHERE owner = ? AND n = ? AND i > 1", o.g, n)
	}
	if err == nil {
		_, err = o.exec(ctx, many/2, "DELETE FROM several WHERE owner = ? AND n = ? AND i <= ?", o.g, n, many/2)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.several[o.g] += many - many/2
	return err
}

// ownSteps are those that succeed.
var ownSteps = []func(*owner, context.Context, int) error{
	(*owner).insert, (*owner).returning, (*owner).upsert, (*owner).ignore, (*owner).severalRows,
}

// ownFailures are writes that fail, each with an error of its own, and leave nothing behind.
// %s is a name that no other write has.
var ownFailures = []struct {
	query   string
	code    rqlite.Code
	message string
}{
	{"INSERT INTO own (owner, n) VALUES (?, 1), (?1, 1)", rqlite.ConstraintUnique, "UNIQUE constraint failed: own.owner, own.n"},
	{"INSERT INTO own (owner, n) VALUES (?, 1000)", rqlite.ConstraintCheck, "CHECK constraint failed: n < 1000"},
	{"INSERT INTO own (owner, n) VALUES (?, NULL)", rqlite.ConstraintNotNull, "NOT NULL constraint failed: own.n"},
	{"INSERT INTO own (owner, n, parent) VALUES (-?, 1, 7)", rqlite.ConstraintForeignKey, "FOREIGN KEY constraint failed"},
	{"INSERT INTO %s VALUES (?)", rqlite.GenericError, "no such table: %s"},
	{"UPDATE own SET %s = ?", rqlite.GenericError, "no such column: %s"},
	{"INSERT INTO own (owner, n) VALUES (? %s 1)", rqlite.GenericError, `near "%s": syntax error`},
	{"INSERT INTO own (id, owner, n) VALUES ('a text', ?, 1)", rqlite.Mismatch, "datatype mismatch"},
	{"INSERT INTO own (owner, n, v) VALUES (-?, 1, abs(-9223372036854775808))", rqlite.GenericError, "integer overflow"},
	{"INSERT INTO own (owner, n, v) VALUES (?, 1, json('%s'))", rqlite.GenericError, "malformed JSON"},
}

// fail runs a write that has to fail, by Exec or by Query.
func (o *owner) fail(ctx context.Context, n int) error {
	f := ownFailures[(o.g+n)%len(ownFailures)]
	name := fmt.Sprintf("g%dn%d", o.g, n)
	query, want := strings.ReplaceAll(f.query, "%s", name), strings.ReplaceAll(f.message, "%s", name)
	o.done++
	var err error
	if n%4 < 2 {
		_, err = o.db.ExecContext(ctx, query, o.g)
	} else {
		err = o.db.QueryRowContext(ctx, query+" RETURNING 1", o.g).Scan(new(int))
	}
	var failed *rqlite.Error
	if !errors.As(err, &failed) || !errors.Is(err, f.code) || failed.Message != want || failed.Statement != 0 || failed.Statements != 1 {
		return fmt.Errorf("%s: got %s instead of %q", query, describe(err), want)
	}
	return nil
}

// short gives a parameter too few, which the driver refuses by itself.
func (o *owner) short(ctx context.Context) error {
	if _, err := o.db.ExecContext(ctx, insertOwn, o.g, 1); err == nil || !strings.Contains(err.Error(), "number 3") {
		return fmt.Errorf("two parameters for three: %w", err)
	}
	return nil
}

// TestJoinedResults has 200 goroutines write at the same time in many ways. Each
// has to be told what became of its own writes, and the values have to be there.
func TestJoinedResults(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		for _, failures := range []bool{false, true} {
			t.Run(fmt.Sprintf("failures=%v", failures), func(t *testing.T) { ownResults(t, b, failures) })
		}
	})
}

func ownResults(t *testing.T, b *backend, failures bool) {
	t.Helper()
	j := openJoined(t, b.launch(t, serverOptions{foreignKeys: true}).dsn)
	mustExec(t, j.DB, ownTables)
	const owners = 200
	rounds := either(1, 20)
	var mu sync.Mutex
	all := owner{rows: map[[2]int]ownRow{}, several: map[int]int64{}}
	var wrong violations
	together(owners, func(g int) {
		o := &owner{g: g, db: j.DB, mu: &mu, rows: all.rows, several: all.several}
		for n := range rounds * len(ownSteps) * 2 {
			err := ownSteps[(g+n)%len(ownSteps)](o, t.Context(), n+2)
			if err == nil && failures && (g+n)%3 == 0 {
				err = errors.Join(o.fail(t.Context(), n), o.short(t.Context()))
			}
			wrong.looks.Add(1)
			if err != nil {
				wrong.add("owner %d: %v", g, err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		all.done += o.done
	})
	wrong.none(t)
	j.requireJoined(t, all.done)
	if !failures {
		assert.Positive(t, j.worked.Load(), "no transaction worked")
	}
	requireOwn(t, j.DB, &all)
}

// requireOwn compares all rows with what their owners expect.
func requireOwn(t *testing.T, db *sql.DB, all *owner) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT id, owner, n, typeof(v) || ' ' || hex(v), hits FROM own")
	require.NoError(t, err)
	defer rows.Close()
	got := map[[2]int]ownRow{}
	for rows.Next() {
		var key [2]int
		var row ownRow
		require.NoError(t, rows.Scan(&row.id, &key[0], &key[1], &row.value, &row.hits))
		got[key] = row
	}
	require.NoError(t, rows.Err())
	assert.Len(t, got, len(all.rows))
	wrong := 0
	for key, want := range all.rows {
		if got[key] != want && wrong < 10 {
			wrong++
			assert.Equal(t, want, got[key], "owner %d, row %d", key[0], key[1])
		}
	}
	sums := storedIn(t, db, "SELECT owner FROM several WHERE v = i")
	for g, want := range all.several {
		assert.EqualValues(t, want, sums[int64(g)], "owner %d", g)
	}
	var rest int
	scan(t, db, "SELECT count(*) FROM several WHERE v <> i", nil, &rest)
	assert.Zero(t, rest)
}

// What the server cannot say of one write, because JSON has no infinity, takes the rows of the
// others along once, and never again. With a token they learn that they were applied.
func TestJoinedInfinity(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		b.needs(t, "9.4.0", "no write with RETURNING goes out with others")
		t.Run("exactly once", func(t *testing.T) {
			b.needs(t, "9.4.2", "RETURNING leaves no token")
			testJoinedInfinity(t, b.shared.dsn, rqlite.ErrRowsLost)
		})
		t.Run("without tokens", func(t *testing.T) {
			testJoinedInfinity(t, withSettings(b.shared.dsn, "exactly_once=off"), rqlite.ErrIndeterminate)
		})
	})
}

// testJoinedInfinity demands that some of the others get an error.
func testJoinedInfinity(t *testing.T, dsn string, want error) {
	db, table := openJoined(t, dsn), newTable()
	mustExec(t, db.DB, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY, v REAL)")
	const writers, most = 64, 100
	told, rounds := newLedger(), int64(0)
	// round returns how many others of the infinity got an error, and how many the wanted one.
	// alone says that the infinity must go alone.
	round := func(j *joined, infinite, alone bool) (failed, wanted int64) {
		var failures, match atomic.Int64
		first := rounds * writers
		rounds++
		together(writers, func(g int) {
			n := first + int64(g)
			var v float64
			if infinite && g == writers/2 {
				err := j.QueryRowContext(t.Context(), "INSERT INTO "+table+" VALUES (?, 9e999) RETURNING v", n).Scan(&v)
				assert.Error(t, err)
				if alone {
					assert.ErrorIs(t, err, rqlite.ErrRowsLost)
				}
				told.enter(n, fortuneOf(err), err)
				return
			}
			err := j.QueryRowContext(t.Context(), "INSERT INTO "+table+" VALUES (?1, ?1) RETURNING v", n).Scan(&v)
			told.enter(n, fortuneOf(err), err)
			if err == nil {
				assert.Equal(t, float64(n), v)
				return
			}
			failures.Add(1)
			if errors.Is(err, want) {
				match.Add(1)
			}
		})
		return failures.Load(), match.Load()
	}
	var j *joined
	var failed, met int64 // others that were in one request with the infinity, and got the wanted error
	for met == 0 && rounds < most {
		j = openJoined(t, dsn) // one that knows of no infinity
		failed, _ = round(j, false, false)
		require.Zero(t, failed) // until the nodes are known, RETURNING leaves no token
		failed, met = round(j, true, false)
	}
	require.Positive(t, met, "the infinity was alone each time")
	assert.Equal(t, failed, met, "only one request")
	unknown := told.audit(nil).unknown
	if errors.Is(want, rqlite.ErrIndeterminate) {
		assert.EqualValues(t, met+1, unknown, "they, and the infinity")
	}
	for range 5 {
		failed, _ = round(j, true, true)
		assert.Zero(t, failed, "the infinity goes alone")
	}
	got := requireTold(t, told, storedIn(t, db.DB, "SELECT n FROM "+table))
	assert.Zero(t, got.refused)
	assert.Equal(t, unknown, got.unknown)
	assert.Equal(t, got.unknown, got.applied)
}
