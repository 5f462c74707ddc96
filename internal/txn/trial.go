package txn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/fuse"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
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

// body is the body of a request under construction. Its statements hold no character that JSON
// would escape.
type body []byte

func (b *body) statement(text string) {
	b.open()
	*b = append(append(append(*b, '"'), text...), '"')
}

func (b *body) encoded(statement []byte) {
	b.open()
	*b = append(*b, statement...)
}

// open begins a further element.
func (b *body) open() {
	open := byte(',')
	if len(*b) == 0 {
		open = '['
	}
	*b = append(*b, open)
}

// around is about the size of what the driver adds to the statements of a transaction.
const around = 512

// newBody returns an empty body with room for lists of operations.
func newBody(lists ...operations) body {
	size := around
	for _, list := range lists {
		for _, o := range list {
			size += len(o.body) + 1
		}
	}
	return make(body, 0, size)
}

func (b *body) end() []byte { return append(*b, ']') }

// A read that meets the writing flag asks again maxWritingRetries times. Then it goes through the
// Raft log, where no write runs beside it.
const (
	maxWritingRetries = 4
	writingPause      = time.Millisecond
)

// read sends operations that read, at the same state as all before them. It returns the answer, in
// which their entries come next.
func (t *Tx) read(ctx context.Context, fresh operations) (*cluster.Answer, error) {
	again := t.hasSnapshot && !t.state.Exists && len(t.ops) > 0
	for attempt := 0; ; attempt++ {
		answer, state, err := t.ask(ctx, attempt, again, fresh)
		if err != nil {
			return nil, err
		}
		if t.isCommitted(state) {
			return answer, nil
		}
		if err := t.lostTrack(state); err != nil {
			answer.Close()
			return nil, err
		}
		switch {
		case state.Writing && attempt < maxWritingRetries:
			answer.Close()
			if err := pause(ctx, writingPause<<attempt); err != nil {
				return nil, err
			}
			continue
		case t.moved(state) && t.state.Exists && state.Version < t.state.Version && !t.atLeader:
			answer.Close()
			t.atLeader = true
			continue
		case t.moved(state) && !again:
			answer.Close()
			again = true
			continue
		case again:
			if err := t.compare(answer, t.ops.reads(), state, trialForm{}); err != nil {
				answer.Close()
				return nil, err
			}
		}
		t.adopt(state)
		return answer, nil
	}
}

// ask sends a request of the reading phase and reads the state from its answer.
func (t *Tx) ask(ctx context.Context, attempt int, again bool, fresh operations) (*cluster.Answer, occ.State, error) {
	var state occ.State
	asks := occ.AsksAsSet
	switch {
	case attempt >= maxWritingRetries:
		asks = occ.AsksLog
	case t.atLeader:
		asks = occ.AsksLeader
	}
	params, leader, err := t.env.ReadParams(ctx, t.ops.explain() || fresh.explain(), asks)
	if err != nil {
		return nil, state, err
	}
	b := newBody(fresh)
	b.statement(occ.StateText(t.state.Version + 1))
	if again {
		b.reads(t.ops.reads())
	}
	b.reads(fresh)
	answer, err := t.env.Sender.Send(ctx, &cluster.Request{Path: cluster.QueryPath, Params: params + cluster.Transaction, Leader: leader, Stream: true, Body: b.end()})
	if err != nil {
		return nil, state, err
	}
	if state, err = t.readState(answer); err != nil {
		answer.Close()
		return nil, state, err
	}
	return answer, state, nil
}

// reads adds the statements of a list that only reads.
func (b *body) reads(list operations) {
	for _, o := range list {
		b.encoded(o.body)
	}
}

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

func (t *Tx) readState(answer *cluster.Answer) (occ.State, error) {
	entry, err := answer.Next()
	if err != nil {
		return occ.State{}, sqlerr.From(err)
	}
	state, err := t.env.Versions.ReadState(answer, entry)
	return state, sqlerr.From(err)
}

