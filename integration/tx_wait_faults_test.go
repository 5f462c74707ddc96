//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startBehindProxy starts a server, and a proxy through which the second DSN goes.
func startBehindProxy(t *testing.T, b *backend) (c *cluster, p *proxy, dsn string) {
	t.Helper()
	c = b.launch(t, serverOptions{})
	p, err := newProxy(freePort(t), strings.TrimPrefix(c.nodes[0].url, "http://"))
	require.NoError(t, err)
	t.Cleanup(p.close)
	return c, p, withSettings("rqlite://"+p.address, "discovery=off", "timeout=10s")
}

// TestTxWaitsCommitAnswerLost has the answer to a commit be lost. What the connection tells of its last
// write is right, or not told: it is not that of a write before.
func TestTxWaitsCommitAnswerLost(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		_, p, dsn := startBehindProxy(t, b)
		inModes(t, txModes, func(t *testing.T, mode rqlite.TxMode) {
			db, table := openDSN(t, withSettings(dsn, setting(mode))), newTable()
			mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, a)")
			conn, err := db.Conn(t.Context())
			require.NoError(t, err)
			defer conn.Close()
			tx, err := conn.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			defer tx.Rollback()
			var last sql.Result
			for i := range 5 {
				last, err = tx.ExecContext(t.Context(), "INSERT INTO "+table+" (a) VALUES (?)", i)
				require.NoError(t, err)
			}
			losses := 0
			p.obey(func(one passage) fate {
				if !one.isWrite() || losses > 0 {
					return fate{}
				}
				losses++
				return fate{lose: true}
			})
			require.NoError(t, tx.Commit())
			p.obey(nil)
			require.Equal(t, 1, losses)
			if id, err := last.LastInsertId(); err == nil {
				assert.EqualValues(t, 5, id)
			}
			var rowid int64
			if err := conn.QueryRowContext(t.Context(), "SELECT last_insert_rowid()").Scan(&rowid); err != nil {
				assert.ErrorContains(t, err, "last_insert_rowid() and changes() are not known")
				assert.NotEqual(t, rqlite.TxInteractive, mode, "each write was answered there")
				return
			}
			assert.EqualValues(t, 5, rowid)
		})
	})
}

// waitFaults are transactions whose requests and answers get lost.
type waitFaults struct {
	db    *sql.DB // around the proxy
	table string

	mu                         sync.Mutex
	committed, unknown, failed int
}

// insert inserts rows by one transaction, and looks at their ids at once or behind the end.
func (w *waitFaults) insert(ctx context.Context, db *sql.DB, who string, behind bool) (told toldIDs, err error) {
	ctx, cancel := context.WithTimeout(ctx, patienceOfTx)
	defer cancel()
	results := map[string]sql.Result{}
	err = rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
		told = toldIDs{}
		for i := range 14 {
			a := fmt.Sprint(who, " ", i)
			result, err := tx.ExecContext(ctx, "INSERT INTO "+w.table+" (who, a) VALUES (?, ?)", who, a)
			if err != nil {
				return err
			}
			if results[a] = result; !behind {
				if told[a], err = result.LastInsertId(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil && behind {
		for a, result := range results {
			if id, err := result.LastInsertId(); err == nil {
				told[a] = id
			} // else its answer is lost
		}
	}
	return told, err
}

// audit compares what is stored with what the program was told.
func (w *waitFaults) audit(t *testing.T, who string, told toldIDs, err error) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var rows int
	scan(t, w.db, "SELECT count(*) FROM "+w.table+" WHERE who = ?", []any{who}, &rows)
	switch {
	case err == nil:
		w.committed++
		assert.Equal(t, 14, rows, who)
		told.requireStored(t, w.db, w.table)
	case errors.Is(err, rqlite.ErrIndeterminate), errors.Is(err, rqlite.ErrRowsLost):
		w.unknown++
		assert.Contains(t, []int{0, 14}, rows, who)
	default:
		w.failed++
		assert.Zero(t, rows, "%s: %v", who, err)
	}
}

// TestTxWaitsFaults has requests be late, and answers get lost as a whole or in part. A transaction is
// applied once, or not at all if it says so, and the ids are as told.
func TestTxWaitsFaults(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		c, p, dsn := startBehindProxy(t, b)
		w := &waitFaults{db: openDSN(t, c.dsn), table: newTable()}
		mustExec(t, w.db, "CREATE TABLE "+w.table+" (id INTEGER PRIMARY KEY, who, a UNIQUE)")
		seed := uint64(envInt(t, "RQLITE_SEED", time.Now().UnixNano()))
		random := rand.New(rand.NewPCG(seed, 0))
		losses := 0
		p.obey(func(passage) fate {
			switch random.IntN(12) {
			case 0:
				losses++
				return fate{lose: true}
			case 1:
				losses++
				return fate{cut: true}
			case 2:
				return fate{delay: time.Duration(random.IntN(20)) * time.Millisecond}
			}
			return fate{}
		})
		var busy sync.WaitGroup
		for client := range 4 {
			db := openDSN(t, withSettings(dsn, setting(aheadModes[client%2])))
			busy.Go(func() {
				for round := range either(8, 60) {
					who := fmt.Sprintf("%d-%d", client, round)
					told, err := w.insert(t.Context(), db, who, client >= 2)
					w.audit(t, who, told, err)
				}
			})
		}
		busy.Wait()
		p.obey(nil)
		report(t, "RQLITE_SEED=%d: %d committed, %d unknown, %d failed; %d faults", seed, w.committed, w.unknown, w.failed, losses)
		assert.Positive(t, w.committed)
		assert.Positive(t, losses)
	})
}

// TestTxWaitsDefaults has a table wait whose defaults each node would evaluate for itself. The driver
// knows of them, so that all nodes store the same.
func TestTxWaitsDefaults(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{voters: 3})
		db := openDSN(t, withSettings(f.dsn(), setting(rqlite.TxPipelined)))
		require.NoError(t, once(t.Context(), db, nil, func(tx *sql.Tx) error {
			for _, statement := range []string{
				"CREATE TABLE noisy (id INTEGER PRIMARY KEY, a, r DEFAULT (random()), at DEFAULT (strftime('%f', 'now')))",
				"INSERT INTO noisy (a) VALUES (1)",
				"INSERT INTO noisy (a) VALUES (2), (3)",
			} {
				if _, err := tx.ExecContext(t.Context(), statement); err != nil {
					return err
				}
			}
			return nil
		}))
		f.requireSame(t)
		var n int
		scan(t, db, "SELECT count(DISTINCT r) FROM noisy", nil, &n)
		assert.Equal(t, 3, n)
	})
}
