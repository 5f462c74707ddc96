package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
)

// The models of the bun scenarios.
type (
	bunAuthor struct {
		bun.BaseModel `bun:"table:bun_authors,alias:a"`

		ID      int64          `bun:"id,pk,autoincrement"`
		Name    string         `bun:"name,notnull,unique"`
		Email   *string        `bun:"email,nullzero"`
		Rating  float64        `bun:"rating,notnull,default:0"`
		Active  bool           `bun:"active"`
		Picture []byte         `bun:"picture"`
		Born    time.Time      `bun:"born,nullzero"`
		Meta    map[string]any `bun:"meta,type:json"`
		Deleted time.Time      `bun:"deleted_at,soft_delete,nullzero"`
		Books   []*bunBook     `bun:"rel:has-many,join:id=author_id"`
	}

	bunBook struct {
		bun.BaseModel `bun:"table:bun_books,alias:b"`

		ID       int64      `bun:"id,pk,autoincrement"`
		Title    string     `bun:"title,notnull"`
		AuthorID int64      `bun:"author_id,notnull"`
		Author   *bunAuthor `bun:"rel:belongs-to,join:author_id=id"`
		Tags     []bunTag   `bun:"m2m:bun_book_tags,join:Book=Tag"`
	}

	bunTag struct {
		bun.BaseModel `bun:"table:bun_tags,alias:t"`

		Name string `bun:"name,pk"`
	}

	bunBookTag struct {
		bun.BaseModel `bun:"table:bun_book_tags"`

		BookID  int64    `bun:"book_id,pk"`
		Book    *bunBook `bun:"rel:belongs-to,join:book_id=id"`
		TagName string   `bun:"tag_name,pk"`
		Tag     *bunTag  `bun:"rel:belongs-to,join:tag_name=name"`
	}
)

var bunScenarios = []scenario{
	{"schema", nil, bunSchema},
	{"insert", bunSetup, bunInsert},
	{"select", bunFill, bunSelect},
	{"relations", bunFill, bunRelations},
	{"update", bunFill, bunUpdate},
	{"delete", bunFill, bunDelete},
	{"transactions", bunFill, bunTransactions},
}

func openBun(r *recorder) *bun.DB {
	db := bun.NewDB(r.db, sqlitedialect.New())
	db.RegisterModel((*bunBookTag)(nil))
	return db
}

func bunSetup(r *recorder) {
	ctx, db := context.Background(), openBun(r)
	must1(db.NewCreateTable().Model((*bunAuthor)(nil)).IfNotExists().Exec(ctx))
	must1(db.NewCreateTable().Model((*bunBook)(nil)).ForeignKey("(author_id) REFERENCES bun_authors (id) ON DELETE CASCADE").Exec(ctx))
	must1(db.NewCreateTable().Model((*bunTag)(nil)).Exec(ctx))
	must1(db.NewCreateTable().Model((*bunBookTag)(nil)).WithForeignKeys().Exec(ctx))
	must1(db.NewCreateIndex().Model((*bunBook)(nil)).Index("bun_books_title").Column("title").Exec(ctx))
}

func bunSchema(r *recorder) {
	bunSetup(r)
	ctx, db := context.Background(), openBun(r)
	must1(db.NewCreateIndex().Model((*bunAuthor)(nil)).Unique().Index("bun_part").Column("email").Where("active").IfNotExists().Exec(ctx))
	must1(db.NewDropIndex().Model((*bunAuthor)(nil)).Index("bun_part").Exec(ctx))
	must1(db.NewAddColumn().Model((*bunBook)(nil)).ColumnExpr("pages INTEGER NOT NULL DEFAULT 10").Exec(ctx))
	must1(db.NewDropColumn().Model((*bunBook)(nil)).Column("pages").Exec(ctx))
	must1(db.NewTruncateTable().Model((*bunBook)(nil)).Exec(ctx))
	must1(db.NewDropTable().Model((*bunBookTag)(nil)).IfExists().Exec(ctx))
}

func bunFill(r *recorder) {
	bunSetup(r)
	bunInsert(r)
}

