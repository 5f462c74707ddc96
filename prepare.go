package rqlite

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// check asks the server whether SQLite can compile the first statement of a prepared script, if the
// PrepareMode says so. The statements behind it may need what the first creates.
//
// The server must not parse EXPLAIN: some releases would print it anew, and change it. Up to rqlite
// 10.2.6 the server then refuses EXPLAIN of a write as a read. It does so after SQLite has compiled
// it, so that this is a good answer.
func (c *conn) check(ctx context.Context, stmts []sqltext.Statement) error {
	if c.connector.cfg.PrepareMode != PrepareCheck || c.tx != nil || len(stmts) == 0 || !canExplain(&stmts[0]) {
		return nil
	}
	if c.connector.compiled.has(stmts[0].Text) {
		return nil
	}
	ctx, err := c.checkLevel(ctx, stmts[0].Kind)
	if err != nil {
		return err
	}
	s, err := c.session.Read(ctx, []bind.Stmt{explaining(&stmts[0])}, result.Span{Total: len(stmts)})
	switch {
	case errors.Is(err, sqlerr.ReadOnly):
	case err != nil:
		return err
	default:
		s.Close()
	}
	c.connector.compiled.add(stmts[0].Text)
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

// checkLevel returns the context for the check of a statement. A read is checked where it would be
// read, and all else by the leader. The check avoids the entry that a strong read makes in the Raft
// log.
func (c *conn) checkLevel(ctx context.Context, kind sqltext.Kind) (context.Context, error) {
	options, err := readOptionsFor(ctx, c.connector.cfg)
	if err != nil {
		return nil, err
	}
	level := options.Level
	switch {
	case level == Strong:
		level = Linearizable
	case level.takesFreshness() && kind != sqltext.Read:
		level = Weak
	default:
		return ctx, nil
	}
	o := callOptionsOf(ctx)
	o.level, o.freshness = &level, nil
	return o.in(ctx), nil
}

// compiledTexts are the texts of statements that SQLite has compiled. The zero value is empty. They
// are safe for concurrent use.
type compiledTexts struct {
	// mu guards texts. Invariant: len(texts) <= mostCompiled.
	mu    sync.Mutex
	texts map[[sha256.Size]byte]struct{} // by their sums, because they may be long
}

// mostCompiled bounds the remembered texts.
const mostCompiled = 1000

// has reports whether a text is remembered.
func (c *compiledTexts) has(text string) bool {
	sum := sha256.Sum256([]byte(text))
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.texts[sum]
	return ok
}

// add remembers a text, instead of another if there are too many.
func (c *compiledTexts) add(text string) {
	sum := sha256.Sum256([]byte(text))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.texts == nil {
		c.texts = make(map[[sha256.Size]byte]struct{})
	}
	for other := range c.texts {
		if len(c.texts) < mostCompiled {
			break
		}
		delete(c.texts, other)
	}
	c.texts[sum] = struct{}{}
}
