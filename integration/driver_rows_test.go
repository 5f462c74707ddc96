package integration_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestRowsClosedEarly demands that neither a connection nor a goroutine is lost
// with rows that nobody reads.
func TestRowsClosedEarly(t *testing.T) {
	onEach(t, func(t *testing.T, b *backend) {
		db, recorder := openRecorded(t, b.shared.dsn)
		require.NoError(t, db.PingContext(t.Context()))
		before := goleak.IgnoreCurrent()
		for range 50 {
			rows, err := db.QueryContext(t.Context(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) SELECT i FROM n")
			require.NoError(t, err)
			require.True(t, rows.Next())
			require.NoError(t, rows.Close())
			require.Zero(t, recorder.bodies.Load())
		}
		assert.LessOrEqual(t, recorder.dials.Load(), int64(2), "a short answer is read to its end, and its connection used again")

		start := time.Now()
		rows, err := db.QueryContext(t.Context(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT i, 'some text to fill it' FROM n")
		require.NoError(t, err)
		require.True(t, rows.Next())
		opened := time.Since(start)
		require.NoError(t, rows.Close())
		assert.Less(t, time.Since(start)-opened, 500*time.Millisecond, "what is left of a long answer is not waited for")
		require.Zero(t, recorder.bodies.Load())
		recorder.transport.CloseIdleConnections()
		require.NoError(t, goleak.Find(before, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener")))
	})
}

// TestFlatMemory reads a million rows and watches the heap.
func TestFlatMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes its time")
	}
	onEach(t, func(t *testing.T, b *backend) {
		if !b.live {
			t.Skip("the embedded server makes its answers in this process, where their memory counts too")
		}
		const limit = 8 << 20
		db := b.open(t, "timeout=2m")
		require.NoError(t, db.PingContext(t.Context()))
		idle := heap()
		rows, err := db.QueryContext(t.Context(),
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i, i * 0.5, 'text ' || i, NULL FROM n")
		require.NoError(t, err)
		defer rows.Close()
		peak := idle
		count := int64(0)
		for rows.Next() {
			count++
			var i int64
			var half float64
			var text string
			var null any
			require.NoError(t, rows.Scan(&i, &half, &text, &null))
			if i != count || half != float64(i)*0.5 || text != fmt.Sprint("text ", i) || null != nil {
				t.Fatalf("row %d: %d, %v, %q, %v", count, i, half, text, null)
			}
			if count%20000 == 0 {
				peak = max(peak, heap())
			}
		}
		require.NoError(t, rows.Err())
		require.EqualValues(t, 1000000, count)
		t.Logf("heap: %d KiB above idle", (peak-idle)>>10)
		assert.Less(t, peak-idle, uint64(limit))
	})
}

// heap returns the bytes in use, without garbage: how much of that there is
// depends on the tests before.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // pools give up what they hold at the second
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
