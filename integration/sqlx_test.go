package integration_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	_ "github.com/go-rqlite/rqlite"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stamp is embedded in person.
type stamp struct {
	Made    time.Time    `db:"made"`
	Changed sql.NullTime `db:"changed"`
}

type person struct {
	stamp

	ID      int64           `db:"id"`
	Name    string          `db:"name"`
	Email   sql.NullString  `db:"email"`
	Height  *float64        `db:"height"`
	Weight  sql.NullFloat64 `db:"weight"`
	Active  bool            `db:"active"`
	Picture []byte          `db:"picture"`
}

func somePeople() []person {
	height := 1.0
	return []person{
		{
			ID: 1, Name: "Ann x'41'", Email: sql.NullString{String: "ann@example.com", Valid: true}, Height: &height, Active: true,
			Picture: []byte{0, 0xff}, stamp: stamp{Made: time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)},
		},
		{
			ID: 2, Name: "Bob", Weight: sql.NullFloat64{Float64: 80, Valid: true}, Picture: []byte{},
			stamp: stamp{
				Made:    time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC),
				Changed: sql.NullTime{Time: time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC), Valid: true},
			},
		},
		{ID: 3, Name: "", stamp: stamp{Made: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)}},
	}
}

// people opens a database by sqlx that has somePeople in a table.
func people(t *testing.T, b *backend) (db *sqlx.DB, table string) {
	t.Helper()
	db = sqlx.NewDb(b.open(t), "rqlite")
	table = newTable()
	db.MustExecContext(t.Context(), fmt.Sprintf(`CREATE TABLE %s (
		id INTEGER PRIMARY KEY, name TEXT NOT NULL, email VARCHAR(100), height REAL, weight DOUBLE,
		active BOOLEAN, picture BLOB, made DATETIME, changed TIMESTAMP)`, table))
	result, err := db.NamedExecContext(t.Context(), fmt.Sprintf(`INSERT INTO %s (id, name, email, height, weight, active, picture, made, changed)
		VALUES (:id, :name, :email, :height, :weight, :active, :picture, :made, :changed)`, table), somePeople())
	require.NoError(t, err)
	affected, err := result.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 3, affected)
	return db, table
}

func TestSQLXReads(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		db, table := people(t, b)
		want := somePeople()

		var all []person
		require.NoError(t, db.SelectContext(ctx, &all, "SELECT * FROM "+table+" ORDER BY id"))
		assert.Equal(t, want, all)

		var pointers []*person
		require.NoError(t, db.SelectContext(ctx, &pointers, "SELECT id, name, made FROM "+table+" WHERE id > ? ORDER BY id", 1))
		require.Len(t, pointers, 2)
		assert.Equal(t, "Bob", pointers[0].Name)

		var names []string
		require.NoError(t, db.SelectContext(ctx, &names, "SELECT name FROM "+table+" ORDER BY id"))
		assert.Equal(t, []string{"Ann x'41'", "Bob", ""}, names)

		var one person
		require.NoError(t, db.GetContext(ctx, &one, "SELECT * FROM "+table+" WHERE name = ?", "Ann x'41'"))
		assert.Equal(t, want[0], one)

		var count int
		require.NoError(t, db.GetContext(ctx, &count, "SELECT count(*) FROM "+table))
		assert.Equal(t, 3, count)

		require.ErrorIs(t, db.GetContext(ctx, &one, "SELECT * FROM "+table+" WHERE id = -1"), sql.ErrNoRows)
		require.ErrorContains(t, db.GetContext(ctx, &one, "SELECT 1 AS nofield"), "nofield")
		var none []person
		require.NoError(t, db.SelectContext(ctx, &none, "SELECT * FROM "+table+" WHERE 0"))
		assert.Empty(t, none)
	})
}

func TestSQLXNamed(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		db, table := people(t, b)

		result, err := db.NamedExecContext(ctx, "UPDATE "+table+" SET email = :email WHERE id IN (:first, :second)",
			map[string]any{"email": nil, "first": 1, "second": 2})
		require.NoError(t, err)
		affected, err := result.RowsAffected()
		require.NoError(t, err)
		assert.EqualValues(t, 2, affected)

		rows, err := db.NamedQueryContext(ctx, "SELECT * FROM "+table+" WHERE active = :active ORDER BY id", person{Active: true})
		require.NoError(t, err)
		defer rows.Close()
		var found []person
		for rows.Next() {
			var p person
			require.NoError(t, rows.StructScan(&p))
			found = append(found, p)
		}
		require.NoError(t, rows.Err())
		want := somePeople()[:1]
		want[0].Email = sql.NullString{}
		assert.Equal(t, want, found)

		stmt, err := db.PrepareNamedContext(ctx, "SELECT name FROM "+table+" WHERE id = :id")
		require.NoError(t, err)
		defer stmt.Close()
		var name string
		require.NoError(t, stmt.GetContext(ctx, &name, map[string]any{"id": 2}))
		assert.Equal(t, "Bob", name)
	})
}

func TestSQLXPlaceholders(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		db, table := people(t, b)

		query, args, err := sqlx.In("SELECT id FROM "+table+" WHERE id IN (?) AND name <> ? ORDER BY id", []int{1, 2, 3}, "Bob")
		require.NoError(t, err)
		var ids []int64
		require.NoError(t, db.SelectContext(ctx, &ids, db.Rebind(query), args...))
		assert.Equal(t, []int64{1, 3}, ids)

		// The placeholders of other databases, as Rebind makes them.
		for _, style := range []int{sqlx.QUESTION, sqlx.AT} {
			ids = nil
			named := make([]any, len(args))
			copy(named, args)
			if style == sqlx.AT {
				for i := range named {
					named[i] = sql.Named(fmt.Sprintf("p%d", i+1), args[i])
				}
			}
			require.NoError(t, db.SelectContext(ctx, &ids, sqlx.Rebind(style, query), named...))
			assert.Equal(t, []int64{1, 3}, ids)
		}
	})
}

func TestSQLXStatements(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		db, table := people(t, b)

		stmt, err := db.PreparexContext(ctx, "SELECT * FROM "+table+" WHERE id = ?")
		require.NoError(t, err)
		defer stmt.Close()
		for _, want := range somePeople() {
			var got person
			require.NoError(t, stmt.GetContext(ctx, &got, want.ID))
			assert.Equal(t, want, got)
		}

		rows, err := db.QueryxContext(ctx, "SELECT id, name, height, picture FROM "+table+" ORDER BY id")
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		row := map[string]any{}
		require.NoError(t, rows.MapScan(row))
		assert.Equal(t, map[string]any{"id": int64(1), "name": "Ann x'41'", "height": 1.0, "picture": []byte{0, 0xff}}, row)
		require.True(t, rows.Next())
		slice, err := rows.SliceScan()
		require.NoError(t, err)
		assert.Equal(t, []any{int64(2), "Bob", nil, []byte{}}, slice)

		assert.Panics(t, func() { db.MustExecContext(ctx, "INSERT INTO "+table+" (id) VALUES (1)") })
		var name string
		require.NoError(t, db.QueryRowxContext(ctx, "UPDATE "+table+" SET name = 'Rob' WHERE id = 2 RETURNING name").Scan(&name))
		assert.Equal(t, "Rob", name)
	})
}
