package rqlitetest

import (
	"encoding/json"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// nodeJSON describes a node in /nodes.
type nodeJSON struct {
	ID        string  `json:"id"`
	APIAddr   string  `json:"api_addr"`
	Addr      string  `json:"addr"`
	Version   string  `json:"version"`
	Voter     bool    `json:"voter"`
	Reachable bool    `json:"reachable"`
	Leader    bool    `json:"leader"`
	Time      float64 `json:"time"`
	TimeS     string  `json:"time_s"`
}

// nodes answers with an object by node ID, or, in version 2, with a list.
func (f *front) nodes(w http.ResponseWriter, _ *http.Request, p params) {
	start := time.Now()
	n := nodeJSON{
		ID: f.node.id, APIAddr: f.node.apiURL, Addr: f.node.raftAddr, Version: Version,
		Voter: true, Reachable: true, Leader: true,
	}
	took := time.Since(start)
	n.Time, n.TimeS = took.Seconds(), took.String()
	if p["ver"] == "2" {
		writeJSON(w, p, map[string][]nodeJSON{"nodes": {n}})
		return
	}
	writeJSON(w, p, map[string]nodeJSON{n.ID: n})
}

// ready answers in plain text, a line for each thing that is well.
func (f *front) ready(w http.ResponseWriter, _ *http.Request, p params) {
	lines := []string{"[+]node ok"}
	if !p.has("noleader") {
		lines = append(lines, "[+]leader ok", "[+]store ok")
		if p.has("sync") {
			lines = append(lines, "[+]sync ok")
		}
		lines = append(lines, "[+]db ok")
	}
	_, _ = w.Write([]byte(strings.Join(lines, "\n")))
}

// status answers with the part of rqlited's status that has a meaning here. The
// parameter key picks a member, with dots between the levels.
func (f *front) status(w http.ResponseWriter, _ *http.Request, p params) {
	now := time.Now()
	leader := map[string]any{"addr": f.node.raftAddr, "node_id": f.node.id}
	index := f.node.store.index.Load()
	all := map[string]any{
		"build": map[string]any{"version": Version},
		"http": map[string]any{
			"bind_addr": f.node.apiAddr,
			"auth":      enabled(f.accounts != nil),
			"cluster":   map[string]any{"api_addr": f.node.apiAddr, "https": onOff(f.https())},
			"tls":       map[string]any{"enabled": onOff(f.https())},
		},
		"node": map[string]any{
			"start_time": f.started, "current_time": now, "uptime": now.Sub(f.started).String(),
		},
		"os": map[string]any{"pid": os.Getpid(), "ppid": os.Getppid(), "page_size": os.Getpagesize()},
		"runtime": map[string]any{
			"GOARCH": runtime.GOARCH, "GOOS": runtime.GOOS, "GOMAXPROCS": runtime.GOMAXPROCS(0),
			"num_cpu": runtime.NumCPU(), "num_goroutine": runtime.NumGoroutine(), "version": runtime.Version(),
		},
		"store": map[string]any{
			"node_id": f.node.id, "addr": f.node.raftAddr, "leader": leader, "ready": true,
			"nodes":         []any{map[string]any{"id": f.node.id, "addr": f.node.raftAddr, "suffrage": "voter"}},
			"raft":          map[string]any{"state": "Leader", "voter": true, "applied_index": index, "commit_index": index},
			"fsm_index":     index,
			"sqlite3":       map[string]any{"version": sqlite3.SQLITE_VERSION},
			"apply_timeout": "10s",
		},
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

func (f *front) https() bool { return strings.HasPrefix(f.node.apiURL, "https:") }

// member returns the member of a JSON object that a path of names joined by
// dots leads to: {} when there is none, and the value itself when the path goes
// on beyond it.
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
