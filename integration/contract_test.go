package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What database/sql promises of every driver, and what Brad Fitzpatrick's go-sql-test
// asked of the first ones. That nothing leaks is for TestMain to see.

// numbered makes a table with the numbers from 1 to n.
func numbered(t *testing.T, db *sql.DB, n int) (table string) {
	t.Helper()
	table = newTable()
	mustExec(t, db, "CREATE TABLE "+table+" (n INTEGER PRIMARY KEY, s TEXT, b BLOB)")
	mustExec(t, db, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) INSERT INTO "+table+
		" SELECT i, 'text ' || i, CAST('blob ' || i AS BLOB) FROM c", n)
	return table
}

// within fails the test if f is not done in time.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		require.FailNow(t, "it hangs")
	}
}

func TestContractBlobs(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (b BLOB)")
		for _, size := range []int{0, 1, 1 << 10, 300_000} {
			want := make([]byte, size)
			for i := range want {
				want[i] = byte(i)
			}
			mustExec(t, db, "DELETE FROM "+table)
			mustExec(t, db, "INSERT INTO "+table+" VALUES (?)", want)
			var got []byte
			scan(t, db, "SELECT b FROM "+table, nil, &got)
			assert.Equal(t, want, got)
		}
	})
}

// TestContractRowsNotClosed goes on with other statements while rows are open, and leaves it to
// Close of the database to end those that nobody closes.
func TestContractRowsNotClosed(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, err := sql.Open("rqlite", b.shared.dsn)
		require.NoError(t, err)
		table := numbered(t, db, 2000)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var open []*sql.Rows
		for range 5 {
			rows, err := db.QueryContext(ctx, "SELECT n, s FROM "+table+" ORDER BY n")
			require.NoError(t, err)
			require.True(t, rows.Next())
			open = append(open, rows)
		}
		mustExec(t, db, "UPDATE "+table+" SET s = 'changed' WHERE n = 1")
		assert.Equal(t, 5, db.Stats().InUse)
		cancel()
		within(t, func() {
			for _, rows := range open {
				n := 1
				for rows.Next() { // database/sql closes the rows when the context ends
					n++
				}
				if rows.Err() == nil { // the end was nearer
					assert.Equal(t, 2000, n)
				} else {
					assert.ErrorIs(t, rows.Err(), context.Canceled)
				}
			}
		})
		require.NoError(t, db.Close())
	})
}

func TestContractClosedRows(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		rows, err := db.QueryContext(t.Context(), "SELECT 1 UNION ALL SELECT 2")
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.NoError(t, rows.Close())
		require.NoError(t, rows.Close(), "closing twice is fine")
		var n int
		assert.False(t, rows.Next())
		assert.False(t, rows.NextResultSet())
		require.Error(t, rows.Scan(&n))
		_, err = rows.Columns()
		require.Error(t, err)
		require.NoError(t, rows.Err())
		assert.Zero(t, db.Stats().InUse)
	})
}

func TestContractClosedStmtAndDB(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, err := sql.Open("rqlite", b.shared.dsn)
		require.NoError(t, err)
		stmt, err := db.PrepareContext(t.Context(), "SELECT 1")
		require.NoError(t, err)
		require.NoError(t, stmt.Close())
		require.NoError(t, stmt.Close())
		_, err = stmt.QueryContext(t.Context())
		require.ErrorContains(t, err, "closed")
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.ErrorIs(t, conn.PingContext(t.Context()), sql.ErrConnDone)
		require.ErrorIs(t, conn.Raw(func(any) error { return nil }), sql.ErrConnDone)
		require.NoError(t, db.Close())
		require.NoError(t, db.Close())
		require.ErrorContains(t, db.PingContext(t.Context()), "closed")
	})
}

func TestContractTxDone(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := numbered(t, db, 3)
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		stmt, err := tx.PrepareContext(t.Context(), "SELECT count(*) FROM "+table)
		require.NoError(t, err)
		rows, err := tx.QueryContext(t.Context(), "SELECT n FROM "+table)
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		require.NoError(t, tx.Commit(), "also with rows that are open")
		_, err = stmt.QueryContext(t.Context())
		require.Error(t, err, "a statement of a transaction ends with it")
		for name, call := range map[string]func() error{
			"commit": tx.Commit, "rollback": tx.Rollback,
			"exec": func() error {
				_, err := tx.ExecContext(t.Context(), "SELECT 1")
				return err
			},
		} {
			require.ErrorIs(t, call(), sql.ErrTxDone, name)
		}
		assert.Zero(t, db.Stats().InUse)
	})
}

