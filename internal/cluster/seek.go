package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	// seekFirst and seekLongest bound the wait for one node's answer to the question who leads. The
	// wait doubles from round to round.
	seekFirst   = 250 * time.Millisecond
	seekLongest = 5 * time.Second
	// seekPause is the longest pause between two rounds. An election takes long enough by itself.
	seekPause = 100 * time.Millisecond
)

// errSlow ends the wait for a node that does not say who leads. It may be alive, and wait itself
// for a leader that hangs.
var errSlow = errors.New("the node does not say in time who leads")

// whoLeads is a read that only a leader answers. Asking is free of risk. A write that meets the
// wrong node is not: before a follower redirects it, it asks the leader for its address, and hangs
// if the leader hangs. The question is never forwarded, even while requests are.
var whoLeads = Request{Path: queryPath, Params: "level=weak", Body: []byte(`["SELECT 1"]`), Leader: true, way: straight}

// handedOn is the same question, put to the leader by way of another node.
var handedOn = Request{Path: whoLeads.Path, Params: whoLeads.Params, Body: whoLeads.Body, Leader: true, way: byOthers}

// seek finds the leader after it was lost. One request seeks for all, and the others wait for it.
// It ends when a node has answered as the leader, or with the reason why the request cannot wait
// any longer.
func (c *Client) seek(ctx context.Context, req *Request, until time.Time) *Error {
	if over := c.take(ctx, c.seekSlot, until); over != nil { // most find that the search is over by then
		return stopped(over, "", req.Write, false).waited("the leader to be found; nothing was sent")
	}
	defer func() { <-c.seekSlot }()
	var (
		last *Error
		up   surrender
	)
	wait := seekFirst
	for round := 0; c.routes.lost.Load() && !c.routes.forwarding(); round++ {
		if round > 0 {
			Sleep(ctx, seekPause/2+rand.N(seekPause/2), until)
		}
		for _, node := range c.routes.inTurn() {
			if why := c.over(ctx, until); why != nil {
				return outOfTime(stopped(why, "", req.Write, false).waited("the leader to be found; nothing was sent"), last)
			}
			err := c.askForLeader(ctx, node, wait, until)
			if err == nil {
				return nil
			}
			if c.over(ctx, until) == nil && (err.Outcome == Refused || up.after(&c.routes, node, err)) {
				return err // such as a wrong password: it will not get better
			}
			last = err
		}
		wait = min(2*wait, seekLongest)
	}
	return nil
}

// askForLeader asks a node, and the one that it names, whether it leads. It also returns nil if no
// answer is possible and requests are to be forwarded.
func (c *Client) askForLeader(ctx context.Context, node *node, wait time.Duration, until time.Time) *Error {
	from, to := node, (*redirect)(nil) // the node that named the next one, and how
	for range maxRedirects {
		err := c.askOnce(ctx, node, &whoLeads, wait, until)
		if err == nil {
			c.routes.succeeded(node, true)
			return nil
		}
		if c.over(ctx, until) != nil {
			return err // the request had little time, which says nothing about the node
		}
		if err.redirect == nil {
			c.routes.failed(node, err)
			return c.passedOver(ctx, from, to, node, err, wait, until)
		}
		named, useful, refused := c.routes.named(node, err.redirect)
		switch {
		case refused != nil:
			return refused
		case named == node || c.routes.forwarding():
			return err
		case !useful:
			err.Outcome, err.Message = Repeat, "the leader, "+named.host+", does not answer"
			return c.passedOver(ctx, node, err.redirect, named, err, wait, until)
		}
		c.routes.counts.redirects.Add(1)
		from, to, node = node, err.redirect, named
	}
	return &Error{Outcome: Repeat, Node: node.host, Message: "the nodes redirect to each other"}
}

// passedOver handles a leader that a node named, and that has not answered. If others reach it,
// requests go by way of them. Otherwise passedOver returns err.
func (c *Client) passedOver(ctx context.Context, from *node, to *redirect, leader *node, err *Error, wait time.Duration, until time.Time) *Error {
	switch {
	case to == nil:
		return err // nobody named it
	case errors.Is(err.Err, errSlow):
		c.suspect(leader) // whether it hangs is known when it is named again
		return err
	case err.redirect == nil && !err.unanswered(), !c.reaches(ctx, from, to, wait, until):
		return err
	}
	c.routes.cutOff(leader)
	return nil
}

// askOnce asks one node a question. A user who may not read may write. Then the question is a
// statement without effect, which costs an entry in the leader's log.
func (c *Client) askOnce(ctx context.Context, node *node, question *Request, wait time.Duration, until time.Time) *Error {
	err := c.askBy(ctx, node, question, wait, until)
	if err == nil || err.Status != http.StatusUnauthorized || err.foreign {
		return err
	}
	byWrite := *question
	byWrite.Path, byWrite.Params = executePath, ""
	if second := c.askBy(ctx, node, &byWrite, wait, until); second == nil || second.Status != http.StatusUnauthorized {
		return second
	}
	return err
}

func (c *Client) askBy(ctx context.Context, node *node, question *Request, wait time.Duration, until time.Time) *Error {
	bounded, cancel := context.WithTimeoutCause(ctx, wait, errSlow)
	defer cancel()
	answer, err := c.attempt(bounded, node, question, until)
	if err == nil {
		answer.Close()
		return nil
	}
	if ctx.Err() == nil && errors.Is(err.Err, errSlow) {
		err.Outcome = Repeat
	}
	return err
}
