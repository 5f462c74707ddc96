// Package gormrqlite is the GORM dialect of rqlite, on the driver
// github.com/go-rqlite/rqlite. It needs no cgo.
//
//	db, err := gorm.Open(gormrqlite.Open("rqlite://localhost:4001"), &gorm.Config{TranslateError: true})
//
// gorm.Open contacts the cluster unless gorm.Config.DisableAutomaticPing is set, so that
// a wrong password or a cluster without a leader shows there. [New] takes a *sql.DB, or
// whatever wraps one.
//
// The dialect calls itself "sqlite", so that plugins and types that know SQLite know it as
// well. Databases that gorm.io/driver/sqlite has made can be used and migrated as they are.
//
// # Transactions
//
// GORM puts each Create, Update, Save and Delete into a transaction of its own. On a
// cluster a transaction costs more than a statement, and one statement is atomic as it is. So
// this dialect begins such a transaction only where the call can come to more than one
// statement:
//
//   - the model has a hook for the operation (BeforeSave, AfterCreate …), unless the
//     session skips hooks;
//   - the value holds associations that are saved along, or Delete selects some;
//   - a plugin or a callback was registered, for nobody knows what it writes.
//
// What the program sees is the same, but for a constraint with ON CONFLICT FAIL and a trigger with
// RAISE(FAIL), which keep the rows before the one that failed. gorm.Config.SkipDefaultTransaction does without
// transactions even there, and a failure can then leave the first half of the statements
// behind. DB.Transaction, Begin, CreateInBatches and FindInBatches are not concerned.
//
// Transactions are those of the driver: atomic, and serializable among all programs that use
// it. Writers within one *sql.DB wait for each other, but not before a transaction's first
// write: two that read and then write what they have read conflict, and one of them fails
// with [rqlite.ErrTxConflict]. Open the database with txlock=immediate in the DSN when
// transactions of one program read before they write, and repeat a transaction on
// ErrTxConflict when several programs write.
//
//	db, err := gorm.Open(gormrqlite.Open("rqlite://localhost:4001/?txlock=immediate"))
//
// Locking clauses (FOR UPDATE) are left out, as for SQLite: transactions are serializable
// without them. A transaction within a transaction is a savepoint.
//
// For thousands of writes in one transaction use the driver's deferred mode, where
// RowsAffected and generated ids are not known before the commit:
//
//	db.WithContext(rqlite.WithTxMode(ctx, rqlite.TxDeferred)).Transaction(func(tx *gorm.DB) error { … })
//
// # Errors
//
// With gorm.Config.TranslateError the violation of a unique constraint or primary key is
// gorm.ErrDuplicatedKey, that of a foreign key gorm.ErrForeignKeyViolated, and that of a CHECK
// gorm.ErrCheckConstraintViolated. The error is the driver's as well, with SQLite's codes and
// message. Ask by errors.Is and errors.As.
//
// rqlite enforces foreign keys only when it runs with -fk. DropTable drops a table all the same that
// others refer to. A row gets one value for all nodes of a default that is random, because the driver
// writes it into the INSERT.
//
// # Migrations
//
// SQLite's ALTER TABLE can add, rename and drop columns, and nothing else. AlterColumn,
// DropColumn, CreateConstraint and DropConstraint make the table anew: a copy with the new
// definition takes all rows, in one transaction that leaves nothing behind if it fails.
// Indexes, triggers and the views that name the table are made again; generated columns
// and the next id of AUTOINCREMENT stay right. On a cluster that enforces foreign keys, which
// cannot be switched off for one program alone, the rows of tables that refer to the
// table are put aside and back, so that no ON DELETE of theirs runs. Where such
// references form a circle the migration is refused.
//
// All of that is sent as one request. Each of several steps of an AutoMigrate is atomic,
// AutoMigrate as a whole is not.
//
// # Types
//
// bool is boolean, integers are integer, floats real, text is text, time.Time is datetime and
// []byte blob; a type tag is taken as it is. Generated columns are written by such a tag:
//
//	Full string `gorm:"->;type:text GENERATED ALWAYS AS (first || ' ' || last) VIRTUAL"`
package gormrqlite
