package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withoutAndWithWaits runs a test on every backend, with a database for each mode of transactions. In
// the first mode no write waits, and in the others a program must not notice that writes do.
func withoutAndWithWaits(t *testing.T, test func(t *testing.T, b *backend, db *sql.DB, table string)) {
	t.Helper()
	forEach(t, func(t *testing.T, b *backend) {
		inModes(t, txModes, func(t *testing.T, mode rqlite.TxMode) { test(t, b, b.open(t, setting(mode)), newTable()) })
	})
}

// toldIDs are the ids that a program was told, by what it has inserted as a.
type toldIDs map[string]int64

// requireStored demands that these are the ids of the rows in a table.
func (told toldIDs) requireStored(t *testing.T, db *sql.DB, table string) {
	t.Helper()
	for a, id := range told {
		var stored int64
		scan(t, db, "SELECT id FROM "+table+" WHERE a = ?", []any{a}, &stored)
		assert.Equal(t, stored, id, "the id that the program was told of %q", a)
	}
}

// chosenIDs is a loop of an INSERT whose ids look as if SQLite chose one after the other, and are others.
type chosenIDs struct {
	there  int64 // the id of a row that is there before, 0 for none
	insert string
	rows   []chosenRow
	seen   int // the first execution whose id the program looks at
}

// chosenRow is one execution.
type chosenRow struct {
	a    string // of the last row, whose id the program is told
	args []any
}

func chosenIDCases() map[string]chosenIDs {
	null := chosenIDs{there: 100, insert: "INSERT INTO @(id, a) VALUES (?, ?)"}
	for i := range 14 {
		a := fmt.Sprint("row ", i)
		args := []any{i + 1, a}
		if i == 5 {
			args[0] = nil
		}
		null.rows = append(null.rows, chosenRow{a: a, args: args})
	}
	spaces := chosenIDs{insert: "INSERT INTO @(id, a) VALUES (?, ?)"}
	for _, id := range strings.Fields("1 2 3 5 4 7 6 8 9 10 11 12 13") {
		spaces.rows = append(spaces.rows, chosenRow{a: "row " + id, args: []any{" " + id, "row " + id}})
	}
	// From the fourth on, ids go up by one and by three in turn.
	halves := chosenIDs{there: 1000, insert: "INSERT INTO @(id, a) VALUES (?, ?), (?, ?)", seen: 3}
	for _, id := range []int{3, 1002, 1004, 1006, 5, 1010, 7, 1014, 9, 1018, 11, 1022, 1024} {
		a := fmt.Sprint("row behind ", id)
		halves.rows = append(halves.rows, chosenRow{a: a, args: []any{id, "first", nil, a}})
	}
	return map[string]chosenIDs{"NULL between ids": null, "spaces around ids": spaces, "an id for the first of two rows": halves}
}

// TestTxWaitsChosenIDs has a program choose ids so that what SQLite chooses is easily mistaken. Each id
// that the program is told in the run that is committed is that of the row. So is each that it is told
// behind the end, where the driver may also say that it does not know.
func TestTxWaitsChosenIDs(t *testing.T) {
	for name, c := range chosenIDCases() {
		for _, behind := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/behind the end: %v", name, behind), func(t *testing.T) {
				withoutAndWithWaits(t, func(t *testing.T, _ *backend, db *sql.DB, table string) {
					mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, a)")
					if c.there != 0 {
						mustExec(t, db, "INSERT INTO "+table+" VALUES (?, 'there before')", c.there)
					}
					told := c.run(t, db, table, behind)
					told.requireStored(t, db, table)
				})
			})
		}
	}
}

// run inserts the rows in a transaction, and looks at the ids at once or behind the end.
func (c chosenIDs) run(t *testing.T, db *sql.DB, table string, behind bool) (told toldIDs) {
	t.Helper()
	results := make([]sql.Result, len(c.rows))
	require.NoError(t, rqlite.RunTx(t.Context(), db, nil, func(tx *sql.Tx) (err error) {
		told = toldIDs{}
		for i, row := range c.rows {
			if results[i], err = tx.ExecContext(t.Context(), strings.ReplaceAll(c.insert, "@", table), row.args...); err != nil {
				return err
			}
			if behind || i < c.seen {
				continue
			}
			if told[row.a], err = results[i].LastInsertId(); err != nil {
				return err
			}
		}
		return nil
	}))
	if !behind {
		require.Len(t, told, len(c.rows)-c.seen)
		return told
	}
	for i, row := range c.rows {
		if id, err := results[i].LastInsertId(); err == nil {
			told[row.a] = id
		} else {
			assert.ErrorContains(t, err, "ask for the result before Commit")
		}
	}
	return told
}

