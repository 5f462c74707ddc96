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
	sender Sender
	Settings
	frames *frames

	// Lock is held by the writes of the program: shared by writes outside of transactions, from
	// Share to Unshare, and exclusively by a transaction.
	Lock writeLock
	// Backoff learns announcements from ReadState, and from transactions that announce themselves.
	Backoff backoff
	// last is the version that was learnt last, in order of arrival: an answer from a node that is behind
	// may lower it. It is 0 before the first. There was such a version.
	last atomic.Int64
	// heard is when it was learnt, in Unix nanoseconds.
	heard atomic.Int64
	// missing says that the last write found no version table. readFirst sets it from each answer,
	// and Make clears it. It may be out of date, so that each frame copes with either.
	missing atomic.Bool
	// untold is until when writes leave no token, because the user may not ask for it, or there can be no
	// version table; in Unix nanoseconds, 0 before the first time. warned says that the log has been told.
	untold atomic.Int64
	warned atomic.Bool
	// asked says that the user may ask for tokens. ask sets it, and nothing resets it.
	asked atomic.Bool
	slots slots // of the tokens; guards itself
}

// Settings are those of a connector.
type Settings struct {
	Disabled bool          // writes outside of transactions do not move the version
	NoTokens bool          // writes outside of transactions leave no tokens
	Timeout  time.Duration // bounds the wait for the write lock; 0 waits until the context ends
	Warn     func(error)   // gets errors that concern no caller
}

// New returns the state before the first request.
func New(sender Sender, settings Settings) *Versions {
	v := &Versions{sender: sender, Settings: settings}
	v.frames = newFrames(v)
	return v
}

// Until returns the context in which the driver finds out what became of a write that began at a time:
// until the context or the timeout ends.
func (v *Versions) Until(ctx context.Context, begun time.Time) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok || v.Timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, begun.Add(v.Timeout))
}

// Share waits until a write outside of transactions may be sent. The caller has to call Unshare
// when it has its answer, unless Share fails.
func (v *Versions) Share(ctx context.Context) error {
	if err := v.Lock.join(ctx, v.Timeout); err != nil {
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
