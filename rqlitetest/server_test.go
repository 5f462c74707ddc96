package rqlitetest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/go-rqlite/rqlite/rqlitetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call sends a request and returns the status and the body.
func call(t *testing.T, client *http.Client, method, url, body string, auth ...string) (int, string) {
	t.Helper()
	status, text, err := tryCall(t.Context(), client, method, url, body, auth...)
	require.NoError(t, err)
	return status, text
}

func tryCall(ctx context.Context, client *http.Client, method, url, body string, auth ...string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if len(auth) == 2 {
		req.SetBasicAuth(auth[0], auth[1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// newClient returns a client whose connections are closed at the end of the test.
func newClient(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// trusting returns a client configuration that trusts the certificate in a file.
func trusting(t *testing.T, file string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(file)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	return &tls.Config{RootCAs: pool}
}

func TestDSN(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t, func(c *rqlitetest.Config) {
		c.Users = []rqlitetest.User{{Name: "bob", Password: "p@ss/word", Perms: []string{"all"}}}
	})
	assert.Equal(t, "rqlite://"+srv.Addr(), srv.DSN())
	assert.Equal(t, "http://"+srv.Addr(), srv.URL())
	assert.Empty(t, srv.CAFile())
	u, err := url.Parse(srv.UserDSN("bob"))
	require.NoError(t, err)
	password, _ := u.User.Password()
	assert.Equal(t, "bob", u.User.Username())
	assert.Equal(t, "p@ss/word", password)

	withTLS := rqlitetest.New(t, func(c *rqlitetest.Config) { c.TLS = true })
	u, err = url.Parse(withTLS.DSN())
	require.NoError(t, err)
	assert.Equal(t, "rqlite", u.Scheme)
	assert.Equal(t, url.Values{"tls": {"true"}, "tls_ca": {withTLS.CAFile()}}, u.Query())
	assert.True(t, strings.HasPrefix(withTLS.URL(), "https://"))
}

func TestTLS(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t, func(c *rqlitetest.Config) { c.TLS = true })
	client := newClient(t, trusting(t, srv.CAFile()))
	for _, base := range []string{srv.URL(), strings.Replace(srv.URL(), "127.0.0.1", "localhost", 1)} {
		status, body := call(t, client, "GET", base+"/db/query?q=SELECT+1", "")
		assert.Equal(t, http.StatusOK, status)
		assert.JSONEq(t, `{"results":[{"columns":["1"],"types":["integer"],"values":[[1]]}]}`, body)
	}
	_, _, err := tryCall(t.Context(), newClient(t, nil), "GET", srv.URL()+"/readyz", "")
	var unknown x509.UnknownAuthorityError
	assert.ErrorAs(t, err, &unknown, "a client that does not know the certificate must refuse it")

	status, _ := call(t, newClient(t, nil), "GET", strings.Replace(srv.URL(), "https", "http", 1)+"/readyz", "")
	assert.Equal(t, http.StatusBadRequest, status, "plain HTTP on the TLS port")
}

// TestTLSLive checks that the real server accepts such a certificate and gives the same answers.
func TestTLSLive(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := dir+"/cert.pem", dir+"/key.pem"
	require.NoError(t, rqlitetest.WriteKeyPair(certFile, keyFile))
	client := newClient(t, trusting(t, certFile))
	live := startRqlited(t, "https", client, "-http-cert", certFile, "-http-key", keyFile)
	status, body := call(t, client, "GET", live+"/db/query?q=SELECT+1", "")
	assert.Equal(t, http.StatusOK, status)
	assert.JSONEq(t, `{"results":[{"columns":["1"],"types":["integer"],"values":[[1]]}]}`, body)

	status, _ = call(t, newClient(t, nil), "GET", strings.Replace(live, "https", "http", 1)+"/readyz", "")
	assert.Equal(t, http.StatusBadRequest, status, "plain HTTP on the TLS port")
}

// TestNodes checks a single node, which leads.
func TestNodes(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t)
	client := newClient(t, nil)
	type node struct {
		ID, Addr, Version        string
		APIAddr                  string `json:"api_addr"`
		Leader, Voter, Reachable bool
	}
	var list struct{ Nodes []node }
	_, body := call(t, client, "GET", srv.URL()+"/nodes?ver=2", "")
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	require.Len(t, list.Nodes, 1)
	assert.Equal(t, node{
		ID: "1", Addr: "localhost:4002", Version: rqlitetest.Version, APIAddr: srv.URL(),
		Leader: true, Voter: true, Reachable: true,
	}, list.Nodes[0])

	var byID map[string]node
	_, body = call(t, client, "GET", srv.URL()+"/nodes", "")
	require.NoError(t, json.Unmarshal([]byte(body), &byID))
	assert.Equal(t, map[string]node{"1": list.Nodes[0]}, byID)
}

func TestForeignKeys(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		srv := rqlitetest.New(t, func(c *rqlitetest.Config) { c.ForeignKeys = on })
		client := newClient(t, nil)
		_, body := call(t, client, "POST", srv.URL()+"/db/execute",
			`["CREATE TABLE p(id INTEGER PRIMARY KEY)","CREATE TABLE c(p REFERENCES p)","INSERT INTO c VALUES(1)"]`)
		assert.Equal(t, on, strings.Contains(body, "FOREIGN KEY constraint failed"), body)
		_, body = call(t, client, "GET", srv.URL()+"/db/query?q=PRAGMA+foreign_keys", "")
		assert.Equal(t, on, strings.Contains(body, "[[1]]"), body)
	}
}

func TestIntercept(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t, func(c *rqlitetest.Config) {
		c.Intercept = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("lose") { // the answer is lost, but the request was applied
					next.ServeHTTP(discard{http.Header{}}, r)
					panic(http.ErrAbortHandler)
				}
				next.ServeHTTP(w, r)
			})
		}
	})
	client := newClient(t, nil)
	call(t, client, "POST", srv.URL()+"/db/execute", `["CREATE TABLE t(a)"]`)
	_, _, err := tryCall(t.Context(), client, "POST", srv.URL()+"/db/execute?lose", `["INSERT INTO t VALUES(1)"]`)
	require.ErrorIs(t, err, io.EOF)
	_, body := call(t, client, "GET", srv.URL()+"/db/query?q=SELECT+count(*)+AS+n+FROM+t", "")
	assert.JSONEq(t, `{"results":[{"columns":["n"],"types":["integer"],"values":[[1]]}]}`, body)
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// TestConcurrency runs writers and readers at once. Every write must be applied once, and no read
// may fail.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t)
	client := newClient(t, nil)
	call(t, client, "POST", srv.URL()+"/db/execute", `["CREATE TABLE t(id INTEGER PRIMARY KEY, w, n)"]`)
	const workers, rounds = 8, 20
	var group sync.WaitGroup
	problems := make(chan string, workers*rounds*3)
	for w := range workers {
		group.Go(func() {
			for n := range rounds {
				insert := fmt.Sprintf(`[["INSERT INTO t(w, n) VALUES(?, ?)", %d, %d]]`, w, n)
				for _, step := range [][2]string{
					{"/db/execute", insert},
					{"/db/request", `["SELECT count(*) FROM t", "UPDATE t SET n = n WHERE id = 1"]`},
					{"/db/query", `["SELECT count(*) FROM t"]`},
				} {
					status, body, err := tryCall(t.Context(), client, "POST", srv.URL()+step[0], step[1])
					if err != nil || status != http.StatusOK || strings.Contains(body, "error") {
						problems <- fmt.Sprint(step, status, body, err)
					}
				}
			}
		})
	}
	group.Wait()
	close(problems)
	for p := range problems {
		t.Error(p)
	}
	_, body := call(t, client, "POST", srv.URL()+"/db/query",
		`["SELECT count(*), count(DISTINCT w * 1000 + n) FROM t"]`)
	assert.Contains(t, body, fmt.Sprintf("[[%d,%d]]", workers*rounds, workers*rounds))
}

