//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// ware, purchase and item are the tables of a shop.
type ware struct {
	ID   uint
	Name string
	Left int
}

type purchase struct {
	ID       uint
	Customer int
	State    string
	Items    []item
}

type item struct {
	ID         uint
	PurchaseID uint
	WareID     uint
	Amount     int
}

const (
	shopWares     = 3
	shopCustomers = 32
	shopLeft      = 1_000_000
)

// openShop opens a database by GORM and makes the tables.
func openShop(t *testing.T, driverName, dsn string) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(&sqlite.Dialector{DriverName: driverName, DSN: dsn}, &gorm.Config{Logger: logger.Discard})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	require.NoError(t, db.AutoMigrate(&ware{}, &purchase{}, &item{}))
	for i := range shopWares {
		require.NoError(t, db.Create(&ware{Name: fmt.Sprint("ware ", i+1), Left: shopLeft}).Error)
	}
	return db
}

// shop is what one customer does, as programs do it that were written for a
// SQLite file: nothing is retried.
func shop(db *gorm.DB, customer, round int) error {
	bought := purchase{Customer: customer, State: "new", Items: []item{{WareID: 1, Amount: 1}, {WareID: 2, Amount: 2}}}
	if err := db.Create(&bought).Error; err != nil {
		return fmt.Errorf("create: %w", err)
	}
	bought.State = "paid"
	if err := db.Save(&bought).Error; err != nil {
		return fmt.Errorf("save: %w", err)
	}
	err := db.Transaction(func(tx *gorm.DB) error {
		id := uint(round%shopWares + 1)
		if err := tx.Model(&ware{ID: id}).Update("left", gorm.Expr(`"left" - 1`)).Error; err != nil {
			return err
		}
		var left ware
		if err := tx.First(&left, id).Error; err != nil {
			return err
		}
		if err := tx.Create(&item{PurchaseID: bought.ID, WareID: id, Amount: shopLeft - left.Left}).Error; err != nil {
			return err
		}
		return tx.Model(&bought).Update("state", "sent").Error
	})
	if err != nil {
		return fmt.Errorf("transaction: %w", err)
	}
	return nil
}

// shopping has all customers shop at once, and returns how long that took.
func shopping(t *testing.T, db *gorm.DB, rounds int) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	begun := time.Now()
	var customers sync.WaitGroup
	for customer := range shopCustomers {
		customers.Go(func() {
			for round := range rounds {
				assert.NoError(t, shop(db.WithContext(ctx), customer, round))
			}
		})
	}
	customers.Wait()
	took := time.Since(begun)

	var sold, sent, items, distinct int64
	require.NoError(t, db.Raw(`SELECT sum(? - "left") FROM wares`, shopLeft).Scan(&sold).Error)
	require.NoError(t, db.Raw("SELECT count(*) FROM purchases WHERE state = 'sent'").Scan(&sent).Error)
	require.NoError(t, db.Raw("SELECT count(*) FROM items JOIN purchases ON purchases.id = purchase_id").Scan(&items).Error)
	// Each third item carries how many were sold before, which each has seen as another number.
	require.NoError(t, db.Raw("SELECT count(DISTINCT ware_id || ' ' || amount) FROM items WHERE id NOT IN (SELECT min(id) FROM items GROUP BY purchase_id)"+
		" AND id NOT IN (SELECT min(id) + 1 FROM items GROUP BY purchase_id)").Scan(&distinct).Error)
	all := int64(shopCustomers * rounds)
	assert.Equal(t, all, sold)
	assert.Equal(t, all, sent)
	assert.Equal(t, 3*all, items)
	assert.Equal(t, all, distinct)
	return took
}

// TestWaitsLikeSQLite runs a program that knows nothing of conflicts by this driver
// and on a SQLite file. On both its writers wait for each other.
func TestWaitsLikeSQLite(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		rounds := either(2, 20)
		file := filepath.Join(t.TempDir(), "shop.db")
		lite := shopping(t, openShop(t, "sqlite3", "file:"+file+"?_busy_timeout=30000&_txlock=immediate&_journal_mode=WAL"), rounds)
		f := startFleet(t, fleetOptions{})
		ours := shopping(t, openShop(t, "rqlite", withSettings(f.dsn(), "timeout=60s")), rounds)
		report(t, "%d × %d × 3 transactions: %v on a file, %v here", shopCustomers, rounds, lite.Round(time.Millisecond), ours.Round(time.Millisecond))
		f.requireSame(t)
	})
}

// TestWaitsForReaders has transactions of one process that read first and write
// then. With txlock=immediate they wait for each other, and never conflict.
func TestWaitsForReaders(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		db := openDSN(t, withSettings(f.dsn(), "txlock=immediate", "timeout=60s"))
		mustExec(t, db, "CREATE TABLE counter (n INTEGER)")
		mustExec(t, db, "INSERT INTO counter VALUES (0)")
		adders, rounds := 16, either(4, 40)
		count := func(dsn string) (n int, o *outcomes) {
			db := openDSN(t, dsn)
			mustExec(t, db, "UPDATE counter SET n = 0")
			o = &outcomes{}
			var busy sync.WaitGroup
			for range adders {
				busy.Go(func() {
					for range rounds {
						o.enter(once(t.Context(), db, nil, func(tx *sql.Tx) error { return addOne(t.Context(), tx) }), 1)
					}
				})
			}
			busy.Wait()
			scan(t, db, "SELECT n FROM counter", nil, &n)
			return n, o
		}
		n, o := count(withSettings(f.dsn(), "txlock=immediate", "timeout=60s"))
		report(t, "immediate: %v", o)
		o.faultless(t)
		assert.Equal(t, adders*rounds, n)

		// SQLite's BEGIN DEFERRED has such transactions fail, and so does this driver.
		n, o = count(f.dsn())
		report(t, "deferred: %v", o)
		committed, _ := o.counts()
		assert.Equal(t, committed, n)
		assert.Positive(t, o.conflicts, "there is no conflict that the turn could avoid: the test cannot fail")
		f.requireSame(t)
	})
}
