package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// node is one address of the cluster. Its atomic fields change by themselves; scheme, host and
// header never change.
type node struct {
	scheme  string
	host    string                // host:port
	header  http.Header           // of every request to it, with credentials if the node is trusted
	met     atomic.Bool           // it has answered once; never reset
	failing atomic.Int64          // failures in a row since the node answered last
	retryAt atomic.Int64          // Unix nanoseconds; until then the node is tried last. 0 while failing is 0
	hangs   atomic.Bool           // it was given up because it did not answer at all
	build   atomic.Pointer[build] // nil before it has answered, and after it failed to
	plain   atomic.Bool           // its answers are rqlite's although they do not name the release
	asking  chan struct{}         // full while a request asks for the release
	health  health

	suspected atomic.Bool // it is being asked whether it hangs
}

const (
	firstPenalty   = 500 * time.Millisecond
	longestPenalty = 15 * time.Second
)

// routes is a client's knowledge of the nodes. Its methods are safe for concurrent use. Requests
// change the atomic fields one by one, so that they may contradict each other for a moment.
type routes struct {
	cfg      *Config
	counts   counters
	hosts    []*node              // those of the configuration, in its order; never changed
	leader   atomic.Pointer[node] // the known leader; nil if unknown, or while forwards
	answered atomic.Pointer[node] // the leader that answered last; nil after it was lost
	met      atomic.Bool          // a node has answered once; never reset
	lost     atomic.Bool          // the leader must be sought: the known one failed, or one was asked for in vain
	next     atomic.Uint32        // counts up, to spread requests that any node can answer
	forwards atomic.Bool          // requests for the leader go by way of other nodes
	apart    atomic.Pointer[node] // a node that is alive but does not answer this client; nil for none
	back     back

	all        atomic.Pointer[[]*node] // hosts, followed by the members learned; a list never changes
	membersDue atomic.Int64            // when to ask for members again; Unix nanoseconds
	// membersFailing says that nobody has answered the last question for members.
	membersFailing atomic.Bool

	// mu guards learned.
	mu      sync.Mutex
	learned map[string]*node // nodes met by redirect or as members, by URL
}

func (r *routes) init(cfg *Config) {
	r.cfg = cfg
	r.learned = make(map[string]*node)
	for _, host := range cfg.Hosts {
		r.hosts = append(r.hosts, r.newNode(cfg.Scheme, host, true))
	}
	r.all.Store(&r.hosts)
}

// nodes returns the configured hosts, followed by the members learned.
func (r *routes) nodes() []*node { return *r.all.Load() }

func (r *routes) newNode(scheme, host string, trusted bool) *node {
	header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"go-rqlite"}}
	if trusted && r.cfg.User != "" {
		credentials := base64.StdEncoding.EncodeToString([]byte(r.cfg.User + ":" + r.cfg.Password))
		header["Authorization"] = []string{"Basic " + credentials}
	}
	return &node{scheme: scheme, host: host, header: header, asking: make(chan struct{}, 1), health: health{asking: make(chan struct{}, 1)}}
}

// forwarding reports whether the nodes are to forward requests for the leader.
func (r *routes) forwarding() bool {
	return !r.cfg.Redirect || r.forwards.Load()
}

// start returns the first attempt's number. Requests that any node can answer start with a
// different node each time.
func (r *routes) start(req *Request) int {
	if req.Leader {
		return 0
	}
	return int((r.next.Add(1) - 1) % uint32(len(r.nodes())))
}

// pick returns the node for an attempt, counted from start. Nodes that failed recently come last.
// The node that this client is cut off from does not come at all.
func (r *routes) pick(leader bool, attempt int) *node {
	if l := r.leader.Load(); leader && l != nil && !r.forwarding() {
		return l
	}
	nodes, apart := r.nodes(), r.apart.Load()
	now := time.Now().UnixNano()
	for i := range nodes {
		if n := nodes[(attempt+i)%len(nodes)]; n.retryAt.Load() <= now && n != apart {
			return n
		}
	}
	if n := nodes[attempt%len(nodes)]; n != apart {
		return n
	}
	return nodes[(attempt+1)%len(nodes)]
}

// inTurn returns all nodes, each time in another order. Nodes that failed recently come last. The
// node that this client is cut off from does not come at all.
func (r *routes) inTurn() []*node {
	nodes, apart := r.nodes(), r.apart.Load()
	begin := int(r.next.Add(1) % uint32(len(nodes)))
	now := time.Now().UnixNano()
	var well, failing []*node
	for i := range nodes {
		switch n := nodes[(begin+i)%len(nodes)]; {
		case n == apart:
		case n.retryAt.Load() <= now:
			well = append(well, n)
		default:
			failing = append(failing, n)
		}
	}
	return append(well, failing...)
}

// untried reports whether there are nodes that so many attempts cannot have met.
func (r *routes) untried(attempts int) bool { return attempts < len(r.nodes()) }

// succeeded notes that a node answered.
func (r *routes) succeeded(n *node, leader bool) {
	if !n.met.Load() {
		n.met.Store(true)
		r.met.Store(true)
	}
	if n.failing.Load() != 0 {
		n.failing.Store(0)
		n.retryAt.Store(0)
		n.hangs.Store(false)
		r.cfg.Logger.Info("rqlite: node is back", "node", n.host)
	}
	if leader && (r.leader.Load() != n || r.answered.Load() != n) && !r.forwarding() {
		r.leader.Store(n)
		r.lost.Store(false)
		if r.answered.Swap(n) != n {
			r.counts.leaders.Add(1)
			r.cfg.Logger.Info("rqlite: leader learned", "node", n.host)
		}
	}
}

