//go:build go1.25

package coalesce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

func TestCoalesce(t *testing.T) {
	t.Parallel()
	inBubble(t, "those that wait leave as one, each with its own result", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		w1, w2, w3 := joins(t, q, "ok 1"), joins(t, q, "ok 2"), joins(t, q, "ok 3")
		assert.Empty(t, s.got(), "they wait")
		release()
		w1.applied(t, 1)
		w2.applied(t, 2)
		w3.applied(t, 3)
		assert.Equal(t, []string{"tx:ok 1,ok 2,ok 3"}, s.got())
		assert.EqualValues(t, 3, q.Counts().Joined)
		assert.EqualValues(t, 1, q.cfg.Client.Counts().Requests)
	})
	inBubble(t, "one that waits alone is no transaction", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		w := joins(t, q, "ok 1")
		release()
		w.applied(t, 1)
		assert.Equal(t, []string{"ok 1"}, s.got())
	})
	inBubble(t, "nobody waits when there is room", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		release()
		joins(t, q, "ok 1").applied(t, 1)
		assert.Equal(t, []string{"ok 1"}, s.got())
		assert.True(t, begins(q), "its place is free")
		assert.False(t, begins(q), "the other is still taken")
	})
	inBubble(t, "those that come later leave with the next", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		s.gate = make(chan struct{})
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		w3, w4 := joins(t, q, "ok 3"), joins(t, q, "ok 4")
		assert.False(t, begins(q))
		assert.Equal(t, []string{"tx:ok 1,ok 2"}, s.got())
		close(s.gate)
		for i, w := range []*writer{w1, w2, w3, w4} {
			w.applied(t, int64(i+1))
		}
		assert.Equal(t, []string{"tx:ok 1,ok 2", "tx:ok 3,ok 4"}, s.got())
	})
}

// A node that forwards may have applied a transaction before the try that failed: it is not
// sent again. Where all is forwarded, no transactions are tried.
func TestCoalesceForwarded(t *testing.T) {
	t.Parallel()
	inBubble(t, "none is tried", func(t *testing.T) {
		q, s, _, release := busy(t, setting{forwards: true})
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "fail 2")
		release()
		w1.applied(t, 1)
		w2.failed(t, 2)
		assert.Equal(t, []string{"ok 1,fail 2"}, s.got())
	})
	for name, answer := range map[string]reply{
		"that fails by a statement": ok(`{"results":[{},{"error":"UNIQUE constraint failed: 2"}]}`),
		"that fails at its end":     failure("FOREIGN KEY constraint failed"),
	} {
		inBubble(t, "one "+name+" is of unknown outcome", func(t *testing.T) {
			q, _, node, _ := busy(t, setting{forwards: true})
			node.then(answer)
			parts := make([]*part, 2)
			for i := range parts {
				parts[i] = &part{Part: Part{Elements: []byte(`""`), Entries: 1}, done: make(chan struct{}, 1)}
			}
			q.send(parts, true)
			for _, p := range parts {
				<-p.done
				requireError(t, p.err, cluster.Unknown)
			}
			assert.Equal(t, 1, node.requests())
		})
	}
}

// Beside a bulk that is under way, nothing leaves but a crowd.
func TestCoalesceBesideABulk(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		s.gate = make(chan struct{})
		writers := []*writer{joins(t, q, "ok 0"), joins(t, q, "ok 1")}
		release()
		release() // there is a place
		require.Equal(t, []string{"tx:ok 0,ok 1"}, s.got())
		assert.False(t, begins(q), "but not for one")
		for i := range writeLimits.second {
			require.Len(t, s.got(), 1, "%d are no crowd", i)
			writers = append(writers, joins(t, q, fmt.Sprint("ok ", len(writers))))
		}
		require.Len(t, s.got(), 2)
		for range writeLimits.second {
			writers = append(writers, joins(t, q, fmt.Sprint("ok ", len(writers))))
		}
		require.Len(t, s.got(), 2, "two are enough")
		s.gate <- struct{}{} // one ends
		synctest.Wait()
		require.Len(t, s.got(), 3, "the second crowd")
		close(s.gate)
		for i, w := range writers {
			w.applied(t, int64(i))
		}
		synctest.Wait()
		assert.True(t, begins(q))
		assert.True(t, begins(q))
		assert.False(t, begins(q))
	})
}

