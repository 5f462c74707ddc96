package dialect_test

import (
	"database/sql"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/gormrqlite"
	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// requests records the requests.
type requests struct {
	sync.Mutex
	paths []string
}

func (r *requests) intercept(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.Lock()
		r.paths = append(r.paths, req.URL.Path)
		r.Unlock()
		next.ServeHTTP(w, req)
	})
}

// during returns the paths of the requests that f makes.
func (r *requests) during(f func()) []string {
	r.Lock()
	r.paths = nil
	r.Unlock()
	f()
	r.Lock()
	defer r.Unlock()
	return r.paths
}

func open(t *testing.T, configure ...func(*rqlitetest.Config)) *gorm.DB {
	t.Helper()
	return connect(t, gormrqlite.Open(rqlitetest.New(t, configure...).DSN()), &gorm.Config{})
}

func connect(t *testing.T, dialector gorm.Dialector, cfg *gorm.Config) *gorm.DB {
	t.Helper()
	cfg.TranslateError, cfg.Logger = true, logger.Discard
	db, err := gorm.Open(dialector, cfg)
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	return db
}

func enforced(c *rqlitetest.Config) { c.ForeignKeys = true }

type (
	plain struct {
		ID   uint
		Name string `gorm:"default:(lower('NONE'))"`
	}

	withHook struct {
		ID   uint
		Name string
	}

	parent struct {
		ID       uint
		Name     string
		Children []child `gorm:"constraint:OnDelete:CASCADE"`
		ParentID *uint
		Parent   *parent `gorm:"constraint:OnDelete:CASCADE"`
	}

	child struct {
		ID       uint
		ParentID uint
		Toys     []toy `gorm:"constraint:OnDelete:CASCADE"`
	}

	toy struct {
		ID      uint
		ChildID uint
	}
)

func (*withHook) AfterCreate(*gorm.DB) error { return nil }

// TestDefaultTransaction counts the requests of writes. A transaction has one request to try a
// statement and one to commit.
func TestDefaultTransaction(t *testing.T) {
	t.Parallel()
	var sent requests
	db := open(t, func(c *rqlitetest.Config) { c.Intercept = sent.intercept })
	require.NoError(t, db.AutoMigrate(&plain{}, &withHook{}, &parent{}, &child{}, &toy{}))
	require.NoError(t, db.Create(&parent{}).Error) // creates the driver's table
	for _, test := range []struct {
		name string
		one  bool // one request only
		run  func(db *gorm.DB) *gorm.DB
	}{
		{"create", true, func(db *gorm.DB) *gorm.DB { return db.Create(&plain{}) }},
		{"create many", true, func(db *gorm.DB) *gorm.DB { return db.Create(&[]plain{{}, {}}) }},
		{"create without associations", true, func(db *gorm.DB) *gorm.DB { return db.Create(&parent{}) }},
		{"create with associations", false, func(db *gorm.DB) *gorm.DB { return db.Create(&parent{Children: []child{{}}}) }},
		{"create with a hook", false, func(db *gorm.DB) *gorm.DB { return db.Create(&withHook{}) }},
		{"create with a hook that is skipped", true, func(db *gorm.DB) *gorm.DB {
			return db.Session(&gorm.Session{SkipHooks: true}).Create(&withHook{})
		}},
		{"update", true, func(db *gorm.DB) *gorm.DB { return db.Model(&plain{ID: 1}).Update("name", "x") }},
		{"delete", true, func(db *gorm.DB) *gorm.DB { return db.Delete(&plain{}, 1) }},
		{"delete with associations", false, func(db *gorm.DB) *gorm.DB { return db.Select("Children").Delete(&parent{ID: 1}) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			paths := sent.during(func() { require.NoError(t, test.run(db).Error) })
			if test.one {
				assert.Equal(t, []string{"/db/execute"}, paths)
			} else {
				assert.Contains(t, paths, "/db/request", "there was no transaction")
			}
		})
	}
	t.Run("with a callback", func(t *testing.T) {
		require.NoError(t, db.Callback().Create().After("gorm:create").Register("test:nothing", func(*gorm.DB) {}))
		paths := sent.during(func() { require.NoError(t, db.Create(&plain{}).Error) })
		assert.Contains(t, paths, "/db/request", "there was no transaction")
	})
}

// TestSkippedTransaction checks that SkipDefaultTransaction begins no transaction at all.
func TestSkippedTransaction(t *testing.T) {
	t.Parallel()
	var sent requests
	server := rqlitetest.New(t, func(c *rqlitetest.Config) { c.Intercept = sent.intercept })
	db := connect(t, gormrqlite.Open(server.DSN()), &gorm.Config{SkipDefaultTransaction: true})
	require.NoError(t, db.AutoMigrate(&withHook{}))
	require.NoError(t, db.Create(&withHook{}).Error) // the driver asks once for the defaults of columns
	paths := sent.during(func() { require.NoError(t, db.Create(&withHook{}).Error) })
	assert.Equal(t, []string{"/db/execute"}, paths)
}

