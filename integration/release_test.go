package integration_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/go-rqlite/rqlite/rqlitetest/conformance"
	"github.com/stretchr/testify/require"
)

// before reports whether the servers are of an older release than the given one, such
// as "9.4.2". A server built by hand says less than a release, and counts as the newest
// of its major version. The embedded one follows the newest of all.
func (c *cluster) before(release string) bool {
	than, err := conformance.ParseRelease(release)
	if err != nil {
		panic(err)
	}
	return conformance.ReleaseOf(c.version).Compare(than) < 0
}

// before is that of the shared cluster, and so of every one that the backend starts.
func (b *backend) before(release string) bool { return b.shared.before(release) }

// needs skips a test on older releases than the given one; fact says what they do.
func (b *backend) needs(t *testing.T, release, fact string) {
	t.Helper()
	if b.before(release) {
		t.Skipf("before %s %s; this is %s", release, fact, b.shared.version)
	}
}

// fleetNeeds is [backend.needs] for clusters of several processes.
func fleetNeeds(t *testing.T, release, fact string) {
	t.Helper()
	for _, b := range backends {
		if b.name == "process" {
			b.needs(t, release, fact)
		}
	}
}

// What follows is for tests of what the driver does, which cannot know what a
// server built by hand is, nor count on the newest.

// Releases from which on the server does a thing as the newest does.
var (
	seesMoreReturning = release{9, 4, 0} // behind names in backquotes and behind AS
	sendsBlobArrays   = release{9, 2, 0} // from RETURNING
	undoesReturning   = release{9, 4, 2} // a failed RETURNING ends its transaction
)

// release is the number of a release of rqlite, as the driver sees it.
type release [3]int

// releaseOf reads a version such as v9.4.1. Builds of other names do not tell.
func releaseOf(version string) (r release, known bool) {
	n, err := fmt.Sscanf(version, "v%d.%d.%d", &r[0], &r[1], &r[2])
	return r, err == nil && n == 3
}

// before reports whether a version may be one before the release: those that do
// not tell may be any.
func (r release) before(version string) bool {
	is, known := releaseOf(version)
	return !known || slices.Compare(is[:], r[:]) < 0
}

func TestBefore(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version, release string
		want             bool
	}{
		{"v9.4.1", "9.4.2", true},
		{"v9.4.2", "9.4.2", false},
		{"v8.43.4", "9.0.0", true},
		{"v10.2.7-23-gabc", "10.2.7", false},
		{"9", "9.4.2", false},
		{"9", "10.0.0", true},
		{"master", "10.3.0", false},
		{"", "10.3.0", false},
	} {
		require.Equal(t, test.want, (&cluster{version: test.version}).before(test.release), test)
	}
	require.Panics(t, func() { (&cluster{}).before("9.4") })
}