func TestCoalesceFailures(t *testing.T) {
	t.Parallel()
	inBubble(t, "a statement that fails does so alone", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		w1, w2, w3 := joins(t, q, "ok 1"), joins(t, q, "fail 2"), joins(t, q, "ok 3")
		release()
		w1.applied(t, 1)
		w2.failed(t, 2)
		w3.applied(t, 3)
		assert.Equal(t, []string{"tx:ok 1,fail 2,ok 3", "ok 1,fail 2,ok 3"}, s.got())
		assert.Equal(t, []string{"1", "3"}, s.applied)
		assert.Zero(t, q.Counts().Failures)
	})
	inBubble(t, "what makes the server refuse all is taken apart", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		writers := make([]*writer, 5)
		for i := range writers {
			verb := "ok"
			if i == 3 {
				verb = "choke"
			}
			writers[i] = joins(t, q, fmt.Sprint(verb, " ", i))
		}
		release()
		for i, w := range writers {
			<-w.done
			if i == 3 {
				failure := requireError(t, w.err, cluster.Refused)
				assert.Equal(t, "near choke 3", failure.Message)
				continue
			}
			w.applied(t, int64(i))
		}
		assert.Equal(t, []string{"0", "1", "2", "4"}, s.applied)
		assert.EqualValues(t, 1, q.Counts().Failures)
	})
	inBubble(t, "what is wrong for all is not taken apart", func(t *testing.T) {
		q, _, node, release := busy(t, setting{})
		node.then(text(http.StatusUnauthorized, "Unauthorized"))
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		for _, w := range []*writer{w1, w2} {
			<-w.done
			assert.Equal(t, http.StatusUnauthorized, requireError(t, w.err, cluster.Refused).Status)
		}
		assert.Equal(t, 1, node.requests())
	})
	answers := map[string]reply{
		"a lost answer":           drop,
		"an answer that is cut":   cut(`{"results":[{"rows_affected":1},{"rows_affected":1}]}`, 40),
		"an answer too few":       ok(one),
		"an answer too many":      ok(`{"results":[{"rows_affected":1},{"rows_affected":1},{"rows_affected":1}]}`),
		"no JSON":                 ok("<html>"),
		"no results":              ok("{}"),
		"an error nobody knows":   failure("disk I/O error"),
		"a status nobody expects": text(http.StatusBadGateway, "bad gateway"),
		"rows that cannot be sent": text(http.StatusInternalServerError,
			"json: unsupported value: +Inf"),
	}
	for name, answer := range answers {
		inBubble(t, name+" is of unknown outcome, and nothing is sent again", func(t *testing.T) {
			q, _, node, release := busy(t, setting{})
			node.then(answer)
			w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
			release()
			w1.unknown(t)
			w2.unknown(t)
			assert.Equal(t, 1, node.requests())
			require.True(t, begins(q), "others can go on")
		})
	}
}

// Where statements fail often, transactions are tried seldom.
func TestCoalescePenalty(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		release() // for the bulks of this test; the other place stays taken
		pair := func(first string) (attempts int) {
			require.True(t, begins(q))
			before := len(s.got())
			w1, w2 := joins(t, q, first+" 1"), joins(t, q, "ok 2")
			release()
			<-w1.done
			w2.applied(t, 2)
			bulks := s.got()[before:]
			if strings.HasPrefix(bulks[0], "tx:") {
				return len(bulks)
			}
			require.Len(t, bulks, 1)
			return 0
		}
		var attempts []int // the bulks that were tried as a transaction
		for i := range 2 + 1 + 2 + 4 + 8 + 16 + 32 + 64 + 64 + 10 {
			if n := pair("fail"); n != 0 {
				require.Equal(t, 2, n)
				attempts = append(attempts, i)
			}
		}
		assert.Equal(t, []int{0, 2, 5, 10, 19, 36, 69, 134, 199}, attempts)
		for pair("ok") == 0 {
		}
		assert.Equal(t, 1, pair("ok"), "it worked: the next is tried as well")
		assert.Equal(t, 2, pair("fail"))
		assert.Equal(t, 0, pair("fail"))
		assert.Equal(t, 2, pair("fail"), "and the penalty begins anew")
	})
}

