package autocommit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// Each node carries out an INSERT as it was sent. A left-out column whose DEFAULT takes a random
// number or reads the clock would get another value on each node
// (https://rqlite.io/docs/api/non-deterministic/). So the driver asks the schema for such defaults
// and writes them into the INSERT. Then it replaces their random numbers and times by literals, as
// everywhere.

// withDefaults returns the statements with each INSERT giving its left-out columns their defaults,
// if these call functions, other than the allowed ones, that differ between nodes.
func (e *Engine) withDefaults(ctx context.Context, stmts []bind.Stmt, allowed sqltext.Calls) ([]bind.Stmt, error) {
	if allowed == sqltext.CallsRandom|sqltext.CallsTime {
		return stmts, nil
	}
	given := stmts
	var schema []bind.Stmt // the changes of the schema so far
	for i := range stmts {
		if stmts[i].Kind == sqltext.Schema {
			schema = append(schema, stmts[i])
		}
		statement, err := e.giveDefaults(ctx, &stmts[i], schema, allowed)
		switch {
		case err != nil:
			return nil, err
		case statement == nil:
			continue
		case &given[0] == &stmts[0]:
			given = slices.Clone(stmts)
		}
		given[i].Statement = statement
	}
	return given, nil
}

// Defaults returns an INSERT that gives its left-out columns their defaults, nil if there is
// nothing to give. The changes of the schema before it may create its table.
func (e *Engine) Defaults(ctx context.Context, one *bind.Stmt, before []bind.Stmt) (*sqltext.Statement, error) {
	return e.giveDefaults(ctx, one, before, 0)
}

// giveDefaults is Defaults, except for defaults that only call allowed functions.
func (e *Engine) giveDefaults(ctx context.Context, one *bind.Stmt, before []bind.Stmt, allowed sqltext.Calls) (*sqltext.Statement, error) {
	if one.LeavesOut == "" {
		return nil, nil
	}
	created, ok := createdBy(before, one.LeavesOut)
	defaults := created.Defaults
	if !ok || created.IfNotExists {
		list, known, err := e.defaultsOf(ctx, one.LeavesOut)
		if err != nil {
			return nil, err
		}
		if known {
			defaults = list
		}
	}
	if len(defaults) == 0 {
		return nil, nil
	}
	isAllowed := func(d sqltext.Default) bool { return d.Calls&^allowed == 0 }
	statement := one.WithDefaults(slices.DeleteFunc(slices.Clone(defaults), isAllowed))
	return &statement, nil
}

// createdBy returns the last CREATE TABLE of a table among changes of the schema, parsed.
func createdBy(stmts []bind.Stmt, table string) (created sqltext.CreatedTable, ok bool) {
	for _, one := range slices.Backward(stmts) {
		if created, ok = one.Creates(); ok && created.Name == table {
			return created, true
		}
	}
	return sqltext.CreatedTable{}, false
}

// warnOfRandom warns of columns with a random default. Inserts that the driver does not send, as
// those of triggers, leave them different on each node.
func (e *Engine) warnOfRandom(stmts []bind.Stmt) {
	for i := range stmts {
		if stmts[i].Kind != sqltext.Schema || stmts[i].Calls&sqltext.CallsRandom == 0 {
			continue
		}
		created, _ := stmts[i].Creates()
		for _, d := range created.Defaults {
			if d.Calls&sqltext.CallsRandom != 0 {
				e.Warn(fmt.Errorf("rqlite: the column %q of a new table has a random DEFAULT: INSERTs by this driver give it one value for all nodes, "+
					"but rows that a trigger or another client inserts get another value on each node", d.Column))
			}
		}
	}
}

// knownTables are the tables and views of a schema at a time. A value never changes.
type knownTables struct {
	// until is when they must be read again. The zero time, as after a change of the schema, is at
	// once.
	until      time.Time
	defaults   map[string][]sqltext.Default // by the table, as sqltext.FoldName returns it
	unreadable bool                         // the user is not allowed to read the schema
	// keeps says that a statement may keep a part of its rows when it fails, because the schema has ON
	// CONFLICT FAIL or RAISE(FAIL).
	keeps bool
}

