package rqlitetest

import (
	"net/http"
	"slices"
	"sync"
)

// Request is a request that a node has been sent.
type Request struct {
	Method, Path string

	// Query is what follows the question mark in the URL, as it was sent.
	Query string

	// Authorization says whether the request had such a header.
	Authorization bool
}

// journal holds the last requests of a node.
type journal struct {
	mu       sync.Mutex
	requests []Request
}

// journalSize is how many requests are remembered at least.
const journalSize = 10_000

// record notes requests on their way to a handler.
func (j *journal) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		j.add(Request{
			Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
			Authorization: r.Header.Get("Authorization") != "",
		})
		next.ServeHTTP(w, r)
	})
}

// add lets the list grow to twice its size before it drops the older half, so
// that this does not cost much.
func (j *journal) add(r Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.requests) == 2*journalSize {
		j.requests = slices.Clone(j.requests[journalSize:])
	}
	j.requests = append(j.requests, r)
}

// list returns a copy of the last requests.
func (j *journal) list() []Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.requests[max(0, len(j.requests)-journalSize):])
}

func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.requests = nil
}
