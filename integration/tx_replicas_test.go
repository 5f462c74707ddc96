//go:build unix

package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stock is all that a node stores: the schema, and the rows of each table, as
// sorted text. What PRAGMA optimize keeps to itself on each node is left out.
type stock map[string][]string

// stockOf reads all that the node of a database stores.
func stockOf(ctx context.Context, db *sql.DB) (stock, error) {
	schema, err := column(ctx, db, `SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '')
		FROM sqlite_schema WHERE name NOT LIKE 'sqlite\_stat%' ESCAPE '\' ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	s := stock{"the schema": schema}
	names, err := column(ctx, db, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_stat%' ESCAPE '\'`)
	if err != nil {
		return nil, err
	}
	hidden, err := column(ctx, db, "SELECT name FROM sqlite_schema WHERE name = '_rqlite_tx'") // a query that names it finds it
	if err != nil {
		return nil, err
	}
	for _, name := range append(names, hidden...) {
		fields, err := column(ctx, db, `SELECT 'quote("' || replace(name, '"', '""') || '")' FROM pragma_table_xinfo(?)`, name)
		if err != nil {
			return nil, err
		}
		rows, err := column(ctx, db, fmt.Sprintf(`SELECT %s FROM "%s"`, strings.Join(fields, " || ',' || "), strings.ReplaceAll(name, `"`, `""`)))
		if err != nil {
			return nil, err
		}
		slices.Sort(rows)
		s[name] = rows
	}
	return s, nil
}

// column reads a result of one column of text.
func column(ctx context.Context, db *sql.DB, query string, args ...any) (list []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

// differs says in which tables two stocks differ, and in what.
func (s stock) differs(other stock) (list []string) {
	names := map[string]bool{}
	for name := range s {
		names[name] = true
	}
	for name := range other {
		names[name] = true
	}
	for name := range names {
		a, b := s[name], other[name]
		if slices.Equal(a, b) {
			continue
		}
		list = append(list, fmt.Sprintf("%s: %d rows and %d, only the one has %q, only the other has %q", name, len(a), len(b), missing(a, b), missing(b, a)))
	}
	slices.Sort(list)
	return list
}

// missing returns the first few rows of a that b, which is sorted as a is, lacks.
func missing(a, b []string) (list []string) {
	for _, row := range a {
		for len(b) > 0 && b[0] < row {
			b = b[1:]
		}
		if len(b) > 0 && b[0] == row {
			b = b[1:]
			continue
		}
		if list = append(list, row); len(list) == 3 {
			break
		}
	}
	return list
}

// stocks reads what each node stores, when all have applied the same log.
func (f *fleet) stocks(t *testing.T) []stock {
	t.Helper()
	dbs := make([]*sql.DB, len(f.members))
	for i := range f.members {
		dbs[i] = f.openNode(t, i, "level=none")
	}
	list := make([]stock, len(f.members))
	for range 20 {
		f.settle(t)
		before := f.fsmIndex(t)
		for i := range f.members {
			var err error
			list[i], err = stockOf(t.Context(), dbs[i])
			require.NoError(t, err)
		}
		if f.fsmIndex(t) == before {
			return list
		}
	}
	require.FailNow(t, "the log does not come to rest")
	return nil
}

// fsmIndex returns the index that all nodes have applied, or a negative number
// when they differ.
func (f *fleet) fsmIndex(t *testing.T) int64 {
	t.Helper()
	index := int64(0)
	for i := range f.members {
		s, err := f.status(t.Context(), i)
		require.NoError(t, err)
		if i > 0 && s.Store.FSMIndex != index {
			return -1
		}
		index = s.Store.FSMIndex
	}
	return index
}

// differences returns in what the nodes differ, but for the named tables.
func (f *fleet) differences(t *testing.T, except ...string) (list []string) {
	t.Helper()
	db := openDSN(t, f.dsn())
	mustExec(t, db, "CREATE TABLE IF NOT EXISTS finished (n INTEGER PRIMARY KEY)") // whatever a node still has to do comes before it
	stocks := f.stocks(t)
	rows := 0
	for _, table := range stocks[0] {
		rows += len(table)
	}
	require.Greater(t, rows, 2, "there is nothing to compare")
	for i := range stocks {
		for _, name := range except {
			delete(stocks[i], name)
		}
		for _, text := range stocks[0].differs(stocks[i]) {
			list = append(list, fmt.Sprintf("%s and %s: %s", f.members[0].id, f.members[i].id, text))
		}
	}
	return list
}

// requireSame demands that all nodes store the same.
func (f *fleet) requireSame(t *testing.T, except ...string) {
	t.Helper()
	list := f.differences(t, except...)
	require.Empty(t, list, strings.Join(list, "\n"))
}

// mustDiverge runs a statement without a parameter, in which each node makes up
// random numbers for itself: rqlite is told to leave random() alone.
func (f *fleet) mustDiverge(t *testing.T, query string) {
	t.Helper()
	text, err := json.Marshal([]string{query})
	require.NoError(t, err)
	resp, err := f.client.Post(f.url(f.members[f.leader(t)])+"/db/execute?norwrandom", "application/json", bytes.NewReader(text))
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NotContains(t, string(answer), "error")
}

// TestDivergenceIsSeen shows that the comparison of nodes finds a difference
// that rqlite itself makes: a default that each node evaluates for itself.
func TestDivergenceIsSeen(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		db := openDSN(t, f.dsn())
		f.mustDiverge(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, x INTEGER DEFAULT (random()), y BLOB)")
		mustExec(t, db, "INSERT INTO t (id, x, y) VALUES (1, 2, x'00ff'), (2, NULL, 'text')")
		f.requireSame(t)
		f.mustDiverge(t, "INSERT INTO t (id) VALUES (3)")
		assert.Len(t, f.differences(t), len(f.members)-1)
		f.requireSame(t, "t")

		whole := f.stocks(t)[0]
		for what, spoil := range map[string]func(stock){
			"a row less":   func(s stock) { s["t"] = s["t"][1:] },
			"a row more":   func(s stock) { s["t"] = append(slices.Clone(s["t"]), "4,4,4") },
			"another cell": func(s stock) { s["t"] = append([]string{"1,2,X'00FE'"}, s["t"][1:]...) },
			"no table":     func(s stock) { delete(s, "t") },
			"an index":     func(s stock) { s["the schema"] = append(slices.Clone(s["the schema"]), "index i t CREATE …") },
		} {
			spoiled := stock{}
			for name, rows := range whole {
				spoiled[name] = rows
			}
			require.Empty(t, whole.differs(spoiled))
			spoil(spoiled)
			assert.Len(t, whole.differs(spoiled), 1, what)
			assert.Len(t, spoiled.differs(whole), 1, what)
		}
	})
}

