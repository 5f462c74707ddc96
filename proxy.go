package rqlite

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// refusedConnect is called with a proxy's answer to CONNECT, which is how it is asked to let
// https through. It makes an answer that refuses this an error that names the proxy.
func refusedConnect(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &cluster.ProxyError{Proxy: ofEnvironment("https", proxy), Status: answer.StatusCode}
}

// proxies returns what names the proxy of a request for a message, and "" where it has none. As far
// as the transport of an HTTPClient tells, that is known too. The result is nil if it does not.
func proxies(by http.RoundTripper) func(*http.Request) string {
	name := ofEnvironment
	if c, ok := by.(*clientTransport); ok {
		by = c.client.Transport
		name = func(_ string, proxy *url.URL) string { return proxy.Host }
	}
	t, ok := by.(*http.Transport)
	if !ok || t.Proxy == nil {
		return nil
	}
	return func(req *http.Request) string {
		proxy, err := t.Proxy(req)
		if err != nil || proxy == nil {
			return ""
		}
		return name(req.URL.Scheme, proxy)
	}
}

// ofEnvironment names a proxy, without the password that may be with it, and where it comes from.
func ofEnvironment(scheme string, proxy *url.URL) string {
	return proxy.Host + " of " + strings.ToUpper(scheme) + "_PROXY"
}
