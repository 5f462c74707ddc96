package txn

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/fuse"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

const (
	// keptTokens is how many versions the tokens of commits are kept for. That long, the outcome of
	// a commit whose answer was lost can be found out.
	keptTokens = 100_000
	// toldTokens is how many versions a missing token means that a commit was not applied.
	toldTokens = keptTokens / 2
	// pruneEvery is how many commits there are, on average, to one that removes older tokens.
	pruneEvery = 256
)

// commitRequest is one request to commit. The zero value stands for none.
type commitRequest struct {
	version   int64  // the version that it demands
	token     string // the token that it leaves at version+1
	forwarded bool   // a node may have sent it twice, so that one that came too late may have been in time before
}

// commit applies the writes of the transaction if all that it has seen still holds.
func (t *Tx) commit(ctx context.Context) error {
	if err := t.lock(ctx); err != nil {
		return err
	}
	patience := t.patience()
	if err := t.prepareCommit(ctx); err != nil {
		return err
	}
	for {
		begun := time.Now()
		if err := t.checkHiddenRows(ctx); err != nil {
			return err
		}
		t.sent = commitRequest{version: t.state.Version, token: rand.Text()}
		forwarded := t.env.Nodes.Forwarding()
		stale, err := t.apply(ctx, t.sent)
		t.sent.forwarded = forwarded || t.env.Nodes.Forwarding()
		if isUnknown(err) {
			applied, err := t.settle(ctx, t.sent, err)
			if applied || err != nil {
				return err
			}
			t.sent = commitRequest{} // it was not applied, nor will it be
		} else if errors.Is(err, fuse.ErrRefused) {
			t.sent = commitRequest{}
			if err := t.separate(ctx); err != nil {
				return err
			}
			continue
		} else if err != nil || !stale {
			return err
		}
		if err := t.revalidate(ctx); err != nil || t.committed {
			return t.doubtful(err)
		}
		t.lastCommitTime = time.Since(begun)
		if err := t.lose(ctx, patience); err != nil {
			return err
		}
	}
}

// prepareCommit runs what waits if the program was told a foreseen result of it. If nothing was
// tried, it looks at the version, and at what was read.
func (t *Tx) prepareCommit(ctx context.Context) error {
	if slices.ContainsFunc(t.untried, func(o *operation) bool { return o.foreseen }) {
		return t.tryUntried(ctx)
	}
	if t.tried() {
		return nil
	}
	if err := t.yield(ctx); err != nil {
		return err
	}
	t.atLeader = true
	return t.revalidate(ctx)
}

// separate goes on after a fused statement has failed. It runs what waits, statement by statement, to
// find the one that fails.
func (t *Tx) separate(ctx context.Context) error {
	t.unfused = true
	return t.tryUntried(ctx)
}

