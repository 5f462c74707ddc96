package sqltext_test

import (
	"testing"

	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGivenRows(t *testing.T) {
	t.Parallel()
	ab, a := []string{"A", "B"}, []string{"A"}
	bare := func(head, table string, columns []string, indexes ...[]int) sqltext.GivenRows {
		given := sqltext.GivenRows{Table: table, Rows: len(indexes), Head: head, Columns: columns, Indexes: indexes}
		for row, params := range indexes {
			for range params {
				given.RowOf = append(given.RowOf, row)
			}
		}
		return given
	}
	for text, want := range map[string]sqltext.GivenRows{
		"INSERT INTO t VALUES (?, ?)":                              bare("INSERT INTO t ", "T", nil, []int{1, 2}),
		"insert into main.t(a, b) values(:a, $b), (?, ?1)":         bare("insert into main.t(a, b) ", "T", ab, []int{1, 2}, []int{3, 1}),
		"INSERT INTO `my t` (`a`,`b`) VALUES (?,?),(?,?)":          bare("INSERT INTO `my t` (`a`,`b`) ", "MY T", ab, []int{1, 2}, []int{3, 4}),
		"INSERT INTO t(a) VALUES (1)":                              {Table: "T", Rows: 1, Columns: a},
		"INSERT INTO t(a, b) VALUES (?, 1)":                        {Table: "T", Rows: 1, Columns: ab, RowOf: []int{0}},
		"INSERT INTO t(a, b) VALUES (?, ?+1), (max(?,2),?)":        {Table: "T", Rows: 2, Columns: ab, RowOf: []int{0, 0, 1, 1}},
		"INSERT OR IGNORE INTO t VALUES (?)":                       {Table: "T", Rows: 1, RowOf: []int{0}, Indexes: [][]int{{1}}},
		"REPLACE INTO t VALUES (?)":                                {Table: "T", Rows: 1, RowOf: []int{0}, Indexes: [][]int{{1}}},
		"INSERT INTO t AS u VALUES (?)":                            {Table: "T", Rows: 1, RowOf: []int{0}, Indexes: [][]int{{1}}},
		"INSERT INTO t VALUES (?) RETURNING id":                    {Table: "T", Rows: 1, RowOf: []int{0}, Indexes: [][]int{{1}}},
		"INSERT INTO t VALUES (?) ON CONFLICT DO UPDATE SET a = ?": {Table: "T", Rows: 1, RowOf: []int{0, -1}, Indexes: [][]int{{1}}},
		"INSERT INTO t DEFAULT VALUES":                             {Table: "T", Rows: 1},
		"INSERT INTO t VALUES (?, ?), (?)":                         {Table: "T", Rows: 2, RowOf: []int{0, 0, 1}},
		"INSERT INTO t VALUES (?, (SELECT ?))":                     {Table: "T", Rows: 1, RowOf: []int{0, 0}},
	} {
		s := parseOne(t, text)
		given := s.GivenRows()
		require.NotNil(t, given, text)
		want.Slots = given.Slots
		assert.Equal(t, want, *given, text)
	}
	for _, text := range []string{
		"INSERT INTO t SELECT ?", "INSERT INTO t(a) SELECT 1", "WITH a AS (SELECT 1) INSERT INTO t VALUES (?)",
		"UPDATE t SET a = ?", "SELECT 1", "INSERT INTO t", "INSERT INTO t VALUES",
	} {
		s := parseOne(t, text)
		assert.Nil(t, s.GivenRows(), text)
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"INSERT INTO t VALUES (1)": "T", "REPLACE INTO main.t VALUES (1)": "T", "INSERT OR REPLACE INTO `u` VALUES (1)": "U",
		"UPDATE OR IGNORE [a b] SET c = 1": "A B", "UPDATE t SET a = 1": "T", "DELETE FROM t": "T",
		"WITH a AS (SELECT 1) DELETE FROM t": "", "SELECT 1": "", "DROP TABLE t": "",
	} {
		s := parseOne(t, text)
		assert.Equal(t, want, s.Target(), text)
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][][]int{
		"INSERT INTO t VALUES (?, ?)":                     {{0}, {1}},
		"INSERT INTO t VALUES (?3, ?), (?1, ?2)":          {{2, 0}, {3, 1}},
		"INSERT INTO t VALUES (?, ?+1), (max(?,2),?)":     {{-1, 2}, {-1, 3}},
		"INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING": nil,
		"INSERT INTO t DEFAULT VALUES":                    nil,
	} {
		s := parseOne(t, text)
		assert.Equal(t, want, s.GivenRows().Slots, text)
	}
}
