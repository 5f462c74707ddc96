package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// strangeFor is how long a request goes on while no node has ever answered this client, and all of
// them refuse or are unknown.
const strangeFor = time.Second

// surrender decides when a request gives up before its time is over, because its failures say that
// waiting is in vain. Only the request uses it.
type surrender struct {
	foreign int       // foreign answers of nodes in a row
	absent  int       // failures in a row at addresses where nobody is
	since   time.Time // when absent became 1
}

// after records a failure. It reports whether to give up, and then makes err say so.
func (s *surrender) after(r *routes, n *node, err *Error) bool {
	nodes := r.nodes()
	if !slices.Contains(nodes, n) {
		return false // the node is avoided from now on
	}
	if s.foreign++; !err.foreign || !err.lasting {
		s.foreign = 0
	}
	if err.Status != 0 && !err.foreign {
		r.met.Store(true)
	}
	if s.absent++; !err.absent() || r.met.Load() {
		s.absent = 0
	}
	if s.absent == 1 {
		s.since = time.Now()
	}
	switch {
	case err.Outcome == Unknown && err.Write:
		return false
	case s.foreign >= len(nodes):
		err.Outcome = Refused
		return true
	case s.absent >= len(nodes) && time.Since(s.since) >= strangeFor:
		err.Outcome = Refused
		err.explain()
		return true
	}
	return false
}

// explain adds the meaning to the failure of a node that never answered.
func (e *Error) explain() {
	var dial *net.OpError
	switch {
	case e.foreign: // the message says so
	case errors.As(e.Err, &dial) && dial.Op == "proxyconnect":
		e.Err = fmt.Errorf("%w (this is the proxy's address)", e.Err)
	case errors.As(e.Err, &dial) && dial.Op == "dial":
		e.Err = fmt.Errorf("%w (no host has ever answered: check the names and the ports of the hosts)", e.Err)
	default:
		e.Err = fmt.Errorf("%w: %w", errForeign, e.Err)
	}
}

// absent reports whether nobody is at an address. That is known at once, unlike that somebody there
// does not answer.
func (e *Error) absent() bool {
	if e.foreign {
		return true
	}
	var slow net.Error
	return e.Status == 0 && e.Err != nil && !errors.Is(e.Err, errHangs) && !errors.Is(e.Err, errSlow) &&
		!errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, context.DeadlineExceeded) &&
		(!errors.As(e.Err, &slow) || !slow.Timeout())
}
