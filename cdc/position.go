package cdc

import (
	"cmp"
	"slices"
)

// position is the place of a group in the order of all commits: the index of its
// entry in the Raft log, and how many commits of that entry come before it.
type position struct {
	index uint64
	part  int
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.index, q.index), cmp.Compare(p.part, q.part))
}

// placed is a group of a post with its place.
type placed struct {
	group     *group
	at        position // zero if it is not known
	uncertain bool
}

// place finds the places of a post's groups, in their order, and where the post ends
// in the stream of its node.
//
// rqlite 10.3 gives an index only to the first commit of an entry, and 0 to the
// others, see https://github.com/rqlite/rqlite/pull/2796: they follow the one with
// the index, in the same post or, since a post may end anywhere, in the next that the
// node sends. handled is up to where all has been handled. before is where the last
// post of the same node ended, nil when the last one was another's.
//
// Without it, groups in front of the first index cannot be placed. They are old if that
// index is: a node sends its groups in order. If it is new, nobody knows how many of
// them the node before has sent, and they are uncertain.
func place(groups []group, handled position, before *position) (all []placed, end position) {
	last := before
	for i := range groups {
		g := &groups[i]
		switch {
		case g.Index != 0:
			last = &position{index: g.Index}
		case last != nil:
			last = &position{last.index, last.part + 1}
		default:
			all = append(all, placed{group: g, uncertain: true})
			continue
		}
		all = append(all, placed{group: g, at: *last})
	}
	if last != nil {
		end = *last
	}
	first := slices.IndexFunc(groups, func(g group) bool { return g.Index != 0 })
	if first > 0 && groups[first].Index <= handled.index {
		for i := range first {
			all[i].uncertain = false
			all[i].at = handled
		}
	}
	return all, end
}

// fresh returns the groups beyond handled, in order and each once, and how many
// are left out. Uncertain ones come first and are never left out.
func fresh(all []placed, handled position) (news []placed, duplicates int) {
	slices.SortStableFunc(all, func(a, b placed) int { return a.at.compare(b.at) })
	for _, p := range all {
		if !p.uncertain {
			if p.at.compare(handled) <= 0 {
				duplicates++
				continue
			}
			handled = p.at
		}
		news = append(news, p)
	}
	return news, duplicates
}
