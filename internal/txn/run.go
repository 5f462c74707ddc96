package txn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

const (
	firstBackoff   = 2 * time.Millisecond
	longestBackoff = 250 * time.Millisecond
)

// Run is one run of a transaction by RunTx. UntilNoConflict makes it, and one transaction uses it.
type Run struct {
	Again  bool          // it follows a conflict
	Took   time.Duration // how long the run before it worked, without its waits; 0 for the first
	waited time.Duration // how long this run has waited for others; Tx.waits adds to it
	// late are the shapes of statements that have failed late in this run or those before it, so that
	// they run at once. nil for none. Tx.late adds to it.
	late map[string]bool
}

type runKey struct{}

// RunOf returns the run of RunTx that ctx belongs to, or a new first run.
func RunOf(ctx context.Context) *Run {
	if t, ok := ctx.Value(runKey{}).(*Run); ok {
		return t
	}
	return new(Run)
}

// UntilNoConflict calls run, which carries out a transaction, until it ends without ErrTxConflict,
// or ctx ends. It does not run again after ErrIndeterminate.
func UntilNoConflict(ctx context.Context, run func(context.Context) error) error {
	this := new(Run)
	for backoff := firstBackoff; ; backoff = min(2*backoff, longestBackoff) {
		begun := time.Now()
		err := run(context.WithValue(ctx, runKey{}, this))
		if err == nil || !errors.Is(err, sqlerr.ErrTxConflict) || errors.Is(err, sqlerr.ErrIndeterminate) {
			return err
		}
		this = &Run{Again: true, Took: time.Since(begun) - this.waited, late: this.late}
		if pause(ctx, backoff) != nil {
			return fmt.Errorf("%w (given up: %w)", err, ctx.Err())
		}
	}
}

// pause waits for d on average, between d/2 and 3d/2, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
