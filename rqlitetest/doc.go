// Package rqlitetest is an rqlite server inside the test process: an HTTP
// server on a loopback port that answers as rqlite answers, on a pure-Go
// SQLite, started in a few milliseconds and without Docker.
//
//	func TestStore(t *testing.T) {
//		srv := rqlitetest.New(t)
//		db, err := sql.Open("rqlite", srv.DSN())
//		...
//	}
//
// A [Server] holds one node which is always the leader. It serves the database
// endpoints, /db/sql, /db/backup, /db/load, /boot, /snapshot, /leader, /nodes,
// /status and /readyz, with basic authentication and TLS where the [Config] asks
// for them, and copies what a client of rqlite can see, oddities included: which
// result a string of several statements gives, how an empty statement shifts the
// results, what each declared type does to a value on its way out, which errors
// arrive with status 200, how a statement with random() or a time in it is
// rewritten, and when the rows of a RETURNING clause are lost. What it does is
// pinned by the suite of package conformance, which runs against this server and
// against rqlited; where they differ, this one is wrong.
//
// # Clusters
//
// A [Cluster] holds several nodes, for tests of routing and failover:
//
//	func TestFailover(t *testing.T) {
//		c := rqlitetest.NewCluster(t)
//		db, err := sql.Open("rqlite", c.DSN())
//		...
//		c.Fail(c.Leader(), rqlitetest.Fault{Path: "/db/execute", Cut: rqlitetest.CutAnswer})
//		...
//		c.Stop(c.Leader())
//		c.SetLeader(1)
//	}
//
// Followers redirect or forward what needs the leader, as the request asks for,
// and answer by themselves what does not. Nodes can be stopped and started,
// paused and resumed, and made to lag behind; leadership changes when the test
// says so, by a step-down that a client asks for, or by elections. A [Fault]
// does to a request what a network or a node does that fails at the wrong
// moment. [Cluster.Requests] tells what a node has been sent.
//
// # Change data capture
//
// With [Config.CDC] the leader posts every change that is committed, for tests of
// programs that use package cdc of the driver:
//
//	receiver := httptest.NewServer(handler)
//	defer receiver.Close()
//	srv := rqlitetest.New(t, func(c *rqlitetest.Config) {
//		c.CDC = &rqlitetest.CDCConfig{Endpoint: receiver.URL}
//	})
//
// What rqlited 10.3 does wrong is done here, too: in a request of several statements without
// a transaction only the first commit has an index, a post without any index is lost, and so
// is one with an infinite REAL in it. A new leader sends again what the one before has not told
// the others to be acknowledged.
//
// # What differs from rqlite
//
//   - There is no Raft log, no disk that matters, and no consensus: a write is
//     applied at once, and all nodes of a cluster read the same database. So
//     statements never have different effects on two nodes, and what becomes of
//     a write while leadership changes is for a [Fault] to say.
//   - A follower that forwards a request sends it once, and sends it nowhere once
//     its timeout has passed.
//   - A compressed backup that a follower fetches from the leader is whole.
//   - A file that /db/load or /boot cannot open leaves the database as it was.
//   - SQLite's compile-time options are those of modernc.org/sqlite: FTS3, FTS4
//     and UPDATE … LIMIT are missing, mathematical functions are present.
//   - The nodes of a cluster have one queue of changes, which they cut into the same posts,
//     and which has no limit; it is lost when the server is closed. Posts are tried again for
//     ever and at equal intervals.
//   - Other endpoints (remove, reap, console) answer 404.
package rqlitetest
