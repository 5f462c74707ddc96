package cluster

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Call is a request that is not for statements. It goes out as it is, and the caller reads the
// answer.
type Call struct {
	Method      string
	Path        string
	Params      string
	ContentType string    // of Body
	Body        io.Reader // nil for none; it is read once
	// Leader sends the call to the leader, which is sought if it is not known. If requests are
	// forwarded, the call goes to a host of the configuration.
	Leader bool
	// Write says that the call may have an effect.
	Write bool
}

// Do sends a call and returns the body of its answer, which the caller closes. Any status but 200
// and 204 is an error. The client's timeout bounds the wait for the answer to begin. It does not
// bound a call with a body, because the caller may send that slowly.
//
// A call without a body that does not write tries each node until one answers. An error is an
// [*Error].
func (c *Client) Do(ctx context.Context, call *Call) (io.ReadCloser, error) {
	_, body, err := c.do(ctx, call)
	if err != nil {
		return nil, err
	}
	return body, nil
}

// do also returns the node that answered.
func (c *Client) do(ctx context.Context, call *Call) (*node, io.ReadCloser, *Error) {
	req := &Request{Leader: call.Leader, Write: call.Write, Pinned: call.Leader}
	var until time.Time
	if call.Body == nil {
		until = c.Until(ctx, time.Time{})
	}
	if c.mustSeek(req) {
		if err := c.seek(ctx, req, until); err != nil {
			return nil, nil, err
		}
	}
	var last *Error
	attempt := 0
	if call.Leader && c.routes.leader.Load() != nil && !c.routes.forwarding() {
		attempt = -1 // the leader, before all nodes
	}
	for ; attempt < len(c.routes.nodes()); attempt++ {
		if why := c.over(ctx, until); why != nil {
			return nil, nil, outOfTime(stopped(why, "", req.Write, false), last)
		}
		node := c.routes.pick(call.Leader, max(attempt, 0))
		body, err := c.callOnce(ctx, node, call, req, until)
		if err == nil {
			c.routes.succeeded(node, false)
			return node, body, nil
		}
		err.Write = call.Write
		c.failed(node, err)
		if call.Body != nil || !err.repeatable(req) {
			return nil, nil, outOfTime(err, last)
		}
		last = err
	}
	return nil, nil, last
}

func (c *Client) callOnce(ctx context.Context, node *node, call *Call, req *Request, until time.Time) (io.ReadCloser, *Error) {
	trace := new(sendTrace)
	ctx, guard := c.guard(ctx, node, req, until)
	if call.Write {
		if err := c.admit(ctx, guard, node, req); err != nil {
			guard.close()
			return nil, err
		}
	}
	if call.Body != nil {
		guard.lift() // the node may be busy with a long body
	}
	hreq, err := http.NewRequestWithContext(trace.follow(ctx), call.Method, "", call.Body)
	if err != nil {
		guard.close()
		return nil, &Error{Outcome: Refused, Node: node.host, Err: err}
	}
	hreq.URL = &url.URL{Scheme: node.scheme, Host: node.host, Path: c.cfg.Prefix + call.Path, RawQuery: call.Params}
	hreq.Host = node.host
	hreq.Header = node.header.Clone()
	hreq.Header.Del("Content-Type")
	if call.ContentType != "" {
		hreq.Header.Set("Content-Type", call.ContentType)
	}
	resp, err := c.cfg.Transport.RoundTrip(hreq)
	if err != nil {
		failure := transportError(guard, req, trace, err)
		guard.close()
		return nil, failure
	}
	if names(resp.Header) || node.plain.Load() {
		node.notes(resp.Header)
	}
	if failure := node.tooOld(); failure != nil && !call.Write {
		resp.Body.Close()
		guard.close()
		return nil, failure
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		failure := statusError(guard, resp)
		guard.close()
		return nil, failure
	}
	if err := c.own(ctx, guard, req, resp); err != nil {
		resp.Body.Close()
		guard.close()
		return nil, err
	}
	guard.lift()
	return &callBody{ReadCloser: resp.Body, guard: guard}, nil
}

// callBody is the body of an answer to a call.
type callBody struct {
	io.ReadCloser
	guard *guard
}

// Close implements io.Closer.
func (b *callBody) Close() error {
	err := b.ReadCloser.Close()
	b.guard.close()
	return err
}
