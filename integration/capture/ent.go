package main

import (
	"context"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/sqljson"

	"github.com/go-rqlite/rqlite/integration/capture/internal/ent"
	"github.com/go-rqlite/rqlite/integration/capture/internal/ent/car"
	"github.com/go-rqlite/rqlite/integration/capture/internal/ent/migrate"
	"github.com/go-rqlite/rqlite/integration/capture/internal/ent/user"
)

var entScenarios = []scenario{
	{"migrate", nil, entMigrate},
	{"create", entMigrate, entCreate},
	{"read", entFill, entRead},
	{"predicates", entFill, entPredicates},
	{"edges", entFill, entEdges},
	{"update", entFill, entUpdate},
	{"delete", entFill, entDelete},
	{"transaction", entFill, entTransaction},
	{"builder", entFill, entBuilder},
}

func openEnt(r *recorder) *ent.Client {
	return ent.NewClient(ent.Driver(sql.OpenDB(dialect.SQLite, r.db)))
}

func entMigrate(r *recorder) {
	client := openEnt(r)
	must(client.Schema.Create(context.Background()))
	must(client.Schema.Create(context.Background(), migrate.WithDropColumn(true), migrate.WithDropIndex(true)))
}

func entFill(r *recorder) {
	entMigrate(r)
	entCreate(r)
}

func entCreate(r *recorder) {
	ctx, client := context.Background(), openEnt(r)
	ann := client.User.Create().SetName("Ann").SetEmail("ann@example.com").SetAge(30).SetScore(1.5).
		SetPhoto([]byte{0xff, 0}).SetTags([]string{"a", "x'41'"}).SetRole(user.RoleAdmin).SaveX(ctx)
	bob := client.User.Create().SetName("Bob").SetAge(40).SetActive(false).AddFriends(ann).SaveX(ctx)
	client.Car.Create().SetID("B-AB 1").SetModel("Ford").SetBought(clock).SetOwner(bob).SaveX(ctx)
	client.Car.CreateBulk(client.Car.Create().SetID("c2").SetModel("Fiat"), client.Car.Create().SetID("c3").SetModel("Opel").SetOwner(ann)).SaveX(ctx)
	client.User.MapCreateBulk([]int{20, 21}, func(c *ent.UserCreate, i int) { c.SetName("Bulk").SetAge([]int{20, 21}[i]) }).ExecX(ctx)
	client.Car.Create().SetID("c2").SetModel("Fiat 500").OnConflict(sql.ConflictColumns(car.FieldID)).UpdateNewValues().ExecX(ctx)
	client.Car.Create().SetID("c2").SetModel("Fiat 600").OnConflict(sql.ConflictColumns(car.FieldID)).Ignore().ExecX(ctx)
	client.User.Create().SetName("Ann 2").SetEmail("ann@example.com").SetAge(1).
		OnConflict(sql.ConflictColumns(user.FieldEmail)).Update(func(u *ent.UserUpsert) { u.AddAge(5).UpdateName() }).IDX(ctx)
	client.Car.CreateBulk(client.Car.Create().SetID("c2").SetModel("A"), client.Car.Create().SetID("c4").SetModel("B")).
		OnConflict(sql.ConflictColumns(car.FieldID), sql.ResolveWithNewValues()).ExecX(ctx)
	mustFail(client.User.Create().SetName("Cid").SetEmail("ann@example.com").SetAge(1).Exec(ctx))
}

