package txn

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/fuse"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/result"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
	"github.com/go-rqlite/rqlite/internal/wire"
)

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
		if o.Calls&sqltext.CallsLastInsertRowid != 0 && o.Kind != sqltext.Schema && !t.tellsRowid(trial, i) {
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

// tellsRowid reports whether last_insert_rowid() tells what SQLite tells, in one of the fresh operations
// of a trial.
func (t *Tx) tellsRowid(trial trial, i int) bool {
	before := append(trial.untried[:len(trial.untried):len(trial.untried)], trial.fresh[:i]...)
	if t.rowidLost {
		return slices.ContainsFunc(before, (*operation).setsRowid)
	}
	return t.ops.inserted() || before.inserted()
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
