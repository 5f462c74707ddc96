package rqlite

import (
	"errors"
	"fmt"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// pragmaUse is what becomes of a PRAGMA that sets something, outside of transactions. On rqlite it
// would set it for the connection that all clients write by, on every node, and not for the
// connections that read (https://www.sqlite.org/pragma.html).
type pragmaUse struct {
	// ignored says that the setting makes no difference to what a program sees, or is so already:
	// programs for SQLite send it when they start.
	ignored bool
	refused string // why it is not sent, and what to do instead; "" if it is
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

// errJournalMode is why no other mode of the journal can be had.
var errJournalMode = errors.New("rqlite keeps its database in WAL mode: leave PRAGMA journal_mode out")

// useOfPragma returns what becomes of a statement that is a PRAGMA.
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

// refusesPragma returns why a PRAGMA is not sent.
func refusesPragma(s *sqltext.Statement) error {
	name, _ := s.PragmaSetting()
	if why := useOfPragma(s).refused; why != "" {
		return fmt.Errorf("PRAGMA %s is refused: %s", name, why)
	}
	return nil
}
