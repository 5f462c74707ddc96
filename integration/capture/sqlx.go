package main

import (
	"context"
	"database/sql"
	"time"

	"github.com/jmoiron/sqlx"
)

var sqlxScenarios = []scenario{
	{"named", sqlxSetup, sqlxNamed},
	{"reads", sqlxFill, sqlxReads},
	{"statements", sqlxFill, sqlxStatements},
	{"transaction", sqlxFill, sqlxTransaction},
	{"script", nil, sqlxScript},
}

type sqlxPlace struct {
	ID      int64           `db:"id"`
	Country string          `db:"country"`
	City    sql.NullString  `db:"city"`
	Code    int             `db:"telcode"`
	Area    sql.NullFloat64 `db:"area"`
	Open    bool            `db:"open"`
	Map     []byte          `db:"map"`
	Since   *time.Time      `db:"since"`
}

const (
	sqlxInsert = `INSERT INTO place (country, city, telcode, area, open, map, since) VALUES (:country, :city, :telcode, :area, :open, :map, :since)`
	sqlxSchema = `
CREATE TABLE place (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    country text NOT NULL,
    city text NULL,
    telcode integer UNIQUE,
    area real,
    open boolean NOT NULL DEFAULT false,
    map blob,
    since timestamp
);
CREATE TABLE person (
    first_name text,
    last_name text,
    email text,
    place integer REFERENCES place (id) ON DELETE CASCADE
);
CREATE INDEX person_email ON person (email);`
)

func openSQLX(r *recorder) *sqlx.DB { return sqlx.NewDb(r.db, "sqlite3") }

func sqlxScript(r *recorder) { openSQLX(r).MustExec(sqlxSchema) }

func sqlxSetup(r *recorder) { sqlxScript(r) }

func sqlxFill(r *recorder) {
	sqlxSetup(r)
	db := openSQLX(r)
	must1(db.NamedExec(sqlxInsert, sqlxPlaces()))
	db.MustExec("INSERT INTO person (first_name, last_name, email, place) VALUES ($1, $2, $3, $4)", "Ann", "Lee", "ann@example.com", 1)
	db.MustExec("INSERT INTO person (first_name, last_name, email, place) VALUES (?, ?, ?, ?)", "Bob", nil, "bob@example.com", 2)
}

func sqlxPlaces() []sqlxPlace {
	since := time.Date(1997, 7, 1, 0, 0, 0, 0, time.FixedZone("", 8*3600))
	return []sqlxPlace{
		{Country: "Hong Kong", Code: 852, Area: sql.NullFloat64{Float64: 1114, Valid: true}, Open: true, Map: []byte{1, 0, 0xfe}, Since: &since},
		{Country: "Singapore", City: sql.NullString{String: "Singapore", Valid: true}, Code: 65, Map: []byte{}},
		{Country: "Nowhere"},
	}
}

func sqlxNamed(r *recorder) {
	db := openSQLX(r)
	must1(db.NamedExec(sqlxInsert, sqlxPlaces()[0]))
	must1(db.NamedExec(sqlxInsert, sqlxPlaces()[1:]))
	must1(db.NamedExec("UPDATE place SET city = :city WHERE telcode = :code", map[string]any{"city": "Central", "code": 852}))
	rows := must1(db.NamedQuery("SELECT * FROM place WHERE country = :country OR telcode = :telcode ORDER BY id", sqlxPlace{Country: "Singapore", Code: 852}))
	for rows.Next() {
		must(rows.StructScan(&sqlxPlace{}))
	}
	must(rows.Close())
	stmt := must1(db.PrepareNamed("SELECT * FROM place WHERE telcode = :code"))
	must(stmt.Get(&sqlxPlace{}, map[string]any{"code": 65}))
	must(stmt.Close())
	insert := must1(db.PrepareNamed("INSERT INTO place (country, telcode) VALUES (:country, :telcode) RETURNING id"))
	var id int64
	must(insert.Get(&id, sqlxPlace{Country: "Malta", Code: 356}))
	must(insert.Get(&id, sqlxPlace{Country: "Peru", Code: 51}))
	mustFail(insert.Get(&id, sqlxPlace{Country: "Peru", Code: 51}))
	must(insert.Close())
}

