package transport

import (
	"net/http"
	"net/url"
	"strings"
)

// Proxies returns a function that names the proxy of a request for a message, "" for none. It also
// looks into the transport of a [Options.Client]. It returns nil if the transport does not tell.
func Proxies(by http.RoundTripper) func(*http.Request) string {
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
