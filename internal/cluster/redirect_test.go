package cluster

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// byName returns the address of a node with the host name changed, so that it
// is the same node and yet no host of the configuration.
func byName(t *testing.T, node *fake) string {
	t.Helper()
	_, port, err := net.SplitHostPort(node.host())
	require.NoError(t, err)
	return "http://elsewhere.example:" + port
}

// resolving makes every host name a name of this machine.
func resolving(t *testing.T) func(*Config) {
	t.Helper()
	return func(c *Config) {
		transport := c.Transport.(*http.Transport)
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		}
	}
}

// trusting makes the client accept the certificate of TLS nodes.
func trusting(node *fake, verified bool) func(*Config) {
	return func(c *Config) {
		pool := x509.NewCertPool()
		pool.AddCert(node.Certificate())
		tlsConfig := node.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		tlsConfig.RootCAs = pool
		tlsConfig.ServerName = "example.com"
		c.Transport.(*http.Transport).TLSClientConfig = tlsConfig
		c.Scheme, c.Verified = "https", verified
	}
}

func newTLSFake(t *testing.T, script ...reply) *fake {
	t.Helper()
	f := newUnstarted(script...)
	f.Config.ErrorLog = quiet
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

func TestRedirectIsFollowedAndRemembered(t *testing.T) {
	t.Parallel()
	leader := newFake(t, ok(written))
	follower := newFake(t, movedTo(leader.URL))
	c, _ := newClient(t, []string{follower.host()}, credentials)
	require.NoError(t, do(t.Context(), c, write()))
	want := seen{"POST", "/db/execute", "blob_array&redirect", `["INSERT"]`, "Basic Ym9iOnNlY3JldA==", "application/json"}
	assert.Equal(t, []seen{want}, follower.got())
	assert.Equal(t, []seen{want}, leader.got(), "sent again whole, as a POST, to a host that the credentials are for")

	for range 3 {
		require.NoError(t, do(t.Context(), c, write()))
	}
	assert.Len(t, follower.got(), 1, "the leader is known now")
	assert.Len(t, leader.got(), 4)
}

func TestRedirectToConfiguredHost(t *testing.T) {
	t.Parallel()
	leader := newFake(t, ok(written))
	follower := newFake(t, movedTo(leader.URL))
	c, _ := newClient(t, []string{follower.host(), leader.host()})
	require.NoError(t, do(t.Context(), c, write()))
	assert.Same(t, c.routes.hosts[1], c.routes.leader.Load())
}

func TestRedirectStatuses(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		leader := newFake(t, ok(written))
		follower := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", leader.URL+"/db/execute?redirect")
			w.WriteHeader(status)
		})
		c, _ := newClient(t, []string{follower.host()})
		require.NoError(t, do(t.Context(), c, write()), status)
		require.Equal(t, "POST", leader.got()[0].Method)
		require.Equal(t, `["INSERT"]`, leader.got()[0].Body)
	}
}

// The leader dies; the hosts of the configuration know the new one.
func TestRedirectForgottenWithTheLeader(t *testing.T) {
	t.Parallel()
	first, second := newFake(t, ok(written)), newFake(t, ok(written))
	follower := newFake(t, movedTo(first.URL), text(503, "leader not found"), movedTo(second.URL))
	c, _ := newClient(t, []string{follower.host()})
	require.NoError(t, do(t.Context(), c, write()))
	first.Close()
	c.Close() // the write must not meet the connection while it is being closed
	require.NoError(t, do(t.Context(), c, write()), "nobody listens any more: nothing was sent, so it is tried elsewhere")
	assert.Len(t, follower.got(), 3)
	assert.Len(t, first.got(), 1)
	require.NoError(t, do(t.Context(), c, write()))
	assert.Len(t, follower.got(), 3)
	assert.Len(t, second.got(), 3, "it was asked whether it leads before it got a write")
	assert.Equal(t, "/db/query", second.got()[0].Path)
}

