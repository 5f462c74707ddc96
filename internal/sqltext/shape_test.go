package sqltext_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestShape(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"INSERT INTO t VALUES (?, :a)":                           "INSERT INTO t VALUES (?, :a)",
		"INSERT INTO t VALUES (1, -2.5e3, 'it''s', x'0a', NULL)": "INSERT INTO t VALUES (#, -#, #, #, NULL)",
		`UPDATE "t1" SET a2 = .5 WHERE b = 0x1F -- 5`:            `UPDATE "t1" SET a2 = # WHERE b = #`,
		"DELETE FROM t1": "DELETE FROM t1",
		"SELECT 1":       "SELECT 1",
	} {
		s := parseOne(t, text)
		assert.Equal(t, want, s.Shape(), text)
	}
}
