package rqlitetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

var (
	errNotLeader      = errors.New("not leader")
	errLeaderNotFound = errors.New("leader not found")
	errNotReady       = errors.New("store not ready")
	errStaleRead      = errors.New("stale read")
	errUnauthorized   = errors.New("unauthorized")
)

// call is a request that may need the leader, and then may be forwarded to it.
type call struct {
	// run runs the request on a node. If the request needs the leader and the node is not the
	// leader, it returns errNotLeader without any effect.
	run func(*node) error

	allowed  bool // the leader gives the requester permission
	timeout  time.Duration
	redirect bool   // redirect the requester to the leader instead of forwarding
	failed   string // prefix of the leader's error
}

// call makes a call of an HTTP request. The leader also checks the permissions.
func (f *front) call(r *http.Request, p params, run func(*node) error, perms ...string) call {
	return call{
		run: run, allowed: f.accounts.allow(r, perms...),
		timeout: p.duration("timeout", defaultTimeout), redirect: p.has("redirect"),
	}
}

// do runs a call on the node or, if needed, on the leader. It returns the address of the node that
// served it. Like the real server it returns the API address of this node, but the Raft address of
// another.
func (n *node) do(ctx context.Context, c call) (string, error) {
	err := c.run(n)
	if !errors.Is(err, errNotLeader) {
		return n.apiAddr, err
	}
	if c.redirect {
		return "", errNotLeader
	}
	leader := n.group.leaderNode()
	if leader == nil {
		return "", errLeaderNotFound
	}
	if err := leader.reach(ctx, c.timeout, n); err != nil {
		return "", err
	}
	if !c.allowed {
		return "", errUnauthorized
	}
	if err := c.run(leader); err != nil {
		return "", errors.New(c.failed + err.Error()) // only the text of a remote error arrives
	}
	return leader.raftAddr, nil
}

// reach waits until another node can talk to this one over their connection, at most for the
// timeout. Its errors are those that the other node gets from the network.
func (n *node) reach(ctx context.Context, timeout time.Duration, from *node) error {
	if n == from {
		return nil
	}
	l := n.alive()
	if l == nil {
		return fmt.Errorf("dial tcp %s: connect: connection refused", n.raftAddr)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch err := l.brake.wait(ctx.Done()); {
	case err == nil:
		return nil
	case ctx.Err() == nil:
		return errors.New("read protobuf length: EOF") // the node was stopped meanwhile
	default:
		return fmt.Errorf("read protobuf length: read tcp %s->%s: i/o timeout", from.raftAddr, n.raftAddr)
	}
}

// failed answers errors of do that have a status of their own. It returns false for others.
// operation names what the requester may not do.
func (f *front) failed(w http.ResponseWriter, r *http.Request, operation string, err error) bool {
	switch {
	case errors.Is(err, errNotLeader):
		f.redirect(w, r)
	case errors.Is(err, errLeaderNotFound):
		http.Error(w, errLeaderNotFound.Error(), http.StatusServiceUnavailable)
	case errors.Is(err, errUnauthorized):
		http.Error(w, "remote "+operation+" not authorized", http.StatusUnauthorized)
	default:
		return false
	}
	return true
}

// redirect redirects the requester to the leader. The node asks the leader for its address. It
// waits for the default timeout, whatever the timeout of the request is.
func (f *front) redirect(w http.ResponseWriter, r *http.Request) {
	leader := f.node.group.leaderNode()
	if leader == nil || leader.reach(r.Context(), defaultTimeout, f.node) != nil {
		http.Error(w, errLeaderNotFound.Error(), http.StatusInternalServerError)
		return
	}
	target := leader.apiURL + r.URL.Path
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	http.Redirect(w, r, target, http.StatusMovedPermanently)
}