// A caller can leave at every stage, and learns what is known of its write.
func TestCoalesceLeave(t *testing.T) {
	t.Parallel()
	why := errors.New("the user has gone")
	inBubble(t, "before its request", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		w1, w2, w3 := joins(t, q, "ok 1"), joins(t, q, "ok 2"), joins(t, q, "ok 3")
		w2.cancel(why)
		w2.refused(t, context.Canceled)
		require.ErrorIs(t, w2.err, why)
		release()
		w1.applied(t, 1)
		w3.applied(t, 3)
		assert.Equal(t, []string{"tx:ok 1,ok 3"}, s.got())
	})
	inBubble(t, "all before their request", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		w := joins(t, q, "ok 1")
		w.cancel(nil)
		w.refused(t, context.Canceled)
		release()
		assert.Empty(t, s.got())
		assert.True(t, begins(q))
	})
	inBubble(t, "with a context that has ended", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := joinOne(ctx, q, "ok 1")
		requireError(t, err, cluster.Refused)
		release()
		assert.Empty(t, s.got())
	})
	inBubble(t, "while its request is under way", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		s.gate = make(chan struct{})
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		w1.cancel(why)
		w1.unknown(t)
		require.ErrorIs(t, w1.err, why)
		close(s.gate)
		w2.applied(t, 2)
		assert.Equal(t, []string{"1", "2"}, s.applied)
	})
	inBubble(t, "all while their request is under way", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		s.gate = make(chan struct{})
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		w1.cancel(why)
		w2.cancel(why)
		w1.unknown(t)
		w2.unknown(t)
		synctest.Wait()
		assert.True(t, begins(q), "nobody waits for the answer any more")
	})
	inBubble(t, "with the time-out, of which the last attempt is told", func(t *testing.T) {
		q, _, node, release := busy(t, setting{})
		node.then(text(http.StatusServiceUnavailable, "leader not found"))
		w := joins(t, q, "ok 1")
		release()
		begin := time.Now()
		w.refused(t, context.DeadlineExceeded)
		assert.Equal(t, 20*time.Second, time.Since(begin))
		require.ErrorContains(t, w.err, "the attempt before: leader not found")
		synctest.Wait()
		assert.True(t, begins(q))
	})
	inBubble(t, "with the time-out while it waits", func(t *testing.T) {
		q, s, _, release := busy(t, setting{patience: time.Hour})
		w := joins(t, q, "ok 1")
		w.refused(t, context.DeadlineExceeded)
		require.ErrorContains(t, w.err, "no answer within 20s, the time-out of the connection")
		release()
		assert.Empty(t, s.got())
	})
}

// Who has left takes no memory, and does not make a crowd.
func TestCoalesceLeaveNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		q, s, _, release := busy(t, setting{patience: time.Hour})
		stays := joins(t, q, "ok 1")
		for range 2 * writeLimits.second {
			w := joins(t, q, "ok 2")
			w.cancel(nil)
			w.refused(t, context.Canceled)
		}
		assert.LessOrEqual(t, len(q.waiting), 2)
		assert.Equal(t, 1, q.wait())
		release()
		stays.applied(t, 1)
		assert.Equal(t, []string{"ok 1"}, s.got())
		assert.Zero(t, q.wait())
	})
}

// Rows that were applied and lost are not said to be refused to whoever leaves then.
func TestCoalesceWithdraw(t *testing.T) {
	t.Parallel()
	for outcome, sent := range map[cluster.Outcome]bool{cluster.Unknown: true, cluster.Applied: true, cluster.Repeat: false, cluster.Refused: false} {
		b := &bulk{q: &Coalescer{}, parts: []*part{{sent: true}}}
		b.Withdraw(&cluster.Error{Outcome: outcome})
		assert.Equal(t, sent, b.parts[0].sent, outcome)
	}
}

