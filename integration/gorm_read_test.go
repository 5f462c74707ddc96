package integration_test

import (
	"fmt"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// stocked has products p01 to p10 with prices from 0.5 to 9.5, each other one sold.
func stocked(g *gormRun) {
	g.migrate(&Product{})
	products := someProducts(10)
	for i := range products {
		if i%2 == 1 {
			products[i].State = "sold"
		}
	}
	g.must(g.db.Create(&products))
}

func codesOf(products []Product) (codes []string) {
	for _, p := range products {
		codes = append(codes, p.Code)
	}
	return codes
}

var gormReadScenarios = []gormScenario{
	{name: "read: first, last, take, none", run: func(g *gormRun) {
		stocked(g)
		var first, last, taken Product
		g.must(g.db.First(&first))
		g.must(g.db.Last(&last))
		g.must(g.db.Take(&taken, "code = ?", "p03"))
		assert.Equal(g, []string{"p01", "p10", "p03"}, codesOf([]Product{first, last, taken}))
		require.ErrorIs(g, g.db.First(&Product{}, 99).Error, gorm.ErrRecordNotFound)
		var none []Product
		assert.EqualValues(g, 0, g.must(g.db.Find(&none, "price > 100")).RowsAffected)
	}},
	{name: "read: conditions", run: func(g *gormRun) {
		stocked(g)
		for want, tx := range map[string]*gorm.DB{
			"[p02 p04]":     g.db.Where("state = ? AND price < ?", "sold", 4),
			"[p01 p05]":     g.db.Where("code IN ?", []string{"p01", "p05", "zz"}),
			"[p01 p02]":     g.db.Where("(code, state) IN ?", [][]any{{"p01", "new"}, {"p02", "sold"}, {"p03", "sold"}}),
			"[p03]":         g.db.Where(&Product{Code: "p03"}),
			"[p04]":         g.db.Where(map[string]any{"code": "p04", "note": nil}),
			"[p09 p10]":     g.db.Not("price < ?", 8),
			"[p01 p10]":     g.db.Where("price < ?", 1).Or("price > ?", 9),
			"[p05]":         g.db.Where("code = @code OR note = @code", map[string]any{"code": "p05"}),
			"[p02 p03]":     g.db.Where("price BETWEEN ? AND ?", 1, 3),
			"[p10]":         g.db.Where("code LIKE ?", "%1_"),
			"[p06 p07 p08]": g.db.Where(g.db.Where("price > 5").Where("price < 8")),
		} {
			var products []Product
			g.must(tx.Order("code").Find(&products))
			assert.Equal(g, want, fmt.Sprint(codesOf(products)))
		}
	}},
	{name: "read: order, limit and offset", run: func(g *gormRun) {
		stocked(g)
		for want, tx := range map[string]*gorm.DB{
			"[p10 p09]": g.db.Order("price desc").Limit(2),
			"[p03 p04]": g.db.Order("code").Offset(2).Limit(2),
			"[p09 p10]": g.db.Order("code").Offset(8),
			"[]":        g.db.Limit(0),
			"[p02 p04]": g.db.Order(clause.OrderByColumn{Column: clause.Column{Name: "state"}, Desc: true}).Order("code").Limit(2),
		} {
			var products []Product
			g.must(tx.Find(&products))
			assert.Equal(g, want, fmt.Sprint(codesOf(products)))
		}
	}},
	{name: "read: counts, sums and groups", run: func(g *gormRun) {
		stocked(g)
		var n int64
		g.must(g.db.Model(&Product{}).Distinct("state").Count(&n))
		assert.EqualValues(g, 2, n)
		var groups []struct {
			State string
			Total float64
			Most  float64
			N     int
		}
		g.must(g.db.Model(&Product{}).Select("state, sum(price) AS total, max(price) AS most, count(*) AS n").
			Group("state").Having("count(*) > ?", 1).Order("state").Scan(&groups))
		require.Len(g, groups, 2)
		assert.InDelta(g, 22.5, groups[0].Total, 0)
		assert.InDelta(g, 9.5, groups[1].Most, 0)
		assert.Equal(g, 5, groups[1].N)
	}},
	{name: "read: maps, structs, pluck and rows", run: func(g *gormRun) {
		stocked(g)
		row := map[string]any{}
		g.must(g.db.Model(&Product{}).Select("code", "stock").Take(&row, 2))
		assert.Equal(g, "p02", row["code"])
		assert.EqualValues(g, 7, row["stock"])
		var small []struct{ Code string }
		g.must(g.db.Model(&Product{}).Order("id").Limit(1).Find(&small))
		assert.Equal(g, "p01", small[0].Code)
		rows, err := g.db.Model(&Product{}).Order("id").Rows()
		require.NoError(g, err)
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			var p Product
			require.NoError(g, g.db.ScanRows(rows, &p))
			assert.EqualValues(g, n+1, p.ID)
		}
		require.NoError(g, rows.Err())
		assert.Equal(g, 10, n)
	}},
	{name: "read: find in batches, and write in them", run: func(g *gormRun) {
		stocked(g)
		var products []Product
		var sizes []int
		tx := g.must(g.db.Where("price > ?", 1).FindInBatches(&products, 4, func(tx *gorm.DB, _ int) error {
			sizes = append(sizes, len(products))
			for i := range products {
				products[i].Stock = 1
			}
			return tx.Save(&products).Error
		}))
		assert.EqualValues(g, 9, tx.RowsAffected)
		assert.Equal(g, []int{4, 4, 1}, sizes)
		var n int64
		g.must(g.db.Model(&Product{}).Where("stock = 1").Count(&n))
		assert.EqualValues(g, 9, n)
	}},
	{name: "read: sub-queries and from", run: func(g *gormRun) {
		stocked(g)
		var products []Product
		g.must(g.db.Where("price > (?)", g.db.Model(&Product{}).Select("avg(price)")).Order("id").Find(&products))
		assert.Len(g, products, 5)
		var n int64
		g.must(g.db.Table("(?) AS u", g.db.Model(&Product{}).Select("state").Group("state")).Count(&n))
		assert.EqualValues(g, 2, n)
	}},
	{name: "read: scopes", run: func(g *gormRun) {
		stocked(g)
		sold := func(db *gorm.DB) *gorm.DB { return db.Where("state = ?", "sold") }
		page := func(n int) func(*gorm.DB) *gorm.DB {
			return func(db *gorm.DB) *gorm.DB { return db.Order("id").Offset((n - 1) * 2).Limit(2) }
		}
		var products []Product
		g.must(g.db.Scopes(sold, page(2)).Find(&products))
		assert.Equal(g, []string{"p06", "p08"}, codesOf(products))
	}},
	{name: "read: locking clauses", run: func(g *gormRun) {
		stocked(g)
		require.NoError(g, g.db.Transaction(func(tx *gorm.DB) error {
			var p Product
			if err := tx.Clauses(clause.Locking{Strength: "UPDATE", Options: "NOWAIT"}).First(&p, 3).Error; err != nil {
				return err
			}
			return tx.Model(&p).Update("price", p.Price+1).Error
		}))
		var p Product
		g.must(g.db.Clauses(clause.Locking{Strength: "SHARE"}).First(&p, 3))
		assert.InDelta(g, 3.5, p.Price, 0)
	}},
	{name: "read: raw, named and generic", run: func(g *gormRun) {
		stocked(g)
		table := g.table(&Product{})
		var total float64
		g.must(g.db.Raw("SELECT sum(price) FROM "+table+" WHERE state = @state", map[string]any{"state": "sold"}).Scan(&total))
		assert.InDelta(g, 27.5, total, 0)
		tx := g.must(g.db.Exec("UPDATE "+table+" SET price = ? WHERE id IN ?", 1, []int{1, 2}))
		assert.EqualValues(g, 2, tx.RowsAffected)
		products, err := gorm.G[Product](g.db).Where("price = ?", 1).Order("id").Find(g.Context())
		require.NoError(g, err)
		assert.Equal(g, []string{"p01", "p02"}, codesOf(products))
	}},
	{name: "read: prepared statements", run: func(g *gormRun) {
		stocked(g)
		db := g.db.Session(&gorm.Session{PrepareStmt: true})
		for i := range 3 {
			var p Product
			g.must(db.First(&p, i+1))
			assert.EqualValues(g, i+1, p.ID)
			g.must(db.Model(&p).Update("stock", i))
		}
		require.NoError(g, db.Transaction(func(tx *gorm.DB) error { return tx.First(&Product{}, 2).Error }))
	}},
	{name: "read: explained and dry", run: func(g *gormRun) {
		stocked(g)
		sql := g.db.ToSQL(func(tx *gorm.DB) *gorm.DB {
			return tx.Model(&Product{}).Where("price = ? AND stock > ?", 2.5, 1).Limit(3).Find(&[]Product{})
		})
		var products []Product
		g.must(g.db.Raw(sql).Scan(&products))
		assert.Equal(g, []string{"p03"}, codesOf(products))
		stmt := g.db.Session(&gorm.Session{DryRun: true}).Create(&Product{Code: "dry"}).Statement
		assert.Contains(g, stmt.SQL.String(), "INSERT INTO")
		assert.EqualValues(g, 10, g.count(&Product{}))
	}},
}
