package rqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asks is a step of a call that only asks.
func asks(path, params string, status int, reply string) step {
	return step{method: http.MethodGet, sends: "none", path: path, params: params, status: status, reply: reply}
}

// acts is a step of a call that changes something, and has nothing to say.
func acts(path, params string, status int, reply string) step {
	return step{sends: "none", path: path, params: params, status: status, reply: reply}
}

// uploads is a step of a call with a body that is no JSON.
func uploads(path, body string, status int, reply string) step {
	return step{sends: "application/octet-stream", path: path, body: body, status: status, reply: reply}
}

// looksAtTheSchema demands that reads look at the schema first.
func (f *fake) looksAtTheSchema(c *conn) {
	f.t.Helper()
	f.then(reads(`[`+check+`,"SELECT a FROM t"]`, results(checked, table("a integer"))))
	rows, err := c.QueryContext(f.t.Context(), "SELECT a FROM t", nil)
	require.NoError(f.t, err)
	require.NoError(f.t, rows.Close())
}

// database returns a database file of so many pages, whose header is like that
// of SQLite: a page size of 65536 stands there as 1.
func database(pageSize, pages int) []byte {
	file := make([]byte, pageSize*pages)
	copy(file, "SQLite format 3\x00")
	stored := uint16(1)
	if pageSize < 65536 {
		stored = uint16(pageSize)
	}
	binary.BigEndian.PutUint16(file[16:], stored)
	binary.BigEndian.PutUint32(file[24:], 7) // the change counter
	binary.BigEndian.PutUint32(file[28:], uint32(pages))
	binary.BigEndian.PutUint32(file[92:], 7) // and for which of its values the size is right
	return file
}

// old makes a database file look as if SQLite before 3.7.0 had written it last.
func old(file []byte) []byte {
	file = bytes.Clone(file)
	binary.BigEndian.PutUint32(file[24:], 8)
	return file
}

func TestBackup(t *testing.T) {
	t.Parallel()
	small, large := database(512, 3), database(65536, 2)
	unsized := bytes.Clone(small)
	binary.BigEndian.PutUint32(unsized[28:], 0)
	const dump = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t(a);\nCOMMIT;\n"
	for _, test := range []struct {
		name   string
		format BackupFormat
		reply  string
		whole  bool
	}{
		{"a file", BackupBinary, string(small), true},
		{"of the largest pages", BackupBinary, string(large), true},
		{"of no stored size", BackupBinary, string(unsized), true},
		{"of a stored size that is old", BackupBinary, string(old(small)) + string(make([]byte, 512)), true},
		{"a page is missing", BackupBinary, string(small[:1024]), false},
		{"a byte is missing", BackupBinary, string(large[:len(large)-1]), false},
		{"and of an old one too", BackupBinary, string(old(small)[:1535]), false},
		{"a message behind it", BackupBinary, string(small) + "disk I/O error\n", false},
		{"a message instead of a page", BackupBinary, string(small[:1024]) + "disk I/O error\n", false},
		{"half a header", BackupBinary, string(small[:50]), false},
		{"nothing", BackupBinary, "", false},
		{"a message", BackupBinary, "sql: database is closed" + strings.Repeat(" ", 100), false},
		{"text", BackupSQL, dump, true},
		{"text cut off", BackupSQL, dump[:len(dump)-4], false},
		{"a message behind the text", BackupSQL, dump + "disk I/O error\n", false},
		{"a message instead of text", BackupSQL, "sql: database is closed\n", false},
		{"no text", BackupSQL, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			params := map[BackupFormat]string{BackupBinary: "", BackupSQL: "fmt=sql"}[test.format]
			f := newFake(t, asks("/db/backup", params, 0, test.reply))
			var w bytes.Buffer
			err := f.connect().Backup(t.Context(), &w, test.format)
			assert.Equal(t, test.reply, w.String())
			if test.whole {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "rqlite: the backup is not whole: it has ")
			}
		})
	}
	assert.Equal(t, "binary sql", BackupBinary.String()+" "+BackupSQL.String())
}

