package rqlitetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// leader returns the leader, or makes it step down. A node that does not lead passes the step-down
// on only if the requester waits for it.
func (f *front) leader(w http.ResponseWriter, r *http.Request, p params) {
	if r.Method == http.MethodGet {
		leader := f.node.group.leaderNode()
		if leader == nil {
			http.Error(w, errLeaderNotFound.Error(), http.StatusServiceUnavailable)
			return
		}
		writeJSON(w, p, f.node.ask(r.Context(), leader, p.duration("timeout", defaultTimeout)))
		return
	}
	var target struct{ ID string }
	if r.Header.Get("Content-Type") == "application/json" && r.ContentLength > 0 {
		if err := json.NewDecoder(r.Body).Decode(&target); err != nil {
			http.Error(w, "invalid JSON: "+err.Error(), http.StatusBadRequest)
			return
		}
	}
	served, err := f.node.do(r.Context(), f.call(r, p, func(n *node) error {
		return n.stepDown(target.ID, p.has("wait"))
	}, "leader-ops"))
	if f.failed(w, r, "stepdown", err) {
		return
	}
	if err != nil {
		http.Error(w, "stepdown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set(servedBy, served)
}

// stepDown hands leadership from this node to the one with an ID, or to any other for "". Without
// wait, failures of the transfer are not reported.
func (n *node) stepDown(id string, wait bool) error {
	g := n.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if id != "" && g.leader != nobody && g.nodes[g.leader].id == id {
		return errors.New("cannot step down to the current Leader")
	}
	target := g.byID(id)
	if id != "" && target == nil {
		return errors.New("node not found in cluster")
	}
	if err := g.transfer(n, target); wait {
		return err
	}
	return nil
}

// transfer hands leadership to a node, or to any for nil. g.mu is held.
func (g *group) transfer(from, to *node) error {
	switch {
	case to == from:
		return errors.New("cannot transfer leadership to itself")
	case g.leader != from.index:
		return errNotLeader
	case to != nil && !to.up():
		return fmt.Errorf("failed to make TimeoutNow RPC to %s: dial tcp %s: connect: connection refused", to.id, to.raftAddr)
	case to != nil && !to.voter: // it cannot lead, so there is no leader until the next election
		g.lead(nobody)
		return nil
	case to != nil:
		g.lead(to.index)
		return nil
	}
	if next := g.successor(); next != from.index {
		g.lead(next)
		return nil
	}
	return errors.New("cannot find peer")
}

// ask asks another node about itself. It waits at most for the timeout; ctx need not have one.
func (n *node) ask(ctx context.Context, other *node, timeout time.Duration) nodeJSON {
	start := time.Now()
	out := nodeJSON{ID: other.id, Addr: other.raftAddr, Voter: other.voter}
	err := other.reach(ctx, timeout, n)
	took := time.Since(start)
	switch {
	case err != nil && took >= timeout:
		out.Error = "timeout waiting for node to respond"
	case err != nil:
		out.Error = err.Error()
	default:
		leader := n.group.leaderNode()
		out.APIAddr, out.Version, out.Reachable, out.Leader = other.apiURL, Version, true, leader == other
		out.Time, out.TimeS = took.Seconds(), took.String()
	}
	return out
}
