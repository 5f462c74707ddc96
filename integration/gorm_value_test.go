package integration_test

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Point is stored as a text.
type Point struct{ X, Y int }

// Value implements driver.Valuer.
func (p Point) Value() (driver.Value, error) { return fmt.Sprintf("%d;%d", p.X, p.Y), nil }

// Scan implements sql.Scanner.
func (p *Point) Scan(value any) error {
	_, err := fmt.Sscanf(fmt.Sprint(value), "%d;%d", &p.X, &p.Y)
	return err
}

// GormDataType implements schema.GormDataTypeInterface.
func (Point) GormDataType() string { return "text" }

// Audit is embedded.
type Audit struct {
	By string
	At time.Time
}

// Sample has a field of every sort.
type Sample struct {
	ID     int64
	Int    int64
	Small  int8
	Uint   uint32
	Float  float64
	Bool   bool
	Maybe  *bool
	Text   string
	Bytes  []byte
	Null   sql.NullString
	When   time.Time
	Later  *time.Time
	Unix   int64          `gorm:"autoCreateTime:milli"`
	Tags   []string       `gorm:"serializer:json"`
	Extra  map[string]any `gorm:"serializer:json"`
	Secs   int64          `gorm:"serializer:unixtime;type:datetime"`
	Spot   Point
	Audit  `gorm:"embedded;embeddedPrefix:audit_"`
	Hidden string `gorm:"-"`
}

var gormValueScenarios = []gormScenario{
	{name: "values: come back as they went", run: func(g *gormRun) {
		g.migrate(&Sample{})
		yes, zone := true, time.FixedZone("", 5*3600+1800)
		later := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
		s := Sample{
			Int: math.MaxInt64, Small: -128, Uint: math.MaxUint32, Float: 0.1, Bool: true, Maybe: &yes,
			Text: "x'41' \x00 \u2028 “emoji” 🦊", Bytes: []byte{0, 0xff, 'x'}, Null: sql.NullString{String: "", Valid: true},
			When: time.Date(2024, 2, 29, 23, 59, 59, 123456789, zone), Later: &later,
			Tags: []string{"a", "b"}, Extra: map[string]any{"n": 1.5, "deep": []any{"x"}}, Secs: 1700000000,
			Spot: Point{3, -4}, Audit: Audit{"Ann", later}, Hidden: "not stored",
		}
		g.must(g.db.Create(&s))
		var got Sample
		g.must(g.db.First(&got, s.ID))
		assert.True(g, s.When.Equal(got.When))
		assert.True(g, later.Equal(*got.Later))
		assert.True(g, later.Equal(got.At))
		_, offset := got.When.Zone()
		assert.Equal(g, 5*3600+1800, offset, "the zone is kept")
		got.When, got.Later, got.At, s.Hidden = s.When, s.Later, s.At, ""
		assert.Equal(g, s, got)
	}},
	{name: "values: zero and NULL", run: func(g *gormRun) {
		g.migrate(&Sample{})
		s := Sample{Bytes: []byte{}}
		g.must(g.db.Create(&s))
		var got Sample
		g.must(g.db.First(&got, s.ID))
		assert.Nil(g, got.Maybe)
		assert.Nil(g, got.Later)
		assert.False(g, got.Null.Valid)
		assert.NotNil(g, got.Bytes)
		assert.Empty(g, got.Bytes)
		assert.True(g, got.When.IsZero())
		assert.NotZero(g, got.Unix)
		assert.Nil(g, got.Tags)
	}},
	{name: "values: times compare and sort", run: func(g *gormRun) {
		g.migrate(&Sample{})
		start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
		for i := range 5 {
			g.must(g.db.Create(&Sample{Int: int64(i), When: start.AddDate(0, 0, i)}))
		}
		var found []Sample
		g.must(g.db.Where("\"when\" > ? AND \"when\" <= ?", start, start.AddDate(0, 0, 3)).Order("\"when\" DESC").Find(&found))
		require.Len(g, found, 3)
		assert.EqualValues(g, 3, found[0].Int)
		var day string
		g.must(g.db.Model(&Sample{}).Select("strftime('%d', \"when\")").Where("`int` = 4").Scan(&day))
		assert.Equal(g, "05", day)
	}},
	{name: "values: large", run: func(g *gormRun) {
		g.migrate(&Sample{})
		s := Sample{Bytes: []byte(strings.Repeat("\x00\xff", 300_000)), Text: strings.Repeat("é", 200_000)}
		g.must(g.db.Create(&s))
		var got Sample
		g.must(g.db.First(&got, s.ID))
		assert.True(g, s.Text == got.Text && string(s.Bytes) == string(got.Bytes))
	}},
	{name: "values: composite keys", run: func(g *gormRun) {
		g.migrate(&Entry{})
		g.must(g.db.Create(&[]Entry{{"x", 1, 10}, {"x", 2, 20}, {"y", 1, 30}}))
		e := Entry{Book: "x", Line: 2}
		g.must(g.db.First(&e))
		assert.Equal(g, 20, e.Amount)
		g.must(g.db.Model(&e).Update("amount", 21))
		g.must(g.db.Delete(&[]Entry{{Book: "x", Line: 1}, {Book: "y", Line: 1}}))
		var left []Entry
		g.must(g.db.Find(&left))
		assert.Equal(g, []Entry{{"x", 2, 21}}, left)
	}},
	{name: "values: JSON in SQL", run: func(g *gormRun) {
		g.migrate(&Sample{})
		g.must(g.db.Create(&Sample{Extra: map[string]any{"color": "red", "size": 3}}))
		g.must(g.db.Create(&Sample{Extra: map[string]any{"color": "blue"}}))
		var n int64
		g.must(g.db.Model(&Sample{}).Where("json_extract(extra, '$.color') = ?", "red").Count(&n))
		assert.EqualValues(g, 1, n)
		var sizes []int
		g.must(g.db.Model(&Sample{}).Order("id").Pluck("coalesce(extra ->> 'size', 0)", &sizes))
		assert.Equal(g, []int{3, 0}, sizes)
	}},
}
