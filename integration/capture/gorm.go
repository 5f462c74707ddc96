package main

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// The models of the GORM scenarios, with every kind of association.
type (
	gormCompany struct {
		ID   int64
		Name string `gorm:"size:100;not null;uniqueIndex"`
	}

	gormUser struct {
		gorm.Model
		Name      string  `gorm:"size:50;index:idx_name_age,priority:1"`
		Email     *string `gorm:"uniqueIndex"`
		Age       uint8   `gorm:"index:idx_name_age,priority:2;check:age < 200"`
		Balance   float64 `gorm:"default:0"`
		Active    bool
		Photo     []byte
		Birthday  *time.Time
		Settings  map[string]any `gorm:"serializer:json"`
		CompanyID *int64
		Company   *gormCompany
		Profile   *gormProfile    `gorm:"foreignKey:UserID;constraint:OnDelete:CASCADE"`
		Orders    []gormOrder     `gorm:"foreignKey:UserID;constraint:OnUpdate:CASCADE,OnDelete:SET NULL"`
		Languages []*gormLanguage `gorm:"many2many:gorm_user_languages"`
		Notes     []gormNote      `gorm:"polymorphic:Owner"`
	}

	gormProfile struct {
		ID     uint
		UserID uint `gorm:"unique"`
		Bio    string
	}

	gormOrder struct {
		ID     uint
		UserID *uint
		Total  float64
		Status string `gorm:"default:open;not null"`
		Placed time.Time
	}

	gormLanguage struct {
		Code string `gorm:"primaryKey"`
		Name string
	}

	gormNote struct {
		ID        uint
		OwnerID   uint
		OwnerType string
		Text      string
	}

	// gormPair has a composite key, and columns that the database fills.
	gormPair struct {
		A     int    `gorm:"primaryKey;autoIncrement:false"`
		B     string `gorm:"primaryKey"`
		Value string `gorm:"default:(lower('UNSET'))"`
		Count int    `gorm:"default:7"`
	}
)

var gormModels = []any{&gormCompany{}, &gormUser{}, &gormProfile{}, &gormOrder{}, &gormLanguage{}, &gormNote{}, &gormPair{}}

var gormScenarios = []scenario{
	{"migrate", nil, gormMigrate},
	{"migrator", gormSetup, gormMigrator},
	{"create", gormSetup, gormCreate},
	{"upsert", gormFill, gormUpsert},
	{"read", gormFill, gormRead},
	{"conditions", gormFill, gormConditions},
	{"joins", gormFill, gormJoins},
	{"update", gormFill, gormUpdate},
	{"delete", gormFill, gormDelete},
	{"associations", gormFill, gormAssociations},
	{"transactions", gormFill, gormTransactions},
	{"failures", gormFill, gormFailures},
	{"raw", gormFill, gormRaw},
	{"prepared", gormFill, gormPrepared},
	{"generics", gormFill, gormGenerics},
}

func openGORM(r *recorder) *gorm.DB {
	return must1(gorm.Open(sqlite.Dialector{Conn: r.db}, &gorm.Config{
		NowFunc: func() time.Time { return clock },
		Logger:  logger.Discard,
	}))
}

func gormSetup(r *recorder) { gormMigrate(r) }

func gormMigrate(r *recorder) {
	db := openGORM(r)
	must(db.AutoMigrate(gormModels...))
	must(db.AutoMigrate(gormModels...)) // finds nothing to do
}

func gormFill(r *recorder) {
	gormSetup(r)
	must(openGORM(r).Create(gormPeople()).Error)
}