func entRead(r *recorder) {
	ctx, client := context.Background(), openEnt(r)
	client.User.Query().AllX(ctx)
	client.User.GetX(ctx, 1)
	client.User.Query().Where(user.Name("Ann 2")).OnlyX(ctx)
	client.User.Query().Order(ent.Desc(user.FieldAge), user.ByName()).Limit(2).Offset(1).AllX(ctx)
	client.User.Query().FirstIDX(ctx)
	client.User.Query().IDsX(ctx)
	client.User.Query().CountX(ctx)
	client.User.Query().Where(user.AgeGT(20)).ExistX(ctx)
	client.User.Query().Unique(true).Select(user.FieldName).StringsX(ctx)
	client.User.Query().Aggregate(ent.Sum(user.FieldAge)).IntX(ctx)
	var groups []struct {
		Name  string
		Count int
		Mean  float64
	}
	client.User.Query().GroupBy(user.FieldName).Aggregate(ent.Count(), ent.As(ent.Mean(user.FieldAge), "mean")).ScanX(ctx, &groups)
	_, err := client.User.Get(ctx, 1000)
	mustFail(err)
	client.User.Query().Modify(func(s *sql.Selector) { s.Where(sql.GT("age", 10)).OrderExpr(sql.Raw("length(name)"), sql.Raw("id")) }).AllX(ctx)
	rows := must1(client.QueryContext(ctx, "SELECT name, joined FROM users WHERE active = ? ORDER BY id", true))
	for rows.Next() {
	}
	must(rows.Close())
	must1(client.ExecContext(ctx, "UPDATE users SET score = ? WHERE id = ?", 2.5, 1))
}

func entPredicates(r *recorder) {
	ctx, client := context.Background(), openEnt(r)
	for _, query := range []*ent.UserQuery{
		client.User.Query().Where(user.NameIn("Ann 2", "Bob"), user.AgeGTE(30), user.AgeNotIn(50, 60)),
		client.User.Query().Where(user.Or(user.NameContains("u"), user.NameHasPrefix("A"), user.NameHasSuffix("b"))),
		client.User.Query().Where(user.Not(user.NameEqualFold("bob"))),
		client.User.Query().Where(user.NameContainsFold("NN"), user.EmailNotNil()),
		client.User.Query().Where(user.EmailIsNil(), user.Active(true)),
		client.User.Query().Where(user.JoinedLTE(clock), user.RoleIn(user.RoleAdmin, user.RoleUser)),
		client.User.Query().Where(user.HasCars()),
		client.User.Query().Where(user.HasCarsWith(car.ModelHasPrefix("F"), car.BoughtNotNil())),
		client.User.Query().Where(user.HasFriendsWith(user.AgeGT(1))),
		client.User.Query().Where(user.Not(user.HasFriends())),
		client.User.Query().Where(func(s *sql.Selector) { s.Where(sqljson.ValueContains(user.FieldTags, "a")) }),
		client.User.Query().Where(func(s *sql.Selector) { s.Where(sqljson.LenGT(user.FieldTags, 1)) }),
		client.User.Query().Where(user.NameIn()),
	} {
		query.Order(user.ByID()).AllX(ctx)
	}
}

func entEdges(r *recorder) {
	ctx, client := context.Background(), openEnt(r)
	ann := client.User.GetX(ctx, 1)
	ann.QueryCars().AllX(ctx)
	ann.QueryFriends().QueryCars().Where(car.Model("Ford")).AllX(ctx)
	client.Car.Query().QueryOwner().AllX(ctx)
	client.User.Query().WithCars().WithFriends().Order(user.ByID()).AllX(ctx)
	client.User.Query().WithCars(func(q *ent.CarQuery) { q.Where(car.ModelNEQ("Opel")).Order(car.ByID()) }).AllX(ctx)
	client.User.Query().Order(user.ByCarsCount(sql.OrderDesc()), user.ByID()).AllX(ctx)
	client.Car.Query().Order(car.ByOwnerField(user.FieldName), car.ByID()).AllX(ctx)
}

