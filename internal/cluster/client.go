package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

// Config says how to reach a cluster.
type Config struct {
	// Hosts are the addresses, "host:port", that the cluster is known by. They
	// are never forgotten. At least one is needed.
	Hosts []string
	// Scheme is "http" or "https".
	Scheme string
	// Prefix stands before the path of each request, such as "/rqlite"; a proxy before the
	// nodes removes it. The addresses that nodes name are behind that proxy, which is why
	// Redirect and Members do not go with it.
	Prefix string
	// User and Password are sent by basic authentication to trusted nodes,
	// when User is not empty.
	User, Password string
	// Transport carries the requests. It must not follow redirects itself.
	Transport http.RoundTripper
	// Proxy names the proxy by which a request goes, for messages; "" is none. It may be nil.
	Proxy func(*http.Request) string
	// Verified says that Transport verifies the certificates of https nodes,
	// so that what such a node says of others can be trusted.
	Verified bool
	// Timeout bounds the wait for an answer, repetitions included, of a request
	// whose context has no earlier deadline. Zero or less is no bound.
	Timeout time.Duration
	// Redirect makes requests for the leader go to it directly, at the address
	// that the other nodes redirect to. Without it they are forwarded.
	Redirect bool
	// Members makes the client ask for the other nodes of the cluster, and use
	// them for requests that any node can answer.
	Members bool
	// Logger gets what a person who looks for a fault wants to know. Nil is silence.
	Logger *slog.Logger
}

// queryPath is where requests go that read, and executePath is where those go that write.
const (
	queryPath   = "/db/query"
	executePath = "/db/execute"
)

// Client sends requests to one cluster. It is safe for concurrent use.
type Client struct {
	cfg      Config
	routes   routes
	lowest   lowest
	seekSlot chan struct{} // full while a request seeks the leader for all

	reads, writes chan struct{} // one for each request that waits for its answer

	closing context.Context // ends with Close, and with it what goes on behind the requests
	close   context.CancelFunc
}

// New returns a Client. It contacts nobody.
func New(cfg Config) *Client {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		cfg:      cfg,
		seekSlot: make(chan struct{}, 1),
		reads:    make(chan struct{}, MostAtOnce),
		writes:   make(chan struct{}, MostAtOnce),
	}
	c.closing, c.close = context.WithCancel(context.Background())
	c.routes.init(&c.cfg)
	return c
}

// Close closes the connections that no request is using. Requests under way
// are not cut off.
func (c *Client) Close() {
	c.close()
	c.closeIdle()
}

