package autocommit

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// pragmaUse says how the driver treats a PRAGMA that sets something, outside of transactions.
// rqlite would set it for the connection by which all clients write, on every node, and not for the
// connections that read (https://www.sqlite.org/pragma.html).
type pragmaUse struct {
	// ignored says that the setting does not change what a program sees, or is in force already.
	// Programs for SQLite send such pragmas when they start.
	ignored bool
	refused string // why it is not sent, and the alternative; "" if it is sent
}

const (
	forAll   = "it would change the meaning of statements for all clients, in writes and not in reads: "
	startsBy = "rqlited decides that when it starts"
)

var pragmaUses = map[string]pragmaUse{
	"busy_timeout":       {ignored: true}, // the timeout of the DSN takes its place
	"cache_size":         {ignored: true},
	"cache_spill":        {ignored: true},
	"mmap_size":          {ignored: true},
	"synchronous":        {ignored: true}, // the Raft log makes writes durable
	"temp_store":         {ignored: true},
	"threads":            {ignored: true},
	"wal_autocheckpoint": {ignored: true}, // rqlited sees to it

	"case_sensitive_like":       {refused: forAll + "use GLOB, or compare lower() of both"},
	"count_changes":             {refused: forAll + "use RowsAffected"},
	"full_column_names":         {refused: forAll + "name the columns by AS"},
	"ignore_check_constraints":  {refused: forAll + "take the constraint out of the schema"},
	"legacy_alter_table":        {refused: forAll + "write the change of the schema out"},
	"locking_mode":              {refused: "it would stop all writes: rqlite has one connection for them"},
	"query_only":                {refused: "it would stop all writes: use TxOptions.ReadOnly, or a user with the permission query alone"},
	"read_uncommitted":          {refused: forAll + "use a consistency level"},
	"recursive_triggers":        {refused: forAll + startsBy},
	"reverse_unordered_selects": {refused: forAll + "use ORDER BY"},
	"short_column_names":        {refused: forAll + "name the columns by AS"},
	"trusted_schema":            {refused: forAll + startsBy},
	"writable_schema":           {refused: "it would let all clients break the schema: use ALTER TABLE"},
}

// errJournalMode says why no other journal mode is possible.
var errJournalMode = errors.New("rqlite keeps its database in WAL mode: leave PRAGMA journal_mode out")

// useOfPragma returns how the driver treats a PRAGMA.
func useOfPragma(s *sqltext.Statement) pragmaUse {
	name, value := s.PragmaSetting()
	if name == "journal_mode" {
		if value == "wal" {
			return pragmaUse{ignored: true}
		}
		return pragmaUse{refused: errJournalMode.Error()}
	}
	return pragmaUses[name]
}

// errForeignKeys says why foreign keys cannot be switched on or off.
var errForeignKeys = errors.New("PRAGMA foreign_keys would set it for all clients, in writes and not in reads: start each rqlited with -fk to enforce foreign keys, " +
	"or set send_foreign_keys in the DSN to have it sent")

// setsForeignKeys reports whether a statement sets whether foreign keys are enforced.
func setsForeignKeys(one bind.Stmt) bool {
	if one.Kind != sqltext.Pragma {
		return false
	}
	name, _ := one.PragmaSetting()
	return name == "foreign_keys"
}

var foreignKeysStmt = bind.DriversOwn("PRAGMA foreign_keys")

// agreeOnForeignKeys returns nil if the server enforces foreign keys exactly if the PRAGMA wants
// it. Programs for SQLite send that PRAGMA when they start.
func (c *Session) agreeOnForeignKeys(ctx context.Context, one bind.Stmt) error {
	s, err := c.engine.readAsked(ctx, occ.AsksWeak, []bind.Stmt{foreignKeysStmt}, result.Span{Total: 1})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Answer().NextRow(); err != nil {
		return sqlerr.From(err)
	}
	cell, err := s.Answer().Cell()
	if err != nil {
		return sqlerr.From(err)
	}
	_, value := one.PragmaSetting()
	if isOn(value) != (string(cell.Data) == "1") {
		return sqlerr.Refused(errForeignKeys)
	}
	return nil
}

// isOn reports whether SQLite takes the value of a PRAGMA for true
// (https://www.sqlite.org/pragma.html#syntax).
func isOn(value string) bool {
	switch value {
	case "on", "yes", "true":
		return true
	}
	n, err := strconv.Atoi(value)
	return err == nil && n != 0
}

// refusesPragma returns why a PRAGMA is not sent, nil if it is.
func refusesPragma(s *sqltext.Statement) error {
	name, _ := s.PragmaSetting()
	if why := useOfPragma(s).refused; why != "" {
		return fmt.Errorf("PRAGMA %s is refused: %s", name, why)
	}
	return nil
}
