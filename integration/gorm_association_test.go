package integration_test

import (
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type (
	// Owner has every kind of association.
	Owner struct {
		gorm.Model
		Name   string
		CityID *uint
		City   *City
		Card   *Card  `gorm:"constraint:OnDelete:CASCADE"`
		Pets   []Pet  `gorm:"constraint:OnUpdate:CASCADE,OnDelete:SET NULL"`
		Clubs  []Club `gorm:"many2many:owner_clubs"`
		Toys   []Toy  `gorm:"polymorphic:Of"`
		Boss   *Owner
		BossID *uint
	}

	// City belongs to nobody.
	City struct {
		ID   uint
		Name string `gorm:"unique"`
	}

	// Card is an owner's only one.
	Card struct {
		ID      uint
		OwnerID uint
		Number  string
	}

	// Pet is one of an owner's many, and has toys as well.
	Pet struct {
		ID      uint
		OwnerID *uint
		Name    string
		Toys    []Toy `gorm:"polymorphic:Of"`
	}

	// Club has many owners.
	Club struct {
		Code string `gorm:"primaryKey"`
	}

	// Toy belongs to an owner or a pet.
	Toy struct {
		ID     uint
		Name   string
		OfID   uint
		OfType string
	}
)

func populated(g *gormRun) Owner {
	g.migrate(&City{}, &Owner{}, &Card{}, &Pet{}, &Club{}, &Toy{})
	ann := Owner{
		Name: "Ann", City: &City{Name: "Ghent"}, Card: &Card{Number: "1"},
		Pets:  []Pet{{Name: "Rex", Toys: []Toy{{Name: "bone"}, {Name: "ball"}}}, {Name: "Tom"}},
		Clubs: []Club{{Code: "chess"}, {Code: "golf"}}, Toys: []Toy{{Name: "car"}},
	}
	g.must(g.db.Create(&ann))
	g.must(g.db.Create(&Owner{Name: "Bob", BossID: &ann.ID, CityID: ann.CityID, Clubs: []Club{{Code: "golf"}}, Pets: []Pet{{Name: "Ulf"}}}))
	return ann
}

var gormAssociationScenarios = []gormScenario{
	{name: "associations: created along", run: func(g *gormRun) {
		ann := populated(g)
		assert.NotZero(g, ann.City.ID)
		assert.Equal(g, ann.ID, ann.Card.OwnerID)
		assert.EqualValues(g, 3, g.count(&Pet{}))
		assert.EqualValues(g, 2, g.count(&Club{}))
		assert.EqualValues(g, 3, g.count(&Toy{}))
	}},
	{name: "associations: all or nothing", run: func(g *gormRun) {
		populated(g)
		err := g.db.Create(&Owner{Name: "Cid", Pets: []Pet{{Name: "new"}, {ID: 1, Name: "taken"}}, Toys: []Toy{{ID: 1}}}).Error
		require.NoError(g, err, "conflicts with what is there are ignored")
		tx := g.db.Session(&gorm.Session{})
		require.NoError(g, tx.Callback().Create().Before("gorm:commit_or_rollback_transaction").Register("test:fail",
			func(db *gorm.DB) {
				if db.Statement.Table == g.table(&Owner{}) {
					_ = db.AddError(errHook)
				}
			}))
		require.ErrorIs(g, tx.Create(&Owner{Name: "Dan", Pets: []Pet{{Name: "lost"}}}).Error, errHook)
		var n int64
		g.must(g.db.Model(&Pet{}).Where("name = ?", "lost").Count(&n))
		assert.Zero(g, n)
		g.must(g.db.Model(&Owner{}).Where("name = ?", "Dan").Count(&n))
		assert.Zero(g, n, "what a callback of a plugin refuses is taken back")
	}},
	{name: "associations: preload", run: func(g *gormRun) {
		populated(g)
		var owners []Owner
		g.must(g.db.Preload(clause.Associations).Preload("Pets.Toys", func(db *gorm.DB) *gorm.DB { return db.Order("name") }).
			Preload("Boss.City").Order("id").Find(&owners))
		require.Len(g, owners, 2)
		assert.Equal(g, "Ghent", owners[0].City.Name)
		assert.Equal(g, "1", owners[0].Card.Number)
		require.Len(g, owners[0].Pets, 2)
		require.Len(g, owners[0].Pets[0].Toys, 2)
		assert.Equal(g, "ball", owners[0].Pets[0].Toys[0].Name)
		assert.Len(g, owners[0].Clubs, 2)
		assert.Equal(g, "car", owners[0].Toys[0].Name)
		assert.Equal(g, "Ghent", owners[1].Boss.City.Name)
		g.must(g.db.Preload("Pets", "name LIKE ?", "T%").First(&owners[0], owners[0].ID))
	}},
	{name: "associations: joins", run: func(g *gormRun) {
		populated(g)
		var bob Owner
		g.must(g.db.Joins("City").Joins("Boss").Joins("Card").First(&bob, g.table(&Owner{})+".name = ?", "Bob"))
		assert.Equal(g, "Ghent", bob.City.Name)
		assert.Equal(g, "Ann", bob.Boss.Name)
		assert.Nil(g, bob.Card)
		var owners []Owner
		g.must(g.db.InnerJoins("Card", g.db.Where(&Card{Number: "1"})).Find(&owners))
		require.Len(g, owners, 1)
		assert.Equal(g, "Ann", owners[0].Name)
		var names []string
		g.must(g.db.Model(&Pet{}).Joins("JOIN "+g.table(&Owner{})+" AS o ON o.id = owner_id AND o.name = ?", "Bob").Pluck(g.table(&Pet{})+".name", &names))
		assert.Equal(g, []string{"Ulf"}, names)
	}},
	{name: "associations: append, replace, delete, clear, count", run: func(g *gormRun) {
		ann := populated(g)
		clubs := func() *gorm.Association { return g.db.Model(&ann).Association("Clubs") }
		require.NoError(g, clubs().Append(&Club{Code: "swim"}))
		assert.EqualValues(g, 3, clubs().Count())
		require.NoError(g, clubs().Delete(&Club{Code: "golf"}))
		require.NoError(g, clubs().Replace(&Club{Code: "swim"}, &Club{Code: "run"}))
		var found []Club
		require.NoError(g, g.db.Model(&ann).Order("code").Association("Clubs").Find(&found))
		assert.Equal(g, []Club{{"run"}, {"swim"}}, found)
		require.NoError(g, clubs().Clear())
		assert.Zero(g, clubs().Count())
		require.NoError(g, g.db.Model(&ann).Association("City").Replace(&City{Name: "Bruges"}))
		require.NoError(g, g.db.Model(&ann).Association("Pets").Unscoped().Clear())
		assert.EqualValues(g, 1, g.count(&Pet{}))
		assert.EqualValues(g, 4, g.count(&Club{}))
	}},
	{name: "associations: deleted with their owner", run: func(g *gormRun) {
		ann := populated(g)
		g.must(g.db.Model(&Owner{}).Where("boss_id = ?", ann.ID).Update("boss_id", nil))
		g.must(g.db.Model(&Pet{}).Where("owner_id = ?", ann.ID).Update("owner_id", nil))
		g.must(g.db.Unscoped().Select("Card", "Clubs", "Toys").Delete(&ann))
		assert.Zero(g, g.count(&Card{}))
		assert.EqualValues(g, 2, g.count(&Toy{}))
		var n int64
		g.must(g.db.Table(g.db.NamingStrategy.JoinTableName("owner_clubs")).Count(&n))
		assert.EqualValues(g, 1, n)
	}},
	{name: "associations: saved in full", run: func(g *gormRun) {
		ann := populated(g)
		ann.Pets[0].Name = "Max"
		g.must(g.db.Session(&gorm.Session{FullSaveAssociations: true}).Save(&ann))
		var names []string
		g.must(g.db.Model(&Pet{}).Order("id").Pluck("name", &names))
		assert.Equal(g, []string{"Max", "Tom", "Ulf"}, names)
	}},
	{name: "foreign keys: enforced, cascading, translated", foreignKeys: true, run: func(g *gormRun) {
		ann := populated(g)
		missing := uint(99)
		require.ErrorIs(g, g.db.Create(&Pet{OwnerID: &missing}).Error, gorm.ErrForeignKeyViolated)
		require.ErrorIs(g, g.db.Delete(&City{}, ann.City.ID).Error, gorm.ErrForeignKeyViolated)
		g.must(g.db.Exec("DELETE FROM "+g.db.NamingStrategy.JoinTableName("owner_clubs")+" WHERE owner_id = ?", ann.ID))
		g.must(g.db.Model(&Owner{}).Where("boss_id = ?", ann.ID).Update("boss_id", nil))
		g.must(g.db.Unscoped().Delete(&ann))
		assert.Zero(g, g.count(&Card{}), "ON DELETE CASCADE")
		var n int64
		g.must(g.db.Model(&Pet{}).Where("owner_id IS NULL").Count(&n))
		assert.EqualValues(g, 2, n, "ON DELETE SET NULL")
	}},
}
