package integration_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Product has the columns that most scenarios need.
type Product struct {
	ID        uint
	Code      string `gorm:"size:40;uniqueIndex"`
	Price     float64
	Stock     int    `gorm:"default:7;check:stock >= 0"`
	State     string `gorm:"default:'new';not null"`
	Note      *string
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt gorm.DeletedAt `gorm:"index"`
}

// Entry has a composite key, and no columns that the database fills.
type Entry struct {
	Book   string `gorm:"primaryKey"`
	Line   int    `gorm:"primaryKey;autoIncrement:false"`
	Amount int
}

// Hooked notes what happens to it, and refuses some things.
type Hooked struct {
	ID    uint
	Name  string
	Log   string
	Calls []string `gorm:"-"`
}

var errHook = errors.New("refused by a hook")

func (h *Hooked) BeforeCreate(*gorm.DB) error {
	h.Calls = append(h.Calls, "before create")
	if h.Name == "early" {
		return errHook
	}
	h.Log = "made by " + h.Name
	return nil
}

func (h *Hooked) AfterCreate(tx *gorm.DB) error {
	h.Calls = append(h.Calls, "after create")
	if h.Name == "late" {
		return errHook
	}
	return tx.Model(h).UpdateColumn("log", gorm.Expr("log || '!'")).Error
}

func (h *Hooked) BeforeUpdate(tx *gorm.DB) error {
	h.Calls = append(h.Calls, "before update")
	if tx.Statement.Changed("Name") {
		tx.Statement.SetColumn("Log", "renamed")
	}
	return nil
}

func (h *Hooked) AfterDelete(*gorm.DB) error {
	if h.Name == "kept" {
		return errHook
	}
	return nil
}

func (h *Hooked) AfterFind(*gorm.DB) error {
	h.Calls = append(h.Calls, "after find")
	return nil
}

func someProducts(n int) []Product {
	products := make([]Product, n)
	for i := range products {
		products[i] = Product{Code: fmt.Sprintf("p%02d", i+1), Price: float64(i) + 0.5}
	}
	return products
}

