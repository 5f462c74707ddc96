package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onModes runs a test on every backend in modes, with a database and a table of numbers.
func onModes(t *testing.T, modes []rqlite.TxMode, test func(t *testing.T, mode rqlite.TxMode, db *sql.DB, table string)) {
	t.Helper()
	forEach(t, func(t *testing.T, b *backend) {
		inModes(t, modes, func(t *testing.T, mode rqlite.TxMode) {
			db, table := newNumbers(t, b, setting(mode))
			test(t, mode, db, table)
		})
	})
}

// insertLoop inserts numbers by one statement, and returns the results.
func insertLoop(ctx context.Context, t *testing.T, tx *sql.Tx, table string, from, to int) (results []sql.Result) {
	t.Helper()
	stmt, err := tx.PrepareContext(ctx, "INSERT INTO "+table+" (n) VALUES (?)")
	require.NoError(t, err)
	for n := from; n < to; n++ {
		result, err := stmt.ExecContext(ctx, n)
		require.NoError(t, err)
		results = append(results, result)
	}
	return results
}

// series returns the numbers in a range.
func series(from, to int) (list []int) {
	for n := from; n < to; n++ {
		list = append(list, n)
	}
	return list
}

// What a program asks for after the end is known, if the transaction was committed. If it was rolled
// back, it is known or an error, and never wrong.
func TestTxModesResultsAfterTheEnd(t *testing.T) {
	onModes(t, txModes, func(t *testing.T, mode rqlite.TxMode, db *sql.DB, table string) {
		for _, commits := range []bool{true, false} {
			mustExec(t, db, "DELETE FROM "+table)
			tx := begin(t, db, nil)
			results := insertLoop(t.Context(), t, tx, table, 10, 22)
			end, unknown := (*sql.Tx).Rollback, 0
			if commits {
				end = (*sql.Tx).Commit
			}
			var updates []sql.Result
			for n := range 4 {
				result, err := tx.ExecContext(t.Context(), "UPDATE "+table+" SET text = 'x' WHERE n < ?", 10+n)
				require.NoError(t, err)
				updates = append(updates, result)
			}
			require.NoError(t, end(tx))
			for i, result := range results {
				id, errID := result.LastInsertId()
				rows, errRows := result.RowsAffected()
				if errID != nil || errRows != nil {
					unknown++
					t.Log(errID)
					continue
				}
				assert.Equal(t, [2]int64{10 + int64(i), 1}, [2]int64{id, rows})
			}
			for n, result := range updates {
				if rows, err := result.RowsAffected(); err == nil {
					assert.EqualValues(t, n, rows)
				} else {
					unknown++
				}
			}
			if commits || mode == rqlite.TxInteractive {
				assert.Zero(t, unknown, "commits: %v", commits)
			} else {
				assert.Positive(t, unknown, "nothing was sent ahead")
			}
		}
	})
}

// A context that ends between statements fails the one that has it, and no other.
func TestTxModesCancelledStatement(t *testing.T) {
	onModes(t, txModes, func(t *testing.T, _ rqlite.TxMode, db *sql.DB, table string) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		tx := begin(t, db, nil)
		insertLoop(t.Context(), t, tx, table, 0, 8)
		_, err := tx.ExecContext(ended, "INSERT INTO "+table+" (n) VALUES (?)", 100)
		require.ErrorIs(t, err, context.Canceled)
		_, err = one(ended, tx, "SELECT count(*) FROM "+table)
		require.ErrorIs(t, err, context.Canceled)
		insertLoop(t.Context(), t, tx, table, 8, 16)
		_, err = one(ended, tx, "SELECT count(*) FROM "+table)
		require.ErrorIs(t, err, context.Canceled)
		n, err := one(t.Context(), tx, "SELECT count(*) FROM "+table)
		require.NoError(t, err)
		require.EqualValues(t, 16, n)
		insertLoop(t.Context(), t, tx, table, 16, 20)
		require.NoError(t, tx.Commit())
		assert.Equal(t, series(0, 20), numbersIn(t, db, table))
	})
}

