package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Release is a release of rqlite, such as 9.4.2. A later release is a larger number. Zero is an
// unknown release.
type Release uint32

// The releases that matter to the driver. Each constant is the first release that does what its
// name says. docs/releases.md says what the driver does on earlier ones.
const (
	// Oldest is the oldest release that the driver works with. It has every feature without a
	// constant here.
	Oldest Release = 8<<majorShift | 43<<minorShift | 4

	// ReturnsAllRows sends the rows of every RETURNING clause that later releases send. That
	// includes clauses behind names in backquotes (9.4.0), and rows from /db/execute with BLOBs as
	// arrays (9.2.0).
	ReturnsAllRows Release = 9<<majorShift | 4<<minorShift

	// UndoesReturning rolls a transaction back when a statement with RETURNING fails in it. Earlier
	// releases apply all other statements of the request. Each node decides by itself, so all of
	// them have to be of this release.
	UndoesReturning Release = 9<<majorShift | 4<<minorShift | 2

	// ObeysNoRewriteRandom does not rewrite random() if norwrandom is set. Earlier releases do the
	// opposite on /db/query and /db/request.
	ObeysNoRewriteRandom Release = 10<<majorShift | 2<<minorShift | 7
)

const (
	majorShift  = 20
	minorShift  = 10
	largestPart = 1<<minorShift - 1
)

// String returns the release as "9.4.2".
func (r Release) String() string {
	return fmt.Sprintf("%d.%d.%d", r>>majorShift, r>>minorShift&largestPart, r&largestPart)
}

// parseRelease parses the release that a node names: "v9.4.2", or "v10.2.7-23-g5f6e" of a build
// between two releases, or "9" of a node that knows no more. Missing parts count as 0, so that the
// result is never later than the node. It is zero if text is none of these.
func parseRelease(text string) Release {
	text = strings.TrimPrefix(text, "v")
	if end := strings.IndexAny(text, "-+"); end >= 0 {
		text = text[:end]
	}
	parts := strings.SplitN(text, ".", 3)
	var release Release
	for i, shift := range []int{majorShift, minorShift, 0} {
		if i == len(parts) {
			break
		}
		n, err := strconv.ParseUint(parts[i], 10, 32)
		if err != nil || n > largestPart {
			return 0
		}
		release |= Release(n) << shift
	}
	return release
}

// build is the release that a node names.
type build struct {
	text    string // "" if it named none
	release Release
}

// releaseHeader is a header of every answer of rqlite.
const releaseHeader = "X-Rqlite-Version"

// notes records the release that an answer of the node names.
func (n *node) notes(header http.Header) {
	text := header.Get(releaseHeader)
	if known := n.build.Load(); known == nil || known.text != text {
		n.build.Store(&build{text, parseRelease(text)})
	}
}

// wellFormed records an answer that only rqlite gives.
func (n *node) wellFormed(header http.Header) {
	if !names(header) && !n.plain.Load() {
		n.plain.Store(true)
	}
}

// release returns the release of the node, zero if it is not known.
func (n *node) release() Release {
	if b := n.build.Load(); b != nil {
		return b.release
	}
	return 0
}

// tooOld returns why a node cannot be used at all, nil if it can.
func (n *node) tooOld() *Error {
	b := n.build.Load()
	if b == nil || b.release == 0 || b.release >= Oldest {
		return nil
	}
	return &Error{Outcome: Refused, Node: n.host, Err: fmt.Errorf(
		"the node runs rqlite %s, on which some failures cannot be told from success: use %v or later (a build that does not tell its whole release counts as the first of those it may be)",
		b.text, Oldest)}
}

// disappoints returns why an answer cannot be believed, nil if it can: it comes from an earlier
// release than the request needs. That happens with a node that got only reads and was not asked
// before, and if an address leads to different nodes.
func (n *node) disappoints(req *Request) *Error {
	old := n.tooOld()
	switch {
	case old != nil && req.Write, old == nil && n.release() < req.MinRelease:
		return &Error{Outcome: Unknown, Node: n.host, Err: errOtherRelease}
	}
	return old
}

var errOtherRelease = errors.New("the answer comes from a node of an earlier release of rqlite than the one that was asked before")

// admit makes sure that the request can be sent to a node of this release. It asks a node of
// unknown release first, unless the request only reads: then the answer tells. ctx is the context
// of the guard.
func (c *Client) admit(ctx context.Context, guard *guard, node *node, req *Request) *Error {
	if node.build.Load() == nil && req.Path != queryPath {
		if err := c.introduce(ctx, node); err != nil {
			return unreached(guard, req, err)
		}
	}
	if err := node.tooOld(); err != nil {
		return err
	}
	if node.release() < req.MinRelease {
		return &Error{Outcome: Refused, Node: node.host, Err: errEarlier}
	}
	return nil
}

