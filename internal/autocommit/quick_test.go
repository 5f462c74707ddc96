package autocommit

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

const point, slow = 20 * time.Microsecond, 300 * time.Millisecond

func TestQuickTexts(t *testing.T) {
	t.Parallel()
	var q quickTexts
	a := q.of("SELECT a")
	require.False(t, a.isQuick(), "it is new")
	a.Measure(point, 100)
	require.True(t, a.isQuick())
	require.Same(t, a, q.of("SELECT a"))
	require.False(t, q.of("SELECT b").isQuick())
	require.Nil(t, q.of(strings.Repeat("x", longestText+1)))
	require.False(t, (*textCost)(nil).isQuick())
}

// A new text takes the place of another one.
func TestQuickTextsAreFew(t *testing.T) {
	t.Parallel()
	var q quickTexts
	for i := range 10 * quickSets * quickWays {
		q.of(fmt.Sprint("SELECT ", i)).Measure(point, 1)
	}
	known := 0
	for i := range q.sets {
		for w := range q.sets[i] {
			if q.sets[i][w].Load() != nil {
				known++
			}
		}
	}
	assert.Greater(t, known, quickSets*quickWays*9/10)
}

func TestTextCost(t *testing.T) {
	t.Parallel()
	measured := func(answers ...time.Duration) *textCost {
		c := &textCost{}
		for _, took := range answers {
			if !c.isQuick() {
				c.goesAlone()
			}
			c.Measure(took, 100)
		}
		return c
	}
	quick := func(n int, then ...time.Duration) []time.Duration {
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = point
		}
		return append(all, then...)
	}
	assert.False(t, measured(slow).isQuick())
	assert.False(t, measured(0).isQuick(), "the node does not tell")
	assert.True(t, measured(quickEnough).isQuick())
	assert.False(t, measured(quickEnough+1).isQuick())
	assert.True(t, measured(quick(1000, tooLong)...).isQuick(), "any is late once")
	assert.False(t, measured(quick(1000, tooLong, tooLong)...).isQuick())
	assert.False(t, measured(quick(1000, tooLong, point, point, tooLong)...).isQuick())
	assert.True(t, measured(append(quick(1000, tooLong, tooLong), quick(2*memory)...)...).isQuick(), "it may become quick again")
	assert.False(t, measured(quick(1000, tooLong+1)...).isQuick(), "it is slow with some values")

	wide := measured(point)
	wide.Measure(point, 100+20_000)
	assert.Equal(t, point+10_100*perByte, wide.work(), "others wait for the bytes, too")

	huge := measured(quick(1000)...)
	huge.Measure(point, hugeRows+1)
	assert.False(t, huge.isQuick(), "it is large with some values")

	large := measured(point)
	large.Measure(point, largestRows+1)
	assert.False(t, large.isQuick())

	cut := measured(point)
	cut.Doubt()
	assert.False(t, cut.isQuick(), "nobody knows how long it would have taken")
	cut.Measure(point, 100)
	assert.True(t, cut.isQuick())
}

// A text that shows to be slow again and again goes alone more often each time.
func TestTextCostAlone(t *testing.T) {
	t.Parallel()
	c := &textCost{}
	points := func(n int) {
		for range n {
			c.Measure(point, 100)
		}
	}
	slowFor := func(times int) {
		t.Helper()
		c.Measure(slow, 100)
		for range times {
			require.False(t, c.isQuick())
			c.goesAlone()
			c.Measure(point, 100)
		}
		require.True(t, c.isQuick())
	}
	points(memory)
	slowFor(firstAlone)
	for n := 2 * firstAlone; n <= mostAlone; n *= 2 {
		points(calm - 2)
		slowFor(n)
	}
	slowFor(mostAlone)
	points(calm)
	slowFor(firstAlone)
}

// One that goes alone only counts by its answers since then.
func TestTextCostLater(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer time.Duration
		quick  bool
	}{"quick": {point, true}, "slow": {slow, false}, "none": {0, true}} {
		c := &textCost{}
		c.Measure(point, 100)
		c.Measure(slow, 100)
		for range firstAlone {
			c.goesAlone()
		}
		c.Measure(tt.answer, 100)
		assert.Equal(t, tt.quick, c.isQuick(), name)
	}
}

func TestTextCostFailed(t *testing.T) {
	t.Parallel()
	c := &textCost{}
	c.Measure(point, 100)
	c.failed(nil)
	c.failed(sqlerr.New("no such table: t", 0, 1))
	require.True(t, c.isQuick())
	for _, alone := range []int{firstAlone, 2 * firstAlone} {
		partings := c.partings.Load()
		c.Doubt()       // as the request with others fails
		for range 100 { // many at once, of which one counts
			c.wasSlow(partings)
		}
		for range alone {
			require.False(t, c.isQuick())
			c.goesAlone()
			c.Measure(point, 100)
		}
		require.True(t, c.isQuick())
	}
	c.wasSlow(-1)
	require.False(t, c.isQuick(), "it was quick again, and another one was slow")
	partings := c.partings.Load()
	c.Slow()
	require.Equal(t, partings, c.partings.Load(), "of many one counts")
	for range 4 * firstAlone {
		require.False(t, c.isQuick())
		c.goesAlone()
	}
	require.True(t, c.isQuick())
	c.Slow()
	require.False(t, c.isQuick())
	c.failed(sqlerr.New("json: unsupported value: +Inf", -1, 0))
	require.False(t, c.isQuick())
	c.Measure(point, 100)
	require.False(t, c.isQuick(), "other answers would not come either")
}

// A text goes alone while one of its reads takes long again that may have held up others.
func TestTextCostSuspected(t *testing.T) {
	t.Parallel()
	c := &textCost{}
	c.Measure(point, 100)
	c.suspects()()
	first, second := c.suspects(), c.suspects()
	require.True(t, c.isQuick(), "most of them are quick")
	require.Eventually(t, func() bool { return c.suspected.Load() == 2 }, 10*time.Second, time.Millisecond)
	require.False(t, c.isQuick())
	first()
	require.False(t, c.isQuick())
	alone := 0
	for begun := time.Now(); time.Since(begun) < asideTime/2; {
		for range 10 * mostAside {
			if !c.isQuick() {
				alone++
			}
		}
	}
	require.Greater(t, alone, mostAside/2)
	require.LessOrEqual(t, alone, 2*mostAside, "many at a time are joined all the same")
	second()
	require.True(t, c.isQuick())
}

func TestEndOf(t *testing.T) {
	t.Parallel()
	assert.Equal(t, coalesce.Answered, endOf(nil))
	assert.Equal(t, coalesce.TimedOut, endOf(fmt.Errorf("late: %w", context.DeadlineExceeded)))
	assert.Equal(t, coalesce.Cancelled, endOf(fmt.Errorf("gone: %w", context.Canceled)))
	assert.Equal(t, coalesce.Failed, endOf(sqlerr.New("no such table: t", 0, 1)))
}
