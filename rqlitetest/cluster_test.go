package rqlitetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/rqlitetest"
)

const (
	insert  = `["INSERT INTO t VALUES(1)"]`
	count   = `["SELECT count(*) FROM t"]`
	notThat = "leader not found\n"
)

// newTable starts a cluster with a table t(a).
func newTable(t *testing.T, configure ...func(*rqlitetest.ClusterConfig)) (*rqlitetest.Cluster, *http.Client) {
	t.Helper()
	c, client := rqlitetest.NewCluster(t, configure...), newClient(t, nil)
	client.Transport.(*http.Transport).DisableKeepAlives = true // a stopped node has closed its connections
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	execute(t, client, c.URL(0), `["CREATE TABLE t(a)"]`)
	return c, client
}

func execute(t *testing.T, client *http.Client, url, body string) {
	t.Helper()
	status, text := call(t, client, "POST", url+"/db/execute", body)
	require.Equal(t, http.StatusOK, status, text)
	require.NotContains(t, text, "error")
}

// rows returns the number of rows in t, as read on one node.
func rows(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	_, text := call(t, client, "POST", url+"/db/query?level=none", count)
	_, text, _ = strings.Cut(text, `"values":[[`)
	text, _, _ = strings.Cut(text, "]")
	return text
}

func TestClusterDSN(t *testing.T) {
	t.Parallel()
	c := rqlitetest.NewCluster(t, func(c *rqlitetest.ClusterConfig) {
		c.Replicas = 1
		c.Users = []rqlitetest.User{{Name: "bob", Password: "p@ss", Perms: []string{"all"}}}
	})
	require.Equal(t, 4, c.Len())
	assert.Equal(t, 0, c.Leader())
	var hosts []string
	for i := range c.Len() {
		host := strings.TrimPrefix(c.URL(i), "http://")
		hosts = append(hosts, host)
		assert.Equal(t, "rqlite://"+host, c.NodeDSN(i))
	}
	assert.Equal(t, "rqlite://"+strings.Join(hosts, ","), c.DSN())
	assert.Equal(t, "rqlite://bob:p%40ss@"+strings.Join(hosts, ","), c.UserDSN("bob"))
	assert.Empty(t, c.CAFile())

	withTLS := rqlitetest.NewCluster(t, func(c *rqlitetest.ClusterConfig) { c.TLS, c.Nodes = true, 2 })
	u, err := url.Parse(withTLS.NodeDSN(1))
	require.NoError(t, err)
	assert.Equal(t, url.Values{"tls": {"true"}, "tls_ca": {withTLS.CAFile()}}, u.Query())
	assert.Equal(t, "https://"+u.Host, withTLS.URL(1))
}

type nodeInfo struct {
	ID, Addr, Version, Error string
	APIAddr                  string `json:"api_addr"`
	Leader, Voter, Reachable bool
}

func nodeList(t *testing.T, client *http.Client, url string) []nodeInfo {
	t.Helper()
	var list struct{ Nodes []nodeInfo }
	_, body := call(t, client, "GET", url, "")
	require.NoError(t, json.Unmarshal([]byte(body), &list), body)
	return list.Nodes
}

func TestClusterNodes(t *testing.T) {
	t.Parallel()
	c, client := newTable(t, func(c *rqlitetest.ClusterConfig) { c.Replicas = 1 })
	require.NoError(t, c.Stop(1))
	c.Pause(2)
	want := []nodeInfo{
		{ID: "1", Addr: "127.0.0.1:4002", Voter: true, Reachable: true, Version: rqlitetest.Version, APIAddr: c.URL(0)},
		{ID: "2", Addr: "127.0.0.1:4004", Voter: true, Error: "dial tcp 127.0.0.1:4004: connect: connection refused"},
		{ID: "3", Addr: "127.0.0.1:4006", Voter: true, Error: "timeout waiting for node to respond"},
		{ID: "4", Addr: "127.0.0.1:4008", Reachable: true, Version: rqlitetest.Version, APIAddr: c.URL(3)},
	}
	assert.Equal(t, want[:3], nodeList(t, client, c.URL(0)+"/nodes?ver=2&timeout=20ms"), "two of three are gone, so nobody leads")
	assert.Equal(t, want, nodeList(t, client, c.URL(3)+"/nodes?ver=2&nonvoters&timeout=20ms"))

	c.Resume(2)
	require.NoError(t, c.SetLeader(2))
	var byID map[string]nodeInfo
	_, body := call(t, client, "GET", c.URL(0)+"/nodes", "")
	require.NoError(t, json.Unmarshal([]byte(body), &byID))
	assert.Len(t, byID, 3)
	assert.True(t, byID["3"].Leader)
	assert.False(t, byID["1"].Leader)
}

