package txn

import (
	"context"

	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// mode is a way to give the writes of a transaction their results.
type mode interface {
	// hasResults reports whether a write has its result when its statement has run.
	hasResults() bool
	// takeBack returns the operations that ROLLBACK TO leaves: those kept, and of those taken what
	// the program has seen.
	takeBack(t *Tx, kept, taken operations) operations
	// prepareCommit is called before the first request to commit, under the write lock.
	prepareCommit(ctx context.Context, t *Tx) error
	// revalidate checks that all that the transaction has seen still holds, and moves it to the
	// present version. Or it finds that the commit was applied.
	revalidate(ctx context.Context, t *Tx) error
	// rejected returns the error of a commit in which a statement failed. The server has rolled back
	// all of it.
	rejected(message string, statement, statements int) error
	// tell gives the results of the operations their final error.
	tell(t *Tx, err error)
}

// modeOf returns the mode that the options ask for.
func modeOf(o Options) mode {
	if o.Deferred {
		return deferred{}
	}
	return interactive{}
}

// interactive runs each write at once, in a trial.
type interactive struct{}

func (interactive) hasResults() bool { return true }

func (interactive) takeBack(t *Tx, kept, taken operations) operations {
	seen := append(kept.changes(), taken.filter(func(o *operation) bool { return !o.isSavepoint() })...)
	t.rolledBack = append(t.rolledBack, seen)
	return append(kept, taken.deferrals()...)
}

func (interactive) prepareCommit(context.Context, *Tx) error { return nil }

func (interactive) revalidate(ctx context.Context, t *Tx) error {
	_, _, err := t.speculate(ctx, nil)
	return err
}

func (interactive) rejected(message string, _, _ int) error {
	return errConflict("a statement of the transaction that succeeded before has failed: " + message)
}

func (interactive) tell(*Tx, error) {}

// deferred keeps writes until the commit, which tells their results. It has no reads behind a write.
type deferred struct{}

func (deferred) hasResults() bool { return false }

func (deferred) takeBack(_ *Tx, kept, taken operations) operations {
	for _, o := range taken {
		if o.isWrite {
			o.err = errTakenBack
		}
	}
	return append(kept, taken.notWriting()...)
}

func (m deferred) prepareCommit(ctx context.Context, t *Tx) error {
	if err := t.yield(ctx); err != nil {
		return err
	}
	t.atLeader = true
	return m.revalidate(ctx, t)
}

func (deferred) revalidate(ctx context.Context, t *Tx) error {
	for made := false; ; made = true {
		answer, err := t.read(ctx, nil)
		if err != nil {
			return err
		}
		answer.Close()
		if t.state.Exists || made {
			return nil
		}
		if err := t.env.Versions.Make(ctx); err != nil {
			return err
		}
	}
}

func (deferred) rejected(message string, statement, statements int) error {
	return sqlerr.New(message, statement, statements)
}

func (deferred) tell(t *Tx, err error) {
	if err == nil && !t.answered {
		err = errResultsLost
	}
	for _, o := range t.ops {
		o.err = err
	}
}
