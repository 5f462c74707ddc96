package rqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/coalesce"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readServer answers reads, each with the text of the statement, and as if the node had worked on it
// for some time.
type readServer struct {
	entry  func(statement string) string                          // nil for the usual one
	refuse func(statements []string) (status int, message string) // nil for nothing

	mu       sync.Mutex
	hold     chan struct{} // requests wait for its end; nil lets them pass
	arrived  int
	requests []string // parameters and statements of each
}

const quickEntry = `{"columns":["s"],"types":["text"],"values":[[%q]],"time":2.5e-05}`

// RoundTrip implements http.RoundTripper.
func (s *readServer) RoundTrip(r *http.Request) (*http.Response, error) {
	var elements []any
	if err := json.NewDecoder(r.Body).Decode(&elements); err != nil {
		return nil, err
	}
	statements := make([]string, len(elements))
	for i, element := range elements {
		statements[i] = fmt.Sprint(element)
	}
	s.mu.Lock()
	s.requests = append(s.requests, r.URL.RawQuery+" "+strings.Join(statements, ","))
	hold := s.hold
	s.arrived++
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if s.refuse != nil {
		if status, message := s.refuse(statements); status != 0 {
			return &http.Response{StatusCode: status, Header: fromRqlite, Body: io.NopCloser(strings.NewReader(message))}, nil
		}
	}
	entries := make([]string, len(statements))
	for i, statement := range statements {
		entries[i] = fmt.Sprintf(quickEntry, statement)
		if s.entry != nil {
			entries[i] = s.entry(statement)
		}
	}
	return &http.Response{StatusCode: http.StatusOK, Header: fromRqlite, Body: io.NopCloser(strings.NewReader(results(entries...)))}, nil
}

// since returns the requests behind the first n.
func (s *readServer) since(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests[n:]...)
}

// open returns a database whose requests the server answers.
func (s *readServer) open(t *testing.T, change func(*Config)) (*sql.DB, *Connector) {
	t.Helper()
	cfg := &Config{Hosts: []string{"localhost"}, HTTPClient: &http.Client{Transport: s}, Discovery: DiscoveryOff}
	if change != nil {
		change(cfg)
	}
	connector, err := NewConnector(cfg)
	require.NoError(t, err)
	connector.engine.Reads = coalesce.NewReads(coalesce.Config{Client: connector.client, Patience: time.Hour})
	db := sql.OpenDB(connector)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db, connector
}

// readText reads the only value of a statement.
func readText(ctx context.Context, db *sql.DB, query string) (text string, err error) {
	err = db.QueryRowContext(ctx, query).Scan(&text)
	return text, err
}

// crowd holds all answers, and reads a text that the server has answered before until the next quick
// read has to wait. The function lets the answers go.
func (s *readServer) crowd(ctx context.Context, t *testing.T, db *sql.DB) (release func()) {
	t.Helper()
	const warm, places = "SELECT 'warm'", 4
	_, err := readText(ctx, db, warm)
	require.NoError(t, err)
	s.mu.Lock()
	s.hold = make(chan struct{})
	before := len(s.requests)
	s.mu.Unlock()
	var group sync.WaitGroup
	for range places {
		group.Add(1)
		go func() {
			defer group.Done()
			_, err := readText(ctx, db, warm)
			assert.NoError(t, err)
		}()
	}
	require.Eventually(t, func() bool { return len(s.since(before)) == places }, waitAtMost, time.Millisecond)
	return func() {
		s.mu.Lock()
		close(s.hold)
		s.hold = nil
		s.mu.Unlock()
		group.Wait()
	}
}

// do starts a read, and reports whether it waits for others. The read ends when wait returns.
func (s *readServer) do(t *testing.T, connector *Connector, read func() error) (waits bool, wait func() error) {
	t.Helper()
	joined, sent := connector.Stats().CoalescedReads, len(s.since(0))
	ended := make(chan error, 1)
	go func() { ended <- read() }()
	require.Eventually(t, func() bool {
		waits = connector.Stats().CoalescedReads > joined
		return waits || len(s.since(sent)) > 0
	}, waitAtMost, time.Millisecond)
	return waits, func() error { return <-ended }
}

const weakUnredirected = "blob_array&noparse&timings&level=weak"