func gormPeople() []gormUser {
	text := func(s string) *string { return &s }
	birthday := time.Date(1990, 5, 6, 0, 0, 0, 0, time.UTC)
	german, dutch := &gormLanguage{Code: "de", Name: "German"}, &gormLanguage{Code: "nl", Name: "Dutch"}
	return []gormUser{
		{
			Name: "Ann", Email: text("ann@example.com"), Age: 30, Balance: 12.5, Active: true, Photo: []byte{0, 0xff}, Birthday: &birthday,
			Company: &gormCompany{Name: "Acme"}, Profile: &gormProfile{Bio: "likes x'41'"}, Languages: []*gormLanguage{german, dutch},
			Orders: []gormOrder{{Total: 10, Status: "paid", Placed: clock}, {Total: 20.25, Placed: clock.Add(time.Hour)}},
			Notes:  []gormNote{{Text: "first"}}, Settings: map[string]any{"theme": "dark", "size": 3},
		},
		{Name: "Bob", Email: text("bob@example.com"), Age: 40, Languages: []*gormLanguage{german}, Orders: []gormOrder{{Total: 5, Placed: clock}}},
		{Name: "Cid", Age: 20, Balance: -3},
	}
}

func gormMigrator(r *recorder) {
	db := openGORM(r)
	m := db.Migrator()
	must(db.Exec("INSERT INTO gorm_orders (total, status, placed) VALUES (1.5, 'kept', '2024-01-02 03:04:05')").Error)
	for _, found := range []bool{
		m.HasTable("gorm_users"), m.HasColumn(&gormUser{}, "Email"), m.HasIndex(&gormUser{}, "idx_name_age"),
		m.HasConstraint(&gormUser{}, "Company"), m.CurrentDatabase() != "",
	} {
		if !found {
			panic("something is not found")
		}
	}
	must1(m.GetTables())
	must1(m.ColumnTypes(&gormUser{}))
	must1(m.GetIndexes(&gormUser{}))
	must(m.DropColumn(&gormOrder{}, "Status"))
	must(m.AddColumn(&gormOrder{}, "Status"))
	must(m.AlterColumn(&gormOrder{}, "Total"))
	must(m.RenameColumn(&gormOrder{}, "placed", "placed_at"))
	must(m.RenameColumn(&gormOrder{}, "placed_at", "placed"))
	must(m.DropIndex(&gormUser{}, "idx_name_age"))
	must(m.CreateIndex(&gormUser{}, "idx_name_age"))
	must(m.RenameIndex(&gormUser{}, "idx_name_age", "idx_renamed"))
	must(m.DropConstraint(&gormOrder{}, "fk_gorm_users_orders"))
	must(m.CreateConstraint(&gormUser{}, "Orders"))
	must(m.CreateView("gorm_adults", gorm.ViewOption{Query: db.Model(&gormUser{}).Where("age >= ?", 18)}))
	must(m.DropView("gorm_adults"))
	must(m.RenameTable("gorm_pairs", "gorm_couples"))
	must(m.DropTable("gorm_couples", &gormNote{}))
}

func gormCreate(r *recorder) {
	db := openGORM(r)
	must(db.Create(gormPeople()).Error)
	must(db.Create(&gormUser{Name: "Dora"}).Error)
	must(db.Session(&gorm.Session{SkipDefaultTransaction: true}).Create(&gormUser{Name: "Eve"}).Error)
	must(db.Select("Name", "Age").Create(&gormUser{Name: "Finn", Age: 3, Balance: 9}).Error)
	must(db.Omit("Settings", "Photo").Create(&gormUser{Name: "Gus", Age: 4}).Error)
	must(db.Omit(clause.Associations).Create(&gormUser{Name: "Hal", Profile: &gormProfile{}}).Error)
	must(db.CreateInBatches([]gormOrder{{Total: 1, Placed: clock}, {Total: 2, Placed: clock}, {Total: 3, Placed: clock, Status: "x"}}, 2).Error)
	must(db.Model(&gormUser{}).Create(map[string]any{"Name": "Ida", "Age": 18}).Error)
	must(db.Model(&gormUser{}).Create(&[]map[string]any{{"Name": "Jo", "Age": 1}, {"Name": "Kim", "Age": 2}}).Error)
	must(db.Model(&gormUser{}).Create(map[string]any{"Name": clause.Expr{SQL: "upper(?)", Vars: []any{"lea"}}, "Age": 5}).Error)
	must(db.Create(&gormPair{A: 1, B: "one"}).Error)
	must(db.Create(&[]gormPair{{A: 2, B: "two", Value: "given", Count: 1}, {A: 3, B: "three", Value: "x"}}).Error)
	must(db.Clauses(clause.Returning{}).Create(&gormPair{A: 4, B: "four"}).Error)
	must(db.Clauses(clause.Returning{Columns: []clause.Column{{Name: "value"}}}).Create(&gormPair{A: 5, B: "five"}).Error)
	must(db.FirstOrCreate(&gormCompany{}, gormCompany{Name: "Born"}).Error)
	must(db.Where(gormCompany{Name: "Born"}).Attrs(gormCompany{ID: 90}).FirstOrCreate(&gormCompany{}).Error)
	must(db.Save(&gormCompany{Name: "Saved"}).Error)
}

