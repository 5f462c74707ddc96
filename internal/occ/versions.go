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

// Versions is a connector's knowledge of the version table, and the rules by which its writers wait
// for each other and for those of other processes. It is safe for concurrent use.
type Versions struct {
	// These are set by New and never change.
	sender   Sender
	disabled bool          // writes outside of transactions do not move the version
	timeout  time.Duration // bounds the wait for the write lock; 0 waits until the context ends
	warn     func(error)   // gets errors that concern no caller
	frames   *frames

	// Lock is held by the writes of the program: shared by writes outside of transactions, from
	// Share to Unshare, and exclusively by a transaction.
	Lock writeLock
	// Backoff learns announcements from ReadState, and from transactions that announce themselves.
	Backoff backoff
	// last is the version that ReadState read last, in order of arrival: an answer from a node that
	// is behind may lower it. It is 0 before the first.
	last atomic.Int64
	// missing says that the last write found no version table. readFirst sets it from each answer,
	// and Make clears it. It may be out of date, so that each frame copes with either.
	missing atomic.Bool
}

// New returns the state before the first request.
func New(sender Sender, disabled bool, timeout time.Duration, warn func(error)) *Versions {
	v := &Versions{sender: sender, disabled: disabled, timeout: timeout, warn: warn}
	v.frames = newFrames(v)
	return v
}

// Share waits until a write outside of transactions may be sent. The caller has to call Unshare
// when it has its answer, unless Share fails.
func (v *Versions) Share(ctx context.Context) error {
	if err := v.Lock.join(ctx, v.timeout); err != nil {
		return err
	}
	if err := v.Backoff.Wait(ctx); err != nil {
		v.Lock.leave()
		return err
	}
	return nil
}

// Unshare ends a write, and lets in the transactions that wait for it.
func (v *Versions) Unshare() { v.Lock.leave() }

// Send sends a request. If its frame moves the version in a transaction and the version table is
// missing, it creates the table and sends the request again.
func (v *Versions) Send(ctx context.Context, req *cluster.Request) (*cluster.Answer, error) {
	answer, err := v.sender.Send(ctx, req)
	if !errors.Is(err, errNoVersionTable) { // any other answer stands; this one was rolled back
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
