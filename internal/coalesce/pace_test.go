//go:build go1.25

package coalesce

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A few reads that take long say nothing of the others, and many do.
func TestPace(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		var p pace
		answers := func(n int, took time.Duration) {
			for range n {
				time.Sleep(took)
				p.answered(time.Now().Add(-took), took)
			}
		}
		answers(10, time.Millisecond)
		assert.Equal(t, time.Millisecond, p.typical)
		answers(4, 5*time.Second)
		assert.Less(t, p.typical, 3*time.Millisecond)
		answers(40, 50*time.Millisecond)
		assert.Greater(t, p.typical, 40*time.Millisecond)
		begun := time.Now()
		time.Sleep(longestLimit)
		assert.True(t, p.isSlow(begun, true))
		answers(100, 10*time.Second)
		begun = time.Now()
		p.leaves()
		time.Sleep(limitTypical*mostTypical - time.Second)
		assert.False(t, p.isSlow(begun, false), "all of them take long")
		time.Sleep(time.Second + 1)
		assert.True(t, p.isSlow(begun, false), "there is a limit")
	})
	inBubble(t, "a request that left later, and not one that left before", func(t *testing.T) {
		var p pace
		before := time.Now()
		time.Sleep(time.Millisecond)
		begun := time.Now()
		time.Sleep(shortestLimit)
		p.answered(before, time.Millisecond)
		assert.False(t, p.isSlow(begun, true))
		p.answered(begun, 40*time.Millisecond)
		assert.False(t, p.isSlow(begun, true), "it took too long")
		p.answered(begun, time.Millisecond)
		p.answered(before, time.Second)
		assert.True(t, p.isSlow(begun, true))
	})
	inBubble(t, "where nothing can tell, one", func(t *testing.T) {
		var p pace
		p.leaves()
		begun := time.Now()
		time.Sleep(shortestLimit)
		assert.False(t, p.isSlow(begun, true), "another waits, and leaves soon")
		assert.True(t, p.isSlow(begun, false))
		assert.False(t, p.isSlow(begun, false), "its reads will tell")
		time.Sleep(shortestLimit)
		assert.True(t, p.isSlow(begun, false), "they have not told")
	})
}

// A read that went alone was slow if what left later was answered much sooner, however it ended. One that was given
// up may have been, too, if it took longer than usual.
func TestReadsEnd(t *testing.T) {
	t.Parallel()
	for end, doubtful := range map[End]bool{Answered: false, TimedOut: true, Cancelled: true, Failed: false} {
		inBubble(t, fmt.Sprint(end), func(t *testing.T) {
			q, _, _, _ := fullOfReads(t, point)
			ended := func(begun time.Time, slow, doubtful bool) {
				t.Helper()
				gotSlow, gotDoubtful := q.Ended(begun, end)
				assert.Equal(t, slow, gotSlow)
				assert.Equal(t, doubtful, gotDoubtful)
			}
			begun := time.Now()
			time.Sleep(doubtAfter)
			ended(begun, false, false)
			time.Sleep(time.Microsecond)
			ended(begun, false, doubtful)
			time.Sleep(shortestLimit)
			q.Ended(time.Now().Add(-time.Millisecond), Answered)
			q.pace.typical = time.Millisecond
			ended(begun, true, doubtful)
		})
	}
}