func gormUpsert(r *recorder) {
	db := openGORM(r)
	must(db.Clauses(clause.OnConflict{DoNothing: true}).Create(&gormCompany{Name: "Acme"}).Error)
	must(db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, DoNothing: true}).Create(&gormCompany{Name: "Acme"}).Error)
	must(db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&[]gormCompany{{ID: 1, Name: "Acme & Co"}, {ID: 50, Name: "New"}}).Error)
	must(db.Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "a"}, {Name: "b"}},
		DoUpdates: clause.AssignmentColumns([]string{"value", "count"}),
	}).Create(&[]gormPair{{A: 1, B: "x", Value: "v"}, {A: 1, B: "x", Value: "w", Count: 3}}).Error)
	must(db.Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "a"}, {Name: "b"}},
		DoUpdates: clause.Assignments(map[string]any{"count": gorm.Expr("gorm_pairs.count + excluded.count")}),
		Where:     clause.Where{Exprs: []clause.Expression{clause.Lt{Column: clause.Column{Table: "gorm_pairs", Name: "count"}, Value: 100}}},
	}).Create(&gormPair{A: 1, B: "x", Count: 4}).Error)
	must(db.Clauses(clause.Insert{Modifier: "OR IGNORE"}).Create(&gormCompany{Name: "New"}).Error)
	must(db.Clauses(clause.Insert{Modifier: "OR REPLACE"}).Create(&gormCompany{Name: "New"}).Error)
	must(db.Save(&gormCompany{ID: 77, Name: "Saved under its id"}).Error)
	must(db.Save(&[]gormCompany{{ID: 77, Name: "Saved again"}, {ID: 78, Name: "and one more"}}).Error)
}