// closeIdle closes the connections that no request is using.
func (c *Client) closeIdle() {
	if t, ok := c.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Forwarding reports whether requests for the leader are now forwarded by the nodes
// that get them.
func (c *Client) Forwarding() bool { return c.routes.forwarding() }

// Request is one request to the cluster.
type Request struct {
	Path   string // such as "/db/query"
	Params string // URL parameters, encoded, without the question mark
	Body   []byte // JSON, with the statements of the frame
	Frame  *Frame // nil for none
	// Leader says that only the leader can answer, so that the request goes
	// straight to it. Otherwise any node will do.
	Leader bool
	// Pinned says that the node which gets the request does not redirect it, as
	// with queued writes, so that the leader has to be known.
	Pinned bool
	// Write says that the request may have an effect, so that it is repeated
	// only when it provably had none.
	Write bool
	// MinRelease is the first release that does what the request relies on. It is not sent to a
	// node of an earlier one, or one that is not known. Zero is [Oldest].
	MinRelease Release
	// Statements is how many statements the request has, those that the driver
	// adds apart. It matters for writes.
	Statements int
	// Stream says that the caller reads rows at its own pace: the time-out ends
	// with the arrival of the first entry instead of the end of the answer.
	Stream bool

	bulk *bulk // says before each attempt what the body is; nil if Body is
	way  way
}

// way is how a request for the leader gets from another node to it.
type way uint8

const (
	asKnown  way = iota // forwarded if the leader cannot be reached, else redirected
	straight            // redirected
	byOthers            // forwarded
)

// MostAtOnce is how many requests that write, and how many that do not, wait for
// answers at once; the others wait for these. An answer that is being read does not count,
// so that a program may do anything while it reads one. More at once would not be faster,
// and each takes a connection.
const MostAtOnce = 256

const (
	firstPause   = 20 * time.Millisecond
	longestPause = 100 * time.Millisecond
	maxRedirects = 5 // in a row, without a node that answers
)

// Send sends the request and returns the answer, of which the first entry has
// been read. The caller closes it.
//
// What provably had no effect is tried again, on other nodes where there are
// any, until the context or the client's time-out ends; requests that do not
// write are tried again after any failure. An error is an [*Error], or that of the Frame's Before.
func (c *Client) Send(ctx context.Context, req *Request) (*Answer, error) {
	c.begin()
	answer, err := c.send(ctx, req, c.until(ctx))
	if err != nil {
		c.routes.counts.failures.Add(1)
		err.Write = req.Write
		return nil, err
	}
	if req.Frame != nil {
		if err := req.Frame.Before.read(answer); err != nil {
			answer.Close()
			return nil, err
		}
	}
	return answer, nil
}

// begin takes note of a request.
func (c *Client) begin() {
	c.routes.counts.requests.Add(1)
	c.lookBack()
	if c.cfg.Members {
		c.refresh()
	}
}

func (c *Client) send(ctx context.Context, req *Request, until time.Time) (*Answer, *Error) {
	var (
		last *Error
		up   surrender
	)
	pause := firstPause
	start := c.routes.start(req)
	for redirects, attempt := 0, 0; ; attempt++ {
		if why := c.over(ctx, until); why != nil { // the transport would not say that it sent nothing
			err := stopped(why, "", req, false)
			if last != nil {
				err.setWaited(req, "another attempt; nothing was applied")
			}
			return nil, outOfTime(err, last)
		}
		if last != nil && redirects == 0 {
			c.routes.counts.retries.Add(1)
		}
		places, err := c.enter(ctx, req, until)
		if err != nil {
			return nil, outOfTime(err, last)
		}
		node := c.routes.pick(req.Leader, start+attempt)
		if req.bulk != nil {
			req.Body, req.Statements = req.bulk.compose()
		}
		answer, err := c.attempt(ctx, node, req, until)
		<-places
		if err == nil {
			c.routes.succeeded(node, req.Leader)
			return answer, nil
		}
		if err.redirect != nil && redirects < maxRedirects {
			follow, refused := c.routes.redirected(node, err.redirect)
			if refused != nil {
				return nil, refused
			}
			if follow {
				redirects++
				req.withdraw(err)
				continue
			}
		}
		c.failed(node, err)
		if err.Write = req.Write; up.after(&c.routes, node, err) || !err.repeatable(req) {
			return nil, outOfTime(err, last)
		}
		req.withdraw(err)
		last, redirects = err, 0
		c.cfg.Logger.DebugContext(ctx, "rqlite: trying again", "node", node.host, "error", err)
		if c.routes.untried(attempt + 1) {
			continue // another node may do better at once
		}
		sleep(ctx, pause/2+rand.N(pause/2), until)
		pause = min(2*pause, longestPause)
	}
}

// enter waits until the leader is known, where a request needs it, and the request may
// wait for an answer. Who enters has to receive from the channel to leave.
func (c *Client) enter(ctx context.Context, req *Request, until time.Time) (chan struct{}, *Error) {
	places := c.reads
	if req.Write {
		places = c.writes
	}
	for {
		if c.mustSeek(req) {
			if err := c.seek(ctx, req, until); err != nil {
				return nil, err
			}
		}
		if over := c.take(ctx, places, until); over != nil {
			return nil, stopped(over, "", req, false).waited(req, "the writes under way; nothing was sent")
		}
		if !c.mustSeek(req) { // it may have been lost meanwhile
			return places, nil
		}
		<-places
	}
}

// take waits for a place, and returns why the request cannot wait any longer.
func (c *Client) take(ctx context.Context, places chan struct{}, until time.Time) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	var late <-chan time.Time // never, without a time-out
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return cause(ctx)
	case <-late:
		return c.timedOut()
	}
}

