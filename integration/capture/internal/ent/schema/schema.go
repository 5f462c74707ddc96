// Package schema describes the entities of the capture for ent.
package schema

import (
	"time"

	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// User has friends and cars.
type User struct{ ent.Schema }

// Fields implements ent.Interface.
func (User) Fields() []ent.Field {
	return []ent.Field{
		field.String("name").NotEmpty(),
		field.String("email").Unique().Optional().Nillable(),
		field.Int("age").Positive(),
		field.Float("score").Default(0),
		field.Bool("active").Default(true),
		field.Bytes("photo").Optional(),
		field.JSON("tags", []string{}).Optional(),
		field.Enum("role").Values("user", "admin").Default("user"),
		field.Time("joined").Immutable().Default(func() time.Time { return time.Date(2024, 1, 2, 3, 4, 5, 678901000, time.UTC) }),
	}
}

// Edges implements ent.Interface.
func (User) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("friends", User.Type),
		edge.To("cars", Car.Type).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes implements ent.Interface.
func (User) Indexes() []ent.Index {
	return []ent.Index{index.Fields("name", "age"), index.Fields("role").Annotations(entsql.IndexWhere("active"))}
}

// Car belongs to a user.
type Car struct{ ent.Schema }

// Fields implements ent.Interface.
func (Car) Fields() []ent.Field {
	return []ent.Field{
		field.String("id"),
		field.String("model"),
		field.Time("bought").Optional(),
	}
}

// Edges implements ent.Interface.
func (Car) Edges() []ent.Edge {
	return []ent.Edge{edge.From("owner", User.Type).Ref("cars").Unique()}
}
