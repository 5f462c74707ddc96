package rqlitetest

import (
	"fmt"
	"time"
)

// ClusterConfig describes a cluster. The zero value is three nodes with a zero [Config]. Leadership
// then changes only by [Cluster.SetLeader] and by requests of clients.
type ClusterConfig struct {
	// Config applies to every node.
	Config

	// Nodes is the number of voting nodes; 0 means 3.
	Nodes int

	// Replicas is the number of read-only (non-voting) nodes. They come after the voting nodes:
	// with 3 of those, the first replica has index 3.
	Replicas int

	// ElectionTime is the time from the loss of a leader to the next one, if a majority of the
	// voters is up. In the first half of it the voters still try to reach the old leader, and fail.
	// In the second half they know of no leader. 0 means that there are no elections: only
	// SetLeader names a leader.
	ElectionTime time.Duration

	// AdvertiseHost is the host in the API addresses that nodes advertise: in redirects, in /nodes
	// and in the X-Rqlite-Served-By header. It corresponds to rqlited -http-adv-addr. "" means the
	// listening address, 127.0.0.1.
	AdvertiseHost string

	// Unreachable makes the nodes advertise API addresses that refuse connections, each node
	// another one, as behind a NAT. It takes precedence over AdvertiseHost.
	Unreachable bool
}

// Cluster is a running cluster. Nodes are numbered from 0. A number out of range makes a method
// panic; only SetLeader returns an error. A Cluster is safe for concurrent use.
//
// All nodes share one database. So a follower that answers by itself is as up to date as the
// leader, unless it was told to [Cluster.Lag].
type Cluster struct {
	group *group
}

// NewCluster starts a cluster for a test. tb.Cleanup closes it. Node 0 leads. The functions change
// the configuration before the start. If the cluster cannot start, the test fails.
func NewCluster(tb TB, configure ...func(*ClusterConfig)) *Cluster {
	tb.Helper()
	var cfg ClusterConfig
	for _, f := range configure {
		f(&cfg)
	}
	c, err := StartCluster(cfg)
	if err != nil {
		tb.Fatalf("%v", err)
		return nil
	}
	closeAfter(tb, c.Close)
	return c
}

// StartCluster starts a cluster without a test. The caller must call [Cluster.Close], which also
// removes the database. The error is about the configuration, or about a port or file that cannot
// be opened.
func StartCluster(cfg ClusterConfig) (*Cluster, error) {
	if cfg.Nodes == 0 {
		cfg.Nodes = 3
	}
	if cfg.Nodes < 0 || cfg.Replicas < 0 || cfg.ElectionTime < 0 {
		return nil, fmt.Errorf("rqlite: an embedded cluster with %d nodes, %d replicas and an election time of %v: make none of them negative",
			cfg.Nodes, cfg.Replicas, cfg.ElectionTime)
	}
	g, err := startGroup(cfg, false)
	if err != nil {
		return nil, err
	}
	return &Cluster{g}, nil
}

// Close stops all nodes, as [Server.Close] stops a server. It may be called more than once; every
// call returns the same error.
func (c *Cluster) Close() error { return c.group.close() }

// Len returns the number of nodes, including replicas.
func (c *Cluster) Len() int { return len(c.group.nodes) }

// DSN returns the data source name with the addresses of all nodes, without credentials.
func (c *Cluster) DSN() string { return c.group.dsn(nil, c.group.nodes...) }

// UserDSN returns the data source name with the addresses of all nodes and the credentials of a
// user. The password is empty if the name is not in [Config.Users].
func (c *Cluster) UserDSN(name string) string {
	return c.group.dsn(c.group.user(name), c.group.nodes...)
}

// NodeDSN returns the data source name with the address of one node, without credentials.
func (c *Cluster) NodeDSN(i int) string { return c.group.dsn(nil, c.group.nodes[i]) }

// URL returns the base URL of a node, without a trailing slash: "http://127.0.0.1:PORT". The node
// listens there, whatever it advertises. The URL stays the same when the node is stopped and
// started.
func (c *Cluster) URL(i int) string { return c.group.nodes[i].url }

// CAFile returns the path of a PEM file with the certificate to trust, the same for all nodes. It
// returns "" without TLS. The file exists until Close.
func (c *Cluster) CAFile() string { return c.group.caFile }

// Leader returns the index of the leader. It returns -1 while there is none, because it was stopped
// or an election is under way. A paused leader remains the leader until there is another.
func (c *Cluster) Leader() int {
	g := c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leader == nobody || g.nodes[g.leader].life == nil {
		return nobody
	}
	return g.leader
}

// SetLeader makes node i the leader at once. With -1 the nodes know of no leader, as in an
// election. It returns an error if the node cannot lead: a replica, a stopped or paused node, or
// one without a majority of the voters.
func (c *Cluster) SetLeader(i int) error { return c.group.setLeader(i) }

// Stop stops node i as if its process were killed: its connections break, new ones are refused, and
// its queue is lost. Stop returns when the running requests of the node have ended, so nothing is
// applied afterwards.
//
// If the node was the leader, there is none: the other nodes still take it for the leader and fail
// to reach it, until SetLeader or an election. If no majority of the voters is left, the leader
// steps down. Stop does nothing if the node is stopped already.
func (c *Cluster) Stop(i int) error { return c.group.nodes[i].stop() }

// Start starts node i again as a follower, on its old port. It returns an error if the port is in
// use. It does nothing if the node runs.
func (c *Cluster) Start(i int) error { return c.group.nodes[i].start() }

// Pause freezes node i, like SIGSTOP: connections are still made, but nothing is read or answered
// until [Cluster.Resume]. The other nodes take a paused node for unreachable. Pause does nothing if
// the node is stopped.
func (c *Cluster) Pause(i int) { c.group.nodes[i].pause(true) }

// Resume ends a pause of node i. The node then answers the requests that it received meanwhile.
func (c *Cluster) Resume(i int) { c.group.nodes[i].pause(false) }

// Lag makes node i a follower that does not keep up. It answers reads of level none from the
// database as it is now. Its last contact with the leader counts as that long ago, so a read with a
// smaller freshness fails as stale. 0 brings the node up to date. Lag returns an error for the
// leader.
func (c *Cluster) Lag(i int, by time.Duration) error { return c.group.nodes[i].lagBehind(by) }

// Fail makes node i fail requests as f says. If several faults match a request, the one added first
// applies.
func (c *Cluster) Fail(i int, f Fault) { c.group.nodes[i].faults.add(f) }

// Heal ends all faults of node i.
func (c *Cluster) Heal(i int) { c.group.nodes[i].faults.clear() }

// Requests returns the requests that node i has received, oldest first. It keeps the last 10,000
// since the start or the last [Cluster.ForgetRequests]. It does not include requests that other
// nodes forwarded to it.
func (c *Cluster) Requests(i int) []Request { return c.group.nodes[i].journal.list() }

// ForgetRequests clears the requests of all nodes.
func (c *Cluster) ForgetRequests() {
	for _, n := range c.group.nodes {
		n.journal.clear()
	}
}