// A request whose connection hangs, on a node that is well, holds nobody up for long.
func TestCoalesceBesideStuck(t *testing.T) {
	t.Parallel()
	inBubble(t, "others go on without it", func(t *testing.T) {
		q, s, node, release := busy(t, setting{})
		node.then(hang, s.reply)
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "ok 2")
		release()
		release()
		begin := time.Now()
		w3, w4 := joins(t, q, "ok 3"), joins(t, q, "ok 4")
		w3.applied(t, 3)
		w4.applied(t, 4)
		assert.LessOrEqual(t, time.Since(begin), 2*writeLimits.patience)
		synctest.Wait()
		assert.True(t, begins(q), "as if it were not there")
		assert.True(t, begins(q))
		assert.False(t, begins(q))
		w1.unknown(t)
		w2.unknown(t)
		synctest.Wait()
		assert.Zero(t, q.requests.stalled)
	})
	inBubble(t, "there are few of them", func(t *testing.T) {
		q, _, node, release := busy(t, setting{})
		node.then(hang)
		release()
		release()
		writers := make([]*writer, 3*(mostStalled+writeLimits.underWay))
		for i := range writers {
			writers[i] = joins(t, q, "ok 1")
			time.Sleep(writeLimits.patience)
		}
		assert.Greater(t, node.requests(), mostStalled)
		assert.LessOrEqual(t, node.requests(), mostStalled+writeLimits.underWay)
		for _, w := range writers {
			w.cancel(nil)
			<-w.done
		}
		synctest.Wait()
		assert.Zero(t, q.requests.stalled)
		assert.True(t, begins(q))
	})
	inBubble(t, "slow is not stuck", func(t *testing.T) {
		q, s, node, release := busy(t, setting{})
		node.then(after(writeLimits.patience*3/5, s.reply))
		writers := make([]*writer, 10)
		for i := range writers { // each is a request of its own, so that some wait all the time
			writers[i] = joins(t, q, "ok "+strings.Repeat("1", mostBytes*2/3))
		}
		release()
		release()
		for _, w := range writers {
			<-w.done
		}
		assert.Len(t, s.got(), len(writers))
		assert.Zero(t, stalledOf(q))
	})
	inBubble(t, "nor does it matter how long others waited", func(t *testing.T) {
		q, _, node, release := busy(t, setting{})
		node.then(hang)
		writers := []*writer{joins(t, q, "ok 1"), joins(t, q, "ok 1")}
		release()
		release()
		writers = append(writers, joins(t, q, "ok 1"))
		time.Sleep(2*writeLimits.patience - 1)
		writers[2].cancel(nil)
		<-writers[2].done
		writers = append(writers, joins(t, q, "ok 1"))
		time.Sleep(writeLimits.patience)
		assert.Zero(t, stalledOf(q))
		time.Sleep(writeLimits.patience)
		assert.Equal(t, 1, stalledOf(q))
		for _, w := range writers {
			w.cancel(nil)
			<-w.done
		}
	})
}

// stalledOf waits until all wait, and returns how many requests are stalled.
func stalledOf(q *Coalescer) int {
	synctest.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.requests.stalled
}

// Those who got their answers from a bulk are waited for. How they are scheduled is not
// in the hands of a test: so it is enough that it works once.
func TestCoalesceGathers(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		q, _, _, _ := busy(t, setting{patience: time.Hour})
		gathered := 0
		for try := 0; try < 10 && gathered != 2; try++ {
			go func() {
				for range 100 {
					runtime.Gosched()
				}
				for range 2 {
					q.queue(&part{})
				}
			}()
			q.gather(2)
			gathered = q.countWaiting()
			synctest.Wait()
			q.waiting = nil
		}
		assert.Equal(t, 2, gathered)
	})
}

// A caller that leaves between two attempts is not part of the second.
func TestCoalesceLeaveBetweenAttempts(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		q, s, node, release := busy(t, setting{})
		node.then(text(http.StatusServiceUnavailable, "leader not found"), s.reply)
		w1, w2, w3 := joins(t, q, "ok 1"), joins(t, q, "ok 2"), joins(t, q, "ok 3")
		release() // the first attempt fails, and there is a pause
		require.Equal(t, 1, node.requests())
		w2.cancel(nil)
		w2.refused(t, context.Canceled)
		w1.applied(t, 1)
		w3.applied(t, 3)
		assert.Equal(t, []string{"tx:ok 1,ok 3"}, s.got())
		assert.EqualValues(t, 1, q.cfg.Client.Counts().Retries)
	})
}

func TestCoalesceBounds(t *testing.T) {
	t.Parallel()
	inBubble(t, "statements", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		writers := make([]*writer, 2*writeLimits.parts+1)
		for i := range writers {
			writers[i] = joins(t, q, fmt.Sprint("ok ", i))
		}
		release()
		for i, w := range writers {
			w.applied(t, int64(i))
		}
		var sizes []int
		for _, bulk := range s.got() {
			sizes = append(sizes, strings.Count(bulk, "ok"))
		}
		assert.Equal(t, []int{writeLimits.parts, writeLimits.parts, 1}, sizes)
		assert.Len(t, s.applied, len(writers))
	})
	inBubble(t, "bytes", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		writers := make([]*writer, 5)
		for i := range writers {
			length := mostBytes / 3
			if i == 4 {
				length = 2 * mostBytes
			}
			writers[i] = joins(t, q, "ok "+strings.Repeat("1", length))
		}
		release()
		for _, w := range writers {
			<-w.done // the ids are no numbers for the driver
		}
		var sizes []int
		for _, bulk := range s.got() {
			sizes = append(sizes, strings.Count(bulk, "ok"))
		}
		assert.Equal(t, []int{2, 2, 1}, sizes)
	})
}