// startUpkept starts a cluster whose nodes keep their files in order by
// different means: some run VACUUM or PRAGMA optimize all the time, some take
// snapshots every few entries, and one keeps its whole log.
func startUpkept(t *testing.T) *fleet {
	t.Helper()
	binary, err := findRqlited()
	require.NoError(t, err)
	upkeep := [][]string{
		{"-auto-vacuum-int", "700ms", "-auto-optimize-int", "300ms"},
		{"-raft-snap", "50", "-raft-snap-int", "300ms"},
		{"-raft-snap", "1000000", "-raft-snap-int", "1h", "-auto-optimize-int", "500ms"},
		{"-auto-vacuum-int", "900ms", "-raft-snap", "50", "-raft-snap-int", "500ms"},
	}
	options := fleetOptions{}
	return newFleet(t, options, func(f *fleet, i int) (runner, error) {
		return newProcess(binary, options.serverOptions, append(f.flags(i, options.whole()), upkeep[i]...))
	})
}

// again kills a node, and starts it again when it has missed something.
func (f *fleet) again(t *testing.T, i int) {
	t.Helper()
	f.kill(t, i)
	linger(t.Context(), 500*time.Millisecond)
	f.restart(t, i)
}

// snapshot has a node take a snapshot. There may be nothing to take.
func (f *fleet) snapshot(t *testing.T, i int) {
	t.Helper()
	require.NoError(t, f.until(t.Context(), func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url(f.members[i])+"/snapshot", nil)
		if err != nil {
			return err
		}
		resp, err := f.client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	}))
}

// churn inserts into, deletes from and changes a table with implicit rowids, and
// one with an index that PRAGMA optimize has something to say about.
func churn(ctx context.Context, tx *sql.Tx, n int64) error {
	old, err := one(ctx, tx, "SELECT count(*) FROM churned WHERE n < ?", n-200)
	if err != nil {
		return err
	}
	if err := repeat(ctx, tx, 8, "INSERT INTO churned (n, kind, text) VALUES (?, ?, ?)", func(i int) []any {
		return []any{n, (n + int64(i)) % 7, strings.Repeat("x", int(n%300))}
	}); err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, "DELETE FROM churned WHERE n < ?", n-200)
	if err != nil {
		return err
	}
	if deleted, err := result.RowsAffected(); err != nil || deleted != old {
		return fmt.Errorf("%d rows deleted of %d: %w", deleted, old, err)
	}
	_, err = tx.ExecContext(ctx, "UPDATE churned SET kind = kind + 1 WHERE kind = ? AND n > ?", n%7, n-20)
	return err
}

