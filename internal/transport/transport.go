package transport

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Options are the settings of a transport.
type Options struct {
	// Client sends the requests, if it is not nil. The other options then have no effect.
	Client *http.Client
	// TLS says how to shake hands for https. Nil uses the settings of net/http.
	TLS *TLS
	// DialTimeout bounds each attempt to connect, and each TLS handshake. It is above zero.
	DialTimeout time.Duration
	// MaxIdle bounds the idle connections to each host. Zero means the default of net/http.
	MaxIdle int
	// Logger is told of changed TLS files. Nil discards that.
	Logger *slog.Logger
	// Refused returns the error of a proxy that refuses to let https through. It gets the name of
	// the proxy and the HTTP status of its answer. It must not be nil.
	Refused func(proxy string, status int) error
}

const (
	idleTimeout = 90 * time.Second
	// bufferSize is the size in bytes of the two buffers of a connection. Most joined requests fit, and so
	// do their answers, so that each takes one system call.
	bufferSize = 16 << 10
)

// New returns a transport. Its error is that of [TLS.Load]. The transport never follows redirects:
// net/http would turn a redirected POST into a GET.
func New(o Options) (http.RoundTripper, error) {
	if o.Client != nil {
		client := *o.Client
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return &clientTransport{client: &client}, nil
	}
	dialer := &net.Dialer{Timeout: o.DialTimeout}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: o.checkConnect,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    o.DialTimeout,
		MaxIdleConnsPerHost:    o.MaxIdle,
		IdleConnTimeout:        idleTimeout,
		ReadBufferSize:         bufferSize,
		WriteBufferSize:        bufferSize,
		DisableCompression:     true, // rqlite does not compress
	}
	if o.TLS != nil {
		dialer, err := newTLSDialer(&o)
		if err != nil {
			return nil, err
		}
		transport.DialTLSContext = dialer.DialContext
		transport.TLSClientConfig = dialer.config // for connections through a proxy
	}
	return transport, nil
}

// checkConnect gets a proxy's answer to CONNECT, which asks it to let https through.
func (o *Options) checkConnect(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return o.Refused(ofEnvironment("https", proxy), answer.StatusCode)
}

// clientTransport sends requests with a client of the program.
type clientTransport struct {
	client *http.Client
}

// RoundTrip implements http.RoundTripper.
func (t *clientTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req.Header = req.Header.Clone() // a Jar adds to it, and all requests to the node share it
	return t.client.Do(req)
}
