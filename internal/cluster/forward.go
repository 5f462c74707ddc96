package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

const (
	// firstBack and longestBack bound how long requests are forwarded before the client looks again
	// for the direct way to the leader. The time doubles with each look.
	firstBack   = time.Second
	longestBack = 5 * time.Second
	// backEach bounds the wait for one node's answer in such a look, and backWithin the whole look.
	backEach   = 2 * time.Second
	backWithin = 10 * time.Second
)

// back says when to look again for the direct way to the leader. postpone sets due and wait
// together; lookBack sets looking.
type back struct {
	due     atomic.Int64 // Unix nanoseconds
	wait    atomic.Int64 // nanoseconds from the next look to the one after it
	looking atomic.Bool  // one look is under way
}

// forward sends requests for the leader by way of the other nodes, until the direct way is found
// again. See [Client.lookBack].
func (r *routes) forward(why, host string) {
	r.leader.Store(nil)
	r.answered.Store(nil)
	if r.forwards.Swap(true) {
		return // another request found it out at the same time
	}
	r.back.postpone(firstBack)
	r.counts.fallbacks.Add(1)
	r.cfg.Logger.Warn("rqlite: requests for the leader are forwarded", "why", why, "leader", host)
}

// cutOff records a leader that other nodes reach, but this client does not.
func (r *routes) cutOff(leader *node) {
	r.apart.Store(leader)
	r.forward("the leader does not answer, though it answers other nodes", leader.host)
}

// direct ends the forwarding: the leader has answered.
func (r *routes) direct(leader *node) {
	r.apart.CompareAndSwap(leader, nil)
	r.forwards.Store(false)
	r.succeeded(leader, true)
	r.cfg.Logger.Info("rqlite: requests go straight to the leader again", "node", leader.host)
}

// postpone makes the next look due after wait, and the one after it later.
func (b *back) postpone(wait time.Duration) {
	b.due.Store(time.Now().Add(wait).UnixNano())
	b.wait.Store(int64(min(2*wait, longestBack)))
}

// lookBack looks for the direct way to the leader from time to time, while requests are forwarded.
// It does so in the background: no request tries an address that may be dead.
func (c *Client) lookBack() {
	r := &c.routes
	if !r.forwards.Load() && r.apart.Load() == nil {
		return
	}
	if time.Now().UnixNano() < r.back.due.Load() || !r.back.looking.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer r.back.looking.Store(false)
		ctx, cancel := context.WithTimeout(c.closing, backWithin)
		defer cancel()
		c.meetAgain(ctx)
		if r.forwards.Load() {
			c.findWay(ctx)
		}
		r.back.postpone(time.Duration(r.back.wait.Load()))
		if c.closing.Err() != nil {
			c.closeIdle() // the connections of these requests
		}
	}()
}

// meetAgain asks the node that this client was cut off from whether it answers again.
func (c *Client) meetAgain(ctx context.Context) {
	n := c.routes.apart.Load()
	if n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, backEach)
	defer cancel()
	if c.ask(ctx, n) == nil {
		c.routes.apart.CompareAndSwap(n, nil)
		c.routes.succeeded(n, false)
	}
}

// findWay asks the nodes which one leads, and then the one that they name. If that answers,
// requests go straight to it.
func (c *Client) findWay(ctx context.Context) {
	for _, node := range c.routes.inTurn() {
		err := c.askOnce(ctx, node, &whoLeads, backEach, time.Time{})
		if err != nil && err.redirect != nil {
			leader, refused := c.routes.at(node, err.redirect)
			if refused != nil || leader == c.routes.apart.Load() || !c.routes.mayAsk(leader) {
				return // the others would name the same
			}
			if node, err = leader, c.askOnce(ctx, leader, &whoLeads, backEach, time.Time{}); err != nil {
				return
			}
		}
		if err == nil {
			c.routes.direct(node)
			return
		}
	}
}

// reaches reports whether a node that named a leader hands requests on to it, while the leader does
// not answer this client. During an election the nodes name no leader or do not answer, and a
// request that is handed on fails. The leader may have changed meanwhile, so the node has to name
// the same one again.
func (c *Client) reaches(ctx context.Context, from *node, to *redirect, wait time.Duration, until time.Time) bool {
	if c.askOnce(ctx, from, &handedOn, wait, until) != nil {
		return false
	}
	err := c.askOnce(ctx, from, &whoLeads, wait, until)
	return err != nil && err.redirect != nil && *err.redirect == *to
}

// unanswered reports whether the node gave no answer, and was not merely slow.
func (e *Error) unanswered() bool {
	return e.foreign || e.Status == 0 && !errors.Is(e.Err, errSlow)
}
