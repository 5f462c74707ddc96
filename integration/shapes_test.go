package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // has FTS5 without a build tag, unlike mattn/go-sqlite3
)

// TestShapes runs the statements that object-relational mappers, query builders
// and people write in transactions on mattn/go-sqlite3 and on every backend, and
// demands that a program sees the same, and that the same is stored. The
// statements of libraries were captured from them; capture is the program.
func TestShapes(t *testing.T) {
	scenarios := append(capturedScenarios(t), shapeCases()...)
	var complete sync.Map // backends on which all ran
	t.Run("on", func(t *testing.T) {
		forEach(t, func(t *testing.T, b *backend) {
			modes := []rqlite.TxMode{rqlite.TxAuto}
			if !b.live {
				modes = txModes
			}
			whole := true
			inModes(t, modes, func(t *testing.T, mode rqlite.TxMode) { whole = testShapesOn(t, b, mode, scenarios) && whole })
			if whole {
				complete.Store(b, true)
			}
		})
	})
	for _, k := range shapeDifferences {
		complete.Range(func(b, _ any) bool {
			if _, seen := k.seen.Load(b); !seen {
				t.Errorf("%s: this difference is gone, take it out of shapeDifferences: %s", b.(*backend).name, k.reason)
			}
			return true
		})
	}
}

// shapeTries is how often a transaction may be refused: each time the connector learns that one more
// of its statements fails.
const shapeTries = 20

// testShapesOn runs the scenarios in a mode on a cluster of their own, and reports
// whether none was left out.
func testShapesOn(t *testing.T, b *backend, mode rqlite.TxMode, scenarios []scenario) (complete bool) {
	ran, again := 0, 0
	c := b.launch(t, serverOptions{foreignKeys: true})
	subject := openDSN(t, withSettings(c.dsn, setting(mode)))
	require.NoError(t, prepareForShapes(t.Context(), subject, true))
	shapes := newShapeCount()
	for _, s := range scenarios {
		t.Run(s.library+"/"+s.name, func(t *testing.T) {
			switch s.library + "/" + s.name {
			case "bun/update", "by hand/returning":
				b.needs(t, "9.4.0", "the server does not see RETURNING in UPDATE … AS, so that it is refused")
			case "by hand/plans":
				b.needs(t, "9.4.0", "the server takes EXPLAIN of a write for one, and refuses to read it")
			}
			r := &replay{subject: subject, rqlite: true, ahead: mode != rqlite.TxInteractive, known: knownShape(b), ran: shapes.of(s.library), met: shapes.met}
			r.run(t, s)
			ran++
			again += r.again
			for _, d := range r.differences[:min(len(r.differences), maxReported)] {
				t.Error(d)
			}
		})
	}
	t.Run("refused", func(t *testing.T) { testRefused(t, subject, shapes) })
	t.Run("fixed", func(t *testing.T) { testFixed(t, subject) })
	shapes.report(t)
	report(t, "%d transactions again, because they were refused", again)
	for _, reason := range slices.Sorted(maps.Keys(shapes.reasons)) {
		assert.True(t, shapes.reasons[reason], "this difference is gone: %s", reason)
	}
	return ran == len(scenarios)
}

// run runs a scenario in all ways.
func (r *replay) run(t *testing.T, s scenario) {
	t.Helper()
	ctx := t.Context()
	r.reset(t, s)
	captured := slices.ContainsFunc(s.steps, func(s shapeStep) bool { return s.action != runStatement })
	if captured {
		r.asCaptured(ctx, s)
		if r.ahead && r.conflicts > 0 { // the library has no further try, in which all would be right
			r.differences = nil
		}
		r.reset(t, s)
	}
	r.setUp(ctx, s)
	if r.ahead { // what would be refused at the commit is not noticed before a rollback
		r.untilNotRefused(t, s)
		r.differences = nil
		r.reset(t, s)
		r.setUp(ctx, s)
	}
	before, err := shapeContents(ctx, r.subject, exactly)
	require.NoError(t, err)

	// What is rolled back leaves nothing behind.
	r.inOne(ctx, s, rollbackTx, prepared)
	after, err := shapeContents(ctx, r.subject, exactly)
	require.NoError(t, err)
	r.compareLines("Rollback has changed something", before, after)
	oracle, err := shapeContents(ctx, r.oracle, s.like)
	require.NoError(t, err)
	subject, err := shapeContents(ctx, r.subject, s.like)
	require.NoError(t, err)
	r.compareLines("the setup or the rollback differ", oracle, subject)

	r.untilNotRefused(t, s)
	r.compareContents(ctx, s)
}

// setUp runs the setup of a scenario.
func (r *replay) setUp(ctx context.Context, s scenario) {
	for _, step := range s.setup {
		if step.action == runStatement {
			r.statement(ctx, r.oracle, r.subject, step)
		}
	}
}

// untilNotRefused runs the steps in one transaction, which it commits. If statements are sent ahead,
// it does so again, from the setup on, until the transaction is not refused.
func (r *replay) untilNotRefused(t *testing.T, s scenario) {
	t.Helper()
	before := len(r.differences)
	for tries := 0; ; tries++ {
		r.conflicts = 0
		r.inOne(t.Context(), s, commitTx, plain)
		if r.conflicts == 0 || !r.ahead || tries == shapeTries {
			return
		}
		r.again++
		r.differences = r.differences[:before]
		r.reset(t, s)
		r.setUp(t.Context(), s)
	}
}

