package transport

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A redirect is an answer like others, with a client of the program's own as well, which keeps its
// settings.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusMovedPermanently))
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for name, o := range map[string]Options{"own": {DialTimeout: time.Minute}, "of the program": {Client: client}} {
		carrier, err := New(o)
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
		require.NoError(t, err)
		answer, err := carrier.RoundTrip(req)
		require.NoError(t, err, name)
		require.NoError(t, answer.Body.Close())
		assert.Equal(t, http.StatusMovedPermanently, answer.StatusCode, name)
		if c, ok := carrier.(*http.Transport); ok {
			c.CloseIdleConnections()
		}
	}
	assert.Nil(t, client.CheckRedirect)
}

func TestProxies(t *testing.T) {
	t.Parallel()
	proxy := &url.URL{Scheme: "http", User: url.UserPassword("bob", "s3cr3t"), Host: "proxy:3128"}
	req := &http.Request{URL: &url.URL{Scheme: "https", Host: "node:4001"}}
	through := func(proxy *url.URL, err error) *http.Transport {
		return &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return proxy, err }}
	}
	ofClient := func(by http.RoundTripper) http.RoundTripper {
		return &clientTransport{client: &http.Client{Transport: by}}
	}
	for name, test := range map[string]struct {
		by   http.RoundTripper
		want string
	}{
		"of the environment": {through(proxy, nil), "proxy:3128 of HTTPS_PROXY"},
		"of a client":        {ofClient(through(proxy, nil)), "proxy:3128"},
		"none":               {through(nil, nil), ""},
		"an error":           {through(nil, errors.New("a test")), ""},
	} {
		names := Proxies(test.by)
		require.NotNil(t, names, name)
		assert.Equal(t, test.want, names(req), name)
	}
	for _, by := range []http.RoundTripper{&http.Transport{}, ofClient(nil), ofClient(&http.Transport{})} {
		assert.Nil(t, Proxies(by))
	}
}

// A proxy that refuses CONNECT is named, without its password.
func TestRefusedConnect(t *testing.T) {
	t.Parallel()
	o := Options{Refused: func(proxy string, status int) error {
		assert.Equal(t, "proxy:3128 of HTTPS_PROXY", proxy)
		assert.Equal(t, http.StatusForbidden, status)
		return errors.New("a test")
	}}
	proxy := &url.URL{User: url.UserPassword("bob", "s3cr3t"), Host: "proxy:3128"}
	require.NoError(t, o.checkConnect(t.Context(), proxy, nil, &http.Response{StatusCode: http.StatusOK}))
	require.EqualError(t, o.checkConnect(t.Context(), proxy, nil, &http.Response{StatusCode: http.StatusForbidden}), "a test")
}

func TestUnusableFiles(t *testing.T) {
	t.Parallel()
	_, err := New(Options{TLS: &TLS{CA: "/does/not/exist"}, DialTimeout: time.Second})
	require.ErrorContains(t, err, "rqlite: tls_ca: ")
	_, err = New(Options{TLS: &TLS{Config: &tls.Config{}}, DialTimeout: time.Second})
	require.NoError(t, err)
}
