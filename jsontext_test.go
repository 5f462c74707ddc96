package rqlite

import (
	"database/sql"
	"encoding/json"
	"testing"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bytes of another type stay a BLOB.
type otherBytes []byte

// JSON is bound as text, by whatever way it comes, and all else as before.
func TestBindJSON(t *testing.T) {
	t.Parallel()
	raw := json.RawMessage(`{"a":"é"}`)
	for name, test := range map[string]struct {
		value any
		sent  string
	}{
		"RawMessage":             {raw, `"{\"a\":\"é\"}"`},
		"pointer":                {&raw, `"{\"a\":\"é\"}"`},
		"sql.Null":               {sql.Null[json.RawMessage]{V: raw, Valid: true}, `"{\"a\":\"é\"}"`},
		"sql.Null without value": {sql.Null[json.RawMessage]{}, `null`},
		"nil":                    {json.RawMessage(nil), `null`},
		"nil pointer":            {(*json.RawMessage)(nil), `null`},
		"empty":                  {json.RawMessage{}, `""`},
		"like a BLOB":            {json.RawMessage(`1`), `"1"`},
		"bytes":                  {[]byte(raw), `"x'7b2261223a22c3a9227d'"`},
		"other bytes":            {otherBytes(`1`), `"x'31'"`},
		"duration":               {time.Second, `1000000000`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const query = "INSERT INTO t VALUES(?)"
			body := `[["` + query + `",` + test.sent + `]]`
			f := newFake(t,
				writes(body, results("{}")), writes(body, results("{}")), writes(body, results("{}")),
				writes(`[["INSERT INTO t VALUES(:v)",`+test.sent+`]]`, results("{}")),
				reads(`[["SELECT ?",`+test.sent+`]]`, results(one)))
			db := f.open("coalesce=false")
			_, err := db.ExecContext(t.Context(), query, test.value)
			require.NoError(t, err)
			stmt, err := db.PrepareContext(t.Context(), query)
			require.NoError(t, err)
			_, err = stmt.ExecContext(t.Context(), test.value)
			require.NoError(t, err)
			require.NoError(t, stmt.Close())
			var b Batch
			b.Add(query, test.value)
			_, err = b.Exec(t.Context(), db)
			require.NoError(t, err)
			_, err = db.ExecContext(t.Context(), "INSERT INTO t VALUES(:v)", sql.Named("v", test.value))
			require.NoError(t, err)
			rows, err := db.QueryContext(t.Context(), "SELECT ?", test.value)
			require.NoError(t, err)
			require.NoError(t, rows.Close())
		})
	}
}

// What is no text is refused before anything is sent.
func TestBindJSONThatIsNoText(t *testing.T) {
	t.Parallel()
	db := newFake(t).open("")
	_, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES(?)", json.RawMessage("\xff"))
	require.ErrorIs(t, err, bind.ErrJSONText)
	var b Batch
	b.Add("INSERT INTO t VALUES(?)", json.RawMessage("\xff"))
	_, err = b.Exec(t.Context(), db)
	assert.ErrorIs(t, err, bind.ErrJSONText)
}