// brokenWriter takes nothing.
type brokenWriter struct{}

var errDiskFull = errors.New("disk full")

// Write implements io.Writer.
func (brokenWriter) Write([]byte) (int, error) { return 0, errDiskFull }

// The check does not depend on the pieces in which a backup arrives.
func TestBackupCheckInPieces(t *testing.T) {
	t.Parallel()
	for format, text := range map[BackupFormat][]byte{BackupBinary: database(512, 2), BackupSQL: []byte("BEGIN;\nCOMMIT;\n")} {
		for size := 1; size < 120; size += 7 {
			check := backupCheck{format: format}
			for rest := text; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				_, err := check.Write(rest[:min(size, len(rest))])
				require.NoError(t, err)
			}
			require.NoError(t, check.complete(), size)
			_, err := check.Write([]byte("!"))
			require.NoError(t, err)
			require.Error(t, check.complete())
		}
	}
}

func TestBackupBreaksOff(t *testing.T) {
	t.Parallel()
	file := string(database(512, 3))
	f := newFake(t, step{method: "GET", sends: "none", path: "/db/backup", serve: cut(file, 700)},
		asks("/db/backup", "", 0, file), asks("/db/backup", "", 401, ""))
	c := f.connect()
	err := c.Backup(t.Context(), io.Discard, BackupBinary)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "rqlite: the backup broke off: ")
	require.ErrorIs(t, c.Backup(t.Context(), brokenWriter{}, BackupBinary), errDiskFull)
	require.ErrorIs(t, c.Backup(t.Context(), io.Discard, BackupBinary), ErrUnauthorized)
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		status int
		reply  string
		is     error // nil is success
		text   string
	}{
		{"a file", 200, `{"results":[]}`, nil, ""},
		{"text", 200, `{"results":[{"last_insert_id":1,"rows_affected":1},{}]}`, nil, ""},
		{"a statement fails", 200, `{"results":[{},{"error":"UNIQUE constraint failed: t.a"}]}`, ConstraintUnique, "rqlite: UNIQUE constraint failed: t.a"},
		{"at the commit", 200, `{"results":[],"error":"FOREIGN KEY constraint failed"}`, ConstraintForeignKey, "rqlite: FOREIGN KEY constraint failed"},
		{"not applied", 200, `{"results":[],"error":"leader not found"}`, ErrNoLeader, "rqlite: leader not found (HTTP status 200)"},
		{"unknown", 200, `{"results":[],"error":"leadership lost while committing log"}`, ErrIndeterminate, "leadership lost while committing log"},
		{"no results", 200, `{}`, ErrIndeterminate, "the answer to the load has no results"},
		{"garbage", 200, "<html>", ErrIndeterminate, "the answer to the load cannot be read: invalid character"},
		{"cut off", 200, `{"results":[`, ErrIndeterminate, "unexpected EOF"},
		{"a file that is none", 500, "error swapping databases: open SQLite file failed", ErrIndeterminate, "error swapping databases"},
		{"not allowed", 401, "", ErrUnauthorized, "not authorized"},
		{"no leader", 503, "leader not found", ErrNoLeader, "leader not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, uploads("/db/load", "data", test.status, test.reply))
			c := f.connect()
			err := c.Load(t.Context(), strings.NewReader("data"))
			if test.is == nil {
				require.NoError(t, err)
				f.looksAtTheSchema(c)
				return
			}
			require.ErrorIs(t, err, test.is)
			require.ErrorContains(t, err, test.text)
			assert.True(t, strings.HasPrefix(err.Error(), "rqlite: "), err.Error())
			if !errors.Is(test.is, ErrIndeterminate) {
				require.NotErrorIs(t, err, ErrIndeterminate)
			}
		})
	}
}