func gormRead(r *recorder) {
	db := openGORM(r)
	var u gormUser
	var all []gormUser
	must(db.First(&u).Error)
	must(db.First(&gormUser{}, 2).Error)
	must(db.First(&gormUser{}, "name = ?", "Bob").Error)
	must(db.Take(&gormUser{}).Error)
	must(db.Last(&gormUser{}).Error)
	mustFail(db.First(&gormUser{}, 1000).Error)
	must(db.Find(&all).Error)
	must(db.Find(&all, []int{1, 3}).Error)
	must(db.Limit(2).Offset(1).Order("age desc, name").Find(&all).Error)
	must(db.Offset(1).Limit(-1).Find(&all).Error)
	must(db.Select("name", "age").Find(&all).Error)
	must(db.Model(&gormUser{}).Select("coalesce(age, ?) AS age", 42).Scan(&[]struct{ Age int }{}).Error)
	must(db.Omit("photo").Find(&all).Error)
	must(db.Unscoped().Find(&all).Error)
	must(db.Distinct("active").Order("active").Find(&all).Error)
	must(db.Clauses(clause.OrderBy{Expression: clause.Expr{SQL: "CASE id WHEN ? THEN 0 ELSE id END", Vars: []any{3}}}).Find(&all).Error)
	var count int64
	must(db.Model(&gormUser{}).Count(&count).Error)
	must(db.Model(&gormUser{}).Where("age > ?", 20).Distinct("active").Count(&count).Error)
	must(db.Model(&gormUser{}).Group("active").Count(&count).Error)
	var names []string
	must(db.Model(&gormUser{}).Order("id").Pluck("name", &names).Error)
	must(db.Model(&gormUser{}).Distinct().Pluck("active", &[]bool{}).Error)
	var sums []struct {
		Active bool
		Total  float64
		Oldest int
	}
	must(db.Model(&gormUser{}).Select("active, sum(balance) AS total, max(age) AS oldest").Group("active").Having("count(*) > ?", 0).Order("active").Scan(&sums).Error)
	rows := must1(db.Model(&gormUser{}).Where("age > ?", 1).Order("id").Rows())
	for rows.Next() {
		must(db.ScanRows(rows, &gormUser{}))
	}
	must(rows.Close())
	must(db.Model(&gormUser{}).Where("id = ?", 1).Select("balance").Row().Scan(new(float64)))
	must(db.Where("age > ?", 1).FindInBatches(&all, 2, func(*gorm.DB, int) error { return nil }).Error)
	must(db.FirstOrInit(&gormUser{}, gormUser{Name: "nobody"}).Error)
	var some []struct{ Name string }
	must(db.Model(&gormUser{}).Find(&some).Error)
	must(db.Model(&gormCompany{}).Take(&map[string]any{}, 1).Error)
}

func gormConditions(r *recorder) {
	db := openGORM(r)
	var all []gormUser
	for _, query := range []*gorm.DB{
		db.Where("name <> ? AND age BETWEEN ? AND ?", "Bob", 1, 100),
		db.Where("name IN ?", []string{"Ann", "Bob"}),
		db.Where("(name, age) IN ?", [][]any{{"Ann", 30}, {"Bob", 41}}),
		db.Where("name LIKE ?", "%n%"),
		db.Where("birthday > ?", time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)),
		db.Where("active = ?", true),
		db.Where("photo = ?", []byte{0, 0xff}),
		db.Where("email IS NULL"),
		db.Where(&gormUser{Name: "Ann", Age: 30}),
		db.Where(&gormUser{Name: "Cid"}, "name", "Age"),
		db.Where(map[string]any{"name": "Ann", "age": []int{30, 31}, "email": nil}),
		db.Not("name = ?", "Ann"),
		db.Not(map[string]any{"name": []string{"Ann", "Bob"}}),
		db.Where("age = 1").Or("age = ?", 40).Or(&gormUser{Name: "Cid"}),
		db.Where(db.Where("age > 20").Where(db.Where("active").Or("balance = 0"))).Or("name = 'Cid'"),
		db.Where("name = @name OR email = @name OR age = @age", sql.Named("name", "Ann"), sql.Named("age", 20)),
		db.Where("name = @name", map[string]any{"name": "Ann"}),
		db.Where("age > (?)", db.Table("gorm_users").Select("avg(age)")),
		db.Where("id IN (?)", db.Model(&gormOrder{}).Select("user_id").Where("total > ?", 7)),
		db.Where("EXISTS (?)", db.Model(&gormOrder{}).Select("1").Where("user_id = gorm_users.id")),
		db.Table("(?) AS gorm_users", db.Model(&gormUser{}).Where("age > ?", 25)),
		db.Where(clause.Like{Column: "name", Value: "B%"}),
		db.Where(clause.And(clause.Gte{Column: "age", Value: 20}, clause.Neq{Column: "name", Value: nil})),
		db.Where(gorm.Expr("length(name) = ?", 3)),
		db.Scopes(func(q *gorm.DB) *gorm.DB { return q.Where("age < ?", 50) }).Limit(1),
		db.Model(&gormUser{}).Where("settings ->> 'theme' = ?", "dark"),
		db.InnerJoins("Company").Where("1 = 1"),
	} {
		must(query.Order("1").Find(&all).Error)
	}
}

