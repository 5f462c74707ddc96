//go:build go1.25

package coalesce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-rqlite/rqlite/internal/cluster"
)

// library answers the reads that a fake node gets: each statement is a number, which is the only
// value of its answer. It takes the node a microsecond times the number.
type library struct {
	gate chan struct{} // each request waits for a value; nil lets all pass

	mu       sync.Mutex
	requests []string // the statements of each, behind the parameters of the URL
}

func (l *library) reply(r *http.Request) (*http.Response, error) {
	var numbers []int
	if err := json.NewDecoder(r.Body).Decode(&numbers); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.requests = append(l.requests, strings.TrimSpace(r.URL.RawQuery+" "+strings.Trim(fmt.Sprint(numbers), "[]")))
	l.mu.Unlock()
	if l.gate != nil {
		select {
		case <-l.gate:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	entries := make([]string, len(numbers))
	for i, n := range numbers {
		entries[i] = fmt.Sprintf(`{"columns":["n"],"types":["integer"],"values":[[%d]],"time":%de-06}`, n, n)
	}
	return ok(`{"results":[` + strings.Join(entries, ",") + "]}")(r)
}

// got returns the requests so far.
func (l *library) got() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.requests...)
}

// meter notes what it learns.
type meter struct {
	mu     sync.Mutex
	took   []time.Duration
	sizes  []int
	firsts []bool
	doubts int
	slow   int
}

// Slow implements Meter.
func (m *meter) Slow() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slow++
}

// Measure implements Meter.
func (m *meter) Measure(took time.Duration, size int, first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.took, m.sizes, m.firsts = append(m.took, took), append(m.sizes, size), append(m.firsts, first)
}

// Doubt implements Meter.
func (m *meter) Doubt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doubts++
}

// reader is a goroutine that reads.
type reader struct {
	cancel context.CancelFunc
	done   chan struct{}
	value  string
	err    error
}

// reads starts a reader, and waits until it waits.
func reads(t *testing.T, q *Coalescer, n int, part Part) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &reader{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.value, r.err = readOne(ctx, q, n, part)
	}()
	synctest.Wait()
	return r
}

func readOne(ctx context.Context, q *Coalescer, n int, part Part) (string, error) {
	part.Elements, part.Entries = fmt.Appendf(nil, "%d", n), 1
	answer, err := q.Join(ctx, part)
	if err != nil {
		return "", err
	}
	defer answer.Close()
	if _, err := answer.Next(); err != nil {
		return "", err
	}
	if err := answer.NextRow(); err != nil {
		return "", err
	}
	cell, err := answer.Cell()
	if err != nil {
		return "", err
	}
	value := string(cell.Data)
	if err := answer.NextRow(); !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("more than a row: %w", err)
	}
	return value, answer.End()
}

// saw demands that the reader got its own row.
func (r *reader) saw(t *testing.T, n int) {
	t.Helper()
	<-r.done
	require.NoError(t, r.err)
	assert.Equal(t, fmt.Sprint(n), r.value)
}

// point is the kind of most of the tests.
var point = Kind{Path: cluster.QueryPath, Params: "level=weak", Leader: true}

// fullOfReads returns the coalescer of a kind that has as many requests under way as it wants, each
// of which release lets end. It must be called in a bubble.
func fullOfReads(t *testing.T, kind Kind) (q *Coalescer, l *library, only *node, release func()) {
	t.Helper()
	l = &library{}
	client, all := newCluster(t, true, l.reply)
	q = NewReads(Config{Client: client, Patience: time.Hour}).Of(kind)
	for range readLimits.underWay {
		require.True(t, begins(q))
	}
	require.False(t, begins(q), "one too many")
	return q, l, all[0], func() { endFirst(q); synctest.Wait() }
}

