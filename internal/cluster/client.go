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
	// User and Password are sent by basic authentication to trusted nodes,
	// when User is not empty.
	User, Password string
	// Transport carries the requests. It must not follow redirects itself.
	Transport http.RoundTripper
	// Verified says that Transport verifies the certificates of https nodes,
	// so that what such a node says of others can be trusted.
	Verified bool
	// Timeout bounds the wait for an answer, repetitions included, of a request
	// whose context has no earlier deadline. Zero or less is no bound.
	Timeout time.Duration
	// Redirect makes requests for the leader go to it directly, at the address
	// that the other nodes redirect to. Without it they are forwarded.
	Redirect bool
	// Logger gets what a person who looks for a fault wants to know. Nil is silence.
	Logger *slog.Logger
}

// Client sends requests to one cluster. It is safe for concurrent use.
type Client struct {
	cfg    Config
	routes routes
}

// New returns a Client. It contacts nobody.
func New(cfg Config) *Client {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg}
	c.routes.init(&c.cfg)
	return c
}

// CloseIdle closes the connections that no request is using.
func (c *Client) CloseIdle() {
	if t, ok := c.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Request is one request to the cluster.
type Request struct {
	Path   string // such as "/db/query"
	Params string // URL parameters, encoded, without the question mark
	Body   []byte // JSON
	// Leader says that only the leader can answer, so that the request goes
	// straight to it. Otherwise any node will do.
	Leader bool
	// Write says that the request may have an effect, so that it is repeated
	// only when it provably had none.
	Write bool
	// Stream says that the caller reads rows at its own pace: the time-out ends
	// with the arrival of the first entry instead of the end of the answer.
	Stream bool
}

const (
	firstPause   = 20 * time.Millisecond
	longestPause = 500 * time.Millisecond
	maxRedirects = 5 // in a row, without a node that answers
)

// Send sends the request and returns the answer, of which the first entry has
// been read. The caller closes it.
//
// What provably had no effect is tried again, on other nodes where there are
// any, until the context or the client's time-out ends; requests that do not
// write are tried again after any failure. An error is an [*Error].
func (c *Client) Send(ctx context.Context, req *Request) (*Answer, error) {
	limit := c.limit(ctx)
	answer, err := c.send(limit.ctx, req)
	if err != nil {
		limit.release()
		err.Write = req.Write
		return nil, err
	}
	if req.Stream {
		limit.lift()
	}
	answer.limit = limit
	return answer, nil
}

func (c *Client) send(ctx context.Context, req *Request) (*Answer, *Error) {
	var last *Error
	pause := firstPause
	start := c.routes.start(req.Leader)
	for redirects, attempt := 0, 0; ; attempt++ {
		if ctx.Err() != nil { // the transport would not say that it sent nothing
			return nil, outOfTime(ctx, interrupted(ctx, "", req, false), last)
		}
		node := c.routes.pick(req.Leader, start+attempt)
		answer, err := c.exchange(ctx, node, req)
		if err == nil {
			c.routes.succeeded(node, req.Leader)
			return answer, nil
		}
		if err.redirect != nil && redirects < maxRedirects {
			if next := c.routes.redirected(node, err.redirect); next != nil {
				return nil, next
			}
			redirects++
			continue
		}
		c.routes.failed(node, err)
		if !err.repeatable(req) {
			return nil, outOfTime(ctx, err, last)
		}
		last, redirects = err, 0
		c.cfg.Logger.DebugContext(ctx, "rqlite: trying again", "node", node.host, "error", err)
		if c.routes.untried(attempt + 1) {
			continue // another node may do better at once
		}
		sleep(ctx, pause/2+rand.N(pause/2))
		pause = min(2*pause, longestPause)
	}
}

// outOfTime returns err, and with it what the attempt before it died of: that
// is what the person reading wants to know when time has run out.
func outOfTime(ctx context.Context, err, last *Error) *Error {
	if ctx.Err() == nil || last == nil || err.Status != 0 || err.Outcome == Unknown {
		return err
	}
	combined := *err
	if combined.Node == "" {
		combined.Node = last.Node
	}
	combined.Message = fmt.Sprintf("%s; the attempt before: %s", err.text(), last.text())
	return &combined
}

// sleep waits for d, or for the end of the context where that comes first.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// limit is the context of one request and the time-out it may be under.
type limit struct {
	ctx    context.Context
	timer  *time.Timer // nil where the caller's context is limit enough
	cancel context.CancelCauseFunc
}

// limit puts the client's time-out on a context that has no earlier deadline.
func (c *Client) limit(ctx context.Context) limit {
	if c.cfg.Timeout <= 0 {
		return limit{ctx: ctx}
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= c.cfg.Timeout {
		return limit{ctx: ctx}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.cfg.Timeout, func() {
		cancel(fmt.Errorf("no answer within %v, the time-out of the connection: %w", c.cfg.Timeout, context.DeadlineExceeded))
	})
	return limit{ctx: ctx, timer: timer, cancel: cancel}
}

// lift ends the time-out and leaves the rest to the caller's context.
func (l *limit) lift() {
	if l.timer != nil {
		l.timer.Stop()
	}
}

// release frees what the limit took. It cuts off a body that is still read.
func (l *limit) release() {
	if l.timer != nil {
		l.timer.Stop()
		l.cancel(nil)
	}
}

// interrupted is the error of a request whose context ended.
func interrupted(ctx context.Context, host string, req *Request, sent bool) *Error {
	outcome := Refused
	if sent && req.Write {
		outcome = Unknown
	}
	return &Error{Outcome: outcome, Node: host, Err: cause(ctx)}
}

// cause returns why a context ended. It is always context.Canceled or
// context.DeadlineExceeded, whatever reason the caller gave besides.
func cause(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return fmt.Errorf("%w: %w", ctx.Err(), cause)
}