// TestAdvertisedAddresses checks that clients get the advertised address, whether or not it can be
// reached.
func TestAdvertisedAddresses(t *testing.T) {
	t.Parallel()
	c, client := newTable(t, func(c *rqlitetest.ClusterConfig) { c.AdvertiseHost = "localhost" })
	location := func(c *rqlitetest.Cluster) string {
		resp, err := client.Post(c.URL(1)+"/db/query?redirect", "application/json", strings.NewReader(count))
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusMovedPermanently, resp.StatusCode)
		return resp.Header.Get("Location")
	}
	at := location(c)
	assert.Equal(t, strings.Replace(c.URL(0), "127.0.0.1", "localhost", 1)+"/db/query?redirect", at)
	status, _ := call(t, client, "POST", at, count)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, c.NodeDSN(0), "127.0.0.1")

	c, _ = newTable(t, func(c *rqlitetest.ClusterConfig) { c.Unreachable = true })
	_, _, err := tryCall(t.Context(), client, "POST", location(c), count)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	seen := map[string]bool{}
	for _, n := range nodeList(t, client, c.URL(1)+"/nodes?ver=2") {
		assert.True(t, n.Reachable, "by the other nodes")
		seen[n.APIAddr] = true
	}
	assert.Len(t, seen, 3)
	execute(t, client, c.URL(1), insert)
}

// deadLeader has the answers of a follower that does not know yet that the leader is gone. The last
// part of each text is the address.
var deadLeader = []struct {
	method, path, body string
	status             int
	want               string
}{
	{"POST", "/db/execute", insert, 200, `{"results":[],"error":"dial tcp ADDR: connect: connection refused"}`},
	{"POST", "/db/query", count, 200, `{"results":[],"error":"dial tcp ADDR: connect: connection refused"}`},
	{"POST", "/db/query?redirect", count, 500, notThat},
	{"GET", "/db/backup", "", 500, "dial tcp ADDR: connect: connection refused\n"},
	{"GET", "/readyz", "", 503, "[+]node ok\n[+]leader not contactable: dial tcp ADDR: connect: connection refused"},
	{"GET", "/leader", "", 200, `{"id":"1","addr":"ADDR","version":"","voter":true,"reachable":false,"leader":false,"error":"dial tcp ADDR: connect: connection refused"}`},
	{"POST", "/leader?wait", "", 500, "stepdown: dial tcp ADDR: connect: connection refused\n"},
	{"POST", "/db/query?level=none", count, 200, `{"results":[{"columns":["count(*)"],"types":["integer"],"values":[[0]]}]}`},
}

// wordsAround matches the parts of answers about a dead leader that only some releases have.
var wordsAround = regexp.MustCompile(
	`"time":[^,]+,"time_s":"[^"]+",` + // before 10.2.7
		`|pool get: ` + // before 10.0.0
		`|node failed to process \w+ on remote node at [^ ]+: ` + // before 9.4.1
		`|stepdown: `) // since 9.4.1, before a message of another node

// onPooled is the message of releases before 10.0.0 if the failed connection is an old one: they do
// not try a new one.
var onPooled = regexp.MustCompile(`write protobuf bytes: write tcp \S+: write: broken pipe`)

// plain removes from an answer the differences of releases before 10.2.7.
func plain(body, raftAddr string) string {
	return onPooled.ReplaceAllString(wordsAround.ReplaceAllString(body, ""), "dial tcp "+raftAddr+": connect: connection refused")
}

func testDeadLeader(t *testing.T, client *http.Client, follower, raftAddr string) {
	t.Helper()
	old := before(t, client, follower, "10.2.7")
	for _, x := range deadLeader {
		status, body := call(t, client, x.method, follower+x.path, x.body)
		assert.Equal(t, x.status, status, "%s %s", x.method, x.path)
		want := strings.ReplaceAll(x.want, "ADDR", raftAddr)
		if old {
			want, body = plain(want, raftAddr), plain(body, raftAddr)
		}
		assert.Equal(t, want, body, "%s %s", x.method, x.path)
	}
}

