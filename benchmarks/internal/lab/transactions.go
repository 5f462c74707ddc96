package lab

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/benchmarks/internal/load"
)

// Transactions of several writes, next to the one bulk request that does the same.
var (
	Tx1   = txScenario(1)
	Tx3   = txScenario(3)
	Tx10  = txScenario(10)
	Tx100 = txScenario(100)
)

const txQuery = "INSERT INTO bench_tx(n) VALUES (?)"

func txScenario(writes int) *Scenario {
	return &Scenario{
		Name: fmt.Sprintf("Tx%d", writes),
		driver: func(_ *Site, db *sql.DB) Operation {
			return func(ctx context.Context) error {
				b := rqlite.Batch{Atomic: true}
				for i := range writes {
					b.Add(txQuery, i)
				}
				_, err := b.Exec(ctx, db)
				return err
			}
		},
		others: []contender{
			{"tx-auto", func(s *Site) Operation {
				return func(ctx context.Context) error { return inTx(ctx, s.db, writes) }
			}},
			{"tx-pipelined", func(s *Site) Operation {
				return func(ctx context.Context) error {
					return inTx(rqlite.WithTxMode(ctx, rqlite.TxPipelined), s.db, writes)
				}
			}},
		},
	}
}

func inTx(ctx context.Context, db *sql.DB, writes int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for i := range writes {
		if _, err := tx.ExecContext(ctx, txQuery, i); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// TxReadOnly is a read-only transaction of two reads, next to one of them.
var TxReadOnly = &Scenario{
	Name:   "TxReadOnly",
	driver: PointSelect.driver,
	others: []contender{{"tx", func(s *Site) Operation {
		return func(ctx context.Context) error {
			tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
			if err != nil {
				return err
			}
			defer tx.Rollback()
			for range 2 {
				var r record4
				if err := tx.QueryRowContext(ctx, load.SelectQuery, load.PointID).Scan(&r.id, &r.name, &r.score, &r.n); err != nil {
					return err
				}
			}
			return tx.Commit()
		}
	}}},
}
