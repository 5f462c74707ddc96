// Package conformance records rqlite's behaviour. It has requests and answers of rqlited as plain
// text, and a runner that checks a server against them. The runner checks the embedded server of
// package rqlitetest as well as real ones. That both pass makes the embedded server trustworthy.
//
// This is the form of the files in cases:
//
//	== name of a case
//	# a remark
//	POST /db/execute?transaction
//	Content-Type: text/plain
//	["INSERT INTO {t} VALUES(1)"]
//	-- 200
//	@X-Rqlite-Served-By: <any>
//	{"results":[{"last_insert_id":1,"rows_affected":1}]}
//
// By default an answer is that of all releases from 8.43.4 on. If releases answer differently,
// there are several answers, each with its releases. Each release must have exactly one:
//
//	POST /db/sql
//	["SELECT 1"]
//	-- 200 since 9.0.0
//	{"results":[{"original":"SELECT 1","rewritten":"SELECT 1"}]}
//	-- 404 before 9.0.0
//
// The word "exact" may stand before the releases. Some cases would harm a release, or are about
// something that it does not have. Such a case has a line below its name, with the releases that it
// runs on and the reason:
//
//	== reads of nothing but a comment
//	since 9.3.13: a read of nothing but a comment hangs the node before
//
// Both bounds are possible, as in "since 9.0.0 before 9.4.2". The release comes from
// X-Rqlite-Version; see [ReleaseOf].
//
// A case is a list of exchanges, separated by empty lines, which run in order. {t} stands for a
// name that no other table has. Objects with this name, or with names that begin with it, are
// dropped at the end. JSON is compared by value, but numbers by their digits: 1 is not 1.0. In an
// answer "<any>" matches every value, "<int>" an integer, "<number>" a number, "<text>" a string. A
// header with the value <none> must be absent. The body <ok> matches an answer of the database
// endpoints without any error, and <any> matches every body. With "exact" the body is compared as
// text.
//
// In the cases of a cluster a path goes to the follower, unless leader or replica stands before it.
// Placeholders stand for the names of the nodes: {leader-id}, {leader-url} and {leader-api} for the
// API with and without its scheme, {leader-raft}, and the same for the other nodes.
package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

//go:embed cases
var caseFiles embed.FS

// Options say how to reach the server. The zero value is usable.
type Options struct {
	// Client sends the requests; nil means a client that follows no redirects.
	Client *http.Client

	// Username and Password are sent with every request if Username is not "". The user needs the
	// permission "all".
	Username, Password string

	// Skip lists cases that are not run, as "file/name of a case", with the reason.
	Skip map[string]string

	// ReplicaURL is the base URL of a read-only node, for RunCluster. If it is "", the cases that
	// use a replica are skipped.
	ReplicaURL string
}

// Run runs every case against the server at baseURL, as subtests of t. baseURL has no trailing
// slash. In a cluster the server must be the leader: some cases read their own writes at level
// none. Nothing else may use the server meanwhile, because some answers depend on the previous
// write. The cases use tables of their own and drop them.
func Run(t *testing.T, baseURL string, opts Options) {
	t.Helper()
	newTarget(t, map[string]string{"": baseURL}, opts).runDir(t, "cases")
}

// RunCluster runs the cases about the answers of a follower and, where they depend on it, of the
// leader. The follower must be a voter. The nodes must be able to reach each other, and leadership
// must not change meanwhile; the cases do not change it. They use tables of their own and drop
// them.
func RunCluster(t *testing.T, leaderURL, followerURL string, opts Options) {
	t.Helper()
	s := newTarget(t, map[string]string{"": followerURL, "leader": leaderURL, "replica": opts.ReplicaURL}, opts)
	s.runDir(t, "cases/cluster")
}

// RunNoLeader runs the cases about the answers of a voter while there is no leader, not even one
// that was lost just now. They leave a queued read behind.
func RunNoLeader(t *testing.T, nodeURL string, opts Options) {
	t.Helper()
	newTarget(t, map[string]string{"": nodeURL}, opts).runDir(t, "cases/noleader")
}

// target is the server or cluster under test.
type target struct {
	urls    map[string]string // by the word before a path; "" is the default
	names   []string          // names of the nodes, as pairs for a strings.Replacer
	opts    Options
	release Release
}

func newTarget(t *testing.T, urls map[string]string, opts Options) *target {
	t.Helper()
	if opts.Client == nil {
		opts.Client = &http.Client{
			Transport:     &http.Transport{},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       time.Minute,
		}
		t.Cleanup(opts.Client.CloseIdleConnections)
	}
	s := &target{urls: urls, opts: opts}
	got, err := s.do(t.Context(), exchange{method: http.MethodGet, path: "/readyz"}, strings.NewReplacer())
	if err != nil {
		t.Fatalf("asking for the release: %v", err)
	}
	s.release = ReleaseOf(got.header.Get("X-Rqlite-Version"))
	return s
}

