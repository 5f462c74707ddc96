//go:build unix

package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// broodSize is how many parents each transaction inserts, so that the ids of the later ones are foreseen.
const broodSize = 4

// family inserts parents, each with three children that name it by its id.
type family struct {
	clients []*sql.DB
	options *sql.TxOptions
	insert  func(ctx context.Context, tx *sql.Tx, owner int64) (id int64, err error)
	outcomes

	owners atomic.Int64
	mu     sync.Mutex
	told   map[int64]int64 // the ids of committed parents by owner
}

// parentByResult learns the id of a parent from the result of its insertion.
func parentByResult(ctx context.Context, tx *sql.Tx, owner int64) (int64, error) {
	result, err := tx.ExecContext(ctx, "INSERT INTO parents (owner) VALUES (?)", owner)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// parentByReturning learns it from RETURNING.
func parentByReturning(ctx context.Context, tx *sql.Tx, owner int64) (int64, error) {
	return one(ctx, tx, "INSERT INTO parents (owner) VALUES (?) RETURNING id", owner)
}

// parentByGuess works it out before, as only a transaction can that nobody interferes with.
func parentByGuess(ctx context.Context, tx *sql.Tx, owner int64) (int64, error) {
	id, err := one(ctx, tx, "SELECT coalesce(max(id), 0) + 1 FROM parents")
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO parents (owner) VALUES (?)", owner)
	return id, err
}

// add inserts some parents with their children.
func (f *family) add(db *sql.DB, byRunTx bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTx)
	defer cancel()
	owner := f.owners.Add(broodSize)
	var ids [broodSize]int64
	err := f.transact(ctx, db, f.options, byRunTx, func(tx *sql.Tx) (err error) {
		for i := range ids {
			if ids[i], err = f.insert(ctx, tx, owner-int64(i)); err != nil {
				return err
			}
			if err := repeat(ctx, tx, 3, "INSERT INTO children (parent, owner) VALUES (?, ?)", func(int) []any {
				return []any{ids[i], owner - int64(i)}
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, id := range ids {
			f.told[owner-int64(i)] = id
		}
	}
}

// run inserts families by all clients at once, and returns how many children
// point at somebody else's parent or at none.
func (f *family) run(t *testing.T, db *sql.DB, lasts time.Duration) (foundlings int) {
	t.Helper()
	mustExec(t, db, "DELETE FROM parents")
	mustExec(t, db, "DELETE FROM children")
	f.told = map[int64]int64{}
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for _, client := range f.clients {
		for worker := range 2 {
			busy.Go(func() { until(stop, func() { f.add(client, worker == 0) }) })
		}
	}
	busy.Go(func() { // others insert there, too
		owner := int64(-1)
		every(50*time.Millisecond, stop, func() {
			owner--
			_, err := db.ExecContext(t.Context(), "INSERT INTO parents (owner) VALUES (?)", owner)
			assert.NoError(t, err)
		})
	})
	linger(t.Context(), lasts)
	close(stop)
	busy.Wait()
	scan(t, db, `SELECT count(*) FROM children LEFT JOIN parents ON parents.id = children.parent
		WHERE parents.owner IS NOT children.owner`, nil, &foundlings)
	return foundlings
}

// audit compares what is stored with what clients were told.
func (f *family) audit(t *testing.T, db *sql.DB) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT parents.owner, parents.id, count(*) FROM parents
		JOIN children ON children.parent = parents.id AND children.owner = parents.owner GROUP BY 1, 2`)
	require.NoError(t, err)
	defer rows.Close()
	stored := map[int64]int64{}
	for rows.Next() {
		var owner, id, children int64
		require.NoError(t, rows.Scan(&owner, &id, &children))
		require.EqualValues(t, 3, children, "children of owner %d", owner)
		stored[owner] = id
	}
	require.NoError(t, rows.Err())
	assert.Equal(t, f.told, stored, "ids by owner")
	assert.Greater(t, len(stored), 5)
}

// TestInsertedIDs has several processes insert rows that point at each other by
// ids that the database has chosen.
func TestInsertedIDs(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		db := openDSN(t, f.dsn())
		mustExec(t, db, "CREATE TABLE parents (id INTEGER PRIMARY KEY, owner INTEGER)")
		mustExec(t, db, "CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER, owner INTEGER)")
		for _, c := range []struct {
			name   string
			insert func(context.Context, *sql.Tx, int64) (int64, error)
		}{{"LastInsertId", parentByResult}, {"RETURNING", parentByReturning}, {"max(id)", parentByGuess}} {
			t.Run(c.name, func(t *testing.T) {
				commits := &loser{every: 10, fits: isCommit}
				f.obey(commits.rule)
				family := &family{clients: openModes(t, 3, f.dsn()), insert: c.insert}
				foundlings := family.run(t, db, either(3*time.Second, 30*time.Second))
				f.obey(nil)
				report(t, "%v; %d answers to commits lost", &family.outcomes, commits.lost())
				assert.Zero(t, foundlings, "children of others' parents")
				family.faultless(t)
				family.audit(t, db)
			})
		}
		t.Run("read committed", func(t *testing.T) {
			for range 10 {
				family := &family{clients: openModes(t, 3, f.dsn()), insert: parentByGuess, options: readCommitted}
				if foundlings := family.run(t, db, time.Second); foundlings > 0 {
					report(t, "%d children of others' parents: %v", foundlings, &family.outcomes)
					return
				}
			}
			t.Error("all ids are right: the test cannot fail")
		})
		f.requireSame(t)
	})
}

// TestInsertedIDSeen is one certain order of events: the id that a program was
// told is taken by another process before the commit.
func TestInsertedIDSeen(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		f := startFleet(t, fleetOptions{})
		db, other := openDSN(t, f.dsn()), openDSN(t, f.dsn())
		mustExec(t, db, "CREATE TABLE parents (id INTEGER PRIMARY KEY, owner INTEGER)")
		for name, insert := range map[string]func(context.Context, *sql.Tx, int64) (int64, error){
			"LastInsertId": parentByResult, "RETURNING": parentByReturning,
		} {
			for _, inTx := range []bool{false, true} { // how the other one writes
				inModes(t, txModes, func(t *testing.T, mode rqlite.TxMode) {
					for _, rows := range []int{1, 5} { // the later ones are foreseen
						what := fmt.Sprintf("%s, the other one in a transaction: %v, %d rows", name, inTx, rows)
						first, last := idsSeen(rqlite.WithTxMode(t.Context(), mode), t, db, other, insert, inTx, rows)
						require.Len(t, first, rows, what)
						require.Len(t, last, rows, what)
						for i := range rows {
							assert.Equal(t, first[i]+1, last[i], what)
							var owner int
							scan(t, db, "SELECT owner FROM parents WHERE id = ?", []any{last[i]}, &owner)
							assert.Equal(t, 1, owner, what)
						}
					}
				})
			}
		}
		f.requireSame(t)
	})
}

// idsSeen inserts rows in a transaction, in whose first run another client takes the first id. It
// returns the ids of the first run and of the last one.
func idsSeen(ctx context.Context, t *testing.T, db, other *sql.DB, insert func(context.Context, *sql.Tx, int64) (int64, error), inTx bool, rows int) (first, last []int64) {
	t.Helper()
	require.NoError(t, rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
		last = nil
		for range rows {
			id, err := insert(ctx, tx, 1)
			if err != nil {
				return err
			}
			last = append(last, id)
		}
		if first != nil {
			return nil
		}
		first = last
		if !inTx {
			mustExec(t, other, "INSERT INTO parents (owner) VALUES (2)")
			return nil
		}
		return once(ctx, other, nil, func(tx *sql.Tx) error {
			_, err := parentByReturning(ctx, tx, 2)
			return err
		})
	}))
	return first, last
}
