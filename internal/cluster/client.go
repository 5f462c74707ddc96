package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/go-rqlite/rqlite/internal/wire"
)

// Config says how to reach a cluster.
type Config struct {
	// Hosts are the known addresses of the cluster, "host:port". The client never forgets them.
	// There must be at least one.
	Hosts []string
	// Scheme is "http" or "https".
	Scheme string
	// Prefix is put before the path of each request, such as "/rqlite". A proxy before the nodes
	// removes it. The addresses that nodes name are behind that proxy, so Redirect and Members must
	// be off.
	Prefix string
	// User and Password go to trusted nodes by basic authentication, unless User is empty.
	User, Password string
	// Transport carries the requests. It must not follow redirects itself.
	Transport http.RoundTripper
	// Proxy names the proxy of a request, for messages; "" for none. It may be nil.
	Proxy func(*http.Request) string
	// Verified says that Transport verifies the certificates of https nodes, so that the client can
	// trust the addresses that such a node names.
	Verified bool
	// Timeout bounds the wait for an answer, repetitions included, if the context of the request
	// has no earlier deadline. Zero or less is no bound.
	Timeout time.Duration
	// Redirect sends requests for the leader straight to it, at the address that other nodes
	// redirect to. Without it the nodes forward them.
	Redirect bool
	// Members makes the client ask for the other nodes of the cluster, and use them for requests
	// that any node can answer.
	Members bool
	// Logger gets messages for people who look for a fault. Nil discards them.
	Logger *slog.Logger
}

// queryPath and executePath are the endpoints of statements that read, and that write.
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

	reads, writes gate // the requests that wait for their answers have places

	closing context.Context // ends with Close, and with it the work in the background
	close   context.CancelFunc
}

// New returns a Client. It sends nothing.
func New(cfg Config) *Client {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		cfg:      cfg,
		seekSlot: make(chan struct{}, 1),
	}
	c.reads.open(MostAtOnce)
	c.writes.open(MostAtOnce)
	c.closing, c.close = context.WithCancel(context.Background())
	c.routes.init(&c.cfg)
	return c
}

// Close closes the connections that no request is using. It does not cut off requests under way.
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

// Forwarding reports whether nodes now forward the requests for the leader.
func (c *Client) Forwarding() bool { return c.routes.forwarding() }

// Request is one request to the cluster.
type Request struct {
	Path   string // such as "/db/query"
	Params string // URL parameters, encoded, without the question mark
	Body   []byte // JSON, with the statements of the frame
	Frame  *Frame // nil for none
	// Leader says that only the leader can answer. The request goes straight to it; otherwise to
	// any node.
	Leader bool
	// Pinned says that a node does not redirect the request, as with queued writes. So the leader
	// must be known.
	Pinned bool
	// Write says that the request may have an effect. It is repeated only if it provably had none.
	Write bool
	// MinRelease is the oldest release that does what the request relies on. The request is not
	// sent to a node of an earlier or unknown release. Zero is [Oldest].
	MinRelease Release
	// Statements is the number of the caller's statements, without those of the driver. It matters
	// for writes.
	Statements int
	// Stream says that the caller reads rows at its own pace: the timeout ends with the first entry
	// instead of the end of the answer.
	Stream bool
	// Bounded says that the sender lets only few such requests be under way, and that they are known to be
	// quick. So they wait for no others, and do not count among [MostAtOnce].
	Bounded bool
	// Begun is when the caller began to wait, if that was before Send. The client's timeout counts from
	// then.
	Begun time.Time

	// Needed is asked before each attempt, when it has its place. Nil is for a request that is always needed.
	Needed Needed

	// Sent is set before each attempt. Nil is for nobody.
	Sent *Departure

	// Columns remembers the columns and types of an answer without those of the frame, so that the next one
	// shares them. Nil is for nothing.
	Columns *wire.KnownColumns

	joint Joint // gives the body of each attempt; nil if Body is the body
	way   way
}

// Needed is asked whether a request that has waited for its place is still needed. If it is not, it is not sent, and
// its error is [ErrNeedless].
type Needed interface{ Needed() bool }

// ErrNeedless says that a request was not sent because it was no longer needed.
var ErrNeedless = errors.New("the request is no longer needed")

// needless reports whether the request was not sent because it was no longer needed. There may be no error.
func (e *Error) needless() bool { return e != nil && errors.Is(e.Err, ErrNeedless) }

// Departure is when an attempt left, and the node host:port to which it did.
type Departure struct {
	Node string
	At   time.Time
}

// way is how a request for the leader gets to it from another node.
type way uint8

const (
	asKnown  way = iota // forwarded if the leader cannot be reached, else redirected
	straight            // redirected
	byOthers            // forwarded
)

// MostAtOnce is how many requests that write, and how many that do not, wait for answers at the
// same time. The others wait for these. A few more may do so that are over soon. An answer that is being
// read does not count, so that a program can send requests while it reads. More at once would not be
// faster, and each takes a connection.
const MostAtOnce = 256

const (
	firstPause   = 20 * time.Millisecond
	longestPause = 100 * time.Millisecond
	maxRedirects = 5 // in a row, without a node that answers
)

