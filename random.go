package rqlite

import (
	"errors"
	"math/rand/v2"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// Reasons why a random number cannot be one for each row.
var (
	errRandomRows = errors.New("random() or randomblob() would be the same in all rows, for every node has to store the same: " +
		"nothing was written; write one row at a time, or pass the values as parameters")
	errRandomHere = errors.New("random() or randomblob() of an UPDATE or of INSERT … SELECT could be the same in several rows: pass the values as parameters")
)

// randomNumber is what random() returns: any integer of 64 bits.
func randomNumber() int64 { return int64(rand.Uint64()) }

// driversOwn is a statement that reads, and that the driver sends beside those of the program.
func driversOwn(text string) bind.Stmt {
	return bind.Stmt{Statement: &sqltext.Statement{Text: text, Kind: sqltext.Read}, Added: true}
}