// TestContractOneConnection demands that nothing needs a second connection of the pool.
func TestContractOneConnection(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		db.SetMaxOpenConns(1)
		within(t, func() {
			table := numbered(t, db, 10)
			stmt, err := db.PrepareContext(t.Context(), "SELECT s FROM "+table+" WHERE n = ?")
			require.NoError(t, err)
			defer stmt.Close()
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = tx.ExecContext(t.Context(), "UPDATE "+table+" SET s = 'changed' WHERE n = 3")
			require.NoError(t, err)
			var s string
			require.NoError(t, tx.StmtContext(t.Context(), stmt).QueryRowContext(t.Context(), 3).Scan(&s))
			assert.Equal(t, "changed", s)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, db.PingContext(ctx), context.DeadlineExceeded, "the one connection is taken")
			require.NoError(t, tx.Rollback())
			require.NoError(t, stmt.QueryRowContext(t.Context(), 3).Scan(&s))
			assert.Equal(t, "text 3", s)
			require.NoError(t, db.PingContext(t.Context()))
			var group sync.WaitGroup
			for i := range 20 {
				group.Go(func() {
					_, err := db.ExecContext(t.Context(), "INSERT INTO "+table+" (n) VALUES (?)", 100+i)
					assert.NoError(t, err)
				})
			}
			group.Wait()
		})
	})
}

// TestContractManyPrepare has many goroutines prepare the same and close it again.
func TestContractManyPrepare(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := numbered(t, db, 50)
		shared, err := db.PrepareContext(t.Context(), "SELECT s FROM "+table+" WHERE n = ?")
		require.NoError(t, err)
		defer shared.Close()
		var group sync.WaitGroup
		for g := range 10 {
			group.Go(func() {
				for i := range 10 {
					n := 1 + (g*10+i)%50
					own, err := db.PrepareContext(t.Context(), "SELECT s FROM "+table+" WHERE n = :n")
					if !assert.NoError(t, err) {
						return
					}
					var one, two string
					assert.NoError(t, own.QueryRowContext(t.Context(), sql.Named("n", n)).Scan(&one))
					assert.NoError(t, shared.QueryRowContext(t.Context(), n).Scan(&two))
					assert.Equal(t, []string{fmt.Sprintf("text %d", n), one}, []string{one, two})
					assert.NoError(t, own.Close())
				}
			})
		}
		group.Wait()
	})
}

// TestContractStmtOnOtherConns uses a statement on connections that it was not prepared on,
// some of which have come to an end.
func TestContractStmtOnOtherConns(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		stmt, err := db.PrepareContext(t.Context(), "SELECT ? + 1")
		require.NoError(t, err)
		defer stmt.Close()
		var held []*sql.Conn
		for range 3 {
			conn, err := db.Conn(t.Context())
			require.NoError(t, err)
			held = append(held, conn)
		}
		var n int
		require.NoError(t, stmt.QueryRowContext(t.Context(), 1).Scan(&n))
		assert.Equal(t, 2, n)
		for _, conn := range held {
			require.NoError(t, conn.Close())
		}
		db.SetMaxIdleConns(0)
		require.NoError(t, stmt.QueryRowContext(t.Context(), 2).Scan(&n))
		assert.Equal(t, 3, n)
		db.SetMaxIdleConns(2)
		db.SetConnMaxLifetime(time.Nanosecond)
		for i := range 5 {
			require.NoError(t, stmt.QueryRowContext(t.Context(), i).Scan(&n))
			assert.Equal(t, i+1, n)
		}
		assert.Positive(t, db.Stats().MaxLifetimeClosed)
	})
}

// TestContractRawBytes demands that a value is right until the next row, and that the
// driver does not change what was copied.
func TestContractRawBytes(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := numbered(t, db, 500)
		rows, err := db.QueryContext(t.Context(), "SELECT n, s, b FROM "+table+" ORDER BY n")
		require.NoError(t, err)
		defer rows.Close()
		var number, text, blob sql.RawBytes
		var kept [][]byte
		for i := 1; rows.Next(); i++ {
			if i%2 == 0 {
				var copied []byte
				require.NoError(t, rows.Scan(new(int), new(string), &copied))
				kept = append(kept, copied)
				continue
			}
			require.NoError(t, rows.Scan(&number, &text, &blob))
			require.Equal(t, fmt.Sprintf("%d|text %d|blob %d", i, i, i), fmt.Sprintf("%s|%s|%s", number, text, blob))
		}
		require.NoError(t, rows.Err())
		require.Len(t, kept, 250)
		for i, copied := range kept {
			require.Equal(t, fmt.Sprintf("blob %d", 2*i+2), string(copied), "a copy has changed")
		}
	})
}

