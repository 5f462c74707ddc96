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

// exchange sends the request to one node, once. ctx is the context of the guard.
func (c *Client) exchange(ctx context.Context, guard *guard, node *node, req *Request) (*Answer, *Error) {
	if err := c.admit(ctx, guard, node, req); err != nil {
		return nil, err
	}
	var trace *sendTrace
	traced := ctx
	if req.Write { // only for a write it matters how far the request got
		trace = new(sendTrace)
		traced = trace.follow(ctx)
	}
	guard.forwarded = req.Leader && !c.redirects(req)
	hreq, err := c.httpRequest(traced, node, req, guard.forwarded)
	if err != nil {
		return nil, &Error{Outcome: Refused, Node: node.host, Err: err}
	}
	resp, err := c.cfg.Transport.RoundTrip(hreq)
	if err != nil {
		return nil, transportError(guard, req, trace, err)
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
	// net/http sends the headers and the body in one piece if it knows the type of the body, and
	// otherwise in two.
	hreq, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(req.Body))
	if err != nil {
		return nil, err
	}
	hreq.URL.Scheme, hreq.URL.Host = node.scheme, node.host
	hreq.URL.Path, hreq.URL.RawQuery = c.cfg.Prefix+req.Path, req.query(forwarded)
	hreq.Host = node.host
	hreq.Header = node.header // shared; nobody changes it
	return hreq, nil
}

// redirects reports whether a node that does not lead is to redirect the request: a node that
// forwards may apply a write twice.
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

// query returns the URL parameters, with "redirect" for a request that must not be forwarded.
func (req *Request) query(forwarded bool) string {
	switch {
	case !req.Leader || req.Pinned || forwarded:
		return req.Params
	case req.Params == "":
		return "redirect"
	}
	return req.Params + "&redirect"
}

// transportError classifies a failure to get any answer.
func transportError(guard *guard, req *Request, trace *sendTrace, err error) *Error {
	if why := guard.ended(); why != nil {
		e := stopped(why, guard.node.host, req.Write, trace.arrived())
		if !e.sent {
			e.setWaited("a connection; nothing was sent")
		}
		return e
	}
	if e := refusedByProxy(guard.node, err); e != nil {
		return e
	}
	e := &Error{Outcome: Unknown, Node: guard.node.host, Err: err, sent: trace.arrived()}
	var op *net.OpError
	switch {
	case isCertificateError(err):
		e.Outcome = Refused
	case !e.sent, !trace.wrote() && errors.As(err, &op) && op.Op == "dial":
		e.Outcome, e.sent = Repeat, false // the node never got the statements
	}
	return e
}

// statusError classifies an answer other than 200, which carries a message.
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
		e.Message, e.Err = "", why // the reason says more than half a message
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

// open reads the answer up to its first entry. So it finds the failures that come as a 200 with a
// top-level "error" before the caller sees the answer.
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
			return a, nil // there are no entries; the caller may expect none
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

// sendTrace follows a request on its way, to learn whether the node can have received it. The
// transport sets the fields; they never go back.
type sendTrace struct {
	begun  atomic.Bool // the transport reports its steps
	headed atomic.Bool // it has written the headers, which go before the body
}

// follow returns a context that makes the transport report its steps to t.
func (t *sendTrace) follow(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { t.begun.Store(true) },
		WroteHeaders: func() { t.headed.Store(true) },
	})
}

// arrived reports whether the node can have received the statements. If the transport reports
// nothing, or t is nil, that is not known.
func (t *sendTrace) arrived() bool { return t == nil || t.headed.Load() || !t.begun.Load() }

// wrote reports whether the transport has reported that it wrote to a node. A transport that tries
// again by itself may have failed to connect the second time.
func (t *sendTrace) wrote() bool { return t != nil && t.headed.Load() }
