package rqlitetest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/rqlitetest"
)

// credentialsFile writes accounts in the form of rqlited -auth. It writes every key: for a missing
// one rqlited keeps the value of the previous user.
func credentialsFile(t *testing.T, users []rqlitetest.User) string {
	t.Helper()
	type credential struct {
		Name     string   `json:"username"`
		Password string   `json:"password"`
		Perms    []string `json:"perms"`
	}
	var list []credential
	for _, u := range users {
		c := credential(u)
		if c.Perms == nil {
			c.Perms = []string{}
		}
		list = append(list, c)
	}
	text, err := json.Marshal(list)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "auth.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return file
}

const (
	backupSchema = `["CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b BLOB, c REAL, d BOOLEAN)",
		"CREATE INDEX ti ON t(a)", "CREATE VIEW tv AS SELECT a FROM t",
		"CREATE TRIGGER tt AFTER INSERT ON t BEGIN SELECT 1; END",
		["INSERT INTO t(a, b, c, d) VALUES(?, ?, 1.5, 1)", "x'y\nz", [1, 2, 255]],
		"INSERT INTO t(a) VALUES(NULL)", "INSERT INTO t(c) VALUES(9007199254740993)",
		"CREATE TABLE \"odd \"\"name\"(\"a b\")", "INSERT INTO \"odd \"\"name\" VALUES('é')"]`
	dumpHead = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n"
	dumpOdd  = "CREATE TABLE \"odd \"\"name\"(\"a b\");\nINSERT INTO \"odd \"\"name\" VALUES('é');\n" +
		"DELETE FROM \"sqlite_sequence\";;\nINSERT INTO \"sqlite_sequence\" VALUES('t',3);\n"
	dumpRows = "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b BLOB, c REAL, d BOOLEAN);\n" +
		"INSERT INTO \"t\" VALUES(1,'x''y\nz',X'0102FF',1.5,1);\nINSERT INTO \"t\" VALUES(2,NULL,NULL,NULL,NULL);\n" +
		"INSERT INTO \"t\" VALUES(3,NULL,NULL,9007199254740992.0,NULL);\n"
	// SQLite before 3.53 writes the number like this.
	dumpOldReal = "9.007199254740992e+15"
	dumpTail    = "CREATE INDEX ti ON t(a);\nCREATE VIEW tv AS SELECT a FROM t;\n" +
		"CREATE TRIGGER tt AFTER INSERT ON t BEGIN SELECT 1; END;\nCOMMIT;\n"
)

// testBackup checks backing up, loading and booting on one node. The cluster must have no other
// node, and must be empty.
func testBackup(t *testing.T, base string) {
	t.Helper()
	client := newClient(t, nil)
	execute(t, client, base, backupSchema)
	dumpT, snapshot := dumpRows, map[string]int{"/boot": http.StatusNoContent, "/db/load": http.StatusOK}
	if before(t, client, base, "10.0.1") {
		dumpT = strings.ReplaceAll(dumpT, "9007199254740992.0", dumpOldReal)
	}
	// A snapshot without anything new.
	switch {
	case before(t, client, base, "10.0.0"):
		snapshot["/boot"] = http.StatusOK
	case before(t, client, base, "10.2.3"):
		snapshot["/boot"] = http.StatusInternalServerError
	}
	get := func(query string) string {
		t.Helper()
		status, body := call(t, client, "GET", base+"/db/backup"+query, "")
		require.Equal(t, http.StatusOK, status, body)
		return body
	}
	assert.Equal(t, dumpHead+dumpOdd+dumpT+dumpTail, get("?fmt=sql"))
	assert.Equal(t, dumpHead+dumpT+dumpTail, get("?fmt=sql&tables=+t+,nope,"))

	images := map[string]string{"wal": get(""), "vacuumed": get("?vacuum"), "delete": get("?fmt=delete")}
	assert.Equal(t, "\x02\x02", images["wal"][18:20], "the format's versions")
	assert.Equal(t, "\x01\x01", images["vacuumed"][18:20])
	assert.Equal(t, "\x01\x01", images["delete"][18:20])
	zipped, err := gzip.NewReader(strings.NewReader(get("?compress")))
	require.NoError(t, err)
	text, err := io.ReadAll(zipped)
	require.NoError(t, err)
	images["compressed"] = string(text)

	for name, image := range images {
		for _, path := range []string{"/boot", "/db/load"} {
			execute(t, client, base, `["DROP TABLE t", "CREATE TABLE other(a)"]`)
			status, body := call(t, client, "POST", base+path, image)
			require.Equal(t, http.StatusOK, status, body)
			want := map[string]string{"/boot": "", "/db/load": `{"results":[]}`}[path]
			assert.Equal(t, want, body)
			assert.Equal(t, dumpHead+dumpOdd+dumpT+dumpTail, get("?fmt=sql"), "%s by %s", name, path)
			status, _ = call(t, client, "POST", base+"/snapshot", "")
			assert.Equal(t, snapshot[path], status, path)
		}
	}
	_, body := call(t, client, "POST", base+"/db/load?timings", images["wal"])
	assert.Equal(t, `{"results":[],"time":-9223372036.854776}`, body)
}