func TestStopLeader(t *testing.T) {
	t.Parallel()
	c, client := newTable(t)
	require.NoError(t, c.Stop(0))
	require.NoError(t, c.Stop(0), "a second time")
	assert.Equal(t, -1, c.Leader())
	_, _, err := tryCall(t.Context(), client, "GET", c.URL(0)+"/readyz", "")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	testDeadLeader(t, client, c.URL(1), "127.0.0.1:4002")

	require.NoError(t, c.SetLeader(-1))
	status, body := call(t, client, "POST", c.URL(1)+"/db/execute", insert)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, notThat, body)

	require.NoError(t, c.SetLeader(2))
	assert.Equal(t, 2, c.Leader())
	execute(t, client, c.URL(1), insert)

	require.NoError(t, c.Start(0))
	require.NoError(t, c.Start(0), "a second time")
	assert.Equal(t, 2, c.Leader())
	execute(t, client, c.URL(0), insert)
	assert.Equal(t, "2", rows(t, client, c.URL(0)))
}

func TestStopLeaderLive(t *testing.T) {
	nodes, client := startLiveCluster(t), newClient(t, nil)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	execute(t, client, nodes[0].url, `["CREATE TABLE t(a)"]`)
	require.Eventually(t, func() bool { return rows(t, client, nodes[1].url) == "0" }, 10*time.Second, 5*time.Millisecond)
	nodes[0].kill()
	testDeadLeader(t, client, nodes[1].url, nodes[0].raft)
}

// TestRestartedLeader checks that a leader that was stopped does not lead after a start, even if
// there is no other.
func TestRestartedLeader(t *testing.T) {
	t.Parallel()
	c, client := newTable(t)
	require.NoError(t, c.Stop(0))
	require.NoError(t, c.Start(0))
	assert.Equal(t, -1, c.Leader())
	status, _ := call(t, client, "POST", c.URL(0)+"/db/execute", insert)
	assert.Equal(t, http.StatusServiceUnavailable, status)
}

func TestSetLeaderRefuses(t *testing.T) {
	t.Parallel()
	c := rqlitetest.NewCluster(t, func(c *rqlitetest.ClusterConfig) { c.Replicas = 1 })
	for i, want := range map[int]string{
		-2: "rqlite: node -2 of the embedded cluster cannot lead: there are 4 nodes, counted from 0",
		4:  "rqlite: node 4 of the embedded cluster cannot lead: there are 4 nodes, counted from 0",
		3:  "rqlite: node 3 of the embedded cluster cannot lead: it is a replica, make a voter the leader",
	} {
		assert.EqualError(t, c.SetLeader(i), want)
	}
	require.NoError(t, c.Stop(1))
	assert.ErrorContains(t, c.SetLeader(1), "cannot lead: it is stopped or paused")
	assert.Equal(t, 0, c.Leader())
	c.Pause(2)
	assert.Equal(t, -1, c.Leader(), "one of three is no majority")
	assert.ErrorContains(t, c.SetLeader(2), "cannot lead: it is stopped or paused")
	assert.ErrorContains(t, c.SetLeader(0), "cannot lead: no majority of the voters is up")
	c.Resume(2)
	assert.Equal(t, -1, c.Leader(), "no elections")
	require.NoError(t, c.SetLeader(0))
}

