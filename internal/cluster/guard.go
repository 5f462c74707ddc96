package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// patience is how long a node may take to answer before it is asked whether it is alive, and how
// long it may take to say so. A node that is paused or silently cut off keeps its connections. A
// node that works on a long query still answers other requests.
const patience = 500 * time.Millisecond

// errHangs says why an attempt on a node that is not alive was given up.
var errHangs = errors.New("the node does not answer")

// guard watches over one attempt. It cuts the attempt off when the client's timeout passes, or when
// the node turns out to hang. A read, which can go elsewhere, ends after one sign of that. A write,
// which cannot, ends after two. client, node, req, until, ctx and cancel never change.
type guard struct {
	client *Client
	node   *node
	req    *Request
	// forwarded says that the node hands the request on if it does not lead. exchange sets it
	// before it sends.
	forwarded bool
	until     time.Time       // when the timeout passes; zero is never
	signs     int             // further signs of hanging that it takes; guarded by mu
	ctx       context.Context // of the attempt
	cancel    context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer // nil once nothing is left to watch; it never comes back
	heard bool        // the node has begun to answer; it stays so
}

// Until returns when the client's timeout ends a request, or the wait of a caller, that has begun at a time; zero is
// now. It is zero if the context ends no later, or if there is no timeout.
func (c *Client) Until(ctx context.Context, begun time.Time) time.Time {
	if c.cfg.Timeout <= 0 {
		return time.Time{}
	}
	if begun.IsZero() {
		begun = time.Now()
	}
	until := begun.Add(c.cfg.Timeout)
	if deadline, ok := ctx.Deadline(); ok && !deadline.After(until) {
		return time.Time{}
	}
	return until
}

// timedOut is the error of a request that the client's timeout ends.
func (c *Client) timedOut() error {
	return fmt.Errorf("no answer within %v, the time-out of the connection: %w", c.cfg.Timeout, context.DeadlineExceeded)
}

// guard begins to watch over an attempt, which has to use the returned context.
func (c *Client) guard(ctx context.Context, node *node, req *Request, until time.Time) (context.Context, *guard) {
	ctx, cancel := context.WithCancelCause(ctx)
	g := &guard{client: c, node: node, req: req, until: until, signs: 1, ctx: ctx, cancel: cancel}
	if req.Write {
		g.signs = 2
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer = time.AfterFunc(g.wait(), g.look)
	return ctx, g
}

// ended returns why the attempt's context has ended, or nil.
func (g *guard) ended() error {
	if g.ctx.Err() == nil {
		return nil
	}
	return cause(g.ctx)
}

// wait returns how long to wait for the next look: until the timeout if the node has begun to
// answer, or if there is no time to ask it anything. The caller holds g.mu.
func (g *guard) wait() time.Duration {
	if g.until.IsZero() {
		return patience
	}
	if left := time.Until(g.until); g.heard || left < 2*patience {
		return max(left, 0)
	}
	return patience
}

// look runs when the wait is over.
func (g *guard) look() {
	if !g.until.IsZero() && !time.Now().Before(g.until) {
		g.cancel(g.client.timedOut())
		return
	}
	alive := g.begun() || g.client.alive(g.node)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.timer == nil {
		return // it was closed in the meantime
	}
	if !alive && !g.heard {
		if g.signs--; g.signs <= 0 {
			g.cancel(errHangs)
			return
		}
	}
	g.timer.Reset(g.wait())
}

func (g *guard) begun() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.heard
}

// hears notes that the node has begun to answer: it is alive.
func (g *guard) hears() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heard = true
	if g.until.IsZero() {
		g.stop()
		return
	}
	g.timer.Reset(g.wait())
}

// lift ends the timeout, and leaves the attempt to the caller's context.
func (g *guard) lift() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop()
}

// stop ends the watch. The caller holds g.mu.
func (g *guard) stop() {
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
}

// close ends the watch, and cuts off what is left of the attempt.
func (g *guard) close() {
	g.lift()
	g.cancel(nil)
}

// health is the last answer to the question whether a node is alive. Whoever fills asking may use
// the other fields.
type health struct {
	asking chan struct{} // full while the node is asked, so that one asks for all
	taken  time.Time     // when it was asked
	alive  bool
}

// alive asks a node whether it is alive. Any answer by HTTP says yes, even one that refuses the
// question.
func (c *Client) alive(n *node) bool {
	n.health.asking <- struct{}{}
	defer func() { <-n.health.asking }()
	if time.Since(n.health.taken) < patience/2 {
		return n.health.alive
	}
	ctx, cancel := context.WithTimeout(c.closing, patience)
	defer cancel()
	err := c.ask(ctx, n)
	n.health.alive = err == nil || errors.Is(err, errForeign) || c.closing.Err() != nil // after Close nobody asks: it says nothing of the node
	n.health.taken = time.Now()
	return n.health.alive
}

// suspect finds out in the background whether a node hangs. Requests with less patience than the
// guard would never learn it.
func (c *Client) suspect(n *node) {
	if !n.suspected.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer n.suspected.Store(false)
		if !c.alive(n) {
			c.routes.failed(n, &Error{Outcome: Repeat, Node: n.host, Err: errHangs})
		}
	}()
}

// ask asks a node for any answer, which also names its release. The error wraps errForeign if the
// answer is not rqlite's.
func (c *Client) ask(ctx context.Context, n *node) error {
	hreq, err := http.NewRequestWithContext(ctx, http.MethodGet, "", nil)
	if err != nil {
		return err
	}
	hreq.URL = &url.URL{Scheme: n.scheme, Host: n.host, Path: c.cfg.Prefix + "/readyz", RawQuery: "noleader"}
	hreq.Host = n.host
	hreq.Header = n.header
	resp, err := c.cfg.Transport.RoundTrip(hreq)
	if err != nil {
		if refused := refusedByProxy(n, err); refused != nil {
			return refused
		}
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage)) // to its end, which keeps the connection
	switch {
	case names(resp.Header), n.plain.Load():
	case err != nil:
		return err
	case bytes.HasPrefix(text, []byte("[+]node ok")), isOurs(string(text)):
		n.plain.Store(true)
	case resp.StatusCode == http.StatusUnauthorized && c.routes.isHost(n):
	default:
		status := fmt.Errorf("%w: %s", c.foreign(n), strings.ToLower(http.StatusText(resp.StatusCode)))
		return &Error{Outcome: Repeat, Node: n.host, Status: resp.StatusCode, Err: status, Message: status.Error(), foreign: true, lasting: resp.StatusCode < 500}
	}
	n.notes(resp.Header)
	return nil
}
