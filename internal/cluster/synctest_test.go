//go:build go1.25

package cluster

import (
	"testing"
	"testing/synctest"
)

// bubble runs a test in a bubble.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// waitForAll returns when every other goroutine of the bubble waits.
func waitForAll() { synctest.Wait() }