var gormCreateScenarios = []gormScenario{
	{name: "create: ids, defaults and times", run: func(g *gormRun) {
		g.migrate(&Product{})
		p := Product{Code: "a", Price: 3}
		require.EqualValues(g, 1, g.must(g.db.Create(&p)).RowsAffected)
		assert.EqualValues(g, 1, p.ID)
		assert.Equal(g, 7, p.Stock)
		assert.Equal(g, "new", p.State)
		var got Product
		g.must(g.db.First(&got, p.ID))
		assert.WithinDuration(g, p.CreatedAt, got.CreatedAt, 0)
		assert.InDelta(g, 3.0, got.Price, 0)
		assert.Nil(g, got.Note)
	}},
	{name: "create: many rows with their ids", run: func(g *gormRun) {
		g.migrate(&Product{})
		products := someProducts(5)
		products[2].Stock, products[3].State = 3, "old"
		require.EqualValues(g, 5, g.must(g.db.Create(&products)).RowsAffected)
		for i, p := range products {
			var got Product
			g.must(g.db.First(&got, p.ID))
			assert.Equal(g, fmt.Sprintf("p%02d", i+1), got.Code)
			assert.Equal(g, p.Stock, got.Stock)
			assert.Equal(g, p.State, got.State)
		}
	}},
	{name: "create: in batches", run: func(g *gormRun) {
		g.migrate(&Product{})
		require.EqualValues(g, 23, g.must(g.db.CreateInBatches(someProducts(23), 5)).RowsAffected)
		assert.EqualValues(g, 23, g.count(&Product{}))
		products := append(someProducts(30)[23:], Product{Code: "p01"})
		require.ErrorIs(g, g.db.CreateInBatches(products, 3).Error, gorm.ErrDuplicatedKey)
		assert.EqualValues(g, 23, g.count(&Product{}), "the batches before the one that failed stay")
	}},
	{name: "create: from maps and expressions", run: func(g *gormRun) {
		g.migrate(&Product{})
		g.must(g.db.Model(&Product{}).Create(map[string]any{"Code": "a", "Price": 1.5}))
		g.must(g.db.Model(&Product{}).Create(&[]map[string]any{
			{"Code": clause.Expr{SQL: "upper(?)", Vars: []any{"b"}}, "Price": 2},
			{"Code": "c", "Price": clause.Expr{SQL: "1 + 2"}},
		}))
		var codes []string
		g.must(g.db.Model(&Product{}).Order("id").Pluck("code", &codes))
		assert.Equal(g, []string{"a", "B", "c"}, codes)
	}},
	{name: "create: chosen and omitted fields", run: func(g *gormRun) {
		g.migrate(&Product{})
		g.must(g.db.Select("Code").Create(&Product{Code: "a", Price: 9}))
		g.must(g.db.Omit("Price").Create(&Product{Code: "b", Price: 9}))
		var unset int64
		g.must(g.db.Model(&Product{}).Where("price IS NULL").Count(&unset))
		assert.EqualValues(g, 2, unset)
	}},
	{name: "create: returning", run: func(g *gormRun) {
		g.migrate(&Product{})
		p := Product{Code: "a"}
		g.must(g.db.Clauses(clause.Returning{}).Create(&p))
		assert.Equal(g, 7, p.Stock)
		var changed []Product
		g.must(g.db.Model(&changed).Clauses(clause.Returning{Columns: []clause.Column{{Name: "id"}, {Name: "price"}}}).
			Where("code = ?", "a").Update("price", gorm.Expr("price + ?", 4)))
		require.Len(g, changed, 1)
		assert.InDelta(g, 4.0, changed[0].Price, 0)
		var gone []Product
		g.must(g.db.Unscoped().Clauses(clause.Returning{}).Where("1 = 1").Delete(&gone))
		require.Len(g, gone, 1)
		assert.Equal(g, "a", gone[0].Code)
	}},
	{name: "upsert: do nothing", run: func(g *gormRun) {
		g.migrate(&Product{})
		g.must(g.db.Create(&Product{Code: "a", Price: 1}))
		tx := g.must(g.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&Product{Code: "a", Price: 2}))
		assert.EqualValues(g, 0, tx.RowsAffected)
		assert.EqualValues(g, 1, g.count(&Product{}))
	}},
	{name: "upsert: some columns, with a condition", run: func(g *gormRun) {
		g.migrate(&Entry{})
		key := []clause.Column{{Name: "book"}, {Name: "line"}}
		g.must(g.db.Create(&[]Entry{{"x", 1, 10}, {"x", 2, 20}}))
		g.must(g.db.Clauses(clause.OnConflict{Columns: key, DoUpdates: clause.AssignmentColumns([]string{"amount"})}).
			Create(&[]Entry{{"x", 1, 11}, {"x", 3, 30}}))
		table := g.table(&Entry{})
		g.must(g.db.Clauses(clause.OnConflict{
			Columns:   key,
			DoUpdates: clause.Assignments(map[string]any{"amount": gorm.Expr(table + ".amount + excluded.amount")}),
			Where:     clause.Where{Exprs: []clause.Expression{clause.Lt{Column: clause.Column{Table: table, Name: "amount"}, Value: 25}}},
		}).Create(&[]Entry{{"x", 2, 1}, {"x", 3, 1}}))
		var entries []Entry
		g.must(g.db.Order("line").Find(&entries))
		assert.Equal(g, []Entry{{"x", 1, 11}, {"x", 2, 21}, {"x", 3, 30}}, entries)
	}},
	{name: "upsert: update all", run: func(g *gormRun) {
		g.migrate(&Product{})
		g.must(g.db.Create(&Product{ID: 5, Code: "a", Price: 1}))
		g.must(g.db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Product{ID: 5, Code: "b", Price: 2}))
		var p Product
		g.must(g.db.First(&p, 5))
		assert.Equal(g, "b", p.Code)
		assert.EqualValues(g, 1, g.count(&Product{}))
	}},
	{name: "save: inserts, updates and inserts under its id", run: func(g *gormRun) {
		g.migrate(&Product{})
		p := Product{Code: "a"}
		g.must(g.db.Save(&p))
		p.Price = 5
		g.must(g.db.Save(&p))
		g.must(g.db.Save(&Product{ID: 40, Code: "b"}))
		products := []Product{{ID: 40, Code: "c"}, {ID: 41, Code: "d"}}
		g.must(g.db.Save(&products))
		var codes []string
		g.must(g.db.Model(&Product{}).Order("id").Pluck("code", &codes))
		assert.Equal(g, []string{"a", "c", "d"}, codes)
	}},
	{name: "first or create", run: func(g *gormRun) {
		g.migrate(&Product{})
		var a, b, c Product
		require.EqualValues(g, 1, g.must(g.db.FirstOrCreate(&a, Product{Code: "a"})).RowsAffected)
		require.EqualValues(g, 0, g.must(g.db.FirstOrCreate(&b, Product{Code: "a"})).RowsAffected)
		assert.Equal(g, a.ID, b.ID)
		g.must(g.db.Where(Product{Code: "c"}).Attrs(Product{Price: 8}).FirstOrCreate(&c))
		g.must(g.db.Where(Product{Code: "c"}).Assign(Product{Price: 9}).FirstOrCreate(&c))
		assert.InDelta(g, 9.0, c.Price, 0)
		var d Product
		g.must(g.db.Where(Product{Code: "d"}).FirstOrInit(&d))
		assert.Zero(g, d.ID)
		assert.EqualValues(g, 2, g.count(&Product{}))
	}},
	{name: "update: fields, maps, expressions and sub-queries", run: func(g *gormRun) {
		g.migrate(&Product{})
		products := someProducts(4)
		g.must(g.db.Create(&products))
		p := products[0]
		g.must(g.db.Model(&p).Update("price", 10))
		require.EqualValues(g, 1, g.must(g.db.Model(&p).Updates(Product{Stock: 3, State: "sold"})).RowsAffected)
		g.must(g.db.Model(&p).Updates(map[string]any{"stock": 0, "note": "empty"}))
		g.must(g.db.Model(&Product{}).Where("code IN ?", []string{"p02", "p03"}).UpdateColumn("price", gorm.Expr("price * ?", 2)))
		g.must(g.db.Model(&Product{}).Where("code = ?", "p04").Update("price", g.db.Model(&Product{}).Select("max(price)")))
		require.EqualValues(g, 0, g.must(g.db.Model(&Product{}).Where("code = ?", "none").Update("price", 1)).RowsAffected)
		require.ErrorIs(g, g.db.Model(&Product{}).Update("price", 1).Error, gorm.ErrMissingWhereClause)
		var got []Product
		g.must(g.db.Order("id").Find(&got))
		assert.Equal(g, []float64{10, 3, 5, 10}, []float64{got[0].Price, got[1].Price, got[2].Price, got[3].Price})
		assert.Equal(g, "empty", *got[0].Note)
		assert.Zero(g, got[0].Stock)
	}},
	{name: "delete: soft, unscoped and by condition", run: func(g *gormRun) {
		g.migrate(&Product{})
		g.must(g.db.Create(someProducts(6)))
		require.EqualValues(g, 2, g.must(g.db.Delete(&Product{}, []int{1, 2})).RowsAffected)
		assert.EqualValues(g, 4, g.count(&Product{}))
		require.ErrorIs(g, g.db.First(&Product{}, 1).Error, gorm.ErrRecordNotFound)
		var p Product
		g.must(g.db.Unscoped().First(&p, 1))
		assert.True(g, p.DeletedAt.Valid)
		g.must(g.db.Unscoped().Model(&p).Update("deleted_at", nil))
		assert.EqualValues(g, 5, g.count(&Product{}))
		g.must(g.db.Unscoped().Delete(&Product{}, "price > ?", 4))
		assert.EqualValues(g, 3, g.count(&Product{}))
		g.must(g.db.Session(&gorm.Session{AllowGlobalUpdate: true}).Unscoped().Delete(&Product{}))
		var left int64
		g.must(g.db.Unscoped().Model(&Product{}).Count(&left))
		assert.Zero(g, left)
	}},
	{name: "hooks: run, change, and take back what they refuse", run: func(g *gormRun) {
		g.migrate(&Hooked{})
		h := Hooked{Name: "Ann"}
		g.must(g.db.Create(&h))
		assert.Equal(g, []string{"before create", "after create"}, h.Calls)
		var got Hooked
		g.must(g.db.First(&got, h.ID))
		assert.Equal(g, "made by Ann!", got.Log)
		assert.Equal(g, []string{"after find"}, got.Calls)
		require.ErrorIs(g, g.db.Create(&Hooked{Name: "early"}).Error, errHook)
		require.ErrorIs(g, g.db.Create(&Hooked{Name: "late"}).Error, errHook)
		assert.EqualValues(g, 1, g.count(&Hooked{}), "what a hook behind it refuses is taken back")
		g.must(g.db.Model(&got).Updates(Hooked{Name: "Bob"}))
		g.must(g.db.First(&got, h.ID))
		assert.Equal(g, "renamed", got.Log)
		kept := Hooked{Name: "kept"}
		g.must(g.db.Create(&kept))
		require.ErrorIs(g, g.db.Delete(&kept).Error, errHook)
		assert.EqualValues(g, 2, g.count(&Hooked{}))
	}},
	{name: "errors: unique and check", run: func(g *gormRun) {
		g.migrate(&Product{})
		g.must(g.db.Create(&Product{Code: "a"}))
		require.ErrorIs(g, g.db.Create(&Product{Code: "a"}).Error, gorm.ErrDuplicatedKey)
		require.ErrorIs(g, g.db.Create(&Product{ID: 1, Code: "b"}).Error, gorm.ErrDuplicatedKey)
		require.ErrorContains(g, g.db.Create(&Product{Code: "c", Stock: -1}).Error, "")
		require.Error(g, g.db.Exec("UPDATE "+g.table(&Product{})+" SET state = NULL").Error)
		require.Error(g, g.db.Exec("SELECT nowhere").Error)
		assert.EqualValues(g, 1, g.count(&Product{}))
	}},
}