// The leader lives on as a follower, and says so.
func TestRedirectFromTheLeaderThatWas(t *testing.T) {
	t.Parallel()
	var first, second *fake
	second = newFake(t, ok(written))
	first = newFake(t, ok(written), moved(func() string { return second.URL }))
	c, _ := newClient(t, []string{first.host()})
	require.NoError(t, do(t.Context(), c, write()))
	require.NoError(t, do(t.Context(), c, write()))
	require.NoError(t, do(t.Context(), c, write()))
	assert.Len(t, first.got(), 2)
	assert.Len(t, second.got(), 2)
}

func TestRedirectLeaderWithoutQuorum(t *testing.T) {
	t.Parallel()
	first, second := newFake(t, ok(written), text(503, "leader not found")), newFake(t, ok(written))
	follower := newFake(t, movedTo(first.URL), movedTo(second.URL))
	c, _ := newClient(t, []string{follower.host()})
	require.NoError(t, do(t.Context(), c, write()))
	require.NoError(t, do(t.Context(), c, write()))
	require.Len(t, second.got(), 2)
	assert.Equal(t, "/db/query", second.got()[0].Path, "it was asked whether it leads")
	assert.Equal(t, "/db/execute", second.got()[1].Path)
}

func TestRedirectLoop(t *testing.T) {
	t.Parallel()
	inBubble(t, "of two nodes", func(t *testing.T) {
		requests := 0
		c, _ := newClient(t, []string{"a:1"}, timeout(limitForTests), func(c *Config) {
			c.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				requests++
				next := map[string]string{"a:1": "http://b:1", "b:1": "http://a:1"}
				return response(301, next[req.URL.Host]), nil
			})
		})
		begin := time.Now()
		failure := requireError(t, do(t.Context(), c, write()), Refused)
		assert.Equal(t, limitForTests, time.Since(begin))
		require.ErrorIs(t, failure, context.DeadlineExceeded)
		require.ErrorContains(t, failure, "the attempt before: redirected to http://")
		assert.Less(t, requests, (maxRedirects+1)*40, "with a pause now and then")
	})
}

func TestRedirectNotFollowed(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"":                            "address that is none",
		"/db/execute":                 "address that is none",
		"ftp://127.0.0.1/db/execute":  "address that is none: ftp://127.0.0.1",
		"http://":                     "address that is none",
		"http://u:pass%zz@h/x?secret": "address that is none: an address that cannot be parsed",
		"//127.0.0.1:1/db/execute":    "address that is none",
	} {
		node := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusMovedPermanently)
		})
		c, _ := newClient(t, []string{node.host()})
		failure := requireError(t, do(t.Context(), c, write()), Refused)
		require.ErrorContains(t, failure, want, location)
		assert.True(t, failure.Write)
		assert.NotContains(t, failure.Error(), "pass")
		assert.NotContains(t, failure.Error(), "secret")
		assert.Len(t, node.got(), 1, location)
	}
}

func TestRedirectMessageHidesSecrets(t *testing.T) {
	t.Parallel()
	node := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "gopher://bob:hidden@h:1/x?token=hidden")
		w.WriteHeader(http.StatusMovedPermanently)
	})
	c, _ := newClient(t, []string{node.host()})
	err := do(t.Context(), c, write())
	require.ErrorContains(t, err, "gopher://h:1")
	assert.NotContains(t, err.Error(), "hidden")
}

func TestRedirectFromHTTPSToHTTP(t *testing.T) {
	t.Parallel()
	plain := newFake(t, ok(written))
	node := newTLSFake(t, movedTo(plain.URL))
	c, _ := newClient(t, []string{node.host()}, trusting(node, true))
	failure := requireError(t, do(t.Context(), c, write()), Refused)
	require.ErrorContains(t, failure, "redirected from https to http, which is never followed: "+plain.URL)
	assert.Empty(t, plain.got())
	assert.Len(t, node.got(), 1)
}

// Credentials never go to a host that the configuration does not name. The
// node that is trusted forwards instead.
func TestRedirectToForeignHostWithCredentials(t *testing.T) {
	t.Parallel()
	foreign := newFake(t, ok(written))
	node := newFake(t, movedTo(byName(t, foreign)), ok(written))
	var log logBuffer
	c, _ := newClient(t, []string{node.host()}, credentials, resolving(t), log.into)
	for range 3 {
		require.NoError(t, do(t.Context(), c, write()))
	}
	assert.Empty(t, foreign.got())
	got := node.got()
	require.Len(t, got, 4)
	assert.Equal(t, "blob_array&redirect", got[0].Query)
	for _, forwarded := range got[1:] {
		assert.Equal(t, "blob_array", forwarded.Query)
		assert.NotEmpty(t, forwarded.Auth)
	}
	assert.Equal(t, 1, strings.Count(log.String(), "requests for the leader are forwarded"), "said once: %s", &log)
	assert.NotContains(t, log.String(), "secret")
}

