package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// maxMessage bounds how much of the text of a failure is read.
const maxMessage = 4 << 10

// exchange sends the request to one node, once. The guard's context is ctx.
func (c *Client) exchange(ctx context.Context, guard *guard, node *node, req *Request) (*Answer, *Error) {
	if err := c.admit(ctx, guard, node, req); err != nil {
		return nil, err
	}
	var way *sendTrace
	traced := ctx
	if req.Write { // only then does it matter how far the request got
		way = new(sendTrace)
		traced = way.follow(ctx)
	}
	guard.forwarded = req.Leader && !c.redirects(req)
	hreq, err := c.httpRequest(traced, node, req, guard.forwarded)
	if err != nil {
		return nil, &Error{Outcome: Refused, Node: node.host, Err: err}
	}
	resp, err := c.cfg.Transport.RoundTrip(hreq)
	if err != nil {
		return nil, transportError(guard, req, way, err)
	}
	guard.hears()
	node.notes(resp.Header)
	if err := node.disappoints(req); err != nil {
		resp.Body.Close()
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(guard, resp)
	}
	return open(guard, req, resp)
}

func (c *Client) httpRequest(ctx context.Context, node *node, req *Request, forwarded bool) (*http.Request, error) {
	// net/http sends the headers and the body in one piece if it knows the
	// type of the body, and otherwise in two.
	hreq, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(req.Body))
	if err != nil {
		return nil, err
	}
	hreq.URL.Scheme, hreq.URL.Host = node.scheme, node.host
	hreq.URL.Path, hreq.URL.RawQuery = c.cfg.Prefix+req.Path, req.query(forwarded)
	hreq.Host = node.host
	hreq.Header = node.header // shared, and written by nobody
	return hreq, nil
}

// redirects reports whether a request is to be redirected by a node that does
// not lead: while forwarding, the server may apply a write twice.
func (c *Client) redirects(req *Request) bool {
	switch {
	case !req.Leader || req.Pinned:
		return false
	case req.way == straight:
		return true
	case req.way == byOthers:
		return false
	}
	return !c.routes.forwarding()
}

// query returns the URL's parameters, with "redirect" for what must not be forwarded.
func (req *Request) query(forwarded bool) string {
	switch {
	case !req.Leader || req.Pinned || forwarded:
		return req.Params
	case req.Params == "":
		return "redirect"
	}
	return req.Params + "&redirect"
}

// transportError sorts a failure to get any answer.
func transportError(guard *guard, req *Request, way *sendTrace, err error) *Error {
	if why := guard.ended(); why != nil {
		e := stopped(why, guard.node.host, req, way.arrived())
		if !e.sent {
			e.setWaited(req, "a connection; nothing was sent")
		}
		return e
	}
	if e := refusedByProxy(guard.node, err); e != nil {
		return e
	}
	e := &Error{Outcome: Unknown, Node: guard.node.host, Err: err, sent: way.arrived()}
	var op *net.OpError
	switch {
	case isCertificateError(err):
		e.Outcome = Refused
	case !e.sent, !way.wrote() && errors.As(err, &op) && op.Op == "dial":
		e.Outcome, e.sent = Repeat, false // the node never got the statements
	}
	return e
}

// statusError sorts an answer other than 200, which carries a message.
func statusError(guard *guard, resp *http.Response) *Error {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	message := strings.TrimSpace(strings.ToValidUTF8(string(text), "\uFFFD"))
	e := &Error{
		Outcome: guard.outcome(resp.StatusCode, message),
		Status:  resp.StatusCode,
		Node:    guard.node.host,
		Message: message,
		Err:     err,
		sent:    true,
	}
	if why := guard.ended(); err != nil && why != nil {
		e.Message, e.Err = "", why // half a message says less than why there is no more
	}
	if guard.isForeign(resp, message) {
		guard.disown(e)
		return e
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		e.redirect = &redirect{location: resp.Header.Get("Location")}
		e.Message = "redirected to " + redactURL(e.redirect.location)
	}
	if e.Status == http.StatusNotFound && e.Message == "" && guard.client.cfg.Prefix != "" {
		e.Message = "rqlite does not know the path of the DSN, which the proxy before it has to remove"
	}
	return e
}

// open reads the answer up to its first entry, so that the failures which come
// as a 200 with a top-level "error" are found before anyone else sees them.
func open(guard *guard, req *Request, resp *http.Response) (*Answer, *Error) {
	a := newAnswer(guard, req, resp.Body)
	first, err := a.dec.NextResult()
	switch {
	case err == nil:
		a.first = first
		guard.node.wellFormed(resp.Header)
		return a, nil
	case errors.Is(err, io.EOF):
		failure := a.failed()
		if failure == nil {
			return a, nil // there are no entries, which the caller may expect
		}
		a.Close()
		return nil, failure
	}
	broken := a.broken(err) // before Close, which ends the context
	var syntax *wire.SyntaxError
	if errors.As(err, &syntax) && guard.ended() == nil && !names(resp.Header) && !guard.node.plain.Load() {
		guard.disown(broken)
	}
	a.Close()
	return nil, broken
}

// sendTrace follows a request on its way, to learn whether the node can have got it.
type sendTrace struct {
	begun  atomic.Bool // the transport tells of its steps
	headed atomic.Bool // it has written the headers, which go before the body
}

// follow returns a context that makes the transport leave a trail.
func (t *sendTrace) follow(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { t.begun.Store(true) },
		WroteHeaders: func() { t.headed.Store(true) },
	})
}

// arrived reports whether the node can have got the statements. A transport
// that leaves no trail may have done anything, and nil, no trail, says nothing.
func (t *sendTrace) arrived() bool { return t == nil || t.headed.Load() || !t.begun.Load() }

// wrote reports whether the transport has told of writing to a node. One that
// tries again by itself can have failed to connect the second time.
func (t *sendTrace) wrote() bool { return t != nil && t.headed.Load() }
