package load

import (
	"context"
	"database/sql"
	"errors"
)

// SelectQuery reads a row by its key.
const SelectQuery = "SELECT id, name, score, n FROM bench_rows WHERE id = ?"

// The row that Insert inserts, and the key that Select asks for. gorqlite's
// database/sql driver reads integers as float64, and database/sql turns those of seven
// digits into texts that it cannot scan into an integer: the row of PointID has none.
const (
	Name    = "a name"
	Score   = 1.5
	N       = 42
	PointID = 7
)

// ErrWrongRows is what operations return that get other rows than there are.
var ErrWrongRows = errors.New("other rows than there are")

// Check returns ErrWrongRows unless the rows are right.
func Check(ok bool) error {
	if !ok {
		return ErrWrongRows
	}
	return nil
}

// Insert returns an operation that inserts a row of a text, a real and an integer.
func Insert(db *sql.DB, query string) Operation {
	return func(ctx context.Context, _ int) error {
		result, err := db.ExecContext(ctx, query, Name, Score, N)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		return errors.Join(err, Check(n == 1))
	}
}

// Select returns an operation that reads an integer, a text, a real and an integer
// by a key, which is the first of them.
func Select(db *sql.DB, query string) Operation {
	return func(ctx context.Context, _ int) error {
		var id, n int64
		var name string
		var score float64
		if err := db.QueryRowContext(ctx, query, PointID).Scan(&id, &name, &score, &n); err != nil {
			return err
		}
		return Check(id == PointID)
	}
}
