package rqlite

import "github.com/go-rqlite/rqlite/internal/sqlerr"

// Code is a result code of SQLite, https://www.sqlite.org/rescode.html. It is an error so that it
// can be the target of [errors.Is].
type Code int

// The result codes that the driver reads from rqlite's messages.
const (
	GenericError   = Code(sqlerr.GenericError)   // SQLITE_ERROR: a mistake in the SQL, or anything not listed here
	Busy           = Code(sqlerr.Busy)           // SQLITE_BUSY
	Locked         = Code(sqlerr.Locked)         // SQLITE_LOCKED
	OutOfMemory    = Code(sqlerr.OutOfMemory)    // SQLITE_NOMEM
	ReadOnly       = Code(sqlerr.ReadOnly)       // SQLITE_READONLY
	Interrupted    = Code(sqlerr.Interrupted)    // SQLITE_INTERRUPT
	IOError        = Code(sqlerr.IOError)        // SQLITE_IOERR
	Corrupt        = Code(sqlerr.Corrupt)        // SQLITE_CORRUPT
	Full           = Code(sqlerr.Full)           // SQLITE_FULL
	SchemaChanged  = Code(sqlerr.SchemaChanged)  // SQLITE_SCHEMA
	TooBig         = Code(sqlerr.TooBig)         // SQLITE_TOOBIG
	Constraint     = Code(sqlerr.Constraint)     // SQLITE_CONSTRAINT
	Mismatch       = Code(sqlerr.Mismatch)       // SQLITE_MISMATCH
	NotAuthorized  = Code(sqlerr.NotAuthorized)  // SQLITE_AUTH
	ParameterRange = Code(sqlerr.ParameterRange) // SQLITE_RANGE

	BusySnapshot = Code(sqlerr.BusySnapshot) // SQLITE_BUSY_SNAPSHOT: another writer changed what a transaction read

	ConstraintCheck      = Code(sqlerr.ConstraintCheck)      // SQLITE_CONSTRAINT_CHECK
	ConstraintForeignKey = Code(sqlerr.ConstraintForeignKey) // SQLITE_CONSTRAINT_FOREIGNKEY
	ConstraintNotNull    = Code(sqlerr.ConstraintNotNull)    // SQLITE_CONSTRAINT_NOTNULL
	ConstraintUnique     = Code(sqlerr.ConstraintUnique)     // SQLITE_CONSTRAINT_UNIQUE, and PRIMARY KEY
	ConstraintDatatype   = Code(sqlerr.ConstraintDatatype)   // SQLITE_CONSTRAINT_DATATYPE, of a STRICT table
)

// Primary returns the primary result code that an extended one belongs to.
func (c Code) Primary() Code { return Code(sqlerr.Code(c).Primary()) }

// Error implements error. It returns SQLite's description of the code.
func (c Code) Error() string { return sqlerr.Code(c).Error() }
