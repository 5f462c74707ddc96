package cluster

import (
	"container/heap"
	"container/list"
	"time"
)

// waiter is a request at the gate.
type waiter struct {
	until time.Time     // when its time is over; zero is never
	in    chan struct{} // closed when it has a place; nil if it never waited
	place place         // set before in is closed

	order *list.Element // in waiters.order; nil if it is not in it
	late  *list.Element // in waiters.late; nil if it is not in it
	at    int           // in waiters.ends; -1 if it is not in it
}

// soon is the time within which a request is over that is brief.
const soon = 2 * time.Second

// brief reports whether a request gives its place back soon, whatever becomes of it.
func (w *waiter) brief(now time.Time) bool {
	return !w.until.IsZero() && w.until.Sub(now) <= soon
}

// waits reports whether it is still among waiters.
func (w *waiter) waits() bool { return w.order != nil || w.late != nil }

// waiters are the requests that wait at a gate. Each is either passed over or in order of arrival. The
// latter are also in the order in which their times end, except those that have time without end. The zero
// value has none.
type waiters struct {
	order list.List // in order of arrival
	ends  endOrder
	late  list.List // passed over; those that are brief are in front
}

// add adds a waiter, and returns it.
func (q *waiters) add(new waiter) *waiter {
	w := &new
	w.at = -1
	w.order = q.order.PushBack(w)
	if !w.until.IsZero() {
		heap.Push(&q.ends, w)
	}
	return w
}

// remove takes a waiter away.
func (q *waiters) remove(w *waiter) {
	if w.late != nil {
		q.late.Remove(w.late)
		w.late = nil
		return
	}
	q.order.Remove(w.order)
	w.order = nil
	if w.at >= 0 {
		heap.Remove(&q.ends, w.at)
	}
}

// first returns the waiter whose time ends first, or nil if none has time that ends. It passes over those
// whose time ends before need.
func (q *waiters) first(now, need time.Time) *waiter {
	for len(q.ends) > 0 {
		w := q.ends[0]
		if !w.until.Before(need) {
			return w
		}
		q.remove(w)
		if w.brief(now) {
			w.late = q.late.PushFront(w)
		} else {
			w.late = q.late.PushBack(w)
		}
	}
	return nil
}

// oldest returns the waiter that has waited longest, or nil. It may be one that first would pass over,
// unless first has been called before.
func (q *waiters) oldest() *waiter { return front(&q.order) }

// passedOver returns the waiter among those passed over that comes in first, or nil.
func (q *waiters) passedOver() *waiter { return front(&q.late) }

// front returns the first waiter of a list, or nil.
func front(l *list.List) *waiter {
	if e := l.Front(); e != nil {
		return e.Value.(*waiter)
	}
	return nil
}

// endOrder is a heap of waiters by until. It implements heap.Interface.
type endOrder []*waiter

func (h endOrder) Len() int           { return len(h) }
func (h endOrder) Less(i, j int) bool { return h[i].until.Before(h[j].until) }

func (h endOrder) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *endOrder) Push(w any) {
	w.(*waiter).at = len(*h)
	*h = append(*h, w.(*waiter))
}

// Pop implements heap.Interface.
func (h *endOrder) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	w.at = -1
	return w
}
