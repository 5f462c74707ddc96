// Package cluster sends requests to an rqlite cluster over HTTP: it chooses the
// node, follows redirects to the leader, sorts what went wrong by whether the
// request can have had an effect, and tries again when it cannot.
//
// It knows nothing of SQL. A caller says of a request where it may be answered
// (by the leader, or by any node) and whether it writes; that is all that
// routing and repetition depend on.
package cluster
