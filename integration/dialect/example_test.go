package dialect_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/gormrqlite"
	"github.com/go-rqlite/rqlite/rqlitetest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// Account is a model.
type Account struct {
	ID      uint
	Owner   string `gorm:"uniqueIndex"`
	Balance int64  `gorm:"check:balance >= 0"`
}

func Example() {
	server, err := rqlitetest.Start(rqlitetest.Config{}) // or rqlite://localhost:4001
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	db, err := gorm.Open(gormrqlite.Open(server.DSN()), &gorm.Config{TranslateError: true, Logger: logger.Discard})
	if err != nil {
		log.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()

	if err := db.AutoMigrate(&Account{}); err != nil {
		log.Fatal(err)
	}
	db.Create(&[]Account{{Owner: "Ann", Balance: 50}, {Owner: "Bob"}})
	err = db.Create(&Account{Owner: "Ann"}).Error
	fmt.Println(errors.Is(err, gorm.ErrDuplicatedKey), errors.Is(err, rqlite.ConstraintUnique))

	db.Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "owner"}},
		DoUpdates: clause.Assignments(map[string]any{"balance": gorm.Expr("accounts.balance + excluded.balance")}),
	}).Create(&Account{Owner: "Bob", Balance: 5})

	err = db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Model(&Account{}).Where("owner = ?", "Bob").Update("balance", gorm.Expr("balance + ?", 80)).Error; err != nil {
			return err
		}
		return tx.Model(&Account{}).Where("owner = ?", "Ann").Update("balance", gorm.Expr("balance - ?", 80)).Error
	})
	fmt.Println(errors.Is(err, gorm.ErrCheckConstraintViolated))

	var accounts []Account
	ctx := rqlite.WithConsistency(context.Background(), rqlite.Linearizable)
	db.WithContext(ctx).Order("owner").Find(&accounts)
	for _, a := range accounts {
		fmt.Println(a.Owner, a.Balance)
	}
	// Output:
	// true true
	// true
	// Ann 50
	// Bob 5
}
