// Package transport makes what carries HTTP requests: TLS by files that may change, a client of the
// program's own, and the names of proxies. It knows nothing of rqlite.
package transport
