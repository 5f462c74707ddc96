package cdc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// indexes returns groups with these indexes.
func indexes(list ...uint64) (groups []group) {
	for _, i := range list {
		groups = append(groups, group{Index: i})
	}
	return groups
}

func TestPlace(t *testing.T) {
	t.Parallel()
	at := func(index uint64, part int) *position { return &position{index, part} }
	for name, c := range map[string]struct {
		post       []uint64
		handled    position
		before     *position
		want       string // positions of the new groups; ? for an uncertain one
		duplicates int
		end        position
	}{
		"the first":                       {post: []uint64{5, 6}, want: "5.0 6.0", end: position{6, 0}},
		"gaps are normal":                 {post: []uint64{9, 20}, handled: position{5, 0}, want: "9.0 20.0", end: position{20, 0}},
		"sent again":                      {post: []uint64{5, 6}, handled: position{6, 0}, duplicates: 2, end: position{6, 0}},
		"partly handled":                  {post: []uint64{5, 6, 7}, handled: position{6, 0}, before: at(6, 0), want: "7.0", duplicates: 2, end: position{7, 0}},
		"twice in one post":               {post: []uint64{5, 5, 6, 5}, want: "5.0 6.0", duplicates: 2, end: position{5, 0}},
		"out of order":                    {post: []uint64{8, 7}, handled: position{6, 0}, want: "7.0 8.0", end: position{7, 0}},
		"commits of one entry":            {post: []uint64{5, 0, 0, 6}, want: "5.0 5.1 5.2 6.0", end: position{6, 0}},
		"such, cut otherwise":             {post: []uint64{5, 0, 0, 0, 6}, handled: position{5, 1}, want: "5.2 5.3 6.0", duplicates: 2, end: position{6, 0}},
		"the rest in the next post":       {post: []uint64{0, 0, 6}, handled: position{5, 1}, before: at(5, 1), want: "5.2 5.3 6.0", end: position{6, 0}},
		"the rest, sent again":            {post: []uint64{0, 0, 6}, handled: position{6, 0}, before: at(6, 0), duplicates: 3, end: position{6, 0}},
		"the rest, of another node":       {post: []uint64{0, 0, 6}, handled: position{5, 1}, want: "? ? 6.0", end: position{6, 0}},
		"the rest, old":                   {post: []uint64{0, 0, 6, 7}, handled: position{6, 0}, want: "7.0", duplicates: 3, end: position{7, 0}},
		"the rest of what was sent again": {post: []uint64{0, 0, 6}, handled: position{5, 2}, before: at(5, 1), want: "5.3 6.0", duplicates: 1, end: position{6, 0}},
		"nothing has an index":            {post: []uint64{0, 0}, handled: position{5, 0}, want: "? ?"},
		"nothing":                         {handled: position{5, 0}, before: at(4, 0), end: position{4, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, end := place(indexes(c.post...), c.handled, c.before)
			news, duplicates := fresh(all, c.handled)
			got := ""
			for i, n := range news {
				if i > 0 {
					got += " "
				}
				if n.uncertain {
					got += "?"
				} else {
					got += fmt.Sprintf("%d.%d", n.at.index, n.at.part)
				}
			}
			assert.Equal(t, c.want, got)
			assert.Equal(t, c.duplicates, duplicates)
			assert.Equal(t, c.end, end)
		})
	}
}

// cut divides a log into posts at random places, as a node may.
func cut(rng *rand.Rand, log []group) (posts [][]group) {
	for len(log) > 0 {
		n := 1 + rng.IntN(min(len(log), 5))
		posts, log = append(posts, log[:n]), log[n:]
	}
	return posts
}

// highest returns the index by which rqlite knows a post.
func highest(groups []group) (index uint64) {
	for _, g := range groups {
		index = max(index, g.Index)
	}
	return index
}

// TestHandlesOnce sends one log from several nodes, each with other posts, with repeated posts,
// with changes of leader that go back, and with restarts of the receiver. All changes must be
// handled once and in order. Only where the leader changes within an entry may some be uncertain.
// None may be lost even then. (rqlite itself may skip commits there: it remembers the index that
// was acknowledged, and not the part of the entry. The nodes of this test remember both.)
func TestHandlesOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		whole := seed%2 == 0 // every entry is one commit
		log := randomLog(rng, whole)
		got, uncertain := sendLog(t, rng, log)
		var certain []int
		seen := map[int]bool{}
		for i, n := range got {
			seen[n] = true
			if !uncertain[i] {
				certain = append(certain, n)
			}
		}
		require.Len(t, seen, len(log), "seed %d: something is lost", seed)
		for i := 1; i < len(certain); i++ {
			require.Less(t, certain[i-1], certain[i], "seed %d: not in order, or twice", seed)
		}
		if whole {
			require.Len(t, certain, len(log), "seed %d", seed)
			require.Len(t, got, len(log), "seed %d: something is uncertain", seed)
		}
	}
}

// randomLog returns groups that are numbered by their rowid.
func randomLog(rng *rand.Rand, whole bool) (log []group) {
	index := uint64(0)
	for len(log) < 100 {
		index += 1 + rng.Uint64N(3)
		commits := 1
		if !whole {
			commits += rng.IntN(4)
		}
		for part := range commits {
			g := group{Index: index, Events: []event{{op: Insert, Table: "t", NewRowID: int64(len(log))}}}
			if part > 0 {
				g.Index = 0
			}
			log = append(log, g)
		}
	}
	return append(log, group{Index: index + 1, Events: []event{{op: Insert, Table: "t", NewRowID: int64(len(log))}}})
}

// sendLog sends a log from three nodes to a handler. It returns the numbers of the handled changes,
// and which of them were uncertain. rqlite loses posts without an index. Here they are joined with
// the next.
func sendLog(t *testing.T, rng *rand.Rand, log []group) (got []int, uncertain []bool) {
	t.Helper()
	memory := NewMemory()
	start := func() *Handler {
		return NewHandler(func(_ context.Context, changes []Change) error {
			if rng.IntN(10) == 0 {
				return assert.AnError
			}
			for _, c := range changes {
				got = append(got, int(c.NewRowID))
				uncertain = append(uncertain, c.Uncertain)
			}
			return nil
		}, &Options{Checkpoint: memory, Logger: discard})
	}
	h := start()
	nodes := map[string][][]group{}
	for _, id := range []string{"a", "b", "c"} {
		var joined []group
		for _, p := range cut(rng, log) {
			if joined = append(joined[:len(joined):len(joined)], p...); highest(joined) > 0 {
				nodes[id] = append(nodes[id], joined)
				joined = nil
			}
		}
		if len(joined) > 0 {
			last := len(nodes[id]) - 1
			nodes[id][last] = append(nodes[id][last][:len(nodes[id][last]):len(nodes[id][last])], joined...)
		}
	}
	last := func(groups []group) int { return int(groups[len(groups)-1].Events[0].NewRowID) }
	acknowledged, told := -1, -1
	leader := "a"
	for acknowledged < last(log) {
		switch rng.IntN(12) {
		case 0:
			leader = []string{"a", "b", "c"}[rng.IntN(3)]
			acknowledged = told
		case 1:
			told = acknowledged
		case 2:
			h = start()
		}
		for _, groups := range nodes[leader] {
			if last(groups) <= acknowledged {
				continue
			}
			_, err := h.serve(t.Context(), &post{NodeID: leader, Payload: groups})
			if err == nil && rng.IntN(10) > 0 { // otherwise the answer is lost
				acknowledged = last(groups)
			}
			break
		}
	}
	return got, uncertain
}
