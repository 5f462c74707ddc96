package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	// membersEvery is how long knowledge of the members counts as fresh.
	membersEvery = 30 * time.Second
	// membersAgain is when the nodes are asked again if none has answered.
	membersAgain = 500 * time.Millisecond
	// membersWithin bounds the question for them.
	membersWithin = 5 * time.Second
	// maxMembers and maxMembersBody bound what the client reads of an answer.
	maxMembers     = 256
	maxMembersBody = 1 << 20
)

// Member is a node of the cluster, as the others know it
// (https://rqlite.io/docs/guides/monitoring-rqlite/#nodes-api).
type Member struct {
	ID        string `json:"id"`
	APIAddr   string `json:"api_addr"` // URL of its HTTP API
	Addr      string `json:"addr"`     // its Raft address
	Version   string `json:"version"`
	Voter     bool   `json:"voter"`
	Reachable bool   `json:"reachable"`
	Leader    bool   `json:"leader"`
	Error     string `json:"error"`
}

// Members asks a node for the nodes of the cluster, including read-only ones.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	_, members, err := c.members(ctx)
	if err != nil {
		return nil, err
	}
	return members, nil
}

// members also returns the node that answered.
func (c *Client) members(ctx context.Context) (*node, []Member, *Error) {
	node, resp, failure := c.do(ctx, &Call{Method: http.MethodGet, Path: "/nodes", Params: "nonvoters&ver=2"})
	if failure != nil {
		return nil, nil, failure
	}
	defer resp.Close()
	members, err := readMembers(io.LimitReader(resp, maxMembersBody))
	if err != nil {
		return nil, nil, &Error{Outcome: Refused, Node: node.host, Status: http.StatusOK, Err: fmt.Errorf("the list of nodes cannot be read: %w", err)}
	}
	return node, members, nil
}

// readMembers demands the list, which may be null. A document without it is the older form, of a
// node that does not know "ver", or no answer to this question.
func readMembers(r io.Reader) ([]Member, error) {
	var answer struct {
		Nodes json.RawMessage `json:"nodes"`
	}
	if err := json.NewDecoder(r).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Nodes == nil {
		return nil, errors.New(`it is not there: "nodes" is missing`)
	}
	var members []Member
	err := json.Unmarshal(answer.Nodes, &members)
	return members, err
}

// refresh asks for the members in the background, if the knowledge of them is old and nobody else
// is asking. If they do not answer, their known releases stay: an upgrade only makes them later.
func (c *Client) refresh() {
	now := time.Now().UnixNano()
	due := c.routes.membersDue.Load()
	if now < due || !c.routes.membersDue.CompareAndSwap(due, now+int64(membersEvery)) {
		return
	}
	asking := c.lowest.ask()
	go func() {
		asked := time.Now()
		ctx, cancel := context.WithTimeout(c.closing, membersWithin)
		defer cancel()
		from, members, err := c.members(ctx)
		failing := c.routes.membersFailing.Swap(err != nil)
		switch {
		case c.closing.Err() != nil:
		case err != nil && c.cfg.Members && !failing:
			c.cfg.Logger.Warn("rqlite: the members of the cluster are not known", "error", err)
		case err != nil:
			c.cfg.Logger.Debug("rqlite: the releases of the nodes are not known", "error", err)
		default:
			c.lowest.learn(members, asked)
			if c.cfg.Members {
				c.routes.setMembers(from, members)
			}
		}
		if err != nil && (err.Status == 0 || err.Status >= http.StatusInternalServerError) {
			c.routes.membersDue.Store(time.Now().Add(membersAgain).UnixNano())
		}
		close(asking)
		if c.closing.Err() != nil {
			c.closeIdle() // the connection of this request
		}
	}()
}

// setMembers stores the members that from named.
func (r *routes) setMembers(from *node, members []Member) {
	nodes := append([]*node(nil), r.hosts...)
	for _, m := range members[:min(len(members), maxMembers)] {
		u, err := url.Parse(m.APIAddr)
		if err != nil || u.Host == "" || u.Scheme != r.cfg.Scheme || !m.Reachable {
			continue // also an address that would downgrade https
		}
		n := r.node(u.Scheme, u.Host, r.trusts(from, u))
		if slices.Contains(nodes, n) || r.cfg.User != "" && n.header["Authorization"] == nil {
			continue
		}
		nodes = append(nodes, n)
	}
	r.all.Store(&nodes)
	r.cfg.Logger.Debug("rqlite: members of the cluster learned", "nodes", len(nodes))
}
