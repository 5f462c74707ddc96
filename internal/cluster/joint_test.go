package cluster

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shrinking is a joint request that loses its last statement with each attempt.
type shrinking struct {
	bodies []string // of the attempts to come
	failed []*Error
}

// Compose implements Joint.
func (s *shrinking) Compose(string) (body []byte, statements int) {
	body, s.bodies = []byte(s.bodies[0]), s.bodies[1:]
	return body, 1
}

// Withdraw implements Joint.
func (s *shrinking) Withdraw(err *Error) bool { s.failed = append(s.failed, err); return true }

func joint() *Request { return &Request{Path: "/db/execute", Leader: true, Write: true} }

// Each attempt has a body of its own, and the failure of the one before is told.
func TestJointAttempts(t *testing.T) {
	t.Parallel()
	inBubble(t, "after redirects and failures", func(t *testing.T) {
		nodes, c := newPipedCluster(t, 20*time.Second, [][]reply{
			{movedTo("http://10.0.0.2:4001")},
			{text(http.StatusServiceUnavailable, "leader not found"), ok(written)},
		})
		s := &shrinking{bodies: []string{"[1,2,3]", "[1,2]", "[1]"}}
		answer, err := c.SendJoint(t.Context(), joint(), s)
		require.Nil(t, err)
		defer answer.Close()
		require.Len(t, s.failed, 2)
		assert.True(t, s.failed[0].Redirected())
		assert.False(t, s.failed[1].Redirected())
		assert.Equal(t, "leader not found", s.failed[1].Message)
		assert.Equal(t, "[1,2,3]", nodes[0].got()[0].Body)
		assert.Equal(t, "[1,2]", nodes[1].got()[0].Body)
	})
	inBubble(t, "without the time-out of the client", func(t *testing.T) {
		_, c := newPiped(t, time.Second, after(time.Minute, ok(written)))
		answer, err := c.SendJoint(t.Context(), joint(), &shrinking{bodies: []string{"[1]"}})
		require.Nil(t, err)
		answer.Close()
		assert.Zero(t, c.Counts().Failures)
	})
	inBubble(t, "and the last failure is not counted here", func(t *testing.T) {
		_, c := newPiped(t, time.Second, text(http.StatusUnauthorized, "Unauthorized"))
		_, err := c.SendJoint(t.Context(), joint(), &shrinking{bodies: []string{"[1]"}})
		require.NotNil(t, err)
		assert.True(t, err.Write)
		assert.Equal(t, Counts{Requests: 1}, c.Counts())
	})
}

// A caller waits for what it waits for, but not longer than its context.
func TestJointWait(t *testing.T) {
	t.Parallel()
	done := make(chan struct{}, 1)
	gone := errors.New("the user has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	for _, ctx := range []context.Context{context.Background(), ctx} {
		done <- struct{}{}
		require.NoError(t, Wait(ctx, done))
	}
	cancel(gone)
	why := Wait(ctx, done)
	require.ErrorIs(t, why, context.Canceled)
	require.ErrorIs(t, why, gone)
}

// The client's timeout bounds the wait of a caller whose context ends later, or never.
func TestJointUntil(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		c := New(Config{Hosts: []string{"10.0.0.1:4001"}, Timeout: time.Second})
		defer c.Close()
		assert.Equal(t, time.Now().Add(time.Second), c.Until(t.Context(), time.Time{}))
		for wait, bounds := range map[time.Duration]bool{time.Millisecond: false, time.Second: false, time.Minute: true} {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			assert.Equal(t, bounds, !c.Until(ctx, time.Time{}).IsZero(), "%v", wait)
		}
		require.ErrorIs(t, c.TimedOut(), context.DeadlineExceeded)
		require.ErrorContains(t, c.TimedOut(), "no answer within 1s, the time-out of the connection")
		c.cfg.Timeout = 0
		assert.Zero(t, c.Until(t.Context(), time.Time{}))
	})
}

// The entries of an answer are answers of their own, which outlive it.
func TestJointSplit(t *testing.T) {
	t.Parallel()
	const (
		two    = `{"results":[{"last_insert_id":1},{"last_insert_id":2}]}`
		second = `{"results":[{},{"error":"no such table: t"}]}`
		first  = `{"results":[{"error":"no such table: t"}]}`
	)
	split := func(t *testing.T, document string, n int, atomic bool) (Entries, *Error) {
		t.Helper()
		_, c := newPiped(t, time.Second, ok(document))
		answer, err := c.SendJoint(t.Context(), joint(), &shrinking{bodies: []string{"[1]"}})
		require.Nil(t, err)
		defer answer.Close()
		return answer.Split(n, atomic)
	}
	inBubble(t, "in any order", func(t *testing.T) {
		entries, err := split(t, two, 2, true)
		require.Nil(t, err)
		for _, i := range []int{1, 0} {
			answer := entries.Answer(i, i+1)
			result, err := answer.Next()
			require.NoError(t, err)
			assert.EqualValues(t, i+1, result.LastInsertID)
			require.NoError(t, answer.End())
			answer.Close()
		}
		answer := entries.Answer(1, 1)
		defer answer.Close()
		require.NoError(t, answer.End())
		_, failure := answer.Next()
		assert.True(t, requireError(t, failure, Unknown).Write)
	})
	failures := map[string]struct {
		document string
		n        int
		atomic   bool
		outcome  Outcome
	}{
		"one too many":                    {two, 1, false, Unknown},
		"one too few":                     {two, 3, false, Unknown},
		"the failure of a transaction":    {second, 2, true, Refused},
		"and no more follow":              {first, 2, true, Refused},
		"but a node that goes on is none": {`{"results":[{"error":"no such table: t"},{}]}`, 2, true, Unknown},
	}
	for name, tt := range failures {
		inBubble(t, name, func(t *testing.T) {
			_, err := split(t, tt.document, tt.n, tt.atomic)
			require.NotNil(t, err)
			assert.Equal(t, tt.outcome, err.Outcome)
			assert.True(t, err.Write)
		})
	}
	inBubble(t, "the failure of one of several", func(t *testing.T) {
		entries, err := split(t, second, 2, false)
		require.Nil(t, err)
		answer := entries.Answer(1, 2)
		defer answer.Close()
		result, failure := answer.Next()
		require.NoError(t, failure)
		assert.Equal(t, "no such table: t", result.Error)
	})
}
