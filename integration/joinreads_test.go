package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/gormrqlite"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// requireJoinedReads demands that some of so many reads went out with others.
func requireJoinedReads(t *testing.T, c *rqlite.Connector, reads int64) {
	t.Helper()
	stats := c.Stats()
	report(t, "%d reads in %d requests, %d of them waited for others", reads, stats.Requests, stats.CoalescedReads)
	assert.Positive(t, stats.CoalescedReads) // how many depends on how busy the machine is
}

// fillSquares makes a table of the squares of the numbers below n, by another database: for a
// minute behind a change of schema reads are sent with more than themselves.
func fillSquares(t *testing.T, dsn string, n int) (table string) {
	t.Helper()
	db := openDSN(t, dsn)
	table = newTable()
	mustExec(t, db, "CREATE TABLE "+table+" (k INTEGER PRIMARY KEY, v INTEGER NOT NULL)")
	mustExec(t, db, "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < ?) INSERT INTO "+table+" SELECT i, i * i FROM c", n-1)
	return table
}

// ownReads are readers each of whom knows what it has to get.
type ownReads struct {
	db    *sql.DB
	table string

	wrong                                  violations
	answered, failed, cancelled, late, big atomic.Int64
}

// point reads a row.
func (o *ownReads) point(ctx context.Context, k int) error {
	var v int
	err := o.db.QueryRowContext(ctx, "SELECT v FROM "+o.table+" WHERE k = ?", k).Scan(&v)
	o.wrong.looks.Add(1)
	if err == nil && v != k*k {
		o.wrong.add("%d has the square %d", k, v)
	}
	return err
}

// good is a point read that must succeed.
func (o *ownReads) good(ctx context.Context, k int) {
	if err := o.point(ctx, k); err != nil {
		o.wrong.add("read of %d: %v", k, err)
		return
	}
	o.answered.Add(1)
}

// fails reads a row by a statement that fails for it.
func (o *ownReads) fails(ctx context.Context, k int) {
	var v int
	err := o.db.QueryRowContext(ctx, "SELECT abs(v - ? - 9223372036854775807 - 1) FROM "+o.table+" WHERE k = ?", k*k, k).Scan(&v)
	var own *rqlite.Error
	if !errors.As(err, &own) || own.Message != "integer overflow" {
		o.wrong.add("an overflow of %d gives %d and %v", k, v, err)
		return
	}
	o.failed.Add(1)
}

// givesUp reads a row with a context that ends soon, in one way or the other.
func (o *ownReads) givesUp(ctx context.Context, k int) {
	var cancel context.CancelFunc
	count, want := &o.late, context.DeadlineExceeded
	if k%2 == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Millisecond)
	} else {
		ctx, cancel = context.WithCancel(ctx)
		time.AfterFunc(time.Duration(k%7)*100*time.Microsecond, cancel)
		count, want = &o.cancelled, context.Canceled
	}
	defer cancel()
	switch err := o.point(ctx, k); {
	case err == nil:
		o.answered.Add(1)
	case errors.Is(err, want):
		count.Add(1)
	default:
		o.wrong.add("read of %d: %v", k, err)
	}
}

// many reads more rows than the others.
func (o *ownReads) many(ctx context.Context, k int) {
	rows, err := o.db.QueryContext(ctx, "SELECT k, v FROM "+o.table+" WHERE k >= ? ORDER BY k LIMIT 100", k)
	if err != nil {
		o.wrong.add("%v", err)
		return
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var gotK, v int
		if err := rows.Scan(&gotK, &v); err != nil || gotK != k+n || v != gotK*gotK {
			o.wrong.add("row %d behind %d is %d, %d: %v", n, k, gotK, v, err)
		}
	}
	if err := rows.Err(); err != nil || n != 100 {
		o.wrong.add("%d rows: %v", n, err)
		return
	}
	o.big.Add(1)
}

