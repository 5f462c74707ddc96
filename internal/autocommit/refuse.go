package autocommit

import (
	"errors"
	"fmt"

	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// Refuse returns why one of the statements of a script must not be sent, nil if all may be. The
// server has one connection for the writes of all clients. A BEGIN, a temporary table or an attached
// database of one client would affect the writes of all. inTx says that the statements belong to a
// transaction of the driver, which looks at PRAGMAs and at the version table by itself.
func Refuse(script []sqltext.Statement, inTx bool) error {
	for i := range script {
		if why := refuses(&script[i], inTx); why != nil {
			return sqlerr.At(why, i, len(script))
		}
	}
	return nil
}

// refuses returns why a statement would change the connection of all clients.
func refuses(s *sqltext.Statement, inTx bool) error {
	switch {
	case s.Kind == sqltext.Control && inTx:
		if _, _, ok := s.Savepoint(); ok {
			return nil // nothing is sent
		}
		return fmt.Errorf("%s cannot be sent as a statement: use the methods Commit and Rollback of the transaction", s.Keyword)
	case s.Kind == sqltext.Control:
		return fmt.Errorf("%s cannot be sent as a statement: use the transactions of database/sql, or a Batch with Atomic set", s.Keyword)
	case s.Temp:
		return errors.New("a TEMP object would hide, from all clients, what has its name: use an ordinary one")
	case s.Kind == sqltext.Pragma && s.Keyword == "EXPLAIN":
		return errors.New("EXPLAIN of a PRAGMA that sets or does something would do it, for all clients: leave EXPLAIN out")
	case s.Kind == sqltext.Pragma && !inTx:
		return refusesPragma(s)
	case !inTx && s.Kind != sqltext.Read && s.Names(occ.Table) && !s.Clears(occ.Table):
		return occ.ErrOwned
	case s.Keyword == "VACUUM" && s.Mentions("into"):
		return errors.New("VACUUM INTO would write a file on every node: use Backup of the Conn that (*sql.Conn).Raw gives")
	case s.Keyword == "ATTACH" || s.Keyword == "DETACH":
		return fmt.Errorf("%s cannot be sent: it would change the connection that all clients write through", s.Keyword)
	}
	return nil
}