// TestEndlessStatements checks that a client that goes away interrupts its read, and that Close
// does not wait for statements that never end.
func TestEndlessStatements(t *testing.T) {
	t.Parallel()
	srv, err := rqlitetest.Start(rqlitetest.Config{})
	require.NoError(t, err)
	const endless = `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c`
	client := newClient(t, nil)

	started := make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	go func() {
		<-started
		cancel(gone)
	}()
	body := &notifyingReader{Reader: strings.NewReader(`["` + endless + `"]`), eof: started}
	req, err := http.NewRequestWithContext(ctx, "POST", srv.URL()+"/db/query", body)
	require.NoError(t, err)
	resp, err := client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	require.Error(t, err)
	require.ErrorIs(t, context.Cause(ctx), gone)

	var group sync.WaitGroup
	for _, path := range []string{"/db/query", "/db/execute"} {
		begun := make(chan struct{})
		group.Go(func() {
			b := &notifyingReader{Reader: strings.NewReader(`["` + endless + `"]`), eof: begun}
			req, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL()+path, b)
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := client.Do(req); err == nil {
				resp.Body.Close()
			}
		})
		<-begun
	}
	require.NoError(t, srv.Close())
	group.Wait()
}

// notifyingReader signals when everything has been read.
type notifyingReader struct {
	io.Reader
	eof  chan struct{}
	once sync.Once
}

