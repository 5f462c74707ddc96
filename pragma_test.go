package rqlite

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A PRAGMA that makes no difference does not stop a program that is moved here, and one that would
// harm all clients is refused. Nothing is sent for either.
func TestPragmas(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"PRAGMA journal_mode=WAL":                      "",
		"PRAGMA main.journal_mode('wal')":              "",
		"PRAGMA synchronous = NORMAL":                  "",
		"pragma BUSY_TIMEOUT(5000)":                    "",
		"PRAGMA cache_size=-2000; PRAGMA temp_store=2": "",
		"PRAGMA journal_mode=DELETE":                   "WAL mode",
		"PRAGMA locking_mode=EXCLUSIVE":                "PRAGMA locking_mode is refused: it would stop all writes",
		"PRAGMA \"case_sensitive_like\" = 1":           "use GLOB",
		"PRAGMA ignore_check_constraints(1)":           "for all clients",
		"PRAGMA recursive_triggers=ON":                 "rqlited decides that",
		"VACUUM INTO '/tmp/x'":                         "use Backup",
		"vacuum main into 'x'":                         "use Backup",
	} {
		_, err := newFake(t).open("").Exec(query)
		if want == "" {
			require.NoError(t, err, query)
		} else {
			require.ErrorContains(t, err, want, query)
		}
	}
	for _, query := range []string{"PRAGMA user_version = 3", "VACUUM"} {
		f := newFake(t, writes("", results(`{}`)))
		_, err := f.open("").Exec(query)
		require.NoError(t, err, query)
	}
}
