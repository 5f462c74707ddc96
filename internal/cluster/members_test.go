package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// list is an answer that names the members.
func memberList(members ...Member) string {
	text, err := json.Marshal(map[string]any{"nodes": members})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// member is a member that can be reached at a URL.
func member(url string) Member { return Member{APIAddr: url, Reachable: true} }

// at answers by the path of the request.
func at(path string, then, otherwise reply) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			then(w, r)
			return
		}
		otherwise(w, r)
	}
}

func discovering(c *Config) { c.Members = true }

// asked counts the requests for a path.
func asked(f *fake, path string) int {
	n := 0
	for _, r := range f.got() {
		if r.Path == path {
			n++
		}
	}
	return n
}

// readMany sends reads that any node can answer, once what is going on has settled.
func readMany(t *testing.T, c *Client, times int) {
	t.Helper()
	for range times {
		require.NoError(t, do(t.Context(), c, anyNode()))
		waitForAll()
	}
}

// counts returns how many reads each node has had since the last time.
func counts(nodes []*fake) []int {
	all := make([]int, len(nodes))
	for i, node := range nodes {
		all[i] = asked(node, "/db/query")
		node.mu.Lock()
		node.requests = nil
		node.mu.Unlock()
	}
	return all
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	inBubble(t, "learned, and learned again", func(t *testing.T) {
		now := memberList(
			member("http://10.0.0.1:4001"), // is known
			member("http://10.0.0.2:4001/"),
			Member{APIAddr: "http://10.0.0.3:4001"}, // cannot be reached
			member("https://10.0.0.4:4001"), member(""), member("://"), member("http://10.0.0.2:4001"),
		)
		members := func(w http.ResponseWriter, r *http.Request) { ok(now)(w, r) }
		any := []reply{ok(rows)}
		nodes, c := newPipedCluster(t, limitForTests, [][]reply{{at("/nodes", members, ok(rows))}, any, any, any}, knows(1), discovering)
		readMany(t, c, 1)
		got := nodes[0].got()
		require.Len(t, got, 2)
		for _, r := range got {
			if r.Path == "/nodes" {
				assert.Equal(t, seen{"GET", "/nodes", "nonvoters&ver=2", "", "", ""}, r)
			}
		}
		counts(nodes)
		readMany(t, c, 10)
		assert.Equal(t, []int{5, 5, 0, 0}, counts(nodes))
		require.NoError(t, do(t.Context(), c, query()))
		assert.Equal(t, []int{1, 0, 0, 0}, counts(nodes), "the leader is asked of the host that is configured")

		now = memberList(member("http://10.0.0.3:4001"), member("http://10.0.0.4:4001"))
		time.Sleep(membersEvery - time.Millisecond)
		readMany(t, c, 10)
		assert.Equal(t, []int{5, 5, 0, 0}, counts(nodes), "what is known is fresh")
		time.Sleep(time.Millisecond)
		readMany(t, c, 1) // which is what makes the client ask
		counts(nodes)
		readMany(t, c, 9)
		assert.Equal(t, []int{3, 0, 3, 3}, counts(nodes))
	})
	inBubble(t, "asked for once by many", func(t *testing.T) {
		nodes, c := newPipedCluster(t, limitForTests, [][]reply{{at("/nodes", ok(memberList()), ok(rows))}}, discovering)
		errs := make(chan error)
		for range 20 {
			go func() { errs <- do(t.Context(), c, query()) }()
		}
		for range 20 {
			require.NoError(t, <-errs)
		}
		waitForAll()
		assert.Equal(t, 1, asked(nodes[0], "/nodes"))
	})
	inBubble(t, "not asked for", func(t *testing.T) {
		node, c := newPiped(t, limitForTests, ok(rows))
		readMany(t, c, 3)
		assert.Zero(t, asked(node, "/nodes"))
	})
}

// Credentials go to members on hosts that the configuration names, and others
// are of no use then.
func TestDiscoveryTrust(t *testing.T) {
	t.Parallel()
	members := []Member{member("http://a:2"), member("http://b:1")}
	var r routes
	r.init(&Config{Hosts: []string{"a:1"}, Scheme: "http", User: "u", Logger: New(Config{}).cfg.Logger})
	r.setMembers(r.hosts[0], members)
	require.Len(t, r.nodes(), 2)
	assert.Equal(t, "a:2", r.nodes()[1].host)
	assert.NotEmpty(t, r.nodes()[1].header["Authorization"])

	for verified, want := range map[bool]int{true: 3, false: 2} {
		var r routes
		r.init(&Config{Hosts: []string{"a:1"}, Scheme: "https", User: "u", Verified: verified, Logger: New(Config{}).cfg.Logger})
		r.setMembers(r.hosts[0], []Member{member("https://a:2"), member("https://b:1"), member("http://a:3")})
		assert.Len(t, r.nodes(), want, verified)
		for _, n := range r.nodes() {
			assert.Equal(t, "https", n.scheme)
			assert.NotEmpty(t, n.header["Authorization"])
		}
	}

	r = routes{}
	r.init(&Config{Hosts: []string{"a:1"}, Scheme: "http", Logger: New(Config{}).cfg.Logger})
	many := make([]Member, 10*maxMembers)
	for i := range many {
		many[i] = member(fmt.Sprintf("http://n%d:1", i))
	}
	r.setMembers(r.hosts[0], many)
	assert.Len(t, r.nodes(), 1+maxMembers)
}