func TestReads(t *testing.T) {
	t.Parallel()
	inBubble(t, "those that wait leave as one, each with its own rows", func(t *testing.T) {
		q, l, _, release := fullOfReads(t, point)
		r1, r2, r3 := reads(t, q, 1, Part{}), reads(t, q, 2, Part{}), reads(t, q, 3, Part{})
		assert.Empty(t, l.got(), "they wait")
		release()
		r1.saw(t, 1)
		r2.saw(t, 2)
		r3.saw(t, 3)
		assert.Equal(t, []string{"level=weak&redirect 1 2 3"}, l.got(), "it is no transaction")
	})
	inBubble(t, "none joins a request that has left", func(t *testing.T) {
		q, l, _, release := fullOfReads(t, point)
		l.gate = make(chan struct{})
		r1, r2 := reads(t, q, 1, Part{}), reads(t, q, 2, Part{})
		release()
		r3 := reads(t, q, 2, Part{}) // the same as one under way
		require.Equal(t, []string{"level=weak&redirect 1 2"}, l.got())
		close(l.gate)
		r1.saw(t, 1)
		r2.saw(t, 2)
		r3.saw(t, 2)
		require.Equal(t, []string{"level=weak&redirect 1 2", "level=weak&redirect 2"}, l.got())
	})
	inBubble(t, "a further bulk leaves when enough wait", func(t *testing.T) {
		q, l, _, release := fullOfReads(t, point)
		l.gate = make(chan struct{})
		all := []*reader{reads(t, q, 0, Part{}), reads(t, q, 1, Part{})}
		release()
		release()
		for len(all) < 2*readLimits.second {
			require.Len(t, l.got(), 1, "%d are too few", len(all))
			all = append(all, reads(t, q, len(all), Part{}))
		}
		require.Len(t, l.got(), 2)
		close(l.gate)
		for i, r := range all {
			r.saw(t, i)
		}
	})
	inBubble(t, "a bulk is as much work as the others can wait for", func(t *testing.T) {
		q, l, _, release := fullOfReads(t, point)
		work := Part{Work: readLimits.work/2 - 1}
		r1, r2, r3 := reads(t, q, 1, work), reads(t, q, 2, work), reads(t, q, 3, work)
		release()
		r1.saw(t, 1)
		r2.saw(t, 2)
		r3.saw(t, 3)
		assert.Equal(t, []string{"level=weak&redirect 1 2", "level=weak&redirect 3"}, l.got())
	})
	inBubble(t, "far from the node they leave side by side", func(t *testing.T) {
		l := &library{}
		client, _ := newCluster(t, true, after(10*perPlace, l.reply))
		q := NewReads(Config{Client: client}).Of(point)
		reads(t, q, 1, Part{}).saw(t, 1)
		for i := range 10 {
			require.True(t, begins(q), "%d", i)
		}
		require.False(t, begins(q))
	})
}

// Requests that are under way share the callers evenly: the more there are, the larger.
func TestReadsShare(t *testing.T) {
	t.Parallel()
	for callers, shares := range map[int][]int{
		readLimits.second:        {8},
		2*readLimits.second - 1:  {15},
		2 * readLimits.second:    {8, 8},
		6*readLimits.second - 1:  {23, 23},
		6 * readLimits.second:    {16, 16, 16},
		12*readLimits.second - 1: {31, 31, 31},
		12*readLimits.second + 2: {24, 24, 24, 24},
		4*readLimits.parts + 1:   {256, 256, 256, 256},
	} {
		inBubble(t, fmt.Sprint(callers), func(t *testing.T) {
			q, l, _, release := fullOfReads(t, point)
			l.gate = make(chan struct{})
			all := make([]*reader, callers)
			for i := range all {
				all[i] = reads(t, q, i, Part{})
			}
			for range readLimits.underWay {
				release()
			}
			var sizes []int
			for _, request := range l.got() {
				sizes = append(sizes, len(strings.Fields(request))-1)
			}
			assert.Equal(t, shares, sizes)
			close(l.gate)
			for i, r := range all {
				r.saw(t, i)
			}
		})
	}
}

