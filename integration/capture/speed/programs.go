package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/jmoiron/sqlx"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/go-rqlite/rqlite/gormrqlite"
	"github.com/go-rqlite/rqlite/integration/capture/internal/ent"
	"github.com/go-rqlite/rqlite/integration/capture/internal/store"
)

// program writes rows in one transaction, as programs on a library do.
type program struct {
	name  string
	table string // it is emptied before each turn
	// open makes the table where it is not there yet, and returns what writes n rows.
	open func(ctx context.Context, p place) (func(ctx context.Context, n int) error, error)
}

// place is a database, and what it is.
type place struct {
	db     *sql.DB
	rqlite bool // else it is SQLite
}

var programs = []program{
	{"gorm, gormrqlite: Create", "gorm_rows", openGORM(gormOwn, gormCreate)},
	{"gorm, gormrqlite: CreateInBatches", "gorm_rows", openGORM(gormOwn, gormInBatches)},
	{"gorm, sqlite: Create", "gorm_rows", openGORM(gormStock, gormCreate)},
	{"gorm, sqlite: CreateInBatches", "gorm_rows", openGORM(gormStock, gormInBatches)},
	{"sqlx: NamedExec", "sqlx_rows", openSQLX},
	{"sqlc: execlastid", "authors", openSQLC(sqlcLastID)},
	{"sqlc: RETURNING all columns", "authors", openSQLC(sqlcReturning)},
	{"ent: Create", "users", openEnt(entCreate)},
	{"ent: CreateBulk", "users", openEnt(entBulk)},
	{"bun: NewInsert", "bun_rows", openBun},
}

type (
	gormRow struct {
		ID        uint
		Name      string
		N         int
		CreatedAt time.Time
	}

	sqlxRow struct {
		Name string `db:"name"`
		N    int    `db:"n"`
	}

	bunRow struct {
		bun.BaseModel `bun:"table:bun_rows"`

		ID   int64  `bun:"id,pk,autoincrement"`
		Name string `bun:"name"`
		N    int    `bun:"n"`
	}
)

// gormOwn is the dialect of this repository where it belongs, and gormStock that of GORM.
func gormOwn(p place) gorm.Dialector {
	if p.rqlite {
		return gormrqlite.New(p.db)
	}
	return gormStock(p)
}

func gormStock(p place) gorm.Dialector { return sqlite.New(sqlite.Config{Conn: p.db}) }

func openGORM(dialector func(place) gorm.Dialector, write func(tx *gorm.DB, rows []*gormRow) error) func(context.Context, place) (func(context.Context, int) error, error) {
	return func(ctx context.Context, p place) (func(context.Context, int) error, error) {
		db, err := gorm.Open(dialector(p), &gorm.Config{Logger: logger.Discard})
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, n int) error {
			rows := make([]*gormRow, n)
			for i := range rows {
				rows[i] = &gormRow{Name: name(i), N: i}
			}
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return write(tx, rows) })
		}, db.WithContext(ctx).AutoMigrate(&gormRow{})
	}
}

func gormCreate(tx *gorm.DB, rows []*gormRow) error {
	for _, row := range rows {
		if err := tx.Create(row).Error; err != nil {
			return err
		}
	}
	return nil
}

func gormInBatches(tx *gorm.DB, rows []*gormRow) error { return tx.CreateInBatches(rows, 100).Error }

func openSQLX(ctx context.Context, p place) (func(context.Context, int) error, error) {
	db := sqlx.NewDb(p.db, "sqlite3")
	_, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS sqlx_rows (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)")
	return func(ctx context.Context, n int) error {
		tx, err := db.BeginTxx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // behind Commit it does nothing
		for i := range n {
			if _, err := tx.NamedExecContext(ctx, "INSERT INTO sqlx_rows (name, n) VALUES (:name, :n)", sqlxRow{name(i), i}); err != nil {
				return err
			}
		}
		return tx.Commit()
	}, err
}

// sqlcTable is the table of internal/store/schema.sql. Two programs write to it.
const sqlcTable = `CREATE TABLE IF NOT EXISTS authors (
	id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, bio TEXT, born DATE,
	rating REAL NOT NULL DEFAULT 0, active BOOLEAN NOT NULL DEFAULT TRUE, photo BLOB)`

func openSQLC(write func(ctx context.Context, q *store.Queries, i int) error) func(context.Context, place) (func(context.Context, int) error, error) {
	return func(ctx context.Context, p place) (func(context.Context, int) error, error) {
		_, err := p.db.ExecContext(ctx, sqlcTable)
		return func(ctx context.Context, n int) error {
			tx, err := p.db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			q := store.New(tx)
			for i := range n {
				if err := write(ctx, q, i); err != nil {
					return err
				}
			}
			return tx.Commit()
		}, err
	}
}

func sqlcLastID(ctx context.Context, q *store.Queries, i int) error {
	_, err := q.AddAuthor(ctx, name(i))
	return err
}

func sqlcReturning(ctx context.Context, q *store.Queries, i int) error {
	_, err := q.CreateAuthor(ctx, store.CreateAuthorParams{Name: name(i), Rating: 1.5, Active: true})
	return err
}

func openEnt(write func(ctx context.Context, tx *ent.Tx, n int) error) func(context.Context, place) (func(context.Context, int) error, error) {
	return func(ctx context.Context, p place) (func(context.Context, int) error, error) {
		client := ent.NewClient(ent.Driver(entsql.OpenDB(dialect.SQLite, p.db)))
		return func(ctx context.Context, n int) error {
			tx, err := client.Tx(ctx)
			if err != nil {
				return err
			}
			if err := write(ctx, tx, n); err != nil {
				return errors.Join(err, tx.Rollback())
			}
			return tx.Commit()
		}, client.Schema.Create(ctx)
	}
}

func entCreate(ctx context.Context, tx *ent.Tx, n int) error {
	for i := range n {
		if _, err := tx.User.Create().SetName(name(i)).SetAge(i + 1).Save(ctx); err != nil {
			return err
		}
	}
	return nil
}

func entBulk(ctx context.Context, tx *ent.Tx, n int) error {
	users := make([]*ent.UserCreate, n)
	for i := range users {
		users[i] = tx.User.Create().SetName(name(i)).SetAge(i + 1)
	}
	_, err := tx.User.CreateBulk(users...).Save(ctx)
	return err
}

func openBun(ctx context.Context, p place) (func(context.Context, int) error, error) {
	db := bun.NewDB(p.db, sqlitedialect.New())
	_, err := db.NewCreateTable().Model((*bunRow)(nil)).IfNotExists().Exec(ctx)
	return func(ctx context.Context, n int) error {
		return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			for i := range n {
				if _, err := tx.NewInsert().Model(&bunRow{Name: name(i), N: i}).Exec(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}, err
}

// name is that of the i-th row.
func name(i int) string { return fmt.Sprintf("user%d@example.com", i) }
