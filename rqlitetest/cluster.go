package rqlitetest

import (
	"fmt"
	"time"
)

// ClusterConfig describes a cluster. The zero value stands for three nodes with
// a plain [Config], where leadership changes only by [Cluster.SetLeader] and by
// what clients ask for.
type ClusterConfig struct {
	// Config holds for every node.
	Config

	// Nodes is the number of voting nodes, 3 if it is 0.
	Nodes int

	// Replicas is the number of read-only (non-voting) nodes, which follow the
	// voting ones: with 3 nodes the first replica has index 3.
	Replicas int

	// ElectionTime is the time after which the voters have a new leader when the
	// old one is gone, provided that a majority of them is up. In the first half
	// of it they still take the old one for the leader and fail to reach it; in
	// the second they know of none. With 0 they hold no elections: who leads is
	// for SetLeader to say.
	ElectionTime time.Duration

	// AdvertiseHost is the host in the API addresses that nodes give for
	// themselves, in redirects, /nodes and the X-Rqlite-Served-By header, as
	// rqlited -http-adv-addr. "" is the address listened on, 127.0.0.1.
	AdvertiseHost string

	// Unreachable makes the nodes advertise API addresses that refuse
	// connections, different ones for each, as behind a NAT. It outdoes
	// AdvertiseHost.
	Unreachable bool
}

// Cluster is a running cluster. Nodes are counted from 0; the index of one that
// does not exist makes a method panic, unless it returns an error. The methods
// may be called by several goroutines at once.
//
// All nodes share one database. What a follower answers by itself is as new as
// what the leader answers, unless it is made to [Cluster.Lag].
type Cluster struct {
	group *group
}

// NewCluster starts a cluster for the length of a test: it is closed by
// tb.Cleanup. Node 0 leads. The functions given change the configuration before
// the start. If the cluster cannot be started, the test fails.
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

// StartCluster starts a cluster outside of tests. The caller must call
// [Cluster.Close], which also removes the database.
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

// Close stops all nodes as [Server.Close] stops a server. It is safe to call
// Close more than once; every call returns the same error.
func (c *Cluster) Close() error { return c.group.close() }

// Len returns the number of nodes, replicas included.
func (c *Cluster) Len() int { return len(c.group.nodes) }

// DSN returns the data source name for the driver with the addresses of all
// nodes, without credentials.
func (c *Cluster) DSN() string { return c.group.dsn(nil, c.group.nodes...) }

// UserDSN returns the data source name of all nodes with the credentials of the
// user of that name. For a name that is not in [Config.Users] the password is
// empty.
func (c *Cluster) UserDSN(name string) string {
	return c.group.dsn(c.group.user(name), c.group.nodes...)
}

// NodeDSN returns the data source name with the address of one node, without
// credentials.
func (c *Cluster) NodeDSN(i int) string { return c.group.dsn(nil, c.group.nodes[i]) }

// URL returns the base URL of a node, without a trailing slash:
// "http://127.0.0.1:PORT". It is where the node listens, whatever it advertises,
// and stays the same when the node is stopped and started.
func (c *Cluster) URL(i int) string { return c.group.nodes[i].url }

// CAFile returns the path of a PEM file with the certificate to trust, the same
// for all nodes, or "" without TLS. The file exists until Close.
func (c *Cluster) CAFile() string { return c.group.caFile }

// Leader returns the index of the leader, or -1 while there is none: it has been
// stopped, or an election is under way. A leader that is paused is the leader
// until there is another.
func (c *Cluster) Leader() int {
	g := c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leader == nobody || g.nodes[g.leader].life == nil {
		return nobody
	}
	return g.leader
}

// SetLeader makes node i the leader, at once; -1 makes the nodes know of no
// leader, as in an election. It fails for a node that cannot lead: a replica,
// one that is stopped or paused, or one without a majority of the voters.
func (c *Cluster) SetLeader(i int) error { return c.group.setLeader(i) }

// Stop stops node i as if its process were killed: its connections break, new
// ones are refused, and what it had queued is lost. It returns when the node's
// requests under way have ended, so nothing is applied afterwards.
//
// If the node was the leader, there is none: the other nodes go on to take it
// for the leader and fail to reach it until SetLeader or an election. If no
// majority of the voters is left, the leader steps down. A node that is stopped
// already is left alone.
func (c *Cluster) Stop(i int) error { return c.group.nodes[i].stop() }

// Start starts node i again, on the port it had, as a follower. It fails if
// somebody else has taken the port meanwhile. A node that runs is left alone.
func (c *Cluster) Start(i int) error { return c.group.nodes[i].start() }

// Pause stops node i in its tracks, as SIGSTOP does: connections are still
// made, but nothing is read or answered until [Cluster.Resume]. A node that is
// stopped is left alone, and for the others a node that is paused counts as gone.
func (c *Cluster) Pause(i int) { c.group.nodes[i].pause(true) }

// Resume lets node i go on. It then answers what it was sent while paused.
func (c *Cluster) Resume(i int) { c.group.nodes[i].pause(false) }

// Lag makes node i a follower that does not keep up: it goes on to answer reads
// of the level none from the database as it is now, and its last contact with
// the leader counts as being that long ago, so that a freshness below it is a
// stale read. 0 brings it up to date. A node that leads does not lag.
func (c *Cluster) Lag(i int, by time.Duration) error { return c.group.nodes[i].lagBehind(by) }

// Fail makes node i fail requests as f says. Of several faults that fit a
// request, the one that was given first happens.
func (c *Cluster) Fail(i int, f Fault) { c.group.nodes[i].faults.add(f) }

// Heal ends all faults of node i.
func (c *Cluster) Heal(i int) { c.group.nodes[i].faults.clear() }

// Requests returns the requests that node i has been sent, oldest first: the
// last 10,000 since the start or since [Cluster.ForgetRequests]. What another
// node forwards to it is not among them.
func (c *Cluster) Requests(i int) []Request { return c.group.nodes[i].journal.list() }

// ForgetRequests makes Requests start anew, on all nodes.
func (c *Cluster) ForgetRequests() {
	for _, n := range c.group.nodes {
		n.journal.clear()
	}
}
