package integration_test

import (
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-rqlite/rqlite/gormrqlite"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
)

// gormScenario is a program on GORM that checks what it gets. It must pass on SQLite.
type gormScenario struct {
	name string
	// foreignKeys says that the database has to enforce them.
	foreignKeys bool
	run         func(*gormRun)
}

var gormScenarios = slices.Concat(gormCreateScenarios, gormReadScenarios, gormAssociationScenarios,
	gormTransactionScenarios, gormValueScenarios, gormMigrateScenarios)

// gormStockFails are the scenarios that the stock dialect does not pass on rqlite, with the
// reason. There is no such list for gormrqlite.
var gormStockFails = map[string]string{}

// gormRun is one run of a scenario. Its db is for the scenario alone, or at
// least the prefix of its tables is.
type gormRun struct {
	*testing.T // for its context and directory; verdicts are the run's own
	db         *gorm.DB
	failures   []string
}

// gormEnd is what FailNow panics with.
type gormEnd struct{}

// Errorf implements require.TestingT.
func (g *gormRun) Errorf(format string, args ...any) {
	g.failures = append(g.failures, fmt.Sprintf(format, args...))
}

// FailNow implements require.TestingT.
func (g *gormRun) FailNow() { panic(gormEnd{}) }

// must ends the scenario if a call of GORM has failed.
func (g *gormRun) must(tx *gorm.DB) *gorm.DB {
	g.Helper()
	require.NoError(g, tx.Error)
	return tx
}

// migrate makes tables.
func (g *gormRun) migrate(models ...any) {
	g.Helper()
	require.NoError(g, g.db.AutoMigrate(models...))
}

// table returns the name of a model's table.
func (g *gormRun) table(model any) string {
	g.Helper()
	stmt := &gorm.Statement{DB: g.db}
	require.NoError(g, stmt.Parse(model))
	return stmt.Table
}

// count returns how many rows a model has that are not deleted.
func (g *gormRun) count(model any) (n int64) {
	g.Helper()
	g.must(g.db.Model(model).Count(&n))
	return n
}

// try runs a scenario on what open gives, and returns what is wrong.
func (s gormScenario) try(t *testing.T, dialector gorm.Dialector) (failures string) {
	t.Helper()
	db, err := gorm.Open(dialector, &gorm.Config{
		Logger:         logger.Discard,
		TranslateError: true,
		NamingStrategy: schema.NamingStrategy{TablePrefix: newTable() + "_"},
	})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	defer func() { require.NoError(t, pool.Close()) }()
	g := &gormRun{T: t, db: db}
	func() {
		defer func() {
			switch cause := recover().(type) {
			case nil, gormEnd:
			default:
				g.Errorf("panic: %v\n%s", cause, debug.Stack())
			}
		}()
		s.run(g)
	}()
	return strings.Join(g.failures, "\n")
}

// gormDialects are ways to reach rqlite.
var gormDialects = []struct {
	name string
	open func(dsn string) gorm.Dialector
}{
	{"gorm.io/driver/sqlite", func(dsn string) gorm.Dialector {
		// It sends PRAGMA foreign_keys where it makes a table anew.
		return sqlite.New(sqlite.Config{DriverName: "rqlite", DSN: withSettings(dsn, "send_foreign_keys=true")})
	}},
	{"gormrqlite", gormrqlite.Open},
}

// TestGORM runs the scenarios with two dialects. What passes on SQLite passes on
// rqlite, unless it is among the known differences; and these have to be there.
func TestGORM(t *testing.T) {
	local := sync.OnceValue(func() map[string]string { return gormOnSQLite(t, false) })
	forEach(t, func(t *testing.T, b *backend) {
		servers := map[bool]string{false: b.shared.dsn}
		if !b.external {
			servers[true] = b.launch(t, serverOptions{foreignKeys: true}).dsn
		}
		gormOnRqlite(t, b.shared.version, local(), func(s gormScenario) string { return servers[s.foreignKeys] })
	})
}

// gormOnRqlite runs the scenarios with both dialects on the DSN of each, which is "" where there is
// none. fails has those that fail on SQLite.
func gormOnRqlite(t *testing.T, where string, fails map[string]string, dsn func(gormScenario) string) {
	t.Helper()
	for _, dialect := range gormDialects {
		passed, ran := 0, 0
		for _, s := range gormScenarios {
			if dsn(s) == "" {
				continue
			}
			ran++
			failure := s.try(t, dialect.open(dsn(s)))
			known, isKnown := gormStockFails[s.name]
			isKnown = isKnown && dialect.name != "gormrqlite"
			switch {
			case failure == "":
				passed++
				if isKnown {
					t.Errorf("%s: %s passes now: take it off the list of differences", dialect.name, s.name)
				}
			case isKnown:
				t.Logf("%s: %s fails as it must: %s", dialect.name, s.name, known)
			case fails[s.name] == "":
				t.Errorf("%s: %s passes on SQLite, but not here: %s", dialect.name, s.name, failure)
			}
		}
		report(t, "GORM by %s on %s: %d of %d scenarios pass (plain SQLite: %d of %d)",
			dialect.name, where, passed, ran, len(gormScenarios)-len(fails), len(gormScenarios))
	}
}

// gormOnSQLite runs the scenarios on mattn/go-sqlite3, all of them with foreign keys if
// enforced is set, and returns those that fail. None should: it is the scenario that is wrong then.
func gormOnSQLite(t *testing.T, enforced bool) map[string]string {
	fails := map[string]string{}
	for i, s := range gormScenarios {
		file := filepath.Join(t.TempDir(), fmt.Sprintf("%d.db", i))
		dsn := fmt.Sprintf("file:%s?_journal_mode=MEMORY&_synchronous=OFF&_busy_timeout=5000&_foreign_keys=%t", file, enforced || s.foreignKeys)
		if failure := s.try(t, sqlite.Open(dsn)); failure != "" {
			fails[s.name] = failure
			t.Errorf("plain SQLite: %s: %s", s.name, failure)
		}
	}
	return fails
}

// TestGORMCanFail demands that a scenario that is wrong is found out.
func TestGORMCanFail(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(*gormRun){
		"check": func(g *gormRun) { require.Equal(g, 1, 2) },
		"error": func(g *gormRun) { g.must(g.db.Exec("SELECT nowhere")) },
		"panic": func(*gormRun) { panic("!") },
	} {
		require.NotEmpty(t, gormScenario{name: name, run: run}.try(t, sqlite.Open(filepath.Join(t.TempDir(), name))), name)
	}
}
