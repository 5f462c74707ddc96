package txn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/fuse"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/stretchr/testify/require"
)

// firstVersion is the version that a model begins with. It is in the middle of those that the driver
// gives a new version table, so that these may be lower, or higher.
const firstVersion = int64(1)<<61 + int64(1)<<59

// versionRow is a row of the version table. An empty token is NULL.
type versionRow struct {
	v     int64
	token string
}

// state is all that a node stores.
type state struct {
	versions map[int64]versionRow // nil without a version table
	data     *data
}

func (s *state) clone() *state {
	return &state{versions: maps.Clone(s.versions), data: s.data.clone()}
}

// fault is what becomes of a request besides being answered.
type fault uint8

const (
	fine    fault = iota
	lost          // it arrives nowhere
	applied       // it is carried out, and its answer is lost
	late          // it is carried out later, and its answer is lost
	twice         // it is carried out twice, and the second run is answered
	cut           // it is carried out, and its answer breaks off
)

// model is a server in memory, as far as transactions can tell. One goroutine uses it.
type model struct {
	t        testing.TB
	now      *state
	half     []string       // what is left of a write that is applied statement by statement
	past     []*state       // what requests could see, one after the other, the present last
	late     []*pending     // requests under way whose sender has given up
	done     []appliedWrite // commits that were applied
	old      bool           // rqlite before 9.4.2
	spare    bool           // what always fails does not
	triggers bool           // the tables have triggers, so that nothing can be fused
	lastRowid,
	lastChanges int64 // of the connection by which the server writes

	// between is called before each request, choose tells its fate, and sent sees it.
	between func(owner int)
	choose  func(owner int, req *cluster.Request) (what fault, cutAt int)
	sent    func(owner int, req *cluster.Request, texts []string)
	node    func() int // how far the node that answers a read is behind
}

// pending is a request under way.
type pending struct {
	owner int
	req   *cluster.Request
	texts []string
}

// appliedWrite is a commit that was applied.
type appliedWrite struct {
	owner         int
	before, after *data
}

func newModel(t testing.TB) *model {
	m := &model{
		t: t, now: &state{versions: map[int64]versionRow{0: {v: firstVersion}}, data: newData()},
		between: func(int) {},
		choose:  func(int, *cluster.Request) (fault, int) { return fine, 0 },
		sent:    func(int, *cluster.Request, []string) {},
		node:    func() int { return 0 },
	}
	m.publish()
	return m
}

// publish makes the present one of the states that requests can have seen.
func (m *model) publish() { m.past = append(m.past, m.now.clone()) }

// sender is the way of a transaction to the model. It is an occ.Sender.
type sender struct {
	model *model
	owner int // number of the transaction
}

// errLostAnswer is why there is no answer.
var errLostAnswer = errors.New("connection reset by peer")

// Send implements occ.Sender.
func (s *sender) Send(ctx context.Context, req *cluster.Request) (*cluster.Answer, error) {
	m := s.model
	m.between(s.owner)
	if err := ctx.Err(); err != nil {
		return nil, sqlerr.From(&cluster.Error{Outcome: cluster.Refused, Write: req.Write, Err: err})
	}
	require.Nil(m.t, req.Frame, "no request of a transaction has a frame")
	unknown := sqlerr.From(&cluster.Error{Outcome: cluster.Unknown, Write: req.Write, Err: errLostAnswer})
	what, cutAt := m.choose(s.owner, req)
	texts := textsOf(m.t, req.Body)
	m.sent(s.owner, req, texts)
	switch what {
	case lost:
		return nil, unknown
	case late:
		m.late = append(m.late, &pending{s.owner, req, texts})
		return nil, unknown
	case applied:
		m.serve(s.owner, req, texts)
		return nil, unknown
	case twice:
		m.serve(s.owner, req, texts)
		m.between(s.owner)
	case fine, cut:
	}
	document := m.serve(s.owner, req, texts)
	if what == cut {
		document = document[:cutAt%len(document)]
	}
	return cluster.NewAnswer(req, []byte(document)), nil
}

// arrive carries out a request that is late, if there is one.
func (m *model) arrive() {
	if len(m.late) > 0 {
		first := m.late[0]
		m.late = m.late[1:]
		m.serve(first.owner, first.req, first.texts)
	}
}

// textsOf returns the statements of a body, with their values, which are small numbers.
func textsOf(t testing.TB, body []byte) []string {
	var list []any
	require.NoError(t, json.Unmarshal(body, &list), string(body))
	texts := make([]string, len(list))
	for i, one := range list {
		switch one := one.(type) {
		case string:
			texts[i] = one
		case []any:
			texts[i] = inline(one[0].(string), one[1:])
		}
	}
	return texts
}

