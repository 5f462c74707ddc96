// Package cdc receives the changes of an rqlite cluster: rqlite 9 and later post every
// change that is committed to a URL (https://rqlite.io/docs/guides/cdc/), and a
// [Handler] passes them to a function, typed, in order, and each once.
//
//	handler := cdc.NewHandler(func(ctx context.Context, changes []cdc.Change) error {
//		for _, c := range changes {
//			log.Println(c.Op, c.Table, c.Row())
//		}
//		return nil
//	}, nil)
//	err := http.ListenAndServe("localhost:8080", handler)
//
// rqlited is started with -cdc-config=http://localhost:8080/, or with a file:
//
//	{
//		"endpoint": "http://user:secret@localhost:8080/",
//		"service_id": "orders",
//		"table_filter": "^[^_]",
//		"max_batch_size": 100
//	}
//
// All voting nodes take the same configuration; the leader is the one that posts. To
// stop, call [http.Server.Shutdown]: it lets callbacks under way return and be
// acknowledged. What is sent meanwhile fails, and rqlite sends it again later.
//
// # Exactly once
//
// rqlite sends a post again until it is acknowledged, and after a change of leader the
// new one sends what it does not know to be acknowledged, cut into posts in another
// way. The handler acknowledges a post when the function has returned nil, and not
// before; what it has handled already it drops. For that a [Checkpoint] keeps the
// index in the Raft log up to which all is handled. To have the effects of each change
// exactly once, put the index into the transaction that has the effects:
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
// Without SaveTx the handler stores the index after the function has returned, so that
// a crash in between repeats its effects; with [Memory] a restart repeats what rqlite
// sends anew. A callback whose commit failed with an unknown outcome just returns the
// error: the handler reads the checkpoint before it goes on. Several receivers may
// share a [Table].
//
// One thing stands against it. A request of several statements that is no transaction
// is several commits of one Raft entry, and rqlite gives an index only to the first of
// them, in 10.3 at least (https://github.com/rqlite/rqlite/pull/2796 is to change it). The handler counts the
// others, which [Change] has as its Part. But when the leader changes between two posts
// that share an entry, nobody can tell what the old one had sent of it: such changes are
// handed over, marked as Uncertain. Worse, a post in which nothing has an index rqlite
// loses before it is sent, and with such a change of leader it may skip commits. Three things
// avoid all of that:
//
//   - Write several statements as one transaction: [github.com/go-rqlite/rqlite.Batch] with
//     Atomic, BeginTx, or one INSERT of several rows.
//   - Set a table_filter that leaves out _rqlite_tx, as "^[^_]" does. With its marks in that table
//     a write of the driver is several commits, of which the filter leaves one.
//   - Where statements can fail, write with coalesce=false: writes of several goroutines go out
//     as one transaction, but as independent statements when one of them fails.
//
// # Order
//
// Changes come in the order of the Raft log, so that those of one row do. The commits of
// one post are handed over together and never in halves. Posts of one service ID are
// handled one after the other, those of different ones concurrently.
//
// Every cluster that posts to one handler needs its own "service_id", for the
// checkpoint goes by that. It is the sender who says it: demand credentials, and TLS, where others
// can reach the handler. A cluster that is made anew, from a backup for example, begins
// with low indexes, which a checkpoint of the old one takes for handled: give the new
// one another service ID. Loading a backup into a running cluster keeps the indexes, and
// sends no changes. Gaps between indexes are normal, and a loss does not show in them.
//
// # Values
//
// rqlite sends what SQLite stores as JSON, and no declared types. Hence:
//
//   - INTEGER comes as int64, exact to 64 bits, in BOOLEAN and DATETIME columns, too:
//     there is no bool and no time.Time, as a query by the driver has them.
//   - REAL comes as float64 if it has a fraction or does not fit an int64, and as
//     int64 if not: 3.0 is sent as 3.
//   - TEXT comes as string. What is not UTF-8 in it has become U+FFFD.
//   - BLOB comes as a string in base64; [Bytes] decodes it. Nothing tells it from text, so
//     that the program has to know its columns.
//   - NULL comes as nil, under its name.
//
// With row_ids_only in rqlite's configuration there are no values, but only the rowids.
//
// # What rqlite loses
//
// Seen with a build of rqlite 10.3 from July 2026, or read in its source where a * stands.
// A receiver can mend none of it:
//
//   - An infinite REAL makes rqlite drop all that was to be sent in one post with it.
//   - In a request without a transaction, rows of a statement that failed half way
//     are reported with those of the next one, although they were rolled back; later
//     releases do not (https://github.com/rqlite/rqlite/pull/2791).
//   - * It drops commits when more than about a hundred wait to be written to its queue,
//     as a large request without a transaction can make them.
//   - Changes of tables with VIRTUAL generated columns have Err in the place of their rows, and
//     so do those in the transaction that made the table, or that changed its columns.
//   - Shortly after ALTER TABLE a row may come under the old names of its columns.
//   - * Loading or booting from a SQLite file sends nothing.
//   - * With transmit_max_retries it gives up a post after that many attempts.
//
// # Writing to the cluster that posts
//
// A callback may write to the cluster whose changes it is given, and the checkpoint may
// lie there. The changes of the checkpoint's own table are left out, and storing it for
// them alone is put off, so that nothing goes round in circles. For the tables that the
// callback writes the program has to see to that, with Options.Tables.
package cdc
