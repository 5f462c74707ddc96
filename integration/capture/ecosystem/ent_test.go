package ecosystem

import (
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/integration/capture/internal/ent"
	"github.com/go-rqlite/rqlite/integration/capture/internal/ent/car"
	"github.com/go-rqlite/rqlite/integration/capture/internal/ent/user"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEnt migrates by ent, twice, and works on users, their friends and cars. It does not run
// beside others: ent switches foreign keys off while it migrates, which on a server
// concerns everybody.
func TestEnt(t *testing.T) {
	ctx := t.Context()
	db := openWith(t, func(c *rqlite.Config) { c.SendForeignKeys = true })
	client := ent.NewClient(ent.Driver(entsql.OpenDB(dialect.SQLite, db)))
	require.NoError(t, client.Schema.Create(ctx))
	require.NoError(t, client.Schema.Create(ctx))

	ann, err := client.User.Create().SetName("Ann").SetEmail("ann@example.com").SetAge(30).
		SetPhoto([]byte{0xff, 0}).SetTags([]string{"a", "x'41'"}).SetRole(user.RoleAdmin).Save(ctx)
	require.NoError(t, err)
	bob, err := client.User.Create().SetName("Bob").SetAge(40).AddFriends(ann).Save(ctx)
	require.NoError(t, err)
	_, err = client.Car.CreateBulk(
		client.Car.Create().SetID("c1").SetModel("Ford").SetOwner(bob),
		client.Car.Create().SetID("c2").SetModel("Fiat").SetOwner(ann)).Save(ctx)
	require.NoError(t, err)
	require.NoError(t, client.Car.Create().SetID("c2").SetModel("Fiat 500").
		OnConflict(entsql.ConflictColumns(car.FieldID)).UpdateNewValues().Exec(ctx))

	_, err = client.User.Create().SetName("Cid").SetEmail("ann@example.com").SetAge(1).Save(ctx)
	require.True(t, ent.IsConstraintError(err), "%v", err)
	_, err = client.User.Get(ctx, 99)
	require.True(t, ent.IsNotFound(err), "%v", err)

	got, err := client.User.Query().Where(user.HasFriendsWith(user.Name("Ann"))).WithCars().WithFriends().Only(ctx)
	require.NoError(t, err)
	assert.Equal(t, "Bob", got.Name)
	require.Len(t, got.Edges.Cars, 1)
	assert.Equal(t, "Ford", got.Edges.Cars[0].Model)
	friend := got.Edges.Friends[0]
	assert.Equal(t, []byte{0xff, 0}, friend.Photo)
	assert.Equal(t, []string{"a", "x'41'"}, friend.Tags)
	assert.True(t, ann.Joined.Equal(friend.Joined))

	tx, err := client.Tx(ctx)
	require.NoError(t, err)
	require.NoError(t, tx.User.UpdateOne(ann).AddAge(1).SetName("Anna").Exec(ctx))
	n, err := tx.User.Query().Where(user.AgeGTE(31)).Count(ctx)
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	require.NoError(t, tx.Rollback())
	tx, err = client.Tx(ctx)
	require.NoError(t, err)
	require.NoError(t, tx.User.DeleteOne(bob).Exec(ctx))
	require.NoError(t, tx.Commit())
	left, err := client.Car.Query().QueryOwner().Only(ctx)
	require.NoError(t, err)
	assert.Equal(t, "Ann", left.Name, "what was rolled back is gone, and so is the car of Bob")
}