// The node may work until the last of the callers gives up.
func TestReadsDeadline(t *testing.T) {
	t.Parallel()
	second := func(n int) Part { return Part{Deadline: time.Now().Add(time.Duration(n) * time.Second)} }
	inBubble(t, "the last one counts", func(t *testing.T) {
		q, l, _, release := fullOfReads(t, point)
		reads(t, q, 1, second(1))
		reads(t, q, 2, second(10))
		reads(t, q, 3, second(2))
		release()
		assert.Equal(t, []string{"level=weak&db_timeout=10000ms&redirect 1 2 3"}, l.got())
	})
	inBubble(t, "unless one waits forever", func(t *testing.T) {
		q, l, _, release := fullOfReads(t, point)
		reads(t, q, 1, second(1))
		reads(t, q, 2, Part{})
		release()
		assert.Equal(t, []string{"level=weak&redirect 1 2"}, l.got())
	})
}

// A request that fails as a whole costs the callers one of their own, unless they would all have got
// the same.
func TestReadsFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer reply
		alone  bool
	}{
		"an infinite REAL":            {text(http.StatusInternalServerError, "json: unsupported value: +Inf"), true},
		"a request too large":         {text(http.StatusRequestEntityTooLarge, ""), true},
		"an unknown failure":          {text(http.StatusInternalServerError, "what?"), true},
		"a connection breaks":         {drop, true},
		"a half answer":               {cut(`{"results":[{"columns":["n"],`, 20), true},
		"a bad request":               {text(http.StatusBadRequest, "what?"), true},
		"a node that is late":         {failure("query timeout"), true},
		"an answer too few":           {ok(`{"results":[{}]}`), true},
		"a stale node":                {failure("stale read"), false},
		"a user without rights":       {text(http.StatusUnauthorized, ""), false},
		"a proxy that takes no more":  {text(http.StatusTooManyRequests, ""), false},
		"a proxy that refuses a text": {text(http.StatusForbidden, ""), true},
		"a proxy that fails":          {foreign(http.StatusBadGateway), true},
	}
	for name, tt := range tests {
		inBubble(t, name, func(t *testing.T) {
			q, _, node, release := fullOfReads(t, Kind{Path: cluster.QueryPath, Params: "level=none"})
			node.then(tt.answer)
			r1, r2 := reads(t, q, 1, Part{}), reads(t, q, 2, Part{})
			release()
			for _, r := range []*reader{r1, r2} {
				<-r.done
				if tt.alone {
					require.ErrorIs(t, r.err, ErrAlone)
				} else {
					assert.False(t, requireError(t, r.err, cluster.Refused).Write)
				}
			}
			assert.Equal(t, 1, node.requests())
			assert.Equal(t, !tt.alone, q.Counts().Failures == 1)
		})
	}
	for name, answer := range map[string]reply{
		"no leader":                     text(http.StatusServiceUnavailable, "leader not found"),
		"a leader whose term has ended": failure("stale read"),
	} {
		inBubble(t, name+" is asked again", func(t *testing.T) {
			q, l, node, release := fullOfReads(t, point)
			node.then(answer, l.reply)
			r1, r2 := reads(t, q, 1, Part{}), reads(t, q, 2, Part{})
			release()
			r1.saw(t, 1)
			r2.saw(t, 2)
		})
	}
}

