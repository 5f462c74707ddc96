package cluster

import (
	"context"
	"net/http"
	"time"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// Joint composes the body of a request that joins the statements of several callers, each of whom
// may give up at any time. The client calls its methods one after the other, from the goroutine of
// SendJoint.
type Joint interface {
	// Compose returns the body of the next attempt, which goes to the node host:port, and the number of
	// the callers' statements in it.
	Compose(node string) (body []byte, statements int)
	// Withdraw records the failure of an attempt. It reports whether another one is to follow; after a
	// redirect one always does.
	Withdraw(err *Error) (again bool)
}

// SendJoint is [Client.Send] for a request whose body comes from joint, anew for each attempt. The
// request must have neither a Body nor a Frame. The client's timeout does not bound it, because it
// belongs to the callers; see [Client.Until]. Its failure does not count in [Counts].
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
func (req *Request) compose(node *node) {
	if req.joint != nil {
		req.Body, req.Statements = req.joint.Compose(node.host)
	}
}

// withdraw tells a joint request that an attempt failed. It reports whether another one is to follow.
func (req *Request) withdraw(err *Error) (again bool) {
	return req.joint == nil || req.joint.Withdraw(err)
}

// TimedOut returns the error of a caller who has waited until the client's timeout. It wraps
// context.DeadlineExceeded.
func (c *Client) TimedOut() error { return c.timedOut() }

// Wait lets one of the callers of a joint request wait until done has a value or is closed. It returns an
// error if the context ends before, which wraps context.Canceled or context.DeadlineExceeded. It does not
// know the client's timeout; see [Client.Until].
func Wait(ctx context.Context, done <-chan struct{}) error {
	if ctx.Done() == nil {
		<-done // costs half as much
		return nil
	}
	return await(ctx, done, nil, nil)
}

// GaveUp returns the error of a caller that gives up its part of a joint request, because of an
// error of [Wait] or [Client.TimedOut]. sent says that a node may have received the part; then the outcome of one
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
	bytes []byte // the answer, as the server sent it
	all   []entry
}

// entry is where an entry begins and ends in the answer, and how long the node worked on its statement, as
// far as it told.
type entry struct {
	begin, end int
	took       time.Duration
}

// Split reads the answer to its end, and returns its n entries. The answer must be one of
// [Client.SendJoint], of which nothing was read. If atomic, the first failure of a statement is
// that of the request, [Refused], provided that no entry follows it; see [Answer.Undone].
func (a *Answer) Split(n int, atomic bool) (Entries, *Error) {
	a.dec.Skim()
	all := make([]entry, 0, n)
	for i := range n {
		e, err := a.entry()
		if err != nil {
			return Entries{}, a.failure(err)
		}
		if message := a.Result().Error; message != "" && atomic {
			if err := a.Undone(); err != nil {
				return Entries{}, a.failure(err)
			}
			return Entries{}, a.refused(message, i)
		}
		all = append(all, e)
	}
	if err := a.End(); err != nil {
		return Entries{}, a.failure(err)
	}
	return Entries{a.guard.idle(), a.held.bytes, all}, nil
}

// Came returns how many bytes of the answer to a joint request have been read so far. Unlike other methods it may be
// called by any goroutine.
func (a *Answer) Came() int64 { return a.held.count.Load() }

// entry reads the next entry to its end.
func (a *Answer) entry() (entry, error) {
	if _, err := a.Next(); err != nil {
		return entry{}, err
	}
	begin, end, err := a.dec.Rest()
	if err != nil {
		return entry{}, a.broken(err)
	}
	return entry{int(begin), int(end), seconds(a.Result().Seconds)}, nil
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
func (e Entries) Answer(begin, end int) *Answer {
	var document []byte
	if begin < end {
		document = e.bytes[e.all[begin].begin:e.all[end-1].end]
	}
	return &Answer{Node: e.guard.node.host, req: e.guard.req, guard: e.guard, dec: wire.NewEntryDecoder(document)}
}

// Cost is [Answer.Cost] of the entry at a position. It panics if there is none.
func (e Entries) Cost(i int) (took time.Duration, size int) {
	return e.all[i].took, e.all[i].end - e.all[i].begin
}
