package integration_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// JSON comes back from a column of any type that a program may declare for it, and SQLite's JSON
// functions read it.
func TestToldJSON(t *testing.T) {
	raw := json.RawMessage(`{"a":["é",1]}`)
	forEach(t, func(t *testing.T, b *backend) {
		db := b.open(t)
		for _, typ := range []string{"JSON", "TEXT", "VARCHAR(100)", "", "CLOB", "BLOB"} {
			table := newTable()
			mustExec(t, db, "CREATE TABLE "+table+" (v "+typ+")")
			mustExec(t, db, "INSERT INTO "+table+" VALUES (?)", raw)
			var got json.RawMessage
			var text, storage, element string
			scan(t, db, "SELECT v, v, typeof(v), v ->> '$.a[0]' FROM "+table, nil, (*[]byte)(&got), &text, &storage, &element)
			assert.JSONEq(t, string(raw), string(got), typ)
			assert.Equal(t, string(raw), text, typ)
			assert.Equal(t, "text", storage, typ)
			assert.Equal(t, "é", element, typ)
			var n int
			scan(t, db, "SELECT count(*) FROM "+table+" WHERE v = ?", []any{raw}, &n)
			assert.Equal(t, 1, n, typ)
		}
		// Bytes of a column declared BLOB come as bytes, which a json.RawMessage takes.
		table := newTable()
		mustExec(t, db, "CREATE TABLE "+table+" (v BLOB)")
		mustExec(t, db, "INSERT INTO "+table+" VALUES (?)", []byte(raw))
		var got json.RawMessage
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT v FROM "+table).Scan(&got))
		assert.Equal(t, raw, got)
	})
}
