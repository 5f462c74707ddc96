//go:build go1.25

package txn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestScripts runs the scripts of testdata. testdata/README.txt tells how they are written.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	for _, file := range files {
		if filepath.Base(file) == "README.txt" {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, part := range strings.Split("\n"+string(text), "\n== ")[1:] {
			name, script, _ := strings.Cut(part, "\n")
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { newScript(t).run(script) })
			})
		}
	}
}

// A commit that clears the version table never removes its own token, although some commits remove old ones.
func TestClearingCommitKeepsItsToken(t *testing.T) {
	t.Parallel()
	for range 8 * pruneEvery {
		synctest.Test(t, func(t *testing.T) {
			newScript(t).run("a begin\na exec DELETE FROM _rqlite_tx\nnext execute applied\na commit => ok\napplied => 1")
		})
		if t.Failed() {
			return
		}
	}
}

// failures match what a line gives that fails.
var failures = regexp.MustCompile("^(failed|error|conflict|indeterminate|cancelled|results changed)")

// script runs a script.
type script struct {
	t       *testing.T
	model   *model
	nodes   *nodes
	clients map[string]*client
	cancels map[string]context.CancelFunc
	owners  int
	stale   bool
	behind  int
	log     []string         // what was sent and not yet looked at
	hooks   map[int][]string // by how many requests from now on they run
	faults  []plannedFault
	looks   bool // the line gives the counts
}

// plannedFault is the fate of a request whose path has an end.
type plannedFault struct {
	path string
	what fault
}

func newScript(t *testing.T) *script {
	s := &script{
		t: t, model: newModel(t), nodes: new(nodes),
		clients: map[string]*client{}, cancels: map[string]context.CancelFunc{}, hooks: map[int][]string{},
	}
	s.model.now.data.kv = map[int64]int64{1: 10, 2: 20}
	s.model.past = nil
	s.model.publish()
	s.model.between = func(int) { s.beforeRequest() }
	s.model.sent = func(_ int, req *cluster.Request, texts []string) { s.note(req, texts) }
	s.model.choose = func(_ int, req *cluster.Request) (fault, int) { return s.fate(req) }
	s.model.node = func() int { return s.behind }
	return s
}

// run runs the lines of a script.
func (s *script) run(text string) {
	lines := strings.Split(text, "\n")
	for len(lines) > 0 {
		line := lines[0]
		lines = lines[1:]
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if line == "sent" {
			var want []string
			for len(lines) > 0 && strings.HasPrefix(lines[0], "  ") {
				want = append(want, strings.TrimSpace(lines[0]))
				lines = lines[1:]
			}
			assert.Equal(s.t, want, s.log)
			s.log = nil
			continue
		}
		command, want, checked := strings.Cut(line, " => ")
		s.looks = strings.Contains(want, " rows")
		got := s.line(command)
		if checked {
			require.Equal(s.t, want, got, line)
		} else {
			require.NotRegexp(s.t, failures, got, line)
		}
	}
	for _, c := range s.clients {
		if c.tx != nil {
			c.rollback()
		}
	}
	assert.Empty(s.t, s.faults, "a request that was to fail did not come")
	assert.Empty(s.t, s.hooks, "a request did not come")
}

// line runs a line, and returns what it gives.
func (s *script) line(line string) string {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "other":
		s.model.write(split(rest)...)
	case "silent":
		s.model.writeSilently(split(rest)...)
	case "half":
		parts := split(rest)
		s.model.writeHalf(parts[0], parts[1:]...)
	case "whole":
		s.model.finishHalf()
	case "drop":
		s.model.now.versions = nil
		s.model.publish()
	case "empty":
		clear(s.model.now.versions)
		s.model.publish()
	case "replace":
		s.model.replaceVersions(firstVersion + number(rest))
	case "forward":
		s.model.move("")
		row := s.model.now.versions[0]
		row.v += number(rest)
		s.model.now.versions[0] = row
	case "arrive":
		s.model.arrive()
	case "old":
		s.model.old, s.nodes.old = true, true
	case "triggers":
		s.model.triggers = true
	case "spare":
		s.model.spare = true
	case "forwarding":
		s.nodes.forwarding = true
	case "stale":
		s.stale = true
		s.behind, _ = strconv.Atoi(rest)
	case "at":
		n, command, _ := strings.Cut(rest, " ")
		s.hooks[int(number(n))] = append(s.hooks[int(number(n))], command)
	case "next":
		path, what, _ := strings.Cut(rest, " ")
		s.faults = append(s.faults, plannedFault{path, faultNames[what]})
	case "data":
		return s.model.now.data.String()
	case "applied":
		return strconv.Itoa(len(s.model.done))
	case "version":
		return s.normal(strconv.FormatInt(s.model.now.versions[0].v, 10))
	case "tokens":
		return s.tokens()
	default:
		return s.act(word, rest)
	}
	return ""
}

