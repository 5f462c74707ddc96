package coalesce

import (
	"slices"
	"sync"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// writeLimits are the limits of writes. The server takes about 40 µs for each, and applies one
// request after the other. So few writes are better off with the next bulk than with a second one.
var writeLimits = limits{underWay: 2, second: 256, parts: 512, patience: 500 * time.Millisecond}

// mostNonAtomic bounds how many bulks go without a transaction after one has failed.
const mostNonAtomic = 64

// writes is what a coalescer does for the sake of writes alone. It tries bulks as transactions,
// which the server commits once instead of per statement. The zero value is ready. It is safe for
// concurrent use.
type writes struct {
	// mu guards the rest.
	//
	// Invariant: nonAtomicLeft and penalty are between 0 and mostNonAtomic.
	mu sync.Mutex
	// nonAtomicLeft is how many bulks are still to go without a transaction, because one failed as
	// a transaction. penalty is how many that were after the last such failure. The next doubles
	// it, and a success resets it.
	nonAtomicLeft int
	penalty       int
}

// atomic reports whether a bulk of the parts is to be tried as a transaction. It must not be if the
// nodes forward it, because they may apply it twice.
func (w *writes) atomic(parts []*part, forwarded bool) bool {
	if len(parts) == 1 || forwarded || slices.ContainsFunc(parts, (*part).isApart) {
		return false
	}
	return !w.failsOften()
}

// failsOften reports whether a bulk is not to be tried as a transaction. It counts nonAtomicLeft down.
func (w *writes) failsOften() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nonAtomicLeft > 0 {
		w.nonAtomicLeft--
		return true
	}
	return false
}

// triedAtomic records the result of a bulk as a transaction. If statements fail often, further
// attempts would be in vain.
func (w *writes) triedAtomic(worked bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if worked {
		w.penalty = 0
		return
	}
	w.penalty = min(max(2*w.penalty, 1), mostNonAtomic)
	w.nonAtomicLeft = w.penalty
}

// doubtAtomic corrects the failure of a transaction that a node has forwarded after all: its
// refusal is that of the second of two attempts, and the first may have been applied.
func doubtAtomic(err *cluster.Error) {
	if err.Forwarded && err.Outcome == cluster.Refused {
		err.Outcome = cluster.Unknown
	}
}