// A bulk that takes long holds a slow read where the node answers what left later, and may hold one where it does not.
// Then each caller sends its own. If an answer to one that left later took long, the node may be busy, and the bulk has more
// time.
func TestReadsTakeLong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		later  time.Duration // what left later is answered in such a time; 0 is never
		waits  bool          // another read waits
		leaves time.Duration // one of the callers leaves then; 0 is never
		want   time.Duration // until the others are to send their reads by themselves
	}{
		"a later request is answered":           {later: time.Millisecond, waits: true, want: shortestLimit},
		"a later request is answered, but late": {later: 50 * time.Millisecond, waits: true, want: 150*time.Millisecond + limitStep},
		"others wait for it":                    {waits: true, want: shortestLimit},
		"there is no later request":             {want: shortestLimit},
		"one leaves before":                     {later: time.Millisecond, leaves: shortestLimit / 2, want: shortestLimit / 2},
		"one leaves early":                      {later: time.Millisecond, leaves: doubtAfter / 2, want: doubtAfter + 1},
		"one leaves early, and nothing is told": {leaves: doubtAfter / 2, want: shortestLimit},
	} {
		inBubble(t, name, func(t *testing.T) {
			q, _, node, release := fullOfReads(t, point)
			q.Ended("n:1", time.Now().Add(-time.Millisecond), Answered) // it left before
			node.then(hang)
			time.Sleep(time.Millisecond)
			first, m := &meter{}, &meter{}
			r1, r2, r3 := reads(t, q, 1, Part{Meter: first}), reads(t, q, 2, Part{Meter: m}), reads(t, q, 3, Part{})
			begin := time.Now()
			release()
			if tt.waits {
				defer reads(t, q, 4, Part{}).cancel()
			}
			if tt.later > 0 {
				time.Sleep(tt.later)
				q.Ended("n:1", time.Now().Add(-tt.later), Answered)
			}
			if tt.leaves > 0 {
				time.Sleep(tt.leaves - time.Since(begin))
				r1.cancel()
				<-r1.done
				require.ErrorIs(t, r1.err, context.Canceled)
			}
			for _, r := range []*reader{r2, r3} {
				<-r.done
				require.ErrorIs(t, r.err, ErrSlow)
			}
			assert.Equal(t, tt.want, time.Since(begin))
			assert.Equal(t, 1, m.doubts)
			assert.Equal(t, 1, first.doubts, "even if it has left: it may be the slow one")
			assert.Equal(t, tt.leaves > 0 && tt.later > 0, first.slow == 1)
			assert.Zero(t, m.slow, "its caller sends it, which tells")
		})
	}
	inBubble(t, "where each request holds a slow read, one after the other is given up", func(t *testing.T) {
		q, _, node, release := fullOfReads(t, point)
		node.then(hang)
		all := make([]*reader, 12*readLimits.second)
		for i := range all {
			all[i] = reads(t, q, i, Part{})
		}
		for range readLimits.underWay {
			release()
		}
		require.Equal(t, readLimits.underWay, node.requests())
		time.Sleep(shortestLimit)
		synctest.Wait()
		alone := func() (n int) {
			for _, r := range all {
				select {
				case <-r.done:
					n++
				default:
				}
			}
			return n
		}
		share := len(all) / readLimits.underWay
		require.Equal(t, share, alone())
		time.Sleep(shortestLimit)
		synctest.Wait()
		require.Equal(t, 2*share, alone())
		q.Ended("n:1", time.Now().Add(-time.Millisecond), Answered)
		time.Sleep(limitStep)
		synctest.Wait()
		require.Equal(t, len(all), alone(), "their reads tell of the others")
	})
	inBubble(t, "not one that was refused", func(t *testing.T) {
		q, l, node, release := fullOfReads(t, point)
		node.then(after(shortestLimit*9/10, text(http.StatusServiceUnavailable, "leader not found")), after(shortestLimit*9/10, l.reply))
		r1, r2 := reads(t, q, 1, Part{}), reads(t, q, 2, Part{})
		release()
		r1.saw(t, 1)
		r2.saw(t, 2)
	})
}