// What stands around the statements is not shown to their callers.
func TestCoalesceFrame(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		var read []int64
		reads := func(a *cluster.Answer) error {
			result, err := a.Next()
			read = append(read, result.LastInsertID)
			return errors.Join(err, a.End(), errors.New("that the log gets to see"))
		}
		q.cfg.Request = func(atomic bool) cluster.Request {
			req := unframed(atomic)
			req.Frame = &cluster.Frame{Before: cluster.Elements{JSON: []byte(`"ok 100"`), Count: 1, Read: reads}}
			if !atomic {
				req.Frame.After = cluster.Elements{JSON: []byte(`"ok 200"`), Count: 1, Read: reads}
			}
			return req
		}
		w1, w2 := joins(t, q, "ok 1"), joins(t, q, "fail 2")
		release()
		w1.applied(t, 1)
		w2.failed(t, 2)
		assert.Equal(t, []string{"tx:ok 100,ok 1,fail 2", "ok 100,ok 1,fail 2,ok 200"}, s.got())
		assert.Equal(t, []int64{100, 200}, read)
	})
}

// No statement reaches a node of an earlier release than it needs, and so none beside it does.
func TestCoalesceMinRelease(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		q, s, _, release := busy(t, setting{})
		w := joins(t, q, "ok 1")
		var err error
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, err = q.Join(t.Context(), Part{Elements: []byte(`"ok 2"`), Entries: 1, MinRelease: 1 << 30})
		}()
		synctest.Wait()
		release()
		<-w.done
		<-ended
		assert.True(t, requireError(t, w.err, cluster.Refused).Earlier())
		assert.True(t, requireError(t, err, cluster.Refused).Earlier())
		assert.Empty(t, s.got())
	})
}

// A write goes on to the leader. Until it gets there nothing was applied.
func TestCoalesceGoesToTheLeader(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		s := &table{}
		c, _ := newCluster(t, true, movedTo("http://10.0.0.2:4001"), s.reply)
		q := New(Config{Client: c, Request: unframed})
		joins(t, q, "ok 1").applied(t, 1)
		assert.EqualValues(t, 1, c.Counts().Redirects)
	})
	inBubble(t, "and may leave on the way", func(t *testing.T) {
		c, all := newCluster(t, true, hang, hang)
		ctx, cancel := context.WithCancel(t.Context())
		var singles sync.WaitGroup
		defer singles.Wait()
		defer cancel()
		single := func() { // it takes a place until the test ends
			req := unframed(false)
			req.Body = []byte(`["ok 2"]`)
			_, err := c.Send(ctx, &req)
			assert.ErrorIs(t, err, context.Canceled)
		}
		for range cluster.MostAtOnce - 1 {
			singles.Go(single)
		}
		synctest.Wait()
		all[0].then(text(http.StatusServiceUnavailable, "leader not found"), hang)
		all[1].then(func(r *http.Request) (*http.Response, error) {
			all[1].then(hang)
			singles.Go(single) // it takes the place, and none is left for the next request
			time.Sleep(time.Nanosecond)
			return movedTo("http://10.0.0.1:4001")(r)
		})
		q := New(Config{Client: c, Request: unframed})
		w := joins(t, q, "ok 1")
		time.Sleep(100 * time.Millisecond)
		require.EqualValues(t, 1, c.Counts().Redirects)
		w.cancel(nil)
		w.refused(t, context.Canceled)
		require.ErrorContains(t, w.err, "the attempt before: leader not found")
	})
}

// Many goroutines at once: each write is applied once, and the writer gets its own id.
func TestCoalesceMany(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		s := &table{}
		c, _ := newCluster(t, true, after(time.Millisecond, s.reply))
		q := New(Config{Client: c, Request: unframed})
		const writers, each = 100, 20
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				for j := range each {
					want := int64(i*each + j + 1)
					id, err := joinOne(t.Context(), q, fmt.Sprint("ok ", want))
					assert.NoError(t, err)
					assert.Equal(t, want, id)
				}
			})
		}
		all.Wait()
		assert.Len(t, s.applied, writers*each)
		assert.Less(t, len(s.got()), writers*each/2)
	})
}
