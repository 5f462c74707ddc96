//go:build !go1.25

package cluster

import "testing"

// bubble skips a test: testing/synctest begins with Go 1.25.
func bubble(t *testing.T, _ func(t *testing.T)) {
	t.Helper()
	t.Skip("needs testing/synctest of Go 1.25")
}

// waitForAll does nothing, since no test comes to it.
func waitForAll() {}
