package lab

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/rqlite/gorqlite"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// Loops returns transactions that execute one statement many times, by a prepared statement
// unless they want its rows. Next to the modes of transactions there are an atomic Batch, gorqlite
// and SQLite.
func Loops() []*Scenario {
	var list []*Scenario
	for _, n := range []int{10, 100, 1_000, 10_000, 100_000} {
		list = append(list, insertLoop.scenario(n))
	}
	for _, n := range []int{100, 1_000, 10_000, 100_000} {
		list = append(list, idsLoop.scenario(n), returningLoop.scenario(n))
	}
	for _, n := range []int{1_000, 10_000} {
		list = append(list, updateLoop.scenario(n), deleteLoop.scenario(n))
	}
	return append(list, countLoop.scenario(100))
}

// loop is a transaction that executes one statement for the numbers from 1 to n.
type loop struct {
	name  string
	query string
	args  func(i int) []any
	full  bool // the table has rows with these keys before; otherwise it is empty
	count string
	left  func(n int) int // what count gives afterwards
	run   func(ctx context.Context, tx *sql.Tx, l *loop, n int) error
}

var (
	// insertLoop does not look at results, idsLoop looks at the id of each row, and
	// returningLoop gets it as a row.
	insertLoop    = newInsertLoop("TxInsert", "", executes(nil))
	idsLoop       = newInsertLoop("TxInsertIDs", "", executes(lookAtID))
	returningLoop = newInsertLoop("TxInsertReturning", " RETURNING id", scansIDs)

	// updateLoop and deleteLoop do not look at results either, and countLoop looks at how many
	// rows were affected.
	updateLoop = newUpdateLoop("TxUpdate", executes(nil))
	countLoop  = newUpdateLoop("TxUpdateCount", executes(lookAtCount))
	deleteLoop = &loop{
		name: "TxDelete", query: "DELETE FROM bench_loop WHERE id = ?", full: true,
		args:  func(i int) []any { return []any{i} },
		count: "SELECT count(*) FROM bench_loop",
		left:  func(int) int { return 0 },
		run:   executes(nil),
	}
)

// runLoop runs the statements of a loop in a transaction.
type runLoop = func(ctx context.Context, tx *sql.Tx, l *loop, n int) error

func newInsertLoop(name, returning string, run runLoop) *loop {
	return &loop{
		name: name, query: "INSERT INTO bench_loop(name, n) VALUES (?, ?)" + returning,
		args:  func(i int) []any { return []any{load.Name, i} },
		count: "SELECT count(*) FROM bench_loop WHERE n = id",
		left:  func(n int) int { return n },
		run:   run,
	}
}

func newUpdateLoop(name string, run runLoop) *loop {
	return &loop{
		name: name, query: "UPDATE bench_loop SET n = ? WHERE id = ?", full: true,
		args:  func(i int) []any { return []any{i, i} },
		count: "SELECT count(*) FROM bench_loop WHERE n = id",
		left:  func(n int) int { return n },
		run:   run,
	}
}

