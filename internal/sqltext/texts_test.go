package sqltext

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTexts(t *testing.T) {
	t.Parallel()
	const trait Trait = 2
	var known Texts
	added := make([]string, 0, mostTexts+10)
	for i := range cap(added) {
		added = append(added, fmt.Sprint("SELECT ", i))
		assert.False(t, known.Has(added[i], trait))
		known.Add(added[i], trait)
		assert.True(t, known.Has(added[i], trait))
	}
	added = slices.DeleteFunc(added, func(text string) bool { return !known.Has(text, trait) })
	assert.Len(t, added, mostTexts)
	for _, text := range added {
		known.Add(text, trait)
	}
	for _, text := range added {
		assert.True(t, known.Has(text, trait), "a text that is known takes no place of another")
		known.Add(text, 1)
		known.Remove(text, trait)
		assert.True(t, known.Has(text, 1) && !known.Has(text, trait))
		known.Remove(text, 1)
	}
	assert.Empty(t, known.traits)
}

// Each statement with RETURNING that is not plain is looked for.
func TestTextsAllocateNothing(t *testing.T) {
	const trait Trait = 2
	var known Texts
	text := "INSERT INTO t(a) VALUES(?) /* " + strings.Repeat("long ", 100) + "*/ RETURNING a"
	known.Add(text, trait)
	assert.Zero(t, testing.AllocsPerRun(10, func() { known.Has(text, trait) }))
}
