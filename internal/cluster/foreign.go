package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// errForeign is why an answer to the question whether a node is alive is not a node's.
var errForeign = errors.New("this is not rqlite's HTTP address")

// names reports whether an answer has the header that all of rqlite's have.
func names(header http.Header) bool {
	_, ok := header[releaseHeader]
	return ok
}

// isForeign reports whether an answer other than 200 comes from something that is not rqlite,
// such as a service that has got the address of a node, or a proxy that speaks for itself. A
// proxy may also strip the header from rqlite's answers: then some of them were well-formed.
func (g *guard) isForeign(resp *http.Response, message string) bool {
	switch {
	case names(resp.Header), g.node.plain.Load(), isOurs(message):
		return false
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		u, err := resp.Location()
		return err != nil || u.Path != g.req.Path || g.forwarded || !g.req.Leader // rqlite redirects to the same path, if asked to
	case resp.StatusCode == http.StatusUnauthorized:
		return !g.client.routes.isHost(g.node) // who is at fault, user or host, is not known
	}
	return true
}

// own makes sure that an answer of which nothing is known, such as a backup, is rqlite's.
// The guard's context is ctx.
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

// disown makes e the error of an answer that is not rqlite's. What is foreign has not done what
// was asked for, but may have passed it on: a write that it does not clearly refuse stays unknown.
func (e *Error) disown(req *Request) {
	e.foreign = true
	e.lasting = e.Outcome == Refused || e.Status < 400
	if e.Outcome != Unknown || !req.Write {
		e.Outcome = Repeat
	}
	detail := e.text()
	if strings.ContainsAny(detail, "<>\n") || len(detail) > 200 {
		detail = strings.ToLower(http.StatusText(e.Status)) // a page for people
	}
	e.Message = fmt.Sprintf("%v, or a proxy answers in its place: %s", errForeign, detail)
}
