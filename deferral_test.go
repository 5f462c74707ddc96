package rqlite

import (
	"context"
	"testing"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whether foreign keys are deferred is sent with what it is about, and never by itself.
func TestDeferralIsSentWithATransaction(t *testing.T) {
	t.Parallel()
	const on, off = "PRAGMA defer_foreign_keys=ON", `pragma "main".[DEFER_foreign_keys](0)`
	f := newFake(t)
	db := f.openMarked()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	r, err := conn.ExecContext(t.Context(), off+";"+on)
	require.NoError(t, err)
	assert.Equal(t, [2]int64{}, resultOf(t, r))
	rows, err := conn.QueryContext(t.Context(), on)
	require.NoError(t, err)
	assert.False(t, rows.Next())
	require.NoError(t, rows.Close())
	require.Empty(t, f.got())

	tx, err := conn.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	f.then(triesOut(results(stateEntry(testVersion, "null", "null"), insertedToken, `{}`, oneInserted, rolledBack)))
	_, err = tx.Exec("INSERT INTO t VALUES(1)")
	require.NoError(t, err)
	_, err = tx.Exec(off)
	require.NoError(t, err)
	f.then(commits(`{"results":[],"error":"FOREIGN KEY constraint failed"}`))
	err = tx.Commit()
	require.ErrorIs(t, err, ConstraintForeignKey)
	require.NotErrorIs(t, err, ErrIndeterminate)
	sent := f.got()
	assert.Contains(t, sent[0].body, `,"`+on+`",`+insertedAlone+`,"SELECT abs(`)
	assert.Contains(t, sent[1].body, `,"`+on+`",`+insertedAlone+`,"pragma \"main\".[DEFER_foreign_keys](0)","UPDATE _rqlite_tx SET v=`)

	tx, err = conn.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.Exec(on)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(), "there is nothing to commit")
	require.Len(t, f.got(), 2)

	var b Batch
	b.Add(on)
	_, err = b.Exec(context.Background(), db)
	require.EqualError(t, err, "rqlite: PRAGMA defer_foreign_keys belongs to a transaction: set Atomic")
}

// What else is said on the connection makes it void.
func TestDeferralIsVoid(t *testing.T) {
	t.Parallel()
	var b Batch
	b.Add("SELECT 1")
	for name, between := range map[string]func(*conn) error{
		"a read":  func(c *conn) error { _, err := c.QueryContext(context.Background(), "SELECT 1", nil); return err },
		"a write": func(c *conn) error { _, err := c.ExecContext(context.Background(), "SELECT 1", nil); return err },
		"a batch": func(c *conn) error { _, err := c.ExecBatch(context.Background(), &b); return err },
		"a queued write": func(c *conn) error {
			_, err := c.ExecContext(WithQueue(context.Background(), false), "SELECT 1", nil)
			return err
		},
		"questions": func(c *conn) error { _, err := c.QueryBatch(context.Background(), &b); return err },
		"a transaction": func(c *conn) error {
			tx, err := c.Begin()
			if err != nil {
				return err
			}
			return tx.Rollback()
		},
	} {
		f := newFake(t, step{path: cluster.ExecutePath, params: "*", reply: results(one), optional: true})
		if name == "a read" || name == "questions" {
			f.script[0].path = cluster.QueryPath
		}
		if name == "a queued write" {
			f.script[0].reply = `{"results":[],"sequence_number":7}`
		}
		c := f.connect()
		_, err := c.ExecContext(t.Context(), "PRAGMA defer_foreign_keys = 1", nil)
		require.NoError(t, err)
		require.NotNil(t, c.session.TakeDeferral())
		_, err = c.ExecContext(t.Context(), "PRAGMA defer_foreign_keys = 1", nil)
		require.NoError(t, err)
		require.NoError(t, between(c), name)
		assert.Nil(t, c.session.TakeDeferral(), name)
	}
}
