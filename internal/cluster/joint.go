package cluster

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Joint composes the body of a request that joins the statements of several callers, each of whom
// may give up at any time. The client calls its methods one after the other, from the goroutine of
// SendJoint.
type Joint interface {
	// Compose returns the body of the next attempt, and the number of the callers' statements in
	// it.
	Compose() (body []byte, statements int)
	// Withdraw records the failure of an attempt. It reports whether another one is to follow; after a
	// redirect one always does.
	Withdraw(err *Error) (again bool)
}

// SendJoint is [Client.Send] for a request whose body comes from joint, anew for each attempt. The
// request must have neither a Body nor a Frame. The client's timeout does not bound it, because it
// belongs to the callers; see [Client.Wait]. Its failure does not count in [Counts].
func (c *Client) SendJoint(ctx context.Context, req *Request, joint Joint) (*Answer, *Error) {
	c.begin()
	req.joint = joint
	answer, err := c.send(ctx, req, time.Time{})
	if err != nil {
		err.Write = req.Write
	}
	return answer, err
}

// compose sets the body of the next attempt at a joint request.
func (req *Request) compose() {
	if req.joint != nil {
		req.Body, req.Statements = req.joint.Compose()
	}
}

// withdraw tells a joint request that an attempt failed. It reports whether another one is to follow.
func (req *Request) withdraw(err *Error) (again bool) {
	return req.joint == nil || req.joint.Withdraw(err)
}

// Wait lets one of the callers of a joint request wait until done is closed. Otherwise it returns
// why the caller cannot wait any longer: because its context has ended, or because the client's
// timeout has passed since the call of Wait. The error wraps context.Canceled or
// context.DeadlineExceeded.
func (c *Client) Wait(ctx context.Context, done <-chan struct{}) error {
	until := c.until(ctx, time.Time{})
	if until.IsZero() {
		return await(ctx, done, nil, c.timedOut)
	}
	timer := c.timers.start(time.Until(until))
	defer c.timers.stop(timer)
	return await(ctx, done, timer.C, c.timedOut)
}

// timers are timers that are used again, because each caller of a joint request needs one. The zero value
// is ready. It is safe for concurrent use.
type timers struct{ pool sync.Pool }

// start returns a timer that fires after d. The caller has to stop it by stop.
func (t *timers) start(d time.Duration) *time.Timer {
	timer, ok := t.pool.Get().(*time.Timer)
	if !ok {
		return time.NewTimer(d)
	}
	timer.Reset(d)
	return timer
}

// stop ends a timer, whether it has fired or not.
func (t *timers) stop(timer *time.Timer) {
	if !timer.Stop() {
		select {
		case <-timer.C:
		default:
		}
	}
	t.pool.Put(timer)
}

// GaveUp returns the error of a caller that gives up its part of a joint request, because of an
// error of [Client.Wait]. sent says that a node may have received the part; then the outcome of one
// that writes is unknown. Otherwise the part had no effect, and the error of one that writes says
// what it waited for. last is the failure of the attempt before, which the message may tell as
// well; nil is none.
func GaveUp(why error, write, sent bool, waitedFor string, last *Error) *Error {
	err := stopped(why, "", write, sent)
	if !sent {
		err.setWaited(waitedFor)
	}
	return outOfTime(err, last)
}

// Entries are the entries of the answer to a joint request. They stay after the answer is closed.
// They are safe for concurrent use. The zero value has none.
type Entries struct {
	guard *guard
	raw   [][]byte        // as the server sent them
	took  []time.Duration // that the node worked on their statements, as far as it told
}

// Split reads the answer to its end, and returns its n entries. The answer must be one of
// [Client.SendJoint], of which nothing was read. If atomic, the first failure of a statement is
// that of the request, [Refused], provided that no entry follows it; see [Answer.Undone].
func (a *Answer) Split(n int, atomic bool) (Entries, *Error) {
	a.dec.Skim()
	entries, took := make([][]byte, 0, n), make([]time.Duration, 0, n)
	for i := range n {
		raw, err := a.entry()
		if err != nil {
			return Entries{}, a.failure(err)
		}
		if message := a.Result().Error; message != "" && atomic {
			if err := a.Undone(); err != nil {
				return Entries{}, a.failure(err)
			}
			return Entries{}, a.refused(message, i)
		}
		entries, took = append(entries, raw), append(took, seconds(a.Result().Seconds))
	}
	if err := a.End(); err != nil {
		return Entries{}, a.failure(err)
	}
	return Entries{a.guard.idle(), entries, took}, nil
}

// entry reads the next entry to its end, and returns it as the server sent it.
func (a *Answer) entry() ([]byte, error) {
	if _, err := a.Next(); err != nil {
		return nil, err
	}
	begin, end, err := a.dec.Rest()
	if err != nil {
		return nil, a.broken(err)
	}
	return a.held.bytes[begin:end], nil
}

// refused is the failure of a transaction by one of its statements, whose entry is at a position.
func (a *Answer) refused(message string, entry int) *Error {
	return &Error{
		Outcome: Refused, Write: a.req.Write, Status: http.StatusOK, Node: a.Node, Message: message,
		Forwarded: a.guard.forwarded, Entry: entry,
	}
}

// idle returns a guard for entries that were read already. It does not keep the joint request,
// which may go before them.
func (g *guard) idle() *guard {
	req := &Request{Write: g.req.Write, Statements: g.req.Statements}
	return &guard{client: g.client, node: g.node, req: req, ctx: context.Background(), cancel: func(error) {}}
}

// Answer returns the entries from position begin up to, but not including, end as an answer of
// their own. It panics if there are none at these positions. Closing the answer affects no other.
func (e Entries) Answer(begin, end int) *Answer { return subAnswerOf(e.guard, e.raw[begin:end]) }

// Cost is [Answer.Cost] of the entry at a position. It panics if there is none.
func (e Entries) Cost(i int) (took time.Duration, size int) { return e.took[i], len(e.raw[i]) }
