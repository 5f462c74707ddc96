package rqlitetest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The golden files are posts of rqlited for cdcScript. The tests of package cdc decode them.
var update = flag.Bool("update", false, "write the golden files of change events anew, from a real rqlited")

const goldenDir = "../cdc/testdata"

// cdcRequest is a request that writes.
type cdcRequest struct {
	transaction bool
	statements  []string
}

func single(statements ...string) (requests []cdcRequest) {
	for _, s := range statements {
		requests = append(requests, cdcRequest{statements: []string{s}})
	}
	return requests
}

func together(transaction bool, statements ...string) []cdcRequest {
	return []cdcRequest{{transaction, statements}}
}

// cdcScript returns requests with changes of every kind. The last one is on the table done.
func cdcScript() []cdcRequest {
	var script []cdcRequest
	for _, part := range [][]cdcRequest{
		single(
			"CREATE TABLE plain (id INTEGER PRIMARY KEY, v)",
			"CREATE TABLE typed (id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC, bo BOOLEAN, dt DATETIME, da DATE, vc VARCHAR(10))",
			"CREATE TABLE keyed (k TEXT PRIMARY KEY, v INTEGER) WITHOUT ROWID",
			"CREATE TABLE counted (k INTEGER PRIMARY KEY, v INTEGER) WITHOUT ROWID",
			"CREATE TABLE generated (a INTEGER, b AS (a * 2) STORED, c AS (a * 3))",
			"CREATE TABLE uniq (id INTEGER PRIMARY KEY, x UNIQUE)",
			`CREATE TABLE "odd "" name" ("a b", "é")`,
			"CREATE TABLE watched (id INTEGER PRIMARY KEY, v)",
			"CREATE TABLE journal (what, old, new)",
			"CREATE TRIGGER watch AFTER UPDATE ON watched BEGIN INSERT INTO journal VALUES ('u', old.v, new.v); END",
			"CREATE TABLE done (x)",
		),
		// every storage class, in a column without a type
		single(
			"INSERT INTO plain (v) VALUES (NULL)",
			"INSERT INTO plain (v) VALUES (9223372036854775807)",
			"INSERT INTO plain (v) VALUES (-9223372036854775808)",
			"INSERT INTO plain (v) VALUES (9007199254740993)",
			"INSERT INTO plain (v) VALUES (3.0)",
			"INSERT INTO plain (v) VALUES (0.1)",
			"INSERT INTO plain (v) VALUES (1e300)",
			"INSERT INTO plain (v) VALUES (1e20)",
			"INSERT INTO plain (v) VALUES (-0.0)",
			"INSERT INTO plain (v) VALUES ('text <é> ' || char(8232) || char(0) || 'x')",
			"INSERT INTO plain (v) VALUES ('')",
			"INSERT INTO plain (v) VALUES (CAST(x'ff41' AS TEXT))",
			"INSERT INTO plain (v) VALUES (x'00ff10')",
			"INSERT INTO plain (v) VALUES (x'')",
			"INSERT INTO plain (v) VALUES (TRUE)",
		),
		// declared types, which matter only by their affinity
		single(
			"INSERT INTO typed VALUES (1, 5, 3, 'abc', x'6869', 1.5, 1, '2024-01-02 03:04:05.678+02:00', '2024-01-02', 'vc')",
			"INSERT INTO typed VALUES (2, 'x', 'y', x'ff', 'text', '12', 'yes', 1700000000, x'01', x'fe')",
			"INSERT INTO typed VALUES (3, 2.5, 2.5, 5, 7, 9007199254740993, FALSE, NULL, NULL, NULL)",
			"UPDATE typed SET r = r + 1, t = NULL WHERE id = 3",
			"DELETE FROM typed WHERE id < 3",
		),
		// rowids
		single(
			"INSERT INTO plain (id, v) VALUES (0, 'zero'), (-5, 'negative')",
			"UPDATE plain SET id = 100 WHERE id = 1",
			"UPDATE plain SET v = v WHERE id = 100",
			"DELETE FROM plain WHERE id = 100",
			"INSERT INTO keyed VALUES ('k1', 1)",
			"UPDATE keyed SET v = 2",
			"UPDATE keyed SET k = 'k2'",
			"DELETE FROM keyed",
			"INSERT INTO counted VALUES (77, 1)",
			"UPDATE counted SET k = 78",
		),
		// other writes of SQLite
		single(
			"INSERT INTO uniq VALUES (1, 'a'), (2, 'b')",
			"REPLACE INTO uniq VALUES (3, 'a')",
			"INSERT OR IGNORE INTO uniq VALUES (4, 'b')",
			"INSERT INTO uniq VALUES (9, 'b') ON CONFLICT (x) DO UPDATE SET x = 'bb'",
			"DELETE FROM uniq",
			`INSERT INTO "odd "" name" VALUES (1, 2)`,
			"INSERT INTO watched VALUES (1, 'a')",
			"UPDATE watched SET v = 'b'",
			"INSERT INTO generated (a) VALUES (1)",
		),
		// transactions, some of them without effect
		together(true, "INSERT INTO watched VALUES (2, 2)", "INSERT INTO uniq VALUES (5, 5)", "UPDATE watched SET v = 3 WHERE id = 2", "DELETE FROM uniq"),
		together(true, "INSERT INTO watched VALUES (3, 3)", "INSERT INTO watched VALUES (1, 1)"),
		together(true, "CREATE TABLE made (a)", "INSERT INTO made VALUES (1)"),
		// several commits in one entry; only the first has the index
		together(false, "INSERT INTO watched VALUES (4, 4)", "INSERT INTO watched VALUES (5, 5)", "INSERT INTO watched VALUES (6, 6)"),
		single("INSERT INTO done VALUES (1)"),
	} {
		script = append(script, part...)
	}
	return script
}

