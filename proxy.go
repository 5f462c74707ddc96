package rqlite

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// refusedConnect gets a proxy's answer to CONNECT, which asks it to let https through. If the
// answer refuses that, the error names the proxy.
func refusedConnect(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &cluster.ProxyError{Proxy: ofEnvironment("https", proxy), Status: answer.StatusCode}
}

// proxies returns a function that names the proxy of a request for a message, "" for none. It also
// looks into the transport of an HTTPClient. It returns nil if the transport does not tell.
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

// ofEnvironment names a proxy, without its password, and the variable that it comes from.
func ofEnvironment(scheme string, proxy *url.URL) string {
	return proxy.Host + " of " + strings.ToUpper(scheme) + "_PROXY"
}