// revalidate checks that all that the transaction has seen still holds, and moves it to the present
// version. Or it finds that the commit was applied.
func (t *Tx) revalidate(ctx context.Context) error {
	if t.tried() {
		_, _, err := t.speculate(ctx, nil, nil)
		return err
	}
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

// hidesRows reports whether the commit of operations does without the rows of RETURNING. The server
// gives no rows of a statement that it does not parse, and all releases roll back if one fails.
func (t *Tx) hidesRows(ctx context.Context, list operations) bool {
	return !t.comparesRows(list) || !t.env.Nodes.AllSince(ctx, cluster.UndoesReturning, true)
}

// comparesRows reports whether the commit is to compare rows of RETURNING. It need not where they are
// rowids, for it compares those with the counts.
func (t *Tx) comparesRows(list operations) bool {
	return slices.ContainsFunc(list, func(o *operation) bool { return o.wantsReturning() && !t.toldRowid(o) })
}

// toldRowid reports whether the rows of RETURNING told the rowid, and nothing that does not follow from
// it.
func (t *Tx) toldRowid(o *operation) bool { return o.returnedID != 0 && t.historyOf(o).ids.areRowids() }

// checkHiddenRows runs the writes once more before a commit that hides rows of RETURNING, and
// compares the rows. They conflict if the server makes them up anew, as by a DEFAULT that is
// random.
func (t *Tx) checkHiddenRows(ctx context.Context) error {
	list := t.ops.changes()
	if !t.comparesRows(list) || !t.hidesRows(ctx, list) {
		return nil
	}
	_, err := t.runsAgain(ctx, list, nil, t.state)
	return err
}

// apply sends the commit. It reports whether nothing was applied because the version has moved.
func (t *Tx) apply(ctx context.Context, req commitRequest) (stale bool, err error) {
	next := strconv.FormatInt(req.version+1, 10)
	list := append(t.ops.changes(), t.untried.changes()...)
	params, hidden := cluster.UnparsedParams, t.hidesRows(ctx, list)
	if !hidden {
		params = cluster.ParsedParams + cluster.NoRandomParam
	}
	b := newBody(list)
	b.statement("INSERT INTO _rqlite_tx(k,token) SELECT CASE (SELECT v FROM _rqlite_tx WHERE k=0) WHEN " +
		strconv.FormatInt(req.version, 10) + " THEN " + next + " ELSE 'stale' END,'" + req.token + "'")
	pieces := t.pieces(list, hidden, true) // the server need not parse a fused statement
	for i := range pieces {
		if err := b.piece(&pieces[i]); err != nil {
			return false, sqlerr.Refused(err)
		}
		if hidden && pieces[i].list[0].Returning > 0 {
			b.statement(bind.ResultProbe.Text)
		}
	}
	clears := list.clear()
	tail := b.moves(req, next, clears)
	if t.announced != "" {
		b.statement("DELETE FROM _rqlite_tx WHERE k=-1 AND token='" + t.announced + "'")
		tail++
	}
	if !clears && mathrand.N(pruneEvery) == 0 { // its own token is as old as those, because the version jumps
		b.statement("DELETE FROM _rqlite_tx WHERE k>0 AND k<(SELECT v FROM _rqlite_tx WHERE k=0)-" + strconv.Itoa(keptTokens))
		tail++
	}
	answer, err := t.env.Sender.Send(ctx, &cluster.Request{
		Path:       cluster.ExecutePath,
		Params:     params,
		Leader:     true,
		Write:      true,
		Statements: len(list),
		Body:       b.end(),
	})
	if list.changesSchema() {
		t.env.SchemaChanged()
	}
	if err != nil {
		return false, err
	}
	defer answer.Close()
	return t.applied(answer, committing{pieces, tail, req, hidden})
}

// moves adds the statements by which a commit moves the version to the next one, and returns their
// number. If the commit clears the version table, they create it again with the token of this commit.
// The tokens of other commits are gone then. So the version jumps beyond the range in which a missing
// token means that a commit was not applied.
func (b *body) moves(req commitRequest, next string, clears bool) int {
	if !clears {
		b.statement("UPDATE _rqlite_tx SET v=" + next + ",token=NULL WHERE k=0")
		return 1
	}
	b.statement(occ.CreateText)
	b.statement("INSERT OR REPLACE INTO _rqlite_tx(k,v,token) VALUES(0," +
		strconv.FormatInt(req.version+occ.ClearedVersions, 10) + ",NULL),(" + next + ",NULL,'" + req.token + "')")
	return 2
}

// committing is a commit that was sent.
type committing struct {
	pieces []piece
	tail   int // number of statements behind the pieces
	req    commitRequest
	hidden bool // RETURNING gives no rows
}

// applied reads the answer to a commit.
func (t *Tx) applied(answer *cluster.Answer, sent committing) (stale bool, err error) {
	entry, err := answer.Next()
	switch {
	case err != nil:
		return false, sqlerr.From(err)
	case entry.Error == occ.Stale, occ.IsMissing(entry.Error):
		return true, nil
	case entry.Error != "":
		return false, occ.Failure(entry)
	}
	state := occ.State{Exists: true, Version: sent.req.version + 1}
	changed := false
	for i := range sent.pieces {
		same, err := t.pieceInCommit(answer, sent, i, state)
		if err != nil {
			return false, err
		}
		changed = changed || !same
	}
	for range sent.tail {
		if entry, err := answer.Next(); err != nil {
			return false, sqlerr.From(err)
		} else if entry.Error != "" {
			return false, sqlerr.New(entry.Error, -1, 0)
		}
	}
	if err := answer.End(); err != nil {
		return false, sqlerr.From(err)
	}
	t.answered = true
	if changed {
		return false, errResultsChanged
	}
	return false, nil
}

var errResultsChanged = sqlerr.Told(errors.New("the transaction was committed, but at least one of its statements had another result than it had before: "+
	"a column with a default such as CURRENT_TIMESTAMP, or a writer that does not use this driver"), sqlerr.ErrResultsChanged)

// pieceInCommit reads the entries of a piece that is being committed. It reports whether the program
// was told the same before.
func (t *Tx) pieceInCommit(answer *cluster.Answer, sent committing, i int, state occ.State) (bool, error) {
	p := &sent.pieces[i]
	if p.fused() {
		entry, err := t.readFused(answer, p)
		if err != nil {
			return false, err
		}
		_, same := p.told(&sent.pieces[i-1], state.RealRowid(entry.LastInsertID), entry.RowsAffected, true)
		return same || !slices.ContainsFunc(p.list, (*operation).isSeen), nil
	}
	o := p.list[0]
	same, err := t.sameInCommit(answer, o, state, sent.hidden && o.Returning > 0)
	if err != nil {
		return false, err
	}
	if failure := answer.Result().Error; failure != "" {
		return false, t.rejected(o, failure)
	}
	return same, nil
}

// rejected returns the error of a commit in which a statement has failed. The server has rolled back
// all of it.
func (t *Tx) rejected(o *operation, message string) error {
	if o.waits() {
		return t.late(o, message)
	}
	return t.conflict("a statement of the transaction that succeeded before has failed: " + message)
}

// sameInCommit reads the entries of an operation that is being committed. It reports whether the
// program was told the same before, except for hidden rows.
func (t *Tx) sameInCommit(answer *cluster.Answer, o *operation, state occ.State, hidden bool) (bool, error) {
	if !o.waits() && !o.needsCounts && !hidden {
		return o.sameAgain(answer, state)
	}
	entry, err := answer.Next()
	if err != nil {
		return false, sqlerr.From(err)
	}
	if hidden && entry.Error == "" {
		if entry, err = answer.Next(); err != nil {
			return false, sqlerr.From(err)
		}
	}
	if o.waits() && o.Kind == sqltext.Write {
		o.lastInsertID, o.rowsAffected = state.RealRowid(entry.LastInsertID), entry.RowsAffected
		return true, nil
	}
	if hidden && o.wantsReturning() {
		return !t.toldRowid(o) || state.RealRowid(entry.LastInsertID) == o.returnedID, nil
	}
	return !hidden || !o.needsCounts || o.clears || !o.countsSeen || entry.RowsAffected == o.rowsAffected, nil
}