// A body can be sent but once, so that Load asks for the leader first.
func TestLoadGoesToTheLeader(t *testing.T) {
	t.Parallel()
	leader := newFake(t, uploads("/db/load", "data", 0, `{"results":[]}`))
	follower := newFake(t, step{path: cluster.QueryPath, params: whoLeads, serve: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+leader.addr+cluster.QueryPath, http.StatusMovedPermanently)
	}})
	require.NoError(t, follower.connect().Load(t.Context(), strings.NewReader("data")))

	none := newFake(t, step{path: cluster.QueryPath, params: whoLeads, status: 401}, step{path: cluster.ExecutePath, params: "redirect", status: 401})
	require.ErrorIs(t, none.connect().Load(t.Context(), strings.NewReader("data")), ErrUnauthorized, "and nothing was sent")
}

// A file that is cut off must not take the place of the database.
func TestLoadOfHalfAFile(t *testing.T) {
	t.Parallel()
	file := make([]byte, 1024)
	copy(file, "SQLite format 3\x00")
	file[16], file[31] = 2, 2 // two pages of 512 bytes
	arrived := make(chan error, 2)
	f := newFake(t, uploads("/db/load", string(file), 0, `{"results":[]}`))
	require.NoError(t, f.connect().Load(t.Context(), bytes.NewReader(file)))

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case cluster.QueryPath:
			io.WriteString(w, results(one))
			return
		case "/readyz":
			return
		}
		_, err := io.ReadAll(r.Body)
		arrived <- err
	}))
	defer server.Close()
	connector, err := NewConnector(&Config{Hosts: []string{server.Listener.Addr().String()}})
	require.NoError(t, err)
	defer connector.Close()
	c := connector.newConn()
	for _, load := range []func(context.Context, io.Reader) error{c.Load, c.Boot} {
		for _, size := range []int{100, 512, 1023} {
			err := load(t.Context(), bytes.NewReader(file[:size]))
			require.ErrorContains(t, err, "nothing was loaded: the database file is not whole")
			require.NotErrorIs(t, err, ErrIndeterminate)
			require.Error(t, <-arrived, "the server sees that the rest is missing")
		}
	}
}

func TestBoot(t *testing.T) {
	t.Parallel()
	f := newFake(t, uploads("/boot", "data", 0, ""))
	c := f.connect()
	require.NoError(t, c.Boot(t.Context(), strings.NewReader("data")))
	f.looksAtTheSchema(c)
	f.then(uploads("/boot", "data", 400, "invalid SQLite data"), uploads("/boot", "data", 503, "EOF"))
	err := c.Boot(t.Context(), strings.NewReader("data"))
	var answer *HTTPError
	require.ErrorAs(t, err, &answer)
	assert.Equal(t, HTTPError{StatusCode: 400, Node: f.addr, Message: "invalid SQLite data"}, *answer)
	require.ErrorIs(t, c.Boot(t.Context(), strings.NewReader("data")), ErrIndeterminate)
}

func TestNodes(t *testing.T) {
	t.Parallel()
	nodes := func(status int, reply string) step { return asks("/nodes", "nonvoters&ver=2", status, reply) }
	const two = `{"nodes":[{"id":"n1","api_addr":"http://h:1","addr":"h:2","version":"v10","voter":true,"reachable":false,"error":"no route"},` +
		`{"id":"n2","reachable":true,"leader":true}]}`
	f := newFake(t, nodes(0, two), nodes(0, two), nodes(0, `{"nodes":[{"id":"n1"}]}`), nodes(401, ""), nodes(401, ""), nodes(0, "<html>"))
	c := f.connect()
	got, err := c.Nodes(t.Context())
	require.NoError(t, err)
	second := Node{ID: "n2", Reachable: true, Leader: true}
	assert.Equal(t, []Node{{ID: "n1", APIAddr: "http://h:1", Addr: "h:2", Version: "v10", Voter: true, Error: "no route"}, second}, got)
	leader, err := c.Leader(t.Context())
	require.NoError(t, err)
	assert.Equal(t, second, leader)
	_, err = c.Leader(t.Context())
	require.ErrorIs(t, err, ErrNoLeader)
	require.EqualError(t, err, "rqlite: the cluster has no leader")
	_, err = c.Leader(t.Context())
	require.ErrorIs(t, err, ErrUnauthorized)
	_, err = c.Nodes(t.Context())
	require.ErrorIs(t, err, ErrUnauthorized)
	_, err = c.Nodes(t.Context())
	require.ErrorContains(t, err, "the list of nodes cannot be read")
	assert.True(t, strings.HasPrefix(err.Error(), "rqlite: "), err.Error())
}