func TestNew(t *testing.T) {
	t.Parallel()
	pool, err := sql.Open("rqlite", rqlitetest.New(t).DSN())
	require.NoError(t, err)
	db := connect(t, gormrqlite.New(pool), &gorm.Config{})
	require.NoError(t, db.AutoMigrate(&plain{}))
	require.NoError(t, db.Create(&plain{}).Error)
	got, err := db.DB()
	require.NoError(t, err)
	assert.Same(t, pool, got)
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	server := rqlitetest.New(t, func(c *rqlitetest.Config) {
		c.Users = []rqlitetest.User{{Name: "ann", Password: "secret", Perms: []string{"all"}}}
	})
	_, err := gorm.Open(gormrqlite.Open(server.DSN()), &gorm.Config{Logger: logger.Discard})
	require.ErrorIs(t, err, rqlite.ErrUnauthorized)
	_, err = gorm.Open(gormrqlite.Open("rqlite://localhost/?levle=weak"), &gorm.Config{Logger: logger.Discard})
	require.ErrorContains(t, err, "level")
}

func TestTranslate(t *testing.T) {
	t.Parallel()
	db := open(t, enforced)
	require.NoError(t, db.Exec("CREATE TABLE t (a INT PRIMARY KEY, b INT CHECK (b > 0), c INT REFERENCES t)").Error)
	require.NoError(t, db.Exec("INSERT INTO t VALUES (1, 1, NULL)").Error)
	for statement, want := range map[string][]error{
		"INSERT INTO t VALUES (1, 1, NULL)": {gorm.ErrDuplicatedKey, rqlite.ConstraintUnique},
		"INSERT INTO t VALUES (2, 0, NULL)": {gorm.ErrCheckConstraintViolated, rqlite.ConstraintCheck},
		"INSERT INTO t VALUES (2, 1, 9)":    {gorm.ErrForeignKeyViolated, rqlite.ConstraintForeignKey},
		"INSERT INTO t VALUES ('x')":        {rqlite.GenericError},
	} {
		err := db.Exec(statement).Error
		for _, kind := range want {
			require.ErrorIs(t, err, kind, statement)
		}
		var failed *rqlite.Error
		require.ErrorAs(t, err, &failed)
	}
}

// TestDefaultsInBatches has rows with and without a value for a column whose default SQLite
// computes.
func TestDefaultsInBatches(t *testing.T) {
	t.Parallel()
	db := open(t)
	require.NoError(t, db.AutoMigrate(&plain{}))
	rows := []plain{{Name: "given"}, {}}
	require.NoError(t, db.Create(&rows).Error)
	assert.Equal(t, []plain{{1, "given"}, {2, "none"}}, rows)
}

// TestRebuild checks that everything that belongs to a table survives a rebuild.
func TestRebuild(t *testing.T) {
	t.Parallel()
	db := open(t, enforced)
	require.NoError(t, db.AutoMigrate(&parent{}, &child{}, &toy{}))
	for _, statement := range []string{
		"CREATE INDEX parents_name ON parents (name) WHERE name <> ''",
		"CREATE TABLE log (what TEXT)",
		"CREATE TRIGGER parents_log AFTER INSERT ON parents BEGIN INSERT INTO log VALUES (new.name); END",
		"CREATE TRIGGER children_log AFTER DELETE ON children BEGIN INSERT INTO log VALUES ('a child was deleted'); END",
		"CREATE VIEW names AS SELECT name FROM parents",
		"CREATE VIEW more AS SELECT name FROM names",
	} {
		require.NoError(t, db.Exec(statement).Error, statement)
	}
	first := parent{Name: "a", Children: []child{{Toys: []toy{{}, {}}}}}
	require.NoError(t, db.Create(&first).Error)
	require.NoError(t, db.Create(&parent{Name: "b", ParentID: &first.ID}).Error)
	require.NoError(t, db.Create(&parent{Name: "gone"}).Error)
	require.NoError(t, db.Delete(&parent{}, 3).Error)

	require.NoError(t, db.Migrator().AlterColumn(&parent{}, "Name"))
	last := parent{Name: "c"}
	require.NoError(t, db.Create(&last).Error)
	assert.EqualValues(t, 4, last.ID, "AUTOINCREMENT does not give an id twice")
	for query, want := range map[string]string{
		"SELECT group_concat(name) FROM more":                                       "a,b,c",
		"SELECT group_concat(what) FROM log":                                        "a,b,gone,c",
		"SELECT count(*) FROM children":                                             "1",
		"SELECT count(*) FROM toys":                                                 "2",
		"SELECT count(*) FROM parents WHERE parent_id = 1":                          "1",
		"SELECT count(*) FROM sqlite_schema WHERE name = 'parents_name'":            "1",
		"SELECT count(*) FROM sqlite_schema WHERE name LIKE '%\\_\\_%' ESCAPE '\\'": "0",
		"PRAGMA foreign_keys":                                                       "1",
	} {
		var got string
		require.NoError(t, db.Raw(query).Row().Scan(&got), query)
		assert.Equal(t, want, got, query)
	}
	require.ErrorIs(t, db.Create(&child{ParentID: 99}).Error, gorm.ErrForeignKeyViolated)
}