// serve carries out a request and returns the document of its answer.
func (m *model) serve(owner int, req *cluster.Request, texts []string) string {
	if req.Path == cluster.QueryPath {
		return m.serveQuery(req, texts)
	}
	m.finishHalf()
	require.True(m.t, req.Leader, "a write goes to the leader")
	before := m.now.clone()
	run := &run{
		model: m, onto: m.now, request: req.Path == cluster.RequestPath,
		parses: !strings.Contains(req.Params, "noparse"), transaction: strings.Contains(req.Params, cluster.Transaction),
	}
	for _, text := range texts {
		if run.statement(text); run.ended {
			break
		}
	}
	if run.ended {
		*m.now = *before
		return run.document()
	}
	if run.commits {
		m.done = append(m.done, appliedWrite{owner, before.data, m.now.data.clone()})
	}
	m.publish()
	return run.document()
}

// serveQuery carries out a request that reads, on a node that may be behind.
func (m *model) serveQuery(req *cluster.Request, texts []string) string {
	seen := m.now
	switch {
	case strings.Contains(req.Params, "level=strong"):
		m.finishHalf()
		seen = m.now
	case !req.Leader:
		if behind := m.node(); behind > 0 {
			seen = m.past[max(len(m.past)-1-behind, 0)]
		}
	}
	require.True(m.t, strings.Contains(req.Params, cluster.Transaction), "all statements see one snapshot")
	run := &run{model: m, onto: seen.clone(), query: true}
	for _, text := range texts {
		run.statement(text)
	}
	return run.document()
}

// write applies a write of another program. It moves the version, if there is one.
func (m *model) write(texts ...string) {
	m.finishHalf()
	m.move("")
	m.writeSilently(texts...)
}

// writeSilently applies a write of a program that does not know of the version.
func (m *model) writeSilently(texts ...string) {
	for _, text := range texts {
		_, ok := m.now.data.run(text)
		require.True(m.t, ok, text)
	}
	m.publish()
}

// writeHalf begins a write that is applied statement by statement.
func (m *model) writeHalf(first string, rest ...string) {
	m.finishHalf()
	m.move("~")
	m.now.data.run(first)
	m.half = rest
	if m.now.versions == nil {
		m.publish() // nothing hides what is half done
	}
}

// finishHalf ends a write that has begun.
func (m *model) finishHalf() {
	if m.half == nil {
		return
	}
	for _, text := range m.half {
		m.now.data.run(text)
	}
	m.half = nil
	if row, ok := m.now.versions[0]; ok {
		row.token = ""
		m.now.versions[0] = row
	}
	m.publish()
}

// move moves the version, if there is one.
func (m *model) move(mark string) {
	if row, ok := m.now.versions[0]; ok {
		m.now.versions[0] = versionRow{row.v + 1, mark}
	}
}

// replaceVersions puts another version table in the place of what was there.
func (m *model) replaceVersions(version int64) {
	m.finishHalf()
	m.now.versions = map[int64]versionRow{0: {v: version}}
	m.publish()
}

// run is one request that is carried out.
type run struct {
	model       *model
	onto        *state
	query       bool // /db/query
	request     bool // /db/request
	parses      bool // the server parses the statements
	transaction bool
	entries     []string
	commits     bool // it is the commit of a transaction
	ended       bool // the transaction was rolled back
}

func (r *run) document() string { return `{"results":[` + strings.Join(r.entries, ",") + `]}` }

// statement carries out one statement and adds its entry.
func (r *run) statement(text string) {
	var e effect
	own, known := r.driversOwn(text, &e)
	if !known {
		e, known = r.onto.data.run(text)
	}
	require.True(r.model.t, known, "the model does not know the statement %q", text)
	if own != "" {
		r.entries = append(r.entries, own)
		return
	}
	r.entry(text, e)
}

// entry adds the entry of a statement.
func (r *run) entry(text string, e effect) {
	m := r.model
	gives := e.columns != nil && (e.reads || r.parses)
	switch {
	case e.failure != "":
		r.entries = append(r.entries, `{"error":`+strconv.Quote(e.failure)+`}`)
		goesOn := !r.transaction || r.request && e.unfit || m.old && r.parses && strings.Contains(text, "RETURNING")
		r.ended = !goesOn
	case e.reads && (r.query || r.request):
		r.entries = append(r.entries, table(e.columns, e.rows))
	case e.reads:
		r.entries = append(r.entries, r.counts(m.lastChanges))
	default:
		if e.inserted != 0 {
			m.lastRowid = e.inserted
		}
		old := m.lastChanges
		if !e.schema {
			m.lastChanges = e.changes
		}
		switch {
		case gives:
			r.entries = append(r.entries, table(e.columns, e.rows))
		case e.columns != nil: // SQLite counts when the statement has ended, behind its rows
			r.entries = append(r.entries, r.counts(old))
		default:
			r.entries = append(r.entries, r.counts(m.lastChanges))
		}
	}
}

