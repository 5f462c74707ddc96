package main

import (
	"time"

	sq "github.com/Masterminds/squirrel"
)

var squirrelScenarios = []scenario{
	{"insert", squirrelSetup, squirrelInsert},
	{"select", squirrelFill, squirrelSelect},
	{"update", squirrelFill, squirrelUpdate},
	{"delete", squirrelFill, squirrelDelete},
	{"transaction", squirrelFill, squirrelTransaction},
}

func squirrelSetup(r *recorder) {
	must1(r.db.Exec(`CREATE TABLE goods (id INTEGER PRIMARY KEY, name VARCHAR(50) UNIQUE, price DECIMAL(10,2), stock INT NOT NULL DEFAULT 0 CHECK (stock >= 0), data BLOB, added DATETIME, sold BOOL)`))
	must1(r.db.Exec(`CREATE TABLE sales (goods_id INTEGER NOT NULL REFERENCES goods (id), at DATETIME, n INT)`))
}

func squirrelFill(r *recorder) {
	squirrelSetup(r)
	squirrelInsert(r)
}

func squirrelInsert(r *recorder) {
	b := sq.StatementBuilder.RunWith(r.db)
	must1(b.Insert("goods").Columns("name", "price", "stock", "data", "added", "sold").
		Values("nut", 0.25, 100, []byte{0xff, 0}, clock, false).
		Values("bolt", 3, 5, nil, clock.Add(24*time.Hour), true).
		Values("screw", sq.Expr("? * 2", 1.5), sq.Expr("abs(?)", -7), []byte{}, nil, nil).Exec())
	must1(b.Insert("goods").SetMap(sq.Eq{"name": "nail", "price": 1.125}).Exec())
	must1(b.Insert("goods").Options("OR IGNORE").Columns("name").Values("nut").Exec())
	must1(b.Replace("goods").Columns("id", "name", "price").Values(50, "washer", 2).Exec())
	must1(b.Insert("goods").Columns("id", "name").Values(50, "clash").Suffix("ON CONFLICT (id) DO UPDATE SET name = excluded.name, stock = goods.stock + ?", 9).Exec())
	must(b.Insert("goods").Columns("name").Values("rivet").Suffix("RETURNING id, stock").QueryRow().Scan(new(int), new(int)))
	must1(b.Insert("sales").Columns("goods_id", "at", "n").Select(sq.Select("id", "added", "stock / 2").From("goods").Where("stock > ?", 6)).Exec())
	_, err := b.Insert("goods").Columns("name").Values("nut").Exec()
	mustFail(err)
}

func squirrelSelect(r *recorder) {
	b := sq.StatementBuilder.RunWith(r.db)
	for _, q := range []sq.SelectBuilder{
		b.Select("*").From("goods").OrderBy("id"),
		b.Select("name", "price").From("goods").Where(sq.Eq{"name": []string{"nut", "bolt"}, "sold": false}).OrderBy("name"),
		b.Select("name").From("goods").Where(sq.NotEq{"data": nil}).OrderBy("name DESC"),
		b.Select("name").From("goods").Where(sq.And{sq.Gt{"price": 0.5}, sq.LtOrEq{"stock": 50}}).OrderBy("1").Limit(2).Offset(1),
		b.Select("name").From("goods").Where(sq.Or{sq.Like{"name": "n%"}, sq.NotLike{"name": "%t"}, sq.Expr("added > ?", clock)}).OrderBy("1"),
		b.Select("name").From("goods").Where(sq.Eq{"id": []int{}}),
		b.Select("g.name", "sum(s.n) AS total").From("goods g").Join("sales s ON s.goods_id = g.id").GroupBy("g.name").Having("total > ?", 1).OrderBy("total DESC"),
		b.Select("g.name", "s.n").From("goods g").LeftJoin("sales s ON s.goods_id = g.id AND s.n > ?", 10).OrderBy("g.id", "s.n"),
		b.Select("a.name", "b.name").From("goods a").CrossJoin("goods b").Where("a.id < b.id").OrderBy("1, 2"),
		b.Select("name").FromSelect(sq.Select("name", "price").From("goods").Where(sq.Lt{"price": 3}), "cheap").OrderBy("name"),
		b.Select("name").Distinct().Column(sq.Case("stock").When("0", "'none'").Else("'some'")).From("goods").OrderBy("1"),
		b.Select().Column("name, ? AS mark", "x").Column(sq.Alias(sq.Select("count(*)").From("sales").Where("goods_id = goods.id"), "n")).From("goods").OrderBy("id"),
		b.Select("name").Prefix("WITH cheap AS (SELECT * FROM goods WHERE price < ?)", 2).From("cheap").Suffix("UNION ALL SELECT ?", "end"),
		b.Select("count(*)").From("goods").Where("EXISTS (SELECT 1 FROM sales WHERE goods_id = goods.id AND at = ?)", clock),
		b.Select("name").From("goods").Where("price IN (?, ?)", 0.25, 3).PlaceholderFormat(sq.Dollar).OrderBy("id"),
		b.Select("name").From("goods").Where(sq.Eq{"price": 0.25}).PlaceholderFormat(sq.Colon),
	} {
		rows := must1(q.Query())
		for rows.Next() {
		}
		must(rows.Err())
		must(rows.Close())
	}
	cached := sq.StatementBuilder.RunWith(sq.NewStmtCache(r.db))
	for _, name := range []string{"nut", "bolt"} {
		must(cached.Select("stock").From("goods").Where(sq.Eq{"name": name}).QueryRow().Scan(new(int)))
	}
}

