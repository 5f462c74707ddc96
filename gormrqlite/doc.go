// Package gormrqlite is the GORM dialect of rqlite, on the driver github.com/go-rqlite/rqlite. It
// needs no cgo.
//
//	db, err := gorm.Open(gormrqlite.Open("rqlite://localhost:4001"), &gorm.Config{TranslateError: true})
//
// gorm.Open pings the cluster unless gorm.Config.DisableAutomaticPing is set. So it reports a wrong
// password, or a cluster without a leader. [New] takes a *sql.DB or a wrapper around one.
//
// The dialect calls itself "sqlite", because plugins and types choose their SQL by that name. It
// uses and migrates databases of gorm.io/driver/sqlite as they are.
//
// # Transactions
//
// GORM puts each Create, Update, Save and Delete into a transaction of its own. On a cluster a
// transaction costs more than a statement, and one statement is atomic by itself. So this dialect
// begins such a transaction only if the call may send more than one statement:
//
//   - the model has a hook for the operation (BeforeSave, AfterCreate …), unless the
//     session skips hooks;
//   - the value has associations that are saved with it, or Delete selects some;
//   - a plugin or a callback was registered, because it may write as well.
//
// A program sees a difference only with ON CONFLICT FAIL and with a trigger's RAISE(FAIL): they
// keep the rows before the one that failed. gorm.Config.SkipDefaultTransaction omits even these
// transactions. A failure can then leave the first statements applied. DB.Transaction, Begin,
// CreateInBatches and FindInBatches always use their transactions.
//
// Transactions are those of the driver: atomic, and serializable among all programs that use it.
// Writers of one *sql.DB wait for each other, but only from the first write of a transaction on. If
// two transactions read and then write what they have read, they conflict, and one of them fails
// with [rqlite.ErrTxConflict]. If transactions of one program read before they write, open the
// database with txlock=immediate in the DSN. If several programs write, run a transaction again on
// ErrTxConflict.
//
//	db, err := gorm.Open(gormrqlite.Open("rqlite://localhost:4001/?txlock=immediate"))
//
// Locking clauses (FOR UPDATE) are left out, as for SQLite: transactions are serializable without
// them. A transaction within a transaction is a savepoint.
//
// Thousands of Creates in one transaction go to the server together: the driver foresees their ids,
// and compares them before the commit. GORM asks Updates and Deletes for RowsAffected, so that each of
// them runs the writes before it once more. Use CreateInBatches, or one Update with a condition, where
// there are thousands.
//
// # Errors
//
// With gorm.Config.TranslateError, a violated unique constraint or primary key is
// gorm.ErrDuplicatedKey, a violated foreign key gorm.ErrForeignKeyViolated, and a violated CHECK
// gorm.ErrCheckConstraintViolated. The error also is the driver's error, with SQLite's codes and
// message. Use errors.Is and errors.As.
//
// rqlite enforces foreign keys only with -fk. DropTable drops a table even if others refer to it. A
// default that is random gives the same value on all nodes, because the driver writes the value
// into the INSERT.
//
// # Migrations
//
// SQLite's ALTER TABLE can only add, rename and drop columns. So AlterColumn, DropColumn,
// CreateConstraint and DropConstraint rebuild the table: they copy all rows into a table with the
// new definition. They do so in one transaction, and a failure changes nothing. They create its
// indexes, its triggers and the views that name it again. Generated columns and the next id of
// AUTOINCREMENT stay right. On a cluster that enforces foreign keys, one program alone cannot
// switch them off. There the rows of tables that refer to the table are moved aside and back, so
// that no ON DELETE runs on them. If such references form a circle, the migration is refused.
//
// Each of these steps is one request. AutoMigrate may take several steps. Each of them is atomic,
// AutoMigrate as a whole is not.
//
// # Types
//
// bool becomes boolean, integers integer, floats real, string text, time.Time datetime and []byte
// blob. A type tag is used as it is. Such a tag also makes generated columns:
//
//	Full string `gorm:"->;type:text GENERATED ALWAYS AS (first || ' ' || last) VIRTUAL"`
package gormrqlite