func (r *run) counts(changes int64) string {
	return fmt.Sprintf(`{"last_insert_id":%d,"rows_affected":%d}`, r.model.lastRowid, changes)
}

// table returns the entry of rows.
func table(columns []string, rows [][]int64) string {
	types := make([]string, len(columns))
	for i := range types {
		types[i] = "integer"
	}
	names, _ := json.Marshal(columns)
	kinds, _ := json.Marshal(types)
	if rows == nil {
		return fmt.Sprintf(`{"columns":%s,"types":%s}`, names, kinds)
	}
	values, _ := json.Marshal(rows)
	return fmt.Sprintf(`{"columns":%s,"types":%s,"values":%s}`, names, kinds, values)
}

// The statements of the driver that hold numbers or tokens.
var (
	stateSent    = pattern("SELECT v,(SELECT v FROM _rqlite_tx WHERE k=-1),(SELECT token FROM _rqlite_tx WHERE k=-1),token,(SELECT token FROM _rqlite_tx WHERE k=#) FROM _rqlite_tx WHERE k=0")
	commitSent   = regexp.MustCompile(`^INSERT INTO _rqlite_tx\(k,token\) SELECT CASE \(SELECT v FROM _rqlite_tx WHERE k=0\) WHEN (\d+) THEN (\d+) ELSE 'stale' END,'([A-Z2-7]+)'$`)
	movesSent    = pattern("UPDATE _rqlite_tx SET v=#,token=NULL WHERE k=0")
	clearedSent  = regexp.MustCompile(`^INSERT OR REPLACE INTO _rqlite_tx\(k,v,token\) VALUES\(0,(\d+),NULL\),\((\d+),NULL,'([A-Z2-7]+)'\)$`)
	announceSent = regexp.MustCompile(`^INSERT OR REPLACE INTO _rqlite_tx\(k,v,token\) VALUES\(-1,(\d+),'([A-Z2-7]+)'\)$`)
	silenceSent  = regexp.MustCompile(`^DELETE FROM _rqlite_tx WHERE k=-1 AND token='([A-Z2-7]+)'$`)
	pruneSent    = pattern("DELETE FROM _rqlite_tx WHERE k>0 AND k<(SELECT v FROM _rqlite_tx WHERE k=0)-#")
	firstSent    = pattern("INSERT INTO _rqlite_tx(k,v) SELECT 0,# WHERE NOT EXISTS(SELECT 1 FROM _rqlite_tx WHERE k=0)")
)

// driversOwn carries out a statement on the version table, or one that asks for counts. It returns its
// entry, or sets the effect that the entry is of.
func (r *run) driversOwn(text string, e *effect) (entry string, known bool) {
	switch text {
	case bind.Abort.Text:
		if *e = (effect{failure: bind.AbortSays, reads: true}); r.model.spare {
			*e = effect{reads: true, columns: []string{"1"}, rows: [][]int64{{1}}}
		}
		return "", true
	case bind.ResultProbe.Text:
		*e = effect{reads: true, columns: []string{"1"}, rows: [][]int64{{1}}}
		return "", true
	case probeText, guardedProbeText:
		if text == guardedProbeText && r.onto.versions[r.onto.versions[0].v+1].token != "s" {
			*e = effect{failure: bind.AbortSays, reads: true}
			return "", true
		}
		*e = effect{reads: true, columns: []string{"last_insert_rowid()", "changes()"}, rows: [][]int64{{r.model.lastRowid, r.model.lastChanges}}}
		return "", true
	case fuseGuard("KV"), fuseGuard("ITEM"):
		if *e = (effect{reads: true, columns: []string{"1"}, rows: [][]int64{{1}}}); r.model.triggers {
			*e = effect{failure: bind.AbortSays, reads: true}
		}
		return "", true
	case occ.CreateText:
		if r.onto.versions == nil {
			r.onto.versions = map[int64]versionRow{}
		}
		*e = effect{schema: true}
		return "", true
	}
	if !strings.Contains(text, occ.Table) {
		return "", false
	}
	if r.onto.versions == nil {
		*e = effect{failure: "no such table: " + occ.Table, unfit: true}
		return "", true
	}
	if part := stateSent.FindStringSubmatch(text); part != nil {
		return r.onto.told(number(part[1])), true
	}
	return "", r.onVersions(text, e)
}

// fuseGuard returns the guard of runs that insert into a table, with its value.
func fuseGuard(table string) string {
	run := fuse.Run{Given: &sqltext.GivenRows{Table: table}}
	guard := run.Guard()
	return inline(guard.Text, guard.Values)
}

