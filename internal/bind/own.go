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

// RandomNumber is what random() returns: any integer of 64 bits.
func RandomNumber() int64 { return int64(rand.Uint64()) }

// DriversOwn is a statement that reads, and that the driver sends beside those of the program.
func DriversOwn(text string) Stmt {
	return Stmt{Statement: &sqltext.Statement{Text: text, Kind: sqltext.Read}, Added: true}
}
