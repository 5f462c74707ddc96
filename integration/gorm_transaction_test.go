package integration_test

import (
	"database/sql"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

var gormTransactionScenarios = []gormScenario{
	{name: "transactions: commit and roll back", run: func(g *gormRun) {
		g.migrate(&Product{})
		require.NoError(g, g.db.Transaction(func(tx *gorm.DB) error {
			p := Product{Code: "a"}
			if err := tx.Create(&p).Error; err != nil {
				return err
			}
			return tx.Model(&p).Update("price", 2).Error
		}))
		require.ErrorIs(g, g.db.Transaction(func(tx *gorm.DB) error {
			g.must(tx.Create(&Product{Code: "b"}))
			var n int64
			g.must(tx.Model(&Product{}).Count(&n))
			assert.EqualValues(g, 2, n, "it sees its own writes")
			return errHook
		}), errHook)
		assert.EqualValues(g, 1, g.count(&Product{}))
	}},
	{name: "transactions: by hand", run: func(g *gormRun) {
		g.migrate(&Product{})
		tx := g.must(g.db.Begin())
		g.must(tx.Create(&Product{Code: "a"}))
		g.must(tx.Commit())
		tx = g.must(g.db.Begin(&sql.TxOptions{}))
		g.must(tx.Create(&Product{Code: "b"}))
		g.must(tx.Rollback())
		require.Error(g, tx.Commit().Error)
		assert.EqualValues(g, 1, g.count(&Product{}))
	}},
	{name: "transactions: panic rolls back", run: func(g *gormRun) {
		g.migrate(&Product{})
		assert.PanicsWithValue(g, "oops", func() {
			_ = g.db.Transaction(func(tx *gorm.DB) error {
				g.must(tx.Create(&Product{Code: "a"}))
				panic("oops")
			})
		})
		assert.Zero(g, g.count(&Product{}))
	}},
	{name: "transactions: nested", run: func(g *gormRun) {
		g.migrate(&Product{})
		require.NoError(g, g.db.Transaction(func(tx *gorm.DB) error {
			g.must(tx.Create(&Product{Code: "outer"}))
			require.ErrorIs(g, tx.Transaction(func(inner *gorm.DB) error {
				g.must(inner.Create(&Product{Code: "lost"}))
				return errHook
			}), errHook)
			require.NoError(g, tx.Transaction(func(inner *gorm.DB) error {
				g.must(inner.Create(&Product{Code: "inner"}))
				return inner.Transaction(func(deep *gorm.DB) error { return deep.Create(&Product{Code: "deep"}).Error })
			}))
			return nil
		}))
		var codes []string
		g.must(g.db.Model(&Product{}).Order("id").Pluck("code", &codes))
		assert.Equal(g, []string{"outer", "inner", "deep"}, codes)
	}},
	{name: "transactions: savepoints", run: func(g *gormRun) {
		g.migrate(&Product{})
		tx := g.must(g.db.Begin())
		g.must(tx.Create(&Product{Code: "a"}))
		g.must(tx.SavePoint("sp1"))
		g.must(tx.Create(&Product{Code: "b"}))
		g.must(tx.SavePoint("sp2"))
		g.must(tx.Create(&Product{Code: "c"}))
		g.must(tx.RollbackTo("sp1"))
		g.must(tx.Create(&Product{Code: "b"}))
		g.must(tx.Commit())
		var codes []string
		g.must(g.db.Model(&Product{}).Order("id").Pluck("code", &codes))
		assert.Equal(g, []string{"a", "b"}, codes)
	}},
	{name: "transactions: go on after a failure", run: func(g *gormRun) {
		g.migrate(&Product{})
		require.NoError(g, g.db.Transaction(func(tx *gorm.DB) error {
			g.must(tx.Create(&Product{Code: "a"}))
			require.ErrorIs(g, tx.Create(&Product{Code: "a"}).Error, gorm.ErrDuplicatedKey)
			return tx.Create(&Product{Code: "b"}).Error
		}))
		assert.EqualValues(g, 2, g.count(&Product{}))
	}},
	{name: "transactions: skipped defaults", run: func(g *gormRun) {
		g.migrate(&Product{}, &Hooked{})
		db := g.db.Session(&gorm.Session{SkipDefaultTransaction: true})
		g.must(db.Create(&Product{Code: "a"}))
		require.ErrorIs(g, db.Create(&Hooked{Name: "late"}).Error, errHook)
		assert.EqualValues(g, 1, g.count(&Hooked{}), "nothing takes it back")
	}},
	{name: "transactions: many writers", run: func(g *gormRun) {
		g.migrate(&Product{})
		g.must(g.db.Create(&Product{Code: "a", Stock: 1}))
		pool, err := g.db.DB()
		require.NoError(g, err)
		pool.SetMaxOpenConns(1) // what SQLite needs so that readers do not become writers
		var group sync.WaitGroup
		errs := make(chan error, 8)
		for range 8 {
			group.Go(func() {
				errs <- g.db.Transaction(func(tx *gorm.DB) error {
					var p Product
					if err := tx.First(&p).Error; err != nil {
						return err
					}
					return tx.Model(&p).Update("stock", p.Stock+1).Error
				})
			})
		}
		group.Wait()
		for range 8 {
			require.NoError(g, <-errs)
		}
		var p Product
		g.must(g.db.First(&p))
		assert.Equal(g, 9, p.Stock)
	}},
	{name: "transactions: migration within", run: func(g *gormRun) {
		require.ErrorIs(g, g.db.Transaction(func(tx *gorm.DB) error {
			require.NoError(g, tx.AutoMigrate(&City{}))
			g.must(tx.Create(&City{Name: "Ghent"}))
			return errHook
		}), errHook)
		assert.False(g, g.db.Migrator().HasTable(&City{}))
	}},
}