// The end of the transaction's own context rolls it back.
func TestTxModesCancelledTx(t *testing.T) {
	onModes(t, txModes, func(t *testing.T, mode rqlite.TxMode, db *sql.DB, table string) {
		for _, ahead := range []int{1, 8} {
			ctx, cancel := context.WithCancel(t.Context())
			tx, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			results := insertLoop(ctx, t, tx, table, 0, ahead)
			cancel()
			_, err = tx.ExecContext(t.Context(), "INSERT INTO "+table+" (n) VALUES (?)", 100)
			if err != nil { // database/sql rolls back when it comes to it
				assert.True(t, errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrTxDone), err)
			}
			err = tx.Commit()
			assert.True(t, errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrTxDone), err)
			if id, err := results[ahead-1].LastInsertId(); err == nil {
				assert.EqualValues(t, ahead-1, id, mode)
			}
			assert.Empty(t, numbersIn(t, db, table))
			writesAtOnce(t, db, table, 1000)
			mustExec(t, db, "DELETE FROM "+table)
		}
	})
}

// A batch within the transaction comes behind what was sent ahead.
func TestTxModesBatch(t *testing.T) {
	onModes(t, txModes, func(t *testing.T, _ rqlite.TxMode, db *sql.DB, table string) {
		insert := "INSERT INTO " + table + " (n) VALUES (?)"
		inConnTx(t, db, func(tx *sql.Tx, run func(*rqlite.Batch) ([]rqlite.BatchResult, error)) {
			insertLoop(t.Context(), t, tx, table, 0, 8)
			var loose rqlite.Batch
			loose.Add(insert, 8)
			loose.Add("SELECT count(*) FROM " + table)
			loose.Add("UPDATE "+table+" SET text = 'x' WHERE n < ?", 5)
			loose.Add(insert, 3)
			results, err := run(&loose)
			require.ErrorIs(t, err, rqlite.ConstraintUnique)
			require.NotErrorIs(t, err, rqlite.ErrTxConflict)
			require.Len(t, results, 4)
			assert.EqualValues(t, 8, results[0].LastInsertID)
			assert.Equal(t, [][]any{{int64(9)}}, results[1].Rows)
			assert.EqualValues(t, 5, results[2].RowsAffected)
			insertLoop(t.Context(), t, tx, table, 9, 12)
			atomic := rqlite.Batch{Atomic: true}
			atomic.Add(insert, 50)
			atomic.Add(insert, 11)
			_, err = run(&atomic)
			require.ErrorIs(t, err, rqlite.ConstraintUnique)
			require.NotErrorIs(t, err, rqlite.ErrTxConflict)
		})
		assert.Equal(t, series(0, 12), numbersIn(t, db, table))
	})
}

// A batch is told of the failure of what was sent ahead, and of whose it is.
func TestTxModesBatchLateFailure(t *testing.T) {
	onModes(t, aheadModes, func(t *testing.T, _ rqlite.TxMode, db *sql.DB, table string) {
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		for _, whole := range []bool{true, false} {
			table := table
			if whole {
				table = newTable() // a text that the connector knows nothing of
				mustExec(t, db, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY)")
			}
			tx, err := conn.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			insertLoop(t.Context(), t, tx, table, 0, 8)
			insertLoop(t.Context(), t, tx, table, 3, 4)
			batch := rqlite.Batch{Atomic: whole}
			batch.Add("INSERT INTO "+table+" VALUES (?)", 100)
			var results []rqlite.BatchResult
			err = conn.Raw(func(c any) error {
				results, err = c.(rqlite.Conn).ExecBatch(t.Context(), &batch)
				return err
			})
			require.ErrorIs(t, err, rqlite.ErrTxConflict)
			require.ErrorIs(t, err, rqlite.ConstraintUnique)
			for _, result := range results {
				assert.Error(t, result.Err)
			}
			require.ErrorIs(t, tx.Commit(), rqlite.ErrTxConflict)
			assert.Empty(t, numbersIn(t, db, table))
		}
	})
}

// At ReadCommitted others may write in between; what was sent ahead is applied nevertheless, with the
// ids that the program was told, or not at all.
func TestTxModesReadCommitted(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		inModes(t, txModes, func(t *testing.T, mode rqlite.TxMode) {
			for _, looks := range []bool{true, false} {
				db, table := newNumbers(t, b, setting(mode))
				other := b.open(t)
				told, runs := map[string]int64{}, 0
				require.NoError(t, rqlite.RunTx(t.Context(), db, readCommitted, func(tx *sql.Tx) error {
					clear(told)
					runs++
					for i := range 12 {
						name := fmt.Sprint("row ", i)
						result, err := tx.ExecContext(t.Context(), "INSERT INTO "+table+" (text) VALUES (?)", name)
						if err != nil {
							return err
						}
						if looks {
							if told[name], err = result.LastInsertId(); err != nil {
								return err
							}
						}
						if i == 6 && runs == 1 {
							mustExec(t, other, "INSERT INTO "+table+" (text) VALUES ('other')")
						}
					}
					return nil
				}))
				var rows int
				scan(t, db, "SELECT count(*) FROM "+table, nil, &rows)
				assert.Equal(t, 13, rows)
				for name, id := range told {
					var stored string
					scan(t, db, "SELECT text FROM "+table+" WHERE n = ?", []any{id}, &stored)
					assert.Equal(t, name, stored)
				}
			}
		})
	})
}

