package autocommit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTexts(t *testing.T) {
	t.Parallel()
	var known texts
	added := make([]string, 0, mostTexts+10)
	for i := range cap(added) {
		added = append(added, fmt.Sprint("SELECT ", i))
		assert.False(t, known.has(added[i]))
		known.add(added[i])
		assert.True(t, known.has(added[i]))
	}
	added = slices.DeleteFunc(added, func(text string) bool { return !known.has(text) })
	assert.Len(t, added, mostTexts)
	for _, text := range added {
		known.add(text)
	}
	for _, text := range added {
		assert.True(t, known.has(text), "a text that is known takes no place of another")
	}
}

// Each statement with RETURNING that is not plain is looked for.
func TestTextsAllocateNothing(t *testing.T) {
	var known texts
	text := "INSERT INTO t(a) VALUES(?) /* " + strings.Repeat("long ", 100) + "*/ RETURNING a"
	known.add(text)
	assert.Zero(t, testing.AllocsPerRun(10, func() { known.has(text) }))
}
