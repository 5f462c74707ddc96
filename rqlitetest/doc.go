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
// A server holds one node which is always the leader. It serves /db/execute,
// /db/query, /db/request, /db/sql, /nodes, /status and /readyz, with basic
// authentication and TLS where the [Config] asks for them, and copies what a
// client of rqlite can see, oddities included: which result a string of several
// statements gives, how an empty statement shifts the results, what each
// declared type does to a value on its way out, which errors arrive with
// status 200, how a statement with random() or a time in it is rewritten, and
// when the rows of a RETURNING clause are lost. What it does is pinned by the suite of package conformance, which
// runs against this server and against rqlited; where they differ, this one is
// wrong.
//
// # What differs from rqlite
//
//   - There is no Raft log, no disk that matters, and no consensus: a write is
//     applied at once, and all read levels read the same database.
//   - SQLite's compile-time options are those of modernc.org/sqlite: FTS3, FTS4
//     and UPDATE … LIMIT are missing, mathematical functions are present.
//   - Other endpoints (backup, load, boot, leader, remove, console) answer 404.
package rqlitetest
