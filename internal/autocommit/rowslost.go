package autocommit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// lostItsRows reports whether err says that the server could not send the rows of a statement with
// RETURNING. Outside of a transaction the statement was applied, as a rule; see rowsLost.
func lostItsRows(err error, one *bind.Stmt) bool {
	var failed *sqlerr.Error
	return one.Returning > 0 && errors.As(err, &failed) && strings.HasPrefix(failed.Message, sqlerr.BadTime)
}

// rowsLost returns the error of a statement outside of a transaction that lost its rows. SQLite
// applies such a statement before it gives the first row, and checks deferred foreign keys at its
// end. By then the server no longer reports a failure of that check. So the outcome is unknown if
// the schema has deferred keys.
func (c *Session) rowsLost(ctx context.Context, why error) error {
	if c.defersNothing(ctx) {
		return sqlerr.Of(sqlerr.ErrRowsLost, why)
	}
	return perhapsUndone(why)
}

// perhapsUndone is the error of such a statement if the schema may have deferred foreign keys.
func perhapsUndone(why error) error {
	return sqlerr.Of(sqlerr.ErrIndeterminate, fmt.Errorf("a deferred foreign key may have undone it, for its rows cannot be sent: %s", strings.TrimPrefix(why.Error(), "rqlite: ")))
}

var defersKeysStmt = bind.DriversOwn("SELECT 1 WHERE " + occ.DefersKeys)

// defersNothing reports whether the schema is known to have no deferred foreign keys.
func (c *Session) defersNothing(ctx context.Context) bool {
	s, err := c.engine.readAsked(ctx, occ.AsksWeak, []bind.Stmt{defersKeysStmt}, result.Span{Total: 1})
	if err != nil {
		return false
	}
	defer s.Close()
	return errors.Is(s.Answer().NextRow(), io.EOF)
}
