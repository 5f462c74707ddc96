package rqlite

import (
	"net"
	"net/http"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// Idle connections. There are enough for the goroutines of a busy program, because a request that
// finds none pays for a new one.
const (
	maxIdlePerHost = 2 * cluster.MostAtOnce // closing them gains nothing
	idleTimeout    = 90 * time.Second
	readBuffer     = 16 << 10
)

// newTransport returns the transport of the requests. It never follows redirects: net/http would
// turn a redirected POST into a GET.
func newTransport(cfg *Config) (http.RoundTripper, error) {
	if cfg.HTTPClient != nil {
		client := *cfg.HTTPClient
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return &clientTransport{client: &client}, nil
	}
	dialer := &net.Dialer{Timeout: cfg.dialTimeout()}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: refusedConnect,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    cfg.dialTimeout(),
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		ReadBufferSize:         readBuffer,
		DisableCompression:     true, // rqlite does not compress
	}
	if cfg.TLS {
		dialer, err := newTLSDialer(cfg)
		if err != nil {
			return nil, err
		}
		transport.DialTLSContext = dialer.DialContext
		transport.TLSClientConfig = dialer.config // for connections through a proxy
	}
	return transport, nil
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