// Others do not wait for reads that went by themselves and take long, however many. Those are slow if what left later
// is answered, and may be taken for quick no longer.
func TestReadsBesideLongOnes(t *testing.T) {
	t.Parallel()
	for _, joined := range []bool{false, true} {
		inBubble(t, fmt.Sprint("joined ", joined), func(t *testing.T) {
			l := &library{}
			client, all := newCluster(t, true, l.reply)
			q := NewReads(Config{Client: client}).Of(point)
			slow := &meter{}
			sends := func() {
				if joined {
					_ = reads(t, q, 1, Part{Meter: slow})
				} else {
					_, ok := q.Begin(slow)
					require.True(t, ok)
				}
			}
			long := 3 * (mostStalled + readLimits.underWay)
			for range long {
				all[0].then(hang)
				sends()
				synctest.Wait()
				all[0].then(l.reply)
				time.Sleep(shortestLimit)
				begun := time.Now()
				reads(t, q, 2, Part{}).saw(t, 2) // it waits for one that is to be let out, if any
				assert.LessOrEqual(t, time.Since(begun), 2*readLimits.patience)
				q.Ended("n:1", time.Now(), Answered)
			}
			for range readLimits.underWay { // the last ones wait
				reads(t, q, 2, Part{}).saw(t, 2)
			}
			assert.Positive(t, slow.slow)
			assert.LessOrEqual(t, q.requests.underWay, readLimits.underWay)
			assert.LessOrEqual(t, int64(long-readLimits.underWay), q.counts.outside.Load())
		})
	}
	for told, most := range map[bool]int{false: mostUntold, true: mostOutside} {
		inBubble(t, fmt.Sprint("unless there are too many, of all kinds; told ", told), func(t *testing.T) {
			client, _ := newCluster(t, true, hang)
			all := NewReads(Config{Client: client})
			kinds := []*Coalescer{all.Of(point), all.Of(Kind{Params: "level=none"})}
			for range most/readLimits.underWay + 1 {
				for _, q := range kinds {
					for range readLimits.underWay {
						begins(q)
					}
				}
				time.Sleep(shortestLimit)
				for _, q := range kinds {
					if told {
						q.Ended("n:1", time.Now(), Answered)
					}
					q.mu.Lock()
					q.letOut()
					q.mu.Unlock()
				}
			}
			assert.EqualValues(t, most, all.counts.outside.Load())
			for _, q := range kinds {
				assert.Equal(t, readLimits.underWay, q.requests.underWay)
				assert.False(t, begins(q))
				for range len(q.requests.all) {
					endFirst(q)
				}
				assert.Zero(t, q.requests.underWay)
			}
			assert.Zero(t, all.counts.outside.Load())
		})
	}
	inBubble(t, "nor one that has just ended", func(t *testing.T) {
		q, _, _, release := fullOfReads(t, point)
		r := reads(t, q, 1, Part{})
		release()
		r.saw(t, 1)
		q.mu.Lock()
		last := batch{parts: []*part{{}}, ticket: q.depart(1, nil)}
		q.taken++
		q.mu.Unlock()
		time.Sleep(shortestLimit)
		q.ended(last)
		q.mu.Lock()
		q.letOut()
		q.mu.Unlock()
		q.next(last)
		assert.Zero(t, q.taken)
	})
	inBubble(t, "far from the node all take long", func(t *testing.T) {
		q, _, _, _ := fullOfReads(t, point)
		q.Ended("n:1", time.Now().Add(-shortestLimit), Answered)
		time.Sleep(limitLater*shortestLimit - 1)
		q.mu.Lock()
		q.letOut()
		assert.Zero(t, q.counts.outside.Load())
		time.Sleep(time.Nanosecond)
		q.letOut()
		assert.EqualValues(t, readLimits.underWay, q.counts.outside.Load())
		q.mu.Unlock()
	})
}

// The node does not say how long it worked on a statement that fails. What left later tells.
func TestReadsFailSlowly(t *testing.T) {
	t.Parallel()
	for _, later := range []bool{false, true} {
		inBubble(t, fmt.Sprint("later ", later), func(t *testing.T) {
			q, _, node, release := fullOfReads(t, point)
			node.then(after(90*time.Millisecond, ok(`{"results":[{"error":"integer overflow"},{"columns":["n"],"types":["integer"],"values":[[2]],"time":0.00002}]}`)))
			fails, fine := &meter{}, &meter{}
			r1, r2 := reads(t, q, 1, Part{Meter: fails}), reads(t, q, 2, Part{Meter: fine})
			release()
			time.Sleep(time.Millisecond)
			if later {
				q.Ended("n:1", time.Now(), Answered)
			}
			<-r1.done
			r2.saw(t, 2)
			assert.Equal(t, later, fails.slow == 1)
			assert.Zero(t, fine.slow)
		})
	}
}