// A program may use its buffer again when Exec has returned.
func TestTxModesBuffer(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		inModes(t, txModes, func(t *testing.T, mode rqlite.TxMode) {
			db, table := b.open(t, setting(mode)), newTable()
			mustExec(t, db, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY, b BLOB)")
			buffer := make([]byte, 4)
			require.NoError(t, once(t.Context(), db, nil, func(tx *sql.Tx) error {
				for i := range 12 {
					copy(buffer, fmt.Sprintf("%04d", i))
					if _, err := tx.ExecContext(t.Context(), "INSERT INTO "+table+" (b) VALUES (?)", buffer); err != nil {
						return err
					}
				}
				copy(buffer, "wild")
				return nil
			}))
			stored, err := column(t.Context(), db, "SELECT CAST(b AS TEXT) FROM "+table+" ORDER BY n")
			require.NoError(t, err)
			var want []string
			for i := range 12 {
				want = append(want, fmt.Sprintf("%04d", i))
			}
			assert.Equal(t, want, stored)
		})
	})
}

// A program may change rows while it reads them.
func TestTxModesWritesWhileReading(t *testing.T) {
	onModes(t, txModes, func(t *testing.T, _ rqlite.TxMode, db *sql.DB, table string) {
		mustExec(t, db, "INSERT INTO "+table+" WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 299) SELECT n, 'old' FROM n")
		require.NoError(t, once(t.Context(), db, nil, func(tx *sql.Tx) error {
			rows, err := tx.QueryContext(t.Context(), "SELECT n, text FROM "+table+" WHERE n < 200 ORDER BY n")
			if err != nil {
				return err
			}
			defer rows.Close()
			for seen := 0; rows.Next(); seen++ {
				var n int
				var text string
				require.NoError(t, rows.Scan(&n, &text))
				require.Equal(t, seen, n)
				require.Equal(t, "old", text)
				if _, err := tx.ExecContext(t.Context(), "UPDATE "+table+" SET text = ? WHERE n = ?", fmt.Sprint("new ", n), n); err != nil {
					return err
				}
			}
			return rows.Err()
		}))
		var count int
		scan(t, db, "SELECT count(*) FROM "+table+" WHERE text = iif(n < 200, 'new ' || n, 'old')", nil, &count)
		assert.Equal(t, 300, count)
	})
}

// What a connector knows of a table may be wrong by the next transaction, or within it.
func TestTxModesTriggerOfOthers(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		inModes(t, txModes, func(t *testing.T, mode rqlite.TxMode) {
			db, table := newNumbers(t, b, setting(mode))
			other := b.open(t)
			for round, when := range []int{-1, 0, 6, 11, 6} {
				mustExec(t, other, "DELETE FROM "+table)
				triggerInTx(t, db, other, table, when, round%2 == 0)
				mustExec(t, other, "DROP TRIGGER IF EXISTS "+table+"_t")
			}
		})
	})
}

