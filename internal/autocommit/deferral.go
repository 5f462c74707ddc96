package autocommit

import (
	"slices"

	"github.com/go-rqlite/rqlite/internal/bind"
)

// PRAGMA defer_foreign_keys belongs to a transaction: SQLite forgets it at the end of each
// (https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys). Outside of one, each statement is
// a transaction. The server's write connection runs the transactions of all clients. So the driver
// sends the pragma only within one of its own.

// setsDeferral reports whether one of the statements is this pragma.
func setsDeferral(stmts []bind.Stmt) bool {
	return slices.ContainsFunc(stmts, func(c bind.Stmt) bool { return c.SetsDeferral() })
}

// note records a statement outside of a transaction. It reports whether that is all there is to do:
// the pragma waits for the next transaction, and any other statement makes it void.
func (c *Session) note(one *bind.Stmt) (done bool) {
	c.deferral = nil
	if done = one.SetsDeferral(); done {
		c.deferral = one
	}
	return done
}