// An answer that has begun to come is waited for as long as it comes, unless it is much too large.
func TestReadsComeSlowly(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		every time.Duration // time between two parts of the answer
		pad   int           // bytes of white space in it, which come at once
		tail  int           // bytes of white space behind those
		want  time.Duration // until the callers are to send their reads by themselves; 0 is never
	}{
		"it comes":           {every: limitStep - 1},
		"it stalls":          {every: time.Hour, want: shortestLimit + limitStep},
		"it takes very long": {every: limitStep - 1, tail: 1000, want: longestLimit},
		"it is much larger":  {every: limitStep / 2, pad: mostRows, want: shortestLimit},
	} {
		inBubble(t, name, func(t *testing.T) {
			q, l, node, release := fullOfReads(t, point)
			node.then(func(r *http.Request) (*http.Response, error) {
				resp, err := l.reply(r)
				if err != nil {
					return nil, err
				}
				whole, err := io.ReadAll(resp.Body)
				first := bytes.LastIndexByte(whole, ',') + 1 // its end
				head := string(whole[:first]) + strings.Repeat(" ", tt.pad)
				resp.Body = &trickle{r.Context(), tt.every, head, strings.Repeat(" ", tt.tail) + string(whole[first:])}
				return resp, err
			})
			m := &meter{}
			r1, r2, r3 := reads(t, q, 1, Part{Meter: m}), reads(t, q, 2, Part{}), reads(t, q, 3, Part{})
			begin := time.Now()
			release()
			time.Sleep(time.Millisecond)
			q.Ended("n:1", time.Now().Add(-time.Millisecond), Answered) // what left later is answered
			if tt.want == 0 {
				time.Sleep(2 * doubtAfter)
				r3.cancel() // which says nothing of the others
				<-r3.done
				r1.saw(t, 1)
				r2.saw(t, 2)
				assert.Greater(t, time.Since(begin), 2*shortestLimit)
				return
			}
			for _, r := range []*reader{r1, r2, r3} {
				<-r.done
				require.ErrorIs(t, r.err, ErrAlone)
			}
			assert.LessOrEqual(t, time.Since(begin), tt.want)
			assert.Equal(t, 1, m.doubts)
		})
	}
}

// trickle is a body of which the head comes at once, and then each byte after a while.
type trickle struct {
	ctx        context.Context
	every      time.Duration
	head, rest string
}

