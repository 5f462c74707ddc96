// Package cdc receives the changes of an rqlite cluster. rqlite 9 and later can post every
// committed change to a URL (https://rqlite.io/docs/guides/cdc/). A [Handler] takes these posts and
// passes the changes to a function: typed, in order, and each once.
//
//	handler := cdc.NewHandler(func(ctx context.Context, changes []cdc.Change) error {
//		for _, c := range changes {
//			log.Println(c.Op, c.Table, c.Row())
//		}
//		return nil
//	}, nil)
//	err := http.ListenAndServe("localhost:8080", handler)
//
// Start rqlited with -cdc-config=http://localhost:8080/, or with a file:
//
//	{
//		"endpoint": "http://user:secret@localhost:8080/",
//		"service_id": "orders",
//		"table_filter": "^[^_]",
//		"max_batch_size": 100
//	}
//
// Give all voting nodes the same configuration. The leader is the node that posts. To stop the
// receiver, call [http.Server.Shutdown]: running callbacks return and their posts are acknowledged.
// Posts fail meanwhile, and rqlite sends them again later.
//
// # Exactly once
//
// rqlite repeats a post until it is acknowledged. After a change of leader the new leader sends the
// changes again that it does not know to be acknowledged, and may divide them into posts in another
// way. The handler acknowledges a post after the function has returned nil, and drops changes that
// it has handled already. For that a [Checkpoint] stores the index in the Raft log up to which
// everything is handled. To have the effects of each change exactly once, store the index in the
// same transaction as the effects:
//
//	checkpoint, err := cdc.NewTable(db, nil)
//	handler := cdc.NewHandler(func(ctx context.Context, changes []cdc.Change) error {
//		return rqlite.RunTx(ctx, db, nil, func(tx *sql.Tx) error {
//			if err := apply(ctx, tx, changes); err != nil {
//				return err
//			}
//			return checkpoint.SaveTx(ctx, tx)
//		})
//	}, &cdc.Options{Checkpoint: checkpoint})
//
// Without SaveTx the handler stores the index after the function has returned. A crash in between
// repeats the effects. With [Memory], a restart repeats whatever rqlite sends again. If a commit
// fails with an unknown outcome, the callback just returns the error: the handler reads the
// checkpoint before it continues. Several receivers may share a [Table].
//
// One case remains uncertain. If a request has several statements and is no transaction, one Raft
// entry makes several commits. rqlite gives an index only to the first of them, at least in 10.3
// (https://github.com/rqlite/rqlite/pull/2796 is to change it). The handler counts the others; the
// count is the Part of a [Change]. But if the leader changes between two posts that share an entry,
// nobody knows which of its commits the old leader has sent. The handler delivers such changes and
// marks them as Uncertain. There are also losses: rqlite drops a post in which no commit has an
// index, and after such a change of leader it may skip commits. Three things avoid all of that:
//
//   - Write several statements as one transaction: [github.com/go-rqlite/rqlite.Batch] with
//     Atomic, BeginTx, or one INSERT of several rows.
//   - Set a table_filter that leaves out _rqlite_tx, such as "^[^_]". Around its writes the driver
//     updates that table, which makes several commits of one write. The filter leaves one of them.
//   - Where statements can fail, write with coalesce=false. The driver joins writes of several
//     goroutines into one transaction, but sends them as independent statements if one of them
//     fails.
//
// # Order
//
// Changes come in the order of the Raft log, and so do the changes of each row. All commits of one
// post are delivered together. Posts with the same service ID are handled one after the other,
// posts with different ones concurrently.
//
// The checkpoint is stored by service ID, so each cluster that posts to one handler needs its own
// "service_id". The sender chooses it: demand credentials, and use TLS, where others can reach the
// handler. A new cluster begins with low indexes, even one made from a backup. A checkpoint of the
// old cluster takes them for handled: give the new cluster another service ID. Loading a backup
// into a running cluster keeps the indexes and sends no changes. Gaps between indexes are normal,
// so they do not reveal a loss.
//
// # Values
//
// rqlite sends stored values as JSON, without declared types. Hence:
//
//   - INTEGER is an int64, exact to 64 bits. That includes BOOLEAN and DATETIME columns: there is no
//     bool and no time.Time as in a query through the driver.
//   - REAL is a float64 if it has a fraction or does not fit an int64, else an int64: rqlite sends
//     3.0 as 3.
//   - TEXT is a string. Bytes in it that are not UTF-8 have become U+FFFD.
//   - BLOB is a string in base64; [Bytes] decodes it. It looks like a text, so the program has to
//     know its BLOB columns.
//   - NULL is nil. Its column is present in the map.
//
// With row_ids_only in rqlite's configuration there are only rowids, and no values.
//
// # What rqlite loses
//
// These losses were seen with a build of rqlite 10.3 from July 2026. Those marked with a * were
// read in its source. A receiver can mend none of them:
//
//   - An infinite REAL makes rqlite drop the whole post that contains it.
//   - If a statement fails half way in a request without a transaction, its rows are reported
//     together with those of the next statement, although they were rolled back. Later releases do
//     not report them (https://github.com/rqlite/rqlite/pull/2791).
//   - * It drops commits when more than about a hundred wait to be written to its queue. A large
//     request without a transaction can cause that.
//   - Changes of tables with VIRTUAL generated columns have Err in place of their rows. So do the
//     changes in the transaction that created the table or changed its columns.
//   - Shortly after ALTER TABLE a row may come with the old names of its columns.
//   - * Loading or booting from a SQLite file sends nothing.
//   - * With transmit_max_retries it drops a post after that many attempts.
//
// # Writing to the cluster that posts
//
// A callback may write to the cluster that sends the changes, and the checkpoint may be stored
// there. To avoid an endless loop, the handler leaves out changes of the checkpoint's own table,
// and does not store a mark for such changes alone. For the tables that the callback writes, the
// program has to avoid the loop itself, with Options.Tables.
package cdc
