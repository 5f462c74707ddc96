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

// Run is one run of a transaction by RunTx.
type Run struct {
	Again  bool          // after a conflict
	Took   time.Duration // how long the run before it worked
	waited time.Duration // how long this one waits for others
}

type runKey struct{}

// RunOf returns the run of RunTx that ctx belongs to, or one of its own.
func RunOf(ctx context.Context) *Run {
	if t, ok := ctx.Value(runKey{}).(*Run); ok {
		return t
	}
	return new(Run)
}

// UntilNoConflict calls run, which carries out a transaction, until it ends without
// ErrTxConflict.
func UntilNoConflict(ctx context.Context, run func(context.Context) error) error {
	this := new(Run)
	for backoff := firstBackoff; ; backoff = min(2*backoff, longestBackoff) {
		begun := time.Now()
		err := run(context.WithValue(ctx, runKey{}, this))
		if err == nil || !errors.Is(err, sqlerr.ErrTxConflict) || errors.Is(err, sqlerr.ErrIndeterminate) {
			return err
		}
		this = &Run{Again: true, Took: time.Since(begun) - this.waited}
		if pause(ctx, backoff) != nil {
			return fmt.Errorf("%w (given up: %w)", err, ctx.Err())
		}
	}
}

// pause waits for about d.
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