// Quick and small SELECTs wait for others, and nothing else does.
func TestWhichReadsAreJoined(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	text := func(seconds string) string { return strings.Replace(quickEntry, "2.5e-05", seconds, 1) }
	tests := map[string]struct {
		query string
		ctx   context.Context
		entry string // of the answers; "" for a quick one
		fresh bool   // it was not read before
		waits bool
	}{
		"a SELECT":                       {query: "SELECT a FROM t", waits: true},
		"a SELECT *":                     {query: "SELECT * FROM t"}, // for others that look at the schema
		"VALUES":                         {query: "VALUES (1)", waits: true},
		"WITH":                           {query: "WITH c AS (SELECT 1) SELECT * FROM c WHERE 1", waits: false},
		"WITH without a star":            {query: "WITH c AS (SELECT 1 AS a) SELECT a FROM c", waits: true},
		"a new text":                     {query: "SELECT a FROM t", fresh: true},
		"a long text":                    {query: "SELECT '" + strings.Repeat("x", 4<<10) + "'"},
		"a slow one":                     {query: "SELECT a FROM t", entry: text("0.01")},
		"one of a millisecond":           {query: "SELECT a FROM t", entry: text("0.001"), waits: true},
		"one of an unknown time":         {query: "SELECT a FROM t", entry: text("null")},
		"a large one":                    {query: "SELECT a FROM t", entry: `{"columns":["s"],"types":["text"],"values":[["` + strings.Repeat("x", 64<<10) + `"]],"time":2.5e-05}`},
		"random()":                       {query: "SELECT random()"},
		"the time":                       {query: "SELECT CURRENT_TIMESTAMP"},
		"EXPLAIN":                        {query: "EXPLAIN SELECT 1"},
		"a PRAGMA":                       {query: "PRAGMA user_version"},
		"two statements":                 {query: "SELECT 1; SELECT 2"},
		"one that wants to go by itself": {query: "SELECT a FROM t", ctx: WithoutCoalescing(ctx)},
		"another level":                  {query: "SELECT a FROM t", ctx: WithConsistency(ctx, None)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &readServer{}
			s.entry = func(statement string) string {
				if tt.entry == "" || strings.Contains(statement, "warm") {
					return fmt.Sprintf(quickEntry, statement)
				}
				return strings.Replace(tt.entry, "%q", `"x"`, 1)
			}
			db, connector := s.open(t, nil)
			own := cmp.Or(tt.ctx, ctx)
			read := func() error { _, err := readText(own, db, tt.query); return err }
			if !tt.fresh {
				require.NoError(t, read())
			}
			release := s.crowd(ctx, t, db)
			waits, wait := s.do(t, connector, read)
			assert.Equal(t, tt.waits, waits)
			release()
			require.NoError(t, wait())
		})
	}
}

// A text is known to be quick however a program has read its rows.
func TestReadsAreJoinedHoweverRead(t *testing.T) {
	t.Parallel()
	const query = "SELECT a FROM t"
	toEnd := func(rows *sql.Rows) error {
		for rows.Next() {
		}
		return rows.Err()
	}
	rows := func(values string) string {
		return `{"columns":["a"],"types":["text"],"values":[` + values + `],"time":2.5e-05}`
	}
	for name, tt := range map[string]struct {
		entry string
		read  func(rows *sql.Rows) error
	}{
		"all rows, and the end": {rows(`["x"],["y"]`), toEnd},
		"all rows, but not the end": {rows(`["x"]`), func(rows *sql.Rows) error {
			rows.Next()
			return rows.Close()
		}},
		"some rows": {rows(`["x"],["y"],["z"]`), func(rows *sql.Rows) error {
			rows.Next()
			return rows.Close()
		}},
		"nothing": {rows(`["x"],["y"]`), (*sql.Rows).Close},
		"the next result set": {rows(`["x"],["y"]`), func(rows *sql.Rows) error {
			rows.NextResultSet()
			return rows.Err()
		}},
		"no rows":          {rows(""), toEnd},
		"no rows, no list": {`{"columns":["a"],"types":["text"],"time":2.5e-05}`, toEnd},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &readServer{entry: func(statement string) string {
				if strings.Contains(statement, "warm") {
					return fmt.Sprintf(quickEntry, statement)
				}
				return tt.entry
			}}
			db, connector := s.open(t, nil)
			read := func() error {
				rows, err := db.QueryContext(t.Context(), query)
				if err != nil {
					return err
				}
				defer rows.Close()
				return tt.read(rows)
			}
			require.NoError(t, read())
			release := s.crowd(t.Context(), t, db)
			waits, wait := s.do(t, connector, read)
			assert.True(t, waits)
			release()
			require.NoError(t, wait())
		})
	}
}

func TestReadsAreNotJoined(t *testing.T) {
	t.Parallel()
	s := &readServer{}
	db, connector := s.open(t, func(cfg *Config) { cfg.DisableCoalescing = true })
	require.NoError(t, func() error { _, err := readText(t.Context(), db, "SELECT 1"); return err }())
	release := s.crowd(t.Context(), t, db)
	waits, wait := s.do(t, connector, func() error { _, err := readText(t.Context(), db, "SELECT 1"); return err })
	assert.False(t, waits)
	release()
	require.NoError(t, wait())
}

