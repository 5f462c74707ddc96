package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/go-rqlite/rqlite/cdc"
	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onTables runs a test with a database of this driver and one of mattn/go-sqlite3.
func onTables(t *testing.T, test func(t *testing.T, db *sql.DB)) {
	t.Helper()
	t.Run("rqlite", func(t *testing.T) {
		t.Parallel()
		test(t, openDSN(t, rqlitetest.New(t).DSN()))
	})
	t.Run("sqlite3", func(t *testing.T) {
		t.Parallel()
		db, err := sql.Open("sqlite3", "file:"+filepath.Join(t.TempDir(), "db")+"?_txlock=immediate&_busy_timeout=5000")
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, db.Close()) })
		test(t, db)
	})
}

// A checkpoint in a table keeps one mark for each service, and moves it only from
// where it is.
func TestCDCTable(t *testing.T) {
	t.Parallel()
	onTables(t, func(t *testing.T, db *sql.DB) {
		ctx := t.Context()
		table, err := cdc.NewTable(db, &cdc.TableOptions{Name: "marks"})
		require.NoError(t, err)
		mark, err := table.Load(ctx, "")
		require.NoError(t, err)
		assert.Zero(t, mark)
		one := cdc.Mark{Index: 1 << 60, Part: 3, NodeID: "it's n1"}
		two := cdc.Mark{Index: 1<<60 + 1, NodeID: "n2"}
		require.NoError(t, table.Save(ctx, "", cdc.Mark{}, one))
		require.NoError(t, table.Save(ctx, "o'ther", cdc.Mark{}, two))
		assert.ErrorIs(t, table.Save(ctx, "", cdc.Mark{}, two), cdc.ErrMoved)
		assert.ErrorIs(t, table.Save(ctx, "", two, one), cdc.ErrMoved)
		again, err := cdc.NewTable(db, &cdc.TableOptions{Name: "marks"})
		require.NoError(t, err)
		for service, want := range map[string]cdc.Mark{"": one, "o'ther": two} {
			mark, err := again.Load(ctx, service)
			require.NoError(t, err)
			assert.Equal(t, want, mark)
		}
		require.NoError(t, again.Save(ctx, "", one, two))
		mark, err = table.Load(ctx, "")
		require.NoError(t, err)
		assert.Equal(t, two, mark)
	})
}

// postChange makes a handler handle one change of an index.
func postChange(t *testing.T, h http.Handler, index int) (status int) {
	t.Helper()
	body := fmt.Sprintf(`{"node_id":"1","payload":[{"index":%d,"events":[{"op":"INSERT","table":"t","new_row_id":%[1]d}]}]}`, index)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader([]byte(body))))
	return w.Code
}

// Effects and mark are committed together: when the callback fails after SaveTx nothing is
// there, when its answer is lost after the commit nothing is there twice, and of two
// receivers only one has an effect.
func TestCDCSaveTx(t *testing.T) {
	t.Parallel()
	onTables(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE effects (id INTEGER)")
		var before, after error // failures of the next callback, around its commit
		receiver := func() *cdc.Handler {
			table, err := cdc.NewTable(db, nil)
			require.NoError(t, err)
			return cdc.NewHandler(func(ctx context.Context, changes []cdc.Change) error {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				defer tx.Rollback()
				for _, c := range changes {
					if _, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", c.NewRowID); err != nil {
						return err
					}
				}
				if err := table.SaveTx(ctx, tx); err != nil {
					return err
				}
				if before != nil {
					return before
				}
				return errors.Join(tx.Commit(), after)
			}, &cdc.Options{Checkpoint: table})
		}
		a, b := receiver(), receiver()
		assert.Equal(t, 200, postChange(t, a, 1))
		assert.Equal(t, 200, postChange(t, b, 1))
		assert.Equal(t, 200, postChange(t, b, 2))
		assert.Equal(t, 500, postChange(t, a, 2), "the mark has moved")
		assert.Equal(t, 200, postChange(t, a, 2))
		before = errors.New("before")
		assert.Equal(t, 500, postChange(t, a, 3))
		before = nil
		assert.Equal(t, 200, postChange(t, a, 3))
		after = errors.New("after")
		assert.Equal(t, 500, postChange(t, a, 4))
		after = nil
		assert.Equal(t, 200, postChange(t, a, 4))
		assert.EqualValues(t, 2, a.Stats().Duplicates) // 2, and 4
		assert.Equal(t, 200, postChange(t, receiver(), 4))
		var ids string
		scan(t, db, "SELECT group_concat(id) FROM (SELECT id FROM effects ORDER BY rowid)", nil, &ids)
		assert.Equal(t, "1,2,3,4", ids)
	})
}

// A callback may write to the cluster whose changes it gets, and the checkpoint may be
// there: that ends by itself.
func TestCDCSameCluster(t *testing.T) {
	t.Parallel()
	var handler http.Handler
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	defer receiver.Close()
	srv, err := rqlitetest.Start(rqlitetest.Config{CDC: &rqlitetest.CDCConfig{Endpoint: receiver.URL, MaxBatchDelay: time.Millisecond}})
	require.NoError(t, err)
	defer srv.Close()
	db := openDSN(t, srv.DSN())
	table, err := cdc.NewTable(db, nil)
	require.NoError(t, err)
	handled := make(chan int64, 10)
	h := cdc.NewHandler(func(ctx context.Context, changes []cdc.Change) error {
		err := rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
			for _, c := range changes {
				if _, err := tx.ExecContext(ctx, "INSERT INTO audit VALUES (?, ?)", c.Table, c.NewRowID); err != nil {
					return err
				}
			}
			return table.SaveTx(ctx, tx)
		})
		if err == nil {
			handled <- changes[len(changes)-1].NewRowID
		}
		return err
	}, &cdc.Options{Checkpoint: table, Tables: func(name string) bool { return name == "orders" }})
	handler = h
	mustExec(t, db, "CREATE TABLE orders (id INTEGER PRIMARY KEY)")
	mustExec(t, db, "CREATE TABLE audit (tbl, id)")
	for id := int64(1); id <= 3; id++ {
		require.NoError(t, rqlite.RunTx(t.Context(), db, nil, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), "INSERT INTO orders VALUES (?)", id)
			return err
		}))
		require.Equal(t, id, <-handled)
	}
	linger(t.Context(), 300*time.Millisecond) // a circle would go round some hundred times
	assert.Less(t, h.Stats().Posts, uint64(20))
	assert.Zero(t, h.Stats().Failed)
	var audited int
	scan(t, db, "SELECT count(*) FROM audit", nil, &audited)
	assert.Equal(t, 3, audited)
}
