package rqlite

import (
	"testing"

	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const badTimeEntry = `{"error":"Time.MarshalText: year outside of range [0,9999]"}`

// asksForDeferred is the question whether a deferred foreign key can have undone a write.
func asksForDeferred(rows ...string) step {
	return reads(`["SELECT 1 WHERE `+occ.DefersKeys+`"]`, results(table("1 integer", rows...)))
}

// A write whose rows cannot be sent was applied, unless a deferred foreign key undid it.
func TestBadTimeOfQuery(t *testing.T) {
	t.Parallel()
	const insert = "INSERT INTO t VALUES(1) RETURNING b"
	for _, test := range []struct {
		name    string
		asked   step
		is, not error
	}{
		{"no deferred keys", asksForDeferred(), ErrRowsLost, ErrIndeterminate},
		{"deferred keys", asksForDeferred("[1]"), ErrIndeterminate, ErrRowsLost},
		{"no answer that tells", reads("", results(`{"error":"no"}`)), ErrIndeterminate, ErrRowsLost},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, writes(`["`+insert+`"]`, results(badTimeEntry)), test.asked)
			_, err := f.open("coalesce=false").QueryContext(t.Context(), insert)
			require.ErrorIs(t, err, test.is)
			require.NotErrorIs(t, err, test.not)
			assert.ErrorContains(t, err, sqlerr.BadTimeCure)
		})
	}
}

// Exec wants no rows: what the probe counts was applied.
func TestBadTimeOfExec(t *testing.T) {
	t.Parallel()
	const insert, sent = "INSERT INTO t VALUES(1) RETURNING b", `["INSERT INTO t VALUES(1) RETURNING b","SELECT 1"]`
	f := newFake(t,
		writes(sent, results(badTimeEntry, `{"last_insert_id":7,"rows_affected":1}`)),
		writes(sent, results(badTimeEntry, `{"last_insert_id":7}`)), asksForDeferred("[1]"),
		writes(sent, results(badTimeEntry, `{"last_insert_id":7}`)), asksForDeferred())
	db := f.open("coalesce=false")
	r, err := db.ExecContext(t.Context(), insert)
	require.NoError(t, err)
	assert.Equal(t, [2]int64{7, 1}, resultOf(t, r))
	_, err = db.ExecContext(t.Context(), insert)
	require.ErrorIs(t, err, ErrIndeterminate)
	_, err = db.ExecContext(t.Context(), insert)
	require.NoError(t, err, "of a view, whose rows are not counted")
}

// In an atomic batch such a write is undone with the rest.
func TestBadTimeOfBatch(t *testing.T) {
	t.Parallel()
	const insert = "INSERT INTO t VALUES(1) RETURNING b"
	f := newFake(t,
		writesAtomic(`["`+insert+`"]`, results(badTimeEntry)),
		writes(`["DELETE FROM t","`+insert+`"]`, results(`{"rows_affected":3}`, badTimeEntry)), asksForDeferred())
	db := f.open("coalesce=false")
	atomic := Batch{Atomic: true}
	atomic.Add(insert)
	_, err := atomic.Exec(t.Context(), db)
	require.NotErrorIs(t, err, ErrRowsLost)
	require.ErrorContains(t, err, sqlerr.BadTimeCure)

	var b Batch
	b.Add("DELETE FROM t")
	b.Add(insert)
	found, err := b.Exec(t.Context(), db)
	require.ErrorIs(t, err, ErrRowsLost)
	require.Len(t, found, 2)
	require.NoError(t, found[0].Err)
	assert.ErrorIs(t, found[1].Err, ErrRowsLost)
}
