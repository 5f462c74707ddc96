package lab

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/rqlite/gorqlite"

	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// Scenarios returns all of them.
func Scenarios() []*Scenario {
	return append([]*Scenario{
		PointSelect, ScanRows, ScanTimes, ScanWide, ScanMillion, Insert, ReadBlob, WriteBlob,
		Tx1, Tx3, Tx10, Tx100, TxReadOnly,
	}, Loops()...)
}

// record4 is a row of bench_rows.
type record4 struct {
	id    int64
	name  string
	score float64
	n     int64
}

// PointSelect reads one row of four columns by its key.
var PointSelect = &Scenario{
	Name:   "PointSelect",
	driver: func(_ *Site, db *sql.DB) Operation { return once(load.Select(db, load.SelectQuery)) },
	others: []contender{{"gorqlite", func(s *Site) Operation { return once(gorqliteSelect(s.gorqlite, load.SelectQuery)) }}},
}

const rowsQuery = "SELECT id, name, score, n FROM bench_rows"

// ScanRows reads 100,000 rows of an integer, a text, a real and an integer.
var ScanRows = &Scenario{
	Name: "ScanRows",
	driver: func(s *Site, db *sql.DB) Operation {
		return func(ctx context.Context) error { return scanRecords(ctx, db, rowsQuery, s.rows) }
	},
	others: []contender{
		{"driver-any", func(s *Site) Operation {
			return func(ctx context.Context) error { return scanAny(ctx, s.db, rowsQuery, s.rows) }
		}},
		{"gorqlite", func(s *Site) Operation {
			return func(ctx context.Context) error { return gorqliteRecords(ctx, s, rowsQuery, s.rows) }
		}},
	},
}

// timesQuery reads a DATETIME, too. The times are whole seconds from timesStart on: of
// others, gorqlite parses those that the server sends in RFC 3339.
const (
	timesQuery = "SELECT id, name, score, at FROM bench_times"
	timesStart = 1_700_000_000 // Unix time
)

// recordAt is a row of bench_times.
type recordAt struct {
	id    int64
	name  string
	score float64
	at    time.Time
}

func (r *recordAt) check() error { return load.Check(r.at.Unix() == timesStart+r.id) }

// ScanTimes reads as many rows as ScanRows, with a DATETIME in place of the last integer.
var ScanTimes = &Scenario{
	Name: "ScanTimes",
	driver: func(s *Site, db *sql.DB) Operation {
		return func(ctx context.Context) error {
			rows, err := db.QueryContext(ctx, timesQuery)
			if err != nil {
				return err
			}
			defer rows.Close()
			var r recordAt
			n := 0
			for ; rows.Next(); n++ {
				if err := errors.Join(rows.Scan(&r.id, &r.name, &r.score, &r.at), r.check()); err != nil {
					return err
				}
			}
			return errors.Join(rows.Err(), load.Check(n == s.rows))
		}
	},
	others: []contender{{"gorqlite", func(s *Site) Operation {
		return func(ctx context.Context) error {
			rows, err := s.gorqlite.QueryOneContext(ctx, timesQuery)
			if err != nil {
				return err
			}
			var r recordAt
			n := 0
			for ; rows.Next(); n++ {
				if err := errors.Join(rows.Scan(&r.id, &r.name, &r.score, &r.at), r.check()); err != nil {
					return err
				}
			}
			return load.Check(n == s.rows)
		}
	}}},
}

// millionQuery reads every row ten times.
const millionQuery = "SELECT r.id, r.name, r.score, r.n FROM bench_rows r, bench_ten"

// ScanMillion reads 1,000,000 such rows: what counts is that memory stays flat.
var ScanMillion = &Scenario{
	Name:   "ScanMillion",
	Memory: true,
	driver: func(s *Site, db *sql.DB) Operation {
		return func(ctx context.Context) error { return scanRecords(ctx, db, millionQuery, 10*s.rows) }
	},
	others: []contender{{"gorqlite", func(s *Site) Operation {
		return func(ctx context.Context) error { return gorqliteRecords(ctx, s, millionQuery, 10*s.rows) }
	}}},
}

func scanRecords(ctx context.Context, db *sql.DB, query string, want int) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	var r record4
	n := 0
	for ; rows.Next(); n++ {
		if err := rows.Scan(&r.id, &r.name, &r.score, &r.n); err != nil {
			return err
		}
		if r.id == 0 || r.score == 0 || len(r.name) != 26 || r.n == 0 {
			return load.ErrWrongRows
		}
	}
	return errors.Join(rows.Err(), load.Check(n == want))
}

func scanAny(ctx context.Context, db *sql.DB, query string, want int) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	var values [4]any
	n := 0
	for ; rows.Next(); n++ {
		if err := rows.Scan(&values[0], &values[1], &values[2], &values[3]); err != nil {
			return err
		}
		if values[3] == nil {
			return load.ErrWrongRows
		}
	}
	return errors.Join(rows.Err(), load.Check(n == want))
}