func bunInsert(r *recorder) {
	ctx, db := context.Background(), openBun(r)
	mail := "ann@example.com"
	authors := []*bunAuthor{
		{
			Name: "Ann x'41' \"q\"", Email: &mail, Rating: 1.5, Active: true, Picture: []byte{0xff, 0},
			Born: time.Date(1970, 2, 3, 4, 5, 6, 7000, time.UTC), Meta: map[string]any{"k": []int{1, 2}},
		},
		{Name: "Bob"},
		{Name: "Cid", Rating: -2, Picture: []byte{}},
	}
	must1(db.NewInsert().Model(&authors).Exec(ctx))
	must1(db.NewInsert().Model(&bunAuthor{Name: "Dan"}).Exec(ctx))
	must1(db.NewInsert().Model(&bunAuthor{Name: "Eve"}).Column("name", "active").Returning("id, rating").Exec(ctx))
	must1(db.NewInsert().Model(&bunAuthor{Name: "Fay"}).ExcludeColumn("meta").Returning("NULL").Exec(ctx))
	must1(db.NewInsert().Model(&bunAuthor{Name: "Bob"}).Ignore().Exec(ctx))
	must1(db.NewInsert().Model(&bunAuthor{Name: "Bob", Rating: 3}).On("CONFLICT (name) DO UPDATE").Set("rating = EXCLUDED.rating").Returning("*").Exec(ctx))
	must1(db.NewInsert().Model(&bunAuthor{Name: "Bob"}).On("CONFLICT (name) DO NOTHING").Exec(ctx))
	must1(db.NewInsert().Model(&bunAuthor{ID: 3, Name: "Cid 2"}).Replace().Exec(ctx))
	must1(db.NewInsert().Model(&map[string]any{"name": "Map", "rating": 4.5}).TableExpr("bun_authors").Exec(ctx))
	must1(db.NewInsert().Model(&[]bunTag{{Name: "new"}, {Name: "old"}}).Exec(ctx))
	must1(db.NewInsert().Model(&[]bunBook{{Title: "One", AuthorID: 1}, {Title: "Two", AuthorID: 1}, {Title: "Three", AuthorID: 2}}).Exec(ctx))
	must1(db.NewInsert().Model(&[]bunBookTag{{BookID: 1, TagName: "new"}, {BookID: 1, TagName: "old"}, {BookID: 3, TagName: "old"}}).Exec(ctx))
	_, err := db.NewInsert().Model(&bunAuthor{Name: "Bob"}).Exec(ctx)
	mustFail(err)
	_, err = db.NewInsert().Model(&bunBook{Title: "X", AuthorID: 1000}).Exec(ctx)
	mustFail(err)
}

func bunSelect(r *recorder) {
	ctx, db := context.Background(), openBun(r)
	var all []bunAuthor
	for _, q := range []*bun.SelectQuery{
		db.NewSelect().Model(&all).OrderExpr("id"),
		db.NewSelect().Model(&all).Column("id", "name").Where("? > ?", bun.Ident("rating"), 0.5).Where("active = ?", true).Order("name ASC"),
		db.NewSelect().Model(&all).Where("name IN (?)", bun.List([]string{"Bob", "Dan"})).Order("id DESC").Limit(1).Offset(1),
		db.NewSelect().Model(&all).WhereOr("id = ?", 1).WhereOr("email IS NULL").Order("id"),
		db.NewSelect().Model(&all).WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("id < 3").WhereOr("id > 4") }).Order("id"),
		db.NewSelect().Model(&all).Where("id IN (?)", db.NewSelect().Model((*bunBook)(nil)).Column("author_id").Where("title <> ?", "Three")),
		db.NewSelect().Model(&all).WhereAllWithDeleted().Order("id"),
		db.NewSelect().Model(&all).WhereDeleted(),
		db.NewSelect().Model(&all).Distinct().Column("active").Order("active"),
		db.NewSelect().Model(&all).ColumnExpr("a.active, count(*) AS id").Group("active").Having("count(*) > ?", 0).Order("active"),
		db.NewSelect().With("good", db.NewSelect().Model((*bunAuthor)(nil)).Where("rating > 0")).Model(&all).ModelTableExpr("good AS a").Order("id"),
		db.NewSelect().Model(&all).Where("picture = ?", []byte{0xff, 0}),
		db.NewSelect().Model(&all).Where("born < ?", clock).Order("id"),
		db.NewSelect().Model(&all).Where("meta ->> '$.k[1]' = ?", 2),
		db.NewSelect().Model(&all).ColumnExpr("a.*").Join("JOIN bun_books AS b").JoinOn("b.author_id = a.id").JoinOn("b.title <> ?", "Two").Order("a.id", "b.id"),
	} {
		must(q.Scan(ctx))
	}
	must(db.NewSelect().Model(&bunAuthor{ID: 1}).WherePK().Scan(ctx))
	must1(db.NewSelect().Model((*bunAuthor)(nil)).Count(ctx))
	must1(db.NewSelect().Model((*bunAuthor)(nil)).Where("name = ?", "Bob").Exists(ctx))
	union := db.NewSelect().Model((*bunAuthor)(nil)).Column("name").UnionAll(db.NewSelect().Model((*bunTag)(nil)).Column("name"))
	var names []string
	must(db.NewSelect().TableExpr("(?) AS u", union).Column("name").Order("name").Scan(ctx, &names))
	var rows []map[string]any
	must(db.NewSelect().TableExpr("bun_authors").ColumnExpr("name, rank() OVER (ORDER BY rating DESC) AS place").OrderExpr("place, name").Scan(ctx, &rows))
	must(db.NewRaw("SELECT ?0 AS x, ?0 || ?1 AS y", "a", "b").Scan(ctx, &rows))
	mustFail(db.NewSelect().Model(&bunAuthor{}).Where("id = ?", 1000).Scan(ctx))
	mustFail(db.NewSelect().TableExpr("nowhere").ColumnExpr("*").Scan(ctx, &rows))
}

