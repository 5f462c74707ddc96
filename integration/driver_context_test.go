package integration_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endless is a query that has no end and gives no row.
const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"

// late is how long after its context a call may return.
const late = 50 * time.Millisecond

func TestContextCancelledBefore(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, recorder := openRecorded(t, b.shared.dsn)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := db.ExecContext(ctx, "CREATE TABLE never (x)")
		require.ErrorIs(t, err, context.Canceled)
		_, err = db.QueryContext(ctx, "SELECT 1")
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, db.PingContext(ctx), context.Canceled)
		assert.Zero(t, recorder.requests.Load())
	})
}

// TestQueryDeadline demands that a query ends with its context.
func TestQueryDeadline(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		require.NoError(t, db.PingContext(t.Context()))
		deadline := time.Now().Add(200 * time.Millisecond)
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		defer cancel()
		err := drain(ctx, t, b, endless)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Less(t, time.Since(deadline), late)
		require.NoError(t, db.PingContext(t.Context()), "the database works on")
	})
}

func TestQueryCancelled(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		// Before rqlite 9.4.0 a node goes on with a read that is cancelled, until its deadline.
		bounded, end := context.WithTimeout(t.Context(), 5*time.Second)
		defer end()
		ctx, cancel := context.WithCancel(bounded)
		defer cancel()
		var cancelled time.Time
		timer := time.AfterFunc(200*time.Millisecond, func() {
			cancelled = time.Now()
			cancel()
		})
		defer timer.Stop()
		err := drain(ctx, t, b, endless)
		require.ErrorIs(t, err, context.Canceled)
		<-ctx.Done()
		assert.Less(t, time.Since(cancelled), late)
	})
}

// TestReadingCancelled cancels between rows.
func TestReadingCancelled(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, _ := openRecorded(t, b.shared.dsn)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		rows, err := db.QueryContext(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) SELECT i, 'some text to fill it' FROM n")
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		cancel()
		read := 0
		for rows.Next() {
			read++
		}
		require.ErrorIs(t, rows.Err(), context.Canceled)
		assert.Less(t, read, 199999)
	})
}

// TestExecCancelled cancels a write that has been sent: nobody knows what
// becomes of it.
func TestExecCancelled(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		db, recorder := openRecorded(t, b.shared.dsn)
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (i)")
		before := recorder.requests.Load()
		deadline := time.Now().Add(100 * time.Millisecond)
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		defer cancel()
		steps := 3000000
		if !b.live {
			steps /= 5 // it is slower, under the race detector in particular
		}
		_, err := db.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s "+
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) SELECT max(i) FROM n", table, steps))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, rqlite.ErrIndeterminate)
		require.ErrorContains(t, err, "the server may still be running it")
		assert.Less(t, time.Since(deadline), late)
		assert.EqualValues(t, before+1, recorder.requests.Load(), "a write is sent once")

		// The next write comes behind it, so that it is done by then.
		mustExec(t, db, "INSERT INTO "+table+" VALUES (0)")
		var rows int
		scan(t, db, "SELECT count(*) FROM "+table, nil, &rows)
		assert.LessOrEqual(t, rows, 2)
	})
}

// TestTimeout uses the setting of the DSN in place of a deadline.
func TestTimeout(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		start := time.Now()
		db := b.open(t, "timeout=500ms")
		rows, err := db.QueryContext(t.Context(), endless)
		if err == nil {
			rows.Close()
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Less(t, time.Since(start), 2*time.Second)

		// It does not bound the reading of rows.
		rows, err = db.QueryContext(t.Context(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000) SELECT i FROM n")
		require.NoError(t, err)
		defer rows.Close()
		require.True(t, rows.Next())
		<-time.After(600 * time.Millisecond) // the passing of this time is what is tested
		read := 1
		for rows.Next() {
			read++
		}
		require.NoError(t, rows.Err())
		assert.Equal(t, 2000, read)
	})
}

// drain runs a query on a database of its own and reads all rows.
func drain(ctx context.Context, t *testing.T, b *backend, query string) error {
	t.Helper()
	db, _ := openRecorded(t, b.shared.dsn)
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		continue
	}
	return rows.Err()
}
