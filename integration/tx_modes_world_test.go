package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-rqlite/rqlite"
	"github.com/stretchr/testify/require"
)

// direct gives requests to the handler of a server in this process, without a connection.
type direct struct {
	handler http.Handler
	count   *atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	d.count.Add(1)
	served := req.Clone(req.Context())
	served.RemoteAddr, served.RequestURI = "127.0.0.1:1", req.URL.RequestURI()
	if served.Body == nil {
		served.Body = http.NoBody
	}
	defer served.Body.Close()
	recorder := httptest.NewRecorder()
	d.handler.ServeHTTP(recorder, served)
	resp := recorder.Result()
	resp.Request = req
	return resp, nil
}

// modeTB is what both tests and fuzz tests are.
type modeTB interface {
	require.TestingT
	Helper()
	Cleanup(func())
	Context() context.Context
}

// modeWorld is an embedded server and SQLite, with the same tables. Programs run there one after
// the other.
type modeWorld struct {
	tb      modeTB
	dsn     string
	handler http.Handler
	oracle  *sql.DB
	rival   *sql.DB
	subject map[rqlite.TxMode]*modeSubject
	tally   map[string]int
	// shrinking says that a program is known to fail, and that a smaller one is looked for.
	shrinking bool
	// spoil changes what is wanted, nil for nothing.
	spoil func(*modeRun)
}

// modeSubject is the connector that programs in a mode use.
type modeSubject struct {
	db       *sql.DB
	requests atomic.Int64
}

// txModes are all modes.
var txModes = []rqlite.TxMode{rqlite.TxInteractive, rqlite.TxAuto, rqlite.TxPipelined}

// newModeWorld starts a server with tables.
func newModeWorld(tb modeTB, tables ...modeTable) *modeWorld {
	tb.Helper()
	w := &modeWorld{tb: tb, subject: map[rqlite.TxMode]*modeSubject{}, tally: map[string]int{}}
	c, err := startIntercepted(serverOptions{foreignKeys: true}, func(h http.Handler) http.Handler {
		w.handler = h
		return h
	})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, c.stop()) })
	w.dsn = c.dsn
	w.oracle, err = sql.Open("sqlite3", ":memory:?_foreign_keys=on")
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, w.oracle.Close()) })
	w.oracle.SetMaxOpenConns(1)
	w.rival = w.open(new(atomic.Int64))
	for _, mode := range txModes {
		w.subject[mode] = &modeSubject{}
	}
	schema := []string{"CREATE TABLE rivals (id INTEGER PRIMARY KEY AUTOINCREMENT, n)"}
	for _, m := range tables {
		schema = append(schema, m.schema)
	}
	w.everywhere(schema)
	return w
}

// open opens a database with a connector of its own, which counts its requests.
func (w *modeWorld) open(count *atomic.Int64) *sql.DB {
	cfg, err := rqlite.ParseDSN(w.dsn)
	require.NoError(w.tb, err)
	cfg.HTTPClient = &http.Client{Transport: direct{w.handler, count}}
	connector, err := rqlite.NewConnector(cfg)
	require.NoError(w.tb, err)
	db := sql.OpenDB(connector)
	w.tb.Cleanup(func() { db.Close() })
	return db
}

// renew gives the mode a connector that knows nothing.
func (s *modeSubject) renew(w *modeWorld) {
	if s.db != nil {
		s.db.Close()
	}
	s.db = w.open(&s.requests)
}

// raw sends statements without the driver. All have to succeed.
func (w *modeWorld) raw(path string, statements []string) (answer struct {
	Results []struct {
		Values [][]string
		Error  string
	}
},
) {
	w.tb.Helper()
	body, err := json.Marshal(statements)
	require.NoError(w.tb, err)
	req := httptest.NewRequestWithContext(w.tb.Context(), http.MethodPost, path, bytes.NewReader(body))
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, req)
	require.NoError(w.tb, json.Unmarshal(recorder.Body.Bytes(), &answer), recorder.Body.String())
	for _, result := range answer.Results {
		require.Empty(w.tb, result.Error, "%v", statements)
	}
	return answer
}

// everywhere runs statements on the server and on SQLite.
func (w *modeWorld) everywhere(statements []string) {
	w.tb.Helper()
	w.raw("/db/execute?transaction", statements)
	w.inOracle(statements)
}

func (w *modeWorld) inOracle(statements []string) {
	w.tb.Helper()
	_, err := w.oracle.ExecContext(w.tb.Context(), strings.Join(statements, ";\n"))
	require.NoError(w.tb, err)
}

// emptied returns the statements that give the program's tables their first rows.
func (p *modeProgram) emptied() []string {
	list := []string{"DELETE FROM sqlite_sequence"}
	for _, m := range p.tables {
		list = append(list, m.emptied()...)
	}
	return list
}

// contents returns the query for all that is in the program's tables.
func (p *modeProgram) contents() string {
	list := []string{"SELECT 'sequence ' || name || ' ' || seq AS line FROM sqlite_sequence WHERE name <> 'rivals'"}
	for _, m := range p.tables {
		for _, s := range m.stored {
			list = append(list, s.text())
		}
	}
	return strings.Join(list, " UNION ALL ")
}

// ofServer returns all that is in the program's tables on the server.
func (w *modeWorld) ofServer(contents string) []string {
	w.tb.Helper()
	answer := w.raw("/db/query?level=none", []string{contents})
	require.Len(w.tb, answer.Results, 1)
	var lines []string
	for _, row := range answer.Results[0].Values {
		lines = append(lines, row...)
	}
	slices.Sort(lines)
	return lines
}

// ofOracle returns all that is in the program's tables on SQLite.
func (w *modeWorld) ofOracle(contents string) []string {
	w.tb.Helper()
	lines, err := column(w.tb.Context(), w.oracle, contents)
	require.NoError(w.tb, err)
	slices.Sort(lines)
	return lines
}

// linesDiffer returns what is in one list alone, "" if they are equal.
func linesDiffer(want, got []string) string {
	if slices.Equal(want, got) {
		return ""
	}
	return fmt.Sprintf("only wanted: %q\n\tonly got: %q", missing(want, got), missing(got, want))
}
