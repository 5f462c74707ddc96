package ecosystem

import (
	"testing"

	sq "github.com/Masterminds/squirrel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSquirrel builds the statements of a ledger, and runs them on a statement cache.
func TestSquirrel(t *testing.T) {
	t.Parallel()
	ctx, db := t.Context(), open(t)
	_, err := db.ExecContext(ctx, "CREATE TABLE sq_ledger (id INTEGER PRIMARY KEY, account TEXT NOT NULL, cents INT NOT NULL)")
	require.NoError(t, err)
	cache := sq.NewStmtCache(db)
	defer func() { require.NoError(t, cache.Clear()) }()
	build := sq.StatementBuilder.RunWith(cache)

	result, err := build.Insert("sq_ledger").Columns("account", "cents").Values("a", 100).Values("b", -30).Values("a", sq.Expr("? * 2", 25)).ExecContext(ctx)
	require.NoError(t, err)
	n, err := result.RowsAffected()
	require.NoError(t, err)
	assert.EqualValues(t, 3, n)

	sums := build.Select("account", "sum(cents)").From("sq_ledger").GroupBy("account").Having(sq.GtOrEq{"count(*)": 1}).OrderBy("account")
	for range 2 { // the second time from the cache
		rows, err := sums.QueryContext(ctx)
		require.NoError(t, err)
		found := map[string]int{}
		for rows.Next() {
			var account string
			var cents int
			require.NoError(t, rows.Scan(&account, &cents))
			found[account] = cents
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		assert.Equal(t, map[string]int{"a": 150, "b": -30}, found)
	}

	var cents int
	require.NoError(t, build.Update("sq_ledger").Set("cents", sq.Expr("cents + ?", 1)).Where(sq.Eq{"id": []int{2, 3}, "account": "b"}).
		Suffix("RETURNING cents").QueryRowContext(ctx).Scan(&cents))
	assert.Equal(t, -29, cents)
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = sq.Delete("sq_ledger").Where(sq.Or{sq.Eq{"account": "a"}, sq.Lt{"cents": 0}}).RunWith(tx).ExecContext(ctx)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())
	require.NoError(t, build.Select("count(*)").FromSelect(sq.Select("*").From("sq_ledger"), "l").QueryRowContext(ctx).Scan(&cents))
	assert.Equal(t, 3, cents)
}