func gorqliteRecords(ctx context.Context, s *Site, query string, want int) error {
	rows, err := s.gorqlite.QueryOneContext(ctx, query)
	if err != nil {
		return err
	}
	var r record4
	n := 0
	for ; rows.Next(); n++ {
		if err := rows.Scan(&r.id, &r.name, &r.score, &r.n); err != nil {
			return err
		}
		if r.id == 0 || r.score == 0 || len(r.name) != 26 || r.n == 0 {
			return load.ErrWrongRows
		}
	}
	return load.Check(n == want)
}

const wideQuery = "SELECT * FROM bench_wide"

// wideRow has the variables for a row of bench_wide.
type wideRow struct {
	numbers [wideColumns]int64
	texts   [wideColumns]string
	dest    []any
}

func newWideRow() *wideRow {
	w := &wideRow{}
	for i := range wideColumns {
		if i%2 == 0 {
			w.dest = append(w.dest, &w.numbers[i])
		} else {
			w.dest = append(w.dest, &w.texts[i])
		}
	}
	return w
}

// ScanWide reads 5,000 rows of fifty columns.
var ScanWide = &Scenario{
	Name: "ScanWide",
	driver: func(s *Site, db *sql.DB) Operation {
		return func(ctx context.Context) error {
			rows, err := db.QueryContext(ctx, wideQuery)
			if err != nil {
				return err
			}
			defer rows.Close()
			w, n := newWideRow(), 0
			for ; rows.Next(); n++ {
				if err := rows.Scan(w.dest...); err != nil {
					return err
				}
			}
			return errors.Join(rows.Err(), load.Check(n == s.wideRows()))
		}
	},
	others: []contender{{"gorqlite", func(s *Site) Operation {
		return func(ctx context.Context) error {
			rows, err := s.gorqlite.QueryOneContext(ctx, wideQuery)
			if err != nil {
				return err
			}
			w, n := newWideRow(), 0
			for ; rows.Next(); n++ {
				if err := rows.Scan(w.dest...); err != nil {
					return err
				}
			}
			return load.Check(n == s.wideRows())
		}
	}}},
}

// insertColumns are those of the tables that rows are inserted into.
const insertColumns = "(id INTEGER PRIMARY KEY, name TEXT, score REAL, n INTEGER)"

// insertInto returns a statement with three parameters: a text, a real and an integer.
func insertInto(table string) string {
	return "INSERT INTO " + table + "(name, score, n) VALUES (?, ?, ?)"
}

var insertQuery = insertInto("bench_insert")

// Insert inserts one row.
var Insert = &Scenario{
	Name:   "Insert",
	driver: func(_ *Site, db *sql.DB) Operation { return once(load.Insert(db, insertQuery)) },
	others: []contender{
		{"driver-unmarked", func(s *Site) Operation { return once(load.Insert(s.unmarked, insertQuery)) }},
		{"gorqlite", func(s *Site) Operation { return once(gorqliteInsert(s.gorqlite, insertQuery)) }},
	},
}

const blobQuery = "SELECT b FROM bench_blob WHERE id = 1"

// ReadBlob reads a BLOB of 1 MiB.
var ReadBlob = &Scenario{
	Name: "ReadBlob",
	driver: func(s *Site, db *sql.DB) Operation {
		want := s.blob()
		return func(ctx context.Context) error {
			var got []byte
			if err := db.QueryRowContext(ctx, blobQuery).Scan(&got); err != nil {
				return err
			}
			return load.Check(bytes.Equal(got, want))
		}
	},
	// gorqlite asks for BLOBs as base64, and leaves it to the program to know that.
	others: []contender{{"gorqlite", func(s *Site) Operation {
		want := s.blob()
		return func(ctx context.Context) error {
			rows, err := s.gorqlite.QueryOneContext(ctx, blobQuery)
			if err != nil {
				return err
			}
			if !rows.Next() {
				return load.ErrWrongRows
			}
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			got, err := base64.StdEncoding.DecodeString(text)
			return errors.Join(err, load.Check(bytes.Equal(got, want)))
		}
	}}},
}

const blobUpdate = "UPDATE bench_blob SET b = ? WHERE id = 1"

// WriteBlob writes a BLOB of 1 MiB.
var WriteBlob = &Scenario{
	Name: "WriteBlob",
	driver: func(s *Site, db *sql.DB) Operation {
		blob := s.blob()
		return func(ctx context.Context) error {
			_, err := db.ExecContext(ctx, blobUpdate, blob)
			return err
		}
	},
	// gorqlite would store a []byte as a text in base64. The program has to send
	// the text that rqlite takes for a BLOB.
	others: []contender{{"gorqlite", func(s *Site) Operation {
		blob := s.blob()
		return func(ctx context.Context) error {
			_, err := s.gorqlite.WriteOneParameterizedContext(ctx, gorqlite.ParameterizedStatement{
				Query: blobUpdate, Arguments: []any{fmt.Sprintf("x'%s'", hex.EncodeToString(blob))},
			})
			return err
		}
	}}},
}