func gormJoins(r *recorder) {
	db := openGORM(r)
	var all []gormUser
	must(db.Joins("Company").Joins("Profile").Order("gorm_users.id").Find(&all).Error)
	must(db.InnerJoins("Company", db.Where(&gormCompany{Name: "Acme"})).Find(&all).Error)
	must(db.Joins("LEFT JOIN gorm_orders o ON o.user_id = gorm_users.id AND o.total > ?", 7).Order("gorm_users.id, o.id").Find(&all).Error)
	must(db.Joins("JOIN (?) t ON t.user_id = gorm_users.id", db.Model(&gormOrder{}).Select("user_id, sum(total) total").Group("user_id")).
		Where("t.total > ?", 6).Find(&all).Error)
	must(db.Preload("Orders").Preload("Languages").Preload("Profile").Preload("Notes").Preload("Company").Order("id").Find(&all).Error)
	must(db.Preload("Orders", "total > ?", 7).Find(&all).Error)
	must(db.Preload("Orders", func(q *gorm.DB) *gorm.DB { return q.Order("total DESC") }).Find(&all).Error)
	must(db.Preload(clause.Associations).Find(&all).Error)
	var totals []struct {
		Name  string
		Total sql.NullFloat64
	}
	must(db.Model(&gormUser{}).Select("gorm_users.name, sum(o.total) AS total").Joins("LEFT JOIN gorm_orders o ON o.user_id = gorm_users.id").
		Group("gorm_users.name").Order("gorm_users.name").Scan(&totals).Error)
}

func gormUpdate(r *recorder) {
	db := openGORM(r)
	var u gormUser
	must(db.First(&u).Error)
	u.Name, u.Age = "Anna", 31
	must(db.Save(&u).Error)
	must(db.Model(&u).Update("name", "Annie").Error)
	must(db.Model(&u).Updates(gormUser{Name: "An", Age: 32}).Error)
	must(db.Model(&u).Updates(map[string]any{"name": "A", "active": false, "email": nil}).Error)
	must(db.Model(&u).Select("Name", "Age").Updates(gormUser{Name: "B", Age: 0}).Error)
	must(db.Model(&u).Omit("Name").Updates(map[string]any{"name": "C", "age": 18}).Error)
	must(db.Model(&gormUser{}).Where("active = ?", false).Update("balance", gorm.Expr("balance * ? + ?", 2, 1)).Error)
	must(db.Model(&u).UpdateColumn("photo", []byte{}).Error)
	must(db.Model(&u).UpdateColumns(map[string]any{"age": gorm.Expr("age + 1"), "balance": 7}).Error)
	must(db.Model(&u).Update("name", db.Model(&gormCompany{}).Select("name").Where("id = ?", 1)).Error)
	must(db.Table("gorm_orders").Where("total < ?", 15).Updates(map[string]any{"status": "small"}).Error)
	must(db.Session(&gorm.Session{AllowGlobalUpdate: true}).Model(&gormOrder{}).Update("status", "all").Error)
	mustFail(db.Model(&gormOrder{}).Update("status", "refused by GORM").Error)
	var changed []gormUser
	must(db.Model(&changed).Clauses(clause.Returning{}).Where("age > ?", 1).Update("age", 50).Error)
	must(db.Model(&changed).Clauses(clause.Returning{Columns: []clause.Column{{Name: "name"}, {Name: "age"}}}).Where("id = ?", 2).Update("age", 51).Error)
	must(db.Model(&gormUser{}).Where("id = ?", 1000).Update("name", "nobody").Error)
}

