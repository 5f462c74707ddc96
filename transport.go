package rqlite

import (
	"net/http"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/transport"
)

// maxIdle bounds the idle connections to each node. It is enough for the goroutines of a busy
// program, because a request that finds none pays for a new one.
const maxIdle = 2 * cluster.MostAtOnce

// newTransport returns the transport of the requests. It reads the files for TLS.
func newTransport(cfg *Config) (http.RoundTripper, error) {
	o := transport.Options{
		Client: cfg.HTTPClient, DialTimeout: cfg.dialTimeout(), MaxIdle: maxIdle, Logger: cfg.Logger,
		Refused: func(proxy string, status int) error { return &cluster.ProxyError{Proxy: proxy, Status: status} },
	}
	if cfg.TLS {
		o.TLS = cfg.tls()
	}
	return transport.New(o)
}

// tls returns the settings for https.
func (c *Config) tls() *transport.TLS {
	return &transport.TLS{
		CA: c.TLSCA, Cert: c.TLSCert, Key: c.TLSKey, ServerName: c.TLSServerName,
		InsecureSkipVerify: c.TLSInsecureSkipVerify, Config: c.TLSConfig,
	}
}

// verifiesNodes reports whether the certificates of the nodes are known to be checked. The
// transport of an HTTPClient may do anything.
func (c *Config) verifiesNodes() bool {
	return c.TLS && c.HTTPClient == nil && c.tls().Verifies()
}