// compare reads the entries of operations that were run again. They must show the same as before.
func (t *Tx) compare(answer *cluster.Answer, list operations, state occ.State, form trialForm) error {
	for _, o := range list {
		same, err := o.sameAgain(answer, state)
		if err == nil && same && o.isProbed(form) {
			err = passProbe(answer, o)
		}
		if err != nil {
			return err
		}
		if !same {
			return t.conflict("something that the transaction has seen was changed by another writer")
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

// outcome reads the rest of the answer to a trial. If the version has moved, it compares the
// operations that ran before. Otherwise the version vouches for them.
func (t *Tx) outcome(answer *cluster.Answer, trial trial, state occ.State, moved bool) (done int, failure, err error) {
	if moved {
		err = t.compare(answer, trial.list, state, trial.form)
	} else {
		err = t.skip(answer, trial)
	}
	if err != nil {
		return 0, nil, err
	}
	for i := range trial.waiting {
		if err := t.lateResults(answer, trial, i, state); err != nil {
			return 0, nil, err
		}
	}
	for i, o := range trial.fresh {
		if o.Calls&sqltext.CallsLastInsertRowid != 0 && o.Kind != sqltext.Schema && !t.ops.inserted() && !trial.untried.inserted() && !trial.fresh[:i].inserted() {
			return i, sqlerr.Refused(sqlerr.At(errNoRowid, i, len(trial.fresh))), nil
		}
		failure, err := t.result(answer, o, state, at{i, len(trial.fresh)})
		if err == nil && failure == nil && o.isProbed(trial.form) {
			err = passProbe(answer, o)
		}
		if err != nil || failure != nil {
			// The server has rolled back, or will at the end of the request.
			return i, failure, err
		}
	}
	entry, err := answer.Next()
	switch {
	case err != nil:
		return 0, nil, sqlerr.From(err)
	case entry.Error != bind.AbortSays:
		return 0, nil, fmt.Errorf("rqlite: the server did not roll back what it was to try out (it said %q): the transaction cannot go on", entry.Error)
	}
	return len(trial.fresh), nil, sqlerr.From(answer.End())
}

// lateResults reads the entries of a piece of operations that waited.
func (t *Tx) lateResults(answer *cluster.Answer, trial trial, i int, state occ.State) error {
	p := &trial.waiting[i]
	if !p.fused() {
		return t.lateResult(answer, p.list[0], state, trial.form)
	}
	entry, err := t.readFused(answer, p)
	if err != nil {
		return err
	}
	if known, same := p.told(&trial.waiting[i-1], state.RealRowid(entry.LastInsertID), entry.RowsAffected, false); !known || !same {
		return fuse.ErrRefused // one by one they tell
	}
	return nil
}

// lateResult reads the entries of an operation that waited. If the program was told a foreseen
// result, it compares that.
func (t *Tx) lateResult(answer *cluster.Answer, o *operation, state occ.State, form trialForm) error {
	if o.foreseen {
		same, err := t.asForeseen(answer, o, state)
		switch message := answer.Result().Error; {
		case err != nil:
			return err
		case message != "":
			return t.late(o, message)
		case !same:
			return t.wrong(o)
		}
	} else {
		failure, err := t.result(answer, o, state, at{0, 1})
		switch {
		case err != nil:
			return err
		case o.failure != "":
			return t.late(o, o.failure)
		case failure != nil:
			return failure
		}
	}
	if o.isProbed(form) {
		return passProbe(answer, o)
	}
	return nil
}

// asForeseen reads the entries of an operation whose result was foreseen. It reports whether it is the
// one that the program was told.
func (t *Tx) asForeseen(answer *cluster.Answer, o *operation, state occ.State) (bool, error) {
	if o.told == nil {
		return o.sameAgain(answer, state)
	}
	entry, err := answer.Next()
	if err != nil || entry.Error != "" {
		return false, sqlerr.From(err)
	}
	seen, values := o.Seen(), result.Values{Times: t.env.Times}
	seen.Begin(entry)
	set, err := result.Read(answer, entry, &values, seen)
	var unread *result.UnreadableValue
	switch {
	case errors.As(err, &unread):
		return false, nil
	case err != nil:
		return false, sqlerr.From(err)
	}
	return sameSet(set, o.told), nil
}

// skip reads the entries of operations that the version vouches for, without comparing them.
func (t *Tx) skip(answer *cluster.Answer, trial trial) error {
	for i := range trial.pieces {
		p := &trial.pieces[i]
		if p.fused() {
			if _, err := t.readFused(answer, p); err != nil {
				return err
			}
			continue
		}
		o := p.list[0]
		entries := 1
		if o.needsCounts || o.isProbed(trial.form) {
			entries = 2
		}
		for range entries {
			entry, err := answer.Next()
			if err != nil {
				return sqlerr.From(err)
			}
			if strings.HasPrefix(entry.Error, sqlerr.BadTime) { // Exec did not ask for its rows, but a later statement makes the server send them
				return sqlerr.Refused(fmt.Errorf("an earlier statement of the transaction has a RETURNING clause, whose rows are sent from now on: %s", sqlerr.WithCure(entry.Error)))
			}
			if entry.Error != "" { // a writer outside this driver did not move the version
				return t.conflict("a statement of the transaction that succeeded before has failed")
			}
		}
	}
	return nil
}

// passProbe reads the entry of the probe or guard behind a statement.
func passProbe(answer *cluster.Answer, o *operation) error {
	entry, err := answer.Next()
	switch {
	case err != nil:
		return sqlerr.From(err)
	case entry.Error != "":
		return fmt.Errorf("rqlite: the transaction ended while it was tried out (%q): it cannot go on", entry.Error)
	case !o.tellsID:
		return nil
	}
	if err := answer.NextRow(); err != nil {
		return sqlerr.From(err)
	}
	cell, err := answer.Cell()
	if err != nil {
		return sqlerr.From(err)
	}
	o.rowid, _ = result.ParseInt(cell.Data)
	return nil
}

// at is the position of a statement among those of a call.
type at struct{ statement, statements int }

// result reads the entries of an operation that runs for the first time. The failure is for the
// program: the operation's own, or the driver's if the driver refuses the result. The error is that
// of the request.
func (t *Tx) result(answer *cluster.Answer, o *operation, state occ.State, at at) (failure, err error) {
	entry, err := answer.Next()
	if err != nil {
		return nil, sqlerr.From(err)
	}
	if o.failure = entry.Error; o.failure != "" {
		failed := sqlerr.New(o.failure, at.statement, at.statements)
		if o.SharesRandom && failed.Code == sqlerr.Constraint { // perhaps only because of that
			failed.Message += "; " + bind.ErrRandomRows.Error()
		}
		return failed, nil
	}
	if o.wantsRows && (len(entry.Columns) > 0 || o.Returning > 0 || o.Kind == sqltext.Read) {
		failure, err := t.resultRows(answer, o, entry, at)
		if err == nil && failure == nil && o.SharesRandom && len(o.set.Rows) > 1 {
			failure = sqlerr.Refused(sqlerr.At(bind.ErrRandomRows, at.statement, at.statements))
		}
		return failure, err
	}
	id, rows, err := o.counts(answer, entry)
	switch {
	case err != nil || o.Kind != sqltext.Write:
		return nil, err
	case o.SharesRandom && rows > 1:
		return sqlerr.Refused(sqlerr.At(bind.ErrRandomRows, at.statement, at.statements)), nil
	}
	o.lastInsertID, o.rowsAffected = state.RealRowid(id), rows
	return nil, nil
}

// resultRows reads the rows of an operation that runs for the first time.
func (t *Tx) resultRows(answer *cluster.Answer, o *operation, entry *wire.Result, at at) (failure, err error) {
	switch {
	case o.Returning > 0 && len(entry.Columns) == 0:
		return sqlerr.Refused(sqlerr.At(bind.ErrUnseenReturning, at.statement, at.statements)), nil
	case o.Keyword == "EXPLAIN" && len(entry.Columns) == 0:
		return sqlerr.Refused(sqlerr.At(errUnexplained, at.statement, at.statements)), nil
	case o.Kind == sqltext.Unknown:
		o.isWrite = false
	}
	seen := o.Seen()
	seen.Begin(entry)
	values := result.Values{Times: t.env.Times}
	o.set, err = result.Read(answer, entry, &values, seen)
	var unread *result.UnreadableValue
	switch {
	case errors.As(err, &unread):
		return sqlerr.Refused(sqlerr.At(unread, at.statement, at.statements)), nil
	case err != nil:
		return nil, sqlerr.From(err)
	}
	if o.failure = answer.Result().Error; o.failure != "" {
		return sqlerr.New(o.failure, at.statement, at.statements), nil
	}
	return nil, nil
}

var errUnexplained = errors.New("rqlite gives no rows for EXPLAIN of a write after the first write of a transaction: explain it before, or outside of it")

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