// posts collects posts.
type posts struct {
	*httptest.Server
	arrived chan struct{} // has a token if there are more

	mu     sync.Mutex
	bodies [][]byte
	status func(n int) int // status of the answer to post n; nil means 200
}

func newPosts(t *testing.T, status func(n int) int) *posts {
	t.Helper()
	p := &posts{arrived: make(chan struct{}, 1), status: status}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if !assert.NoError(t, err) || !assert.Equal(t, "application/json", r.Header.Get("Content-Type")) {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.bodies = append(p.bodies, body)
		if p.status != nil {
			w.WriteHeader(p.status(len(p.bodies) - 1))
		}
		select {
		case p.arrived <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// until waits until enough returns true, and returns all posts.
func (p *posts) until(t *testing.T, enough func(bodies [][]byte) bool) [][]byte {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		p.mu.Lock()
		bodies := p.bodies
		p.mu.Unlock()
		if enough(bodies) {
			return bodies
		}
		select {
		case <-p.arrived:
		case <-timeout:
			t.Fatalf("not all posts arrive, only:\n%s", bytes.Join(bodies, []byte("\n")))
		}
	}
}

// finished reports whether the row of the table done has arrived.
func finished(bodies [][]byte) bool {
	return len(bodies) > 0 && bytes.Contains(bodies[len(bodies)-1], []byte(`"table":"done"`))
}

// runCDC sends the requests to a server.
func runCDC(t *testing.T, url string, script []cdcRequest) {
	t.Helper()
	client := newClient(t, nil)
	for _, r := range script {
		query := ""
		if r.transaction {
			query = "?transaction"
		}
		body, err := json.Marshal(r.statements)
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/db/execute"+query, bytes.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
}

// groups returns the groups of all posts in order, without times. Indexes count from the first.
func groups(t *testing.T, bodies [][]byte) []string {
	t.Helper()
	var all []string
	first := int64(0)
	for _, body := range bodies {
		var post struct {
			ServiceID string           `json:"service_id"`
			NodeID    string           `json:"node_id"`
			Payload   []map[string]any `json:"payload"`
		}
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&post))
		assert.Equal(t, "svc", post.ServiceID)
		assert.Equal(t, "1", post.NodeID)
		for _, g := range post.Payload {
			index, err := g["index"].(json.Number).Int64()
			require.NoError(t, err)
			if first == 0 {
				first = index
			}
			if index > 0 {
				g["index"] = index - first + 1
			}
			ms, err := g["commit_timestamp"].(json.Number).Int64()
			require.NoError(t, err)
			assert.Greater(t, time.UnixMilli(ms), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
			delete(g, "commit_timestamp")
			text, err := json.Marshal(g)
			require.NoError(t, err)
			all = append(all, string(text))
		}
	}
	return all
}

var cdcVariants = map[string]struct {
	flags  string // in rqlited's file
	config rqlitetest.CDCConfig
	golden string
}{
	"rows":   {"", rqlitetest.CDCConfig{}, "posts.jsonl"},
	"rowids": {`, "row_ids_only": true`, rqlitetest.CDCConfig{RowIDsOnly: true}, "rowids.jsonl"},
	"filter": {`, "table_filter": "^[dw]"`, rqlitetest.CDCConfig{TableFilter: regexp.MustCompile("^[dw]")}, "filter.jsonl"},
}

// TestCDCAgrees checks that the embedded server posts the same as rqlited.
func TestCDCAgrees(t *testing.T) {
	t.Parallel()
	for name, v := range cdcVariants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPosts(t, nil)
			v.config.Endpoint, v.config.ServiceID, v.config.MaxBatchDelay = p.URL, "svc", 20*time.Millisecond
			srv := rqlitetest.New(t, func(c *rqlitetest.Config) { c.CDC = &v.config })
			runCDC(t, srv.URL(), cdcScript())
			got := p.until(t, finished)
			golden, err := os.ReadFile(filepath.Join(goldenDir, v.golden))
			require.NoError(t, err)
			assert.Equal(t, groups(t, bytes.Split(bytes.TrimSpace(golden), []byte("\n"))), groups(t, got))
		})
	}
}

