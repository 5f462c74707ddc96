package load

import (
	"net/http"
	"strings"
	"sync/atomic"
)

// Traffic is a transport that counts what it sends to another one. Its clients send requests
// whose length is known.
type Traffic struct {
	Next http.RoundTripper

	requests, logged, largest atomic.Int64
}

// Sent is what was sent, in requests and in bytes of their bodies.
type Sent struct {
	Requests uint64
	Logged   int64 // to the endpoints that write, so that it went through the Raft log
	Largest  int64 // body
}

// RoundTrip implements http.RoundTripper.
func (t *Traffic) RoundTrip(req *http.Request) (*http.Response, error) {
	t.requests.Add(1)
	if !strings.HasSuffix(req.URL.Path, "/db/query") {
		t.logged.Add(req.ContentLength)
	}
	for most := t.largest.Load(); most < req.ContentLength && !t.largest.CompareAndSwap(most, req.ContentLength); most = t.largest.Load() {
	}
	return t.Next.RoundTrip(req)
}

// CloseIdleConnections closes those of the transport, for http.Client.
func (t *Traffic) CloseIdleConnections() {
	if closer, ok := t.Next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// Sent returns what was sent since it was asked for the last time.
func (t *Traffic) Sent() Sent {
	return Sent{Requests: uint64(t.requests.Swap(0)), Logged: t.logged.Swap(0), Largest: t.largest.Swap(0)}
}
