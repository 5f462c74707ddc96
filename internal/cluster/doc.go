// Package cluster sends requests to an rqlite cluster over HTTP. It chooses the node, follows
// redirects to the leader, classifies failures by whether the request can have had an effect, and
// repeats it if it cannot.
//
// The package knows nothing of SQL. A caller says where a request may be answered, by the leader or
// by any node, and whether it writes. Routing and repetition depend on nothing else.
package cluster