// TestRebuildFails checks that a failed migration changes nothing.
func TestRebuildFails(t *testing.T) {
	t.Parallel()
	db := open(t, enforced)
	require.NoError(t, db.AutoMigrate(&parent{}, &child{}, &toy{}))
	require.NoError(t, db.Create(&[]parent{{Name: "a", Children: []child{{}}}, {Name: "a"}}).Error)
	schema := func() string {
		var all []string
		require.NoError(t, db.Raw("SELECT coalesce(sql, name) FROM sqlite_schema WHERE name <> '_rqlite_tx' ORDER BY name").Scan(&all).Error)
		return strings.Join(all, ";\n")
	}
	before := schema()
	type unique struct {
		ID   uint
		Name string `gorm:"unique"`
	}
	err := db.Table("parents").Migrator().CreateConstraint(&unique{}, "Name")
	require.ErrorIs(t, err, gorm.ErrDuplicatedKey)
	require.Error(t, db.Migrator().DropColumn(&parent{}, "nothing"))
	require.Error(t, db.Migrator().DropConstraint(&parent{}, "nothing"))
	assert.Equal(t, before, schema())
	var n int64
	require.NoError(t, db.Model(&child{}).Count(&n).Error)
	assert.EqualValues(t, 1, n)
}

// TestDropTable drops parents with their children, in any order, and also without them.
func TestDropTable(t *testing.T) {
	t.Parallel()
	db := open(t, enforced)
	require.NoError(t, db.AutoMigrate(&parent{}, &child{}, &toy{}))
	require.NoError(t, db.Create(&parent{Children: []child{{Toys: []toy{{}}}}}).Error)
	require.NoError(t, db.Exec("CREATE TABLE stays (id INT REFERENCES toys)").Error)
	require.NoError(t, db.Exec("INSERT INTO stays VALUES (1)").Error)
	require.NoError(t, db.Exec("CREATE TABLE later (id INT REFERENCES toys DEFERRABLE INITIALLY DEFERRED)").Error)
	require.NoError(t, db.Exec("INSERT INTO later VALUES (1)").Error)
	require.NoError(t, db.Migrator().DropTable(&parent{}, &child{}, &toy{}))
	var left int
	require.NoError(t, db.Raw("SELECT id FROM stays").Row().Scan(&left))
	assert.Equal(t, 1, left, "what referred to it stays")
	require.ErrorContains(t, db.Exec("INSERT INTO stays VALUES (2)").Error, "no such table", "keys are enforced as before")
	require.NoError(t, db.Migrator().DropTable("stays", "later", "nothing"))
	tables, err := db.Migrator().GetTables()
	require.NoError(t, err)
	assert.Empty(t, tables)
}

// TestDefaults checks that columns get the defaults of the model, that a second migration changes
// nothing, and that a random default is read as it is stored.
func TestDefaults(t *testing.T) {
	t.Parallel()
	type defaults struct {
		ID     uint
		Born   time.Time `gorm:"default:2000-01-02"`
		Quoted time.Time `gorm:"default:'2000-01-02 03:04:05'"`
		Since  time.Time `gorm:"default:CURRENT_TIMESTAMP"`
		Name   string    `gorm:"default:'it''s'"`
		None   string    `gorm:"default:null"`
		Chance int       `gorm:"default:(abs(random()))"`
		Count  int       `gorm:"default:18"`
	}
	var sent requests
	db := open(t, func(c *rqlitetest.Config) { c.Intercept = sent.intercept })
	require.NoError(t, db.AutoMigrate(&defaults{}))
	assert.NotContains(t, sent.during(func() { require.NoError(t, db.AutoMigrate(&defaults{})) }), "/db/execute", "there is nothing to do")
	types, err := db.Migrator().ColumnTypes(&defaults{})
	require.NoError(t, err)
	text, ok := types[5].DefaultValue()
	assert.Equal(t, "", text)
	assert.False(t, ok)
	row := defaults{ID: 1}
	require.NoError(t, db.Create(&row).Error)
	assert.Equal(t, "20000102", row.Born.Format("20060102"))
	assert.NotZero(t, row.Chance)
	stored := defaults{}
	require.NoError(t, db.First(&stored, 1).Error)
	assert.Equal(t, row.Chance, stored.Chance)
}

// TestCircle has tables that refer to each other.
func TestCircle(t *testing.T) {
	t.Parallel()
	db := open(t, enforced)
	require.NoError(t, db.Exec("CREATE TABLE plains (id INTEGER PRIMARY KEY, name TEXT REFERENCES others); CREATE TABLE others (id INT PRIMARY KEY, p REFERENCES plains)").Error)
	require.ErrorContains(t, db.Migrator().AlterColumn(&plain{}, "Name"), "circle")
	free := open(t)
	require.NoError(t, free.Exec("CREATE TABLE plains (id INTEGER PRIMARY KEY, name TEXT REFERENCES others); CREATE TABLE others (id INT PRIMARY KEY, p REFERENCES plains)").Error)
	require.NoError(t, free.Migrator().AlterColumn(&plain{}, "Name"), "nothing is enforced")
}