// TestJoinedReadsOwn has many read at once: some lose their patience, some statements fail, and
// nobody else notices.
func TestJoinedReadsOwn(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		for _, level := range []string{"weak", "linearizable", "none"} {
			t.Run(level, func(t *testing.T) {
				const readers, numbers = 64, 1000
				o := &ownReads{table: fillSquares(t, b.shared.dsn, numbers)}
				j := openJoined(t, withSettings(b.shared.dsn, "level="+level))
				o.db = j.DB
				long, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				steps := either(30, 1000)
				together(readers, func(g int) {
					for n := range steps {
						switch k := (g*31 + n*7) % (numbers - 100); {
						case n%10 == 3:
							o.fails(long, k)
						case n%10 == 6:
							o.givesUp(t.Context(), k)
						case n%10 == 9:
							o.many(t.Context(), k)
						case g%2 == 0:
							o.good(long, k)
						default:
							o.good(t.Context(), k)
						}
					}
				})
				report(t, "%d point reads answered, %d of 100 rows, %d failed by themselves, %d cancelled, %d out of time",
					o.answered.Load(), o.big.Load(), o.failed.Load(), o.cancelled.Load(), o.late.Load())
				o.wrong.none(t)
				assert.Positive(t, o.late.Load()+o.cancelled.Load())
				requireJoinedReads(t, j.connector, int64(readers*steps))
			})
		}
	})
}

// TestJoinedReadsHowever has programs read in the ways of several libraries. All of them are joined.
func TestJoinedReadsHowever(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		table := fillSquares(t, b.shared.dsn, 1000)
		query := "SELECT v FROM " + table + " WHERE k = ?"
		toEnd := func(rows *sql.Rows, err error) (v int, _ error) {
			if err != nil {
				return 0, err
			}
			defer rows.Close()
			for rows.Next() {
				if err := rows.Scan(&v); err != nil {
					return 0, err
				}
			}
			return v, rows.Err()
		}
		for name, open := range map[string]func(db *sql.DB) func(k int) (int, error){
			"QueryRow": func(db *sql.DB) func(int) (int, error) {
				return func(k int) (v int, err error) { return v, db.QueryRow(query, k).Scan(&v) }
			},
			"to the end": func(db *sql.DB) func(int) (int, error) {
				return func(k int) (int, error) { return toEnd(db.Query(query, k)) }
			},
			"prepared": func(db *sql.DB) func(int) (int, error) {
				stmt, err := db.Prepare(query)
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, stmt.Close()) })
				return func(k int) (int, error) { return toEnd(stmt.Query(k)) }
			},
			"no row": func(db *sql.DB) func(int) (int, error) {
				return func(k int) (v int, err error) {
					if err = db.QueryRow(query, k-10_000).Scan(&v); errors.Is(err, sql.ErrNoRows) {
						err = nil
					}
					return k*k + v, err
				}
			},
			"sqlx.Select": func(db *sql.DB) func(int) (int, error) {
				x := sqlx.NewDb(db, "rqlite")
				return func(k int) (int, error) {
					var v []int
					err := x.Select(&v, query, k)
					return append(v, 0)[0], err
				}
			},
			"gorm.Take": func(db *sql.DB) func(int) (int, error) {
				g, err := gorm.Open(gormrqlite.New(db), &gorm.Config{Logger: logger.Discard})
				require.NoError(t, err)
				return func(k int) (int, error) {
					var row struct{ K, V int }
					err := g.Table(table).Where("k = ?", k).Take(&row).Error
					return row.V, err
				}
			},
		} {
			t.Run(name, func(t *testing.T) {
				const readers = 64
				j := openJoined(t, b.shared.dsn)
				read := open(j.DB)
				var wrong violations
				steps := either(30, 300)
				together(readers, func(g int) {
					for n := range steps {
						k := (g*31 + n*7) % 1000
						wrong.looks.Add(1)
						if v, err := read(k); err != nil || v != k*k {
							wrong.add("%d has the square %d: %v", k, v, err)
						}
					}
				})
				wrong.none(t)
				requireJoinedReads(t, j.connector, int64(readers*steps))
			})
		}
	})
}

