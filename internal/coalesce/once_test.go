//go:build go1.25

package coalesce

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// settled is what is found out about an attempt.
type settled struct {
	applied bool
	err     error
}

// makesOnce has a coalescer make attempts. Those that fail are settled as given, one after the other.
func makesOnce(q *Coalescer, outcomes ...settled) (asked *int) {
	asked = new(int)
	q.cfg.Once = func(context.Context, bool) (*Attempt, error) {
		return &Attempt{
			Request: unframed(true),
			Doubts:  func(why *cluster.Error) bool { return why.Outcome == cluster.Unknown },
			Settle: func(context.Context, *cluster.Error, bool) (bool, error) {
				*asked++
				return outcomes[*asked-1].applied, outcomes[*asked-1].err
			},
		}, nil
	}
	return asked
}

// gatesSettling keeps the attempts of a coalescer from being settled until the channel is closed.
func gatesSettling(q *Coalescer) chan struct{} {
	gate := make(chan struct{})
	changesAttempts(q, func(a *Attempt) {
		settle := a.Settle
		a.Settle = func(ctx context.Context, why *cluster.Error, forwarded bool) (bool, error) {
			<-gate
			return settle(ctx, why, forwarded)
		}
	})
	return gate
}

// doubtsAll has each failure leave it open what became of an attempt.
func doubtsAll(q *Coalescer) {
	changesAttempts(q, func(a *Attempt) { a.Doubts = func(*cluster.Error) bool { return true } })
}

// changesAttempts changes the attempts of a coalescer.
func changesAttempts(q *Coalescer, change func(*Attempt)) {
	before := q.cfg.Once
	q.cfg.Once = func(ctx context.Context, forwarded bool) (*Attempt, error) {
		attempt, err := before(ctx, forwarded)
		change(attempt)
		return attempt, err
	}
}

func TestCoalesceOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, "a bulk that was applied, and whose answer is lost", func(t *testing.T) {
		q, s, only, release := busy(t, setting{})
		asked := makesOnce(q, settled{applied: true})
		only.then(drop)
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		for _, w := range []*writer{w1, w2} {
			<-w.done
			require.ErrorIs(t, w.err, ErrApplied)
		}
		assert.Equal(t, 1, *asked)
		assert.Empty(t, s.got())
	})
	inBubble(t, "a bulk that was not applied goes again", func(t *testing.T) {
		q, s, only, release := busy(t, setting{})
		makesOnce(q, settled{}, settled{})
		only.then(drop, drop, s.reply)
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		w1.applied(t, 1)
		w2.applied(t, 2)
		assert.Equal(t, []string{"tx:ok 1,ok 2"}, s.got())
	})
	inBubble(t, "nobody can tell", func(t *testing.T) {
		q, _, only, release := busy(t, setting{})
		makesOnce(q, settled{err: errors.New("no leader")})
		only.then(drop)
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		w1.unknown(t)
		w2.unknown(t)
		assert.EqualValues(t, 1, q.Counts().Failures)
	})
	inBubble(t, "one that fails goes alone, and the others without it", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		asked := makesOnce(q, settled{})
		w1, w2, w3 := joins(t, q, "ok 1"), joins(t, q, "fail 2"), joins(t, q, "ok 3")
		release()
		w1.applied(t, 1)
		w3.applied(t, 3)
		<-w2.done
		require.ErrorIs(t, w2.err, ErrAlone)
		assert.Equal(t, []string{"tx:ok 1,fail 2,ok 3", "tx:ok 1,ok 3"}, s.got())
		assert.Equal(t, 1, *asked, "a late copy of the first attempt does nothing")
	})
	inBubble(t, "one that fails, and nobody knows whether a copy does something", func(t *testing.T) {
		q, _, _, release := busy(t, setting{})
		makesOnce(q, settled{err: errors.New("no leader")})
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "fail 2")
		release()
		w1.unknown(t)
		w2.unknown(t)
	})
	inBubble(t, "where many fail, all go together without a transaction, and so do some of the next", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		makesOnce(q, settled{}, settled{}, settled{}, settled{})
		w1, w2, w3, w4, w5 := joins(t, q, "fail 1"), joins(t, q, "fail 2"), joins(t, q, "fail 3"), joins(t, q, "fail 4"), joins(t, q, "ok 5")
		release()
		for _, w := range []*writer{w1, w2, w3} {
			<-w.done
			require.ErrorIs(t, w.err, ErrAlone)
		}
		w4.failed(t, 4)
		w5.applied(t, 5)
		assert.Equal(t, "fail 4,ok 5", s.got()[mostFailing+1])
		synctest.Wait()
		require.True(t, begins(q))
		w1, w2 = joins(t, q, "ok 7"), joins(t, q, "ok 8")
		release()
		w1.applied(t, 7)
		w2.applied(t, 8)
		assert.Equal(t, "ok 7,ok 8", s.got()[mostFailing+2])
	})
	inBubble(t, "where many fail, all go alone if each is to be an attempt, and so do some of the next", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		q.cfg.OnceAlone = true
		makesOnce(q, settled{}, settled{}, settled{}, settled{})
		var all []*writer
		for _, statement := range []string{"fail 1", "fail 2", "ok 3", "fail 4", "fail 5", "ok 6"} {
			all = append(all, joins(t, q, statement))
		}
		release()
		for _, w := range all {
			<-w.done
			require.ErrorIs(t, w.err, ErrAlone)
		}
		assert.Len(t, s.got(), mostFailing+1)
		assert.Empty(t, s.applied)
		synctest.Wait()
		require.True(t, begins(q))
		w1, w2 := joins(t, q, "ok 7"), joins(t, q, "ok 8")
		release()
		for _, w := range []*writer{w1, w2} {
			<-w.done
			require.ErrorIs(t, w.err, ErrAlone)
		}
	})
	inBubble(t, "one that leaves while a bulk is asked about", func(t *testing.T) {
		q, s, only, release := busy(t, setting{})
		makesOnce(q, settled{})
		gate := gatesSettling(q)
		only.then(drop, s.reply)
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		w1.cancel(nil)
		w1.unknown(t)
		close(gate)
		w2.applied(t, 2)
		assert.Equal(t, []string{"tx:ok 2"}, s.got(), "it will never be applied")
	})
	inBubble(t, "there can be no attempt", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		q.cfg.Once = func(context.Context, bool) (*Attempt, error) { return nil, nil }
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		w1.applied(t, 1)
		w2.applied(t, 2)
		assert.Equal(t, []string{"tx:ok 1,ok 2"}, s.got())
	})
	inBubble(t, "there can be no further attempt, behind one that was given back", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		makesOnce(q, settled{})
		first := q.cfg.Once
		q.cfg.Once = func(ctx context.Context, forwarded bool) (*Attempt, error) {
			if len(s.got()) > 0 {
				return nil, nil
			}
			return first(ctx, forwarded)
		}
		w1, w2, w3 := joins(t, q, "ok 1"), joins(t, q, "fail 2"), joins(t, q, "ok 3")
		release()
		w1.applied(t, 1)
		w3.applied(t, 3)
		<-w2.done
		require.ErrorIs(t, w2.err, ErrAlone)
	})
	inBubble(t, "one that leaves behind a refusal that says nothing of an earlier copy", func(t *testing.T) {
		q, _, only, release := busy(t, setting{})
		makesOnce(q, settled{applied: true})
		gate := gatesSettling(q)
		doubtsAll(q)
		only.then(ok(`{"results":[{"error":"UNIQUE constraint failed: _rqlite_tx.k"}]}`))
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		w1.cancel(context.Canceled)
		w1.unknown(t)
		close(gate)
		<-w2.done
		require.ErrorIs(t, w2.err, ErrApplied)
	})
	inBubble(t, "all others have left when one is given back", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		s.gate = make(chan struct{}, 1)
		makesOnce(q, settled{})
		w1, w2 := joins(t, q, "fail 1"), joins(t, q, "ok 2")
		release()
		w2.cancel(context.Canceled)
		w2.unknown(t)
		s.gate <- struct{}{}
		<-w1.done
		require.ErrorIs(t, w1.err, ErrAlone)
		time.Sleep(time.Second)
		assert.Equal(t, []string{"tx:fail 1,ok 2"}, s.got(), "no request without statements")
	})
	inBubble(t, "a server that gives no answer is not loaded", func(t *testing.T) {
		q, _, only, release := busy(t, setting{})
		asked := makesOnce(q, make([]settled, 1000)...)
		only.then(drop)
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		time.Sleep(2 * time.Second)
		w1.cancel(context.Canceled)
		w2.cancel(context.Canceled)
		<-w1.done
		<-w2.done
		assert.Less(t, *asked, 20)
		assert.Greater(t, *asked, 5)
	})
	inBubble(t, "an attempt cannot be made", func(t *testing.T) {
		q, _, _, release := busy(t, setting{})
		why := errors.New("no version table")
		q.cfg.Once = func(context.Context, bool) (*Attempt, error) { return nil, why }
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		for _, w := range []*writer{w1, w2} {
			<-w.done
			require.ErrorIs(t, w.err, why)
		}
	})
	inBubble(t, "one that must not be with others in a transaction", func(t *testing.T) {
		for _, alone := range []bool{false, true} {
			q, s, _, release := busy(t, setting{})
			makesOnce(q)
			q.cfg.OnceAlone = alone
			apart := make(chan error)
			go func() {
				answer, err := q.Join(t.Context(), Part{Elements: []byte(`"ok 1"`), Entries: 1, Apart: true})
				if err == nil {
					answer.Close()
				}
				apart <- err
			}()
			synctest.Wait()
			w := joins(t, q, "ok 2")
			release()
			w.applied(t, 2)
			if err := <-apart; alone {
				require.ErrorIs(t, err, ErrAlone)
				assert.Equal(t, []string{"tx:ok 2"}, s.got())
				continue
			} else {
				require.NoError(t, err)
			}
			assert.Equal(t, []string{"ok 1,ok 2"}, s.got())
		}
	})
	inBubble(t, "one that waits alone soon after others went together, and later", func(t *testing.T) {
		for after, want := range map[time.Duration]string{900 * time.Millisecond: "tx:ok 3", time.Second: "ok 3"} {
			q, s, _, release := busy(t, setting{patience: time.Hour})
			makesOnce(q)
			require.False(t, q.JoinedLately())
			w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
			release()
			w1.applied(t, 1)
			w2.applied(t, 2)
			synctest.Wait()
			require.True(t, begins(q))
			w3 := joins(t, q, "ok 3")
			time.Sleep(after)
			release()
			w3.applied(t, 3)
			assert.Equal(t, []string{"tx:ok 1,ok 2", want}, s.got())
		}
	})
	inBubble(t, "one that goes alone while others go together, although they take long", func(t *testing.T) {
		q, s, _, release := busy(t, setting{patience: 500 * time.Millisecond})
		s.gate = make(chan struct{}, 1)
		makesOnce(q)
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		time.Sleep(5 * time.Second)
		assert.True(t, q.JoinedLately())
		s.gate <- struct{}{}
		w1.applied(t, 1)
		w2.applied(t, 2)
		time.Sleep(999 * time.Millisecond)
		assert.True(t, q.JoinedLately())
		time.Sleep(2 * time.Millisecond)
		assert.False(t, q.JoinedLately())
	})
	inBubble(t, "one that waits alone", func(t *testing.T) {
		for _, alone := range []bool{false, true} {
			q, s, _, release := busy(t, setting{})
			makesOnce(q)
			q.cfg.OnceAlone = alone
			w := joins(t, q, "ok 1")
			release()
			w.applied(t, 1)
			assert.Equal(t, []string{map[bool]string{false: "ok 1", true: "tx:ok 1"}[alone]}, s.got())
		}
	})
}
