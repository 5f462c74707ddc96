package cdc

import (
	"cmp"
	"slices"
)

// position is the place of a group in the order of all commits: the index of its Raft log entry,
// and the number of commits of that entry before it.
type position struct {
	index uint64
	part  int
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.index, q.index), cmp.Compare(p.part, q.part))
}

// placed is a group of a post with its position.
type placed struct {
	group     *group
	at        position // zero if unknown
	uncertain bool
}

// place finds the positions of a post's groups, in their order. It also returns the position of the
// last group.
//
// rqlite 10.3 gives an index to the first commit of an entry, and 0 to the others
// (https://github.com/rqlite/rqlite/pull/2796). The others follow the one with the index: in the
// same post or, since a post may end anywhere, in the next post of the node. handled is the
// position up to which all has been handled. before is where the last post of the same node ended.
// It is nil if the last post came from another node.
//
// If before is nil, groups in front of the first index have no known position. If that index was
// handled, they were, too: a node sends its groups in order. If it is new, nobody knows how many of
// them the previous node has sent, and they are uncertain.
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

// fresh returns the groups after handled, in order and each once, and the number of groups left
// out. Uncertain groups come first and are never left out.
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