// triggerInTx inserts rows in a transaction, while another client makes a trigger before one of them.
func triggerInTx(t *testing.T, db, other *sql.DB, table string, when int, looks bool) {
	t.Helper()
	ctx := t.Context()
	told, made := map[int]int64{}, false
	require.NoError(t, rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
		clear(told)
		for i := range 12 {
			if i == when && !made {
				made = true
				mustExec(t, other, "CREATE TRIGGER "+table+"_t AFTER INSERT ON "+table+" WHEN NEW.text = 'mine' BEGIN INSERT INTO "+table+" (text) VALUES ('trigger'); END")
			}
			result, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (text) VALUES (?)", "mine")
			if err == nil && looks {
				told[i], err = result.LastInsertId()
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
	var mine, theirs int
	scan(t, db, "SELECT count(*) FILTER (WHERE text = 'mine'), count(*) FILTER (WHERE text = 'trigger') FROM "+table, nil, &mine, &theirs)
	assert.Equal(t, 12, mine)
	if made {
		assert.Equal(t, 12, theirs)
	}
	for i, id := range told {
		var text string
		scan(t, db, "SELECT text FROM "+table+" WHERE n = ?", []any{id}, &text)
		assert.Equal(t, "mine", text, "row %d", i)
	}
}

// Where the largest rowid is taken, SQLite chooses at random. Nothing is committed with an id that
// the program was not told, unless it is said so.
func TestTxModesLargestRowid(t *testing.T) {
	onModes(t, txModes, func(t *testing.T, _ rqlite.TxMode, db *sql.DB, table string) {
		for _, largest := range []int64{math.MaxInt64, math.MaxInt64 - 6} {
			for range 2 { // the connector may remember
				mustExec(t, db, "DELETE FROM "+table)
				mustExec(t, db, "INSERT INTO "+table+" (n) VALUES (?)", largest)
				told := map[int64]string{}
				tx := begin(t, db, nil)
				err := func() error {
					for i := range 12 {
						name := fmt.Sprint("row ", i)
						result, err := tx.ExecContext(t.Context(), "INSERT INTO "+table+" (text) VALUES (?)", name)
						if err != nil {
							return err
						}
						id, err := result.LastInsertId()
						if err != nil {
							return err
						}
						told[id] = name
					}
					return tx.Commit()
				}()
				_ = tx.Rollback() // it may have ended
				var rows int
				scan(t, db, "SELECT count(*) FROM "+table, nil, &rows)
				switch {
				case errors.Is(err, rqlite.ErrResultsChanged):
					assert.Equal(t, 13, rows)
				case errors.Is(err, rqlite.ErrTxConflict):
					assert.Equal(t, 1, rows)
				default:
					require.NoError(t, err)
					assert.Len(t, told, 12)
					for id, name := range told {
						var stored string
						scan(t, db, "SELECT text FROM "+table+" WHERE n = ?", []any{id}, &stored)
						assert.Equal(t, name, stored)
					}
				}
			}
		}
	})
}

// Values of megabytes wait on the client only up to a bound, and arrive.
func TestTxModesLargeValues(t *testing.T) {
	onModes(t, txModes, func(t *testing.T, _ rqlite.TxMode, db *sql.DB, table string) {
		require.NoError(t, once(t.Context(), db, nil, func(tx *sql.Tx) error {
			for i := range 8 {
				if _, err := tx.ExecContext(t.Context(), "INSERT INTO "+table+" (text) VALUES (?)", strings.Repeat(fmt.Sprint(i), 1<<20)); err != nil {
					return err
				}
			}
			return nil
		}))
		var count int
		scan(t, db, "SELECT count(*) FROM "+table+" WHERE length(text) = 1 << 20 AND text = replace(printf('%.*c', 1 << 20, '.'), '.', n - 1)", nil, &count)
		assert.Equal(t, 8, count)
	})
}

// Loops are sent ahead: they take a handful of requests.
func TestTxModesRequests(t *testing.T) {
	const rows = 500
	for name, loop := range map[string]func(ctx context.Context, tx *sql.Tx) error{
		"Exec": func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO rk (u, v) VALUES (?, ?)", nil, "text")
			return err
		},
		"LastInsertId": func(ctx context.Context, tx *sql.Tx) error {
			result, err := tx.ExecContext(ctx, "INSERT INTO rk (u, v) VALUES (?, ?)", nil, "text")
			if err == nil {
				_, err = result.LastInsertId()
			}
			return err
		},
		"RETURNING": func(ctx context.Context, tx *sql.Tx) error {
			_, err := one(ctx, tx, "INSERT INTO rk (u, v) VALUES (?, ?) RETURNING id", nil, "text")
			return err
		},
		"UPDATE": func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE rk SET v = ? WHERE id = ?", "x", 1)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inModes(t, aheadModes, func(t *testing.T, mode rqlite.TxMode) {
				w := newModeWorld(t, modeTables...)
				var requests atomic.Int64
				db := w.open(&requests)
				ctx := rqlite.WithTxMode(t.Context(), mode)
				require.NoError(t, once(ctx, db, nil, func(tx *sql.Tx) error {
					for range rows {
						if err := loop(ctx, tx); err != nil {
							return err
						}
					}
					return nil
				}))
				assert.LessOrEqual(t, requests.Load(), int64(10))
			})
		})
	}
}