// mustSeek reports whether the leader has to be found before a request goes out.
// The first request of a client goes to the first host, which redirects it; a write
// that stays where it arrives must not.
func (c *Client) mustSeek(req *Request) bool {
	if !req.Leader || c.routes.forwarding() {
		return false
	}
	if req.Pinned && c.routes.leader.Load() == nil {
		c.routes.lost.Store(true)
	}
	return c.routes.lost.Load()
}

// failed takes note of a failed attempt. That the caller's patience, or the
// time-out, ended before the node answered says little of the node: so it is asked.
func (c *Client) failed(node *node, err *Error) {
	c.routes.failed(node, err)
	if err.sent && errors.Is(err.Err, context.DeadlineExceeded) {
		c.suspect(node)
	}
}

// attempt sends the request to one node, under guard.
func (c *Client) attempt(ctx context.Context, node *node, req *Request, until time.Time) (*Answer, *Error) {
	ctx, guard := c.guard(ctx, node, req, until)
	answer, err := c.exchange(ctx, guard, node, req)
	if err != nil {
		guard.close()
		return nil, err
	}
	if req.Stream {
		guard.lift()
	}
	return answer, nil
}

// over returns why a request cannot go on, or nil while it can.
func (c *Client) over(ctx context.Context, until time.Time) error {
	switch {
	case ctx.Err() != nil:
		return cause(ctx)
	case !until.IsZero() && !time.Now().Before(until):
		return c.timedOut()
	}
	return nil
}

// outOfTime returns err, and with it what the attempt before it died of: that
// is what the person reading wants to know when time has run out.
func outOfTime(err, last *Error) *Error {
	ranOut := errors.Is(err.Err, context.Canceled) || errors.Is(err.Err, context.DeadlineExceeded)
	if !ranOut || last == nil || err.Status != 0 || err.Outcome == Unknown {
		return err
	}
	combined := *err
	if combined.Node == "" {
		combined.Node = last.Node
	}
	combined.Message = fmt.Sprintf("%s; the attempt before: %s", err.text(), last.text())
	return &combined
}

// sleep waits for d, or for the end of the context or the time-out where that
// comes first.
func sleep(ctx context.Context, d time.Duration, until time.Time) {
	if !until.IsZero() {
		d = min(d, time.Until(until))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// stopped is the error of a request, or an attempt at it, whose context has
// ended: by the caller's doing, the time-out's, or that of a node that hangs.
func stopped(why error, host string, req *Request, sent bool) *Error {
	e := &Error{Outcome: Refused, Node: host, Err: why, sent: sent}
	switch {
	case sent && req.Write:
		e.Outcome = Unknown
	case errors.Is(why, errHangs), errors.Is(why, errSlow):
		e.Outcome = Repeat
	}
	return e
}

// waited makes the error of a write that ran out of time before it was sent say what it waited
// for, and what that means.
func (e *Error) waited(req *Request, what string) *Error {
	e.setWaited(req, what)
	return e
}

// setWaited is [Error.waited] without a result.
func (e *Error) setWaited(req *Request, what string) {
	if req.Write && (errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded)) {
		e.Message = fmt.Sprintf("%v while the write waited for %s", e.Err, what)
	}
}

// cause returns why a context ended. It is always context.Canceled or
// context.DeadlineExceeded, whatever reason the caller gave besides, or errHangs or
// errSlow.
func cause(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) ||
		errors.Is(cause, errHangs) || errors.Is(cause, errSlow) {
		return cause
	}
	return fmt.Errorf("%w: %w", ctx.Err(), cause)
}