// testBadLoad must come last, because the real server loses its database.
func testBadLoad(t *testing.T, base string) {
	t.Helper()
	client := newClient(t, nil)
	bad := "SQLite format 3\x00" + strings.Repeat("\x00", 100)
	status, body := call(t, client, "POST", base+"/boot", bad)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, "error swapping database file: open SQLite file failed: disable autocheckpointing: file is not a database\n", body)
	status, body = call(t, client, "POST", base+"/db/load", bad)
	if before(t, client, base, "10.2.7") {
		assert.Equal(t, http.StatusOK, status, "the failure is not told")
		_, body = call(t, client, "POST", base+"/db/query", `["SELECT 1"]`)
		assert.Equal(t, `{"results":[],"error":"sql: database is closed"}`, body)
		return
	}
	assert.Equal(t, http.StatusInternalServerError, status)
	assert.Contains(t, []string{
		"error swapping databases: open SQLite file failed: disable autocheckpointing: file is not a database\n",
		"error swapping databases: failed to close: sql: database is closed\n",
	}, body)
}

func TestBackup(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t)
	testBackup(t, srv.URL())
	execute(t, newClient(t, nil), srv.URL(), `["CREATE TABLE kept(a)"]`)
	testBadLoad(t, srv.URL())
	execute(t, newClient(t, nil), srv.URL(), `["DROP TABLE kept"]`)
}

func TestBackupLive(t *testing.T) {
	live := startRqlited(t, "http", http.DefaultClient)
	testBackup(t, live)
	testBadLoad(t, live)
}

// TestLoadIntoCluster checks that all nodes have what one node loads. A lagging node has it after
// it catches up.
func TestLoadIntoCluster(t *testing.T) {
	t.Parallel()
	from := rqlitetest.New(t)
	client := newClient(t, nil)
	execute(t, client, from.URL(), `["CREATE TABLE t(a)", "INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(2)"]`)
	_, image := call(t, client, "GET", from.URL()+"/db/backup", "")

	c, client := newTable(t)
	require.NoError(t, c.Lag(2, 1))
	status, body := call(t, client, "POST", c.URL(1)+"/db/load", image)
	require.Equal(t, http.StatusOK, status, body)
	assert.Equal(t, "2", rows(t, client, c.URL(0)))
	assert.Equal(t, "0", rows(t, client, c.URL(2)))
	_, dump := call(t, client, "GET", c.URL(2)+"/db/backup?noleader&fmt=sql", "")
	assert.NotContains(t, dump, "INSERT")
	require.NoError(t, c.Lag(2, 0))
	assert.Equal(t, "2", rows(t, client, c.URL(2)))
	_, dump = call(t, client, "GET", c.URL(1)+"/db/backup?compress", "")
	zipped, err := gzip.NewReader(bytes.NewReader([]byte(dump)))
	require.NoError(t, err)
	text, err := io.ReadAll(zipped)
	require.NoError(t, err)
	assert.True(t, bytes.HasPrefix(text, []byte("SQLite format 3\x00")))
}