func squirrelUpdate(r *recorder) {
	b := sq.StatementBuilder.RunWith(r.db)
	must1(b.Update("goods").Set("price", 9.5).Where(sq.Eq{"name": "nut"}).Exec())
	must1(b.Update("goods").SetMap(map[string]any{"stock": sq.Expr("stock + ?", 1), "sold": true, "data": []byte("x'41'")}).Where("id < ?", 3).Exec())
	must1(b.Update("goods").Set("stock", sq.Select("count(*)").From("sales").Where("goods_id = goods.id")).Exec())
	must1(b.Update("goods").Set("price", sq.Case().When(sq.Lt{"price": 1}, "1").Else("price")).Where(sq.NotEq{"name": "x"}).Exec())
	must1(b.Update("goods").Set("added", clock).FromSelect(sq.Select("goods_id").From("sales").Where("n > ?", 1), "s").Where("s.goods_id = goods.id").Exec())
	rows := must1(b.Update("goods").Set("stock", 1).Where("id <= 2").Suffix("RETURNING id, name, added, sold").Query())
	for rows.Next() {
	}
	must(rows.Close())
	_, err := b.Update("goods").Set("stock", -1).Exec()
	mustFail(err)
	_, err = b.Update("goods").Set("name", "same").Exec()
	mustFail(err)
}

func squirrelDelete(r *recorder) {
	b := sq.StatementBuilder.RunWith(r.db)
	must1(b.Delete("sales").Where(sq.Lt{"n": 5}).Exec())
	must1(b.Delete("sales").Where("goods_id IN (SELECT id FROM goods WHERE name = ?)", "nut").Exec())
	rows := must1(sq.Delete("goods").Where(sq.Gt{"id": 3}).Suffix("RETURNING *").RunWith(r.db).Query())
	for rows.Next() {
	}
	must(rows.Close())
	must1(b.Delete("sales").Exec())
	must1(b.Delete("goods").Prefix("WITH s AS (SELECT min(id) AS id FROM goods)").Where("id = (SELECT id FROM s)").Exec())
}

func squirrelTransaction(r *recorder) {
	tx := must1(r.db.Begin())
	b := sq.StatementBuilder.RunWith(tx)
	must1(b.Insert("goods").Columns("name").Values("in a transaction").Exec())
	must(b.Select("max(id)").From("goods").QueryRow().Scan(new(int)))
	_, err := b.Insert("sales").Columns("goods_id").Values(1000).Exec()
	mustFail(err)
	must1(b.Update("goods").Set("stock", 8).Where(sq.Eq{"name": "in a transaction"}).Exec())
	must(tx.Commit())
	tx = must1(r.db.Begin())
	must1(sq.Delete("sales").RunWith(tx).Exec())
	must(tx.Rollback())
}