// TestContractContextRace ends contexts at all moments of a read. Each read is either whole or fails.
func TestContractContextRace(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := numbered(t, db, 300)
		var group sync.WaitGroup
		for i := range 60 {
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*200*time.Microsecond)
				defer cancel()
				rows, err := db.QueryContext(ctx, "SELECT n, s FROM "+table)
				if err != nil {
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					return
				}
				defer rows.Close()
				n := 0
				for rows.Next() {
					n++
				}
				if rows.Err() == nil {
					assert.Equal(t, 300, n, "rows are missing and nobody says so")
				} else {
					assert.ErrorIs(t, rows.Err(), context.DeadlineExceeded)
				}
			})
		}
		group.Wait()
		require.NoError(t, db.PingContext(t.Context()))
	})
}

// TestContractTxContext demands that a transaction ends with its context, and leaves nothing.
func TestContractTxContext(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := numbered(t, db, 1)
		ctx, cancel := context.WithCancel(t.Context())
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, "INSERT INTO "+table+" (n) VALUES (2)")
		require.NoError(t, err)
		cancel()
		err = tx.Commit()
		require.True(t, errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrTxDone), "%v", err)
		within(t, func() { mustExec(t, db, "INSERT INTO "+table+" (n) VALUES (3)") })
		var n int
		scan(t, db, "SELECT sum(n) FROM "+table, nil, &n)
		assert.Equal(t, 4, n)
	})
}

// TestContractRaw demands that what Raw says of a connection counts.
func TestContractRaw(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		db.SetMaxOpenConns(1)
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		var first any
		require.NoError(t, conn.Raw(func(c any) error {
			first = c
			_, ok := c.(rqlite.Conn)
			assert.True(t, ok)
			return nil
		}))
		require.ErrorIs(t, conn.Raw(func(any) error { return driver.ErrBadConn }), driver.ErrBadConn)
		require.ErrorIs(t, conn.PingContext(t.Context()), sql.ErrConnDone, "that gives it up")
		require.Panics(t, func() {
			again, err := db.Conn(t.Context())
			require.NoError(t, err)
			defer again.Close()
			_ = again.Raw(func(any) error { panic("!") })
		})
		last, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer last.Close()
		require.NoError(t, last.Raw(func(c any) error {
			assert.NotSame(t, first, c, "a connection that was there at a panic is not used again")
			return nil
		}))
	})
}

// TestContractBadConn closes a connection behind the back of database/sql, which has to take
// another one for a statement, for a transaction too, and to do each write once.
func TestContractBadConn(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := numbered(t, db, 1)
		db.SetMaxOpenConns(1)
		spoil := func() {
			conn, err := db.Conn(t.Context())
			require.NoError(t, err)
			require.NoError(t, conn.Raw(func(c any) error { return c.(driver.Conn).Close() }))
			require.ErrorContains(t, conn.PingContext(t.Context()), "closed")
			require.NoError(t, conn.Close())
		}
		spoil()
		mustExec(t, db, "INSERT INTO "+table+" (s) VALUES ('once')")
		spoil()
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "INSERT INTO "+table+" (s) VALUES ('twice')")
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		var n int
		scan(t, db, "SELECT count(*) FROM "+table, nil, &n)
		assert.Equal(t, 3, n)
	})
}

// TestContractResultSets demands that NextResultSet can be asked before the rows are at
// their end, and that each set has columns of its own.
func TestContractResultSets(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		table := numbered(t, db, 1000)
		rows, err := db.QueryContext(t.Context(), "SELECT n FROM "+table+"; SELECT s, b FROM "+table+" WHERE n = ?; SELECT 1 WHERE 0", 7)
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		require.True(t, rows.NextResultSet(), "with 999 rows left")
		columns, err := rows.Columns()
		require.NoError(t, err)
		assert.Equal(t, []string{"s", "b"}, columns)
		var s, blob string
		require.True(t, rows.Next())
		require.NoError(t, rows.Scan(&s, &blob))
		assert.Equal(t, "text 7", s)
		require.False(t, rows.Next())
		require.True(t, rows.NextResultSet())
		require.False(t, rows.Next())
		require.False(t, rows.NextResultSet())
		require.NoError(t, rows.Err())
	})
}

// TestContractExhaustedRows demands that rows that were read to their end give their connection back.
func TestContractExhaustedRows(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		db.SetMaxOpenConns(1)
		within(t, func() {
			for range 3 {
				rows, err := db.QueryContext(t.Context(), "SELECT 1 UNION ALL SELECT 2")
				if !assert.NoError(t, err) {
					return
				}
				for rows.Next() {
				}
				assert.NoError(t, rows.Err())
			}
		})
	})
}