func gormDelete(r *recorder) {
	db := openGORM(r)
	must(db.Delete(&gormUser{}, 3).Error)
	must(db.Where("name LIKE ?", "B%").Delete(&gormUser{}).Error)
	must(db.Unscoped().Where("id = ?", 3).Delete(&gormUser{}).Error)
	must(db.Delete(&gormOrder{}, []int{1, 2}).Error)
	must(db.Delete(&gormOrder{ID: 3}).Error)
	var gone []gormLanguage
	must(db.Exec("DELETE FROM gorm_user_languages").Error)
	must(db.Clauses(clause.Returning{}).Where("code > ?", "a").Delete(&gone).Error)
	must(db.Clauses(clause.Returning{Columns: []clause.Column{{Name: "id"}}}).Where("1 = 1").Delete(&[]gormNote{}).Error)
	must(db.Session(&gorm.Session{AllowGlobalUpdate: true}).Delete(&gormProfile{}).Error)
	must(db.Select("Profile").Delete(&gormUser{Model: gorm.Model{ID: 1}}).Error)
	must(db.Unscoped().Delete(&gormUser{Model: gorm.Model{ID: 1}}).Error)
}

func gormAssociations(r *recorder) {
	db := openGORM(r)
	var u gormUser
	must(db.First(&u, 1).Error)
	languages := func() *gorm.Association { return db.Model(&u).Association("Languages") }
	must(languages().Find(&[]gormLanguage{}))
	if languages().Count() != 2 {
		panic("wrong count")
	}
	must(languages().Append(&gormLanguage{Code: "fr", Name: "French"}))
	must(languages().Replace(&gormLanguage{Code: "it", Name: "Italian"}, &gormLanguage{Code: "de", Name: "German"}))
	must(languages().Delete(&gormLanguage{Code: "it"}))
	must(languages().Clear())
	must(db.Model(&u).Association("Orders").Append(&gormOrder{Total: 99, Placed: clock}))
	must(db.Model(&u).Association("Orders").Replace(&gormOrder{Total: 98, Placed: clock}))
	must(db.Model(&u).Association("Company").Replace(&gormCompany{Name: "Other"}))
	must(db.Model(&u).Association("Company").Clear())
	must(db.Model(&u).Association("Notes").Append(&gormNote{Text: "second"}))
	must(db.Session(&gorm.Session{FullSaveAssociations: true}).Updates(&gormUser{Model: gorm.Model{ID: 1}, Profile: &gormProfile{ID: 1, Bio: "new"}}).Error)
}

func gormTransactions(r *recorder) {
	db := openGORM(r)
	stop := errors.New("stop")
	must(db.Transaction(func(tx *gorm.DB) error {
		must(tx.Create(&gormCompany{Name: "outer"}).Error)
		mustFail(tx.Transaction(func(inner *gorm.DB) error {
			must(inner.Create(&gormCompany{Name: "inner, rolled back"}).Error)
			return stop
		}))
		return tx.Transaction(func(inner *gorm.DB) error {
			return inner.Create(&gormCompany{Name: "inner, kept"}).Error
		})
	}))
	mustFail(db.Transaction(func(tx *gorm.DB) error {
		must(tx.Create(&gormCompany{Name: "rolled back"}).Error)
		return stop
	}))
	tx := db.Begin()
	must(tx.Create(&gormCompany{Name: "before"}).Error)
	must(tx.SavePoint("mark").Error)
	must(tx.Create(&gormCompany{Name: "after"}).Error)
	must(tx.RollbackTo("mark").Error)
	must(tx.Commit().Error)
	tx = db.Begin(&sql.TxOptions{Isolation: sql.LevelDefault})
	must(tx.Delete(&gormCompany{}, "name = ?", "outer").Error)
	must(tx.Rollback().Error)
}