// A redirect within the same TLS-verified cluster may name any host.
func TestRedirectToForeignHostOverVerifiedTLS(t *testing.T) {
	t.Parallel()
	for _, verified := range []bool{true, false} {
		foreign := newTLSFake(t, ok(written))
		node := newTLSFake(t, movedTo(strings.Replace(byName(t, foreign), "http:", "https:", 1)), ok(written))
		c, _ := newClient(t, []string{node.host()}, credentials, resolving(t), trusting(node, verified))
		require.NoError(t, do(t.Context(), c, write()))
		if verified {
			require.Len(t, foreign.got(), 1)
			assert.NotEmpty(t, foreign.got()[0].Auth)
		} else {
			assert.Empty(t, foreign.got(), "nobody knows who said so")
		}
	}
}

// A plain connection cannot vouch for a host, nor for what listens with TLS on
// a host that is known.
func TestRedirectFromPlainToTLS(t *testing.T) {
	t.Parallel()
	foreign := newTLSFake(t, ok(written))
	for _, location := range []string{strings.Replace(byName(t, foreign), "http:", "https:", 1), foreign.URL} {
		node := newFake(t, movedTo(location), ok(written))
		c, _ := newClient(t, []string{node.host()}, resolving(t), trusting(foreign, true), credentials, func(c *Config) { c.Scheme = "http" })
		require.NoError(t, do(t.Context(), c, write()))
		assert.Empty(t, foreign.got(), location)
		assert.Len(t, node.got(), 2)
	}
}

func TestRedirectToForeignHostWithoutCredentials(t *testing.T) {
	t.Parallel()
	foreign := newFake(t, ok(written))
	node := newFake(t, movedTo(byName(t, foreign)))
	c, _ := newClient(t, []string{node.host()}, resolving(t))
	require.NoError(t, do(t.Context(), c, write()))
	require.Len(t, foreign.got(), 1)
	assert.Empty(t, foreign.got()[0].Auth)
}

// The leader's address is of no use from here, as in a container: the known
// host forwards, and that is not found out again with each request.
func TestRedirectToUnreachableLeader(t *testing.T) {
	t.Parallel()
	node := newFake(t, movedTo("http://"+refusing(t)), ok(written))
	var log logBuffer
	c, _ := newClient(t, []string{node.host()}, log.into)
	for range 3 {
		require.NoError(t, do(t.Context(), c, write()))
	}
	got := node.got()
	require.Len(t, got, 4)
	assert.Equal(t, []string{"blob_array&redirect", "blob_array"}, []string{got[0].Query, got[3].Query})
	assert.Equal(t, 1, strings.Count(log.String(), "requests for the leader are forwarded"))
}

func TestRedirectManyLeadersDoNotFillMemory(t *testing.T) {
	t.Parallel()
	var r routes
	r.init(&Config{Hosts: []string{"a:1"}, Scheme: "http"})
	for i := range 1000 {
		r.node("http", net.JoinHostPort("n", string(rune('a'+i%26))+strings.Repeat("x", i/26)), false)
	}
	assert.LessOrEqual(t, len(r.learned), 64)
}

// What was learned without trust is not kept from a node that is trusted later.
func TestRedirectTrustGrows(t *testing.T) {
	t.Parallel()
	var r routes
	r.init(&Config{Hosts: []string{"a:1"}, Scheme: "https", User: "u"})
	assert.Nil(t, r.node("https", "b:1", false).header["Authorization"])
	trusted := r.node("https", "b:1", true)
	assert.NotNil(t, trusted.header["Authorization"])
	assert.Same(t, trusted, r.node("https", "b:1", true))
}

// logBuffer keeps what a client logs.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) into(c *Config) {
	c.Logger = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write implements io.Writer.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String returns what was logged so far.
func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