func entUpdate(r *recorder) {
	ctx, client := context.Background(), openEnt(r)
	client.User.UpdateOneID(1).SetName("Anna").AddAge(1).ClearEmail().AppendTags([]string{"b"}).SaveX(ctx)
	client.User.UpdateOneID(2).AddScore(0.5).AddCarIDs("c2").RemoveFriendIDs(1).SaveX(ctx)
	client.User.Update().Where(user.AgeLT(35)).AddAge(10).SetActive(false).SaveX(ctx)
	client.User.UpdateOneID(1).ClearCars().AddFriendIDs(3).ClearPhoto().ExecX(ctx)
	client.Car.UpdateOneID("c3").SetOwnerID(2).ClearBought().SaveX(ctx)
	client.Car.Update().Where(car.HasOwnerWith(user.Name("Bob"))).ClearOwner().SaveX(ctx)
	client.User.Update().Modify(func(u *sql.UpdateBuilder) { u.Set("score", sql.Expr("score * 2 + age")) }).ExecX(ctx)
	mustFail(client.User.UpdateOneID(1000).SetName("none").Exec(ctx))
	mustFail(client.Car.UpdateOneID("c3").SetOwnerID(1000).Exec(ctx))
}

func entDelete(r *recorder) {
	ctx, client := context.Background(), openEnt(r)
	client.Car.DeleteOneID("c3").ExecX(ctx)
	client.User.Delete().Where(user.AgeLT(21), user.Not(user.HasCars())).ExecX(ctx)
	client.User.DeleteOneID(2).ExecX(ctx)
	mustFail(client.User.DeleteOneID(1000).Exec(ctx))
	client.User.Delete().ExecX(ctx)
}

func entTransaction(r *recorder) {
	ctx, client := context.Background(), openEnt(r)
	tx := must1(client.Tx(ctx))
	dan := tx.User.Create().SetName("Dan").SetAge(50).SetJoined(clock.Add(time.Hour)).SaveX(ctx)
	mustFail(tx.Car.Create().SetID("B-AB 1").SetModel("twice").Exec(ctx))
	tx.Car.Create().SetID("d").SetModel("Dacia").SetOwner(dan).ExecX(ctx)
	dan.Update().AddAge(1).SaveX(ctx)
	tx.User.Query().WithCars().AllX(ctx)
	must(tx.Commit())
	tx = must1(client.Tx(ctx))
	tx.User.Delete().ExecX(ctx)
	tx.Car.Query().CountX(ctx)
	must(tx.Rollback())
}

// entBuilder sends what ent's own query builder makes.
func entBuilder(r *recorder) {
	builder := sql.Dialect(dialect.SQLite)
	users, cars := sql.Table("users").As("u"), sql.Table("cars").As("c")
	for _, q := range []sql.Querier{
		builder.Select(users.C("name"), sql.As(sql.Count(cars.C("id")), "n")).From(users).LeftJoin(cars).On(users.C("id"), cars.C("user_cars")).
			GroupBy(users.C("id")).Having(sql.GTE("n", 0)).OrderBy(sql.Desc("n"), users.C("id")),
		builder.Select("name").From(sql.Table("users")).Where(sql.In("id", builder.Select("user_cars").From(sql.Table("cars")))).OrderBy("name"),
		builder.Select("name").From(sql.Table("users")).Union(builder.Select("model").From(sql.Table("cars"))),
		builder.Select("name").From(sql.Table("users")).Where(sql.Exists(builder.Select("id").From(sql.Table("cars")).Where(sql.IsNull("bought")))).OrderBy("name"),
		builder.Select("*").From(sql.Table("old")).Prefix(builder.With("old").As(builder.Select("name", "age").From(sql.Table("users")).Where(sql.GT("age", 30)))).OrderBy("name"),
		builder.Select("name").AppendSelectExprAs(sql.RowNumber().PartitionBy("active").OrderBy("age"), "place").From(sql.Table("users")).OrderBy("name", "place"),
		builder.Insert("cars").Columns("id", "model").Values("q1", "Q").Values("q2", "R").Returning("id"),
		builder.Update("cars").Set("model", "S").Where(sql.EQ("id", "q1")).Returning("model"),
		builder.Delete("cars").Where(sql.HasPrefix("id", "q")),
	} {
		query, args := q.Query()
		rows := must1(r.db.Query(query, args...))
		for rows.Next() {
		}
		must(rows.Err())
		must(rows.Close())
	}
}