// When nobody tells who the members are, those of before are still used.
func TestDiscoveryFails(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]reply{
		"not allowed":   text(401, ""),
		"garbage":       ok("<html>"),
		"another form":  ok(`{"1":{"api_addr":"http://10.0.0.3:4001","reachable":true}}`),
		"another type":  ok(`{"nodes":{"1":{}}}`),
		"huge":          ok(`{"nodes":[{"id":"` + strings.Repeat("x", maxMembersBody) + `"}]}`),
		"no answer":     hang(""),
		"half a answer": hang(`{"nodes":[`),
		"cut off":       cut(`{"nodes":[]}`, 5),
	} {
		inBubble(t, name, func(t *testing.T) {
			members := ok(memberList(member("http://10.0.0.2:4001")))
			var log logBuffer
			first := at("/nodes", func(w http.ResponseWriter, r *http.Request) { members(w, r) }, ok(rows))
			nodes, c := newPipedCluster(t, limitForTests, [][]reply{{first}, {ok(rows)}}, knows(1), discovering, log.into)
			readMany(t, c, 1)
			require.Len(t, c.routes.nodes(), 2)
			require.NotContains(t, log.String(), "are not known")
			members = answer
			time.Sleep(membersEvery)
			readMany(t, c, 1)
			time.Sleep(membersWithin)
			counts(nodes)
			readMany(t, c, 4)
			assert.Equal(t, 1, strings.Count(log.String(), "the members of the cluster are not known"), &log)
			assert.Equal(t, []int{2, 2}, counts(nodes))
			assert.Contains(t, log.String(), nodes[0].host(), "the log says who was asked")
		})
	}
}

func TestCloseWhileAskingForMembers(t *testing.T) {
	t.Parallel()
	inBubble(t, "ends it", func(t *testing.T) {
		var log logBuffer
		ended := time.Time{}
		asking := func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			ended = time.Now()
		}
		_, c := newPipedCluster(t, limitForTests, [][]reply{{at("/nodes", asking, ok(rows))}}, discovering, log.into)
		readMany(t, c, 1)
		time.Sleep(patience / 2)
		c.Close()
		waitForAll()
		assert.Equal(t, time.Now(), ended)
		assert.NotContains(t, log.String(), "are not known")
	})
}

func TestMembers(t *testing.T) {
	t.Parallel()
	well := Member{ID: "1", APIAddr: "http://h:1", Addr: "h:2", Version: "v10", Voter: true, Reachable: true, Leader: true}
	sick := Member{ID: "2", Error: "no route to host"}
	node := newFake(t, text(503, "leader not found"), ok(memberList(well, sick)))
	c, _ := newClient(t, []string{refusing(t), node.host(), node.host()}, credentials)
	members, err := c.Members(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []Member{well, sick}, members)
	assert.Equal(t, seen{"GET", "/nodes", "nonvoters&ver=2", "", "Basic Ym9iOnNlY3JldA==", ""}, node.got()[1])
	assert.Len(t, c.routes.nodes(), 3, "asking is not using")

	for _, tt := range []struct {
		name    string
		answer  reply
		status  int
		outcome Outcome
		want    string
	}{
		{"unauthorized", text(401, ""), 401, Refused, "unauthorized"},
		{"garbage", ok("<html>"), 200, Refused, "the list of nodes cannot be read: invalid character"},
		{"missing", ok(`{}`), 200, Refused, `the list of nodes cannot be read: it is not there: "nodes" is missing`},
		{"of another type", ok(`{"nodes":7}`), 200, Refused, "cannot unmarshal number"},
		{"cut off", cut(memberList(well), 9), 200, Refused, "unexpected EOF"},
		{"on all of them", text(500, "not open"), 500, Repeat, "not open"},
	} {
		node := newFake(t, tt.answer)
		c, _ := newClient(t, []string{node.host()})
		_, err := c.Members(t.Context())
		failure := requireError(t, err, tt.outcome)
		assert.Equal(t, tt.status, failure.Status, tt.name)
		require.ErrorContains(t, err, tt.want, tt.name)
		require.ErrorContains(t, err, node.host())
	}
	for _, none := range []string{`{"nodes":null}`, `{"nodes":[]}`} {
		node := newFake(t, ok(none))
		c, _ := newClient(t, []string{node.host()})
		members, err := c.Members(t.Context())
		require.NoError(t, err, "a node that belongs to no cluster yet knows none")
		assert.Empty(t, members)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Members(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
