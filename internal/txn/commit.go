package txn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"time"

	"github.com/go-rqlite/rqlite/internal/bind"
	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
	"github.com/go-rqlite/rqlite/internal/sqltext"
)

const (
	// keptTokens is for how many versions the tokens of commits are kept: as long
	// as that, the outcome of a commit whose answer was lost can be found out.
	keptTokens = 100_000
	// toldTokens is for how many versions a token that is not there tells that a commit was not
	// applied.
	toldTokens = keptTokens / 2
	// clearedVersions is by how many versions a commit moves on that clears the version table.
	clearedVersions = toldTokens + 1
	// pruneEvery is how many commits go by, on average, until one of them removes
	// the tokens that are older.
	pruneEvery = 256
	// settleTime is how long at least the outcome of a commit is asked for, even
	// if the context of the transaction has ended.
	settleTime = 5 * time.Second
	// maxLosses is how many races a transaction loses before it announces itself.
	maxLosses = 2
)

// errStale is what the server says of a commit for another version.
const errStale = "datatype mismatch"

// commitRequest is one request to commit.
type commitRequest struct {
	version   int64  // that it demands
	token     string // that it leaves behind
	forwarded bool   // perhaps twice, so that one that came too late may have been in time before
}

// commit applies the writes of the transaction, if all that it has seen still
// holds.
func (t *Tx) commit(ctx context.Context) error {
	if err := t.lock(ctx); err != nil {
		return err
	}
	patience := t.patience()
	if t.Deferred {
		if err := t.yield(ctx); err != nil {
			return err
		}
		t.atLeader = true
		if err := t.revalidate(ctx); err != nil {
			return err
		}
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

// isUnknown reports whether a commit may have been applied, or be applied yet.
func isUnknown(err error) bool {
	return errors.Is(err, sqlerr.ErrIndeterminate) || errors.Is(err, sqlerr.ErrRowsLost)
}

// hidesRows reports whether the commit of operations has to do without the rows of RETURNING. A
// statement that the server does not parse has no rows, and is rolled back if it fails, on all
// releases.
func (t *Tx) hidesRows(ctx context.Context, list operations) bool {
	return !list.wantRows() || !t.env.Nodes.AllSince(ctx, cluster.UndoesReturning, true)
}

// checkHiddenRows runs the writes once more before a commit that hides rows of RETURNING, and
// compares these: it has a conflict where they are made up anew, as by a DEFAULT that is random.
func (t *Tx) checkHiddenRows(ctx context.Context) error {
	list := t.ops.changes()
	if t.Deferred || !list.wantRows() || !t.hidesRows(ctx, list) {
		return nil
	}
	_, err := t.runsAgain(ctx, list, nil, t.state)
	return err
}

// apply sends the commit. It reports whether nothing was applied because the
// version has moved.
func (t *Tx) apply(ctx context.Context, try commitRequest) (stale bool, err error) {
	next := strconv.FormatInt(try.version+1, 10)
	list := t.ops.changes()
	params, hidden := cluster.UnparsedParams, t.hidesRows(ctx, list)
	if !hidden {
		params = cluster.ParsedParams + cluster.NoRandomParam
	}
	var b body
	b.statement("INSERT INTO _rqlite_tx(k,token) SELECT CASE (SELECT v FROM _rqlite_tx WHERE k=0) WHEN " +
		strconv.FormatInt(try.version, 10) + " THEN " + next + " ELSE 'stale' END,'" + try.token + "'")
	for _, o := range list {
		b.encoded(o.body)
		if hidden && o.Returning > 0 {
			b.statement(bind.ResultProbe.Text)
		}
	}
	tail := 0
	for _, text := range movesTo(try, list.clear()) {
		b.statement(text)
		tail++
	}
	if t.announced != "" {
		b.statement("DELETE FROM _rqlite_tx WHERE k=-1 AND token='" + t.announced + "'")
		tail++
	}
	if mathrand.N(pruneEvery) == 0 {
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
	if t.ops.changesSchema() {
		t.env.SchemaChanged()
	}
	if err != nil {
		return false, err
	}
	defer answer.Close()
	return t.applied(answer, committing{list, tail, try, hidden})
}

// movesTo returns the statements by which a commit moves the version on. If it clears the version table,
// that is made anew, with the token that tells of the commit. Those of others are gone, so that
// the version goes on beyond where it would say that a commit without a token was not applied.
func movesTo(try commitRequest, clears bool) []string {
	next := strconv.FormatInt(try.version+1, 10)
	if !clears {
		return []string{"UPDATE _rqlite_tx SET v=" + next + ",token=NULL WHERE k=0"}
	}
	return []string{occ.CreateText, "INSERT OR REPLACE INTO _rqlite_tx(k,v,token) VALUES(0," +
		strconv.FormatInt(try.version+clearedVersions, 10) + ",NULL),(" + next + ",NULL,'" + try.token + "')"}
}

// committing is a commit that was sent.
type committing struct {
	list   operations
	tail   int // so many statements follow them
	try    commitRequest
	hidden bool // its RETURNING clauses give no rows
}

// applied reads the answer to a commit.
func (t *Tx) applied(answer *cluster.Answer, sent committing) (stale bool, err error) {
	list := sent.list
	entry, err := answer.Next()
	switch {
	case err != nil:
		return false, sqlerr.From(err)
	case entry.Error == errStale, occ.IsMissing(entry.Error):
		return true, nil
	case entry.Error != "":
		return false, occ.Failure(entry)
	}
	state := occ.State{Exists: true, Version: sent.try.version + 1}
	changed := false
	for i, o := range list {
		same, err := t.sameInCommit(answer, o, state, sent.hidden && o.Returning > 0)
		if err != nil {
			return false, err
		}
		if failure := answer.Result().Error; failure != "" {
			return false, t.rejected(failure, i, len(list))
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

// rejected is the error of a commit that failed in a statement. All of it was
// rolled back.
func (t *Tx) rejected(message string, statement, statements int) error {
	if t.Deferred {
		return sqlerr.New(message, statement, statements)
	}
	return errConflict("a statement of the transaction that succeeded before has failed: " + message)
}

// sameInCommit reads the entries of an operation that is being committed, and
// reports whether the program has been told the same, as far as rows are not hidden.
func (t *Tx) sameInCommit(answer *cluster.Answer, o *operation, state occ.State, hidden bool) (bool, error) {
	if !t.Deferred && !o.needsCounts && !hidden {
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
	if t.Deferred && o.Kind == sqltext.Write {
		o.lastInsertID, o.rowsAffected = state.RealRowid(entry.LastInsertID), entry.RowsAffected
		return true, nil
	}
	return !hidden || !o.needsCounts || o.clears || entry.RowsAffected == o.rowsAffected, nil
}

// revalidate looks whether all that the transaction has seen still holds, and
// moves it to the present version; or it finds that the commit was applied.
func (t *Tx) revalidate(ctx context.Context) error {
	if !t.Deferred {
		_, _, err := t.speculate(ctx, nil)
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

// isCommitted reports whether the last try to commit was applied all the same:
// the server may have run a request twice, so that its second run came too late.
func (t *Tx) isCommitted(state occ.State) bool {
	t.committed = t.sent.token != "" && state.Token == t.sent.token
	return t.committed
}

// lostTrack is the error of a commit that came too late where that may have been its second run,
// and the version table, which was dropped, emptied or replaced since, does not tell of the first.
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

// doubtful returns the error of a transaction that came to no look at the version table behind a commit
// that came too late, where that may have been its second run. A conflict comes behind such a look.
func (t *Tx) doubtful(err error) error {
	if err == nil || !t.sent.forwarded || errors.Is(err, sqlerr.ErrTxConflict) || errors.Is(err, sqlerr.ErrIndeterminate) {
		return err
	}
	return sqlerr.Of(sqlerr.ErrIndeterminate, fmt.Errorf("the commit was forwarded, perhaps twice, and what became of it could not be asked: %w", err))
}

// toldBy reports whether a version table in a state tells by the token whether a commit was applied.
// The token of another commit that demanded the same version says that it was not.
func (a commitRequest) toldBy(state occ.State) bool {
	return state.Exists && (state.Token != "" || state.Version >= a.version && state.Version <= a.version+toldTokens)
}

// settle finds out whether a commit was applied whose answer was lost. It moves
// the version first, so that a request which is still under way can no longer be
// applied, and then looks for the token that it would have left. The error is lost
// if that cannot be found out.
func (t *Tx) settle(ctx context.Context, try commitRequest, lost error) (applied bool, err error) {
	ctx, cancel := t.settling(ctx)
	defer cancel()
	var b body
	b.statement(occ.MoveText)
	b.statement(stateText(try.version + 1))
	answer, err := t.request(ctx, cluster.UnparsedParams, b.end())
	if err != nil {
		return false, lost
	}
	defer answer.Close()
	if entry, err := answer.Next(); err != nil || entry.Error != "" {
		return false, lost
	}
	state, err := t.readState(answer)
	if err != nil || answer.End() != nil {
		return false, lost
	}
	switch {
	case state.Token == try.token:
		return true, nil
	case !try.toldBy(state):
		return false, lost // the version table is another or was cleared, or the token may have been removed
	case t.Ctx.Err() != nil:
		return false, sqlerr.Of(t.Ctx.Err(), errors.New("the commit was not applied, nor will it be"))
	}
	return false, nil
}

// settling returns the context of the question what became of a commit.
func (t *Tx) settling(ctx context.Context) (context.Context, context.CancelFunc) {
	end := time.Now().Add(settleTime)
	if deadline, ok := ctx.Deadline(); ok && deadline.After(end) {
		end = deadline
	} else if timeout := t.env.Timeout; !ok && ctx.Err() == nil && timeout > settleTime {
		end = time.Now().Add(timeout)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}

// patience returns when a transaction that loses one race after the other gives
// up. The zero time is never.
func (t *Tx) patience() time.Time {
	timeout := t.env.Timeout
	if timeout == 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}

// lose notes that another process has written between a look at the version and
// the commit. Having lost some times, the transaction announces itself.
func (t *Tx) lose(ctx context.Context, patience time.Time) error {
	if !patience.IsZero() && time.Now().After(patience) {
		return t.conflict("other writers were faster each time, until the time-out")
	}
	if t.lostRaces++; t.lostRaces < maxLosses {
		return nil
	}
	t.lostRaces = 0
	if err := t.announce(ctx); err != nil && ctx.Err() != nil {
		return err
	}
	return nil // without an announcement it may be as lucky
}

// announce asks the writers of other processes to hold back for a while. They look for
// it in the version table, which it makes if there is none: a transaction that loses before it
// comes to a commit would not make it otherwise.
func (t *Tx) announce(ctx context.Context) error {
	name := rand.Text()
	hold := min(max(2*t.lastCommitTime, occ.ShortestHold), occ.LongestHold)
	t.env.Versions.Backoff.Announced(name)
	var b body
	b.statement("INSERT OR REPLACE INTO _rqlite_tx(k,v,token) VALUES(-1," + strconv.FormatInt(hold.Milliseconds(), 10) + ",'" + name + "')")
	body := b.end()
	for made := false; ; made = true {
		failed, err := t.postAnnouncement(ctx, body)
		switch {
		case err != nil:
			return err
		case failed == "":
			t.announced = name
			return nil
		case made || !occ.IsMissing(failed):
			return nil // nothing relies on it
		}
		if err := t.env.Versions.Make(ctx); err != nil {
			return err
		}
	}
}

// postAnnouncement returns why the statement failed, or "".
func (t *Tx) postAnnouncement(ctx context.Context, body []byte) (failed string, err error) {
	answer, err := t.env.Sender.Send(ctx, &cluster.Request{
		Path:   cluster.ExecutePath,
		Params: cluster.WriteParams,
		Leader: true, // and no Write: it can be repeated
		Body:   body,
	})
	if err != nil {
		return "", err
	}
	defer answer.Close()
	entry, err := answer.Next()
	if err != nil {
		return "", sqlerr.From(err)
	}
	return entry.Error, nil
}