// TestReplicasUnderUpkeep has transactions run while nodes tidy up, take
// snapshots, and are started again from a snapshot or from their log.
func TestReplicasUnderUpkeep(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startUpkept(t)
		setUp := openDSN(t, f.dsn())
		mustExec(t, setUp, "CREATE TABLE churned (n INT, kind INT, text TEXT)")
		mustExec(t, setUp, "CREATE INDEX by_kind ON churned (kind)")
		mustExec(t, setUp, "CREATE INDEX by_n ON churned (n)")
		b := newBank(t, setUp, openModes(t, 3, f.dsn()))
		stop := make(chan struct{})
		var churned outcomes
		var churners sync.WaitGroup
		for i, db := range b.clients {
			churners.Go(func() {
				n := int64(i)
				every(20*time.Millisecond, stop, func() {
					n += 3
					ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
					defer cancel()
					_ = churned.transact(ctx, db, nil, true, func(tx *sql.Tx) error { return churn(ctx, tx, n) }) // noted
				})
			})
		}
		b.run(t, func() {
			linger(t.Context(), 500*time.Millisecond)
			f.again(t, 2)
			assert.Contains(t, f.members[2].runner.logs(), " 0 preexisting snapshots", "it was to apply its whole log")
			for end := time.Now().Add(either(5*time.Second, time.Minute)); time.Now().Before(end); {
				for _, i := range []int{1, 0, 2} {
					f.snapshot(t, f.leader(t))
					linger(t.Context(), 500*time.Millisecond)
					f.again(t, i)
				}
			}
			assert.NotContains(t, f.members[1].runner.logs(), " 0 preexisting snapshots", "it was to begin with a snapshot")
		})
		close(stop)
		churners.Wait()
		report(t, "%v", &b.transfers)
		report(t, "rows with implicit rowids: %v", &churned)
		churned.faultless(t)
		b.audit(t, f)
		f.requireSame(t)
	})
}

// TestDivergedCell has nodes store different values in a column, as a default
// with random() makes them. Whatever transactions see there, they have to be applied
// on all nodes or on none.
func TestDivergedCell(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		dbs := openModes(t, 2, f.dsn())
		f.mustDiverge(t, "CREATE TABLE noisy (id INTEGER PRIMARY KEY, x INTEGER DEFAULT (abs(random() % 1000)))")
		mustExec(t, dbs[0], "CREATE TABLE quiet (id INTEGER PRIMARY KEY, n INTEGER)")
		mustExec(t, dbs[0], "INSERT INTO quiet VALUES (0, 0)")
		for range 20 {
			f.mustDiverge(t, "INSERT INTO noisy DEFAULT VALUES")
		}
		require.NotEmpty(t, f.differences(t), "the nodes do not differ: the test tests nothing")
		var o outcomes
		stop := make(chan struct{})
		var writers sync.WaitGroup
		for i, db := range dbs {
			writers.Go(func() {
				until(stop, func() {
					ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
					defer cancel()
					_ = o.transact(ctx, db, nil, i == 0, func(tx *sql.Tx) error { return readNoise(ctx, tx) }) // noted
				})
			})
		}
		for range either(1, 8) {
			linger(t.Context(), time.Second)
			leader := f.leader(t)
			f.kill(t, leader)
			f.leader(t)
			linger(t.Context(), time.Second)
			f.restart(t, leader)
		}
		close(stop)
		writers.Wait()
		report(t, "%v", &o)
		o.log(t)
		committed, unknown := o.counts()
		assert.Zero(t, unknown)
		assert.Greater(t, committed, 10)
		f.requireSame(t, "noisy")
		var n int
		scan(t, openDSN(t, withSettings(f.dsn(), "level=strong")), "SELECT n FROM quiet WHERE id = 0", nil, &n)
		assert.Equal(t, committed, n)
	})
}

// readNoise reads where nodes differ, and writes elsewhere.
func readNoise(ctx context.Context, tx *sql.Tx) error {
	if _, err := one(ctx, tx, "SELECT max(x) FROM noisy"); err != nil {
		return err
	}
	n, err := one(ctx, tx, "SELECT n FROM quiet WHERE id = 0")
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE quiet SET n = ? WHERE id = 0", n+1); err != nil {
		return err
	}
	if _, err := one(ctx, tx, "SELECT sum(x) FROM noisy"); err != nil {
		return err
	}
	return repeat(ctx, tx, 5, "INSERT INTO quiet (n) VALUES (?)", func(int) []any { return []any{n} })
}
