package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-rqlite/rqlite/internal/wire"
)

const (
	// maxDrain and drainTime bound what Close reads of an answer that the caller did not read to
	// its end. Reading so much is cheaper than a new connection.
	maxDrain  = 64 << 10
	drainTime = 50 * time.Millisecond
)

// Answer is the response to a request, read as it arrives. It can only be used by one goroutine at
// a time. Its errors are [*Error], and io.EOF where a method of [wire.Decoder] says so.
type Answer struct {
	Node string // host:port of the node that answered

	req   *Request
	guard *guard
	body  responseBody
	dec   *wire.Decoder
	first *wire.Result // read already, not yet handed out by Next
	held  *recorder    // keeps what was read of the answer to a joint request; nil for others
	ended bool         // the entries of the frame's After have been read
}

func newAnswer(guard *guard, req *Request, body io.ReadCloser) *Answer {
	a := &Answer{Node: guard.node.host, req: req, guard: guard}
	if req.joint != nil {
		a.held = &recorder{ReadCloser: body}
		body = a.held
	}
	a.body.ReadCloser = body
	a.dec = wire.NewDecoder(&a.body)
	if req.Frame == nil || req.Frame.Before.Count == 0 {
		a.Remember(req.Columns)
	}
	return a
}

// NewAnswer returns the answer that a document is to a request, for a sender that is no [Client].
// It names no node. Nothing of it has been read, not even the entries of the frame's Before: a
// document that cannot be read is an error of the answer's methods. The document must not change
// until the answer is closed.
func NewAnswer(req *Request, document []byte) *Answer {
	ctx, cancel := context.WithCancelCause(context.Background())
	return newAnswer(&guard{node: new(node), req: req, ctx: ctx, cancel: cancel}, req, io.NopCloser(bytes.NewReader(document)))
}

// recorder keeps what it reads.
type recorder struct {
	io.ReadCloser
	bytes []byte
	count atomic.Int64 // of bytes
}

// maxHeld bounds what a recorder keeps: SQLite's bound on a single value.
const maxHeld = 1 << 30

// Read implements io.Reader.
func (r *recorder) Read(p []byte) (int, error) {
	if len(r.bytes) >= maxHeld {
		return 0, &wire.SyntaxError{Message: "it is too long to be that of several statements"}
	}
	n, err := r.ReadCloser.Read(p)
	r.bytes = append(r.bytes, p[:n]...)
	r.count.Store(int64(len(r.bytes)))
	return n, err
}

// failure returns an error of one of the answer's methods as an *Error.
func (a *Answer) failure(err error) *Error {
	var failure *Error
	if errors.As(err, &failure) {
		return failure
	}
	return a.broken(err)
}

// Next goes to the next entry. It is an error if there is none; see [wire.Decoder.NextResult].
func (a *Answer) Next() (*wire.Result, error) {
	if first := a.first; first != nil {
		a.first = nil
		return first, nil
	}
	result, err := a.dec.NextResult()
	switch {
	case err == nil:
		return result, nil
	case !errors.Is(err, io.EOF):
		return nil, a.broken(err)
	}
	if err := a.failed(); err != nil {
		return nil, err
	}
	return nil, a.broken(errTooFew)
}

// End reads the entries of the frame's After, if there are any. It demands that no other entry
// follows, and that the request as a whole did not fail, which only shows behind the last entry.
// Its error is an [*Error], or that of the After.
func (a *Answer) End() error {
	if f := a.req.Frame; f != nil && !a.ended {
		a.ended = true
		if err := f.After.read(a); err != nil {
			return err
		}
	}
	_, err := a.dec.NextResult()
	switch {
	case a.first != nil || err == nil:
		return a.broken(errTooMany)
	case !errors.Is(err, io.EOF):
		return a.broken(err)
	}
	if err := a.failed(); err != nil {
		return err
	}
	return nil
}

// Undone demands that no entry follows the failure of a statement in a transaction. One that
// follows belongs to a statement that was not rolled back. Then the outcome of the request is
// unknown.
func (a *Answer) Undone() error {
	if _, err := a.dec.NextResult(); err != nil {
		return nil // this error follows the failure of the statement, which is enough
	}
	return a.broken(errGoesOn)
}

