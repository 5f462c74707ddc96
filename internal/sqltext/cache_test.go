package sqltext

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCache checks that the result is that of Parse, whatever was parsed before and by whom.
func TestCache(t *testing.T) {
	t.Parallel()
	var c Cache
	var all sync.WaitGroup
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range 4 * cacheSlots { // so that many slots are shared by several texts
				for range 2 {
					text := fmt.Sprintf("SELECT %d FROM t WHERE a = ?; DELETE FROM t%d", i, i)
					want, err := Parse(text)
					assert.NoError(t, err)
					got, err := c.Parse(text)
					assert.NoError(t, err)
					for i := range got {
						assert.Equal(t, want[i].Shape(), got[i].Shape())
						assert.Equal(t, want[i].Target(), got[i].Target())
						want[i].facts = got[i].facts
					}
					assert.Equal(t, want, got)
				}
			}
		}()
	}
	all.Wait()
}

func TestCacheRemembers(t *testing.T) { // not parallel: it counts allocations
	var c Cache
	const text = "SELECT a FROM t WHERE b = ?"
	first, err := c.Parse(text)
	require.NoError(t, err)
	again, err := c.Parse(strings.Clone(text))
	require.NoError(t, err)
	assert.Same(t, &first[0], &again[0])
	assert.Zero(t, testing.AllocsPerRun(100, func() { c.Parse(text) }))
}

func TestCacheForgetsNothingWrong(t *testing.T) {
	t.Parallel()
	var c Cache
	for range 2 {
		_, err := c.Parse("SELECT 'open")
		require.Error(t, err)
		script, err := c.Parse("")
		require.NoError(t, err)
		assert.Empty(t, script)
	}
	long := "SELECT '" + strings.Repeat("x", mostCached) + "'"
	for range 2 {
		script, err := c.Parse(long)
		require.NoError(t, err)
		assert.Equal(t, long, script[0].Text)
	}
	for i := range c.slots {
		if p := c.slots[i].Load(); p != nil {
			assert.Empty(t, p.text, "only the empty text is remembered")
		}
	}
}

// What is kept of a statement is not that of an edited copy, and costs nothing the next time.
func TestCacheKeepsFacts(t *testing.T) { // not parallel: it counts allocations
	var c Cache
	script, err := c.Parse("INSERT INTO t(a) VALUES (?, 1); DELETE FROM u")
	require.NoError(t, err)
	first := &script[0]
	assert.Equal(t, "INSERT INTO t(a) VALUES (?, #)", first.Shape())
	edited := first.edited([]edit{{pos: len("INSERT INTO "), end: len("INSERT INTO t"), text: "other"}})
	require.Equal(t, "INSERT INTO other (a) VALUES (?, 1)", edited.Text)
	assert.Equal(t, "INSERT INTO other (a) VALUES (?, #)", edited.Shape())
	assert.Equal(t, "OTHER", edited.Target())
	assert.Equal(t, "OTHER", edited.GivenRows().Table)
	assert.Equal(t, "T", first.GivenRows().Table)
	assert.Equal(t, "U", script[1].Target())
	assert.Nil(t, script[1].GivenRows())
	assert.Zero(t, testing.AllocsPerRun(10, func() { first.Shape(); first.Target(); first.GivenRows() }))
}
