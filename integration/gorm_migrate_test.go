package integration_test

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// The versions of a table, whose name is that of the first.
type (
	// Plan is the first version.
	Plan struct {
		ID    uint
		Title string
		Size  string
		Cost  int `gorm:"index"`
	}

	planTwo struct {
		ID    uint
		Title string `gorm:"not null;unique;check:title <> ''"`
		Size  int
		Cost  int    `gorm:"index"`
		State string `gorm:"default:open;not null"`
		Owner string `gorm:"uniqueIndex:,where:owner <> ''"`
	}

	// Sum has a column that SQLite computes.
	Sum struct {
		ID    uint
		A, B  int
		Total int `gorm:"->;type:integer GENERATED ALWAYS AS (a + b) VIRTUAL"`
		Twice int `gorm:"->;type:integer GENERATED ALWAYS AS (2 * a) STORED"`
		Note  string
	}
)

var gormMigrateScenarios = []gormScenario{
	{name: "migrate: again without doing anything", run: func(g *gormRun) {
		models := []any{&City{}, &Owner{}, &Card{}, &Pet{}, &Club{}, &Toy{}, &Product{}, &Entry{}, &Hooked{}}
		g.migrate(models...)
		schema := func() (all []string) {
			g.must(g.db.Raw("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name LIKE ? ORDER BY name", "%"+g.db.NamingStrategy.TableName("")+"%").Scan(&all))
			return all
		}
		before := schema()
		require.NotEmpty(g, before)
		g.migrate(models...)
		g.migrate(models...)
		assert.Equal(g, before, schema())
	}},
	{name: "migrate: a table to its next version", run: func(g *gormRun) {
		g.migrate(&Plan{})
		g.must(g.db.Create(&[]Plan{{Title: "a", Size: "1", Cost: 10}, {Title: "b", Size: "2"}}))
		g.must(g.db.Delete(&Plan{}, 2))
		table := g.table(&Plan{})
		next := g.db.Table(table)
		require.NoError(g, next.AutoMigrate(&planTwo{}))
		require.NoError(g, g.db.Table(table).AutoMigrate(&planTwo{}))
		var got planTwo
		g.must(g.db.Table(table).First(&got))
		assert.Equal(g, planTwo{ID: 1, Title: "a", Size: 1, Cost: 10, State: "open"}, got)
		require.ErrorIs(g, g.db.Table(table).Create(&planTwo{Title: "a"}).Error, gorm.ErrDuplicatedKey)
		require.Error(g, g.db.Table(table).Create(map[string]any{"title": ""}).Error, "CHECK")
		g.must(g.db.Table(table).Create(&planTwo{Title: "c", Owner: "Ann"}))
		require.ErrorIs(g, g.db.Table(table).Create(&planTwo{Title: "d", Owner: "Ann"}).Error, gorm.ErrDuplicatedKey)
		assert.True(g, g.db.Table(table).Migrator().HasIndex(&planTwo{}, "Cost"))
	}},
	{name: "migrate: what is there", run: func(g *gormRun) {
		g.migrate(&City{}, &Owner{}, &Card{}, &Pet{}, &Club{}, &Toy{}, &Product{}, &Plan{})
		m := g.db.Migrator()
		assert.True(g, m.HasTable(&Product{}))
		assert.True(g, m.HasTable(g.table(&Product{})))
		assert.False(g, m.HasTable("nowhere"))
		assert.True(g, m.HasColumn(&Product{}, "Code"))
		assert.True(g, m.HasColumn(&Product{}, "deleted_at"))
		assert.False(g, m.HasColumn(&Product{}, "colour"))
		assert.True(g, m.HasIndex(&Product{}, "Code"))
		assert.False(g, m.HasIndex(&Product{}, "Price"))
		assert.True(g, m.HasConstraint(&Owner{}, "City"))
		assert.True(g, m.HasConstraint(&Owner{}, "Pets"))
		assert.True(g, m.HasConstraint(&City{}, "Name"))
		assert.False(g, m.HasConstraint(&City{}, "nothing"))
		tables, err := m.GetTables()
		require.NoError(g, err)
		assert.Contains(g, tables, g.table(&Plan{}))
		assert.NotEmpty(g, m.CurrentDatabase())
		indexes, err := m.GetIndexes(&Product{})
		require.NoError(g, err)
		var columns []string
		for _, index := range indexes {
			columns = append(columns, fmt.Sprint(index.Columns()))
		}
		slices.Sort(columns)
		assert.Equal(g, []string{"[code]", "[deleted_at]"}, columns)
	}},
	{name: "migrate: column types", run: func(g *gormRun) {
		g.migrate(&Product{})
		types, err := g.db.Migrator().ColumnTypes(&Product{})
		require.NoError(g, err)
		byName := map[string]gorm.ColumnType{}
		for _, c := range types {
			byName[c.Name()] = c
		}
		require.Len(g, byName, 9)
		primary, ok := byName["id"].PrimaryKey()
		assert.True(g, primary && ok)
		nullable, ok := byName["state"].Nullable()
		assert.True(g, !nullable && ok)
		def, ok := byName["stock"].DefaultValue()
		assert.True(g, ok)
		assert.Equal(g, "7", def)
		assert.Equal(g, "real", byName["price"].DatabaseTypeName())
	}},
	{name: "migrate: columns one by one", run: func(g *gormRun) {
		g.migrate(&Plan{})
		g.must(g.db.Create(&Plan{Title: "a", Size: "12", Cost: 3}))
		m := g.db.Migrator()
		require.NoError(g, m.RenameColumn(&Plan{}, "cost", "price"))
		assert.True(g, m.HasColumn(&Plan{}, "price"))
		require.NoError(g, m.RenameColumn(&Plan{}, "price", "cost"))
		require.NoError(g, m.DropColumn(&Plan{}, "Title"))
		assert.False(g, m.HasColumn(&Plan{}, "title"))
		require.NoError(g, m.AddColumn(&Plan{}, "Title"))
		require.NoError(g, g.db.Table(g.table(&Plan{})).Migrator().AlterColumn(&planTwo{}, "Size"))
		var row struct {
			Size  int
			Cost  int
			Title *string
			Kind  string
		}
		g.must(g.db.Model(&Plan{}).Select("size, cost, title, typeof(size) AS kind").Take(&row))
		assert.Equal(g, "integer", row.Kind)
		assert.Equal(g, 12, row.Size)
		assert.Equal(g, 3, row.Cost)
		assert.Nil(g, row.Title)
	}},
	{name: "migrate: constraints", run: func(g *gormRun) {
		g.migrate(&Plan{})
		table := g.table(&Plan{})
		g.must(g.db.Create(&Plan{Title: "a"}))
		m := g.db.Table(table).Migrator()
		require.NoError(g, m.CreateConstraint(&planTwo{}, "Title"))
		assert.True(g, m.HasConstraint(&planTwo{}, "Title"))
		require.Error(g, g.db.Create(&Plan{Title: ""}).Error, "CHECK")
		require.NoError(g, m.DropConstraint(&planTwo{}, "Title"))
		assert.False(g, m.HasConstraint(&planTwo{}, "Title"))
		g.must(g.db.Create(&Plan{Title: ""}))
		g.must(g.db.Create(&Plan{Title: ""}))
		require.ErrorIs(g, m.CreateConstraint(&planTwo{}, g.db.NamingStrategy.UniqueName(table, "title")), gorm.ErrDuplicatedKey)
		assert.EqualValues(g, 3, g.count(&Plan{}), "a migration that fails leaves everything as it was")
		tables, err := m.GetTables()
		require.NoError(g, err)
		for _, suffix := range []string{"__new", "__temp", "__aside"} {
			assert.NotContains(g, tables, table+suffix)
		}
	}},
	{name: "migrate: indexes", run: func(g *gormRun) {
		g.migrate(&Plan{})
		m := g.db.Migrator()
		name := g.db.NamingStrategy.IndexName(g.table(&Plan{}), "cost")
		require.NoError(g, m.RenameIndex(&Plan{}, name, name+"_renamed"))
		assert.True(g, m.HasIndex(&Plan{}, name+"_renamed"))
		require.NoError(g, m.DropIndex(&Plan{}, name+"_renamed"))
		assert.False(g, m.HasIndex(&Plan{}, name+"_renamed"))
		require.NoError(g, m.CreateIndex(&Plan{}, "Cost"))
		assert.True(g, m.HasIndex(&Plan{}, "Cost"))
		require.Error(g, m.DropIndex(&Plan{}, "nothing"))
	}},
	{name: "migrate: tables and views", run: func(g *gormRun) {
		g.migrate(&Plan{})
		g.must(g.db.Create(&[]Plan{{Title: "a", Cost: 1}, {Title: "b", Cost: 5}}))
		m := g.db.Migrator()
		view, renamed := g.table(&Plan{})+"_view", g.table(&Plan{})+"_renamed"
		require.NoError(g, m.CreateView(view, gorm.ViewOption{Query: g.db.Model(&Plan{}).Where("cost > ?", 2)}))
		var n int64
		g.must(g.db.Table(view).Count(&n))
		assert.EqualValues(g, 1, n)
		require.NoError(g, m.DropView(view))
		require.NoError(g, m.RenameTable(&Plan{}, renamed))
		assert.False(g, m.HasTable(&Plan{}))
		g.must(g.db.Table(renamed).Count(&n))
		assert.EqualValues(g, 2, n)
		require.NoError(g, m.DropTable(renamed, &Plan{}))
		assert.False(g, m.HasTable(renamed))
	}},
	{name: "migrate: generated columns", run: func(g *gormRun) {
		g.migrate(&Sum{})
		g.must(g.db.Create(&Sum{A: 2, B: 3}))
		require.NoError(g, g.db.Migrator().AlterColumn(&Sum{}, "Note"))
		g.must(g.db.Create(&Sum{A: 5, B: 6}))
		var sums []Sum
		g.must(g.db.Order("id").Find(&sums))
		require.Len(g, sums, 2)
		assert.Equal(g, []int{5, 4, 11, 10}, []int{sums[0].Total, sums[0].Twice, sums[1].Total, sums[1].Twice})
	}},
	{name: "migrate: a parent keeps its children", foreignKeys: true, run: func(g *gormRun) {
		populated(g)
		require.NoError(g, g.db.Migrator().AlterColumn(&Owner{}, "Name"))
		assert.EqualValues(g, 2, g.count(&Owner{}))
		assert.EqualValues(g, 1, g.count(&Card{}), "ON DELETE CASCADE did not run")
		var n int64
		g.must(g.db.Model(&Pet{}).Where("owner_id IS NOT NULL").Count(&n))
		assert.EqualValues(g, 3, n, "ON DELETE SET NULL did not run")
		g.must(g.db.Model(&Owner{}).Where("boss_id IS NOT NULL").Count(&n))
		assert.EqualValues(g, 1, n)
	}},
	{name: "migrate: drop tables", run: func(g *gormRun) {
		populated(g)
		m := g.db.Migrator()
		require.NoError(g, m.DropTable(g.db.NamingStrategy.JoinTableName("owner_clubs"), &Toy{}, &Pet{}, &Card{}, &Owner{}, &Club{}, &City{}))
		assert.False(g, m.HasTable(&Owner{}))
	}},
}
