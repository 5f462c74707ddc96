// Package rqlite is a database/sql driver for rqlite, the distributed database
// built on SQLite and Raft (https://rqlite.io).
//
//	import (
//		"database/sql"
//
//		_ "github.com/go-rqlite/rqlite"
//	)
//
//	db, err := sql.Open("rqlite", "rqlite://user:secret@node1:4001,node2:4001/?level=linearizable")
//
// A program that runs on a local SQLite by way of github.com/mattn/go-sqlite3
// sees the same values, the same kinds of errors and the same final database on a
// cluster. Where rqlite makes that impossible, "What differs" below says so.
//
// The driver makes no promise it cannot keep. A failure is an error, never a
// silent success. A write is sent again only when it provably had no effect; when
// nobody can tell, the error is [ErrIndeterminate]. What cannot be done faithfully
// is refused, and the message says what to do instead.
//
// # Data source names
//
//	rqlite://[user:password@]host[:port][,host[:port]…][/][path/][?key=value&…]
//
// The schemes http:// and https:// are understood as well; rqlite:// is plain http
// unless tls=true. The port is 4001 where it is left out. User and password are
// percent-decoded. Several hosts are nodes of one cluster, tried in turn. DSNs
// written for gorqlite work unchanged.
//
// A path is for a reverse proxy that has rqlite below it and removes it, as in
// https://db.example.com:443/rqlite/. It ends with a slash, and is the same at all hosts. The
// addresses of the nodes are behind such a proxy, so that requests for the leader are forwarded,
// as with discovery=off.
//
// Keys that are unknown, contradict each other or have a bad value are errors of
// sql.Open. The keys are:
//
//   - level: read consistency level. Value: one of weak, linearizable, strong, none, auto. Default:
//     weak.
//   - freshness: how long ago a node that answers from its own copy may have heard from the leader;
//     only with level none or auto. Value: a duration above zero with its unit, such as 500ms or
//     5s. Default: no bound.
//   - freshness_strict: also bound how far behind the leader the data may be; needs freshness.
//     Value: true or false. Default: false.
//   - linearizable_timeout: how long a linearizable read may wait for the leader to confirm its
//     leadership. Value: a duration above zero with its unit, such as 500ms or 5s. Default: that of
//     the server.
//   - timeout: how long to wait for an answer, retries included, if the context sets no earlier
//     deadline; reading rows is not bounded by it. Value: a duration such as 500ms or 5s, a whole
//     number of seconds, or 0 for no bound. Default: 30s.
//   - connect_timeout: how long one attempt to connect to one host may take. Value: a duration
//     above zero with its unit, such as 500ms or 5s. Default: 5s.
//   - discovery: how nodes besides the hosts are found: redirect learns the leader from redirects,
//     off uses the hosts only, nodes also asks for the members. Value: one of redirect, off, nodes.
//     Default: redirect.
//   - prepare: when a mistake shows that only SQLite sees, such as a table that is missing: late at
//     the first call, check at Prepare, which asks the server once for each text. Value: one of
//     late, check. Default: late.
//   - tx: how transactions are carried out: interactive gives each statement its result at once,
//     deferred sends all writes at the commit. Value: one of interactive, deferred. Default:
//     interactive.
//   - txlock: when a transaction makes the other writers of this program wait: from its first write
//     on, or from its beginning. Value: one of deferred, immediate. Default: deferred.
//   - txversion: whether writes outside of transactions advance the version by which transactions
//     notice them. Value: true or false. Default: true.
//   - coalesce: whether writes that are under way at the same time go out as one request. Value:
//     true or false. Default: true.
//   - queue: hand the writes of Exec to the queue of the server, so that neither their results nor
//     their failures are known. Value: true or false. Default: false.
//   - queue_wait: wait until a queued write has been applied; needs queue. Value: true or false.
//     Default: false.
//   - loc: zone of times that are read; auto leaves them as they are stored. Value: auto, UTC,
//     Local or the name of a zone this system knows, such as Europe/Berlin. Default: auto.
//   - tls: use https; implied by https://. Value: true or false. Default: false.
//   - tls_ca: authorities to trust. Value: a PEM file. Default: those of the system.
//   - tls_cert: certificate of the client; needs tls_key. Value: a PEM file. Default: none.
//   - tls_key: key of tls_cert. Value: a PEM file. Default: none.
//   - tls_server_name: name that the certificates of the nodes must be valid for. Value: a host
//     name. Default: the host dialled.
//   - tls_insecure_skip_verify: accept any certificate; for tests only. Value: true or false.
//     Default: false.
//   - send_foreign_keys: send PRAGMA foreign_keys, which sets it for all clients, instead of
//     refusing what differs from the server's. Value: true or false. Default: false.
//   - norwrandom: leave random functions in writes to each node, instead of replacing them by
//     literals. Value: true or false. Default: false.
//   - norwtime: leave the current time in writes to each node, instead of replacing it by literals.
//     Value: true or false. Default: false.
//   - disableClusterDiscovery: accepted for DSNs written for gorqlite; true is discovery=off.
//     Value: true or false. Default: false.
//
// [Config] has the same settings as typed fields, and three that a text cannot
// carry: HTTPClient, TLSConfig and Logger. [NewConnector] makes a connector of it
// for sql.OpenDB. [ParseDSN] and [Config.FormatDSN] convert between the two.
//
// # Connections
//
// The connections of the database/sql pool hold no sockets: they share the HTTP
// connections of their connector, so that there is no need to limit or to warm up
// the pool. sql.Open contacts nobody. Ping asks the cluster a question that only a
// leader can answer, so that a wrong password or a cluster without a leader shows.
//
// # Statements
//
// Exec sends its statements to /db/execute. Query sends what reads to /db/query,
// and what writes, such as INSERT … RETURNING, to /db/execute. A user with the
// permission "query" can read, and one with "query" and "execute" can do
// everything that database/sql offers.
//
// Parameters are ?, ?NNN, :name, @name and $name, the latter three with sql.Named.
// A value too few, and a positional one too many, is an error before anything is sent: SQLite would
// bind NULL, or ignore it, and it is a mistake in most cases. Named values that no parameter asks for are ignored, so
// that one list can serve many statements. Prepared
// statements are parsed here and sent with each call, since rqlite has none; a
// mistake that only SQLite can see shows at the first call, and a word that begins no statement at once.
//
// With prepare=check it shows at Prepare, as with SQLite: the server is sent EXPLAIN of the first
// statement of the text, with NULL for each parameter. Those behind it are not looked at, for they
// may need what it makes. A text that is found well is remembered, so that it costs
// one request; the connector remembers 1000. It is not looked at again when the schema changes: then the
// mistake shows at the call. Nothing is asked within a transaction, which may have changed the
// schema by itself, nor for EXPLAIN, VACUUM and PRAGMA. The check takes the permission "query", is made by the leader
// except for reads at the levels none and auto, and ends with the context.
//
// One string may hold several statements; parameters are dealt out to them in
// order. Exec returns the result of the last. The first that fails ends the script,
// and what came before it stays, as in SQLite; the error tells which it was. (They
// are sent as one transaction, and again one by one only if that has failed, or one by one at
// once where requests are forwarded, see "Routing and failures".) What an error says of a
// statement does not hold for those before it: a script is not to be repeated as a whole.
// Query gives one result set for each statement, by NextResultSet.
//
// BEGIN, COMMIT and ROLLBACK, ATTACH and DETACH, and TEMP objects are refused: rqlite
// has one connection for the writes of all clients, and a BEGIN or a temporary table of one
// would take in the writes of all. SAVEPOINT, RELEASE and ROLLBACK TO are understood within a
// transaction. A [Batch] is the fast way to send many statements: it is one request, and one
// entry in the Raft log; with Atomic set it is applied as a whole or not at all.
//
// # Concurrent writes
//
// rqlite commits each request by itself: a hundred writes at the same time are a hundred commits.
// So writes of different goroutines that are under way at the same time go out as one request.
// While some requests of a connector that write are on their way, the writes that come wait, and leave
// together when one of those is answered; a write that meets no others goes out at once. This is
// done for single statements of up to 64 KiB that insert, update or delete rows, by Query for
// INSERT and REPLACE alone, outside of transactions. Of those with RETURNING it is done for an INSERT of
// given rows.
//
// The statements are independent: each call gets its own result or error, and
// one that fails does so alone. A context that ends while the write waits is an error that says
// that nothing was sent. When the answer to a request is lost, all of its callers get
// [ErrIndeterminate]; each would have got it for a request of its own. [WithoutCoalescing] and
// coalesce=false send each write by itself. [Connector.Stats] counts what went this way.
//
// Some things may be noticed. The request is not made with the context of a caller, so that
// a transport finds no trace of it there. A statement that fails on one node only, for its disk
// is full or its settings differ, leaves that node without the writes that went with it. While no
// answer comes, the writes behind it wait, for half a second to a second; then they go on without it, unless
// that has happened to eight requests already. When a RETURNING gives an infinite REAL, which JSON has
// no way to write, rqlite answers none of the statements of the request: all of its callers get
// ErrIndeterminate, once, for from then on the connector sends statements with RETURNING by
// themselves.
//
// # Transactions
//
// BeginTx begins a transaction that is atomic and serializable among all programs that write by
// this driver. Its statements give their real results, its reads see its writes, and Commit applies all
// of it by one entry of the Raft log, provided that all the program has seen in it still holds. If it
// does not, a statement or Commit returns [ErrTxConflict], and nothing was applied. [RunTx]
// runs such a transaction again:
//
//	err := rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
//		var balance int64
//		if err := tx.QueryRowContext(ctx, "SELECT balance FROM accounts WHERE id = ?", id).Scan(&balance); err != nil {
//			return err
//		}
//		_, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = ? WHERE id = ?", balance-10, id)
//		return err
//	})
//
// Writers that share a *sql.DB do not conflict but wait, as on a SQLite file with a busy
// time-out: a transaction keeps the others waiting from its first write to its end, or with
// txlock=immediate from its beginning, which spares those that read before they write a conflict. Who has
// waited for the timeout of the DSN, or the end of its context, gets SQLite's "database is
// locked": errors.Is(err, rqlite.Busy). A goroutine that writes beside its own open transaction waits for itself.
//
// The isolation levels LevelReadCommitted and LevelReadUncommitted let go of what was read;
// all others that are accepted are serializable. A read-only transaction sees one state of the database, and has
// a conflict when it cannot go on with it.
//
// When the answer to a commit is lost, the driver finds out whether it was applied. [ErrIndeterminate] is
// left for a cluster that does not answer until the time-out. [ErrResultsChanged] says that a statement had other
// results in the commit than before, for example because of a DEFAULT CURRENT_TIMESTAMP.
//
// Each statement from the first write on costs an entry in the Raft log and runs the writes before it once
// more. For long transactions there is the mode "deferred" (tx=deferred in the DSN, or [WithTxMode]):
// writes are kept until the commit, which is one request, and tell their results after it.
//
// PRAGMA defer_foreign_keys, in a transaction or on its connection right before, has the commit look at
// foreign keys, and not each statement.
//
// The driver keeps a small table, _rqlite_tx, which the first transaction that writes makes, and every write
// of the driver changes; txversion=false leaves that out for writes outside of transactions, which transactions do not
// notice then. Queries by this driver that list the tables in sqlite_schema, or by PRAGMA table_list, do not show it, unless they name it. It can be dropped and
// emptied; other writes to it are refused. docs/transactions.md in the repository tells how it works, what is refused, and what writers that
// do not use this driver can break.
//
// # Consistency
//
// The level of a read says how much it may miss of what has been written. The
// DSN sets it for all reads, and [WithConsistency] for those of one context. See
// https://rqlite.io/docs/api/read-consistency/.
//
//   - weak, the default: the leader answers. For about a second after a change of
//     leader, the old one can still answer.
//   - linearizable: the leader asks a majority whether it still leads, then answers.
//     Nothing that was acknowledged before is missed.
//   - strong: the read goes through the Raft log. It misses nothing, and costs a write.
//   - none: any node answers from its own copy. A freshness bounds how long ago it
//     may have heard from the leader.
//   - auto: none on a read-only node, and weak on the others.
//
// # Values
//
// A value is sent as int64, float64, bool, string, []byte or time.Time, whatever
// driver.Valuer or database/sql make of it. A nil []byte is NULL and an empty one
// is an empty BLOB. NaN is NULL, as in SQLite. Infinities, uint64 above int64 and
// text that is not UTF-8 are refused. A json.RawMessage is sent as text, a nil one as NULL; other types of bytes
// are BLOBs. database/sql does not scan text into a json.RawMessage by itself: the destination (*[]byte)(&raw) takes it, as
// do types with a Scan method, and string. A time is stored as text such as
// "2006-01-02 15:04:05.999999999-07:00", which SQLite's date functions read.
//
// A value is read by its column's declared type and by what is stored, as
// mattn/go-sqlite3 reads it: integers in BOOLEAN columns are bool; integers (Unix
// seconds, or milliseconds) and text in DATE, DATETIME and TIMESTAMP columns are
// time.Time; all else is int64, float64, string or []byte as it is stored.
//
// ColumnType.DatabaseTypeName is the declared type in upper case, without its
// length, which is Length or DecimalSize. For an expression it is the type of the
// first row's value. ColumnType.ScanType is any where that may be so, which is for the types INTEGER, REAL, TEXT and
// BLOB of a result that has rows: rqlite does not tell an expression from a column so declared. Nullability is not known.
//
// Rows are decoded from the response as Next asks for them, so that memory stays
// flat however many there are. A context that ends, or Close, cuts the rest off.
//
// # Errors
//
// An [*Error] is about a statement, and has SQLite's result codes:
//
//	if errors.Is(err, rqlite.ConstraintUnique) { … }
//
// An [*HTTPError] is an answer that says nothing of the statements. [ErrNoLeader],
// [ErrStaleRead], [ErrUnauthorized], [ErrRowsLost], [ErrTxConflict], [ErrResultsChanged] and
// [ErrIndeterminate] are to be
// asked for with errors.Is, as are context.Canceled and context.DeadlineExceeded. The end of a context is these
// themselves where nothing was written, so that programs may compare. No
// message contains a password.
//
// # Routing and failures
//
// Writes, and reads at the levels weak, linearizable and strong, go straight to the
// leader, which the nodes name by a redirect; that needs no permission. Requests are
// forwarded by another node only with discovery=off, or while the address that the leader
// advertises cannot be reached from here, or is not one that the credentials are meant for.
// A leader that does not answer this program, while the node that names it hands a read on to
// it, cannot be reached; nor can one whose address belongs to something else, which shows by
// answers that are not rqlite's. Whether it can again is found out beside the calls, every few
// seconds. A host that is not rqlite's is passed over. Forwarding is second best: while forwarding, rqlite itself may apply a write twice, which
// no client can prevent, and more failures leave the outcome of a write unknown. Reads at none and auto
// spread over the hosts of the DSN; with discovery=nodes, which needs the permission
// "status", over all nodes of the cluster.
//
// What provably had no effect is tried again, on other nodes where there are any,
// until the deadline of the context or the timeout of the DSN, whichever comes first: so
// a change of leader costs time, and no error. So is a read after any failure. Where no host has
// ever answered, and all refuse or are unknown, a call gives up after about a second. A write
// of which nobody can tell is [ErrIndeterminate] at once, and one whose context ends
// after it was sent is, too: cancelling does not take it back.
//
// Nor does it end the write: every node has to carry out what is in the Raft log, to its end. An INSERT … SELECT
// of a million rows whose context has ended after 50 milliseconds goes on in the server, and the writes of
// all clients wait behind it, for seconds or minutes; reads do not. A write in a transaction goes on as
// well, and is undone then. So a context bounds how long the program waits, and not what a
// write costs the cluster. Write much in parts, such as DELETE … WHERE id IN (SELECT id … LIMIT 1000) until no
// row is left. A read whose context ends does end in the server; before rqlite 9.4.0 a cancelled one goes on
// until its deadline.
//
// A node that does not answer for half a second is asked whether it is alive. If it is
// not, reads go elsewhere after about a second in all, and writes give up a little later.
// When the leader is lost, the nodes are asked who leads before a write goes out: by a read, or,
// for a user who may not read, by sending SELECT 1 as a write.
//
// Credentials go to the hosts of the DSN, on whatever port, and to nodes that one which
// has them names over a verified https connection; a redirect from https to http is an
// error. TLS files are read again when they change, but not for connections by way of an
// HTTP proxy.
//
// As all of net/http, the driver goes by way of the proxy that the environment names in HTTP_PROXY
// or HTTPS_PROXY, except to localhost and to what NO_PROXY lists. What the proxy answers in place
// of a node is told as its answer. An HTTPClient in the [Config] decides for itself.
//
// [Config] takes a Logger, which tells of leaders learned and lost, nodes that fail and
// come back, and forwarding; [Connector.Stats] counts requests, retries, redirects and
// the like.
//
// # Queued writes and administration
//
// [WithQueue], or queue=true in the DSN, hands writes to rqlite's queue: they return
// before they are applied, and nobody learns what became of them.
//
// (*sql.Conn).Raw gives a [Conn], for backup, load and boot, which stream, and for the
// list of nodes, the leader, readiness, status, stepping down and snapshots:
//
//	err := conn.Raw(func(c any) error {
//		return c.(rqlite.Conn).Backup(ctx, file, rqlite.BackupBinary)
//	})
//
// # Releases of rqlite
//
// The driver works with rqlite 8.43.4 and every later release; on an earlier one every call is
// refused. It learns the release of a node from its answers, and asks a node that it has not met before
// it sends a write there. A cluster may be upgraded node by node. docs/releases.md in the repository
// lists the faults of older releases, and what the driver does about them. Before 9.4.2 scripts and
// atomic batches with RETURNING take more requests, and before 9.4.0 RETURNING by Query needs
// the permission "query" besides "execute".
//
// # Change data capture
//
// Package [github.com/go-rqlite/rqlite/cdc] receives the changes that rqlite posts, and passes
// each to a function once and in order.
//
// # What differs
//
// rqlite answers in JSON, and loses a few things on the way. The driver cannot get
// them back:
//
//   - A BLOB comes as text, with U+FFFD for every byte that is not UTF-8, where its
//     column is declared as text (TEXT, JSON, CLOB, and what begins with VARCHAR, NVARCHAR, NCHAR, CLOB,
//     VARYING CHARACTER or NATIVE CHARACTER) or not at all, or where it is the value of an
//     expression or CAST: SELECT x'DEADBEEF', max(b). Columns declared BLOB, or
//     anything else, are exact. hex(…) makes any BLOB exact.
//   - A REAL without a fraction comes as int64 where the column's affinity is not
//     REAL and does not turn it into an integer itself: columns declared BLOB or ANY, and
//     columns without a type and expressions whose first row is not a REAL. Where it is one, small
//     integers in later rows come as float64.
//   - A result with an infinite REAL is an error.
//   - So is one with a value in a column declared DATE, DATETIME or TIMESTAMP that is no time of the
//     years 0 to 9999: an integer from 253402300800 to 1000000000000 or below -62167219200, or a text with an
//     offset of 24 hours. Ask for CAST(column AS TEXT). A write with RETURNING outside of transactions
//     was applied, which is [ErrRowsLost], or [ErrIndeterminate] where the schema has deferred foreign
//     keys, which may have undone it. In a transaction or an atomic batch it had no effect.
//   - Text that is not UTF-8, which only CAST can make, comes with U+FFFD.
//   - When another program changes the declared type of a column, the first read on
//     each of the server's read connections is still done by the old type. (After changes
//     made by this driver, and for SELECT *, the driver sees to it that this cannot happen.)
//   - RETURNING gives no rows where rqlite's own parser does not understand the
//     statement: names in [brackets], 1_000, IS NOT DISTINCT FROM. Query refuses such a
//     statement, and nothing is applied; Exec runs it. To find out, a statement that
//     is not a plain INSERT, UPDATE or DELETE is run once before, for each text, in a request that
//     is rolled back. If that fails, or the user may not use /db/request, the write is applied
//     and the error is [ErrRowsLost].
//   - The violation of a PRIMARY KEY is reported as [ConstraintUnique], and that of ON DELETE
//     RESTRICT as [ConstraintForeignKey]: SQLite words them alike.
//   - Several statements in one Exec are one transaction if none fails and nothing is
//     forwarded, so that a deferred foreign key may be violated in between.
//   - Result is zero for statements that write nothing, such as CREATE TABLE.
//   - A PRAGMA that sets something has no rows and goes through Exec. Those by which a program for
//     SQLite tunes its connection are ignored: journal_mode=WAL, synchronous, busy_timeout,
//     cache_size, cache_spill, mmap_size, temp_store, threads, wal_autocheckpoint. Those that would
//     change what statements mean for all clients are refused with what to do instead, such as
//     case_sensitive_like, ignore_check_constraints, recursive_triggers and locking_mode. foreign_keys
//     has no effect if it asks for what is so already, and is refused otherwise: start rqlited with
//     -fk, or set send_foreign_keys. EXPLAIN of a PRAGMA that sets something, which would set it, is
//     refused, and so is VACUUM INTO.
//
// All nodes have to store the same. So the driver itself replaces the present time (CURRENT_TIMESTAMP,
// 'now' and the like), random() and randomblob(n) in writes by literals, and keeps the server from
// doing so, which prints such a statement anew and changes what it means. A statement has one time. A
// random number is one for each place: among the rows that an INSERT gives, that is one for each row.
// Elsewhere, as in UPDATE, such a statement is run in a transaction of its own, and refused if it
// would give several rows the same number; in a CREATE TABLE … AS that selects from others, a
// condition, an ORDER BY, a queued write and a Batch that is not atomic it is refused at once. Definitions are stored as they are written. An INSERT that
// leaves out a column whose DEFAULT takes a random number or reads the clock is sent with a value for
// it: the driver asks the leader for such defaults once a minute, when it meets a table that it does
// not know, and after a change of the schema. A user who may not query gets no such help. What the
// driver does not send, such as an INSERT within a trigger, gives each node a value of its own: a
// CREATE TABLE with a random DEFAULT says so in the log. norwtime and norwrandom leave time and random
// numbers in writes to each node.
// Within a transaction a result column without an alias is named after the literal.
//
// last_insert_rowid() and changes() tell what the connection of database/sql did, as with SQLite: the
// driver replaces them by literals outside of transactions, where rqlite would tell what any client did
// last. Behind a write that does not tell its numbers, such as a Query with RETURNING, they are refused,
// as is last_insert_rowid() behind an INSERT … DO UPDATE, and so is total_changes(). An INSERT into a table WITHOUT ROWID
// makes last_insert_rowid() that of any client, as it does LastInsertId.
//
// # Concurrency
//
// A [Connector], and with it the *sql.DB, is safe for concurrent use, and so is
// everything that database/sql says is.
package rqlite
