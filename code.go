package rqlite

import "github.com/go-rqlite/rqlite/internal/sqlerr"

// Code is a result code of SQLite, https://www.sqlite.org/rescode.html. It is an error so that it
// can be the target of [errors.Is].
type Code int

// The result codes that the driver reads from rqlite's messages.
const (
	GenericError   Code = 1  // SQLITE_ERROR: a mistake in the SQL, or anything not listed here
	Busy           Code = 5  // SQLITE_BUSY
	Locked         Code = 6  // SQLITE_LOCKED
	OutOfMemory    Code = 7  // SQLITE_NOMEM
	ReadOnly       Code = 8  // SQLITE_READONLY
	Interrupted    Code = 9  // SQLITE_INTERRUPT
	IOError        Code = 10 // SQLITE_IOERR
	Corrupt        Code = 11 // SQLITE_CORRUPT
	Full           Code = 13 // SQLITE_FULL
	SchemaChanged  Code = 17 // SQLITE_SCHEMA
	TooBig         Code = 18 // SQLITE_TOOBIG
	Constraint     Code = 19 // SQLITE_CONSTRAINT
	Mismatch       Code = 20 // SQLITE_MISMATCH
	NotAuthorized  Code = 23 // SQLITE_AUTH
	ParameterRange Code = 25 // SQLITE_RANGE

	BusySnapshot Code = 517 // SQLITE_BUSY_SNAPSHOT: another writer changed what a transaction read

	ConstraintCheck      Code = 275  // SQLITE_CONSTRAINT_CHECK
	ConstraintForeignKey Code = 787  // SQLITE_CONSTRAINT_FOREIGNKEY
	ConstraintNotNull    Code = 1299 // SQLITE_CONSTRAINT_NOTNULL
	ConstraintUnique     Code = 2067 // SQLITE_CONSTRAINT_UNIQUE, and PRIMARY KEY
	ConstraintDatatype   Code = 3091 // SQLITE_CONSTRAINT_DATATYPE, of a STRICT table
)

// Primary returns the primary result code that an extended one belongs to.
func (c Code) Primary() Code { return c & 0xff }

// Error implements error. It returns SQLite's description of the code.
func (c Code) Error() string { return sqlerr.Code(c).Error() }
