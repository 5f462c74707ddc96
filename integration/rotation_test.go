//go:build unix

package integration_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRotation replaces all certificates of a cluster, the authority's too, one
// node after the other, while a program goes on with the same database. The
// program learns of it only by the files that its DSN names.
func TestRotation(t *testing.T) {
	onFleets(t, func(t *testing.T) {
		first, second := newCertificates(t), newCertificates(t)
		f := startFleet(t, fleetOptions{serverOptions: serverOptions{tls: first, verify: true}, voters: 3})
		dsn := withSettings(f.dsn(), "tls_cert="+first.clientCertFile, "tls_key="+first.clientKeyFile)
		db := openDSN(t, dsn)
		mustExec(t, db, "CREATE TABLE t (phase TEXT)")
		phases := 0
		works := func(phase string) {
			t.Helper()
			mustExec(t, db, "INSERT INTO t VALUES (?)", phase)
			phases++
		}
		works("first certificates")

		// For a while both authorities are trusted, by the program and by the nodes.
		both := *second
		both.authority = slices.Concat(first.authority, second.authority)
		replaceFile(t, first.authorityFile, both.authority)
		works("the program trusts both")
		both.clientCert, both.clientKey = first.clientCert, first.clientKey
		f.rotate(t, &both, func(int) { works("nodes have new certificates") })

		replaceFile(t, first.clientKeyFile, second.clientKey)
		replaceFile(t, first.clientCertFile, second.clientCert)
		f.rotate(t, second, func(int) { works("nodes trust the new authority only") })
		replaceFile(t, first.authorityFile, second.authority)
		works("the program trusts the new authority only")

		var rows int
		scan(t, db, "SELECT count(*) FROM t", nil, &rows)
		assert.Equal(t, phases, rows)

		// What was replaced is of no use any more.
		fresh := second.authorityFile
		old := withSettings("rqlite://"+f.members[0].address, "tls=true", "tls_ca="+fresh, "timeout=1s",
			"tls_cert="+writeFile(t, "old.crt", first.clientCert), "tls_key="+writeFile(t, "old.key", first.clientKey))
		require.Error(t, openDSN(t, old).PingContext(t.Context()), "the old certificate of the client")
		distrust := withSettings("rqlite://"+f.members[0].address, "tls=true", "timeout=1s",
			"tls_ca="+writeFile(t, "old-ca.crt", first.authority), "tls_cert="+first.clientCertFile, "tls_key="+first.clientKeyFile)
		require.ErrorContains(t, openDSN(t, distrust).PingContext(t.Context()), "certificate", "the old authority")
	})
}

// rotate restarts all nodes, one after the other, with other certificates, and
// calls after when each is back.
func (f *fleet) rotate(t *testing.T, certs *certificates, after func(int)) {
	t.Helper()
	f.options.tls = certs
	f.client = f.options.client()
	for i, m := range f.members {
		runner, ok := m.runner.(*processRunner)
		require.True(t, ok)
		f.kill(t, i)
		_, err := optionFlags(f.options, runner.dir.dir) // the flags stay the same
		require.NoError(t, err)
		f.restart(t, i)
		after(i)
	}
	f.settle(t)
}

// replaceFile puts another file in the place of one, as tools that renew
// certificates do: nobody ever sees half of it.
func replaceFile(t *testing.T, name string, data []byte) {
	t.Helper()
	temporary := filepath.Join(filepath.Dir(name), "new")
	require.NoError(t, os.WriteFile(temporary, data, 0o600))
	require.NoError(t, os.Rename(temporary, name))
}