func TestElections(t *testing.T) {
	t.Parallel()
	c, client := newTable(t, func(c *rqlitetest.ClusterConfig) { c.ElectionTime, c.Replicas = 30*time.Millisecond, 1 })
	another := func(than int) int {
		t.Helper()
		var now int
		require.Eventually(t, func() bool { now = c.Leader(); return now != -1 && now != than }, 10*time.Second, time.Millisecond)
		return now
	}
	require.NoError(t, c.Stop(0))
	first := another(0)
	c.Pause(first)
	// Two of three voters are gone.
	require.Eventually(t, func() bool {
		status, _ := call(t, client, "POST", c.URL(3)+"/db/query?timeout=5ms", count)
		return status == http.StatusServiceUnavailable
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, c.Start(0))
	second := another(first)
	c.Resume(first)
	execute(t, client, c.URL(first), insert)
	assert.Equal(t, second, c.Leader())

	require.NoError(t, c.SetLeader(-1))
	another(-1)
	assert.Equal(t, "1", rows(t, client, c.URL(3)))
}

// TestChangingLeaders writes to all nodes while the leader changes. Each acknowledged write must be
// there once.
func TestChangingLeaders(t *testing.T) {
	t.Parallel()
	c, client := newTable(t, func(c *rqlitetest.ClusterConfig) { c.ElectionTime = 2 * time.Millisecond })
	var acknowledged atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for w := range 6 {
		group.Go(func() {
			for ctx.Err() == nil {
				_, body, err := tryCall(t.Context(), client, "POST", c.URL(w%3)+"/db/execute", insert)
				if err == nil && strings.Contains(body, `"rows_affected":1`) {
					acknowledged.Add(1)
				}
			}
		})
	}
	for i := range 20 {
		before := acknowledged.Load()
		switch node := i % 3; i % 4 {
		case 0:
			require.NoError(t, c.Stop(node))
			require.NoError(t, c.Start(node))
		case 1:
			c.Pause(node)
			c.Resume(node)
		default:
			require.NoError(t, c.SetLeader(node))
		}
		require.Eventually(t, func() bool { return acknowledged.Load() > before }, 10*time.Second, time.Millisecond)
	}
	cancel()
	group.Wait()
	var n int64
	_, err := fmt.Sscan(rows(t, client, c.URL(1)), &n)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, n, acknowledged.Load())
	assert.LessOrEqual(t, n, acknowledged.Load()+7*6, "more than the answers lost by stopping a node")
}

func TestLag(t *testing.T) {
	t.Parallel()
	c, client := newTable(t, func(c *rqlitetest.ClusterConfig) { c.Replicas = 1 })
	read := func(node int, query string) string {
		_, body := call(t, client, "POST", c.URL(node)+"/db/query?"+query, count)
		return body
	}
	const stale = `{"results":[],"error":"stale read"}`
	for _, node := range []int{1, 3} {
		require.NoError(t, c.Lag(node, time.Minute))
		before := rows(t, client, c.URL(node))
		execute(t, client, c.URL(node), insert)
		assert.Equal(t, before, rows(t, client, c.URL(node)))
		assert.Equal(t, stale, read(node, "level=none&freshness=59s"))
		assert.Equal(t, stale, read(node, "level=none&freshness=59s&freshness_strict"))
		assert.Contains(t, read(node, "level=none&freshness=2m&transaction"), "[["+before+"]]")
		assert.NotContains(t, read(node, "level=weak"), "[["+before+"]]", "the leader answers")
	}
	assert.Equal(t, stale, read(3, "level=auto&freshness=59s"))
	assert.NotEqual(t, stale, read(1, "level=auto&freshness=59s"))
	assert.Equal(t, "2", rows(t, client, c.URL(2)))

	require.NoError(t, c.SetLeader(1))
	assert.Equal(t, "2", rows(t, client, c.URL(1)), "a leader does not lag")
	require.NoError(t, c.SetLeader(0))
	assert.Equal(t, "0", rows(t, client, c.URL(1)))
	for range 2 {
		require.NoError(t, c.Lag(1, 0))
		assert.Equal(t, "2", rows(t, client, c.URL(1)))
		assert.NotEqual(t, stale, read(1, "level=none&freshness=1m"))
	}
	require.NoError(t, c.Stop(0))
	require.Eventually(t, func() bool { return read(1, "level=none&freshness=50ms") == stale }, 10*time.Second, time.Millisecond)
}

func TestStepDown(t *testing.T) {
	t.Parallel()
	c, client := newTable(t, func(c *rqlitetest.ClusterConfig) { c.Replicas = 1 })
	step := func(node int, query, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", c.URL(node)+"/leader"+query, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(text)
	}
	status, _ := step(0, "", "")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, 1, c.Leader())
	status, _ = step(2, "?wait", `{"id":"1"}`)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, 0, c.Leader(), "forwarded")
	require.NoError(t, c.Stop(1))
	status, body := step(0, "?wait", `{"id":"2"}`)
	assert.Equal(t, http.StatusInternalServerError, status)
	assert.Equal(t, "stepdown: failed to make TimeoutNow RPC to 2: dial tcp 127.0.0.1:4004: connect: connection refused\n", body)
	status, _ = step(0, "?wait", "")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, 2, c.Leader(), "who is up")
	status, _ = step(2, "?wait", `{"id":"4"}`)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, -1, c.Leader(), "a replica does not take over")

	srv := rqlitetest.New(t)
	status, body = call(t, client, "POST", srv.URL()+"/leader?wait", "")
	assert.Equal(t, http.StatusInternalServerError, status)
	assert.Equal(t, "stepdown: cannot find peer\n", body)
	status, _ = call(t, client, "POST", srv.URL()+"/leader", "")
	assert.Equal(t, http.StatusOK, status)
}