func (r *notifyingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		r.once.Do(func() { close(r.eof) })
	}
	return n, err
}

// TestClose checks that Close releases the port and the files, with queued writes pending. TestMain
// checks the goroutines.
func TestClose(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	srv, err := rqlitetest.Start(rqlitetest.Config{TLS: true})
	require.NoError(t, err)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1)

	plain, err := rqlitetest.Start(rqlitetest.Config{})
	require.NoError(t, err)
	client := newClient(t, nil)
	status, _ := call(t, client, "POST", plain.URL()+"/db/execute?queue", `["CREATE TABLE t(a)"]`)
	require.Equal(t, http.StatusOK, status)

	for range 2 {
		require.NoError(t, srv.Close())
		require.NoError(t, plain.Close())
	}
	files, err = os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, files)
	_, _, err = tryCall(t.Context(), client, "GET", plain.URL()+"/readyz", "")
	assert.Error(t, err)
}

// failing is a fake test, for a New that fails.
type failing struct {
	message string
	cleanup []func()
}

func (f *failing) Helper()                           {}
func (f *failing) Cleanup(c func())                  { f.cleanup = append(f.cleanup, c) }
func (f *failing) Fatalf(format string, args ...any) { f.message = fmt.Sprintf(format, args...) }

func TestNewFailsTheTest(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()+"/missing")
	tb := &failing{}
	assert.Nil(t, rqlitetest.New(tb))
	assert.Contains(t, tb.message, "rqlite: no directory for the embedded server")
	assert.Empty(t, tb.cleanup)
}

// TestLargeAnswers checks that a large value and many rows arrive complete.
func TestLargeAnswers(t *testing.T) {
	t.Parallel()
	srv := rqlitetest.New(t)
	client := newClient(t, nil)
	text := strings.Repeat("é", 1<<20)
	status, body := call(t, client, "POST", srv.URL()+"/db/query", `[["SELECT length(?1), ?1", "`+text+`"]]`)
	assert.Equal(t, http.StatusOK, status)
	assert.True(t, bytes.Contains([]byte(body), []byte(text)))
	assert.Contains(t, body, fmt.Sprint(1<<20))

	_, body = call(t, client, "POST", srv.URL()+"/db/query",
		`["WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 20000) SELECT x FROM c"]`)
	assert.Equal(t, 20000, strings.Count(body, "[")-4)
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		srv, err := rqlitetest.Start(rqlitetest.Config{})
		if err != nil {
			b.Fatal(err)
		}
		if err := srv.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	srv := rqlitetest.New(b)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for b.Loop() {
		status, _, err := tryCall(b.Context(), client, "POST", srv.URL()+"/db/query", `["SELECT 1"]`)
		if err != nil || status != http.StatusOK {
			b.Fatal(status, err)
		}
	}
}

func BenchmarkQueryParallel(b *testing.B) {
	srv := rqlitetest.New(b)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			status, _, err := tryCall(b.Context(), client, "POST", srv.URL()+"/db/query", `["SELECT 1"]`)
			if err != nil || status != http.StatusOK {
				b.Error(status, err)
				return
			}
		}
	})
}
