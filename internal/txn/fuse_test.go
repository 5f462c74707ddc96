package txn

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/fuse"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

// The first execution of a run, and the fused ones behind it, show whether the ids of those follow each
// other.
func TestFollowIDs(t *testing.T) {
	t.Parallel()
	script, err := sqltext.Parse("INSERT INTO t (a, b) VALUES (?, ?)")
	require.NoError(t, err)
	insert := func(a any) *operation {
		return &operation{Stmt: bind.Stmt{Statement: &script[0], Values: []any{a, "b"}}}
	}
	for _, test := range []struct {
		name   string
		before any   // the value of a in the execution with the id 1
		fused  []any // those behind it, to the id 1 + len(fused)
		follow bool
	}{
		{"no value is an id", "x", []any{"y", "z"}, true},
		{"all are NULL", nil, []any{nil, nil}, true},
		{"all are the ids", int64(1), []any{int64(2), "3"}, true},
		{"the first is the id by chance, and the last is not", int64(1), []any{int64(7), int64(2)}, true},
		{"the first and the last are the ids, perhaps by chance", int64(1), []any{int64(7), int64(3)}, false},
		{"the first is NULL, and the last the id", nil, []any{int64(7), int64(3)}, false},
		{"the first is NULL, and the last not the id", nil, []any{int64(7), int64(2)}, true},
		{"the first is the id, and the last NULL", int64(1), []any{int64(7), nil}, false},
	} {
		run := &fusedRun{Run: fuse.Run{Given: script[0].GivenRows()}}
		p := piece{run: run}
		for _, a := range test.fused {
			p.list = append(p.list, insert(a))
		}
		assert.Equal(t, test.follow, p.followIDs(insert(test.before), 1), test.name)
	}
}
