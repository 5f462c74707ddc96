package dsn

import (
	"errors"
	"fmt"
	"strings"
)

// otherKeys are keys of other drivers' DSNs, with their replacements.
var otherKeys = map[string]string{
	"_fk":           fkInstead,
	"_foreign_keys": fkInstead,
	"_pragma":       "settings of SQLite are those of the server, such as rqlited -fk for foreign keys: leave it out",
	"_journal_mode": journalInstead,
	"_journal":      journalInstead,
	"_synchronous":  journalInstead,
	"_sync":         journalInstead,
	"_busy_timeout": timeoutInstead,
	"_timeout":      timeoutInstead,
	"_txlock":       "use txlock=deferred or txlock=immediate",
	"_loc":          "use loc=",
	"_time_format":  "times are stored as mattn/go-sqlite3 stores them: leave it out",
	"parseTime":     "DATE, DATETIME and TIMESTAMP columns are read as time.Time anyway: leave it out",
	"sslmode":       "use tls=true, or the scheme https://, or leave it out for plain http",
	"sslrootcert":   "use tls_ca=",
	"sslcert":       "use tls_cert=",
	"sslkey":        "use tls_key=",
	"_auth_user":    authInstead,
	"_auth_pass":    authInstead,
	"cache":         fileInstead,
	"mode":          fileInstead,
	"_mutex":        fileInstead,
}

const (
	fkInstead      = "foreign keys are enforced by a server that was started with -fk: leave it out"
	journalInstead = "the server decides how it keeps its file: leave it out"
	timeoutInstead = "use timeout="
	authInstead    = "write user and password in front of the host: rqlite://user:password@host"
	fileInstead    = "there is no file to open: leave it out"
)

// unknownKey names the key that was probably meant, or else all keys.
func unknownKey(name string, keys []string) error {
	if len(name) > 40 || strings.ContainsFunc(name, func(r rune) bool { return r != '_' && notHostRune(r) }) {
		return errors.New("a key is unknown; the keys are " + strings.Join(keys, ", "))
	}
	if instead, ok := otherKeys[name]; ok {
		return fmt.Errorf("key %q is of another driver: %s", name, instead)
	}
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, key := range keys {
		if d := editDistance(strings.ToLower(name), strings.ToLower(key)); d < bestDistance && d < len(name) {
			best, bestDistance = key, d
		}
	}
	if best == "" {
		return fmt.Errorf("key %q is unknown; the keys are %s", name, strings.Join(keys, ", "))
	}
	return fmt.Errorf("key %q is unknown; did you mean %q?", name, best)
}

// editDistance returns how many bytes must be inserted, removed or replaced to change a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
