package bind

import (
	"errors"
	"math/rand/v2"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// Reasons why a random number cannot be one for each row.
var (
	ErrRandomRows = errors.New("random() or randomblob() would be the same in all rows, for every node has to store the same: " +
		"nothing was written; write one row at a time, or pass the values as parameters")
	ErrRandomHere = errors.New("random() or randomblob() of an UPDATE or of INSERT … SELECT could be the same in several rows: pass the values as parameters")
)

// RandomNumber returns a number as random() does: any integer of 64 bits.
func RandomNumber() int64 { return int64(rand.Uint64()) }

// DriversOwn returns a statement that only reads, and that the driver sends beside those of the
// program.
func DriversOwn(text string) Stmt {
	return Stmt{Statement: &sqltext.Statement{Text: text, Kind: sqltext.Read}, Added: true}
}

// ResultProbe makes the server report the counts of the write before it. For a write with RETURNING
// the server sends the rows instead. For a SELECT in /db/execute it repeats the counts of the last
// write.
var ResultProbe = DriversOwn("SELECT 1")

// Abort always fails when it runs. In a transaction it rolls back the statements before it, after
// their results were sent.
var Abort = DriversOwn("SELECT abs(-9223372036854775808)")

// AbortSays is the message of the failure of Abort.
const AbortSays = "integer overflow"

// ErrUnseenReturning says why a statement is refused whose RETURNING clause the server does not
// see.
var ErrUnseenReturning = errors.New("rqlite does not understand a part of the statement, and would lose the rows of RETURNING; " +
	"it had no effect: write it in another way, or use Exec")
