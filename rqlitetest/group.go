package rqlitetest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// group is the shared state of the nodes of a cluster: the database, the accounts, and the leader.
// All nodes use the same database, so there is no log and no consensus.
type group struct {
	dir      string // has the database and the certificate
	caFile   string // "" without TLS
	tls      *tls.Config
	store    *store
	accounts accounts
	nodes    []*node // fixed after the start
	election time.Duration
	changes  *broadcaster // nil without CDC

	mu     sync.Mutex
	leader int         // the leader in the eyes of the nodes, or nobody
	last   int         // the last leader
	lost   time.Time   // since when no leader is up; zero if one is
	timer  *time.Timer // next step of an election; nil if none is running
	closed bool

	closeOnce sync.Once
	closeErr  error
}

// nobody means that there is no leader.
const nobody = -1

// startGroup starts a cluster with its first node as the leader. single is set for a Server, whose
// requests are not recorded.
func startGroup(cfg ClusterConfig, single bool) (_ *group, err error) {
	dir, err := os.MkdirTemp("", "rqlitetest-")
	if err != nil {
		return nil, fmt.Errorf("rqlite: no directory for the embedded server: %w", err)
	}
	g := &group{dir: dir, accounts: newAccounts(cfg.Users), election: cfg.ElectionTime, leader: nobody}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	var changes *capture
	if cfg.CDC != nil {
		if g.changes, err = newBroadcaster(*cfg.CDC, g.leaderUp); err != nil {
			return nil, err
		}
		changes = &capture{filter: cfg.CDC.TableFilter, rowIDsOnly: cfg.CDC.RowIDsOnly, emit: g.changes.add}
	}
	if g.store, err = openStore(filepath.Join(dir, "db.sqlite"), cfg.ForeignKeys, changes); err != nil {
		return nil, err
	}
	if cfg.TLS {
		g.caFile = filepath.Join(dir, "ca.pem")
		if g.tls, err = newTLSConfig(g.caFile); err != nil {
			return nil, err
		}
	}
	for i := range cfg.Nodes + cfg.Replicas {
		g.nodes = append(g.nodes, newNode(g, i, cfg, single))
	}
	for _, n := range g.nodes {
		if err := n.start(); err != nil {
			return nil, err
		}
	}
	return g, g.setLeader(0)
}

// close stops all nodes, waits for running requests, and removes the database.
func (g *group) close() error {
	g.closeOnce.Do(func() {
		g.mu.Lock()
		g.closed = true
		g.stopElection()
		g.mu.Unlock()
		if g.store != nil {
			g.store.cancel()
		}
		var errs []error
		for _, n := range g.nodes {
			errs = append(errs, n.stop(), n.lagBehind(0))
		}
		g.changes.close()
		if g.store != nil {
			g.store.close()
		}
		errs = append(errs, os.RemoveAll(g.dir))
		if err := errors.Join(errs...); err != nil {
			g.closeErr = fmt.Errorf("rqlite: closing the embedded server: %w", err)
		}
	})
	return g.closeErr
}

// dsn returns the data source name with the addresses of the nodes.
func (g *group) dsn(user *url.Userinfo, nodes ...*node) string {
	addrs := make([]string, len(nodes))
	for i, n := range nodes {
		addrs[i] = n.addr
	}
	u := url.URL{Scheme: "rqlite", Host: strings.Join(addrs, ","), User: user}
	if g.caFile != "" {
		u.Path = "/"
		u.RawQuery = url.Values{"tls": {"true"}, "tls_ca": {g.caFile}}.Encode()
	}
	return u.String()
}

// byID returns the node with an ID, or nil.
func (g *group) byID(id string) *node {
	for _, n := range g.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// leaderNode returns the leader in the eyes of the nodes, or nil.
func (g *group) leaderNode() *node {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leader == nobody {
		return nil
	}
	return g.nodes[g.leader]
}

// leaderUp returns the leader if it is up, else nil.
func (g *group) leaderUp() *node {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.leading()
}

// leading is leaderUp for callers that hold g.mu.
func (g *group) leading() *node {
	if g.leader == nobody || !g.nodes[g.leader].up() {
		return nil
	}
	return g.nodes[g.leader]
}

// sinceContact returns how long ago the followers last heard from a leader.
func (g *group) sinceContact() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lost.IsZero() {
		return 0
	}
	return time.Since(g.lost)
}

// quorum reports whether a majority of the voters is up. g.mu is held.
func (g *group) quorum() bool {
	up, voters := 0, 0
	for _, n := range g.nodes {
		if n.voter {
			voters++
			if n.up() {
				up++
			}
		}
	}
	return up > voters/2
}

// setLeader makes the node with an index the leader, or nobody.
func (g *group) setLeader(i int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i != nobody {
		if err := g.eligible(i); err != nil {
			return fmt.Errorf("rqlite: node %d of the embedded cluster cannot lead: %w", i, err)
		}
	}
	g.lead(i)
	return nil
}

// eligible returns an error if a node cannot lead. g.mu is held.
func (g *group) eligible(i int) error {
	switch {
	case i < 0 || i >= len(g.nodes):
		return fmt.Errorf("there are %d nodes, counted from 0", len(g.nodes))
	case !g.nodes[i].voter:
		return errors.New("it is a replica, make a voter the leader")
	case !g.nodes[i].up():
		return errors.New("it is stopped or paused, start or resume it first")
	case !g.quorum():
		return errors.New("no majority of the voters is up, start or resume others first")
	}
	return nil
}

// lead changes the leader. g.mu is held.
func (g *group) lead(i int) {
	g.stopElection()
	g.leader = i
	if i != nobody {
		g.last = i
	}
	g.settle()
}

// settle reacts to a node that came or went, and to a change of leadership. A leader without a
// majority steps down. If no leader is up, it begins an election, if the cluster has elections.
// g.mu is held.
func (g *group) settle() {
	defer func() { g.changes.leaderChanged(g.leading()) }()
	if g.leader != nobody && g.nodes[g.leader].up() && !g.quorum() {
		g.leader = nobody
	}
	if g.leader != nobody && g.nodes[g.leader].up() {
		g.lost = time.Time{}
		g.stopElection()
		return
	}
	if g.lost.IsZero() {
		g.lost = time.Now()
	}
	// In the first half of an election the nodes still believe in the lost leader. In the second
	// half they know of none.
	if g.election > 0 && g.timer == nil && !g.closed && (g.leader != nobody || g.quorum()) {
		g.timer = time.AfterFunc(g.election/2, g.elect)
	}
}

// elect takes the next step of an election.
func (g *group) elect() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer = nil
	switch {
	case g.closed || g.lost.IsZero():
	case g.leader != nobody:
		g.lead(nobody)
	default:
		if next := g.successor(); next != nobody {
			g.lead(next)
		}
	}
}

// stopElection ends an election without a result. g.mu is held.
func (g *group) stopElection() {
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
}

// successor returns the next node after the last leader that can lead. The last leader itself comes
// last. g.mu is held.
func (g *group) successor() int {
	for k := range g.nodes {
		if i := (g.last + 1 + k) % len(g.nodes); g.eligible(i) == nil {
			return i
		}
	}
	return nobody
}
