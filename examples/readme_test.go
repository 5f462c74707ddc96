package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSnippets demands that each line of a snippet that docs/orms.md ascribes to a program of this
// module is part of that program, so that it compiles.
func TestSnippets(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/orms.md")
	require.NoError(t, err)
	snippets := regexp.MustCompile("(?s)\\[program\\]\\(\\.\\./examples/(\\w+/main\\.go)\\).*?```go\n(.*?)```").FindAllSubmatch(page, -1)
	require.Len(t, snippets, 2)
	for _, snippet := range snippets {
		program, err := os.ReadFile(string(snippet[1]))
		require.NoError(t, err)
		for line := range strings.Lines(string(snippet[2])) {
			assert.Contains(t, string(program), strings.TrimSpace(line), "%s", snippet[1])
		}
	}
}

// TestLinks demands that what the README and the other pages link to in the repository exists.
func TestLinks(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../*.md")
	require.NoError(t, err)
	docs, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, docs)
	for _, page := range append(pages, docs...) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllSubmatch(text, -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(page), string(link[1])))
			assert.NoError(t, err, page)
		}
	}
}