// TestTxWaitsGapInIDs has ids of the program leave a gap where it does not look. Nothing has changed, and
// the commit says so.
func TestTxWaitsGapInIDs(t *testing.T) {
	withoutAndWithWaits(t, func(t *testing.T, _ *backend, db *sql.DB, table string) {
		mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY)")
		tx := begin(t, db, nil)
		for n := 1; n <= 12; n++ {
			id := int64(n)
			if n > 4 {
				id += 50
			}
			result, err := tx.ExecContext(t.Context(), "INSERT INTO "+table+" (id) VALUES (?)", id)
			require.NoError(t, err)
			if n == 8 {
				told, err := result.LastInsertId()
				require.NoError(t, err)
				require.Equal(t, id, told)
			}
		}
		require.NoError(t, tx.Commit())
	})
}

// TestTxWaitsIDsOfRivals has several connectors insert into one table at once, in loops long enough for
// ids to be foreseen. Each is told the ids of its own rows.
func TestTxWaitsIDsOfRivals(t *testing.T) {
	const rivals, rows = 4, 14
	rounds := either(3, 30)
	withoutAndWithWaits(t, func(t *testing.T, _ *backend, db *sql.DB, table string) {
		mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, a)")
		var busy sync.WaitGroup
		for rival := range rivals {
			busy.Go(func() {
				for round := range rounds {
					var told toldIDs
					err := rqlite.RunTx(t.Context(), db, nil, func(tx *sql.Tx) (err error) {
						told, err = insertRivals(t.Context(), tx, table, rival, round, rows)
						return err
					})
					if !assert.NoError(t, err) {
						return
					}
					assert.Len(t, told, rows)
					told.requireStored(t, db, table)
				}
			})
		}
		busy.Wait()
		var n int
		scan(t, db, "SELECT count(*) FROM "+table, nil, &n)
		assert.Equal(t, rivals*rounds*rows, n)
	})
}

// insertRivals inserts rows, and learns ids from the result and from RETURNING: in turn, or by one of them
// if the number of the rival says so.
func insertRivals(ctx context.Context, tx *sql.Tx, table string, rival, round, rows int) (toldIDs, error) {
	told := toldIDs{}
	for i := range rows {
		a := fmt.Sprintf("%d-%d-%d", rival, round, i)
		byResult := [...]bool{i%2 == 0, i%2 == 1, true, false}[rival]
		var err error
		if byResult {
			var result sql.Result
			if result, err = tx.ExecContext(ctx, "INSERT INTO "+table+" (a) VALUES (?)", a); err == nil {
				told[a], err = result.LastInsertId()
			}
		} else {
			told[a], err = one(ctx, tx, "INSERT INTO "+table+" (a) VALUES (?) RETURNING id", a)
		}
		if err != nil {
			return nil, err
		}
	}
	return told, nil
}

// TestTxWaitsForeignWriter has a writer that does not move the version come between the last trial and the
// commit. The ids that the program was told are others then, and the commit says so.
func TestTxWaitsForeignWriter(t *testing.T) {
	for name, insert := range map[string]func(context.Context, *sql.Tx, string) (int64, error){
		"LastInsertId": func(ctx context.Context, tx *sql.Tx, table string) (int64, error) {
			result, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (a) VALUES (?)", "x")
			if err != nil {
				return 0, err
			}
			return result.LastInsertId()
		},
		"RETURNING": func(ctx context.Context, tx *sql.Tx, table string) (int64, error) {
			return one(ctx, tx, "INSERT INTO "+table+" (a) VALUES (?) RETURNING id", "x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			withoutAndWithWaits(t, func(t *testing.T, b *backend, db *sql.DB, table string) {
				mustExec(t, db, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, a)")
				tx := begin(t, db, nil)
				for i := range int64(2) {
					id, err := insert(t.Context(), tx, table)
					require.NoError(t, err)
					require.Equal(t, i+1, id)
				}
				mustExec(t, b.open(t, "txversion=false"), "INSERT INTO "+table+" (a) VALUES ('foreign')")
				err := tx.Commit()
				if undoesReturning.before(b.shared.version) && errors.Is(err, rqlite.ErrTxConflict) {
					return // the driver may run such statements once more before the commit
				}
				assert.ErrorIs(t, err, rqlite.ErrResultsChanged)
			})
		})
	}
}