// introduce asks a node for its release, unless it has answered in the meantime. One request asks for all:
// many that begin together would keep a busy node busy with questions.
func (c *Client) introduce(ctx context.Context, n *node) error {
	select {
	case n.asking <- struct{}{}:
		defer func() { <-n.asking }()
	case <-ctx.Done():
		return cause(ctx)
	}
	if n.build.Load() != nil {
		return nil
	}
	return c.ask(ctx, n)
}

// errEarlier says why a request was not sent to a node of an earlier release than it needs.
var errEarlier = errors.New("the node runs an earlier release of rqlite than the request needs")

// Earlier reports whether the request was not sent because the release of the node is earlier than
// [Request.MinRelease].
func (e *Error) Earlier() bool { return errors.Is(e.Err, errEarlier) }

// unreached is the failure of the question that precedes the request.
func unreached(guard *guard, req *Request, err error) *Error {
	if why := guard.ended(); why != nil {
		return stopped(why, guard.node.host, req.Write, false).waited("the node to say what it is; nothing was sent")
	}
	e := &Error{Outcome: Repeat, Node: guard.node.host, Err: err}
	var foreign *Error
	if errors.As(err, &foreign) {
		e = foreign
	}
	if isCertificateError(err) {
		e.Outcome = Refused
	}
	return e
}

// lowest is the lowest release of all nodes of the cluster.
type lowest struct {
	// mu guards the other fields. learn sets release, until and seen together.
	mu      sync.Mutex
	release Release
	until   time.Time          // when release stops counting
	asking  chan struct{}      // closed when the nodes have answered, or have failed to
	seen    map[string]Release // by node ID; a node that is down comes back with this release, or a later one
}

// ask notes that the nodes are being asked. The caller closes the channel when they have answered, or have
// failed to.
func (l *lowest) ask() (asking chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking = make(chan struct{})
	return l.asking
}

// learn stores the releases of the members, who were asked at a time.
func (l *lowest) learn(members []Member, asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := make(map[string]Release, len(members))
	l.release, l.until = 0, asked.Add(membersEvery)
	for i, m := range members {
		release := parseRelease(m.Version)
		if release == 0 {
			release = l.seen[m.ID]
		}
		now[m.ID] = release
		if i == 0 || release < l.release {
			l.release = release
		}
	}
	l.seen = now
}

// known returns the release if it counts now. Otherwise it returns zero, and the channel that is
// closed after the next answer.
func (l *lowest) known() (release Release, asking <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.until) {
		return l.release, nil
	}
	return 0, l.asking
}

// firstWait bounds the wait for the question which releases there are.
const firstWait = time.Second

// AllSince reports whether every node of the cluster is known to be of the release or a later one.
// It is not known if the user lacks the permission "status", or while a node is down that was never
// seen. The knowledge is at most half a minute old. If there is none, AllSince waits a second for
// it, or not at all if wait is false.
func (c *Client) AllSince(ctx context.Context, release Release, wait bool) bool {
	c.refresh()
	lowest, asking := c.lowest.known()
	if asking == nil || !wait {
		return lowest >= release
	}
	ctx, cancel := context.WithTimeout(ctx, firstWait)
	defer cancel()
	for asking != nil {
		select {
		case <-asking:
		case <-ctx.Done():
			return false
		}
		if lowest, asking = c.lowest.known(); asking == nil {
			break
		}
		again := time.Until(time.Unix(0, c.routes.membersDue.Load()))
		if again > membersAgain {
			return false // they may not be asked
		}
		Sleep(ctx, again, time.Time{})
		c.refresh()
		lowest, asking = c.lowest.known()
	}
	return lowest >= release
}

// LeaderSince reports whether the node that gets the requests for the leader is known to be of the
// release or a later one. It asks a node that has not been seen yet.
func (c *Client) LeaderSince(ctx context.Context, release Release) bool {
	node := c.routes.pick(true, 0)
	if node.build.Load() == nil {
		ctx, cancel := context.WithTimeout(ctx, firstWait)
		defer cancel()
		if err := c.introduce(ctx, node); err != nil {
			return false
		}
	}
	return node.release() >= release
}

// LeaderTells reports whether the node that gets the requests for the leader tells its whole
// release.
func (c *Client) LeaderTells() bool {
	b := c.routes.pick(true, 0).build.Load()
	return b != nil && b.release != 0 && strings.Count(b.text, ".") >= 2
}
