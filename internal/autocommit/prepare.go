package autocommit

import (
	"context"
	"errors"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// Prepare checks the first statement of a script, as SQLite does when it prepares one. The
// statements behind it may need what the first creates. With ask set, it makes the server compile
// the statement, once for each text. Otherwise it sends nothing, and sees only whether the first
// word begins a statement.
func (c *Session) Prepare(ctx context.Context, script []sqltext.Statement, ask bool) error {
	if len(script) == 0 {
		return nil
	}
	first := &script[0]
	if word, no := first.NoStatement(); no {
		return sqlerr.New(`near "`+word+`": syntax error`, 0, len(script))
	}
	if !ask || !canExplain(first) || c.engine.texts.Has(first.Text, compiled) {
		return nil
	}
	if err := c.compile(ctx, first, len(script)); err != nil {
		return err
	}
	c.engine.texts.Add(first.Text, compiled)
	return nil
}

// compile asks the server whether SQLite can compile the first of n statements. A read is checked
// where it would be read, and all else by the leader. The check avoids the entry that a strong read
// makes in the Raft log.
//
// The server must not parse EXPLAIN: some releases would print it anew, and change it. Up to rqlite
// 10.2.6 the server then refuses EXPLAIN of a write as a read. It does so after SQLite has compiled
// it, so that this is a good answer.
func (c *Session) compile(ctx context.Context, first *sqltext.Statement, n int) error {
	asks := occ.AsksLeaderUnlogged
	if first.Kind == sqltext.Read {
		asks = occ.AsksUnlogged
	}
	s, err := c.engine.readAsked(ctx, asks, []bind.Stmt{explaining(first)}, result.Span{Total: n})
	if errors.Is(err, sqlerr.ReadOnly) {
		return nil
	}
	if err != nil {
		return err
	}
	s.Close()
	return nil
}

// canExplain reports whether EXPLAIN of a statement is useful and harmless. SQLite carries out some
// PRAGMAs when it compiles them.
func canExplain(s *sqltext.Statement) bool {
	switch s.Kind {
	case sqltext.Unknown, sqltext.Read, sqltext.Write, sqltext.Schema:
		return s.Keyword != "EXPLAIN" && s.Keyword != "PRAGMA"
	case sqltext.Pragma, sqltext.Control, sqltext.Maintenance:
	}
	return false
}

// explaining returns EXPLAIN of a statement, with NULL for each of its parameters.
func explaining(s *sqltext.Statement) bind.Stmt {
	return bind.Stmt{
		Statement: &sqltext.Statement{
			Text: "EXPLAIN " + s.Text,
			Kind: sqltext.Read,
			Star: true, // so that the server looks at the schema first; it may remember an old one
		},
		Values: make([]any, s.NumParams),
	}
}
