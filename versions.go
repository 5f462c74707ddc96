package rqlite

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// sender sends requests. Its errors are those of package sqlerr, or of a frame.
type sender interface {
	Send(ctx context.Context, req *cluster.Request) (*cluster.Answer, error)
}

// versions is what a connector knows of the version table, and how its writers wait for each other and
// for those of other processes. It is safe for concurrent use.
type versions struct {
	sender   sender
	disabled bool          // writes outside of transactions do not move the version
	timeout  time.Duration // how long the write lock is waited for; 0 is until the context ends
	warn     func(error)   // gets errors that concern no caller
	frames   *frames

	lock    writeLock
	backoff backoff
	last    atomic.Int64 // the version seen last; 0 before that
	missing atomic.Bool  // there was no table at the last write
}

// newVersions returns what is known before anything was sent.
func newVersions(sender sender, disabled bool, timeout time.Duration, warn func(error)) *versions {
	v := &versions{sender: sender, disabled: disabled, timeout: timeout, warn: warn}
	v.frames = newFrames(v)
	return v
}

// share waits until a write outside of transactions may leave. The caller has to call unshare then.
func (v *versions) share(ctx context.Context) error {
	if err := v.lock.join(ctx, v.timeout); err != nil {
		return err
	}
	if err := v.backoff.wait(ctx); err != nil {
		v.lock.leave()
		return err
	}
	return nil
}

// unshare lets transactions go on that wait for a write.
func (v *versions) unshare() { v.lock.leave() }

// send sends a request. If its frame moves the version in a transaction, and there is no version
// table, it makes one and sends the request again.
func (v *versions) send(ctx context.Context, req *cluster.Request) (*cluster.Answer, error) {
	answer, err := v.sender.Send(ctx, req)
	if !errors.Is(err, errNoVersionTable) { // or else all was rolled back
		return answer, err
	}
	if err := v.make(ctx); err != nil {
		return nil, err
	}
	answer, err = v.sender.Send(ctx, req)
	if errors.Is(err, errNoVersionTable) {
		return nil, errVersionTableGone
	}
	return answer, err
}