// defaultsOf returns the defaults of a table that differ between nodes, and whether the table is known to
// exist. It is not if the user is not allowed to read the schema.
func (e *Engine) defaultsOf(ctx context.Context, table string) (list []sqltext.Default, known bool, err error) {
	tables, err := e.tables(ctx, func(t *knownTables) bool {
		_, known := t.defaults[table]
		return known || t.unreadable
	})
	if err != nil {
		return nil, false, err
	}
	list, known = tables.defaults[table]
	return list, known, nil
}

// keepsOnFailure reports whether a statement that fails may keep a part of its rows, as far as the
// schema tells. It is true if nobody can tell.
func (e *Engine) keepsOnFailure(ctx context.Context) bool {
	tables, err := e.tables(ctx, func(*knownTables) bool { return true })
	return err != nil || tables.unreadable || tables.keeps
}

// tables returns the remembered tables if they are enough. Otherwise it asks the leader, but lets one of
// several callers ask for all.
func (e *Engine) tables(ctx context.Context, enough func(*knownTables) bool) (*knownTables, error) {
	watch := &e.schema
	if tables := watch.fresh(); tables != nil && enough(tables) {
		return tables, nil
	}
	select {
	case watch.asking <- struct{}{}:
		defer func() { <-watch.asking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("rqlite: waited for the defaults of the table; nothing was sent: %w", ctx.Err())
	}
	if tables := watch.fresh(); tables != nil && enough(tables) {
		return tables, nil
	}
	before := watch.tables.Load()
	tables, err := e.askTables(ctx)
	if err != nil {
		return nil, fmt.Errorf("rqlite: the defaults of the table could not be read; nothing was sent: %w", err)
	}
	watch.tables.CompareAndSwap(before, tables) // unless the schema has changed meanwhile
	return tables, nil
}

// fresh returns the remembered tables, nil if they must be read again.
func (w *schemaWatch) fresh() *knownTables {
	tables := w.tables.Load()
	if tables == nil || time.Now().After(tables.until) {
		return nil
	}
	return tables
}

// tablesStmt asks for all tables, views and triggers, and for the text of those that may have a default
// that differs between nodes, or the word FAIL.
var tablesStmt = bind.DriversOwn("SELECT CASE WHEN type<>'trigger' THEN name END,CASE WHEN lower(sql) GLOB '*default*' AND (" +
	mentions("random", "current_", "date", "time", "julianday", "unixepoch") + ") OR " + mentions("fail") + " THEN sql END FROM sqlite_schema WHERE type IN ('table','view','trigger')")

// mentions returns the condition that sql mentions one of the words. It changes them.
func mentions(words ...string) string {
	for i, word := range words {
		words[i] = "lower(sql) GLOB '*" + word + "*'"
	}
	return strings.Join(words, " OR ")
}

// askTables reads the schema.
func (e *Engine) askTables(ctx context.Context) (*knownTables, error) {
	tables := &knownTables{until: time.Now().Add(schemaSettles), defaults: map[string][]sqltext.Default{}}
	s, err := e.readAsked(ctx, occ.AsksWeak, []bind.Stmt{tablesStmt}, result.Span{Total: 1})
	if errors.Is(err, sqlerr.ErrUnauthorized) {
		tables.unreadable = true
		return tables, nil
	}
	if err != nil {
		return nil, err
	}
	defer s.Close()
	set, err := result.Read(s.Answer(), s.Answer().Result(), &result.Values{}, nil)
	if err != nil {
		return nil, sqlerr.From(err)
	}
	for _, row := range set.Rows {
		text, _ := row[1].(string)
		tables.keeps = tables.keeps || sqltext.KeepsOnFailure(text)
		if name, ok := row[0].(string); ok {
			tables.defaults[sqltext.FoldName(name)] = declaredDefaults(text)
		}
	}
	return tables, sqlerr.From(s.Answer().End())
}

// declaredDefaults returns the defaults in a CREATE statement that differ between nodes.
func declaredDefaults(create string) []sqltext.Default {
	script, err := sqltext.Parse(create)
	if err != nil || len(script) != 1 {
		return nil
	}
	created, _ := script[0].Creates()
	return created.Defaults
}
