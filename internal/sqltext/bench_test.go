package sqltext_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-rqlite/rqlite/internal/sqltext"
)

var benchmarkTexts = []struct{ name, sql string }{
	{"point select", "SELECT id, name, email FROM users WHERE id = ? LIMIT 1 OFFSET 0"},
	{"no parameters", "SELECT id, name, email FROM users WHERE id = 1 LIMIT 1"},
	{"insert returning", "INSERT INTO users(name, email, created) VALUES (?, ?, ?) RETURNING id"},
	{"named", "UPDATE users SET name = :name, email = :email WHERE id = :id AND name <> :name"},
	{"cte", "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?) SELECT n * 2 FROM c"},
	{"trigger", "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET n = n + 1; DELETE FROM c WHERE id = new.id; END;"},
	{"1000 rows", "INSERT INTO t(a, b, c) VALUES " + strings.Repeat("(?, ?, ?), ", 999) + "(?, ?, ?)"},
	{"1000 names", "SELECT " + manyNames(1000)},
}

func manyNames(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(":name%d", i)
	}
	return strings.Join(names, ", ")
}

func BenchmarkParse(b *testing.B) {
	for _, bb := range benchmarkTexts {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.sql)))
			for b.Loop() {
				if _, err := sqltext.Parse(bb.sql); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCache(b *testing.B) {
	var c sqltext.Cache
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Parse(benchmarkTexts[0].sql); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInline(b *testing.B) {
	stmts, err := sqltext.Parse("INSERT INTO users(name, email, created) VALUES (?, ?, ?) RETURNING id")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		stmts[0].Inline(func(index int) (string, bool) { return "'x''00'''", index == 2 })
	}
}