// Read implements io.Reader.
func (t *trickle) Read(p []byte) (n int, err error) {
	switch {
	case t.head != "":
		n = copy(p, t.head)
		t.head = t.head[n:]
		return n, nil
	case t.rest == "":
		return 0, io.EOF
	}
	select {
	case <-time.After(t.every):
	case <-t.ctx.Done():
		return 0, t.ctx.Err()
	}
	n = copy(p, t.rest[:1])
	t.rest = t.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (t *trickle) Close() error { return nil }

// What the driver sends in front of reads is there once for all of them.
func TestReadsFrame(t *testing.T) {
	t.Parallel()
	for name, why := range map[string]error{"works": nil, "fails": errors.New("no")} {
		inBubble(t, name, func(t *testing.T) {
			kind := point
			kind.Frame = &cluster.Frame{Before: cluster.Elements{JSON: []byte("7"), Count: 1, Read: func(a *cluster.Answer) error {
				_, err := a.Next()
				return errors.Join(err, why)
			}}}
			q, l, _, release := fullOfReads(t, kind)
			r1, r2 := reads(t, q, 1, Part{}), reads(t, q, 2, Part{})
			release()
			if why == nil {
				r1.saw(t, 1)
				r2.saw(t, 2)
			} else {
				<-r1.done
				<-r2.done
				require.ErrorIs(t, r1.err, ErrAlone)
				require.ErrorIs(t, r2.err, ErrAlone)
			}
			assert.Equal(t, []string{"level=weak&redirect 7 1 2"}, l.got())
		})
	}
}

func TestReadsLeave(t *testing.T) {
	t.Parallel()
	inBubble(t, "while they wait", func(t *testing.T) {
		q, l, _, release := fullOfReads(t, point)
		r1, r2 := reads(t, q, 1, Part{}), reads(t, q, 2, Part{})
		r1.cancel()
		<-r1.done
		require.ErrorIs(t, r1.err, context.Canceled)
		assert.False(t, requireError(t, r1.err, cluster.Refused).Write)
		release()
		r2.saw(t, 2)
		assert.Equal(t, []string{"level=weak&redirect 2"}, l.got())
	})
	inBubble(t, "while they are under way", func(t *testing.T) {
		q, l, _, release := fullOfReads(t, point)
		l.gate = make(chan struct{})
		m := new(meter)
		r1, r2 := reads(t, q, 1, Part{Meter: m}), reads(t, q, 2, Part{})
		release()
		r1.cancel()
		<-r1.done
		require.ErrorIs(t, r1.err, context.Canceled)
		close(l.gate)
		r2.saw(t, 2)
		assert.Equal(t, []time.Duration{time.Microsecond}, m.took, "its answer came all the same")
		assert.Zero(t, m.doubts)
	})
	for name, tt := range map[string]struct {
		wait   time.Duration
		doubts int
	}{"all of them, soon": {doubtAfter - 1, 0}, "all of them, late": {doubtAfter + 1, 1}} {
		inBubble(t, name, func(t *testing.T) {
			q, l, _, release := fullOfReads(t, point)
			l.gate = make(chan struct{})
			m := new(meter)
			r1, r2 := reads(t, q, 1, Part{Meter: m}), reads(t, q, 2, Part{Meter: m})
			release()
			time.Sleep(tt.wait)
			r1.cancel()
			r2.cancel()
			<-r1.done
			<-r2.done
			synctest.Wait()
			assert.Empty(t, m.took)
			assert.Equal(t, 2*tt.doubts, m.doubts)
		})
	}
}

// Where answers take long anyhow, those that do not come in time cast no doubt.
func TestReadsLeaveWhereAnswersTakeLong(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(t *testing.T, q *Coalescer, l *library, release func()){
		"to one read": func(_ *testing.T, q *Coalescer, _ *library, _ func()) {
			q.Ended("n:1", time.Now().Add(-60*time.Millisecond), Answered)
		},
		"to a bulk": func(t *testing.T, q *Coalescer, l *library, release func()) {
			l.gate = make(chan struct{})
			r1, r2 := reads(t, q, 1, Part{}), reads(t, q, 2, Part{})
			release()
			time.Sleep(60 * time.Millisecond)
			l.gate <- struct{}{}
			r1.saw(t, 1)
			r2.saw(t, 2)
			for range q.distance.places.Now() {
				begins(q)
			}
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			q, l, _, release := fullOfReads(t, point)
			answer(t, q, l, release)
			l.gate = make(chan struct{})
			m := new(meter)
			r1, r2 := reads(t, q, 1, Part{Meter: m}), reads(t, q, 2, Part{Meter: m})
			release()
			time.Sleep(100 * time.Millisecond)
			r1.cancel()
			r2.cancel()
			<-r1.done
			<-r2.done
			synctest.Wait()
			assert.Zero(t, m.doubts)
			for took, want := range map[time.Duration]bool{180 * time.Millisecond: false, 181 * time.Millisecond: true} {
				_, doubtful := q.Ended("n:1", time.Now().Add(-took), TimedOut)
				assert.Equal(t, want, doubtful, took)
			}
		})
	}
}

// Joined reads are few and quick. So they do not wait for as many slow requests as may be under way.
func TestReadsBesideSlowRequests(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		q, l, node, release := fullOfReads(t, point)
		node.then(hang)
		ctx, cancel := context.WithCancel(t.Context())
		var slow sync.WaitGroup
		for range cluster.MostAtOnce {
			slow.Go(func() {
				_, err := q.cfg.Client.Send(ctx, &cluster.Request{Path: cluster.QueryPath, Body: []byte(`[1]`)})
				assert.ErrorIs(t, err, context.Canceled)
			})
		}
		synctest.Wait()
		require.Equal(t, cluster.MostAtOnce, node.requests())
		node.then(l.reply)
		begun := time.Now()
		r1, r2 := reads(t, q, 1, Part{}), reads(t, q, 2, Part{})
		release()
		r1.saw(t, 1)
		r2.saw(t, 2)
		assert.Zero(t, time.Since(begun))
		cancel()
		slow.Wait()
	})
}

