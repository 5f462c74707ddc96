// Command gorm keeps bands and their albums by GORM.
//
//	go run ./gorm                            # on an embedded server
//	go run ./gorm rqlite://localhost:4001    # on a cluster
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/go-rqlite/rqlite/gormrqlite"
	"github.com/go-rqlite/rqlite/rqlitetest"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Band has albums.
type Band struct {
	ID     uint
	Name   string `gorm:"uniqueIndex"`
	Albums []Album
}

// Album belongs to a band.
type Album struct {
	ID     uint
	BandID uint
	Title  string
	Year   int `gorm:"check:year > 1900"`
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

// run does the whole of it, on the cluster of the DSN in args or, without
// one, on an embedded server.
func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) > 0 {
		return demonstrate(ctx, out, args[0])
	}
	server, err := rqlitetest.Start(rqlitetest.Config{})
	if err != nil {
		return err
	}
	defer server.Close()
	return demonstrate(ctx, out, server.DSN())
}

func demonstrate(ctx context.Context, out io.Writer, dsn string) error {
	db, err := gorm.Open(gormrqlite.Open(dsn), &gorm.Config{TranslateError: true, Logger: logger.Discard})
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	defer pool.Close()
	db = db.WithContext(ctx)

	// It starts anew each time.
	if err := db.Migrator().DropTable(&Band{}, &Album{}); err != nil {
		return err
	}
	if err := db.AutoMigrate(&Band{}, &Album{}); err != nil {
		return err
	}
	can := Band{Name: "Can", Albums: []Album{{Title: "Tago Mago", Year: 1971}, {Title: "Ege Bamyasi", Year: 1972}}}
	if err := db.Create(&can).Error; err != nil { // a transaction: three rows in two tables
		return err
	}
	if err := db.Create(&Band{Name: "Can"}).Error; !errors.Is(err, gorm.ErrDuplicatedKey) {
		return fmt.Errorf("there are two of them: %w", err)
	}
	err = db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Model(&can).Association("Albums").Append(&Album{Title: "Future Days", Year: 1973}); err != nil {
			return err
		}
		return tx.Create(&Album{BandID: can.ID, Title: "Lost", Year: 0}).Error
	})
	if !errors.Is(err, gorm.ErrCheckConstraintViolated) {
		return fmt.Errorf("it was not refused: %w", err)
	}

	var bands []Band
	if err := db.Preload("Albums").Find(&bands).Error; err != nil {
		return err
	}
	for _, band := range bands {
		for _, album := range band.Albums {
			fmt.Fprintln(out, band.Name, album.Year, album.Title)
		}
	}
	return nil
}