// reset gives both databases nothing to hold.
func (r *replay) reset(t *testing.T, s scenario) {
	t.Helper()
	if r.oracle != nil {
		require.NoError(t, r.oracle.Close())
	}
	r.oracle = newOracle(t, s.fts)
	require.NoError(t, empty(t.Context(), r.subject))
}

// newOracle opens a new database on a file. (Without a journal there would be no
// rollback.)
func newOracle(t *testing.T, fts bool) *sql.DB {
	t.Helper()
	file := "file:" + filepath.Join(t.TempDir(), "oracle.db")
	name, dsn := "sqlite3", file+"?_journal_mode=MEMORY&_synchronous=OFF&_foreign_keys=1"
	if fts {
		name, dsn = "sqlite", file+"?_pragma=journal_mode(memory)&_pragma=synchronous(off)&_pragma=foreign_keys(1)"
	}
	db, err := sql.Open(name, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(1)
	require.NoError(t, prepareForShapes(t.Context(), db, false))
	return db
}

// shapeCount counts the texts of statements.
type shapeCount struct {
	sync.Mutex
	texts   map[string]map[string]bool // by library
	refused int
	reasons map[string]bool // that something differs, and whether it ever did
}

func newShapeCount() *shapeCount {
	return &shapeCount{texts: map[string]map[string]bool{}, reasons: map[string]bool{}}
}

// of returns what counts the statements of a library.
func (c *shapeCount) of(library string) func(step) {
	return func(s step) {
		c.Lock()
		defer c.Unlock()
		if c.texts[library] == nil {
			c.texts[library] = map[string]bool{}
		}
		c.texts[library][s.query] = true
	}
}

// met notes whether what is expected to differ did.
func (c *shapeCount) met(reason string, differs bool) {
	c.Lock()
	defer c.Unlock()
	c.reasons[reason] = c.reasons[reason] || differs
}

// total returns the number of texts.
func (c *shapeCount) total() int {
	all := map[string]bool{}
	for _, texts := range c.texts {
		maps.Copy(all, texts)
	}
	return len(all)
}

func (c *shapeCount) report(t *testing.T) {
	t.Helper()
	var parts []string
	for _, library := range slices.Sorted(maps.Keys(c.texts)) {
		parts = append(parts, fmt.Sprintf("%s %d", library, len(c.texts[library])))
	}
	report(t, "%d statement shapes in transactions (%s), and %d that are refused", c.total(), strings.Join(parts, ", "), c.refused)
}

// TestShapesOracle runs the scenarios on mattn/go-sqlite3 twice, where nothing
// may differ: what differs elsewhere is not the doing of the test.
func TestShapesOracle(t *testing.T) {
	shapes := newShapeCount()
	for _, s := range append(capturedScenarios(t), shapeCases()...) {
		t.Run(s.library+"/"+s.name, func(t *testing.T) {
			r := &replay{subject: newOracle(t, s.fts), ran: shapes.of(s.library)}
			r.run(t, s)
			for _, d := range r.differences {
				t.Error(d)
			}
		})
	}
	assert.GreaterOrEqual(t, shapes.total(), 150)
}

// TestShapesCanFail runs scenarios on databases that do one thing wrong, which
// has to be noticed.
func TestShapesCanFail(t *testing.T) {
	const setup = "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE)"
	s := scenario{
		setup: []shapeStep{do(setup), do("INSERT INTO t (v) VALUES ('a'), ('b')")},
		steps: []shapeStep{
			{action: beginTx},
			do("INSERT INTO t (v) VALUES (?)", "c"),
			ask("SELECT id, v FROM t ORDER BY id"),
			{action: commitTx},
			{action: beginTx},
			do("UPDATE t SET v = v || 'x' WHERE id < 3"),
			failing(do("INSERT INTO t (v) VALUES ('c')")),
			ask("DELETE FROM t WHERE id = 2 RETURNING v"),
			{action: rollbackTx},
		},
	}
	for _, l := range []liar{
		{name: "another value", from: "|| 'x'", to: "|| 'y'"},
		{name: "another type", from: "SELECT id,", to: "SELECT CAST(id AS TEXT) AS id,"},
		{name: "another column", from: "SELECT id, v", to: "SELECT id, v AS w"},
		{name: "no error", from: "VALUES ('c')", to: "VALUES ('d')"},
		{name: "another error", from: "INTO t (v) VALUES ('c')", to: "INTO u (v) VALUES ('c')"},
		{name: "another id", from: "INTO t (v) VALUES (?)", to: "INTO t (id, v) VALUES (50, ?)"},
		{name: "another count", from: "id < 3", to: "id < 2"},
		{name: "no rows", from: "WHERE id = 2 RETURNING", to: "WHERE 0 RETURNING"},
		{name: "savepoint kept", from: "ROLLBACK TO", to: "RELEASE"},
		{name: "another schema", from: "v UNIQUE", to: "v UNIQUE, w"},
		{name: "a further table", from: setup, to: setup + "; CREATE TABLE further (x)"},
		{name: "rollback commits", rollback: driver.Tx.Commit},
		{name: "commit rolls back", commit: driver.Tx.Rollback},
	} {
		t.Run(l.name, func(t *testing.T) {
			r := &replay{subject: l.open(t), ran: func(step) {}}
			r.run(t, s)
			assert.NotEmpty(t, r.differences)
		})
	}
	r := &replay{subject: liar{}.open(t), ran: func(step) {}}
	r.run(t, s)
	assert.Empty(t, r.differences, "nothing is wrong here")
}