var faultNames = map[string]fault{"fine": fine, "lost": lost, "applied": applied, "late": late, "twice": twice, "cut": cut}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "; ")
}

// tokens returns the versions that have tokens.
func (s *script) tokens() string {
	var have []string
	for k, row := range s.model.now.versions {
		if k > 0 {
			assert.NotEmpty(s.t, row.token)
			have = append(have, s.normal(strconv.FormatInt(k, 10)))
		}
	}
	slices.Sort(have)
	return strings.Join(have, " ")
}

// act lets a client do something.
func (s *script) act(name, line string) string {
	word, rest, _ := strings.Cut(line, " ")
	c := s.clients[name]
	if c == nil || word == "begin" {
		require.Equal(s.t, "begin", word, "the client has no transaction")
		return s.begin(name, strings.Fields(rest))
	}
	switch word {
	case "exec":
		return s.execs(c, atRowsLater, rest)
	case "id":
		return s.execs(c, atIDLater, rest)
	case "query":
		return s.queries(c, -1, false, rest)
	case "peek", "open":
		n, text, _ := strings.Cut(rest, " ")
		return s.queries(c, int(number(n)), word == "open", text)
	case "rest":
		seen := c.open.seen
		if err := c.readOn(); err != nil {
			return s.told(err)
		}
		return seen.told()
	case "batch", "atomic":
		first := len(c.steps)
		if err := c.batch(word == "atomic", split(rest)...); err != nil && (word == "atomic" || failureOf(err) == "") {
			return s.told(err)
		}
		var all []string
		for _, step := range c.steps[first:] {
			all = append(all, step.told())
		}
		return strings.Join(all, "; ")
	case "results":
		var all []string
		for _, step := range c.steps {
			all = append(all, step.told())
		}
		return strings.Join(all, "; ")
	case "cancel":
		s.cancels[name]()
		return ""
	case "rollback":
		c.rollback()
		return ""
	case "loop": // loop N exec … : runs it with the values 1, 2, … before the others
		return s.loops(name, rest)
	case "commit":
		err := c.commit()
		s.cancels[name]()
		return s.told(err)
	}
	s.t.Fatalf("there is no command %q", word)
	return ""
}

// loops runs a command with each of the values from 1 on at its end.
func (s *script) loops(name, line string) (got string) {
	n, command, _ := strings.Cut(line, " ")
	for i := range number(n) {
		got = s.act(name, fmt.Sprintf("%s %d", command, i+1))
	}
	return got
}

// begin begins the transaction of a client.
func (s *script) begin(name string, options []string) string {
	c := s.clients[name]
	if c == nil {
		from := &sender{model: s.model}
		c = newClient(s.t, newEnv(from, s.nodes, s.stale), from)
		s.clients[name] = c
	}
	s.owners++
	c.from.owner = s.owners
	ctx, cancel := context.WithCancel(context.Background())
	s.cancels[name] = cancel
	opts := Options{Ctx: ctx, Mode: Interactive}
	for _, option := range options {
		switch option {
		case "readonly":
			opts.ReadOnly = true
		case "readcommitted":
			opts.ReadCommitted = true
		case "auto":
			opts.Mode = Auto
		case "pipelined":
			opts.Mode = Pipelined
		case "immediate":
			opts.LockFirst = true
		case "again":
			opts.Run = &Run{Again: true}
		default: // it shares the connector of another client
			c.env.Versions = s.clients[option].env.Versions
		}
	}
	return s.told(c.begin(opts))
}

func (s *script) execs(c *client, at looks, text string) string {
	if s.looks {
		at -= atRowsLater - atRows
	}
	text, values := withValues(text)
	if err := c.exec(at, text, values...); err != nil {
		return s.told(err)
	}
	return c.steps[len(c.steps)-1].told()
}

func (s *script) queries(c *client, most int, keep bool, text string) string {
	text, values := withValues(text)
	if err := c.query(most, keep, text, values...); err != nil {
		return s.told(err)
	}
	return c.steps[len(c.steps)-1].told()
}

// withValues returns the values that stand behind a text, and an arrow.
func withValues(line string) (text string, values []any) {
	text, list, _ := strings.Cut(line, " <- ")
	for _, v := range strings.Fields(list) {
		values = append(values, number(v))
	}
	return text, values
}

