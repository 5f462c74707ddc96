package rqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endless is a step that is answered as often as it comes.
func endless(status int, reply string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(reply))
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, test := range []struct {
		name   string
		status int
		reply  string
		is     error // nil is success
	}{
		{"well", 200, results(one), nil},
		{"wrong password", 401, "", ErrUnauthorized},
		{"no such path", 404, "not found", &HTTPError{}},
		{"not rqlite", 200, "<html>", &HTTPError{}},
		{"an error of the statement", 200, results(`{"error":"disk I/O error"}`), IOError},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, step{path: cluster.QueryPath, params: weakRead, body: `["SELECT 1"]`, status: test.status, reply: test.reply})
			err := f.open("").PingContext(ctx)
			var answer *HTTPError
			switch {
			case test.is == nil:
				require.NoError(t, err)
			case errors.As(test.is, &answer):
				require.Error(t, err)
				assert.True(t, strings.HasPrefix(err.Error(), "rqlite: "+f.addr+": "), err.Error())
			default:
				require.ErrorIs(t, err, test.is)
			}
		})
	}
}

// Ping asks for the leader whatever the context says about reads.
func TestPingIgnoresReadOptions(t *testing.T) {
	t.Parallel()
	f := newFake(t, reads(`["SELECT 1"]`, results(one)), reads(`["SELECT 1"]`, results(one)))
	ctx := WithFreshness(WithConsistency(context.Background(), None), time.Second, true)
	require.NoError(t, f.open("level=none&freshness=1s").PingContext(ctx))
	require.NoError(t, f.open("level=strong").PingContext(context.Background()))
}

func TestNoLeader(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(endless(http.StatusServiceUnavailable, "leader not found"))
	t.Cleanup(server.Close)
	db, err := sql.Open("rqlite", "rqlite://"+server.Listener.Addr().String()+"/?timeout=150ms")
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec("DELETE FROM t")
	require.ErrorIs(t, err, ErrNoLeader)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, ErrIndeterminate)

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err = db.PingContext(ctx)
	require.ErrorIs(t, err, ErrNoLeader)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// A password is in no message, whatever goes wrong.
func TestCallsShowNoPassword(t *testing.T) {
	t.Parallel()
	const password = "s3cret"
	errs := []error{}
	for _, dsn := range []string{
		"rqlite://u:" + password + "@127.0.0.1:1/?timeout=20ms", // refuses connections
		"rqlite://u:" + password + "@127.0.0.1:1/?nonsense=1",
		"rqlite://u:" + password + "@a b/",
		"rqlite://u:" + password + "@host:99999999/",
		"rqlite://u:" + password + "%zz@host/",
	} {
		db, err := sql.Open("rqlite", dsn)
		if err == nil {
			err = db.Ping()
			require.NoError(t, db.Close())
		}
		errs = append(errs, err)
	}
	for _, answer := range []struct {
		status int
		reply  string
	}{{401, ""}, {500, "what"}, {200, "<html>"}, {301, ""}} {
		f := newFake(t, step{path: cluster.QueryPath, params: weakRead, status: answer.status, reply: answer.reply}, step{path: cluster.QueryPath, params: "*", status: 401, optional: true})
		db, err := sql.Open("rqlite", "rqlite://u:"+password+"@"+f.addr+"/?timeout="+soon.String())
		require.NoError(t, err)
		errs = append(errs, db.Ping())
		require.NoError(t, db.Close())
		user, got, ok := (&http.Request{Header: f.got()[0].header}).BasicAuth()
		assert.Equal(t, [3]any{"u", password, true}, [3]any{user, got, ok})
	}
	for _, err := range errs {
		require.Error(t, err)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), password)
	}
}

// What no server must see, or what makes no sense, is refused before anything is
// sent: the fake fails the test for every request.
func TestRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, test := range []struct {
		query string
		args  []any
		err   string
	}{
		{"BEGIN", nil, "BEGIN cannot be sent as a statement"},
		{"begin immediate", nil, "BEGIN cannot be sent as a statement"},
		{"/* a */ -- b\n bEgIn", nil, "BEGIN cannot be sent as a statement"},
		{"\ufeffBEGIN", nil, "BEGIN cannot be sent as a statement"},
		{"Commit", nil, "COMMIT cannot be sent as a statement"},
		{"END", nil, "END cannot be sent as a statement"},
		{"ROLLBACK", nil, "ROLLBACK cannot be sent as a statement"},
		{"SAVEPOINT a", nil, "SAVEPOINT cannot be sent as a statement"},
		{"release a", nil, "RELEASE cannot be sent as a statement"},
		{"SELECT 1; COMMIT", nil, "statement 2 of 2: COMMIT cannot be sent as a statement"},
		{"; BEGIN; SELECT 1", nil, "statement 1 of 2: BEGIN cannot be sent as a statement"},
		{"SELECT 'a", nil, "unterminated string"},
		{"SELECT 1\x00", nil, "NUL byte"},
		{"SELECT '\xff'", nil, "not UTF-8"},
		{"SELECT ?", nil, "too few values"},
		{"SELECT 1", []any{1}, "too many values"},
		{"SELECT :a", []any{sql.Named("b", 1)}, "no value is given"},
		{"SELECT ?", []any{"\xff"}, "parameter 1: the text is not valid UTF-8"},
		{"SELECT ?", []any{uint64(1 << 63)}, "high bit"},
	} {
		t.Run(test.query, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			db := f.open("")
			_, err := db.ExecContext(ctx, test.query, test.args...)
			require.ErrorContains(t, err, test.err)
			rows, err := db.QueryContext(ctx, test.query, test.args...)
			require.ErrorContains(t, err, test.err)
			require.Nil(t, rows)
			if !strings.Contains(test.err, "high bit") { // database/sql's own check
				assert.True(t, strings.HasPrefix(err.Error(), "rqlite: "), err.Error())
			}
			if len(test.args) == 0 && !strings.Contains(test.err, "values") {
				_, err = db.PrepareContext(ctx, test.query)
				require.ErrorContains(t, err, test.err)
			}
		})
	}
}

