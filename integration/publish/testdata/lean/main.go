// Command lean uses the driver by database/sql and by GORM on the server of a DSN.
package main

import (
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/cdc"
	"github.com/go-rqlite/rqlite/gormrqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var _ http.Handler = cdc.NewHandler(nil, nil)

type account struct {
	ID    uint
	Owner string `gorm:"uniqueIndex"`
}

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(dsn string) error {
	db, err := gorm.Open(gormrqlite.Open(dsn), &gorm.Config{TranslateError: true, Logger: logger.Discard})
	if err != nil {
		return err
	}
	if err := db.AutoMigrate(&account{}); err != nil {
		return err
	}
	if err := db.Create(&account{Owner: "Ann"}).Error; err != nil {
		return err
	}
	if err := db.Create(&account{Owner: "Ann"}).Error; !errors.Is(err, gorm.ErrDuplicatedKey) {
		return fmt.Errorf("there are two of them: %w", err)
	}
	plain, err := sql.Open("rqlite", dsn)
	if err != nil {
		return err
	}
	defer plain.Close()
	var owner string
	if err := plain.QueryRow("SELECT owner FROM accounts").Scan(&owner); err != nil {
		return err
	}
	_, err = plain.Exec("INSERT INTO accounts (owner) VALUES (?)", owner)
	fmt.Println(owner, errors.Is(err, rqlite.ConstraintUnique))
	return nil
}