// told returns the entry of the question for the state of the version table, and the token of a version.
func (s *state) told(version int64) string {
	columns := `{"columns":["v","a","b","token","t"],"types":["integer","integer","text","text","text"]`
	row, ok := s.versions[0]
	if !ok {
		return columns + "}"
	}
	text := func(token string) string {
		if token == "" {
			return "null"
		}
		return strconv.Quote(token)
	}
	hold := "null"
	announced, ok := s.versions[-1]
	if ok {
		hold = strconv.FormatInt(announced.v, 10)
	}
	return columns + fmt.Sprintf(`,"values":[[%d,%s,%s,%s,%s]]}`, row.v, hold, text(announced.token), text(row.token), text(s.versions[version].token))
}

// onVersions carries out a statement that changes the version table, which is there.
func (r *run) onVersions(text string, e *effect) (known bool) {
	rows := r.onto.versions
	row, exists := rows[0]
	find := func(sent *regexp.Regexp) []string { return sent.FindStringSubmatch(text) }
	switch text {
	case speculationText:
		if exists {
			*e = r.insertToken(row.v+1, "s")
		}
		return true
	case occ.MoveText:
		if exists {
			rows[0], e.changes = versionRow{v: row.v + 1}, 1
		}
		return true
	case "DELETE FROM _rqlite_tx":
		e.changes = int64(len(rows))
		clear(rows)
		return true
	case "DROP TABLE _rqlite_tx":
		r.onto.versions, e.schema = nil, true
		return true
	}
	if part := find(commitSent); part != nil {
		if r.commits = true; !exists || row.v != number(part[1]) {
			*e = effect{failure: occ.Stale}
		} else {
			*e = r.insertToken(number(part[2]), part[3])
		}
	} else if part := find(movesSent); part != nil {
		if exists {
			rows[0], e.changes = versionRow{v: number(part[1])}, 1
		}
	} else if part := find(clearedSent); part != nil {
		rows[0], rows[number(part[2])] = versionRow{v: number(part[1])}, versionRow{token: part[3]}
		*e = effect{changes: 2, inserted: number(part[2])}
	} else if part := find(announceSent); part != nil {
		rows[-1] = versionRow{number(part[1]), part[2]}
		*e = effect{changes: 1, inserted: -1}
	} else if part := find(silenceSent); part != nil {
		if rows[-1].token == part[1] {
			delete(rows, -1)
			e.changes = 1
		}
	} else if part := find(pruneSent); part != nil {
		maps.DeleteFunc(rows, func(k int64, _ versionRow) bool { return k > 0 && k < row.v-number(part[1]) })
	} else if part := find(firstSent); part != nil {
		if !exists {
			rows[0] = versionRow{v: number(part[1])}
			*e = effect{changes: 1}
		}
	} else {
		return false
	}
	return true
}

// insertToken inserts the token of a version.
func (r *run) insertToken(version int64, token string) effect {
	if _, taken := r.onto.versions[version]; taken {
		return effect{failure: "UNIQUE constraint failed: _rqlite_tx.k"}
	}
	r.onto.versions[version] = versionRow{token: token}
	return effect{changes: 1, inserted: version}
}

// nodes are the releases of a cluster. It is a Nodes.
type nodes struct {
	old, forwarding bool
}

func (n *nodes) LeaderSince(context.Context, cluster.Release) bool    { return !n.old }
func (n *nodes) AllSince(context.Context, cluster.Release, bool) bool { return !n.old }
func (n *nodes) LeaderTells() bool                                    { return true }
func (n *nodes) Forwarding() bool                                     { return n.forwarding }

// newEnv returns what the transactions of a program share. With stale, reads are for any node.
func newEnv(s *sender, n *nodes, stale bool) *Env {
	warn := func(err error) { require.NoError(s.model.t, err) }
	return &Env{
		Sender: s, Versions: occ.New(s, occ.Settings{Timeout: testTimeout, Warn: warn}), Nodes: n, Texts: new(sqltext.Texts),
		ReadParams: func(_ context.Context, _ bool, asks occ.Asks) (string, bool, error) {
			switch {
			case asks == occ.AsksLog:
				return cluster.BlobsAsArrays + "&noparse&level=strong", true, nil
			case stale && asks == occ.AsksAsSet:
				return cluster.BlobsAsArrays + "&noparse&level=none", false, nil
			}
			return cluster.BlobsAsArrays + "&noparse&level=weak", true, nil
		},
		Defaults:      func(context.Context, *bind.Stmt, []bind.Stmt) (*sqltext.Statement, error) { return nil, nil },
		SchemaChanged: func() {},
		Timeout:       testTimeout,
	}
}
