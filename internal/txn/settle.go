package txn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// settleTime is the shortest time that the transaction asks for the outcome of a commit, even if its
// context has ended.
const settleTime = 5 * time.Second

// isUnknown reports whether a commit may have been applied, or may still be.
func isUnknown(err error) bool {
	return errors.Is(err, sqlerr.ErrIndeterminate) || errors.Is(err, sqlerr.ErrRowsLost)
}

// isCommitted reports whether the last commit request was applied after all: the server may have
// run it twice, and the second run came too late.
func (t *Tx) isCommitted(state occ.State) bool {
	t.committed = t.sent.token != "" && state.Token == t.sent.token
	return t.committed
}

// lostTrack is the error of a commit that came too late, if that may have been its second run and
// the version table does not tell of the first, because it was dropped, emptied or replaced since.
func (t *Tx) lostTrack(state occ.State) error {
	if t.sent.toldBy(state) {
		t.sent = commitRequest{}
	}
	if !t.sent.forwarded {
		return nil
	}
	t.failed = sqlerr.Of(sqlerr.ErrIndeterminate, fmt.Errorf("the commit was forwarded, perhaps twice, and the table %s, which tells what became of it, was replaced", occ.Table))
	return t.failed
}

// doubtful returns the error of a transaction that could not look at the version table after its
// commit came too late, if that may have been its second run. A conflict is only found by such a
// look.
func (t *Tx) doubtful(err error) error {
	if err == nil || !t.sent.forwarded || errors.Is(err, sqlerr.ErrTxConflict) || errors.Is(err, sqlerr.ErrIndeterminate) {
		return err
	}
	return sqlerr.Of(sqlerr.ErrIndeterminate, fmt.Errorf("the commit was forwarded, perhaps twice, and what became of it could not be asked: %w", err))
}

// toldBy reports whether the version table, in a state, tells by its tokens whether a commit was
// applied. The token of another commit that demanded the same version says that it was not.
func (a commitRequest) toldBy(state occ.State) bool {
	return state.Exists && (state.Token != "" || state.Version >= a.version && state.Version <= a.version+toldTokens)
}

// settle finds out whether a commit was applied whose answer was lost. First it moves the version,
// so that a request that is still under way can no longer be applied. Then it looks for the token
// that the commit would have left. If it cannot find out, the error is lost.
func (t *Tx) settle(ctx context.Context, req commitRequest, lost error) (applied bool, err error) {
	ctx, cancel := t.settling(ctx)
	defer cancel()
	state, err := t.env.Versions.AskMoved(ctx, req.version+1)
	if err != nil {
		return false, lost
	}
	switch {
	case state.Token == req.token:
		return true, nil
	case !req.toldBy(state):
		return false, lost // the version table is another or was cleared, or the token may have been removed
	case t.Ctx.Err() != nil:
		return false, sqlerr.Of(t.Ctx.Err(), errors.New("the commit was not applied, nor will it be"))
	}
	return false, nil
}

// settling returns the context in which settle asks. It outlives that of the transaction.
func (t *Tx) settling(ctx context.Context) (context.Context, context.CancelFunc) {
	end := time.Now().Add(settleTime)
	if deadline, ok := ctx.Deadline(); ok && deadline.After(end) {
		end = deadline
	} else if timeout := t.env.Timeout; !ok && ctx.Err() == nil && timeout > settleTime {
		end = time.Now().Add(timeout)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}