func TestReadyAndStatus(t *testing.T) {
	t.Parallel()
	const status = `{"build":{"version":"v10"},"n":12345678901234567890}`
	f := newFake(t, asks("/readyz", "", 0, "[+]node ok"), asks("/readyz", "", 503, "[+]node ok\n[+]leader does not exist"),
		asks("/status", "", 0, status), asks("/status", "", 0, "<html>"), asks("/status", "", 401, ""))
	c := f.connect()
	require.NoError(t, c.Ready(t.Context()))
	err := c.Ready(t.Context())
	var answer *HTTPError
	require.ErrorAs(t, err, &answer)
	assert.Equal(t, 503, answer.StatusCode)
	require.NotErrorIs(t, err, ErrIndeterminate)
	got, err := c.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, status, string(got))
	_, err = c.Status(t.Context())
	require.ErrorContains(t, err, "rqlite: the status cannot be read: ")
	_, err = c.Status(t.Context())
	require.ErrorIs(t, err, ErrUnauthorized)
}

func TestStepDownAndSnapshot(t *testing.T) {
	t.Parallel()
	targeted := step{path: "/leader", params: "wait", body: `{"id":"n \"2\""}`}
	refused := targeted
	refused.status, refused.reply, refused.body = 500, "stepdown: node not found in cluster", `{"id":"x"}`
	f := newFake(t, acts("/leader", "wait", 0, ""), targeted, refused,
		acts("/leader", "wait", 503, "leader not found"), acts("/leader", "wait", 503, "leader not found"),
		acts("/snapshot", "", 0, ""), acts("/snapshot", "", 204, ""), acts("/snapshot", "", 500, "disk full"))
	c := f.connect()
	require.NoError(t, c.StepDown(t.Context(), ""))
	require.NoError(t, c.StepDown(t.Context(), `n "2"`))
	err := c.StepDown(t.Context(), "x")
	require.ErrorIs(t, err, ErrIndeterminate)
	require.ErrorContains(t, err, "stepdown: node not found in cluster")
	require.ErrorIs(t, c.StepDown(t.Context(), ""), ErrNoLeader)

	require.NoError(t, c.Snapshot(t.Context()))
	require.NoError(t, c.Snapshot(t.Context()), "there was nothing to do")
	err = c.Snapshot(t.Context())
	require.ErrorContains(t, err, "disk full")
	require.ErrorIs(t, err, ErrIndeterminate)
}

func TestAdminOfClosedConn(t *testing.T) {
	t.Parallel()
	c := newFake(t).connect()
	require.NoError(t, c.Close())
	ctx := context.Background()
	r := strings.NewReader("data")
	_, errNodes := c.Nodes(ctx)
	_, errLeader := c.Leader(ctx)
	_, errStatus := c.Status(ctx)
	_, errQueue := c.QueueBatch(ctx, batchOf(false, "DELETE FROM t"))
	for i, err := range []error{
		errNodes, errLeader, errStatus, errQueue, c.Backup(ctx, io.Discard, BackupSQL), c.Load(ctx, r), c.Boot(ctx, r), c.Ready(ctx),
		c.StepDown(ctx, ""), c.StepDown(ctx, "n"), c.Snapshot(ctx),
	} {
		require.ErrorIs(t, err, errClosed, i)
	}
	assert.Equal(t, 4, r.Len(), "nothing was read")
}

// A call that only asks is bounded by the time-out.
func TestAdminTimeout(t *testing.T) {
	t.Parallel()
	f := newFake(t, step{method: "GET", sends: "none", path: "/status", serve: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
	_, err := f.connect(func(c *Config) { c.Timeout = soon }).Status(t.Context())
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
