// Package rqlite is a database/sql driver for rqlite, the distributed database built on SQLite and
// Raft (https://rqlite.io).
//
//	import (
//		"database/sql"
//
//		_ "github.com/go-rqlite/rqlite"
//	)
//
//	db, err := sql.Open("rqlite", "rqlite://user:secret@node1:4001,node2:4001/?level=linearizable")
//
// A program that runs on a local SQLite by way of github.com/mattn/go-sqlite3 sees the same values,
// the same kinds of errors and the same final database on a cluster. Where rqlite makes that
// impossible, "What differs" below says so.
//
// The driver makes no promise it cannot keep. A failure is an error, never a silent success. The
// driver sends a write again only if it provably had no effect. If the outcome is unknown, the
// error is [ErrIndeterminate]. The driver refuses requests that it cannot carry out faithfully, and
// the message says what to do instead.
//
// # Data source names
//
//	rqlite://[user:password@]host[:port][,host[:port]…][/][path/][?key=value&…]
//
// The schemes http:// and https:// work, too. rqlite:// is plain http unless tls=true. The default
// port is 4001. User and password are percent-decoded. Several hosts are nodes of one cluster, and
// the driver tries them in turn. DSNs written for gorqlite work unchanged.
//
// A path is for a reverse proxy that serves rqlite below that path and removes it, as in
// https://db.example.com:443/rqlite/. It ends with a slash, and is the same at all hosts. Clients
// cannot reach the nodes' own addresses behind such a proxy, so the nodes forward requests to the
// leader, as with discovery=off.
//
// A key that is unknown, contradicts another or has a bad value is an error of sql.Open. The keys
// are:
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
//   - tx: when the statements of a transaction run: interactive runs each at once, pipelined sends
//     writes together as late as it can, auto does so from the third execution of a statement on.
//     Value: one of auto, interactive, pipelined. Default: auto.
//   - txlock: when a transaction makes the other writers of this program wait: from its first write
//     on, or from its beginning. Value: one of deferred, immediate. Default: deferred.
//   - txversion: whether writes outside of transactions advance the version by which transactions
//     notice them. Value: true or false. Default: true.
//   - exactly_once: which writes outside of transactions the driver sends again if their answer is
//     lost and they were not applied: joined those that go out together, scripts and atomic
//     batches; all also single ones, which then take about 5 % longer; off none. Value: one of
//     joined, all, off. Default: joined.
//   - coalesce: whether writes, and quick reads, that are under way at the same time go out as one
//     request. Value: true or false. Default: true.
//   - queue: hand the writes of Exec to the queue of the server, so that neither their results nor
//     their failures are known. Value: true or false. Default: false.
//   - queue_wait: wait until a queued write has been applied; needs queue. Value: true or false.
//     Default: false.
//   - loc: zone of times that are read; auto leaves them as they are stored. Value: auto, UTC,
//     Local or the name of a zone this system knows, such as Europe/Berlin. Default: auto.
//   - times: which columns hold times: declared those of the types DATE, DATETIME and TIMESTAMP,
//     similar also those whose type begins with DATETIME or TIMESTAMP, such as timestamptz or
//     datetime(3). Value: one of declared, similar. Default: declared.
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
// [Config] has the same settings as typed fields, and three that a text cannot express: HTTPClient,
// TLSConfig and Logger. [NewConnector] makes a connector of it for sql.OpenDB. [ParseDSN] and
// [Config.FormatDSN] convert between the two.
//
// # Connections
//
// The connections of the database/sql pool hold no sockets. They share the HTTP connections of
// their connector, so there is no need to limit or to warm up the pool. sql.Open sends no request.
// Ping sends one that only the leader can answer. So it finds a wrong password, or a cluster
// without a leader.
//
// # Statements
//
// Exec sends its statements to /db/execute. Query sends a statement that reads to /db/query, and
// one that writes, such as INSERT … RETURNING, to /db/execute. A user with the permission "query"
// can read. A user with "query" and "execute" can do everything that database/sql offers.
//
// Parameters are ?, ?NNN, :name, @name and $name, the latter three with sql.Named. A missing value
// or a surplus positional value is an error before anything is sent. SQLite would bind NULL, or
// ignore the value, but it is usually a mistake. Named values that no parameter uses are ignored,
// so that one list can serve many statements. rqlite has no prepared statements: the driver parses
// them, and sends them with each call. Prepare reports a text whose first word begins no statement.
// Mistakes that only SQLite can see show at the first call.
//
// With prepare=check they show at Prepare, as with SQLite. The driver sends the server EXPLAIN of
// the first statement of the text, with NULL for each parameter. It does not check the statements
// after the first, which may need a table that the first creates. The check costs one request for
// each text: the connector remembers 1000 texts that were found correct. It does not check them
// again when the schema changes; the mistake then shows at the call. There is no check within a
// transaction, which may have changed the schema itself, and no check of EXPLAIN, VACUUM and
// PRAGMA. The check needs the permission "query" and ends with the context. The leader makes it,
// except for reads at the levels none and auto.
//
// One string may hold several statements. They take their parameters in order. Exec returns the
// result of the last. The first statement that fails ends the script. The statements before it stay
// applied, as in SQLite. The error says which statement failed. (The driver sends them as one
// transaction, and one by one only if that has failed. Where requests are forwarded, see "Routing
// and failures", it sends them one by one at once.) An error is about one statement, and those
// before it may have been applied: do not repeat a script as a whole. Query gives one result set
// for each statement, by NextResultSet.
//
// The driver refuses BEGIN, COMMIT and ROLLBACK, ATTACH and DETACH, and TEMP objects. rqlite has
// one connection for the writes of all clients, so that a BEGIN or a temporary table of one client
// would affect the writes of all. Within a transaction, SAVEPOINT, RELEASE and ROLLBACK TO work. A
// [Batch] is the fast way to send many statements: it is one request, and one entry in the Raft
// log. With Atomic set it is applied as a whole or not at all.
//
// # Concurrent writes
//
// rqlite commits each request by itself, so a hundred writes at the same time are a hundred
// commits. The driver sends writes of different goroutines that are under way at the same time as
// one request. While requests of a connector that write are under way, further writes wait. They
// leave together when one of those is answered. A write that meets no other goes out at once.
//
// This holds outside of transactions, for single statements of up to 64 KiB that insert, update or
// delete rows. By Query it holds for INSERT and REPLACE alone. With RETURNING it holds for an
// INSERT of given rows.
//
// The statements are independent. Each call gets its own result or error, and one that fails does
// so alone. If a context ends while the write waits, the error says that nothing was sent. When the
// answer to a request is lost, the driver finds out whether it was applied; see "Exactly once".
// [WithoutCoalescing] and coalesce=false send each statement by itself. [Connector.Stats] counts the
// statements that went this way.
//
// A program may notice some things:
//
//   - The request does not carry the context of a caller. A transport that looks for tracing data
//     in the context finds none.
//   - A statement may fail on one node only, because its disk is full or its settings differ. Then
//     that node is left without the writes that went with it.
//   - If a request gets no answer, the writes behind it wait for half a second to a second. Then
//     they go out beside it, unless eight requests are overdue like this already.
//   - When a RETURNING gives an infinite REAL, which JSON cannot express, rqlite answers none of
//     the statements of the request. All of its callers lose their numbers and rows, once: from then
//     on the connector sends statements with RETURNING by themselves.
//
// # Exactly once
//
// When a leader dies with a write on its way, the answer of the write is lost, and nobody can tell
// whether it was applied. The driver finds out, as it does for the commits of transactions. If the
// write was applied, the call succeeds. The numbers of its Result, or its rows, are lost: asking for
// them gives an error that wraps [ErrRowsLost]. If the write was not applied, the driver makes sure that
// it never will be, and sends it again, until the context or the timeout of the DSN ends. So it is
// applied once at most, even if a proxy or a node sends it twice, however late.
//
// For this, a write leaves a token in the version table _rqlite_tx, in one transaction of the server with
// its statements. The table keeps the tokens of the last two hundred thousand writes at most, which takes
// nine megabytes. Such writes are, by exactly_once=joined, the default: writes that go out with those of
// others, those that meet no others within a second of that, scripts, atomic batches, and all writes where
// nodes forward requests. A single write takes about 5 % longer with a token, so that this needs
// exactly_once=all. [ErrIndeterminate] remains for
//
//   - a cluster that does not answer until the context or the timeout ends;
//   - other single writes with exactly_once=joined, and writes that went out together while several of
//     them failed: they go as one request that is no transaction;
//   - what cannot be part of a transaction: VACUUM, a PRAGMA, OR FAIL and OR ROLLBACK, batches that are
//     not atomic, queued writes;
//   - a version table that was replaced, or emptied, or that has moved by more than a hundred thousand
//     writes meanwhile;
//   - RETURNING while a node is of a release before 9.4.2, or of one that is not known yet; a user who
//     may not read and write; a second after the version table could not be made or read; and
//     txversion=false.
//
// A write whose statement fails is not applied. A proxy that delivers a copy of its request later, when
// the statement would not fail any more, can still apply it.
//
// # Concurrent reads
//
// Reads of different goroutines that are under way at the same time go out as one request as well.
// The same settings switch that off, and a program may notice the same things. This holds outside
// of transactions, for single SELECT and VALUES statements, also behind WITH, that call no random()
// and read no clock. The reads of a request have the same level, freshness and time-out of
// [WithLinearizableTimeout]. Reads with 16 different sets of these may be under way at a time; others go by
// themselves. A read never gets the answer to a request that was sent before it was
// called, so each level means what it means for a request of its own.
//
// The server works on the statements of a request one after another. So only quick and small reads
// go together. The connector remembers for up to 4,096 texts how long the server said that it
// worked on them: the average has to be below a millisecond, and the rows have to be below 64 KiB.
// A text that is new, slow or large goes by itself, at once. A read that meets few others does,
// too. A program that writes its values into the text, instead of parameters, gains nothing,
// because each text is new.
//
// Each call gets its own rows or error, and its own deadline. A request that fails as a whole is
// sent again, each read by itself. So is one that takes more than 100 ms, and three times as long as
// usual, while the node answers what was sent later. If a caller gives up on it, 25 ms are enough. While the node
// answers nothing, the driver sends the reads of one such request again every 100 ms, or ten times as long as usual,
// a few at a time. After a second it does so for each.
//
// # Transactions
//
// BeginTx begins a transaction that is atomic, and serializable among all programs that write with
// this driver. Its statements give their real results, and its reads see its writes. Commit applies
// all of it by one entry of the Raft log, provided that everything the program has seen in it still
// holds. If it does not, a statement or Commit returns [ErrTxConflict], and nothing was applied.
// [RunTx] runs such a transaction again:
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
// Writers that share a *sql.DB do not conflict but wait, as on a SQLite file with a busy timeout. A
// transaction holds the write lock from its first write to its end. With txlock=immediate it holds
// the lock from its beginning. Then a transaction that reads before it writes has no conflict with
// other writers of the *sql.DB. A writer that has waited for the timeout of the DSN, or to the end
// of its context, gets SQLite's "database is locked": errors.Is(err, rqlite.Busy). A goroutine that
// writes beside its own open transaction waits for itself.
//
// At the isolation levels LevelReadCommitted and LevelReadUncommitted, rows that were read need not
// be the same at the commit. The other accepted levels are serializable. A read-only transaction
// sees one state of the database. It fails with a conflict if it cannot read more of that state.
//
// When the answer to a commit is lost, the driver finds out whether it was applied.
// [ErrIndeterminate] remains for two cases: the cluster does not answer until the timeout, or
// somebody has replaced the version table meanwhile. [ErrResultsChanged] says that a statement had
// other results in the commit than before, for example because of a DEFAULT CURRENT_TIMESTAMP.
//
// Each statement from the first write on costs an entry in the Raft log, and runs the writes before
// it once more. In long loops that would cost the square of their length. So in the mode auto, the
// default, the third and later executions of a write wait on the client, and go out together with the
// next statement that needs the server, or at the commit. Their results can be asked for at any time.
// Ids of INSERTs are foreseen, and compared before the commit. If a write that waited fails, the
// error comes late:
//
//	err := tx.Commit()
//	errors.Is(err, rqlite.ErrTxConflict)    // true: nothing was applied, run it again
//	errors.Is(err, rqlite.ConstraintUnique) // true: that is why
//
// The connector then runs that statement at once in later transactions, so that [RunTx] succeeds with
// a program that handles the failure. With tx=interactive in the DSN, or [WithTxMode], each statement
// runs at once. With tx=pipelined all writes wait.
//
// PRAGMA defer_foreign_keys moves the check of foreign keys from each statement to the commit. It
// works in a transaction, and on its connection right before the transaction.
//
// The driver keeps a small table, the version table _rqlite_tx. The first transaction that writes,
// or the first atomic batch, creates it. Every write of the driver changes it. With txversion=false
// writes outside of transactions do not, and transactions then do not notice them. Queries by this
// driver that list the tables in sqlite_schema, or by PRAGMA table_list, do not show it, unless
// they name it. It can be dropped and emptied. The driver refuses other writes to it.
// docs/transactions.md in the repository explains how transactions work, what is refused, and what
// writers that do not use this driver can break.
//
// # Consistency
//
// The level of a read says which earlier writes it may miss. The DSN sets it for all reads, and
// [WithConsistency] for those of one context. See https://rqlite.io/docs/api/read-consistency/.
//
//   - weak, the default: the leader answers. For about a second after a change of leader, the old
//     one can still answer.
//   - linearizable: the leader asks a majority whether it still leads, then answers. The read
//     misses nothing that was acknowledged before.
//   - strong: the read goes through the Raft log. It misses nothing, and costs a write.
//   - none: any node answers from its own copy. A freshness bounds how long ago it may have heard
//     from the leader.
//   - auto: none on a read-only node, and weak on the others.
//
// # Values
//
// A value is sent as int64, float64, bool, string, []byte or time.Time, after driver.Valuer and
// database/sql have converted it. A nil []byte is NULL, and an empty one is an empty BLOB. NaN is
// NULL, as in SQLite. Infinities, uint64 above int64 and text that is not UTF-8 are refused. A time
// is stored as text such as "2006-01-02 15:04:05.999999999-07:00", which SQLite's date functions
// read.
//
// A json.RawMessage is sent as text, a nil one as NULL. Other byte slices are BLOBs. database/sql
// does not scan text into a json.RawMessage by itself. The destination (*[]byte)(&raw) takes it, as
// do types with a Scan method, and string.
//
// The driver reads a value by its column's declared type and by what is stored, as mattn/go-sqlite3
// does. Integers in BOOLEAN columns are bool. Integers (Unix seconds, or milliseconds) and text in
// DATE, DATETIME and TIMESTAMP columns are time.Time. Other values are int64, float64, string or
// []byte, as stored.
//
// With times=similar in the DSN, columns of types such as timestamptz, TIMESTAMP WITH TIME ZONE or
// datetime(3) are read as times, too. [Time] reads a time from any column and from expressions,
// which have no declared type:
//
//	var last rqlite.Time
//	err := db.QueryRow("SELECT max(made) FROM orders").Scan(&last)
//
// ColumnType.DatabaseTypeName is the declared type in upper case, without its length, which is
// Length or DecimalSize. For an expression it is the type of the first row's value.
// ColumnType.ScanType is any where the column may be an expression. That is so for the types
// INTEGER, REAL, TEXT and BLOB of a result that has rows: rqlite does not tell an expression from a
// column of such a declared type. Nullability is not known.
//
// The driver decodes rows from the response as Next asks for them, so memory stays flat however
// many there are. When the context ends, and at Close, the driver drops the rest.
//
// # Errors
//
// An [*Error] is about a statement, and has SQLite's result codes:
//
//	if errors.Is(err, rqlite.ConstraintUnique) { … }
//
// An [*HTTPError] is an answer without results of the statements. Ask with errors.Is for
// [ErrNoLeader], [ErrStaleRead], [ErrUnauthorized], [ErrRowsLost], [ErrTxConflict],
// [ErrResultsChanged] and [ErrIndeterminate], and for context.Canceled and
// context.DeadlineExceeded. If nothing was written when the context ended, the driver returns these
// two errors unwrapped, so that programs may compare with ==. No message contains a password.
//
// # Routing and failures
//
// Writes, and reads at the levels weak, linearizable and strong, go straight to the leader. The
// nodes name the leader by a redirect, which needs no permission. Another node forwards requests
// only
//
//   - with discovery=off;
//   - while this program cannot reach the address that the leader advertises;
//   - while that address is not one that the credentials are meant for.
//
// The driver takes a leader for unreachable in two cases. The leader does not answer this program,
// but the node that names it can forward a read to it. Or the answers at its address do not come
// from rqlite. The driver checks every few seconds, in the background, whether it can reach the
// leader again. It skips hosts that are not rqlite.
//
// Forwarding has disadvantages. rqlite itself may apply a forwarded write twice, which no client
// can prevent. And more failures leave the outcome of a write unknown. Reads at none and auto
// spread over the hosts of the DSN. With discovery=nodes, which needs the permission "status", they
// spread over all nodes of the cluster.
//
// The driver repeats a request that provably had no effect, on another node if there is one, until
// the deadline of the context or the timeout of the DSN, whichever comes first. So a change of
// leader takes time, but causes no error. It tries a read again after any failure. If no host has
// ever answered, and all refuse or are unknown, a call gives up after about a second. If the
// outcome of a write is unknown, the call returns [ErrIndeterminate] at once. So does a write whose
// context ends after it was sent: cancelling does not take it back.
//
// Cancelling does not stop the write in the server either, because every node has to apply each
// entry of the Raft log to its end. Take an INSERT … SELECT of a million rows whose context has
// ended after 50 milliseconds. It continues in the server. The writes of all clients wait behind
// it, for seconds or minutes; reads do not. A write in a transaction continues as well, and is
// undone after that. So a context bounds how long the program waits, and not what a write costs the
// cluster. Divide a large write, as in DELETE … WHERE id IN (SELECT id … LIMIT 1000) until no row
// is left. A read whose context ends does stop in the server. Before rqlite 9.4.0 a cancelled read
// continues until its deadline.
//
// When a node does not answer for half a second, the driver asks it whether it is alive. If it is
// not, reads go to another node after about a second in all, and writes give up after about two.
// When the leader is lost, the driver asks the nodes who leads before a write goes out: by a read
// or, for a user who may not read, by sending SELECT 1 as a write.
//
// Credentials go to the hosts of the DSN, on whatever port. They also go to a node if a node that
// already has them names it over a verified https connection. A redirect from https to http is an
// error. TLS files are read again when they change, but not for connections by way of an HTTP
// proxy.
//
// Like all of net/http, the driver uses the proxy in the environment variables HTTP_PROXY and
// HTTPS_PROXY, except for localhost and the hosts in NO_PROXY. If the proxy answers in place of a
// node, the error says so. An HTTPClient in the [Config] decides for itself.
//
// [Config] takes a Logger. The driver logs leaders learned and lost, nodes that fail and come back,
// and forwarding. [Connector.Stats] counts requests, retries, redirects and the like.
//
// # Queued writes and administration
//
// [WithQueue], or queue=true in the DSN, hands writes to rqlite's queue. They return before they
// are applied, and their outcome is not known.
//
// (*sql.Conn).Raw gives a [Conn]. It has methods for backup, load and boot, which stream, for the
// list of nodes, the leader, readiness and status, and for stepping down and snapshots:
//
//	err := conn.Raw(func(c any) error {
//		return c.(rqlite.Conn).Backup(ctx, file, rqlite.BackupBinary)
//	})
//
// # Releases of rqlite
//
// The driver works with rqlite 8.43.4 and every later release. On an earlier one every call is
// refused. The driver learns the release of a node from its answers. It asks a node that it has not
// met before it sends a write there. You can upgrade a cluster node by node. docs/releases.md in
// the repository lists the faults of older releases, and what the driver does about them. Before
// 9.4.2 scripts and atomic batches with RETURNING take more requests. Before 9.4.0 RETURNING by
// Query needs the permission "query" besides "execute".
//
// # Change data capture
//
// Package [github.com/go-rqlite/rqlite/cdc] receives the changes that rqlite posts, and passes each
// to a function once and in order.
//
// # What differs
//
// rqlite answers in JSON, and loses a few things on the way. The driver cannot get them back:
//
//   - A BLOB comes as text, with U+FFFD for every byte that is not UTF-8, in two cases. Its column
//     is declared as text (TEXT, JSON, CLOB, and what begins with VARCHAR, NVARCHAR, NCHAR, CLOB,
//     VARYING CHARACTER or NATIVE CHARACTER) or not at all. Or it is the value of an expression or
//     CAST: SELECT x'DEADBEEF', max(b). Columns declared BLOB, or anything else, are exact. hex(…)
//     makes any BLOB exact.
//   - A REAL without a fraction comes as int64 where the column's affinity is not REAL and does not
//     turn it into an integer itself: in columns declared BLOB or ANY, and in columns without a
//     type and expressions whose first row is not a REAL. Where the first row is a REAL, small
//     integers in later rows come as float64.
//   - A result with an infinite REAL is an error.
//   - So is one with a value in a column declared DATE, DATETIME or TIMESTAMP that is no time of
//     the years 0 to 9999: an integer from 253402300800 to 1000000000000 or below -62167219200, or
//     a text with an offset of 24 hours. Ask for CAST(column AS TEXT). A write with RETURNING
//     outside of transactions was applied. The error is [ErrRowsLost] then, or [ErrIndeterminate]
//     where the schema has deferred foreign keys, which may have undone it. In a transaction or an
//     atomic batch it had no effect.
//   - Text that is not UTF-8, which only CAST can make, comes with U+FFFD.
//   - When another program changes the declared type of a column, the first read on each of the
//     server's read connections still uses the old type. (After changes made by this driver, and
//     for SELECT *, the driver prevents this, but not for a read that is under way while the change
//     is applied. Such a read may also have the old names.)
//   - RETURNING gives no rows where rqlite's own parser does not understand the statement: names in
//     [brackets], 1_000, IS NOT DISTINCT FROM. Query refuses such a statement, and nothing is
//     applied. Exec runs it. To find out, the driver runs a statement that is not a plain INSERT,
//     UPDATE or DELETE once before, for each text, in a request that is rolled back. If that fails,
//     or the user may not use /db/request, the write is applied and the error is [ErrRowsLost].
//   - The violation of a PRIMARY KEY is reported as [ConstraintUnique], and that of ON DELETE
//     RESTRICT as [ConstraintForeignKey]: SQLite words them alike.
//   - Several statements in one Exec are one transaction if none fails and nothing is forwarded, so
//     that a deferred foreign key may be violated in between.
//   - Result is zero for statements that write nothing, such as CREATE TABLE.
//   - A PRAGMA that sets something has no rows and goes through Exec. The driver ignores those by
//     which a program for SQLite tunes its connection: journal_mode=WAL, synchronous, busy_timeout,
//     cache_size, cache_spill, mmap_size, temp_store, threads, wal_autocheckpoint. It refuses those
//     that would change what statements mean for all clients, and says what to do instead:
//     case_sensitive_like, ignore_check_constraints, recursive_triggers, locking_mode and the like.
//     foreign_keys has no effect if it asks for what is so already, and is refused otherwise: start
//     rqlited with -fk, or set send_foreign_keys. VACUUM INTO is refused, and so is EXPLAIN of a
//     PRAGMA that sets something, which would set it.
//
// All nodes have to store the same. So the driver itself replaces the present time
// (CURRENT_TIMESTAMP, 'now' and the like), random() and randomblob(n) in writes by literals. It
// tells the server not to do so, because the server prints such a statement anew and may change its
// meaning.
//
//   - A statement has one time.
//   - Each random() in the text of a statement is one number. In VALUES, each row has one of its
//     own. Elsewhere, as in UPDATE, the driver runs the statement in a transaction of its own, and
//     refuses it if several rows would get the same number. It refuses it at once in a condition,
//     an ORDER BY, a join, a subquery of rows, an aggregate, a CREATE TABLE … AS that selects from
//     others, a queued write and a Batch that is not atomic.
//   - Definitions are stored as they are written.
//   - An INSERT that leaves out a column whose DEFAULT takes a random number or reads the clock is
//     sent with a value for it. The driver asks the leader for such defaults once a minute, when it
//     meets a table that it does not know, and after a change of the schema. A user who may not
//     query gets no such help.
//   - The driver cannot replace these functions in statements that it does not send, such as an
//     INSERT within a trigger. There each node gets a value of its own. The driver logs a warning
//     for a CREATE TABLE with a random DEFAULT.
//   - norwtime and norwrandom leave time and random numbers in writes to each node.
//   - Within a transaction a result column without an alias is named after the literal.
//
// last_insert_rowid() and changes() return the values of the database/sql connection, as with
// SQLite. The driver replaces them by literals outside of transactions, and in a transaction in
// reads before its first write. rqlite itself would return the values of any client there. The
// driver refuses them after a write whose values it does not know, such as a Query with RETURNING, or
// one that failed or was rolled back: SQLite may tell of a row that it had inserted before that.
// It refuses last_insert_rowid() after an INSERT … DO UPDATE, and total_changes() always. After an
// INSERT into a table WITHOUT ROWID, last_insert_rowid() and LastInsertId are those of any client.
//
// # Concurrency
//
// A [Connector] and its *sql.DB are safe for concurrent use. So are the other types of database/sql
// that are documented as such.
package rqlite