// failed notes that a request to a node failed.
func (r *routes) failed(n *node, err *Error) {
	late := errors.Is(err.Err, context.DeadlineExceeded) && !err.sent // the node cannot be reached
	if !late && (err.Outcome == Refused || errors.Is(err.Err, context.Canceled) || errors.Is(err.Err, context.DeadlineExceeded)) {
		return // nothing is known to be wrong with the node
	}
	if r.leader.CompareAndSwap(n, nil) {
		r.lost.Store(true)
		if r.answered.CompareAndSwap(n, nil) {
			r.cfg.Logger.Info("rqlite: leader lost", "node", n.host, "error", err)
		}
	}
	if errors.Is(err.Err, errSlow) {
		r.lost.Store(true)
		return // the node is well: it waits for another
	}
	if err.Status != 0 && !err.foreign {
		return // it answers, so it may answer others
	}
	if errors.Is(err.Err, errHangs) {
		n.hangs.Store(true)
	}
	n.build.Store(nil) // it may come back as another release
	times := n.failing.Add(1)
	penalty := min(firstPenalty<<min(times-1, 10), longestPenalty)
	n.retryAt.Store(time.Now().Add(penalty).UnixNano())
	if times == 1 {
		r.cfg.Logger.Warn("rqlite: node failed", "node", n.host, "error", err)
	}
	switch {
	case r.isHost(n):
	case err.foreign:
		r.forward("what answers at the address that the leader advertises is not rqlite", n.host)
	case !n.met.Load():
		r.forward("the address that the leader advertises does not answer", n.host)
	}
}

// redirect is the address of the leader that a node named.
type redirect struct {
	location string
}

// redirected records the leader that from named, and reports whether to go there. An error means
// that no request may.
func (r *routes) redirected(from *node, to *redirect) (follow bool, refused *Error) {
	leader, useful, refused := r.named(from, to)
	if refused != nil || r.forwarding() {
		return refused == nil, refused
	}
	if !useful {
		r.lost.Store(true)
		return false, nil
	}
	r.counts.redirects.Add(1)
	r.leader.Store(leader)
	return true, nil
}

// named returns the node that from named as the leader, and whether it is useful to ask it. It is
// not if the node hangs, which the others have not noticed yet, or if this client is cut off from
// it. Nor is it if the node must not get the credentials; then requests are forwarded from now on.
func (r *routes) named(from *node, to *redirect) (leader *node, useful bool, refused *Error) {
	leader, refused = r.at(from, to)
	switch {
	case refused != nil:
		return nil, false, refused
	case !r.mayAsk(leader):
		r.forward("it is not a host that the credentials are meant for", leader.host)
		return leader, false, nil
	case leader == r.apart.Load(), leader.hangs.Load() && leader.retryAt.Load() > time.Now().UnixNano():
		return leader, false, nil
	}
	return leader, true, nil
}

// mayAsk reports whether a node may get the credentials that it needs to answer.
func (r *routes) mayAsk(n *node) bool {
	return r.cfg.User == "" || n.header["Authorization"] != nil
}

// at returns the node that from redirects to.
func (r *routes) at(from *node, to *redirect) (*node, *Error) {
	u, err := url.Parse(to.location)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &Error{Outcome: Refused, Node: from.host, Message: "redirected to an address that is none: " + redactURL(to.location)}
	}
	if from.scheme == "https" && u.Scheme != "https" {
		return nil, &Error{Outcome: Refused, Node: from.host, Message: "redirected from https to http, which is never followed: " + redactURL(to.location)}
	}
	return r.node(u.Scheme, u.Host, r.trusts(from, u)), nil
}

// node returns the node at an address, the configured one if there is one.
func (r *routes) node(scheme, host string, trusted bool) *node {
	for _, n := range r.hosts {
		if n.scheme == scheme && n.host == host {
			return n
		}
	}
	const most = 64 // a node that names a new leader each time must not fill the memory
	r.mu.Lock()
	defer r.mu.Unlock()
	key := scheme + "://" + host
	n := r.learned[key]
	if n == nil || trusted && n.header["Authorization"] == nil {
		if len(r.learned) >= most {
			clear(r.learned)
		}
		n = r.newNode(scheme, host, trusted)
		r.learned[key] = n
	}
	return n
}

// trusts reports whether the node at u may get the credentials: its host is one of the
// configuration, or a verified connection named it.
func (r *routes) trusts(from *node, u *url.URL) bool {
	if from.scheme == "https" && r.cfg.Verified && from.header["Authorization"] != nil {
		return true
	}
	for _, n := range r.hosts {
		if known, _, err := net.SplitHostPort(n.host); err == nil && known == u.Hostname() && n.scheme == u.Scheme {
			return true
		}
	}
	return false
}

// redactURL returns a URL for a message, without parts that may be secret.
func redactURL(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return "an address that cannot be parsed"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}

func isCertificateError(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		record       tls.RecordHeaderError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &record)
}
