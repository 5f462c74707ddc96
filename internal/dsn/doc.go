// Package dsn takes data source names apart: scheme, user, hosts, path and keys. It knows the form of
// each, and the usual mistakes. What a key means is up to the caller. Its errors show neither the
// user nor the password, nor any text that could be part of them.
package dsn
