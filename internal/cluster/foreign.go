package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// errForeign says that the answer of an address is not rqlite's.
var errForeign = errors.New("this is not rqlite's HTTP address")

// names reports whether an answer has the header that all answers of rqlite have.
func names(header http.Header) bool {
	_, ok := header[releaseHeader]
	return ok
}

// isForeign reports whether an answer other than 200 comes from something other than rqlite, such
// as a service that now has the address of a node, or a proxy that answers by itself. A proxy may
// also strip the header from rqlite's answers. Then some of them were well-formed.
func (g *guard) isForeign(resp *http.Response, message string) bool {
	switch {
	case names(resp.Header), g.node.plain.Load(), isOurs(message):
		return false
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		u, err := resp.Location()
		return err != nil || u.Path != g.req.Path || g.forwarded || !g.req.Leader // rqlite redirects to the same path, and only if asked to
	case resp.StatusCode == http.StatusUnauthorized:
		return !g.client.routes.isHost(g.node) // either the user or the host may be wrong
	}
	return true
}

// own makes sure that an answer that says nothing of its origin, such as a backup, is rqlite's. ctx
// is the context of the guard.
func (c *Client) own(ctx context.Context, guard *guard, req *Request, resp *http.Response) *Error {
	if names(resp.Header) || guard.node.plain.Load() {
		return nil
	}
	err := c.ask(ctx, guard.node)
	if err == nil {
		return nil
	}
	e := unreached(guard, req, err)
	if req.Write {
		e.Outcome = Unknown
	}
	return e
}

// isOurs recognises the texts of rqlite.
func isOurs(message string) bool {
	return isLeaderless(message) || isUnsendable(message) || strings.HasPrefix(message, "SQL rewrite:") ||
		strings.HasPrefix(message, "stepdown: ") || message == "queue wait timeout"
}

// isHost reports whether a node is one of the configuration.
func (r *routes) isHost(n *node) bool { return slices.Contains(r.hosts, n) }

// disown makes e the error of an answer that is not rqlite's. Its sender has not run the request,
// but may have passed it on. So a write stays unknown unless it was clearly refused.
func (g *guard) disown(e *Error) {
	e.foreign = true
	e.lasting = e.Outcome == Refused || e.Status < 400
	if e.Outcome != Unknown || !g.req.Write {
		e.Outcome = Repeat
	}
	detail := e.text()
	if strings.ContainsAny(detail, "<>\n") || len(detail) > 200 {
		detail = strings.ToLower(http.StatusText(e.Status)) // a page for people
	}
	e.Message = fmt.Sprintf("%v: %s", g.client.foreign(g.node), detail)
}

// foreign returns why an answer is not rqlite's. A proxy cannot answer within https.
func (c *Client) foreign(n *node) error {
	if c.cfg.Proxy != nil && n.scheme == "http" {
		if name := c.cfg.Proxy(&http.Request{URL: &url.URL{Scheme: n.scheme, Host: n.host}}); name != "" {
			return fmt.Errorf("the proxy %s answers in place of the node, or %w", name, errForeign)
		}
	}
	return fmt.Errorf("%w, or a proxy answers in its place", errForeign)
}

// ProxyError is the failure of a Transport to reach a node, because a proxy refused to connect.
type ProxyError struct {
	Proxy  string // its name
	Status int    // of its answer
}

// Error implements error.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("the proxy %s does not connect to the node: %s (HTTP status %d)", e.Proxy, strings.ToLower(http.StatusText(e.Status)), e.Status)
}

// refusedByProxy returns the error for a proxy that refused to connect, nil for other errors. The
// node got nothing.
func refusedByProxy(n *node, err error) *Error {
	var refused *ProxyError
	if !errors.As(err, &refused) {
		return nil
	}
	return &Error{Outcome: Repeat, Node: n.host, Err: err, foreign: true, lasting: refused.Status < 500}
}
