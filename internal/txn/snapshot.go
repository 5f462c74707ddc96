package txn

import (
	"context"
	"time"

	"github.com/go-rqlite/rqlite/internal/cluster"
	"github.com/go-rqlite/rqlite/internal/occ"
	"github.com/go-rqlite/rqlite/internal/sqlerr"
)

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

func (t *Tx) readState(answer *cluster.Answer) (occ.State, error) {
	entry, err := answer.Next()
	if err != nil {
		return occ.State{}, sqlerr.From(err)
	}
	state, err := t.env.Versions.ReadState(answer, entry)
	return state, sqlerr.From(err)
}
