package rqlitetest

import (
	"net/http"
	"slices"
	"sync"
)

// Request is a request that a node has received.
type Request struct {
	// Method and Path are those of its first line, without the query.
	Method, Path string

	// Query is the raw query of the URL, without the question mark.
	Query string

	// Authorization says whether the request had such a header.
	Authorization bool
}

// journal has the last requests of a node.
type journal struct {
	mu       sync.Mutex
	requests []Request
}

// journalSize is the number of requests that a journal keeps.
const journalSize = 10_000

// record records requests on their way to a handler.
func (j *journal) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		j.add(Request{
			Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
			Authorization: r.Header.Get("Authorization") != "",
		})
		next.ServeHTTP(w, r)
	})
}

// add appends a request. The list grows to twice its size before the older half is dropped, which
// makes this cheap.
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
