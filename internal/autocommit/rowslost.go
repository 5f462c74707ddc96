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

// lostItsRows reports whether err says that the rows of a statement with RETURNING could not be
// sent. Outside of a transaction it was applied all the same, as a rule; see rowsLost.
func lostItsRows(err error, one *bind.Stmt) bool {
	var failed *sqlerr.Error
	return one.Returning > 0 && errors.As(err, &failed) && strings.HasPrefix(failed.Message, sqlerr.BadTime)
}

// rowsLost returns the error of a statement outside of a transaction that lost its rows. SQLite
// applies such a statement before it gives the first row, and checks deferred foreign keys at its
// end. The server has forgotten then that the check failed, so that where there are such
// keys nobody knows.
func (c *Session) rowsLost(ctx context.Context, why error) error {
	if c.defersNothing(ctx) {
		return sqlerr.Of(sqlerr.ErrRowsLost, why)
	}
	return perhapsUndone(why)
}

// perhapsUndone is the error of such a statement where there may be deferred foreign keys.
func perhapsUndone(why error) error {
	return sqlerr.Of(sqlerr.ErrIndeterminate, fmt.Errorf("a deferred foreign key may have undone it, for its rows cannot be sent: %s", strings.TrimPrefix(why.Error(), "rqlite: ")))
}

var defersKeysCall = bind.DriversOwn("SELECT 1 WHERE " + occ.DefersKeys)

// defersNothing reports whether it is known that the schema has no deferred foreign keys.
func (c *Session) defersNothing(ctx context.Context) bool {
	s, err := c.readAsked(ctx, occ.AsksWeak, []bind.Stmt{defersKeysCall}, result.Span{Total: 1})
	if err != nil {
		return false
	}
	defer s.Close()
	return errors.Is(s.Answer().NextRow(), io.EOF)
}
