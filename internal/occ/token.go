package occ

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

// A write outside of transactions leaves a token in the version table, as a commit does, so that a lost
// answer does not leave it unknown whether the write was applied. The token is stored by the first
// statement of the transaction in which the write goes. That statement fails in two cases, and all of the
// transaction with it:
//
//   - The version has moved further than the window from the one that the connector knew.
//   - The slot of the token is taken: by the token itself, because a request arrived twice, or by a void.
//
// After a lost answer the driver makes the slot void unless the token is there. Then it knows: the token
// was there, so the write was applied; or it was not, and never will be, for the void keeps the slot
// until the window has closed. No clock takes part in this.
// docs/transactions.md explains why that is sound.

const (
	// tokenWindow is how far the version may move from the one that the sender of a write knew.
	tokenWindow = 25_000
	// epochBits are those of a version that change within an epoch. The slot of a token tells the epoch
	// of the version that its sender knew, and tokens are removed by epochs.
	epochBits = 15
	// keptEpochs is how many later epochs begin before the tokens of one are removed.
	keptEpochs = 5
	// toldVersions is how many versions behind the one that its sender knew a missing token means that
	// the write was not applied. Invariant: tokenWindow < toldVersions < keptEpochs << epochBits.
	toldVersions = 100_000
	// ClearedVersions is how far the version moves when a transaction clears the version table. The
	// tokens of others are gone then, and must not count as missing.
	ClearedVersions = 2 * toldVersions
	// pruneEvery is how many writes there are, on average, to one that removes tokens, and mostPruned
	// how many it removes.
	pruneEvery = 256
	mostPruned = 4 * pruneEvery
)

// The slots of the tokens of writes lie above all versions near the present one. An epoch has its own
// ones, so that those of an epoch can be removed by a range. The epochs come round after a while.
const (
	slotBits  = 24
	blockBits = 11 // a connector uses this many slots side by side, for few pages to change
	roundBits = 12
	slotsFrom = 39 // the slots begin above the version by 1<<39, less than 1<<38
)

// epochBegin returns the first slot of an epoch near a version.
func epochBegin(version, epoch int64) int64 {
	begin := version>>(slotsFrom-1)<<(slotsFrom-1) + 1<<slotsFrom
	return begin + epoch&(1<<roundBits-1)<<slotBits
}

// slots gives a connector its slots. It is safe for concurrent use. The zero value is ready.
type slots struct {
	mu   sync.Mutex
	next int64 // the next one of the block; at a multiple of 1<<blockBits another block is drawn
}

// take returns a slot below 1<<slotBits.
func (s *slots) take() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next&(1<<blockBits-1) == 0 {
		s.next = mathrand.Int64N(1<<(slotBits-blockBits)) << blockBits
	}
	slot := s.next
	s.next++
	return slot
}

// leave leaves the block, because another connector may be using it.
func (s *slots) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = 0
}

// Token is what one attempt at a write leaves in the version table. It is used by one goroutine at a
// time.
type Token struct {
	versions *Versions
	version  int64 // that the connector knew
	slot     int64
	name     string
}

// Why the transaction of a write was rolled back.
var (
	errTokenRefused = errors.New("the token of the write was refused")
	errNoTokenTable = errors.New("there is no table " + Table + " for the token")
	// ErrNoToken says that the token could not be stored for another reason, such as a full disk. The
	// write may work without it.
	ErrNoToken = errors.New("rqlite: the write could leave no token")
)

// refusal returns why the token was not stored, by the message of its statement.
func refusal(message string) error {
	switch {
	case IsMissing(message):
		return errNoTokenTable
	case message == Stale, strings.HasPrefix(message, "UNIQUE constraint failed: "+Table):
		return errTokenRefused
	}
	return fmt.Errorf("%w: %s", ErrNoToken, message)
}

// NewToken returns the token for an attempt at a write, nil if writes leave none: because they do not
// move the version, or because there can be no version table. It asks for the version, and creates the
// table, if the connector knows of none. forwarded says that a node may send the attempt twice. Then a
// refused token says less, so that the version must be a recent one.
func (v *Versions) NewToken(ctx context.Context, forwarded bool) (*Token, error) {
	if !v.LeavesTokens() {
		return nil, nil
	}
	version, err := v.known(ctx, forwarded)
	switch {
	case errors.Is(err, errNotMade), errors.Is(err, errUnusable):
		v.givesUp(err)
		return nil, nil
	case !v.LeavesTokens(): // the user may not ask
		return nil, nil
	case err != nil:
		return nil, err
	}
	slot := epochBegin(version, version>>epochBits) + v.slots.take()
	return &Token{versions: v, version: version, slot: slot, name: rand.Text()}, nil
}