// TestCDCGolden checks that a real rqlited posts the content of the golden files. With -update it
// writes them.
func TestCDCGolden(t *testing.T) {
	t.Parallel()
	for name, v := range cdcVariants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPosts(t, nil)
			got := realPosts(t, p, v.flags, cdcScript())
			path := filepath.Join(goldenDir, v.golden)
			if *update {
				require.NoError(t, os.WriteFile(path, append(bytes.Join(got, []byte("\n")), '\n'), 0o600))
			}
			golden, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, groups(t, bytes.Split(bytes.TrimSpace(golden), []byte("\n"))), groups(t, got))
		})
	}
}

// realPosts returns the posts of a real rqlited for a script.
func realPosts(t *testing.T, p *posts, flags string, script []cdcRequest) [][]byte {
	t.Helper()
	rqlited(t)
	config := filepath.Join(t.TempDir(), "cdc.json")
	text := fmt.Sprintf(`{"endpoint": %q, "service_id": "svc", "max_batch_delay": 20000000%s}`, p.URL, flags)
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	url := startRqlited(t, "http", newClient(t, nil), "-cdc-config", config)
	runCDC(t, url, script)
	return p.until(t, finished)
}

// TestCDCLosses checks that the server copies rqlited's losses: a post without an index, and a post
// with an infinite REAL. It also posts some rows that were rolled back, as rqlited does.
func TestCDCLosses(t *testing.T) {
	t.Parallel()
	script := single("CREATE TABLE t (id INTEGER PRIMARY KEY, v)", "CREATE TABLE done (x)")
	for _, r := range [][]cdcRequest{
		together(false,
			"INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (2, 1)", "INSERT INTO t VALUES (3, 1)",
			"INSERT INTO t VALUES (4, 1)", "INSERT INTO t VALUES (5, 1)", "INSERT INTO t VALUES (6, 1)"),
		together(false, "INSERT INTO t VALUES (11, 1)", "INSERT INTO t VALUES (12, 1e999)", "INSERT INTO t VALUES (13, 1)"),
		together(false, "INSERT INTO t VALUES (21, 1), (1, 1)", "INSERT INTO t VALUES (22, 1)", "INSERT INTO t VALUES (23, 1)", "INSERT INTO done VALUES (1)"),
	} {
		script = append(script, r...)
	}
	want := []string{
		`{"events":[{"after":{"id":1,"v":1},"new_row_id":1,"op":"INSERT","table":"t"}],"index":1}`,
		`{"events":[{"after":{"id":2,"v":1},"new_row_id":2,"op":"INSERT","table":"t"}],"index":0}`,
		`{"events":[{"after":{"id":3,"v":1},"new_row_id":3,"op":"INSERT","table":"t"}],"index":0}`,
		`{"events":[{"after":{"id":21,"v":1},"new_row_id":21,"op":"INSERT","table":"t"},{"after":{"id":22,"v":1},"new_row_id":22,"op":"INSERT","table":"t"}],"index":3}`,
		`{"events":[{"after":{"id":23,"v":1},"new_row_id":23,"op":"INSERT","table":"t"}],"index":0}`,
		`{"events":[{"after":{"x":1},"new_row_id":1,"op":"INSERT","table":"done"}],"index":0}`,
	}
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		p := newPosts(t, nil)
		srv := rqlitetest.New(t, func(c *rqlitetest.Config) {
			c.CDC = &rqlitetest.CDCConfig{Endpoint: p.URL, ServiceID: "svc", MaxBatchSize: 3}
		})
		runCDC(t, srv.URL(), script)
		assert.Equal(t, want, groups(t, p.until(t, finished)))
	})
	t.Run("rqlited", func(t *testing.T) {
		t.Parallel()
		p := newPosts(t, nil)
		assert.Equal(t, want, groups(t, realPosts(t, p, `, "max_batch_size": 3`, script)))
	})
}

