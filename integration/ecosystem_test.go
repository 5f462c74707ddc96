package integration_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ecosystemPatience bounds one run of the tests of capture/ecosystem.
const ecosystemPatience = 3 * time.Minute

// TestEcosystem runs the tests of package capture/ecosystem, of other libraries and tools, on
// each live backend. They are a module of their own, so that this one needs none of the
// libraries; "make test" runs them on the embedded server.
func TestEcosystem(t *testing.T) {
	dir := t.TempDir()
	build := sync.OnceValues(func() (string, error) {
		binary := filepath.Join(dir, "ecosystem.test")
		cmd := exec.Command("go", "test", "-c", "-o", binary, "./ecosystem")
		cmd.Dir = "capture"
		output, err := cmd.CombinedOutput()
		return binary + "\n" + string(output), err
	})
	onEach(t, func(t *testing.T, b *backend) {
		if !b.live {
			t.Skip("the module itself runs on the embedded server")
		}
		server := b.launch(t, serverOptions{foreignKeys: true})
		built, err := build()
		require.NoError(t, err, built)
		binary, _, _ := strings.Cut(built, "\n")
		ctx, cancel := context.WithTimeout(t.Context(), ecosystemPatience)
		defer cancel()
		cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.count=1", "-test.timeout="+ecosystemPatience.String())
		cmd.Dir = filepath.Join("capture", "ecosystem")
		cmd.Env = append(os.Environ(), "RQLITE_ECOSYSTEM_DSN="+server.dsn)
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, string(output))
		passed := strings.Count(string(output), "--- PASS: Test")
		require.Positive(t, passed, string(output))
		report(t, "ent, bun, squirrel, sqlc, goose, golang-migrate, scs and sqlmw on %s: %d tests pass", server.version, passed)
	})
}