// executes returns what executes a prepared statement, and looks at each result unless look is nil.
func executes(look func(result sql.Result, i int) error) runLoop {
	return func(ctx context.Context, tx *sql.Tx, l *loop, n int) error {
		stmt, err := tx.PrepareContext(ctx, l.query)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for i := 1; i <= n; i++ {
			result, err := stmt.ExecContext(ctx, l.args(i)...)
			if err == nil && look != nil {
				err = look(result, i)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func lookAtID(result sql.Result, i int) error {
	id, err := result.LastInsertId()
	if err != nil {
		return err
	}
	return load.Check(id == int64(i))
}

func lookAtCount(result sql.Result, _ int) error {
	n, err := result.RowsAffected()
	if err != nil {
		return err
	}
	return load.Check(n == 1)
}

// scansIDs queries for the id of each row.
func scansIDs(ctx context.Context, tx *sql.Tx, l *loop, n int) error {
	for i := 1; i <= n; i++ {
		var id int
		if err := tx.QueryRowContext(ctx, l.query, l.args(i)...).Scan(&id); err != nil {
			return err
		}
		if err := load.Check(id == i); err != nil {
			return err
		}
	}
	return nil
}

// mostInteractive is for how many statements the interactive mode takes part: each of them runs
// all those before it again.
const mostInteractive = 1_000

// scenario returns the loop of n statements, or of as many as the site allows.
func (l *loop) scenario(n int) *Scenario {
	sc := &Scenario{
		Name: fmt.Sprintf("%s%d", l.name, n), Statements: n, Memory: n >= 100_000, loop: l,
		driver: func(s *Site, db *sql.DB) Operation { return l.batch(db, s.statements(n)) },
		others: []contender{
			{"gorqlite", func(s *Site) Operation { return l.gorqlite(s, s.statements(n)) }},
			{"sqlite", func(s *Site) Operation {
				return func(ctx context.Context) error { return l.inTx(ctx, s.sqlite, s.statements(n)) }
			}},
		},
	}
	for _, mode := range []rqlite.TxMode{rqlite.TxAuto, rqlite.TxPipelined, rqlite.TxInteractive} {
		if mode == rqlite.TxInteractive && n > mostInteractive {
			break
		}
		sc.others = append(sc.others, contender{mode.String(), func(s *Site) Operation {
			return func(ctx context.Context) error {
				return l.inTx(rqlite.WithTxMode(ctx, mode), s.metered, s.statements(n))
			}
		}})
	}
	return sc
}

// statements returns how many of n statements a loop has on this site.
func (s *Site) statements(n int) int { return min(n, s.mostStatements) }

func (l *loop) inTx(ctx context.Context, db *sql.DB, n int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := l.run(ctx, tx, l, n); err != nil {
		return err
	}
	return tx.Commit()
}

// batch returns the operation that sends the statements as an atomic Batch.
func (l *loop) batch(db *sql.DB, n int) Operation {
	return func(ctx context.Context) error {
		b := rqlite.Batch{Atomic: true}
		for i := 1; i <= n; i++ {
			b.Add(l.query, l.args(i)...)
		}
		_, err := b.Exec(ctx, db)
		return err
	}
}

// body returns the body of a request of the statements, one by one.
func (l *loop) body(n int) ([]byte, error) {
	statements := make([][]any, n)
	for i := range statements {
		statements[i] = append([]any{l.query}, l.args(i+1)...)
	}
	return json.Marshal(statements)
}

// gorqlite returns the operation that sends the statements as gorqlite does by default: as a
// transaction.
func (l *loop) gorqlite(s *Site, n int) Operation {
	return func(ctx context.Context) error {
		statements := make([]gorqlite.ParameterizedStatement, n)
		for i := range statements {
			statements[i] = gorqlite.ParameterizedStatement{Query: l.query, Arguments: l.args(i + 1)}
		}
		_, err := s.gorqliteAtomic.WriteParameterizedContext(ctx, statements)
		return err
	}
}

// prepare brings the table to what it is before the loop.
func (l *loop) prepare(ctx context.Context, db *sql.DB, n int) error {
	if !l.full {
		n = 0
	}
	if _, err := db.ExecContext(ctx, "DELETE FROM bench_loop"); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?1)
		INSERT INTO bench_loop SELECT i, ?2, 0 FROM c WHERE i <= ?1`, n, load.Name)
	return err
}

// check checks what the loop has left.
func (l *loop) check(ctx context.Context, db *sql.DB, n int) error {
	var got int
	if err := db.QueryRowContext(ctx, l.count).Scan(&got); err != nil {
		return err
	}
	if want := l.left(n); got != want {
		return fmt.Errorf("the loop has left %d rows instead of %d", got, want)
	}
	return nil
}
