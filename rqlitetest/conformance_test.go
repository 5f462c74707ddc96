package rqlitetest_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/rqlitetest"
	"github.com/go-rqlite/rqlite/rqlitetest/conformance"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t)
	conformance.Run(t, srv.URL(), conformance.Options{})
}

// TestConformanceOfAServerWithUsers checks that the answers are the same with foreign keys on and
// users set.
func TestConformanceOfAServerWithUsers(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t, func(c *rqlitetest.Config) {
		c.Users = []rqlitetest.User{{Name: "bob", Password: "pw", Perms: []string{"all"}}}
	})
	conformance.Run(t, srv.URL(), conformance.Options{Username: "bob", Password: "pw"})
}

// TestConformanceLive runs the cases on the server at RQLITE_URL, or on a real one started here.
func TestConformanceLive(t *testing.T) {
	url := os.Getenv("RQLITE_URL")
	if url == "" || os.Getenv("RQLITE_LIVE") == "0" {
		url = startRqlited(t, "http", http.DefaultClient)
	}
	conformance.Run(t, url, conformance.Options{})
}

func TestConformanceOfACluster(t *testing.T) {
	t.Parallel()
	c := rqlitetest.NewCluster(t, func(c *rqlitetest.ClusterConfig) { c.Replicas = 1 })
	opts := conformance.Options{ReplicaURL: c.URL(3)}
	t.Run("leader", func(t *testing.T) { conformance.Run(t, c.URL(0), opts) })
	t.Run("follower", func(t *testing.T) { conformance.RunCluster(t, c.URL(0), c.URL(1), opts) })
	require.NoError(t, c.SetLeader(2))
	t.Run("another leader", func(t *testing.T) { conformance.RunCluster(t, c.URL(2), c.URL(0), opts) })
	require.NoError(t, c.SetLeader(-1))
	t.Run("no leader", func(t *testing.T) { conformance.RunNoLeader(t, c.URL(2), opts) })
}

// TestConformanceOfAClusterLive runs the cases of a cluster on real processes.
func TestConformanceOfAClusterLive(t *testing.T) {
	nodes := startLiveCluster(t)
	opts := conformance.Options{ReplicaURL: nodes[3].url}
	t.Run("follower", func(t *testing.T) { conformance.RunCluster(t, nodes[0].url, nodes[1].url, opts) })
	nodes[0].kill()
	nodes[1].kill()
	client := newClient(t, nil)
	require.Eventually(t, func() bool {
		_, body := call(t, client, "POST", nodes[2].url+"/db/query", `["SELECT 1"]`)
		return strings.HasSuffix(body, "leader not found\n")
	}, 20*time.Second, 20*time.Millisecond, "the last voter must lose its leader")
	t.Run("no leader", func(t *testing.T) { conformance.RunNoLeader(t, nodes[2].url, opts) })
}
