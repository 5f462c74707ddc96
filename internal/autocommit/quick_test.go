package autocommit

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

const point, slow = 20 * time.Microsecond, 300 * time.Millisecond

func TestQuickTexts(t *testing.T) {
	t.Parallel()
	var q quickTexts
	a := q.of("SELECT a")
	require.False(t, a.isQuick(), "it is new")
	a.Measure(point, 100, false)
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
		q.of(fmt.Sprint("SELECT ", i)).Measure(point, 1, false)
	}
	known := 0
	for i := range q.sets {
		for w := range q.sets[i].ways {
			if q.sets[i].ways[w].Load() != nil {
				known++
			}
		}
	}
	assert.Greater(t, known, quickSets*quickWays*9/10)
}

// Texts that are read again stay, however many new ones come. If they are no longer read, they go.
func TestQuickTextsReadAgain(t *testing.T) {
	t.Parallel()
	const hot, most = 1000, quickSets * quickWays
	var q quickTexts
	first := make([]*textCost, hot)
	for i := range hot {
		first[i] = q.of(fmt.Sprint("SELECT ", i))
	}
	kept := func() (n int) {
		for i := range hot {
			if q.of(fmt.Sprint("SELECT ", i)) == first[i] {
				n++
			}
		}
		return n
	}
	require.GreaterOrEqual(t, kept(), hot*99/100, "a few may share a set with too many others")
	for i := range 20 * most {
		q.of(fmt.Sprint("SELECT 'new', ", i))
		if i%(most/4) == 0 {
			kept()
		}
	}
	require.GreaterOrEqual(t, kept(), hot*98/100)
	for i := range 20 * most {
		q.of(fmt.Sprint("SELECT 'newer', ", i/2))
	}
	require.Less(t, kept(), hot/10)
}

// Texts that are read in turn are learned also if others, which are no longer read, fill the memory.
func TestQuickTextsInTurn(t *testing.T) {
	t.Parallel()
	const texts, most = 1000, quickSets * quickWays
	var q quickTexts
	for i := range 5 * most {
		q.of(fmt.Sprint("SELECT 'old', ", i))
	}
	known := make(map[*textCost]bool)
	for range 20 {
		for i := range texts {
			known[q.of(fmt.Sprint("SELECT ", i))] = true
		}
	}
	kept := 0
	for i := range texts {
		if known[q.of(fmt.Sprint("SELECT ", i))] {
			kept++
		}
	}
	require.GreaterOrEqual(t, kept, texts*95/100)
}

// Many goroutines that meet a new text at once get the same.
func TestQuickTextsAtOnce(t *testing.T) {
	t.Parallel()
	var q quickTexts
	for i := range 1000 {
		text := fmt.Sprint("SELECT ", i)
		var all sync.WaitGroup
		var got [4]*textCost
		all.Add(len(got))
		for g := range got {
			go func() {
				defer all.Done()
				got[g] = q.of(text)
			}()
		}
		all.Wait()
		for _, c := range got {
			require.Same(t, got[0], c)
		}
	}
}

