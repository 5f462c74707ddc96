//go:build go1.25

package coalesce

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		assert.True(t, p.isSlow(begun, time.Now(), true))
		answers(100, 10*time.Second)
		begun = time.Now()
		time.Sleep(limitTypical*mostTypical - time.Second)
		assert.False(t, p.isSlow(begun, begun, false), "all of them take long")
		time.Sleep(time.Second + 1)
		assert.True(t, p.isSlow(begun, begun, false), "there is a limit")
	})
	inBubble(t, "a request that left later, and not one that left before", func(t *testing.T) {
		var p pace
		before := time.Now()
		time.Sleep(time.Millisecond)
		begun := time.Now()
		time.Sleep(shortestLimit)
		p.answered(before, time.Millisecond)
		assert.False(t, p.isSlow(begun, time.Now(), true))
		p.answered(begun, 40*time.Millisecond)
		assert.False(t, p.isSlow(begun, time.Now(), true), "it took too long")
		p.answered(begun, time.Millisecond)
		p.answered(before, time.Second)
		assert.True(t, p.isSlow(begun, time.Now(), true))
	})
	inBubble(t, "where nothing can tell, one", func(t *testing.T) {
		var p pace
		begun := time.Now()
		time.Sleep(shortestLimit)
		assert.False(t, p.isSlow(begun, begun, true), "the answer comes")
		assert.True(t, p.isSlow(begun, begun, false))
		tried := time.Now()
		assert.False(t, p.isSlow(begun, tried, false), "the reads of another will tell")
		time.Sleep(shortestLimit)
		assert.True(t, p.isSlow(begun, tried, false), "they have not told")
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
				gotSlow, gotDoubtful := q.Ended("n:1", begun, end)
				assert.Equal(t, slow, gotSlow)
				assert.Equal(t, doubtful, gotDoubtful)
			}
			begun := time.Now()
			time.Sleep(doubtAfter)
			ended(begun, false, false)
			time.Sleep(time.Microsecond)
			ended(begun, false, doubtful)
			answers := func() {
				q.Ended("n:1", time.Now().Add(-time.Millisecond), Answered)
				q.pace("").typical = time.Millisecond
			}
			answers()
			ended(begun, end != Answered, doubtful)
			time.Sleep(shortestLimit)
			answers()
			ended(begun, true, doubtful)
		})
	}
}

// What other nodes do says nothing of a node. All reads of the leader go to one, by whatever name.
func TestReadsOfNodes(t *testing.T) {
	t.Parallel()
	for leader, slow := range map[bool]bool{false: false, true: true} {
		inBubble(t, fmt.Sprint("leader ", leader), func(t *testing.T) {
			q, _, _, _ := fullOfReads(t, Kind{Path: cluster.QueryPath, Params: "level=none", Leader: leader})
			begun := time.Now()
			time.Sleep(shortestLimit)
			q.Ended("near:1", time.Now().Add(-time.Millisecond), Answered)
			got, _ := q.Ended("far:1", begun, Failed)
			assert.Equal(t, slow, got)
			q.Ended("far:1", time.Now().Add(-time.Millisecond), Answered)
			got, _ = q.Ended("far:1", begun, Failed)
			assert.True(t, got)
		})
	}
	inBubble(t, "few are remembered", func(t *testing.T) {
		q, _, _, _ := fullOfReads(t, Kind{Path: cluster.QueryPath, Params: "level=none"})
		for i := range 3 * mostNodes {
			q.Ended(fmt.Sprint(i), time.Now(), Answered)
		}
		assert.LessOrEqual(t, len(q.paces), mostNodes)
	})
	inBubble(t, "another leader may be farther away", func(t *testing.T) {
		q, _, _, _ := fullOfReads(t, point)
		q.isAt("near:1")
		q.distance.measured(time.Millisecond)
		q.isAt("near:1")
		require.NotZero(t, q.distance.quickest)
		begun := time.Now()
		q.isAt("far:1")
		assert.Zero(t, q.distance.quickest)
		time.Sleep(shortestLimit)
		slow, _ := q.Ended("far:1", begun, Failed)
		assert.False(t, slow)
	})
}

// One slow request does not put the node far away for good: the answers to lone reads tell better.
func TestDistanceFalls(t *testing.T) {
	t.Parallel()
	l := &library{}
	client, _ := newCluster(t, true, l.reply)
	q := NewReads(Config{Client: client}).Of(point)
	q.Ended("n:1", time.Now().Add(-time.Millisecond), Answered)
	require.False(t, q.far(), "only bulks show that a node is far")
	q.distance.measured(60 * time.Millisecond)
	require.True(t, q.far())
	q.Ended("n:1", time.Now().Add(-70*time.Millisecond), Answered)
	require.True(t, q.far())
	q.Ended("n:1", time.Now().Add(-time.Millisecond), Answered)
	require.False(t, q.far())
}