var (
	errGoesOn  = errors.New("a statement of the transaction failed, and the node went on behind it")
	errTooFew  = &wire.SyntaxError{Message: "it has fewer results than the request has statements"}
	errTooMany = &wire.SyntaxError{Message: "it has more results than the request has statements"}
)

// failed returns the failure of the request as a whole, if the answer reports one.
func (a *Answer) failed() *Error {
	message := a.dec.Trailer().Error
	outcome := a.guard.outcome(http.StatusOK, message)
	if outcome == Answered {
		return nil
	}
	return &Error{
		Outcome: outcome, Write: a.req.Write, Status: http.StatusOK, Node: a.Node, Message: message,
		Forwarded: a.guard.forwarded,
	}
}

// NextRow goes to the next row of the entry; see [wire.Decoder.NextRow].
func (a *Answer) NextRow() error {
	err := a.dec.NextRow()
	if err != nil && !errors.Is(err, io.EOF) {
		return a.broken(err)
	}
	return err
}

// Cell reads the next value of the row; see [wire.Decoder.Cell].
func (a *Answer) Cell() (wire.Cell, error) {
	cell, err := a.dec.Cell()
	if err != nil {
		return cell, a.broken(err)
	}
	return cell, nil
}

// Result returns the current entry; see [wire.Decoder.Result].
func (a *Answer) Result() *wire.Result { return a.dec.Result() }

// Remember sets [Request.Columns] of an answer, of which nothing was read.
func (a *Answer) Remember(h *wire.KnownColumns) { a.dec.Remember(h) }

// HasRows reports whether rows of the current entry are left; see [wire.Decoder.HasRows].
func (a *Answer) HasRows() bool { return a.dec.HasRows() }

// Trailer returns what stood beside the entries; see [wire.Decoder.Trailer].
func (a *Answer) Trailer() wire.Trailer { return a.dec.Trailer() }

// Cost returns how long the node worked on the statement of the current entry, and about how many
// bytes the entry has. It reads the rest of the entry only as far as that has arrived. took is 0 if
// that is not all, or if the node did not tell; then size counts what was read. Nothing but Close
// may be called afterwards.
func (a *Answer) Cost() (took time.Duration, size int) {
	if a.dec == nil {
		return 0, 0
	}
	a.body.dry = true
	defer func() { a.body.dry = false }()
	begin, end, err := a.dec.Rest()
	if err == nil {
		took = seconds(a.dec.Result().Seconds)
	}
	return took, int(end - begin)
}

// seconds returns a time that a node told.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// broken is the error of an answer that could not be read to its end.
func (a *Answer) broken(err error) *Error {
	e := &Error{Outcome: Unknown, Status: http.StatusOK, Node: a.Node, Err: err}
	var syntax *wire.SyntaxError
	why := a.guard.ended()
	switch {
	case why != nil:
		e = stopped(why, a.Node, a.req.Write, true)
	case errors.As(err, &syntax) && !a.req.Write:
		e.Outcome = Refused // the same request would get the same answer
	}
	e.Write = a.req.Write
	return e
}

// Close ends the answer. It reads the rest of a short one, so that the connection can be used
// again, and cuts off a long one. Closing again does nothing.
func (a *Answer) Close() {
	if a.dec == nil {
		return
	}
	a.body.finish()
	a.dec.Release()
	a.dec = nil
	a.guard.close()
}

// responseBody remembers whether the body was read to its end.
type responseBody struct {
	io.ReadCloser      // nil if all that is to be read is in memory
	ended         bool // the node sends no more
	dry           bool // nothing is read for the moment
	rest          io.LimitedReader
}

var errDry = errors.New("the rest has not been read")

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (int, error) {
	if b.dry {
		return 0, errDry
	}
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err != nil
	return n, err
}

// finish reads a short rest of the body, and closes it.
func (b *responseBody) finish() {
	if b.ReadCloser == nil {
		return
	}
	if !b.ended {
		cut := time.AfterFunc(drainTime, func() { b.Close() })
		b.rest = io.LimitedReader{R: b.ReadCloser, N: maxDrain}
		io.Copy(io.Discard, &b.rest) //nolint:errcheck // a body that breaks here is closed all the same
		cut.Stop()
	}
	b.Close()
}
