package gormrqlite_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/go-rqlite/rqlite/gormrqlite"
	"gorm.io/gorm"
)

// Account is a model.
type Account struct {
	ID      uint
	Owner   string `gorm:"uniqueIndex"`
	Balance int64  `gorm:"check:balance >= 0"`
}

// TranslateError turns errors of the driver into those of GORM.
func Example() {
	db, err := gorm.Open(gormrqlite.Open("rqlite://localhost:4001"), &gorm.Config{TranslateError: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := db.AutoMigrate(&Account{}); err != nil {
		log.Fatal(err)
	}
	err = db.Transaction(func(tx *gorm.DB) error {
		return tx.Create(&[]Account{{Owner: "Ann", Balance: 50}, {Owner: "Bob"}}).Error
	})
	if errors.Is(err, gorm.ErrDuplicatedKey) {
		fmt.Println("one of them has an account")
	}
}