// Each caller gets the rows or the error of its own statement, and its own deadline.
func TestJoinedReads(t *testing.T) {
	t.Parallel()
	dropped := false
	s := &readServer{entry: func(statement string) string {
		if dropped && statement == "SELECT gone" {
			return `{"error":"no such column: gone","time":1e-05}`
		}
		return fmt.Sprintf(quickEntry, statement)
	}}
	db, connector := s.open(t, nil)
	ctx := t.Context()
	for _, query := range []string{"SELECT 1", "SELECT 2", "SELECT gone"} {
		_, err := readText(ctx, db, query)
		require.NoError(t, err)
	}
	dropped = true
	release := s.crowd(ctx, t, db)
	n := len(s.since(0))
	soon, cancel := context.WithCancel(ctx)
	defer cancel()
	late, cancelLate := context.WithTimeout(ctx, time.Hour)
	defer cancelLate()
	waits, first := s.do(t, connector, func() error {
		text, err := readText(late, db, "SELECT 1")
		assert.Equal(t, "SELECT 1", text)
		return err
	})
	require.True(t, waits)
	_, second := s.do(t, connector, func() error {
		text, err := readText(late, db, "SELECT 2")
		assert.Equal(t, "SELECT 2", text)
		return err
	})
	waits, failed := s.do(t, connector, func() error { _, err := readText(late, db, "SELECT gone"); return err })
	require.True(t, waits)
	_, cancelled := s.do(t, connector, func() error { _, err := readText(soon, db, "SELECT 1"); return err })
	cancel()
	require.ErrorIs(t, cancelled(), context.Canceled)
	release()
	require.NoError(t, first())
	require.NoError(t, second())
	var own *Error
	require.ErrorAs(t, failed(), &own)
	assert.Equal(t, "no such column: gone", own.Message)
	assert.EqualValues(t, 4, connector.Stats().CoalescedReads)
	sent := s.since(n)
	require.Len(t, sent, 1)
	params, statements, _ := strings.Cut(sent[0], " ")
	assert.Equal(t, "SELECT 1,SELECT 2,SELECT gone", statements)
	assert.Regexp(t, "^"+weakUnredirected+"&db_timeout=3[0-9]{6}ms$", params)
}

// A request that fails as a whole costs those who are not to blame one request of their own. The text
// that is goes alone from then on.
func TestJoinedReadsThatCannotBeSent(t *testing.T) {
	t.Parallel()
	const infinite = "SELECT infinite"
	bad := false
	s := &readServer{refuse: func(statements []string) (int, string) {
		if bad && slices.Contains(statements, infinite) {
			return http.StatusInternalServerError, "json: unsupported value: +Inf"
		}
		return 0, ""
	}}
	db, connector := s.open(t, nil)
	ctx := t.Context()
	read := func(query string) func() error {
		return func() error { _, err := readText(ctx, db, query); return err }
	}
	require.NoError(t, read("SELECT 1")())
	require.NoError(t, read(infinite)())
	bad = true
	release := s.crowd(ctx, t, db)
	n := len(s.since(0))
	_, first := s.do(t, connector, read("SELECT 1"))
	waits, second := s.do(t, connector, read(infinite))
	require.True(t, waits)
	release()
	require.NoError(t, first())
	require.ErrorContains(t, second(), "unsupported value")
	params := weakUnredirected + " "
	assert.ElementsMatch(t, []string{params + "SELECT 1," + infinite, params + "SELECT 1", params + infinite}, s.since(n))

	release = s.crowd(ctx, t, db)
	waits, first = s.do(t, connector, read("SELECT 1"))
	assert.True(t, waits)
	waits, second = s.do(t, connector, read(infinite))
	assert.False(t, waits)
	release()
	require.NoError(t, first())
	require.Error(t, second())
}

// Behind a change of schema the reads of a request look at the schema once.
func TestJoinedReadsLookAtTheSchema(t *testing.T) {
	t.Parallel()
	s := &readServer{}
	db, connector := s.open(t, nil)
	ctx := t.Context()
	read := func(query string) func() error {
		return func() error {
			text, err := readText(ctx, db, query)
			assert.Equal(t, query, text)
			return err
		}
	}
	require.NoError(t, read("SELECT 1")())
	require.NoError(t, read("SELECT 2")())
	connector.engine.SchemaChanged()
	release := s.crowd(ctx, t, db)
	n := len(s.since(0))
	_, first := s.do(t, connector, read("SELECT 1"))
	waits, second := s.do(t, connector, read("SELECT 2"))
	require.True(t, waits)
	release()
	require.NoError(t, first())
	require.NoError(t, second())
	assert.Equal(t, []string{weakUnredirected + " SELECT 1 FROM sqlite_schema LIMIT 0,SELECT 1,SELECT 2"}, s.since(n))
}