// TestJoinedReadsBeside has slow reads of the same kind under way while many read points.
func TestJoinedReadsBeside(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		const slow = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) SELECT count(i) FROM c"
		o := &ownReads{table: fillSquares(t, b.shared.dsn, 1000)}
		j := openJoined(t, b.shared.dsn)
		o.db = j.DB
		var n int
		scan(t, j.DB, slow, []any{10}, &n) // it is quick at first
		ctx, cancel := context.WithCancel(t.Context())
		var slowest atomic.Int64
		var running sync.WaitGroup
		running.Go(func() {
			for ctx.Err() == nil {
				begun := time.Now()
				if err := j.QueryRowContext(ctx, slow, 500_000).Scan(&n); err == nil {
					slowest.Store(max(slowest.Load(), int64(time.Since(begun))))
				}
			}
		})
		var over atomic.Int64 // point reads that took half as long as the slow one
		var reads atomic.Int64
		end := time.Now().Add(either(2*time.Second, 20*time.Second))
		together(32, func(g int) {
			for i := 0; time.Now().Before(end); i++ {
				begun := time.Now()
				o.good(t.Context(), (g*31+i)%1000)
				reads.Add(1)
				if most := slowest.Load(); most > 0 && int64(time.Since(begun)) > most/2 {
					over.Add(1)
				}
			}
		})
		cancel()
		running.Wait()
		o.wrong.none(t)
		report(t, "beside reads of %v: %d of %d point reads took half as long", time.Duration(slowest.Load()).Round(time.Millisecond), over.Load(), reads.Load())
		require.Positive(t, slowest.Load())
		assert.Less(t, over.Load(), reads.Load()/20)
	})
}

// TestJoinedReadsBesideMany has many slow reads of a text that is usually quick under way while many read points.
func TestJoinedReadsBesideMany(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		if !b.live {
			t.Skip("they would take the processors from all other tests; internal/coalesce has the same in virtual time")
		}
		const slow = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?) SELECT count(i) FROM c"
		const readers, fewest = 32, 3
		o := &ownReads{table: fillSquares(t, b.shared.dsn, 1000)}
		j := openJoined(t, b.shared.dsn)
		o.db = j.DB
		var n int
		for range 20 {
			scan(t, j.DB, slow, []any{10}, &n)
			o.good(t.Context(), 7)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		var running sync.WaitGroup
		var early atomic.Int64
		for range 16 {
			running.Go(func() {
				var n int
				_ = j.QueryRowContext(ctx, slow, 50_000_000).Scan(&n) // the context ends it, or the node just before
				if end, _ := ctx.Deadline(); time.Until(end) > time.Second {
					early.Add(1)
				}
			})
			linger(t.Context(), 50*time.Millisecond)
		}
		var reads [readers]int
		var worst [readers]time.Duration
		together(readers, func(g int) {
			for ctx.Err() == nil {
				begun := time.Now()
				o.good(t.Context(), (g*31+reads[g])%1000)
				worst[g] = max(worst[g], time.Since(begun))
				reads[g]++
			}
		})
		running.Wait()
		o.wrong.none(t)
		report(t, "beside 16 slow reads: %d point reads, the worst took %v", o.answered.Load(), slices.Max(worst[:]).Round(time.Millisecond))
		assert.Zero(t, early.Load(), "they are slow")
		assert.Greater(t, slices.Min(reads[:]), fewest, "each reader went on")
	})
}

// TestJoinedReadsMany has 10,000 goroutines read twice each.
func TestJoinedReadsMany(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		readers := 10_000
		if !b.live {
			readers = 2_000 // the embedded server shares the machine with all other tests
		}
		o := &ownReads{table: fillSquares(t, b.shared.dsn, 1000)}
		var open, most atomic.Int64
		transport := &http.Transport{MaxIdleConnsPerHost: 16, DialContext: countingDialer(&open, &most)}
		defer transport.CloseIdleConnections()
		db, connector := openBy(t, b.shared.dsn, transport)
		defer db.Close()
		o.db = db
		o.good(t.Context(), 7) // the text is known
		begun := time.Now()
		together(readers, func(g int) {
			o.good(t.Context(), g%1000)
			o.good(t.Context(), (g+1)%1000)
		})
		report(t, "%d reads of %d goroutines in %v, by %d sockets at a time and %d requests", 2*readers, readers,
			time.Since(begun).Round(time.Millisecond), most.Load(), connector.Stats().Requests)
		o.wrong.none(t)
		requireJoinedReads(t, connector, int64(2*readers))
		assert.LessOrEqual(t, most.Load(), int64(512), "256 requests, and sockets that are just being closed")
	})
}

// countingDialer counts the sockets that are open, and the most at a time.
func countingDialer(open, most *atomic.Int64) func(context.Context, string, string) (net.Conn, error) {
	var dialer net.Dialer
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		for now := open.Add(1); ; {
			if old := most.Load(); now <= old || most.CompareAndSwap(old, now) {
				break
			}
		}
		return &countedConn{conn, sync.OnceFunc(func() { open.Add(-1) })}, nil
	}
}