// A meter learns what each statement cost by itself.
func TestReadsMeter(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		q, _, _, release := fullOfReads(t, point)
		m := new(meter)
		r1, r2 := reads(t, q, 20, Part{Meter: m}), reads(t, q, 300_000, Part{Meter: m})
		release()
		r1.saw(t, 20)
		r2.saw(t, 300_000)
		assert.Equal(t, []time.Duration{20 * time.Microsecond, 300 * time.Millisecond}, m.took)
		assert.Equal(t, []int{67, 75}, m.sizes)
		assert.Equal(t, []bool{true, false}, m.firsts)
	})
}

// Reads of one kind wait for each other, and for nothing else.
func TestReadsKinds(t *testing.T) {
	t.Parallel()
	inBubble(t, "each by itself", func(t *testing.T) {
		l := &library{}
		client, _ := newCluster(t, true, l.reply)
		all := NewReads(Config{Client: client})
		weak, none := all.Of(point), all.Of(Kind{Path: cluster.QueryPath, Params: "level=none"})
		require.Same(t, weak, all.Of(point))
		for range readLimits.underWay {
			require.True(t, begins(weak))
		}
		require.False(t, begins(weak))
		require.True(t, begins(none))
		reads(t, none, 1, Part{}).saw(t, 1)
		assert.EqualValues(t, 1, all.Counts().Joined)
	})
	inBubble(t, "those of many are forgotten, but not while reads are under way", func(t *testing.T) {
		l := &library{}
		client, _ := newCluster(t, true, l.reply)
		all := NewReads(Config{Client: client, Patience: time.Hour})
		first, second := all.Of(point), all.Of(Kind{})
		for range readLimits.underWay {
			require.True(t, begins(first))
		}
		waits := reads(t, first, 1, Part{})
		for i := range 2 * mostLanes {
			all.Of(Kind{Params: fmt.Sprint(i)})
		}
		require.Len(t, *all.lanes.Load(), mostLanes)
		require.Same(t, first, all.Of(point))
		require.NotSame(t, second, all.Of(Kind{}))
		require.False(t, begins(second), "one that is forgotten sends nothing")
		_, err := second.Join(t.Context(), Part{})
		require.ErrorIs(t, err, ErrAlone)
		endFirst(first)
		waits.saw(t, 1)
		assert.EqualValues(t, 1, all.Counts().Joined)
	})
	inBubble(t, "there are no more than some in use", func(t *testing.T) {
		client, _ := newCluster(t, true, (&library{}).reply)
		all := NewReads(Config{Client: client})
		for i := range mostLanes {
			require.True(t, begins(all.Of(Kind{Params: fmt.Sprint(i)})))
		}
		require.Nil(t, all.Of(point))
		endFirst(all.Of(Kind{Params: "3"}))
		require.NotNil(t, all.Of(point))
	})
}

// Many goroutines at once: each gets its own row, and none is left.
func TestReadsMany(t *testing.T) {
	t.Parallel()
	inBubble(t, "", func(t *testing.T) {
		l := &library{}
		client, _ := newCluster(t, true, after(perPlace/2, l.reply))
		all := NewReads(Config{Client: client})
		const readers, each = 100, 20
		var group sync.WaitGroup
		for i := range readers {
			group.Go(func() {
				for j := range each {
					n := i*each + j
					value, err := readOne(t.Context(), all.Of(point), n, Part{})
					assert.NoError(t, err)
					assert.Equal(t, fmt.Sprint(n), value)
				}
			})
		}
		group.Wait()
		assert.Less(t, len(l.got()), readers*each/5)
	})
}