// A word that begins no statement is a syntax error when it is prepared, as SQLite has it, and
// without asking anyone.
func TestPrepareNoStatement(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := newFake(t).open("")
	for query, word := range map[string]string{
		"invalid sql":                "invalid",
		"/* select */ SELEC 1":       "SELEC",
		"größe":                      "größe",
		"where a = 1":                "where",
		"nothing; SELECT 1":          "nothing",
		"_x":                         "_x",
		"current_timestamp":          "current_timestamp",
		"explained SELECT 1":         "explained",
		"selectively; DROP TABLE t;": "selectively",
	} {
		_, err := db.PrepareContext(ctx, query)
		var failed *Error
		require.ErrorAs(t, err, &failed, query)
		assert.Equal(t, `near "`+word+`": syntax error`, failed.Message)
		assert.Equal(t, GenericError, failed.ExtendedCode)
		assert.Zero(t, failed.Statement)
	}
	for _, query := range []string{"", ";", "SELECT 1; invalid sql", "WITH a", "EXPLAIN invalid", "1 + 1", "(SELECT 1)", "VACUUM", "ANALYZE", "REINDEX"} {
		s, err := db.PrepareContext(ctx, query)
		require.NoError(t, err, query)
		require.NoError(t, s.Close())
	}
}

func TestEmptyStatementsSendNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, query := range []string{"", ";", " \n;;", "-- SELECT 1", "/* SELECT 1 */;", "\ufeff"} {
		f := newFake(t)
		db := f.open("")
		r, err := db.ExecContext(ctx, query)
		require.NoError(t, err)
		n, err := r.RowsAffected()
		require.NoError(t, err)
		assert.Zero(t, n)

		rows, err := db.QueryContext(ctx, query)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		assert.Empty(t, columns)
		assert.False(t, rows.Next())
		assert.False(t, rows.NextResultSet())
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := newFake(t).connect()
	s, err := c.Prepare("SELECT 1")
	require.NoError(t, err)
	assert.True(t, c.IsValid())
	require.NoError(t, c.ResetSession(ctx))
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	assert.False(t, c.IsValid())
	require.ErrorIs(t, c.ResetSession(ctx), driver.ErrBadConn)

	_, err = c.ExecContext(ctx, "DELETE FROM t", nil)
	require.ErrorIs(t, err, errClosed)
	_, err = c.QueryContext(ctx, "SELECT 1", nil)
	require.ErrorIs(t, err, errClosed)
	_, err = c.Prepare("SELECT 1")
	require.ErrorIs(t, err, errClosed)
	require.ErrorIs(t, c.Ping(ctx), errClosed)
	_, err = s.(*stmt).ExecContext(ctx, nil)
	require.ErrorIs(t, err, errClosed)

	require.NoError(t, c.connector.Close())
	_, err = c.connector.Connect(ctx)
	require.EqualError(t, err, "rqlite: the connector is closed")
}

func TestDriverOpen(t *testing.T) {
	t.Parallel()
	f := newFake(t, reads(`["SELECT 1"]`, results(one)))
	c, err := (&Driver{}).Open("rqlite://" + f.addr)
	require.NoError(t, err)
	require.NoError(t, c.(driver.Pinger).Ping(context.Background()))
	connector := c.(lone).connector
	assert.IsType(t, &Driver{}, connector.Driver())
	require.NoError(t, c.Close(), "it closes the connector, or its HTTP connection is left open")
	_, err = connector.Connect(context.Background())
	require.Error(t, err)

	for _, dsn := range []string{"mysql://host", "rqlite://h/?tls=true&tls_ca=/does/not/exist"} {
		_, err := (&Driver{}).Open(dsn)
		require.Error(t, err, dsn)
	}
	connector, err = NewConnector(nil)
	require.NoError(t, err)
	require.NoError(t, connector.Close())
}

