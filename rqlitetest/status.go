package rqlitetest

import (
	"encoding/json"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// nodeJSON describes a node in /nodes and /leader. If the node cannot be reached, the error says
// why.
type nodeJSON struct {
	ID        string  `json:"id"`
	APIAddr   string  `json:"api_addr,omitempty"`
	Addr      string  `json:"addr"`
	Version   string  `json:"version"`
	Voter     bool    `json:"voter"`
	Reachable bool    `json:"reachable"`
	Leader    bool    `json:"leader"`
	Time      float64 `json:"time,omitempty"`
	TimeS     string  `json:"time_s,omitempty"`
	Error     string  `json:"error,omitempty"`
}

// nodes answers with an object by node ID or, in version 2, with a list.
func (f *front) nodes(w http.ResponseWriter, r *http.Request, p params) {
	var list []nodeJSON
	for _, n := range f.node.group.nodes {
		if n.voter || p.has("nonvoters") {
			list = append(list, nodeJSON{ID: n.id})
		}
	}
	var group sync.WaitGroup
	for i := range list {
		group.Go(func() {
			other := f.node.group.byID(list[i].ID)
			list[i] = f.node.ask(r.Context(), other, p.duration("timeout", defaultTimeout))
		})
	}
	group.Wait()
	if p["ver"] == "2" {
		writeJSON(w, p, map[string][]nodeJSON{"nodes": list})
		return
	}
	byID := make(map[string]nodeJSON, len(list))
	for _, n := range list {
		byID[n.ID] = n
	}
	writeJSON(w, p, byID)
}

// ready answers in plain text. It has a line for each check that passes, and one for the first that
// fails.
func (f *front) ready(w http.ResponseWriter, r *http.Request, p params) {
	lines := []string{"[+]node ok"}
	if !p.has("noleader") {
		leader := f.node.group.leaderNode()
		if leader == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(lines[0] + "\n[+]leader does not exist"))
			return
		}
		if err := leader.reach(r.Context(), p.duration("timeout", defaultTimeout), f.node); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(lines[0] + "\n[+]leader not contactable: " + err.Error()))
			return
		}
		lines = append(lines, "[+]leader ok", "[+]store ok")
		if p.has("sync") {
			lines = append(lines, "[+]sync ok")
		}
		lines = append(lines, "[+]db ok")
	}
	_, _ = w.Write([]byte(strings.Join(lines, "\n")))
}

// status answers with the part of rqlited's status that makes sense here. The parameter key selects
// a member by a path with dots.
func (f *front) status(w http.ResponseWriter, _ *http.Request, p params) {
	now := time.Now()
	n := f.node
	all := map[string]any{
		"build": map[string]any{"version": Version},
		"http": map[string]any{
			"bind_addr": n.addr,
			"auth":      enabled(f.accounts != nil),
			"cluster":   map[string]any{"local_node_addr": n.raftAddr, "timeout": defaultTimeout.String()},
			"tls":       map[string]any{"enabled": onOff(n.cfg.TLS)},
		},
		"node": map[string]any{
			"start_time": f.started, "current_time": now, "uptime": now.Sub(f.started).String(),
		},
		"os": map[string]any{"pid": os.Getpid(), "ppid": os.Getppid(), "page_size": os.Getpagesize()},
		"runtime": map[string]any{
			"GOARCH": runtime.GOARCH, "GOOS": runtime.GOOS, "GOMAXPROCS": runtime.GOMAXPROCS(0),
			"num_cpu": runtime.NumCPU(), "num_goroutine": runtime.NumGoroutine(), "version": runtime.Version(),
		},
		"store": n.storeStatus(),
	}
	body, err := marshal(p, all)
	if err == nil {
		body, err = member(body, p["key"])
	}
	if err != nil {
		http.Error(w, "JSON marshal: "+err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(body)
}

// storeStatus is the part of the status about the database and the cluster.
func (n *node) storeStatus() map[string]any {
	leader, state := map[string]any{"addr": "", "node_id": ""}, "Follower"
	if l := n.group.leaderNode(); l != nil {
		leader["addr"], leader["node_id"] = l.raftAddr, l.id
		if l == n {
			state = "Leader"
		}
	} else if n.voter {
		state = "Candidate"
	}
	var nodes []any
	for _, other := range n.group.nodes {
		suffrage := "voter"
		if !other.voter {
			suffrage = "nonvoter"
		}
		nodes = append(nodes, map[string]any{"id": other.id, "addr": other.raftAddr, "suffrage": suffrage})
	}
	index := n.group.store.index.Load()
	return map[string]any{
		"node_id": n.id, "addr": n.raftAddr, "leader": leader, "ready": leader["node_id"] != "",
		"nodes":         nodes,
		"raft":          map[string]any{"state": state, "voter": n.voter, "applied_index": index, "commit_index": index},
		"fsm_index":     index,
		"sqlite3":       map[string]any{"version": sqlite3.SQLITE_VERSION},
		"apply_timeout": "10s",
	}
}

// member returns the member of a JSON object at a path of names joined by dots. It returns {} if
// there is none, and a value that is no object if the path goes on beyond it.
func member(body []byte, path string) ([]byte, error) {
	if path == "" {
		return body, nil
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	for _, name := range strings.Split(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			break
		}
		if v, ok = object[name]; !ok {
			return []byte("{}"), nil
		}
	}
	return json.Marshal(v)
}

func enabled(b bool) string {
	if b {
		return "enabled"
	}
	return "disabled"
}

func onOff(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