// LeavesTokens reports whether writes leave tokens, as far as is known.
func (v *Versions) LeavesTokens() bool {
	until := v.untold.Load()
	return !v.Disabled && !v.NoTokens && (until == 0 || time.Now().UnixNano() > until)
}

// recently is how old a version may be where it must be a recent one.
const recently = 2 * time.Second

// known returns the version that was read last. It asks for it, and creates the version table if there
// is none, if the connector has read none, or if the last write found none.
func (v *Versions) known(ctx context.Context, recent bool) (int64, error) {
	isOld := recent && time.Since(time.Unix(0, v.heard.Load())) > recently
	if version := v.last.Load(); v.asked.Load() && version != 0 && !isOld && !v.missing.Load() {
		return version, nil
	}
	for made := false; ; made = true {
		state, err := v.ask(ctx, "", 0)
		switch {
		case err != nil:
			return 0, err
		case state.Exists:
			v.missing.Store(false)
			return state.Version, nil
		case made:
			return 0, ErrGone
		}
		if err := v.Make(ctx); err != nil {
			return 0, err
		}
	}
}

// Writes leave no tokens for a while after the version table could not be asked or made. A reason such as
// a full disk may pass soon; a permission is seldom given.
const (
	untoldFor    = time.Second
	forbiddenFor = time.Minute
)

// givesUp has writes leave no tokens for a while.
func (v *Versions) givesUp(why error) {
	pause := untoldFor
	if errors.Is(why, sqlerr.ErrUnauthorized) {
		pause = forbiddenFor
	}
	v.untold.Store(time.Now().Add(pause).UnixNano())
	if !v.warned.Swap(true) {
		v.Warn(fmt.Errorf("rqlite: writes leave no token in the table %s, so that what became of one whose answer is lost cannot be found out: %w", Table, why))
	}
}

const (
	// mostAsks is how often a question is asked whose answer breaks off. The client itself asks again
	// if no answer begins.
	mostAsks   = 8
	firstPause = 20 * time.Millisecond
)

// ask reads the state of the version table through the log, behind a change of the table unless that is
// "". The state has the token at k. Asking again does no harm.
func (v *Versions) ask(ctx context.Context, change string, k int64) (State, error) {
	for pause, n := firstPause, 1; ; pause, n = 2*pause, n+1 {
		state, again, err := v.askOnce(ctx, change, k)
		switch {
		case err == nil:
			v.asked.Store(true)
			return state, nil
		case errors.Is(err, sqlerr.ErrUnauthorized):
			v.givesUp(err)
			return State{}, err
		case !again || n == mostAsks:
			return State{}, err
		}
		if cluster.Sleep(ctx, pause, time.Time{}); ctx.Err() != nil {
			return State{}, err
		}
	}
}

// askOnce asks once. again says that the answer broke off.
func (v *Versions) askOnce(ctx context.Context, change string, k int64) (state State, again bool, err error) {
	texts := []string{StateText(k)}
	if change != "" {
		texts = []string{change, texts[0]}
	}
	answer, err := v.sender.Send(ctx, &cluster.Request{
		Path: cluster.RequestPath, Params: cluster.UnparsedParams, Leader: true, // and no Write: it can be repeated
		Body: cluster.BodyOf(texts...),
	})
	if err != nil {
		return state, false, err
	}
	defer answer.Close()
	entry, err := answer.Next()
	if err != nil {
		return state, true, sqlerr.From(err)
	}
	if change != "" {
		switch {
		case IsMissing(entry.Error):
			return state, false, nil
		case entry.Error != "":
			return state, false, Failure(entry)
		}
		if entry, err = answer.Next(); err != nil {
			return state, true, sqlerr.From(err)
		}
	}
	if state, err = v.ReadState(answer, entry); err == nil {
		err = answer.End()
	}
	return state, true, sqlerr.From(err)
}

// AskMoved moves the version, and returns the state with the token at k.
func (v *Versions) AskMoved(ctx context.Context, k int64) (State, error) {
	return v.ask(ctx, MoveText, k)
}

// Frame returns the frame of a write that leaves the token, and moves the version. The request must be a
// transaction. If guarded, it is one of several callers; see [Versions.BulkRequest].
func (t *Token) Frame(guarded bool) *cluster.Frame {
	before := []cluster.Elements{t.elements(), t.versions.frames.inTransaction.form(t.versions.Backoff.isDue()).Before}
	if guarded {
		before = slices.Insert(before, 0, t.versions.frames.bulkAlone.Before)
	}
	if mathrand.N(pruneEvery) == 0 {
		before = append(before, cluster.NewElements(readPruned, t.pruneText()))
	}
	return &cluster.Frame{Before: cluster.Join(before)}
}

