package sqltext_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWithConnState(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		"SELECT last_insert_rowid()":                                                         `SELECT (0+7) AS "last_insert_rowid()"`,
		"SELECT Changes( ), last_insert_rowid() FROM t":                                      `SELECT (0+2) AS "Changes( )", (0+7) AS "last_insert_rowid()" FROM t`,
		"SELECT last_insert_rowid() AS id, 1 + changes()":                                    `SELECT (0+7) AS id, 1 + (0+2)`,
		"SELECT * FROM t WHERE id = last_insert_rowid()":                                     `SELECT * FROM t WHERE id = (0+7)`,
		"SELECT (SELECT changes())":                                                          `SELECT (SELECT (0+2))`,
		"INSERT INTO kid(p, n) VALUES (last_insert_rowid(), ?)":                              `INSERT INTO kid(p, n) VALUES ((0+7), ?)`,
		"UPDATE t SET a = changes() WHERE id=last_insert_rowid()":                            `UPDATE t SET a = (0+2) WHERE id=(0+7)`,
		"SELECT 'last_insert_rowid()', t.changes, changes FROM t":                            "",
		"SELECT last_insert_rowid(1), changes(x)":                                            "",
		"SELECT total_changes()":                                                             "",
		"CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = last_insert_rowid(); END": "",
	} {
		s := parseOne(t, src)
		got := s.WithConnState(7, 2)
		if want == "" {
			want = src
		}
		assert.Equal(t, want, got.Text)
		assert.Equal(t, parseOne(t, want).Params, got.Params)
	}
}

func TestRandomPerRow(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]bool{
		"INSERT INTO t VALUES (random()), (hex(randomblob(4)))":                       false,
		"REPLACE INTO t(a) VALUES (random())":                                         false,
		"INSERT INTO t SELECT random()":                                               true,
		"INSERT INTO t VALUES ((SELECT random()))":                                    true,
		"INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = random()":             true,
		"INSERT INTO t VALUES (1) RETURNING random()":                                 true,
		"INSERT INTO t VALUES (random()) ON CONFLICT DO UPDATE SET a = 1 RETURNING a": false,
		"UPDATE t SET a = random()":                                                   true,
		"WITH c AS (SELECT 1) INSERT INTO t SELECT random() FROM c":                   true,
		"SELECT random()":                      false,
		"UPDATE t SET a = 1":                   false,
		"CREATE TABLE t(a DEFAULT (random()))": false,
	} {
		assert.Equal(t, want, parseOne(t, src).RandomPerRow(), src)
	}
}

// TestFreezeOfPart checks that a zero time and a nil random leave the statement unchanged.
func TestFreezeOfPart(t *testing.T) {
	t.Parallel()
	const src = "INSERT INTO t VALUES (random(), CURRENT_DATE)"
	s := parseOne(t, src)
	both, err := s.Freeze(time.Time{}, nil)
	assert.NoError(t, err)
	assert.Equal(t, src, both.Text)
	now, err := s.Freeze(frozenAt, nil)
	assert.NoError(t, err)
	assert.Equal(t, "INSERT INTO t VALUES (random(), '2026-03-04')", now.Text)
	random, err := s.Freeze(time.Time{}, four)
	assert.NoError(t, err)
	assert.Equal(t, "INSERT INTO t VALUES ((0+4), CURRENT_DATE)", random.Text)
	_, err = parseOne(t, "DELETE FROM t WHERE random() % 2").Freeze(frozenAt, four)
	assert.ErrorContains(t, err, "select the rows first")
	_, err = parseOne(t, "INSERT INTO t SELECT a FROM u GROUP BY a HAVING random() % 2").Freeze(frozenAt, four)
	assert.ErrorContains(t, err, "select the rows first")
}
