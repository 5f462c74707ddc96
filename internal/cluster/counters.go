package cluster

import "sync/atomic"

// counters count what a client does.
type counters struct {
	requests, retries, redirects, failures, leaders, fallbacks atomic.Uint64
}

// Counts is what a client has done so far.
type Counts struct {
	Requests  uint64 // calls of Send and SendJoint, as soon as they no longer wait for a place, but for needless requests
	Failures  uint64 // calls of Send that returned an error, but for needless requests
	Retries   uint64 // attempts after the first, redirects apart
	Redirects uint64 // to the leader, followed
	Leaders   uint64 // times a leader was learned
	Fallbacks uint64 // times the driver went over to forwarding
}

// Counts returns what the client has done so far.
func (c *Client) Counts() Counts {
	return Counts{
		Requests:  c.routes.counts.requests.Load(),
		Failures:  c.routes.counts.failures.Load(),
		Retries:   c.routes.counts.retries.Load(),
		Redirects: c.routes.counts.redirects.Load(),
		Leaders:   c.routes.counts.leaders.Load(),
		Fallbacks: c.routes.counts.fallbacks.Load(),
	}
}