func TestTextCost(t *testing.T) {
	t.Parallel()
	measured := func(answers ...time.Duration) *textCost {
		c := &textCost{}
		for _, took := range answers {
			if !c.isQuick() {
				c.Needed()
			}
			c.Measure(took, 100, false)
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
	wide.Measure(point, 100+20_000, false)
	assert.Equal(t, point+10_100*perByte, wide.work(), "others wait for the bytes, too")

	huge := measured(quick(1000)...)
	huge.Measure(point, hugeRows+1, false)
	assert.False(t, huge.isQuick(), "it is large with some values")

	large := measured(point)
	large.Measure(point, largestRows+1, false)
	assert.False(t, large.isQuick())

	cut := measured(point)
	cut.Doubt()
	assert.False(t, cut.isQuick(), "nobody knows how long it would have taken")
	cut.Measure(point, 100, false)
	assert.True(t, cut.isQuick())
}

// A text that shows to be slow again and again goes alone more often each time.
func TestTextCostAlone(t *testing.T) {
	t.Parallel()
	c := &textCost{}
	points := func(n int) {
		for range n {
			c.Measure(point, 100, false)
		}
	}
	slowFor := func(times int) {
		t.Helper()
		c.parted = time.Time{} // long ago
		c.Measure(slow, 100, false)
		for range times {
			require.False(t, c.isQuick())
			c.Needed()
			c.Measure(point, 100, false)
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
		c.Measure(point, 100, false)
		c.Measure(slow, 100, false)
		for range firstAlone {
			c.Needed()
		}
		c.Measure(tt.answer, 100, false)
		assert.Equal(t, tt.quick, c.isQuick(), name)
	}
}

func TestTextCostFailed(t *testing.T) {
	t.Parallel()
	c := &textCost{}
	c.Measure(point, 100, false)
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
			c.Needed()
			c.Measure(point, 100, false)
		}
		require.True(t, c.isQuick())
	}
	c.wasSlow(0)
	require.True(t, c.isQuick(), "it left long ago")
	c.parted = time.Time{}
	c.Slow()
	for range 4 * firstAlone {
		require.False(t, c.isQuick())
		c.Needed()
	}
	c.Slow()
	require.True(t, c.isQuick(), "of many at the same time one counts")
	c.parted = time.Time{}
	c.Slow()
	require.False(t, c.isQuick())
	c.failed(sqlerr.New("json: unsupported value: +Inf", -1, 0))
	require.False(t, c.isQuick())
	c.Measure(point, 100, false)
	require.False(t, c.isQuick(), "other answers would not come either")
}

// The node may have opened a connection for what is first in its request. That is not the fault of the text.
func TestTextCostFirst(t *testing.T) {
	t.Parallel()
	c := &textCost{}
	c.Measure(slow, 100, true)
	require.False(t, c.isQuick(), "nothing is known of it")
	c.Measure(point, 100, true)
	require.True(t, c.isQuick())
	for range 100 {
		c.Measure(slow, 100, true)
		require.True(t, c.isQuick())
	}
	require.Equal(t, point+100*perByte, c.work(), "joined, it takes as long as when it was quick")
	require.Zero(t, c.partings.Load())
	c.Measure(point, largestRows+1, true)
	c.Measure(point, largestRows+1, true)
	require.False(t, c.isQuick(), "it is large")
}

// Few reads of a text go alone because of a doubt. The others wait, but not for long, and all leave when it is over.
func TestDoubt(t *testing.T) {
	t.Parallel()
	client := cluster.New(cluster.Config{Hosts: []string{"localhost:4001"}, Scheme: "http", Transport: http.DefaultTransport})
	t.Cleanup(client.Close)
	reads := coalesce.NewReads(coalesce.Config{Client: client}).Of(coalesce.Kind{})
	c := &textCost{}
	for range memory {
		c.Measure(point, 100, false)
	}
	c.Doubt()
	d := c.doubt.Load()
	c.Doubt()
	require.Same(t, d, c.doubt.Load(), "it is the same doubt")
	var leave []func()
	for range mostDoubted {
		leave = append(leave, d.await(t.Context(), time.Now(), reads))
	}
	require.Len(t, d.places, mostDoubted)
	begun := time.Now()
	d.await(t.Context(), begun, reads)()
	require.GreaterOrEqual(t, time.Since(begun), 100*time.Millisecond, "a while, and then it goes all the same")
	d.await(t.Context(), begun, nil)()
	require.Len(t, d.places, mostDoubted)

	over := make(chan func())
	go func() { over <- d.await(t.Context(), time.Now(), reads) }()
	c.Measure(2*quickEnough, 100, false)
	require.False(t, c.isQuick())
	c.Measure(point, 100, false)
	(<-over)()
	require.True(t, c.isQuick())
	require.Nil(t, c.doubt.Load())
	for _, leave := range leave {
		leave()
	}
	require.Empty(t, d.places)
}

// What was under way when a text was parted shows nothing new: all of it may have met a busy machine.
func TestTextCostAtOnce(t *testing.T) {
	t.Parallel()
	c := &textCost{}
	for range memory {
		c.Measure(point, 100, false)
	}
	for range 10 {
		c.Measure(slow, 100, false)
		for range firstAlone {
			c.Needed()
		}
		for range memory {
			c.Measure(point, 100, false)
		}
	}
	require.EqualValues(t, 1, c.partings.Load())
	require.True(t, c.isQuick())
	c.parted = c.parted.Add(-slow)
	c.Measure(slow, 100, false)
	require.EqualValues(t, 2, c.partings.Load())
}

// Those that wait for a place alone go with others as soon as the text is quick.
func TestTextCostGoesAlone(t *testing.T) {
	t.Parallel()
	c := &textCost{}
	require.True(t, c.Needed())
	c.Measure(point, 100, true)
	require.False(t, c.Needed())
	c.Slow()
	for range firstAlone {
		require.True(t, c.Needed())
	}
	require.False(t, c.Needed())
}

func TestEndOf(t *testing.T) {
	t.Parallel()
	assert.Equal(t, coalesce.Answered, endOf(nil))
	assert.Equal(t, coalesce.TimedOut, endOf(fmt.Errorf("late: %w", context.DeadlineExceeded)))
	assert.Equal(t, coalesce.Cancelled, endOf(fmt.Errorf("gone: %w", context.Canceled)))
	assert.Equal(t, coalesce.Failed, endOf(sqlerr.New("no such table: t", 0, 1)))
}