// countedConn is a socket that counts.
type countedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// staleReads are readers of a replica, some of whom ask for fresh data.
func staleReads(t *testing.T, o *ownReads) (stale int64) {
	t.Helper()
	var refused atomic.Int64
	together(32, func(g int) {
		for n := range 20 {
			ctx := t.Context()
			if g%2 == 0 {
				o.good(ctx, n)
				continue
			}
			switch err := o.point(rqlite.WithFreshness(ctx, time.Nanosecond, false), n); {
			case err == nil:
				o.answered.Add(1)
			case strings.Contains(err.Error(), "stale read"):
				refused.Add(1)
			default:
				o.wrong.add("%v", err)
			}
		}
	})
	return refused.Load()
}

// TestJoinedReadsStale has some readers of a node that is cut off ask for fresh data. They are
// refused, and nobody else is.
func TestJoinedReadsStale(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		o := &ownReads{table: fillSquares(t, f.dsn(), 1000)}
		f.settle(t)
		j := openJoined(t, withSettings(f.dsn(f.voters), "discovery=off", "level=none"))
		o.db = j.DB
		o.good(t.Context(), 7)
		f.members[f.voters].link.cut()
		stale := staleReads(t, o)
		o.wrong.none(t)
		report(t, "%d answered, %d refused as stale", o.answered.Load(), stale)
		assert.Positive(t, stale)
		requireJoinedReads(t, j.connector, o.answered.Load()+stale)
	})
}

// inTx is a point read in a read-only transaction, which must succeed.
func (o *ownReads) inTx(ctx context.Context, k int) {
	tx, err := o.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		o.wrong.add("%v", err)
		return
	}
	defer tx.Rollback()
	var v int
	o.wrong.looks.Add(1)
	if err := tx.QueryRowContext(ctx, "SELECT v FROM "+o.table+" WHERE k = ?", k).Scan(&v); err != nil || v != k*k {
		o.wrong.add("%d has the square %d in a transaction: %v", k, v, err)
		return
	}
	o.answered.Add(1)
}

// TestJoinedReadsElsewhere has many read while the cluster changes its leader: together, each by itself, by the
// log, and in transactions. Nobody gets an error, or the row of another.
func TestJoinedReadsElsewhere(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3})
		table := fillSquares(t, f.dsn(), 1000)
		f.settle(t)
		j := openJoined(t, withSettings(f.dsn(), "level=linearizable"))
		joined, apart, byLog := &ownReads{table: table, db: j.DB}, &ownReads{table: table}, &ownReads{table: table}
		apart.db = openDSN(t, withSettings(f.dsn(), "level=linearizable", "coalesce=false"))
		byLog.db = openDSN(t, withSettings(f.dsn(), "level=strong"))
		inTx := &ownReads{table: table, db: apart.db}
		stop := make(chan struct{})
		var readers sync.WaitGroup
		each := func(n int, read func(ctx context.Context, k int)) {
			for g := range n {
				readers.Go(func() {
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						default:
							read(t.Context(), (g*31+n)%1000)
						}
					}
				})
			}
		}
		each(32, joined.good)
		each(4, apart.good)
		each(4, byLog.good)
		each(4, inTx.inTx)
		leaders := fmt.Sprint(f.leader(t))
		for range either(6, 100) {
			linger(t.Context(), 300*time.Millisecond)
			next := (f.leader(t) + 1) % f.voters
			if err := raw(t, j.DB, func(ctx context.Context, c rqlite.Conn) error { return c.StepDown(ctx, f.members[next].id) }); err != nil {
				t.Logf("step down: %v", err)
			}
			leaders += fmt.Sprint(", ", f.leader(t))
		}
		linger(t.Context(), 300*time.Millisecond)
		close(stop)
		readers.Wait()
		for _, o := range []*ownReads{joined, apart, byLog, inTx} {
			o.wrong.none(t)
			assert.Positive(t, o.answered.Load())
		}
		report(t, "%d joined reads answered, %d by themselves, %d by the log, %d in transactions, under the leaders %s",
			joined.answered.Load(), apart.answered.Load(), byLog.answered.Load(), inTx.answered.Load(), leaders)
		requireJoinedReads(t, j.connector, joined.answered.Load())
	})
}
