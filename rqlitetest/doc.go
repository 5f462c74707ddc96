// Package rqlitetest is an rqlite server inside the test process. It is an HTTP server on a
// loopback port that answers like rqlite, on a pure-Go SQLite. It starts in a few milliseconds and
// needs no Docker.
//
//	func TestStore(t *testing.T) {
//		srv := rqlitetest.New(t)
//		db, err := sql.Open("rqlite", srv.DSN())
//		...
//	}
//
// A [Server] is one node, which is always the leader. It serves the database endpoints, /db/sql,
// /db/backup, /db/load, /boot, /snapshot, /leader, /nodes, /status and /readyz. The [Config] adds
// basic authentication and TLS. The server copies everything that a client of rqlite can see,
// including its oddities:
//
//   - which result a string of several statements gives, and how an empty statement shifts results;
//   - what each declared type does to a value in an answer;
//   - which errors come with status 200;
//   - how a statement with random() or a time in it is rewritten;
//   - when the rows of a RETURNING clause are lost.
//
// The suite of package conformance pins all of this. It runs against this server and against
// rqlited. If they differ, this server is wrong.
//
// # Clusters
//
// A [Cluster] has several nodes, for tests of routing and failover:
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
// Followers redirect or forward requests that need the leader, as the request says, and answer all
// others by themselves. A test can stop and start nodes, pause and resume them, and make them lag
// behind. Leadership changes when the test or a client asks for it, or by elections. A [Fault]
// makes a request fail as a network or a node can fail at the wrong moment. [Cluster.Requests]
// returns the requests that a node has received.
//
// # Change data capture
//
// With [Config.CDC] the leader posts every committed change, for tests of programs that use package
// cdc of the driver:
//
//	receiver := httptest.NewServer(handler)
//	defer receiver.Close()
//	srv := rqlitetest.New(t, func(c *rqlitetest.Config) {
//		c.CDC = &rqlitetest.CDCConfig{Endpoint: receiver.URL}
//	})
//
// The server copies the faults of rqlited 10.3. In a request of several statements without a
// transaction only the first commit has an index. A post without any index is lost, and so is a
// post with an infinite REAL. A new leader repeats posts unless the old one has told it that they
// were acknowledged.
//
// # What differs from rqlite
//
//   - There is no Raft log, no durable storage and no consensus. A write is applied at once, and all
//     nodes of a cluster read the same database. So a statement never has different effects on two
//     nodes. Only a [Fault] decides the outcome of a write while leadership changes.
//   - A follower forwards a request once, and does not forward it after its timeout.
//   - A compressed backup that a follower fetches from the leader is complete.
//   - A file that /db/load or /boot cannot open leaves the database unchanged.
//   - SQLite's compile-time options are those of modernc.org/sqlite: FTS3, FTS4
//     and UPDATE … LIMIT are missing, mathematical functions are present.
//   - The nodes of a cluster share one queue of changes, which they divide into the same posts. It
//     has no limit, and is lost when the server closes. Posts are retried for ever, at equal
//     intervals.
//   - Other endpoints (remove, reap, console) answer 404.
package rqlitetest
