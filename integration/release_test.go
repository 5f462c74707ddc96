package integration_test

import (
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