func sqlxReads(r *recorder) {
	db := openSQLX(r)
	var places []sqlxPlace
	must(db.Select(&places, "SELECT * FROM place ORDER BY telcode ASC"))
	must(db.Select(&places, "SELECT * FROM place WHERE telcode > ?", 100))
	must(db.Get(&sqlxPlace{}, "SELECT * FROM place WHERE id = $1", 1))
	must(db.Get(&sqlxPlace{}, "SELECT * FROM place LIMIT 1"))
	must(db.Get(new(int), "SELECT count(*) FROM place"))
	mustFail(db.Get(&sqlxPlace{}, "SELECT * FROM place WHERE id = -1"))
	query, args, err := sqlx.In("SELECT * FROM place WHERE telcode IN (?) AND country <> ? ORDER BY id", []int{65, 852}, "x")
	must(err)
	must(db.Select(&places, db.Rebind(query), args...))
	query, args, err = sqlx.Named("SELECT * FROM place WHERE telcode IN (:codes)", map[string]any{"codes": []int{65, 852}})
	must(err)
	query, args, err = sqlx.In(query, args...)
	must(err)
	must(db.Select(&places, db.Rebind(query), args...))
	rows := must1(db.Queryx("SELECT p.*, count(q.email) AS people FROM place p LEFT JOIN person q ON q.place = p.id GROUP BY p.id HAVING people > ? ORDER BY p.id", 0))
	for rows.Next() {
		must(rows.MapScan(map[string]any{}))
	}
	must(rows.Close())
	must1(db.QueryRowx("SELECT * FROM person WHERE first_name = ?", "Bob").SliceScan())
	must(db.Select(&[]string{}, "SELECT DISTINCT country FROM place UNION SELECT last_name FROM person WHERE last_name IS NOT NULL ORDER BY 1"))
	must(db.Select(&[]string{}, "SELECT first_name FROM person WHERE email = @p1 AND place = @p2", sql.Named("p1", "ann@example.com"), sql.Named("p2", 1)))
}

func sqlxStatements(r *recorder) {
	db := openSQLX(r)
	stmt := must1(db.Preparex("SELECT * FROM place WHERE telcode = ?"))
	for _, code := range []int{65, 852} {
		must(stmt.Get(&sqlxPlace{}, code))
	}
	must(stmt.Close())
	update := must1(db.Preparex("UPDATE place SET area = ?, since = ? WHERE id = ?"))
	update.MustExec(1.5, clock, 1)
	update.MustExec(nil, nil, 2)
	must(update.Close())
	var area sql.NullFloat64
	must(db.Get(&area, "UPDATE place SET area = coalesce(area, 0) + 1 WHERE id = ? RETURNING area", 1))
	db.MustExec("DELETE FROM person WHERE place IN (SELECT id FROM place WHERE telcode = ?)", 65)
	result := db.MustExec("INSERT OR REPLACE INTO place (id, country) VALUES (?, ?)", 3, "Utopia")
	must1(result.LastInsertId())
}

func sqlxTransaction(r *recorder) {
	db := openSQLX(r)
	tx := db.MustBegin()
	tx.MustExec("INSERT INTO person (first_name, last_name, email) VALUES ($1, $2, $3)", "Jason", "Moiron", "jmoiron@jmoiron.net")
	must1(tx.NamedExec("INSERT INTO person (first_name, last_name, email) VALUES (:f, :l, :e)", map[string]any{"f": "Jane", "l": "Citizen", "e": "jane@example.com"}))
	must(tx.Select(&[]string{}, "SELECT email FROM person ORDER BY email"))
	must(tx.Get(new(int), "SELECT count(*) FROM person"))
	must1(tx.Exec("SAVEPOINT inner"))
	must1(tx.Exec("DELETE FROM person"))
	must1(tx.Exec("ROLLBACK TO SAVEPOINT inner"))
	must1(tx.Exec("RELEASE SAVEPOINT inner"))
	stmt := must1(tx.Preparex("UPDATE person SET place = ? WHERE email = ?"))
	must1(stmt.Exec(1, "jane@example.com"))
	_, err := stmt.Exec(1000, "jane@example.com")
	mustFail(err)
	named := must1(tx.PrepareNamed("SELECT * FROM person WHERE email = :email"))
	must1(named.QueryRowx(map[string]any{"email": "jane@example.com"}).SliceScan())
	must(tx.Commit())
	tx = must1(db.BeginTxx(context.Background(), nil))
	tx.MustExec("DELETE FROM place")
	must(tx.Get(new(int), "SELECT count(*) FROM person"))
	must(tx.Rollback())
}
