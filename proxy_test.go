package rqlite

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// proxyUser is set in the environment of the process that goes by way of the proxies of its
// environment, which net/http looks at once.
const proxyUser = "RQLITE_TEST_PROXY_USER"

// proxyRefusals are the hosts that the proxy refuses to connect to, and how.
var proxyRefusals = map[string]string{"forbidden": "forbidden", "stranger": "proxy authentication required", "gone": "bad gateway"}

// newRefusingProxy is a proxy that refuses, in a way that the host's name says.
func newRefusingProxy(t *testing.T) *httptest.Server {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		statuses := map[string]int{"forbidden": 403, "stranger": 407, "gone": 502}
		name, _, _ := strings.Cut(r.Host, ".")
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(statuses[name])
		io.WriteString(w, "<html>Sorry!</html>")
	}))
	t.Cleanup(proxy.Close)
	return proxy
}

// The answers of the proxy that HTTP_PROXY or HTTPS_PROXY names read as the proxy's, at once.
func TestProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	if os.Getenv(proxyUser) != "" {
		useProxies(t)
		return
	}
	proxy := newRefusingProxy(t)
	at := "bob:s3cr3t@" + strings.TrimPrefix(proxy.URL, "http://")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), proxyUser+"=1", "HTTP_PROXY=http://"+at, "HTTPS_PROXY=http://"+at, "NO_PROXY=", "no_proxy=")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	address := strings.TrimPrefix(proxy.URL, "http://")
	for scheme, says := range map[string]string{
		"http":  "of HTTP_PROXY answers in place of the node, or this is not rqlite's HTTP address",
		"https": "of HTTPS_PROXY does not connect to the node",
	} {
		for host, why := range proxyRefusals {
			for _, call := range []string{"write", "ping"} {
				want := fmt.Sprintf("%s %s: rqlite: %s.example:4001: the proxy %s %s: %s (HTTP status", call, scheme, host, address, says, why)
				assert.Contains(t, string(out), want)
			}
		}
	}
	assert.NotContains(t, string(out), "<html>")
	assert.NotContains(t, string(out), secret)
}

// useProxies prints what statements by way of the proxies fail with.
func useProxies(t *testing.T) {
	t.Helper()
	for _, scheme := range []string{"http", "https"} {
		for host := range proxyRefusals {
			db, err := sql.Open("rqlite", scheme+"://"+host+".example")
			require.NoError(t, err)
			begin := time.Now()
			_, err = db.ExecContext(t.Context(), "CREATE TABLE t (n INT)")
			require.NotErrorIs(t, err, ErrIndeterminate)
			fmt.Printf("write %s: %v\n", scheme, err)
			err = db.PingContext(t.Context())
			fmt.Printf("ping %s: %v\n", scheme, err)
			assert.Less(t, time.Since(begin), 10*time.Second)
			require.NoError(t, db.Close())
		}
	}
}
