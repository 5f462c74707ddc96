package sqltext_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var savepointTests = []struct {
	src    string
	action sqltext.SavepointAction
	name   string
}{
	{"SAVEPOINT sp1", sqltext.SavepointOpen, "sp1"},
	{"savepoint /* a */ Sp1", sqltext.SavepointOpen, "Sp1"},
	{`SAVEPOINT "a ""b"`, sqltext.SavepointOpen, `a "b`},
	{"SAVEPOINT 'it''s'", sqltext.SavepointOpen, "it's"},
	{"SAVEPOINT `a``b`", sqltext.SavepointOpen, "a`b"},
	{"SAVEPOINT [a b]", sqltext.SavepointOpen, "a b"},
	{"SAVEPOINT Ärger", sqltext.SavepointOpen, "Ärger"},
	{"SAVEPOINT ärger", sqltext.SavepointOpen, "ärger"},
	{"SAVEPOINT savepoint", sqltext.SavepointOpen, "savepoint"},
	{"RELEASE a", sqltext.SavepointRelease, "a"},
	{"release savepoint a", sqltext.SavepointRelease, "a"},
	{"RELEASE savepoint savepoint", sqltext.SavepointRelease, "savepoint"},
	{"ROLLBACK TO a", sqltext.SavepointRollbackTo, "a"},
	{"ROLLBACK TRANSACTION TO SAVEPOINT a", sqltext.SavepointRollbackTo, "a"},
	{"RELEASE savepoint", 0, ""},
	{"rollback to savepoint", 0, ""},
	{"ROLLBACK", 0, ""},
	{"ROLLBACK TRANSACTION", 0, ""},
	{"ROLLBACK TO", 0, ""},
	{"ROLLBACK a", 0, ""},
	{"SAVEPOINT", 0, ""},
	{"SAVEPOINT a b", 0, ""},
	{"RELEASE savepoint a b", 0, ""},
	{"SAVEPOINT ?", 0, ""},
	{"SAVEPOINT 1", 0, ""},
	{"COMMIT", 0, ""},
	{"BEGIN", 0, ""},
	{"SELECT 1", 0, ""},
}

func TestSavepoint(t *testing.T) {
	t.Parallel()
	for _, tt := range savepointTests {
		action, name, ok := parseOne(t, tt.src).Savepoint()
		assert.Equal(t, tt.action, action, tt.src)
		assert.Equal(t, tt.name, name, tt.src)
		assert.Equal(t, tt.action != 0, ok, tt.src)
	}
	assert.True(t, sqltext.EqualNames("aBc", "AbC"))
	assert.False(t, sqltext.EqualNames("ä", "Ä"))
	assert.Equal(t, "ROLLBACK TO", sqltext.SavepointRollbackTo.String())
	assert.Equal(t, "no action on a savepoint", sqltext.SavepointAction(0).String())
}

func TestMentions(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]bool{
		"DELETE FROM _rqlite_tx":              true,
		"DELETE FROM main._RQLITE_TX":         true,
		`INSERT INTO "_rqlite_tx" VALUES(1)`:  true,
		"INSERT INTO '_rqlite_tx' VALUES(1)":  true,
		"DROP TABLE [_Rqlite_tx]":             true,
		"DROP TABLE `_rqlite_tx`":             true,
		"DELETE FROM _rqlite_tx2":             false,
		"DELETE FROM t /* _rqlite_tx */":      false,
		"INSERT INTO t VALUES('a_rqlite_tx')": false,
		"DELETE FROM t":                       false,
	} {
		assert.Equal(t, want, parseOne(t, src).Mentions("_rqlite_tx"), src)
	}
}

func TestClears(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]bool{
		"DELETE FROM _rqlite_tx":                              true,
		"delete from main._RQLITE_TX WHERE k > 0":             true,
		"DELETE FROM `_rqlite_tx` RETURNING *":                true,
		"/* all */ DROP TABLE _rqlite_tx -- of it":            true,
		"DROP TABLE IF EXISTS \"main\" . [_Rqlite_tx]":        true,
		"DROP TABLE '_rqlite_tx';":                            true,
		"DROP TABLE":                                          false,
		"DROP TABLE IF _rqlite_tx":                            false,
		"DROP TABLE _rqlite_tx t":                             false,
		"DROP TABLE _rqlite_tx.t":                             false,
		"DROP INDEX _rqlite_tx":                               false,
		"DELETE FROM t WHERE k IN (SELECT k FROM _rqlite_tx)": false,
		"WITH x AS (SELECT 1) DELETE FROM _rqlite_tx":         false,
		"DELETE _rqlite_tx":                                   false,
		"DELETE FROM _rqlite_tx2":                             false,
		"UPDATE _rqlite_tx SET v = 1":                         false,
		"DELETE FROM t":                                       false,
	} {
		assert.Equal(t, want, parseOne(t, src).Clears("_rqlite_tx"), src)
	}
}

func TestClearsPart(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]bool{
		"DELETE FROM _rqlite_tx WHERE k > 0":            true,
		"delete from main._RQLITE_TX WHERE v IS NULL":   true,
		"DELETE FROM _rqlite_tx RETURNING k":            true,
		"DELETE FROM _rqlite_tx WHERE k > _rqlite_tx.v": true,
		"DELETE FROM _rqlite_tx WHERE k":                true,
		"DELETE FROM _rqlite_tx -- all":                 false,
		"DELETE FROM 'main'.'_rqlite_tx'":               false,
		"DROP TABLE IF EXISTS main._rqlite_tx":          false,
		"DELETE FROM t WHERE k > 0":                     false,
	} {
		assert.Equal(t, want, parseOne(t, src).ClearsPart("_rqlite_tx"), src)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]bool{
		"INSERT INTO _rqlite_tx SELECT 1":                         true,
		"INSERT INTO '_RQLITE_TX' SELECT 1":                       true,
		"UPDATE OR IGNORE '_rqlite_tx' SET v = 1":                 true,
		"REPLACE INTO main.'_rqlite_tx' VALUES (1)":               true,
		"ALTER TABLE x RENAME TO '_rqlite_tx'":                    true,
		`CREATE TABLE IF NOT EXISTS "_rqlite_tx" (x)`:             true,
		"WITH x AS (SELECT 1) DELETE FROM [_rqlite_tx]":           true,
		"INSERT INTO t VALUES ('_rqlite_tx')":                     false,
		"DELETE FROM t WHERE name <> '_rqlite_tx'":                false,
		"INSERT INTO t SELECT name FROM u WHERE n = '_rqlite_tx'": false,
		"INSERT INTO _rqlite_txt VALUES (1)":                      false,
	} {
		assert.Equal(t, want, parseOne(t, src).Names("_rqlite_tx"), src)
	}
}