// runDir runs the cases of a directory.
func (s *target) runDir(t *testing.T, dir string) {
	t.Helper()
	files, err := parseFiles(caseFiles, dir)
	if err != nil {
		t.Fatal(err)
	}
	if dir != "cases" {
		s.learnNames(t)
	}
	for _, file := range files {
		t.Run(file.name, func(t *testing.T) {
			for _, c := range file.cases {
				t.Run(c.name, func(t *testing.T) {
					if reason, ok := s.opts.Skip[file.name+"/"+c.name]; ok {
						t.Skip(reason)
					}
					if !c.span.holds(s.release) {
						t.Skip(c.reason)
					}
					s.run(t, c)
				})
			}
		})
	}
}

// learnNames asks the nodes for their names.
func (s *target) learnNames(t *testing.T) {
	t.Helper()
	for role := range s.urls {
		if s.urls[role] == "" {
			continue
		}
		var id string
		s.getJSON(t, role+"/status?key=store.node_id", &id)
		var list map[string]struct {
			API  string `json:"api_addr"`
			Addr string `json:"addr"`
		}
		s.getJSON(t, role+"/nodes?nonvoters", &list)
		if role == "" {
			role = "follower"
		}
		_, api, _ := strings.Cut(list[id].API, "://")
		s.names = append(s.names, "{"+role+"-id}", id, "{"+role+"-url}", list[id].API,
			"{"+role+"-api}", api, "{"+role+"-raft}", list[id].Addr)
	}
}

func (s *target) getJSON(t *testing.T, path string, v any) {
	t.Helper()
	got, err := s.do(t.Context(), exchange{method: http.MethodGet, path: path}, strings.NewReplacer())
	if err == nil {
		err = json.Unmarshal([]byte(got.body), v)
	}
	if err != nil || got.status != http.StatusOK {
		t.Fatalf("%s: status %d, %v\n%s", path, got.status, err, got.body)
	}
}

func (s *target) run(t *testing.T, c testCase) {
	for _, x := range c.exchanges {
		if role, _, _ := strings.Cut(x.path, "/"); s.urls[role] == "" {
			t.Skip("no " + role + " to ask")
		}
	}
	table := uniqueName()
	names := strings.NewReplacer(append(s.names, "{t}", table)...)
	if slices.ContainsFunc(c.exchanges, func(x exchange) bool { return strings.Contains(x.body, "{t}") }) {
		defer s.dropAll(t, table)
	}
	for _, x := range c.exchanges {
		got, err := s.do(t.Context(), x, names)
		if err != nil {
			t.Fatalf("line %d: %s %s: %v", x.line, x.method, x.path, err)
		}
		if problem := x.on(s.release).compare(got, names); problem != "" {
			t.Errorf("line %d: %s %s\n%s\n%s\ngot status %d: %s", x.line, x.method, x.path,
				names.Replace(x.body), problem, got.status, got.body)
		}
	}
}

func uniqueName() string { return "conf_" + strings.ToLower(rand.Text()[:10]) }

// answer is the answer of a server.
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *target) do(ctx context.Context, x exchange, names *strings.Replacer) (answer, error) {
	role, path, _ := strings.Cut(x.path, "/")
	url, body := s.urls[role]+"/"+names.Replace(path), names.Replace(x.body)
	req, err := http.NewRequestWithContext(ctx, x.method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	for key, value := range x.header {
		req.Header.Set(key, value)
	}
	if s.opts.Username != "" {
		req.SetBasicAuth(s.opts.Username, s.opts.Password)
	}
	resp, err := s.opts.Client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// dropAll drops the objects of a case, and rolls back a transaction that it may have left open.
func (s *target) dropAll(t *testing.T, table string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	list := exchange{
		method: "POST", path: "/db/query?level=strong",
		body: `["SELECT type, name FROM sqlite_master WHERE type IN ('table','view') AND substr(name, 1, ` +
			fmt.Sprint(len(table)) + `) = '` + table + `'"]`,
	}
	names := strings.NewReplacer()
	got, err := s.do(ctx, list, names)
	if err != nil {
		t.Errorf("listing tables to drop: %v", err)
		return
	}
	var found struct {
		Results []struct{ Values [][]string }
	}
	if err := json.Unmarshal([]byte(got.body), &found); err != nil || len(found.Results) != 1 {
		t.Errorf("listing tables to drop: %s", got.body)
		return
	}
	var drops []string
	for _, row := range found.Results[0].Values {
		drops = append(drops, fmt.Sprintf(`DROP %s IF EXISTS "%s"`, row[0], row[1]))
	}
	if drops == nil {
		return
	}
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(drops); err != nil {
		t.Errorf("dropping tables: %v", err)
		return
	}
	got, err = s.do(ctx, exchange{method: "POST", path: "/db/execute", body: body.String()}, names)
	if err != nil || strings.Contains(got.body, `"error"`) {
		t.Errorf("dropping tables: %v %s", err, got.body)
	}
}
