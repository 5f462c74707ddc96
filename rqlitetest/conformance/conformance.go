// Package conformance holds what rqlite answers: conversations of requests and
// answers, recorded from rqlited and kept as plain text, and a runner that
// holds a server against them. It runs against the embedded server of package
// rqlitetest and against real ones; that both pass is what makes the embedded
// server worth having.
//
// The files in cases are read like this:
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
// A case is a list of exchanges, each separated from the next by an empty line,
// which run in order. {t} stands for a name that no other table has; what is
// named so, or begins with it, is dropped at the end. JSON is compared by
// value, but numbers by their digits: 1 is not 1.0. In an answer "<any>"
// matches every value, "<int>" an integer, "<number>" a number, "<text>" a
// string. A header of the value <none> must be absent. An answer whose body is
// the word <ok> is one of the database endpoints without any error in it.
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
	"strings"
	"testing"
	"time"
)

//go:embed cases/*.txt
var caseFiles embed.FS

// Options say how to reach the server.
type Options struct {
	// Client makes the requests; nil is a client that follows no redirect.
	Client *http.Client

	// Username and Password are sent with every request when Username is not
	// "". The user needs the permission "all".
	Username, Password string

	// Skip names cases, as "file/name of a case", that are not to be run, with
	// the reason.
	Skip map[string]string
}

// Run runs every case against the server at baseURL, which has no trailing
// slash, as subtests of t. In a cluster it has to be the leader: some cases read
// at the level none what they have just written. Nothing else may use the server
// meanwhile, because some answers depend on the write before. The cases work on
// tables of their own and leave none behind.
func Run(t *testing.T, baseURL string, opts Options) {
	t.Helper()
	files, err := parseFiles(caseFiles)
	if err != nil {
		t.Fatal(err)
	}
	if opts.Client == nil {
		opts.Client = &http.Client{
			Transport:     &http.Transport{},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       time.Minute,
		}
		t.Cleanup(opts.Client.CloseIdleConnections)
	}
	target := &target{base: baseURL, opts: opts}
	for _, file := range files {
		t.Run(file.name, func(t *testing.T) {
			for _, c := range file.cases {
				t.Run(c.name, func(t *testing.T) {
					if reason, ok := opts.Skip[file.name+"/"+c.name]; ok {
						t.Skip(reason)
					}
					target.run(t, c)
				})
			}
		})
	}
}

// target is the server under test.
type target struct {
	base string
	opts Options
}

func (s *target) run(t *testing.T, c testCase) {
	table := uniqueName()
	defer s.dropAll(t, table)
	for _, x := range c.exchanges {
		got, err := s.do(t.Context(), x, table)
		if err != nil {
			t.Fatalf("line %d: %s %s: %v", x.line, x.method, x.path, err)
		}
		if problem := x.compare(got, table); problem != "" {
			t.Errorf("line %d: %s %s\n%s\n%s\ngot status %d: %s", x.line, x.method, x.path,
				strings.ReplaceAll(x.body, placeholder, table), problem, got.status, got.body)
		}
	}
}

// placeholder stands for the unique name in the files.
const placeholder = "{t}"

func uniqueName() string { return "conf_" + strings.ToLower(rand.Text()[:10]) }

// answer is what a server answered.
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *target) do(ctx context.Context, x exchange, table string) (answer, error) {
	path := strings.ReplaceAll(x.path, placeholder, table)
	body := strings.ReplaceAll(x.body, placeholder, table)
	req, err := http.NewRequestWithContext(ctx, x.method, s.base+path, strings.NewReader(body))
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

// dropAll removes what a case has made, and the transaction it may have left
// open.
func (s *target) dropAll(t *testing.T, table string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	list := exchange{
		method: "POST", path: "/db/query?level=strong",
		body: `["SELECT type, name FROM sqlite_master WHERE type IN ('table','view') AND substr(name, 1, ` +
			fmt.Sprint(len(table)) + `) = '` + table + `'"]`,
	}
	got, err := s.do(ctx, list, table)
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
	got, err = s.do(ctx, exchange{method: "POST", path: "/db/execute", body: body.String()}, table)
	if err != nil || strings.Contains(got.body, `"error"`) {
		t.Errorf("dropping tables: %v %s", err, got.body)
	}
}
