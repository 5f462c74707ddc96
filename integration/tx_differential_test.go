package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite"
	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// txSteps are what random transactions are made of. $t and $u are tables, ? is a
// small number, and those that begin with ! give no rows but a result.
var txSteps = []string{
	"!INSERT INTO $t (k, s) VALUES (?, 'a')",
	"!INSERT INTO $t (k, s) VALUES (?, 'too long')",
	"!INSERT INTO $t (id, k) VALUES (?, ?)",
	"!INSERT OR IGNORE INTO $t (k, s) VALUES (?, 'b')",
	"!REPLACE INTO $t (k, s) VALUES (?, 'c')",
	"INSERT INTO $t (k, s) VALUES (?, 'd') RETURNING id, k, s",
	"INSERT INTO $t (k, s) VALUES (?, 'e') ON CONFLICT (k) DO UPDATE SET s = excluded.s || 'f' RETURNING *",
	"!INSERT INTO $t (k, s) VALUES (?, 'g') ON CONFLICT DO NOTHING",
	"!UPDATE $t SET k = k + ? WHERE id % 3 = 0",
	"UPDATE $t SET s = 'h' WHERE k < ? RETURNING id, s",
	"!DELETE FROM $t WHERE k = ?",
	"DELETE FROM $t WHERE id > ? + 5 RETURNING id",
	"SELECT id, k, s FROM $t ORDER BY id",
	"SELECT count(*), sum(k), max(s) FROM $t",
	"SELECT * FROM $t WHERE id = ?",
	"SELECT * FROM $u ORDER BY a, b",
	"SELECT * FROM nowhere",
	"SELECT FROM $t",
	"!INSERT INTO $u SELECT id, k FROM $t WHERE k > ?",
	"!DELETE FROM $u",
	"!CREATE TABLE $u_x (n INTEGER PRIMARY KEY)",
	"!INSERT INTO $u_x (n) VALUES (?)",
	"SELECT count(*) FROM $u_x",
	"!DROP TABLE $u_x",
	"!ALTER TABLE $u_x ADD COLUMN more TEXT DEFAULT 'x'",
	"SELECT * FROM $u_x ORDER BY n",
	"!SAVEPOINT one", "!SAVEPOINT two", "!ROLLBACK TO one", "!ROLLBACK TO two", "!RELEASE one", "!RELEASE two", "!ROLLBACK TO none",
	"!INSERT INTO $t (k) VALUES (?), (?), (?)",
	"!INSERT INTO $u VALUES (?, abs(-9223372036854775808))",
}

// randomStep returns a step and its parameters.
func randomStep(random *rand.Rand, t, u string) (query string, args []any) {
	query = txSteps[random.IntN(len(txSteps))]
	query = strings.ReplaceAll(strings.ReplaceAll(query, "$t", t), "$u", u)
	for range strings.Count(query, "?") {
		args = append(args, random.IntN(12))
	}
	return query, args
}

// told runs a step and returns all that a program is told of it, as text.
func told(ctx context.Context, tx *sql.Tx, query string, args []any) string {
	exec, isExec := strings.CutPrefix(query, "!")
	if isExec {
		result, err := tx.ExecContext(ctx, exec, args...)
		if err != nil {
			return "error: " + reason(err)
		}
		affected, err := result.RowsAffected()
		if err != nil {
			return "no rows affected: " + err.Error()
		}
		id, err := result.LastInsertId()
		if err != nil {
			return "no id: " + err.Error()
		}
		switch word, _, _ := strings.Cut(exec, " "); {
		case word == "INSERT" && affected > 0, word == "REPLACE":
			return fmt.Sprintf("%d rows, id %d", affected, id)
		case word == "INSERT", word == "UPDATE", word == "DELETE":
			return fmt.Sprintf("%d rows", affected)
		}
		return "done"
	}
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return "error: " + reason(err)
	}
	defer rows.Close()
	return rowsAsText(rows)
}

// rowsAsText returns all rows, and the error at their end.
func rowsAsText(rows *sql.Rows) string {
	columns, err := rows.Columns()
	if err != nil {
		return "error: " + reason(err)
	}
	text := strings.Join(columns, ",")
	for rows.Next() {
		values, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			pointers[i] = &values[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			return "error: " + err.Error()
		}
		text += fmt.Sprintf("\n%v", values)
	}
	if err := rows.Err(); err != nil {
		return "error: " + reason(err)
	}
	return text
}

// reason returns SQLite's primary result code and message, whichever driver the error is of.
func reason(err error) string {
	var lite sqlite3.Error
	var ours *rqlite.Error
	switch {
	case errors.As(err, &lite):
		return lite.Error()
	case errors.As(err, &ours):
		return ours.Message
	}
	return strings.TrimPrefix(err.Error(), "rqlite: ")
}

// TestTxLikeSQLite runs random transactions on a SQLite file, too: what programs
// are told, and what is there in the end, is the same, whether or not another
// process writes in between.
func TestTxLikeSQLite(t *testing.T) {
	forEach(t, func(t *testing.T, b *backend) {
		p := newPair(t, b)
		mustExec(t, p.oracle, "PRAGMA journal_mode = MEMORY") // so that it can roll back
		other, elsewhere := newNumbers(t, b)
		tt, u := newTable(), newTable()
		for _, db := range []*sql.DB{p.oracle, p.subject} {
			mustExec(t, db, "CREATE TABLE "+tt+" (id INTEGER PRIMARY KEY, k INTEGER UNIQUE, s TEXT CHECK (length(s) < 5))")
			mustExec(t, db, "CREATE TABLE "+u+" (a INTEGER PRIMARY KEY, b NOT NULL)")
		}
		seed := uint64(time.Now().UnixNano())
		random := rand.New(rand.NewPCG(seed, 1))
		all := "SELECT group_concat(id || ',' || coalesce(k, '') || ',' || coalesce(s, ''), ';') FROM (SELECT * FROM " + tt + " ORDER BY id)"
		n := 0
		for i := range either(25, 300) {
			theirs, err := p.oracle.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			ours, err := p.subject.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			history := fmt.Sprintf("seed %d, transaction %d", seed, i)
			for range 2 + random.IntN(12) {
				query, args := randomStep(random, tt, u)
				history += fmt.Sprintf("\n  %s %v", query, args)
				want := told(t.Context(), theirs, query, args)
				require.Equal(t, want, told(t.Context(), ours, query, args), history)
				history += " -> " + strings.ReplaceAll(want, "\n", "; ")
				if random.IntN(3) == 0 {
					n++
					mustExec(t, other, "INSERT INTO "+elsewhere+" (n) VALUES (?)", n)
					history += " (others write)"
				}
			}
			if random.IntN(4) == 0 {
				require.NoError(t, theirs.Rollback())
				require.NoError(t, ours.Rollback())
			} else {
				require.NoError(t, theirs.Commit())
				require.NoError(t, ours.Commit(), history)
			}
			var want, got sql.NullString
			scan(t, p.oracle, all, nil, &want)
			scan(t, p.subject, all, nil, &got)
			require.Equal(t, want, got, history)
		}
		var rows int
		scan(t, p.subject, "SELECT count(*) FROM "+elsewhere, nil, &rows)
		assert.Equal(t, n, rows)
	})
}