// A client of the program's own carries the requests, and follows no redirect
// even where it would.
func TestHTTPClient(t *testing.T) {
	t.Parallel()
	leader := newFake(t, writes(`["DELETE FROM t"]`, results(`{"rows_affected":3}`)))
	follower := newFake(t, step{path: cluster.ExecutePath, params: plainWrite, body: `["DELETE FROM t"]`, serve: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+leader.addr+cluster.ExecutePath, http.StatusMovedPermanently)
	}})
	client := &http.Client{Transport: &http.Transport{}}
	connector, err := NewConnector(&Config{Hosts: []string{follower.addr}, HTTPClient: client, DisableTxVersion: true})
	require.NoError(t, err)
	assert.Nil(t, client.CheckRedirect, "the program's client is left as it is")
	db := sql.OpenDB(connector)
	r, err := db.Exec("DELETE FROM t")
	require.NoError(t, err)
	n, err := r.RowsAffected()
	require.NoError(t, err)
	assert.EqualValues(t, 3, n)
	require.NoError(t, db.Close())
	client.CloseIdleConnections()
}

// The parameters of the URL are those of the DSN and of the context.
func TestReadParams(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, test := range []struct {
		options string
		ctx     context.Context
		params  string
	}{
		{"", ctx, "blob_array&noparse&timings&level=weak&redirect"},
		{"level=strong", ctx, "blob_array&noparse&timings&level=strong&redirect"},
		{"level=none", ctx, "blob_array&noparse&timings&level=none"},
		{"level=auto", ctx, "blob_array&noparse&timings&level=auto"},
		{"level=none&freshness=1s", ctx, "blob_array&noparse&timings&level=none&freshness=1s"},
		{"level=auto&freshness=1500ms&freshness_strict=true", ctx, "blob_array&noparse&timings&level=auto&freshness=1.5s&freshness_strict"},
		{"level=linearizable&linearizable_timeout=250ms", ctx, "blob_array&noparse&timings&level=linearizable&linearizable_timeout=250ms&redirect"},
		{"level=none&freshness=1s", WithConsistency(ctx, Linearizable), "blob_array&noparse&timings&level=linearizable&redirect"},
		{"", WithFreshness(WithConsistency(ctx, None), 2*time.Second, true), "blob_array&noparse&timings&level=none&freshness=2s&freshness_strict"},
		{"level=linearizable", WithLinearizableTimeout(ctx, time.Second), "blob_array&noparse&timings&level=linearizable&linearizable_timeout=1s&redirect"},
		{"norwrandom=true&norwtime=true", ctx, "blob_array&noparse&timings&level=weak&redirect"},
		{"discovery=off", ctx, "blob_array&noparse&timings&level=weak"},
	} {
		f := newFake(t, step{path: cluster.QueryPath, params: test.params, body: `["SELECT 1"]`, reply: results(one)})
		var n int
		require.NoError(t, f.open(test.options).QueryRowContext(test.ctx, "SELECT 1").Scan(&n))
		assert.Equal(t, 1, n)
	}
	f := newFake(t)
	_, err := f.open("").QueryContext(WithFreshness(ctx, time.Second, false), "SELECT 1")
	require.ErrorContains(t, err, "rqlite: context of the call: freshness has no effect at level weak")
}

// A deadline goes out with reads, and never with writes: there it would be
// replicated, and each node would count for itself.
func TestDeadlineParam(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f := newFake(t,
		step{path: cluster.QueryPath, params: "*", body: `["SELECT 1"]`, reply: results(one)},
		step{path: cluster.QueryPath, params: "*", body: `["FROB"]`, reply: results(`{"error":"attempt to change database via query operation"}`)},
		writes(`["FROB"]`, results(`{}`)),
		writes(`["DELETE FROM t"]`, results(`{}`)),
		writes(`["DELETE FROM t RETURNING id"]`, results(table("id integer"))),
	)
	db := f.open("")
	for _, query := range []string{"SELECT 1", "FROB"} {
		rows, err := db.QueryContext(ctx, query)
		require.NoError(t, err)
		require.NoError(t, rows.Close())
	}
	_, err := db.ExecContext(ctx, "DELETE FROM t")
	require.NoError(t, err)
	rows, err := db.QueryContext(ctx, "DELETE FROM t RETURNING id")
	require.NoError(t, err)
	require.NoError(t, rows.Close())
	for _, got := range f.got()[:2] {
		params, err := url.ParseQuery(got.params)
		require.NoError(t, err)
		limit, err := time.ParseDuration(params.Get("db_timeout"))
		require.NoError(t, err)
		assert.Greater(t, limit, 30*time.Second)
		assert.LessOrEqual(t, limit, time.Minute)
	}
}

// The node's "query timeout" for a deadline that we sent is the deadline's.
func TestQueryTimeout(t *testing.T) {
	t.Parallel()
	f := newFake(t,
		reads(`["SELECT 1"]`, results(`{"error":"query timeout"}`)),
		reads(`["SELECT 1"]`, `{"results":[],"error":"query timeout"}`))
	db := f.open("")
	for range 2 {
		_, err := db.Query("SELECT 1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
}
