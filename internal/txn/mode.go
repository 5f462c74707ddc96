package txn

import "github.com/go-rqlite/rqlite/internal/sqltext"

// Mode decides which writes of a transaction wait on the client until something needs them. The
// values are Interactive, Auto and Pipelined.
type Mode interface {
	// waits reports whether a write may wait whose text has run successfully so many times in the
	// transaction. wentOn says that the program has gone on after a failure.
	waits(kind sqltext.Kind, succeeded int, wentOn bool) bool
}

// The modes.
var (
	Interactive Mode = interactive{} // runs each write at once
	Auto        Mode = auto{}        // runs the first executions of each text at once
	Pipelined   Mode = pipelined{}   // lets all writes wait
)

type interactive struct{}

func (interactive) waits(sqltext.Kind, int, bool) bool { return false }

type auto struct{}

// triedFirst is how many executions of a text succeed before further ones wait.
const triedFirst = 2

func (auto) waits(kind sqltext.Kind, succeeded int, wentOn bool) bool {
	return kind == sqltext.Write && succeeded >= triedFirst && !wentOn
}

type pipelined struct{}

func (pipelined) waits(kind sqltext.Kind, _ int, _ bool) bool {
	return kind == sqltext.Write || kind == sqltext.Schema
}
