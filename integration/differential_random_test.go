package integration_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// envInt returns a number of the environment, or what it is by default.
func envInt(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err, name)
	return n
}

// diffRandom makes small tables, rows and queries.
func diffRandom(t *testing.T, p *pair) {
	seed := envInt(t, "RQLITE_SEED", 20260101)
	rounds := envInt(t, "RQLITE_ROUNDS", 12)
	if testing.Short() {
		rounds = min(rounds, 2)
	}
	t.Logf("RQLITE_SEED=%d RQLITE_ROUNDS=%d", seed, rounds)
	for i := range rounds {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			g := &generator{Rand: rand.New(rand.NewPCG(uint64(seed), uint64(i)))}
			g.round(t, &pair{backend: p.backend, oracle: p.oracle, subject: p.subject})
		})
	}
}

// diffFloats moves floats of any bits, in columns that leave them as they are.
func diffFloats(t *testing.T, p *pair) {
	seed := envInt(t, "RQLITE_SEED", 20260101)
	t.Logf("RQLITE_SEED=%d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	values := make([]any, 0, 500)
	for len(values) < cap(values) {
		if f := math.Float64frombits(random.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			values = append(values, f)
		}
	}
	for _, declared := range []string{"REAL", "BLOB", "NUMERIC", "INTEGER"} {
		p.query(t, fmt.Sprintf("SELECT v, -v, typeof(v) FROM %s ORDER BY id", fill(t, p, declared, values)))
	}
}

// generator makes statements about one table.
type generator struct {
	*rand.Rand
	table   string
	columns []string
}

func pick[T any](g *generator, list []T) T { return list[g.IntN(len(list))] }

// round makes a table, changes it, and reads it.
func (g *generator) round(t *testing.T, p *pair) {
	g.table = newTable()
	p.setUp(t, g.create())
	for range 3 {
		query, args := g.insert()
		p.run(t, pick(g, []mode{execMode, preparedExec}), query, args...)
		query, args = g.change()
		p.run(t, pick(g, []mode{execMode, preparedExec}), query, args...)
		for range 6 {
			query, args := g.selection()
			p.run(t, pick(g, []mode{queryMode, preparedQuery}), query, args...)
		}
	}
	p.query(t, fmt.Sprintf("SELECT * FROM %s ORDER BY id", g.table))
}

func (g *generator) create() string {
	g.columns = nil
	var defs strings.Builder
	for i := range 1 + g.IntN(6) {
		name := fmt.Sprintf("c%d", i)
		g.columns = append(g.columns, name)
		fmt.Fprintf(&defs, ", %s %s%s", name, pick(g, declaredTypes), pick(g, []string{"", "", "", " UNIQUE", " DEFAULT 3.0", " DEFAULT 'x''41'''"}))
	}
	return fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY%s)", g.table, defs.String())
}

// value returns a value to bind: one of the list, or any of a kind.
func (g *generator) value() any {
	switch g.IntN(8) {
	case 0:
		return g.Int64() - g.Int64()
	case 1:
		// Few digits: how SQLite writes more of them in a text depends on its version.
		return float64(g.IntN(1e6)) / 8 * pick(g, []float64{1, -1, 1024})
	case 2:
		b := make([]byte, g.IntN(20))
		for i := range b {
			b[i] = byte(g.Uint32())
		}
		return b
	case 3:
		runes := make([]rune, g.IntN(20))
		for i := range runes {
			runes[i] = rune(g.IntN(0x3000))
		}
		return string(runes)
	}
	return pick(g, boundValues)
}

func (g *generator) values(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = g.value()
	}
	return list
}

func (g *generator) insert() (query string, args []any) {
	rows := 1 + g.IntN(4)
	places := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(g.columns)), ", ") + ")"
	return fmt.Sprintf("INSERT %s INTO %s (%s) VALUES %s",
		pick(g, []string{"", "", "OR IGNORE", "OR REPLACE", "OR FAIL"}), g.table, strings.Join(g.columns, ", "),
		strings.TrimSuffix(strings.Repeat(places+", ", rows), ", ")), g.values(rows * len(g.columns))
}

func (g *generator) change() (query string, args []any) {
	column := pick(g, g.columns)
	switch g.IntN(4) {
	case 0:
		return fmt.Sprintf("DELETE FROM %s WHERE id %% 3 = 0 AND %s IS NOT ?", g.table, column), g.values(1)
	case 1:
		return fmt.Sprintf("UPDATE OR IGNORE %s SET %s = %s", g.table, column, g.expression()), nil
	default:
		return fmt.Sprintf("UPDATE OR IGNORE %s SET %s = ? WHERE id = ?", g.table, column), []any{g.value(), 1 + g.IntN(8)}
	}
}

// expression makes an expression of a column that has no parameter.
func (g *generator) expression() string {
	column := pick(g, g.columns)
	return fmt.Sprintf(pick(g, []string{
		"%s", "%s", "%s", "-%s", "%s + 1", "%s * 2.0", "%s || 'x'", "typeof(%s)", "hex(%s)", "length(hex(%s))", "CAST(%s AS TEXT)",
		"CAST(%s AS REAL)", "CAST(%s AS INTEGER)", "%s IS NULL", "quote(%s)", "coalesce(%s, 7)", "upper(%s)", "abs(0 * length(%s))", "nullif(%s, 1)",
	}), column)
}

func (g *generator) selection() (query string, args []any) {
	expressions := make([]string, 1+g.IntN(4))
	for i := range expressions {
		expressions[i] = g.expression()
	}
	list := strings.Join(expressions, ", ")
	switch g.IntN(6) {
	case 0:
		return fmt.Sprintf("SELECT * FROM %s ORDER BY id LIMIT ?", g.table), []any{g.IntN(5)}
	case 1:
		return fmt.Sprintf("SELECT max(%[1]s), min(%[1]s), count(%[1]s) FROM %[2]s", pick(g, g.columns), g.table), nil
	case 2:
		return fmt.Sprintf("SELECT %s FROM %s WHERE %s = ? ORDER BY id", list, g.table, pick(g, g.columns)), g.values(1)
	case 3:
		return fmt.Sprintf("SELECT DISTINCT typeof(%[1]s), count(*) FROM %[2]s GROUP BY typeof(%[1]s) ORDER BY 1", pick(g, g.columns), g.table), nil
	case 4:
		return fmt.Sprintf("SELECT a.id, b.%[1]s FROM %[2]s a LEFT JOIN %[2]s b ON b.id = a.id + 1 ORDER BY a.id", pick(g, g.columns), g.table), nil
	}
	return fmt.Sprintf("SELECT %s FROM %s ORDER BY id", list, g.table), nil
}
