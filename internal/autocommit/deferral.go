package autocommit

import (
	"slices"

	"github.com/go-rqlite/rqlite/internal/bind"
)

// PRAGMA defer_foreign_keys belongs to a transaction: SQLite forgets it at the end of each, and
// that of the next statement outside of one is such an end
// (https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys). The connection that the
// server writes by has the transactions of all clients, so that the pragma is sent within one
// of the driver's only.

// setsDeferral reports whether one of the statements sets whether foreign keys are deferred.
func setsDeferral(stmts []bind.Stmt) bool {
	return slices.ContainsFunc(stmts, func(c bind.Stmt) bool { return c.SetsDeferral() })
}

// note takes note of a call outside of a transaction, and reports whether that is all there is to
// do.
func (c *Session) note(one *bind.Stmt) (done bool) {
	c.deferral = nil
	if done = one.SetsDeferral(); done {
		c.deferral = one
	}
	return done
}
