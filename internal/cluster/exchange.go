package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// maxMessage bounds how much of the text of a failure is read.
const maxMessage = 4 << 10

// exchange sends the request to one node, once.
func (c *Client) exchange(ctx context.Context, node *node, req *Request) (*Answer, *Error) {
	body := &requestBody{data: req.Body}
	hreq, err := c.httpRequest(ctx, node, req, body)
	if err != nil {
		return nil, &Error{Outcome: Refused, Node: node.host, Err: err}
	}
	resp, err := c.cfg.Transport.RoundTrip(hreq)
	if err != nil {
		return nil, c.transportError(ctx, node, req, body, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.statusError(node, resp)
	}
	return c.open(ctx, node, req, resp)
}

func (c *Client) httpRequest(ctx context.Context, node *node, req *Request, body *requestBody) (*http.Request, error) {
	hreq, err := http.NewRequestWithContext(ctx, http.MethodPost, "", nil)
	if err != nil {
		return nil, err
	}
	hreq.URL = &url.URL{Scheme: node.scheme, Host: node.host, Path: req.Path, RawQuery: c.query(req)}
	hreq.Host = node.host
	hreq.Header = node.header // shared, and written by nobody
	hreq.Body = body
	hreq.ContentLength = int64(len(body.data))
	// The transport asks for the body again when a kept connection turns out
	// closed before a byte was written to it: that is no second request.
	hreq.GetBody = func() (io.ReadCloser, error) { return body.again(), nil }
	return hreq, nil
}

// query encodes the URL's parameters, adding "redirect" for requests that must
// not be forwarded: while forwarding, the server may apply a write twice.
func (c *Client) query(req *Request) string {
	switch {
	case !req.Leader || c.routes.forwarding():
		return req.Params
	case req.Params == "":
		return "redirect"
	}
	return req.Params + "&redirect"
}

// transportError sorts a failure to get any answer.
func (c *Client) transportError(ctx context.Context, node *node, req *Request, body *requestBody, err error) *Error {
	if ctx.Err() != nil {
		return interrupted(ctx, node.host, req, body.wasRead())
	}
	outcome := Unknown
	var op *net.OpError
	if !body.wasRead() || errors.As(err, &op) && op.Op == "dial" {
		outcome = Repeat // the node never got the statements
	}
	if isCertificateError(err) {
		outcome = Refused
	}
	return &Error{Outcome: outcome, Node: node.host, Err: err}
}

// statusError sorts an answer other than 200, which carries a message.
func (c *Client) statusError(node *node, resp *http.Response) *Error {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	message := strings.TrimSpace(strings.ToValidUTF8(string(text), "\uFFFD"))
	e := &Error{
		Outcome: Classify(resp.StatusCode, message),
		Status:  resp.StatusCode,
		Node:    node.host,
		Message: message,
		Err:     err,
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		e.redirect = &redirect{from: node, location: resp.Header.Get("Location")}
		e.Message = "redirected to " + redactURL(e.redirect.location)
	}
	return e
}

// open reads the answer up to its first entry, so that the failures which come
// as a 200 with a top-level "error" are found before anyone else sees them.
func (c *Client) open(ctx context.Context, node *node, req *Request, resp *http.Response) (*Answer, *Error) {
	a := newAnswer(ctx, node.host, req, resp.Body)
	first, err := a.dec.NextResult()
	switch {
	case err == nil:
		a.first = first
		return a, nil
	case errors.Is(err, io.EOF):
		failure := a.failed()
		if failure == nil {
			return a, nil // there are no entries, which the caller may expect
		}
		a.Close()
		return nil, failure
	}
	a.Close()
	return nil, a.broken(err)
}

// requestBody is the body of a request. It remembers whether it was read: until
// then the node cannot have got the statements.
type requestBody struct {
	data []byte
	off  int
	read *atomic.Bool // shared by the copies for the same request
	self atomic.Bool
}

func (b *requestBody) flag() *atomic.Bool {
	if b.read != nil {
		return b.read
	}
	return &b.self
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.flag().Store(true)
	if b.off == len(b.data) {
		return 0, io.EOF
	}
	n := copy(p, b.data[b.off:])
	b.off += n
	return n, nil
}

// Close implements io.Closer.
func (b *requestBody) Close() error { return nil }

func (b *requestBody) wasRead() bool { return b.flag().Load() }

func (b *requestBody) again() *requestBody {
	return &requestBody{data: b.data, read: b.flag()}
}