func gormFailures(r *recorder) {
	db := openGORM(r)
	missing := int64(1000)
	must(db.Transaction(func(tx *gorm.DB) error {
		must(tx.Create(&gormCompany{Name: "first"}).Error)
		mustFail(tx.Create(&gormCompany{Name: "Acme"}).Error)                             // unique
		mustFail(tx.Create(&gormUser{Name: "X", CompanyID: &missing}).Error)              // foreign key
		mustFail(tx.Create(&gormUser{Name: "X", Age: 250}).Error)                         // check
		mustFail(tx.Create(&gormCompany{ID: 1, Name: "other"}).Error)                     // primary key
		mustFail(tx.Exec("INSERT INTO gorm_companies (name) VALUES (?)", nil).Error)      // not null
		mustFail(tx.Exec("SELEC 1").Error)                                                // syntax
		mustFail(tx.Raw("SELECT * FROM nowhere").Scan(&[]gormCompany{}).Error)            // no table
		mustFail(tx.Model(&gormCompany{}).Where("1 = 1").Update("nothing", "here").Error) // no column
		return tx.Create(&gormCompany{Name: "last"}).Error
	}))
	mustFail(db.Create(&gormCompany{Name: "Acme"}).Error)
}

func gormRaw(r *recorder) {
	db := openGORM(r)
	var names []string
	must(db.Raw("SELECT name FROM gorm_users WHERE age > ? ORDER BY name", 20).Scan(&names).Error)
	must(db.Raw("SELECT name FROM gorm_users WHERE age > @age ORDER BY name", map[string]any{"age": 20}).Scan(&names).Error)
	must(db.Raw("WITH old AS (SELECT * FROM gorm_users WHERE age >= ?) SELECT name FROM old ORDER BY 1", 30).Scan(&names).Error)
	must(db.Raw("SELECT name, row_number() OVER (PARTITION BY active ORDER BY age) FROM gorm_users ORDER BY 2, 1").Scan(&[]map[string]any{}).Error)
	must(db.Exec("UPDATE gorm_users SET age = ? WHERE name = ?", 77, "Ann").Error)
	must(db.Exec("UPDATE gorm_orders SET status = ? WHERE id IN ?", "raw", []int{1, 2}).Error)
	must(db.Raw("UPDATE gorm_users SET age = age + 1 RETURNING name, age").Scan(&[]gormUser{}).Error)
	must(db.Exec("DELETE FROM gorm_orders WHERE placed < ?", clock.Add(time.Minute)).Error)
	must(db.Connection(func(one *gorm.DB) error { return one.Exec("UPDATE gorm_users SET balance = 1").Error }))
}

func gormPrepared(r *recorder) {
	db := openGORM(r).Session(&gorm.Session{PrepareStmt: true})
	for _, name := range []string{"P1", "P2"} {
		must(db.Create(&gormCompany{Name: name}).Error)
		must(db.Where("name = ?", name).First(&gormCompany{}).Error)
		must(db.Model(&gormCompany{}).Where("name = ?", name).Update("name", name+"x").Error)
		must(db.Transaction(func(tx *gorm.DB) error {
			must(tx.Find(&[]gormCompany{}, "name LIKE ?", "P%").Error)
			return tx.Delete(&gormCompany{}, "name = ?", name+"x").Error
		}))
	}
}

func gormGenerics(r *recorder) {
	db := openGORM(r)
	ctx := context.Background()
	must(gorm.G[gormCompany](db).Create(ctx, &gormCompany{Name: "G"}))
	must1(gorm.G[gormCompany](db).Where("name = ?", "G").First(ctx))
	must1(gorm.G[gormUser](db).Where("age > ?", 1).Order("id").Limit(2).Find(ctx))
	must1(gorm.G[gormUser](db).Where("name = ?", "Ann").Update(ctx, "age", 44))
	must1(gorm.G[gormUser](db).Where("name = ?", "Ann").Updates(ctx, gormUser{Age: 45, Name: "Anne"}))
	must1(gorm.G[gormUser](db).Count(ctx, "*"))
	must1(gorm.G[gormOrder](db).Where("id = ?", 1).Delete(ctx))
	must1(gorm.G[gormUser](db).Raw("SELECT * FROM gorm_users WHERE id = ?", 1).Find(ctx))
	must(gorm.G[gormCompany](db, clause.OnConflict{DoNothing: true}).CreateInBatches(ctx, &[]gormCompany{{Name: "G"}, {Name: "H"}}, 10))
}