// elements returns the statement that stores the token.
func (t *Token) elements() cluster.Elements {
	s := append(make([]byte, 0, 256), "\"INSERT INTO "+Table+"(k,token)VALUES(CASE WHEN(SELECT v FROM "+Table+" WHERE k=0)BETWEEN "...)
	s = strconv.AppendInt(s, t.version, 10)
	s = append(s, " AND "...)
	s = strconv.AppendInt(s, t.version+tokenWindow, 10)
	s = append(s, " THEN "...)
	s = strconv.AppendInt(s, t.slot, 10)
	s = append(append(append(s, " ELSE'stale'END,'"...), t.name...), "')\""...)
	return cluster.Elements{JSON: s, Count: 1, Read: t.read}
}

// pruneText returns the statement that removes some tokens of earlier epochs.
func (t *Token) pruneText() string {
	const perRound = 1 << roundBits
	last := (t.version>>epochBits-keptEpochs+perRound-1)&(perRound-1) + 1 // from 1 to perRound
	first := max(0, last-perRound/2)                                      // what comes before was removed long ago
	begin := epochBegin(t.version, 0)
	return "DELETE FROM " + Table + " WHERE k IN(SELECT k FROM " + Table + " WHERE k>=" + strconv.FormatInt(begin+first<<slotBits, 10) +
		" AND k<" + strconv.FormatInt(begin+last<<slotBits, 10) + " ORDER BY k LIMIT " + strconv.Itoa(mostPruned) + ")"
}

// readPruned reads the entry of that statement. Its failure would be that of the transaction.
func readPruned(answer *cluster.Answer) error {
	entry, err := answer.Next()
	if err != nil {
		return err
	}
	return Failure(entry)
}

// read reads the entry of the statement that stores the token.
func (t *Token) read(answer *cluster.Answer) error {
	entry, _, err := t.versions.readFirst(answer)
	if err == nil && entry.Error != "" {
		err = refusal(entry.Error)
	}
	return err
}

// Failed returns the error of an attempt at a bulk, whose frame has not been read.
func (t *Token) Failed(why *cluster.Error) error {
	const tokenEntry = 1 // behind the guard
	if why.Outcome != cluster.Refused || why.Entry != tokenEntry {
		return sqlerr.From(why)
	}
	err := refusal(why.Message)
	if errors.Is(err, errNoTokenTable) {
		t.versions.missing.Store(true)
	}
	return err
}

// Doubts reports whether the error of an attempt leaves it open whether the write was applied, or says
// that the attempt was refused because of the token. Then Settle tells what became of it.
func Doubts(err error) bool {
	return errors.Is(err, sqlerr.ErrIndeterminate) || errors.Is(err, errTokenRefused) || errors.Is(err, errNoTokenTable)
}

// Settle finds out whether the attempt was applied that has ended with an error. If it was not, it never
// will be. forwarded says that a node may have sent the attempt twice, so that the error is that of a
// second one. If it cannot be found out, the error is ErrIndeterminate.
func (t *Token) Settle(ctx context.Context, why error, forwarded bool) (applied bool, err error) {
	if errors.Is(why, errNoTokenTable) && !forwarded {
		return false, nil // another table has other versions
	}
	v := t.versions
	state, err := v.ask(ctx, "INSERT OR IGNORE INTO "+Table+"(k,token)VALUES("+strconv.FormatInt(t.slot, 10)+",'void')", t.slot)
	switch {
	case err != nil:
		return false, t.unsettled(why, err)
	case state.Token == t.name:
		return true, nil
	case !state.Exists:
		v.missing.Store(true)
	case errors.Is(why, errTokenRefused):
		v.slots.leave()
	}
	// Unless the server has rolled the attempt back, a missing token means nothing where the version
	// table is another or was cleared, or where the token may have been removed.
	rolledBack := !forwarded && !errors.Is(why, sqlerr.ErrIndeterminate)
	if !rolledBack && (!state.Exists || state.Version < t.version || state.Version > t.version+toldVersions) {
		return false, t.unsettled(why, errNotTold)
	}
	return false, nil
}

var errNotTold = errors.New("the table " + Table + ", which tells what became of it, was replaced, or cleared, or has moved on")

// unsettled is the error of an attempt of which it could not be found out, for a reason, whether it was
// applied or may still be.
func (t *Token) unsettled(why, because error) error {
	if errors.Is(why, sqlerr.ErrIndeterminate) {
		return why
	}
	return sqlerr.Of(sqlerr.ErrIndeterminate, fmt.Errorf("a copy of the request may have been applied, or may still be, and what became of it could not be asked: %w", because))
}