// Send sends the request and returns the answer, whose first entry has been read. The caller closes
// it.
//
// Send repeats a request that provably had no effect, on other nodes if there are any, until the
// context or the client's timeout ends. It repeats requests that do not write after any failure. An
// error is an [*Error], or that of the Frame's Before.
func (c *Client) Send(ctx context.Context, req *Request) (*Answer, error) {
	c.begin()
	answer, err := c.send(ctx, req, c.Until(ctx, req.Begun))
	if err != nil {
		if !err.needless() {
			c.routes.counts.failures.Add(1)
		}
		err.Write = req.Write
		return nil, err
	}
	if req.Frame != nil {
		if err := req.Frame.Before.read(answer); err != nil {
			answer.Close()
			return nil, err
		}
		answer.Remember(req.Columns) // these are not those of the frame
	}
	return answer, nil
}

// begin starts due work in the background.
func (c *Client) begin() {
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
			err := stopped(why, "", req.Write, false)
			if last != nil {
				err.setWaited("another attempt; nothing was applied")
			}
			return nil, outOfTime(err, last)
		}
		if last != nil && redirects == 0 {
			c.routes.counts.retries.Add(1)
		}
		place, err := c.enter(ctx, req, until)
		if attempt == 0 && !err.needless() {
			c.routes.counts.requests.Add(1)
		}
		if err != nil {
			return nil, outOfTime(err, last)
		}
		node := c.routes.pick(req.Leader, start+attempt)
		req.compose(node)
		sent := time.Now()
		if req.Sent != nil {
			*req.Sent = Departure{node.host, sent}
		}
		answer, err := c.attempt(ctx, node, req, until)
		place.leave(time.Since(sent), err != nil && err.cutOff())
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
		if !req.withdraw(err) {
			return nil, outOfTime(err, last)
		}
		last, redirects = err, 0
		c.cfg.Logger.DebugContext(ctx, "rqlite: trying again", "node", node.host, "error", err)
		if c.routes.untried(attempt + 1) {
			continue // another node may succeed at once
		}
		Sleep(ctx, pause/2+rand.N(pause/2), until)
		pause = min(2*pause, longestPause)
	}
}

// cutOff reports whether the caller's time was over before the node answered.
func (e *Error) cutOff() bool { return e.Status == 0 && errors.Is(e.Err, context.DeadlineExceeded) }

// enter waits until the request may wait for an answer, and the leader is known if it needs it. The
// caller has to leave the place.
func (c *Client) enter(ctx context.Context, req *Request, until time.Time) (place, *Error) {
	gate := &c.reads
	if req.Write {
		gate = &c.writes
	}
	for {
		if c.mustSeek(req) {
			if err := c.seek(ctx, req, until); err != nil {
				return place{}, err
			}
		}
		if req.Bounded {
			return place{}, nil
		}
		place, over := gate.enter(ctx, until, c.timedOut)
		if over != nil {
			return place, stopped(over, "", req.Write, false).waited("the writes under way; nothing was sent")
		}
		if req.Needed != nil && !req.Needed.Needed() {
			place.leave(0, false)
			return place, stopped(ErrNeedless, "", req.Write, false)
		}
		if !c.mustSeek(req) { // it may have been lost meanwhile
			return place, nil
		}
		place.leave(0, false)
	}
}

// take fills a place in a channel. It returns why the request cannot wait for it any longer, or nil.
func (c *Client) take(ctx context.Context, places chan struct{}, until time.Time) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	var late <-chan time.Time // never, without a timeout
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

// mustSeek reports whether the leader has to be found before a request goes out. The first request
// of a client goes to the first host, which redirects it. A pinned request would stay there.
func (c *Client) mustSeek(req *Request) bool {
	if !req.Leader || c.routes.forwarding() {
		return false
	}
	if req.Pinned && c.routes.leader.Load() == nil {
		c.routes.lost.Store(true)
	}
	return c.routes.lost.Load()
}

// failed records a failed attempt. If the caller or the timeout ended it before the node answered,
// that says little about the node. So the node is asked.
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

// outOfTime returns err, which says that time ran out, together with the failure of the attempt
// before it, which says why.
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

// Sleep waits for d, or until the context or the time of until has ended; a zero until never does.
func Sleep(ctx context.Context, d time.Duration, until time.Time) {
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

// stopped is the error of a request or attempt whose context has ended: the caller, the timeout or
// a hanging node ended it.
func stopped(why error, host string, write, sent bool) *Error {
	e := &Error{Outcome: Refused, Write: write, Node: host, Err: why, sent: sent}
	switch {
	case sent && write:
		e.Outcome = Unknown
	case errors.Is(why, errHangs), errors.Is(why, errSlow):
		e.Outcome = Repeat
	}
	return e
}

// waited adds to the error of a write that ran out of time before it was sent: the reason for its
// wait, and the consequence.
func (e *Error) waited(what string) *Error {
	e.setWaited(what)
	return e
}

// setWaited is [Error.waited] without a result.
func (e *Error) setWaited(what string) {
	if e.Write && (errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded)) {
		e.Message = fmt.Sprintf("%v while the write waited for %s", e.Err, what)
	}
}

// cause returns why a context ended. The error always wraps context.Canceled or
// context.DeadlineExceeded, whatever cause the caller gave, or is errHangs or errSlow.
func cause(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) ||
		errors.Is(cause, errHangs) || errors.Is(cause, errSlow) {
		return cause
	}
	return fmt.Errorf("%w: %w", ctx.Err(), cause)
}
