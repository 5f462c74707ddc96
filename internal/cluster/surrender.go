package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// strangeFor is how long a request goes on while no node has ever answered this client, and all
// of them refuse, or are not known.
const strangeFor = time.Second

// surrender is when a request gives up before its time is over: its failures say that waiting is
// in vain.
type surrender struct {
	foreign int       // answers of nodes in a row that are not rqlite's
	absent  int       // failures of nodes in a row at which nobody is
	since   time.Time // of the latter
}

// after takes note of a failure. It reports whether to give up, and makes err say so then.
func (s *surrender) after(r *routes, n *node, err *Error) bool {
	nodes := r.nodes()
	if !slices.Contains(nodes, n) {
		return false // it is gone round from now on
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

// explain says what the failure of a node that never answered means.
func (e *Error) explain() {
	var dial *net.OpError
	switch {
	case e.foreign: // it says so
	case errors.As(e.Err, &dial) && dial.Op == "dial":
		e.Err = fmt.Errorf("%w (no host has ever answered: check the names and the ports of the hosts)", e.Err)
	default:
		e.Err = fmt.Errorf("%w: %w", errForeign, e.Err)
	}
}

// absent reports whether there is nobody at an address that could answer, which is known at once,
// unlike that somebody does not.
func (e *Error) absent() bool {
	if e.foreign {
		return true
	}
	var slow net.Error
	return e.Status == 0 && e.Err != nil && !errors.Is(e.Err, errHangs) && !errors.Is(e.Err, errSlow) &&
		!errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, context.DeadlineExceeded) &&
		(!errors.As(e.Err, &slow) || !slow.Timeout())
}
