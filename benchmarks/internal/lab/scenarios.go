package lab

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/rqlite/gorqlite"
)

// Scenarios returns all of them.
func Scenarios() []*Scenario {
	return []*Scenario{
		PointSelect, ScanRows, ScanWide, ScanMillion, Insert, ReadBlob, WriteBlob,
		Tx1, Tx3, Tx10, Tx100, TxReadOnly,
	}
}

// record4 is a row of bench_rows.
type record4 struct {
	id    int64
	name  string
	score float64
	n     int64
}

var errWrongRows = errors.New("other rows than there are")

const pointID = 7

const pointQuery = "SELECT id, name, score, n FROM bench_rows WHERE id = ?"

// PointSelect reads one row of four columns by its key.
var PointSelect = &Scenario{
	Name: "PointSelect",
	driver: func(_ *Site, db *sql.DB) Operation {
		return func(ctx context.Context) error {
			var r record4
			if err := db.QueryRowContext(ctx, pointQuery, pointID).Scan(&r.id, &r.name, &r.score, &r.n); err != nil {
				return err
			}
			return check(r.id == pointID)
		}
	},
	others: []contender{{"gorqlite", func(s *Site) Operation {
		return func(ctx context.Context) error {
			var r record4
			rows, err := s.gorqlite.QueryOneParameterizedContext(ctx, gorqlite.ParameterizedStatement{Query: pointQuery, Arguments: []any{pointID}})
			if err != nil {
				return err
			}
			if !rows.Next() {
				return errWrongRows
			}
			if err := rows.Scan(&r.id, &r.name, &r.score, &r.n); err != nil {
				return err
			}
			return check(r.id == pointID)
		}
	}}},
}

func check(ok bool) error {
	if !ok {
		return errWrongRows
	}
	return nil
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
			return errWrongRows
		}
	}
	return errors.Join(rows.Err(), check(n == want))
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
			return errWrongRows
		}
	}
	return errors.Join(rows.Err(), check(n == want))
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
			return errWrongRows
		}
	}
	return check(n == want)
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
			return errors.Join(rows.Err(), check(n == s.wideRows()))
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
			return check(n == s.wideRows())
		}
	}}},
}

const insertQuery = "INSERT INTO bench_insert(name, score, n) VALUES (?, ?, ?)"

// Insert inserts one row.
var Insert = &Scenario{
	Name: "Insert",
	driver: func(_ *Site, db *sql.DB) Operation {
		return func(ctx context.Context) error {
			result, err := db.ExecContext(ctx, insertQuery, "a name", 1.5, 42)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			return errors.Join(err, check(n == 1))
		}
	},
	others: []contender{{"driver-unmarked", func(s *Site) Operation {
		return func(ctx context.Context) error {
			_, err := s.unmarked.ExecContext(ctx, insertQuery, "a name", 1.5, 42)
			return err
		}
	}}, {"gorqlite", func(s *Site) Operation {
		return func(ctx context.Context) error {
			result, err := s.gorqlite.WriteOneParameterizedContext(ctx, gorqlite.ParameterizedStatement{
				Query: insertQuery, Arguments: []any{"a name", 1.5, 42},
			})
			if err != nil {
				return err
			}
			return check(result.RowsAffected == 1)
		}
	}}},
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
			return check(bytes.Equal(got, want))
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
				return errWrongRows
			}
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			got, err := base64.StdEncoding.DecodeString(text)
			return errors.Join(err, check(bytes.Equal(got, want)))
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