// testQueueOfFollower checks the queue of a follower, which has no credentials for forwarding.
func testQueueOfFollower(t *testing.T, leader, follower string) {
	t.Helper()
	client := newClient(t, nil)
	const queued = "/db/execute?queue&wait&timeout=500ms"
	status, body := call(t, client, "POST", follower+queued, `["CREATE TABLE t(a)"]`, "admin", "a")
	assert.Equal(t, http.StatusRequestTimeout, status)
	assert.Equal(t, "queue wait timeout\n", body)
	status, _ = call(t, client, "POST", follower+"/db/execute?queue", `["CREATE TABLE u(a)"]`, "admin", "a")
	assert.Equal(t, http.StatusOK, status)
	status, _ = call(t, client, "POST", leader+queued, `["CREATE TABLE t(a)"]`, "admin", "a")
	assert.Equal(t, http.StatusOK, status)
	status, body = call(t, client, "POST", follower+"/db/load", `CREATE TABLE t(a)`, "loader", "l")
	assert.Equal(t, http.StatusUnauthorized, status)
	assert.Equal(t, "remote load not authorized\n", body)
	status, _ = call(t, client, "POST", leader+"/db/load", `SELECT 1`, "loader", "l")
	assert.Equal(t, http.StatusOK, status)
}

var queueUsers = []rqlitetest.User{
	{Name: "admin", Password: "a", Perms: []string{"all"}},
	{Name: "loader", Password: "l", Perms: []string{"load"}},
	{Name: "*", Perms: []string{"ready"}},
}

func TestQueueOfFollower(t *testing.T) {
	t.Parallel()
	c := rqlitetest.NewCluster(t, func(c *rqlitetest.ClusterConfig) { c.Users = queueUsers })
	testQueueOfFollower(t, c.URL(0), c.URL(1))
}

func TestQueueOfFollowerLive(t *testing.T) {
	nodes := startLiveCluster(t, "-auth", credentialsFile(t, queueUsers), "-join-as", "admin")
	testQueueOfFollower(t, nodes[0].url, nodes[1].url)
}

func TestNewClusterFailsTheTest(t *testing.T) {
	t.Parallel()
	for _, cfg := range []rqlitetest.ClusterConfig{{Nodes: -1}, {Replicas: -1}, {ElectionTime: -1}} {
		tb := &failing{}
		assert.Nil(t, rqlitetest.NewCluster(tb, func(c *rqlitetest.ClusterConfig) { *c = cfg }))
		assert.Contains(t, tb.message, "make none of them negative")
		assert.Empty(t, tb.cleanup)
	}
}

// TestCloseCluster checks that Close ends everything: stopped, paused and lagging nodes, an
// election, and running requests.
func TestCloseCluster(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	c, err := rqlitetest.StartCluster(rqlitetest.ClusterConfig{Replicas: 2, Nodes: 5, ElectionTime: time.Hour})
	require.NoError(t, err)
	client := newClient(t, nil)
	require.NoError(t, c.Lag(5, time.Second))
	require.NoError(t, c.Stop(1))
	c.Pause(0)
	c.Fail(2, rqlitetest.Fault{Delay: time.Hour})
	ended := make(chan struct{}, 3)
	for _, path := range []string{c.URL(0) + "/readyz", c.URL(2) + "/readyz?noleader", c.URL(3) + "/readyz"} {
		go func() {
			_, _, _ = tryCall(context.WithoutCancel(t.Context()), client, "GET", path, "")
			ended <- struct{}{}
		}()
	}
	require.Eventually(t, func() bool { return len(c.Requests(2))+len(c.Requests(3)) == 2 }, 10*time.Second, time.Millisecond)
	for range 2 {
		require.NoError(t, c.Close())
	}
	for range 3 {
		<-ended
	}
	_, err = net.Dial("tcp", strings.TrimPrefix(c.URL(4), "http://"))
	require.True(t, errors.Is(err, syscall.ECONNREFUSED))
}
