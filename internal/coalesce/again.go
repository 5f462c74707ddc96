package coalesce

import (
	"context"
	"time"
)

const (
	// mostAgain is how many reads are sent again at once after [ErrSlow]. Far from the node, where each takes long, it
	// is mostFarAgain. More at once would make a busy node even busier: it opens a connection to its database
	// for each. Then it would be slow with the next requests, too, whose reads would be sent again as well.
	mostAgain    = 4
	mostFarAgain = 64
)

// Again waits for one of the few places of reads that are sent again after [ErrSlow]. The caller sends its read by itself
// then, beside all others, and calls ended when the answer has come. If the read takes long again, long is called, and
// its place is free. ok is false if no place has become free for so long that the node must be busy: the read had
// better join others again. So it is if ctx, or the client's timeout, has ended. The caller began to wait at begun.
func (q *Coalescer) Again(ctx context.Context, begun time.Time, long func()) (ended func(), ok bool) {
	places, patience := q.again()
	select {
	case places <- struct{}{}:
	default:
		if until := q.cfg.Client.Until(ctx, begun); !until.IsZero() {
			patience = min(patience, time.Until(until))
		}
		over := time.NewTimer(patience)
		defer over.Stop()
		select {
		case places <- struct{}{}:
		case <-over.C:
			return nil, false
		case <-ctx.Done():
			return nil, false
		}
	}
	late := time.AfterFunc(shortestLimit, func() {
		<-places
		long()
	})
	return func() {
		if late.Stop() {
			<-places
		}
	}, true
}

// again returns the places for [Coalescer.Again], and how long reads wait for one.
func (q *Coalescer) again() (places chan struct{}, patience time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.far() {
		return q.counts.farAgain, q.long()
	}
	return q.counts.again, q.long()
}
