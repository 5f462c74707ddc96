package sqltext

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"INSERT INTO t VALUES (1) RETURNING id":                                            true,
		"insert into t(a, b) values (?, 'x'), (:n, NULL) returning *":                      true,
		"INSERT OR REPLACE INTO \"t\" (`a`) VALUES (9e999, 1.5) RETURNING `id`, \"order\"": true,
		"REPLACE INTO t VALUES (?1, $a, @b) RETURNING\nid":                                 true,
		"UPDATE t SET a = ?, b = 'x' WHERE id = 1 AND c = ? RETURNING a":                   true,
		"DELETE FROM t RETURNING id":                                                       true,
		"DELETE FROM t WHERE id = ? RETURNING id":                                          true,
		"INSERT INTO t VALUES (1)":                                                         false, // no clause
		"INSERT INTO [t] VALUES (1) RETURNING id":                                          false,
		"INSERT INTO 't' VALUES (1) RETURNING id":                                          false,
		"INSERT INTO main.t VALUES (1) RETURNING id":                                       false,
		"INSERT INTO t(function) VALUES (1) RETURNING id":                                  false,
		"INSERT INTO t VALUES (1_000) RETURNING id":                                        false,
		"INSERT INTO t VALUES (0x10) RETURNING id":                                         false,
		"INSERT INTO t VALUES (1 + 1) RETURNING id":                                        false,
		"INSERT INTO t VALUES (abs(1)) RETURNING id":                                       false,
		"INSERT INTO t VALUES (1) RETURNING id AS key":                                     false,
		"INSERT INTO t VALUES (1) RETURNING key":                                           false,
		"INSERT INTO t VALUES (1) RETURNING é":                                             false,
		"INSERT INTO t VALUES ($a::b(c)) RETURNING id":                                     false,
		"INSERT INTO t VALUES (1) /* ; */ RETURNING id":                                    false,
		"INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING RETURNING id":                     false,
		"INSERT OR FAIL INTO t VALUES (1) RETURNING id":                                    false,
		"INSERT INTO t SELECT 1 RETURNING id":                                              false,
		"INSERT INTO t DEFAULT VALUES RETURNING id":                                        true,
		"INSERT INTO t VALUES (#a) RETURNING id":                                           false,
		"INSERT INTO t VALUES (1.5e) RETURNING id":                                         false,
		"INSERT INTO asterisk VALUES (1) RETURNING id":                                     false,
		"INSERT INTO \"a`b\" VALUES (1) RETURNING id":                                      false,
		"UPDATE t AS x SET a = 1 RETURNING a":                                              false,
		"UPDATE t SET a = a + 1 RETURNING a":                                               false,
		"UPDATE t SET a = 1 WHERE b IS NOT DISTINCT FROM 1 RETURNING a":                    false,
		"UPDATE t SET a = 1 WHERE b = 1 AND RETURNING a":                                   false,
		"DELETE FROM t INDEXED BY i WHERE a = 1 RETURNING a":                               false,
		"WITH x AS (SELECT 1) DELETE FROM t RETURNING a":                                   false,
		"EXPLAIN INSERT INTO t VALUES (1) RETURNING id":                                    false,
		"CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u VALUES (1); END":           false,
		"INSERT INTO t VALUES (1) RETURNING id, ":                                          false,
		"INSERT INTO t VALUES (1) RETURNING ":                                              false,
		"INSERT INTO t VALUES () RETURNING id":                                             false,
		"INSERT INTO t () VALUES (1) RETURNING id":                                         false,
		"INSERT INTO t VALUES (1 RETURNING id":                                             false,
		"UPDATE t SET a = 1 WHERE RETURNING a":                                             false,
	} {
		script, err := Parse(text)
		require.NoError(t, err, text)
		require.Len(t, script, 1, text)
		assert.Equal(t, want, script[0].Plain, text)
	}
}

func TestWithoutBackquotes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"INSERT INTO t VALUES (1) RETURNING id":                                          "INSERT INTO t VALUES (1) RETURNING id",
		"INSERT INTO `users` (`name`,`age`) VALUES (?,?) RETURNING `id`":                 "INSERT INTO users (name,age) VALUES (?,?) RETURNING id",
		"INSERT INTO `order` (`key`, `a`) VALUES (1, 2) RETURNING `key`":                 `INSERT INTO "order" ("key", a) VALUES (1, 2) RETURNING "order"."key"`,
		"INSERT INTO `t` AS `x` (`key`) VALUES (1) RETURNING `a` AS `key`":               `INSERT INTO t AS x ("key") VALUES (1) RETURNING a AS "key"`,
		"DELETE FROM `t` WHERE `t`.`a` = '`x`' RETURNING `order`":                        "DELETE FROM t WHERE t . a = '`x`' RETURNING \"t\".\"order\"",
		"DELETE FROM u WHERE `key` = 'key' RETURNING a":                                  `DELETE FROM u WHERE "u"."key" = 'key' RETURNING a`,
		"UPDATE OR IGNORE `u` SET `key` = `order`, `to` = 1 WHERE `key` = 2 RETURNING a": `UPDATE OR IGNORE u SET "key" = "u"."order", "to" = 1 WHERE "u"."key" = 2 RETURNING a`,
		"UPDATE `main`.`u` SET a = (`key`) RETURNING a":                                  `UPDATE main . u SET a = ("u"."key") RETURNING a`,
		"DELETE FROM `a b` RETURNING `c``\"d`":                                           "DELETE FROM \"a b\" RETURNING \"a b\".\"c`\"\"d\"",
		"DELETE FROM`t`WHERE`a`=?2 RETURNING`1a`":                                        "DELETE FROM t WHERE a =?2 RETURNING \"t\".\"1a\"",
		"DELETE FROM `é` RETURNING `a$`":                                                 "DELETE FROM \"é\" RETURNING \"é\".\"a$\"",
		"DELETE FROM t WHERE a = /* `x` */ `b` RETURNING a":                              "DELETE FROM t WHERE a = /* `x` */ b RETURNING a",
	} {
		script, err := Parse(text)
		require.NoError(t, err, text)
		got, err := script[0].WithoutBackquotes()
		require.NoError(t, err)
		assert.Equal(t, want, got.Text)
		again, err := Parse(got.Text)
		require.NoError(t, err)
		assert.Equal(t, again[0].Returning, got.Returning, text)
		assert.Equal(t, again[0].Params, got.Params, text)
	}
}

// TestWithoutBackquotesRefuses has names that could be of another table, so that no table can be
// put before them.
func TestWithoutBackquotesRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"DELETE FROM t WHERE a IN (SELECT `key` FROM u) RETURNING a",
		"UPDATE t SET a = 1 FROM u WHERE `key` = 1 RETURNING a",
		"WITH x AS (SELECT 1) DELETE FROM t WHERE `key` = 1 RETURNING a",
		"INSERT INTO t SELECT `key` FROM u RETURNING a",
	} {
		script, err := Parse(text)
		require.NoError(t, err, text)
		_, err = script[0].WithoutBackquotes()
		require.ErrorContains(t, err, `"key"`, text)
	}
}

// TestSaysReturning has statements in which the server sees a clause and SQLite does not.
func TestSaysReturning(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"DELETE FROM t RETURNING a":         true,
		"EXPLAIN DELETE FROM t RETURNING a": true,
		"CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO u VALUES (1) RETURNING a; END": true,
		"SELECT 'RETURNING ', \"returning\" /* RETURNING */ FROM t":                          false,
		"DELETE FROM t": false,
	} {
		script, err := Parse(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, script[0].SaysReturning, text)
	}
}
