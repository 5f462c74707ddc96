package txn

import (
	"context"
	"errors"
	"slices"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/fuse"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

// The statements around those of a transaction in a trial.
const (
	// speculationText inserts the row that the commit will insert, so that last_insert_rowid() is
	// the same in both.
	speculationText = "INSERT INTO _rqlite_tx(k,token) SELECT v+1,'s' FROM _rqlite_tx WHERE k=0"
	probeText       = "SELECT last_insert_rowid(),changes()"
	// guardedProbeText also fails if the transaction is over, because then the row of
	// speculationText is gone. Before rqlite 9.4.2 the server goes on after a statement with
	// RETURNING has failed, even if SQLite has rolled back, as after RAISE(ROLLBACK). It would
	// commit the statements behind it.
	guardedProbeText = probeText + ",CASE WHEN (SELECT token FROM _rqlite_tx WHERE k=(SELECT v+1 FROM _rqlite_tx WHERE k=0)) IS NOT 's' " +
		"THEN abs(-9223372036854775808) END"
)

// mostMade is how often a trial creates the version table, which others may be dropping meanwhile.
const mostMade = 10

// trialPieces adds pieces as [body.trial] adds operations.
func (b *body) trialPieces(pieces []piece, form trialForm) (err error) {
	for i := range pieces {
		if pieces[i].fused() {
			err = b.piece(&pieces[i])
		} else {
			err = b.trial(pieces[i].list, form)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// trial adds the statements of a list, each followed by the probe or the guard that it needs.
func (b *body) trial(list operations, form trialForm) error {
	for _, o := range list {
		statement := o.body
		if form.hidesRandom && o.Kind == sqltext.Read && o.Calls&sqltext.CallsRandom != 0 {
			hidden := o.Stmt
			text := o.HideRandom()
			hidden.Statement = &text
			var err error
			if statement, err = wire.AppendStatement(nil, hidden.SQL(), hidden.Values); err != nil {
				return err
			}
		}
		b.encoded(statement)
		switch {
		case form.guarded && o.Returning > 0:
			b.statement(guardedProbeText)
		case o.needsCounts, o.tellsID:
			b.statement(probeText)
		}
	}
	return nil
}

// trial is a request that runs operations and is rolled back by its end.
type trial struct {
	list  operations // operations that ran before, and succeeded
	reads bool       // list includes those that only read
	fuses bool       // executions in list may be fused
	// untried are operations that wait, and fresh those of the present call. None has run yet.
	untried, fresh operations
	// form and pieces say how it was sent last; pieces are those of list. sendTrial sets them anew at
	// each attempt.
	form   trialForm
	pieces []piece
	// waiting are the pieces of untried.
	waiting []piece
}

// trialForm says how a trial is sent. It depends on the releases of the nodes.
type trialForm struct {
	// params are the parameters of the URL. min is the oldest release that understands them, 0 for
	// any.
	params string
	min    cluster.Release
	// guarded says that a guard follows each statement with RETURNING.
	guarded bool
	// hidesRandom says that the server may replace random() in reads, so that the driver hides the
	// word.
	hidesRandom bool
}

// speculate runs the writes so far, behind them operations that wait, and behind those fresh ones,
// in a request that is rolled back by its end. It returns how many of the fresh ones succeeded, and
// the failure of the next one. If the version has moved, it also runs again all else that the
// transaction has seen. A failure of an operation that waited is the error.
func (t *Tx) speculate(ctx context.Context, untried, fresh operations) (done int, failure, err error) {
	if err := t.lock(ctx); err != nil {
		return 0, nil, err
	}
	if t.announced == "" && !t.tried() {
		if err := t.yield(ctx); err != nil {
			return 0, nil, err
		}
	}
	patience := t.patience()
	for trial := (trial{list: t.ops.changes(), fuses: true, untried: untried.changes(), fresh: fresh}); ; {
		answer, state, err := t.tryOut(ctx, &trial)
		if err != nil {
			return 0, nil, err
		}
		if t.isCommitted(state) {
			answer.Close()
			return 0, nil, nil
		}
		if err := t.lostTrack(state); err != nil {
			answer.Close()
			return 0, nil, err
		}
		moved := t.moved(state)
		if moved && (t.ops.read() && !trial.reads || slices.ContainsFunc(trial.pieces, piece.fused)) {
			answer.Close()
			trial.list, trial.reads, trial.fuses = t.ops.succeeded(), true, false
			continue
		}
		done, failure, err := t.outcome(answer, trial, state, moved)
		answer.Close()
		if errors.Is(err, fuse.ErrRefused) {
			t.unfused = true
			continue
		}
		if err != nil {
			return 0, nil, err
		}
		if moved {
			same, err := t.revalidateFailures(ctx, state)
			if err != nil {
				return 0, nil, err
			}
			if !same { // the version has moved once more
				if err := t.lose(ctx, patience); err != nil {
					return 0, nil, err
				}
				continue
			}
		}
		t.adopt(state)
		return done, failure, nil
	}
}

// tryOut sends a trial, and reads the state from its answer. It creates the version table if there
// is none.
func (t *Tx) tryOut(ctx context.Context, trial *trial) (*cluster.Answer, occ.State, error) {
	for made := 0; ; made++ {
		answer, err := t.sendTrial(ctx, trial)
		if err != nil {
			return nil, occ.State{}, err
		}
		state, err := t.readState(answer)
		switch {
		case err != nil:
		case !state.Exists && made == mostMade:
			err = occ.ErrGone
		case !state.Exists:
			answer.Close()
			if err := t.env.Versions.Make(ctx); err != nil {
				return nil, state, err
			}
			continue
		default:
			err = demandEntry(answer)
		}
		if err != nil {
			answer.Close()
			return nil, state, err
		}
		return answer, state, nil
	}
}

// sendTrial sends a trial in the form that the nodes need.
func (t *Tx) sendTrial(ctx context.Context, trial *trial) (*cluster.Answer, error) {
	for {
		trial.form = t.trialForm(ctx, trial)
		fuses := trial.fuses && trial.form.params == cluster.UnparsedParams
		trial.pieces = t.pieces(trial.list, fuses, false)
		trial.waiting = t.pieces(trial.untried, fuses, true)
		b := newBody(trial.list, trial.untried, trial.fresh)
		b.statement(occ.StateText(t.state.Version + 1))
		b.statement(speculationText)
		if err := errors.Join(b.trialPieces(trial.pieces, trial.form), b.trialPieces(trial.waiting, trial.form), b.trial(trial.fresh, trial.form)); err != nil {
			return nil, sqlerr.Refused(err)
		}
		b.statement(bind.Abort.Text)
		answer, err := t.env.Sender.Send(ctx, &cluster.Request{
			Path: cluster.RequestPath, Params: trial.form.params, MinRelease: trial.form.min, Leader: true, Body: b.end(),
		})
		if trial.form.min == 0 || !sqlerr.IsEarlier(err) {
			return answer, err
		}
	}
}

// demandEntry reads the entry of the driver's own insert into the version table.
func demandEntry(answer *cluster.Answer) error {
	entry, err := answer.Next()
	if err != nil {
		return sqlerr.From(err)
	}
	return occ.Failure(entry)
}

// trialForm returns the form in which to send a trial.
func (t *Tx) trialForm(ctx context.Context, trial *trial) trialForm {
	if !trial.list.wantRows() && !trial.untried.wantRows() && !trial.fresh.wantRows() {
		return trialForm{params: cluster.UnparsedParams}
	}
	client := t.env.Nodes
	form := trialForm{params: cluster.ParsedParams, guarded: !client.AllSince(ctx, cluster.UndoesReturning, true)}
	if client.LeaderSince(ctx, cluster.ObeysNoRewriteRandom) {
		form.params, form.min = cluster.ParsedParams+cluster.NoRandomParam, cluster.ObeysNoRewriteRandom
	} else {
		form.hidesRandom = !client.LeaderTells()
	}
	return form
}

// revalidateFailures re-checks at a new state what one trial cannot: failed statements must fail
// alike, and rolled-back ones must give the same results. It reports false if the version has moved
// again.
func (t *Tx) revalidateFailures(ctx context.Context, state occ.State) (bool, error) {
	for _, list := range t.rolledBack {
		same, err := t.runsAgain(ctx, list.succeeded(), nil, state)
		if err != nil || !same {
			return false, err
		}
	}
	for _, list := range append(t.rolledBack[:len(t.rolledBack):len(t.rolledBack)], t.ops) {
		for i, o := range list {
			if o.failure == "" {
				continue
			}
			same, err := t.runsAgain(ctx, list[:i].changes(), o, state)
			if err != nil || !same {
				return false, err
			}
		}
	}
	return true, nil
}

// runsAgain runs a list of operations, and behind it a failing one if that is not nil. It compares
// all with what they showed before. It reports false if the version is not that of want.
func (t *Tx) runsAgain(ctx context.Context, list operations, failing *operation, want occ.State) (bool, error) {
	trial := trial{list: list}
	if failing != nil {
		trial.fresh = operations{failing}
	}
	answer, state, err := t.tryOut(ctx, &trial)
	if err != nil {
		return false, err
	}
	defer answer.Close()
	if state.Version != want.Version {
		return false, nil
	}
	return true, t.compare(answer, append(list, trial.fresh...), state, trial.form)
}
