//go:build unix

package integration_test

import "testing"

// TestGORMOnThreeNodes runs the scenarios on clusters of three voters and a read-only node, which
// enforce foreign keys, of processes and of containers. They are too much of a load to run beside
// tests that look at the clock.
func TestGORMOnThreeNodes(t *testing.T) {
	options := fleetOptions{serverOptions: serverOptions{foreignKeys: true}}
	on := func(t *testing.T, f *fleet) {
		gormOnRqlite(t, "three nodes", gormOnSQLite(t, true), func(gormScenario) string { return f.dsn() })
		f.settle(t)
	}
	onBackend(t, "process", func(t *testing.T) { on(t, startFleet(t, options)) })
	onBackend(t, "container", func(t *testing.T) { on(t, startContainerFleet(t, options, true)) })
}