func bunRelations(r *recorder) {
	ctx, db := context.Background(), openBun(r)
	var authors []bunAuthor
	must(db.NewSelect().Model(&authors).Relation("Books").Relation("Books.Tags").Order("a.id").Scan(ctx))
	must(db.NewSelect().Model(&authors).Relation("Books", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("title LIKE ?", "T%").Order("id") }).Order("a.id").Scan(ctx))
	var books []bunBook
	must(db.NewSelect().Model(&books).Relation("Author").Where("author.active").Order("b.id").Scan(ctx))
}

func bunUpdate(r *recorder) {
	ctx, db := context.Background(), openBun(r)
	must1(db.NewUpdate().Model(&bunAuthor{ID: 2, Name: "Rob", Rating: 2}).WherePK().Exec(ctx))
	must1(db.NewUpdate().Model(&bunAuthor{ID: 2, Rating: 3}).Column("rating").WherePK().Returning("name, rating").Exec(ctx))
	must1(db.NewUpdate().Model(&bunAuthor{ID: 1, Name: "Anne"}).OmitZero().WherePK().Exec(ctx))
	must1(db.NewUpdate().Model((*bunAuthor)(nil)).Set("rating = rating + ?", 1).Set("active = NOT active").Where("id < ?", 3).Exec(ctx))
	must1(db.NewUpdate().Model((*bunAuthor)(nil)).Set("rating = 0").Where("TRUE").Exec(ctx))
	must1(db.NewUpdate().Model(&map[string]any{"title": "Mapped"}).TableExpr("bun_books").Where("id = ?", 2).Exec(ctx))
	values := db.NewValues(&[]bunBook{{ID: 1, Title: "New one"}, {ID: 2, Title: "New two"}}).Column("id", "title")
	must1(db.NewUpdate().With("_data", values).Model((*bunBook)(nil)).TableExpr("_data").Set("title = _data.title").Where("b.id = _data.id").Exec(ctx))
	must1(db.NewUpdate().Model(&[]bunBook{{ID: 1, Title: "B1", AuthorID: 1}, {ID: 3, Title: "B3", AuthorID: 1}}).Column("title").Bulk().Exec(ctx))
	var names []string
	must1(db.NewUpdate().Model((*bunAuthor)(nil)).Set("rating = 9").Where("id <= 2").Returning("name").Exec(ctx, &names))
	_, err := db.NewUpdate().Model((*bunAuthor)(nil)).Set("name = NULL").Where("id = 1").Exec(ctx)
	mustFail(err)
}

func bunDelete(r *recorder) {
	ctx, db := context.Background(), openBun(r)
	must1(db.NewDelete().Model(&bunAuthor{ID: 2}).WherePK().Exec(ctx)) // soft
	_, err := db.NewDelete().Model(&bunAuthor{ID: 2}).WherePK().ForceDelete().Exec(ctx)
	mustFail(err) // a foreign key
	must1(db.NewDelete().Model((*bunBookTag)(nil)).Where("book_id = 3").Exec(ctx))
	must1(db.NewDelete().Model(&bunAuthor{ID: 2}).WherePK().ForceDelete().Exec(ctx))
	must1(db.NewDelete().Model(&[]bunTag{{Name: "none"}, {Name: "nothing"}}).WherePK().Exec(ctx))
	must1(db.NewDelete().Model((*bunBookTag)(nil)).Where("book_id = ?", 1).Returning("tag_name").Exec(ctx, &[]string{}))
	must1(db.NewDelete().With("last", db.NewSelect().Model((*bunBook)(nil)).ColumnExpr("max(id) AS id")).Model((*bunBook)(nil)).Where("id = (SELECT id FROM last)").Exec(ctx))
	must1(db.NewDelete().Model((*bunBook)(nil)).Where("TRUE").Exec(ctx))
}

func bunTransactions(r *recorder) {
	ctx, db := context.Background(), openBun(r)
	stop := errors.New("stop")
	must(db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		must1(tx.NewInsert().Model(&bunTag{Name: "outer"}).Exec(ctx))
		mustFail(tx.RunInTx(ctx, nil, func(ctx context.Context, inner bun.Tx) error {
			must1(inner.NewInsert().Model(&bunTag{Name: "inner"}).Exec(ctx))
			return stop
		}))
		must1(tx.NewSelect().Model((*bunTag)(nil)).Count(ctx))
		return tx.RunInTx(ctx, nil, func(ctx context.Context, inner bun.Tx) error {
			_, err := inner.NewInsert().Model(&bunTag{Name: "kept"}).Exec(ctx)
			return err
		})
	}))
	mustFail(db.RunInTx(ctx, &sql.TxOptions{}, func(ctx context.Context, tx bun.Tx) error {
		must1(tx.NewDelete().Model((*bunBookTag)(nil)).Where("TRUE").Exec(ctx))
		return stop
	}))
	tx := must1(db.BeginTx(ctx, nil))
	_, err := tx.NewInsert().Model(&bunTag{Name: "kept"}).Exec(ctx)
	mustFail(err)
	must1(tx.ExecContext(ctx, "UPDATE bun_tags SET name = ? WHERE name = ?", "renamed", "kept"))
	must(tx.Commit())
}
