package ecosystem

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
)

type (
	shop struct {
		bun.BaseModel `bun:"table:bun_shops,alias:s"`

		ID     int64          `bun:"id,pk,autoincrement"`
		Name   string         `bun:"name,notnull,unique"`
		Opened time.Time      `bun:"opened,nullzero"`
		Facts  map[string]any `bun:"facts,type:json"`
		Logo   []byte         `bun:"logo"`
		Closed time.Time      `bun:"closed,soft_delete,nullzero"`
		Wares  []*ware        `bun:"rel:has-many,join:id=shop_id"`
	}

	ware struct {
		bun.BaseModel `bun:"table:bun_wares,alias:w"`

		ID     int64   `bun:"id,pk,autoincrement"`
		ShopID int64   `bun:"shop_id,notnull"`
		Shop   *shop   `bun:"rel:belongs-to,join:shop_id=id"`
		Name   string  `bun:"name,notnull"`
		Price  float64 `bun:"price,notnull"`
	}
)

// TestBun works on shops and their wares.
func TestBun(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := bun.NewDB(open(t), sqlitedialect.New())
	_, err := db.NewCreateTable().Model((*shop)(nil)).IfNotExists().Exec(ctx)
	require.NoError(t, err)
	_, err = db.NewCreateTable().Model((*ware)(nil)).ForeignKey(`(shop_id) REFERENCES bun_shops (id) ON DELETE CASCADE`).Exec(ctx)
	require.NoError(t, err)
	_, err = db.NewCreateIndex().Model((*ware)(nil)).Index("bun_wares_name").Column("name").Exec(ctx)
	require.NoError(t, err)

	opened := time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)
	shops := []*shop{{Name: "North's", Opened: opened, Facts: map[string]any{"a": 1.5}, Logo: []byte{0xff, 0}}, {Name: "South"}}
	_, err = db.NewInsert().Model(&shops).Exec(ctx)
	require.NoError(t, err)
	require.NotZero(t, shops[1].ID)
	wares := []*ware{{ShopID: shops[0].ID, Name: "nail", Price: 1}, {ShopID: shops[0].ID, Name: "rope", Price: 2.5}, {ShopID: shops[1].ID, Name: "nail", Price: 3}}
	_, err = db.NewInsert().Model(&wares).Exec(ctx)
	require.NoError(t, err)
	_, err = db.NewInsert().Model(&shop{Name: "South"}).Exec(ctx)
	require.ErrorIs(t, err, rqlite.ConstraintUnique)
	_, err = db.NewInsert().Model(&shop{Name: "South", Facts: map[string]any{"b": true}}).On("CONFLICT (name) DO UPDATE").Set("facts = EXCLUDED.facts").Exec(ctx)
	require.NoError(t, err)

	var north shop
	require.NoError(t, db.NewSelect().Model(&north).Relation("Wares", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Order("price DESC") }).
		Where("s.name = ?", "North's").Scan(ctx))
	require.Len(t, north.Wares, 2)
	assert.Equal(t, "rope", north.Wares[0].Name)
	assert.True(t, opened.Equal(north.Opened))
	assert.Equal(t, map[string]any{"a": 1.5}, north.Facts)
	assert.Equal(t, []byte{0xff, 0}, north.Logo)
	var nail ware
	require.NoError(t, db.NewSelect().Model(&nail).Relation("Shop").Where("w.price = ?", 3).Scan(ctx))
	assert.Equal(t, "South", nail.Shop.Name)
	assert.Equal(t, map[string]any{"b": true}, nail.Shop.Facts)

	require.NoError(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewUpdate().Model((*ware)(nil)).Set("price = price * ?", 2).Where("name = ?", "nail").Exec(ctx); err != nil {
			return err
		}
		inner, err := tx.BeginTx(ctx, nil) // a savepoint
		if err != nil {
			return err
		}
		if _, err := inner.NewDelete().Model((*ware)(nil)).Where("1 = 1").Exec(ctx); err != nil {
			return err
		}
		return inner.Rollback()
	}))
	var sum float64
	require.NoError(t, db.NewSelect().Model((*ware)(nil)).ColumnExpr("sum(price)").Scan(ctx, &sum))
	assert.InDelta(t, 10.5, sum, 0)

	_, err = db.NewDelete().Model(&north).WherePK().Exec(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, db.NewSelect().Model(&north).WherePK().Scan(ctx), sql.ErrNoRows)
	_, err = db.NewDelete().Model(&north).WherePK().ForceDelete().Exec(ctx)
	require.NoError(t, err)
	n, err := db.NewSelect().Model((*ware)(nil)).Count(ctx)
	require.NoError(t, err)
	assert.EqualValues(t, 1, n, "ON DELETE CASCADE")
}