// told returns what a program saw of a step.
func (s *step) told() string {
	switch {
	case s.failure != "":
		return "failed: " + s.failure
	case s.begun:
		text := strings.TrimSpace(strings.ReplaceAll(fmt.Sprint(s.rows), "] [", " | "))
		text = strings.Trim(text, "[]")
		if text == "" {
			text = "none"
		}
		if !s.ended {
			text += " …"
		}
		return text
	case s.asked:
		return fmt.Sprintf("%d rows, id %d", s.changes, s.id)
	case s.counted:
		return fmt.Sprintf("%d rows", s.changes)
	}
	return "ok"
}

// told returns what an error is.
func (s *script) told(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, sqlerr.ErrIndeterminate):
		return "indeterminate"
	case errors.Is(err, sqlerr.ErrResultsChanged):
		return "results changed"
	case errors.Is(err, sqlerr.ErrTxConflict):
		return s.conflict(err)
	case errors.Is(err, context.Canceled) && strings.HasSuffix(err.Error(), ": the commit was not applied, nor will it be"):
		return "cancelled, not applied"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case failureOf(err) != "":
		return "failed: " + failureOf(err)
	}
	return "error: " + strings.TrimPrefix(err.Error(), "rqlite: ")
}

// conflict returns which conflict an error is.
func (s *script) conflict(err error) string {
	var failure *sqlerr.Error
	require.ErrorAs(s.t, err, &failure)
	for _, message := range toyFailures {
		if rest, ok := strings.CutPrefix(failure.Message, message+" (execution "); ok {
			n, _, _ := strings.Cut(rest, " ")
			return "conflict: execution " + n + ": " + message
		}
	}
	if rest, ok := strings.CutPrefix(failure.Message, "an id that the program was told"); ok {
		return "conflict: an id" + rest[:strings.Index(rest, " of an INSERT")]
	}
	return "conflict"
}

// beforeRequest does what is to be done before the next request.
func (s *script) beforeRequest() {
	later := map[int][]string{}
	for n, commands := range s.hooks {
		later[n-1] = commands
	}
	now := later[0]
	delete(later, 0)
	s.hooks = later
	for _, command := range now {
		s.line(command)
	}
}

// fate returns what becomes of a request.
func (s *script) fate(req *cluster.Request) (fault, int) {
	if len(s.faults) == 0 || !strings.HasSuffix(req.Path, "/"+s.faults[0].path) {
		return fine, 0
	}
	what := s.faults[0].what
	s.faults = s.faults[1:]
	return what, len(`{"results":[`)
}

// note writes down a request. The removal of old tokens, which comes at random, is left out.
func (s *script) note(req *cluster.Request, texts []string) {
	texts = slices.DeleteFunc(slices.Clone(texts), pruneSent.MatchString)
	line := strings.TrimPrefix(req.Path, "/db/") + " " + req.Params + ": " + strings.Join(texts, "; ")
	s.log = append(s.log, s.normal(line))
}

var (
	versionsShown = regexp.MustCompile(`\b[23]\d{18}\b`)
	statesShown   = regexp.MustCompile(strings.Replace(regexp.QuoteMeta(occ.StateText(1)), `k=1\)`, `k=([^)]+)\)`, 1))
	tokensShown   = regexp.MustCompile(`'[A-Z2-7]{26}'`)
)

// normal returns a text with names for versions and tokens, and for what the driver always sends alike.
func (s *script) normal(text string) string {
	text = versionsShown.ReplaceAllStringFunc(text, func(version string) string {
		switch n := number(version) - firstVersion; {
		case n == 0:
			return "V"
		case n > 0 && n < 1_000_000:
			return fmt.Sprintf("V+%d", n)
		}
		return "NEW"
	})
	text = tokensShown.ReplaceAllString(text, "TOKEN")
	text = statesShown.ReplaceAllString(text, "STATE($1)")
	return strings.NewReplacer(
		speculationText, "TRY", guardedProbeText, "GUARDED", probeText, "PROBE", fuseGuard("KV"), "GUARD", fuseGuard("ITEM"), "GUARD", "SELECT abs(-9223372036854775808)", "ABORT",
		"INSERT INTO _rqlite_tx(k,token) SELECT CASE (SELECT v FROM _rqlite_tx WHERE k=0) WHEN", "IF", " ELSE 'stale' END,TOKEN", " TOKEN",
	).Replace(text)
}