// nodeIDs returns the sender of each post.
func nodeIDs(t *testing.T, bodies [][]byte) (ids []string) {
	t.Helper()
	for _, body := range bodies {
		var post struct {
			NodeID string `json:"node_id"`
		}
		require.NoError(t, json.Unmarshal(body, &post))
		ids = append(ids, post.NodeID)
	}
	return ids
}

// atLeast returns a condition for until.
func atLeast(n int) func([][]byte) bool {
	return func(bodies [][]byte) bool { return len(bodies) >= n }
}

// TestCDCCluster checks that the leader posts, and that a new leader repeats posts that it was not
// told about.
func TestCDCCluster(t *testing.T) {
	t.Parallel()
	p := newPosts(t, nil)
	c := rqlitetest.NewCluster(t, func(c *rqlitetest.ClusterConfig) {
		c.CDC = &rqlitetest.CDCConfig{Endpoint: p.URL, MaxBatchSize: 1, HighWatermarkInterval: time.Hour}
	})
	runCDC(t, c.URL(0), single("CREATE TABLE t (x)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"))
	p.until(t, atLeast(2))
	require.NoError(t, c.Stop(0))
	require.NoError(t, c.SetLeader(2))
	bodies := p.until(t, atLeast(4))
	require.Equal(t, []string{"1", "1", "3", "3"}, nodeIDs(t, bodies))
	assert.JSONEq(t, string(bytes.Replace(bodies[0], []byte(`"node_id":"1"`), []byte(`"node_id":"3"`), 1)), string(bodies[2]))
	runCDC(t, c.URL(2), single("INSERT INTO t VALUES (3)"))
	assert.Equal(t, []string{"1", "1", "3", "3", "3"}, nodeIDs(t, p.until(t, atLeast(5))))
}

// TestCDCHighWatermark checks that a post is not repeated after all nodes know that it was
// acknowledged.
func TestCDCHighWatermark(t *testing.T) {
	t.Parallel()
	p := newPosts(t, nil)
	c := rqlitetest.NewCluster(t, func(c *rqlitetest.ClusterConfig) {
		c.CDC = &rqlitetest.CDCConfig{Endpoint: p.URL, MaxBatchSize: 1, HighWatermarkInterval: time.Millisecond}
	})
	runCDC(t, c.URL(0), single("CREATE TABLE t (x)", "INSERT INTO t VALUES (1)"))
	p.until(t, atLeast(1))
	require.Eventually(t, func() bool { return c.Acknowledged() }, 10*time.Second, time.Millisecond)
	require.NoError(t, c.SetLeader(1))
	runCDC(t, c.URL(1), single("INSERT INTO t VALUES (2)"))
	assert.Equal(t, []string{"1", "2"}, nodeIDs(t, p.until(t, atLeast(2))))
}

// TestCDCRetries checks that a post is repeated until it is acknowledged, and that no later one
// comes before.
func TestCDCRetries(t *testing.T) {
	t.Parallel()
	p := newPosts(t, func(n int) int {
		return []int{http.StatusInternalServerError, http.StatusNoContent, http.StatusAccepted, http.StatusOK}[n]
	})
	srv := rqlitetest.New(t, func(c *rqlitetest.Config) {
		c.CDC = &rqlitetest.CDCConfig{Endpoint: p.URL, MaxBatchSize: 1, TransmitMinBackoff: time.Millisecond}
	})
	runCDC(t, srv.URL(), single("CREATE TABLE t (x)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"))
	bodies := p.until(t, atLeast(4))
	assert.Equal(t, bodies[0], bodies[1])
	assert.Equal(t, bodies[0], bodies[2])
	assert.NotEqual(t, bodies[0], bodies[3])
}

// TestCDCCloses closes a server while its post hangs.
func TestCDCCloses(t *testing.T) {
	t.Parallel()
	began, free := make(chan struct{}), make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(began)
		<-r.Context().Done()
		close(free)
	}))
	defer receiver.Close()
	srv, err := rqlitetest.Start(rqlitetest.Config{CDC: &rqlitetest.CDCConfig{Endpoint: receiver.URL, MaxBatchSize: 1}})
	require.NoError(t, err)
	runCDC(t, srv.URL(), single("CREATE TABLE t (x)", "INSERT INTO t VALUES (1)"))
	<-began
	require.NoError(t, srv.Close())
	<-free
}

func TestCDCRefusesEndpoint(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"", "stdout", "ftp://host/", "http://%zz"} {
		_, err := rqlitetest.Start(rqlitetest.Config{CDC: &rqlitetest.CDCConfig{Endpoint: endpoint}})
		assert.ErrorContains(t, err, "rqlite: the CDC endpoint", endpoint)
	}
}
