package occ

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// Sender sends requests. Its errors are those of package sqlerr, or of a frame.
type Sender interface {
	Send(ctx context.Context, req *cluster.Request) (*cluster.Answer, error)
}

// Versions is what a connector knows of the version table, and how its writers wait for each other and
// for those of other processes. It is safe for concurrent use.
type Versions struct {
	sender   Sender
	disabled bool          // writes outside of transactions do not move the version
	timeout  time.Duration // how long the write lock is waited for; 0 is until the context ends
	warn     func(error)   // gets errors that concern no caller
	frames   *frames

	Lock    writeLock
	Backoff backoff
	last    atomic.Int64 // the version seen last; 0 before that
	Missing atomic.Bool  // there was no table at the last write
}

// New returns what is known before anything was sent.
func New(sender Sender, disabled bool, timeout time.Duration, warn func(error)) *Versions {
	v := &Versions{sender: sender, disabled: disabled, timeout: timeout, warn: warn}
	v.frames = newFrames(v)
	return v
}

// Share waits until a write outside of transactions may leave. The caller has to call unshare then.
func (v *Versions) Share(ctx context.Context) error {
	if err := v.Lock.Join(ctx, v.timeout); err != nil {
		return err
	}
	if err := v.Backoff.Wait(ctx); err != nil {
		v.Lock.leave()
		return err
	}
	return nil
}

// Unshare lets transactions go on that wait for a write.
func (v *Versions) Unshare() { v.Lock.leave() }

// Send sends a request. If its frame moves the version in a transaction, and there is no version
// table, it makes one and sends the request again.
func (v *Versions) Send(ctx context.Context, req *cluster.Request) (*cluster.Answer, error) {
	answer, err := v.sender.Send(ctx, req)
	if !errors.Is(err, errNoVersionTable) { // or else all was rolled back
		return answer, err
	}
	if err := v.Make(ctx); err != nil {
		return nil, err
	}
	answer, err = v.sender.Send(ctx, req)
	if errors.Is(err, errNoVersionTable) {
		return nil, ErrGone
	}
	return answer, err
}
